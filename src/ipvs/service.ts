// SPDX-License-Identifier: MIT
/**
 * Virtual services: what a client connects to.
 *
 * Plain data as `ipvsadm -A` describes it. Twin: bpf/ipvs/service.h, where the
 * kernel side finds a service by address, port and protocol.
 */
import type { Dest } from './dest.js'
import type { Stats } from './stats.js'

export const FAMILIES = [4, 6] as const
export type Family = (typeof FAMILIES)[number]

export const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const
export type Protocol = (typeof PROTOCOLS)[number]

/** A service reached by address, protocol and port (0 = every port). */
export interface AddressKey {
  readonly kind: 'address'
  readonly protocol: Protocol
  /** Canonical text as `inet_ntop` writes it. */
  readonly address: string
  readonly family: Family
  readonly port: number
}

/** A service reached by the packet's firewall mark. */
export interface FwmarkKey {
  readonly kind: 'fwmark'
  readonly fwmark: number
  readonly family: Family
}

export type ServiceKey = AddressKey | FwmarkKey

/** IP_VS_SVC_F_* of the kernel that a user may set. */
export interface ServiceFlags {
  readonly onePacket: boolean
  readonly sched1: boolean
  readonly sched2: boolean
  readonly sched3: boolean
}

/** What a user says of a service; everything replaceable by `-E`. */
export interface ServiceSpec {
  readonly key: ServiceKey
  /** At most 15 characters; `none` schedules nothing. */
  readonly scheduler: string
  readonly flags: ServiceFlags
  /** Persistence in seconds; 0 = not persistent. */
  readonly persistentTimeout: number
  /** IPv4: dotted mask; IPv6: prefix length as text. Ignored unless persistent. */
  readonly netmask: string
  /** Persistence engine, '' = none. */
  readonly pe: string
}

/** A service as listed. */
export interface Service extends ServiceSpec {
  readonly stats: Stats
  /** Newest first, the order schedulers walk them in. */
  readonly dests: readonly Dest[]
}
