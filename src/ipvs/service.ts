// SPDX-License-Identifier: MIT
/**
 * Virtual services: what a client connects to.
 *
 * Plain data as `ipvsadm -A` describes it. Twin: bpf/ipvs/service.h, where the
 * kernel side finds a service by address, port and protocol.
 */
import { Failure } from '../util/errors.js'
import { endpointText } from './address.js'
import type { Dest } from './dest.js'
import { KERNEL_SCHEDULERS } from './sched.js'
import type { Stats } from './stats.js'
import { requireSupportedService } from './supported.js'

export const FAMILIES = [4, 6] as const
export type Family = (typeof FAMILIES)[number]

export const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const
export type Protocol = (typeof PROTOCOLS)[number]

/** IP protocol numbers of PROTOCOLS. */
export const PROTOCOL_NUMBERS: Readonly<Record<Protocol, number>> = { tcp: 6, udp: 17, sctp: 132 }

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

/** Names of the kernel's persistence engines; any other is ENOENT. */
export const KERNEL_ENGINES: readonly string[] = ['sip']

/** What a service has when nothing is said: not persistent, no flags. */
export const NO_FLAGS: ServiceFlags = { onePacket: false, sched1: false, sched2: false, sched3: false }

/** The mask that tells every client apart: the kernel's default. */
export function fullMask(family: Family): string {
  return family === 4 ? '255.255.255.255' : '128'
}

/** One string per service, for maps: two keys name the same service when it is equal. */
export function keyOf(key: ServiceKey): string {
  return key.kind === 'fwmark'
    ? `fwmark ${key.fwmark} ${key.family}`
    : `${key.protocol} ${endpointText(key.address, key.port)}`
}

/** For messages: `tcp 10.0.0.1:80`, `fwmark 5`, `fwmark 5 IPv6`. */
export function serviceText(key: ServiceKey): string {
  if (key.kind === 'address') return keyOf(key)
  return `fwmark ${key.fwmark}${key.family === 6 ? ' IPv6' : ''}`
}

/**
 * Every check of ip_vs_add_service and ip_vs_edit_service, in their order; throws a
 * Failure with the kernel's errno, changes nothing. What is not built yet is refused
 * last, so a wrong request gets the kernel's answer either way.
 */
export function checkService(
  spec: ServiceSpec,
  request: 'add' | 'edit',
  exists: boolean,
  requireSupported = requireSupportedService,
): void {
  const { key, scheduler, pe } = spec
  if (request === 'add' && exists) {
    throw new Failure('SERVICE_EXISTS', `service ${serviceText(key)} already exists`, { errno: 'EEXIST' })
  }
  if (request === 'edit' && !exists) throw serviceNotFound(key)
  if (!KERNEL_SCHEDULERS.includes(scheduler)) {
    throw new Failure('SCHEDULER_NOT_FOUND', `there is no scheduler '${scheduler}'`, { errno: 'ENOENT' })
  }
  if (pe !== '' && !KERNEL_ENGINES.includes(pe)) {
    throw new Failure('SCHEDULER_NOT_FOUND', `there is no persistence engine '${pe}'`, { errno: 'ENOENT' })
  }
  if (key.family === 6 && !isPrefixLength(spec.netmask)) {
    throw new Failure('INVALID_ARGUMENT', `'${spec.netmask}' is not a prefix length between 1 and 128`, {
      errno: 'EINVAL',
    })
  }
  requireSupported(spec)
}

/** ESRCH, for whoever looks a service up and does not find it. */
export function serviceNotFound(key: ServiceKey): Failure {
  return new Failure('SERVICE_NOT_FOUND', `no such service: ${serviceText(key)}`, { errno: 'ESRCH' })
}

function isPrefixLength(text: string): boolean {
  return /^[0-9]{1,3}$/.test(text) && Number(text) >= 1 && Number(text) <= 128
}
