// SPDX-License-Identifier: MIT
/**
 * Destinations: the real servers of a service.
 *
 * Twin: bpf/ipvs/dest.h.
 */
import type { Family } from './service.js'
import type { Stats } from './stats.js'

/** Numbers are the kernel's IP_VS_CONN_F_FWD_MASK values, by position. */
export const FWD_METHODS = ['masq', 'local', 'tunnel', 'route'] as const
export type FwdMethod = (typeof FWD_METHODS)[number]

export const TUN_TYPES = ['ipip', 'gue', 'gre'] as const
export type TunType = (typeof TUN_TYPES)[number]

export const TUN_FLAGS = ['nocsum', 'csum', 'remcsum'] as const
export type TunFlags = (typeof TUN_FLAGS)[number]

/** Identity of a dest inside its service. */
export interface DestKey {
  readonly address: string
  readonly family: Family
  /** 0 = the port of the request. */
  readonly port: number
}

export interface DestSpec extends DestKey {
  readonly fwd: FwdMethod
  /** 0..2147483647; 0 takes no new connections. */
  readonly weight: number
  /** Connections above which the dest is overloaded; 0 = no limit. */
  readonly upperThreshold: number
  readonly lowerThreshold: number
  readonly tunType: TunType
  readonly tunPort: number
  readonly tunFlags: TunFlags
}

/** A dest as listed. */
export interface Dest extends DestSpec {
  readonly activeConns: number
  readonly inactiveConns: number
  readonly persistentConns: number
  readonly overloaded: boolean
  readonly stats: Stats
}
