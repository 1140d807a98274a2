// SPDX-License-Identifier: MIT
/**
 * Destinations: the real servers of a service.
 *
 * Twin: bpf/ipvs/dest.h.
 */
import { Failure } from '../util/errors.js'
import { addressKind, endpointText } from './address.js'
import { serviceNotFound, serviceText, type Family, type ServiceKey } from './service.js'
import type { Stats } from './stats.js'
import { requireSupportedDest } from './supported.js'

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

/** Largest weight and threshold: the kernel keeps them in an int. */
export const MAX_INT = 0x7fff_ffff

/** One string per dest, for maps: two keys name the same dest when it is equal. */
export function destKeyOf(key: DestKey): string {
  return endpointText(key.address, key.port)
}

/** What only the datapath knows about a dest that is to be added or edited. */
export interface DestContext {
  readonly serviceExists: boolean
  /** The dest is in the service. */
  readonly present: boolean
  /** An object of the same identity waits in the trash: its address was checked before. */
  readonly revived?: boolean
  /** The address is one of the director's own. */
  readonly isLocal?: (address: string) => boolean
  /** The address is the broadcast address of one of the director's subnets. */
  readonly isBroadcast?: (address: string) => boolean
}

/**
 * Every check of ip_vs_add_dest and ip_vs_edit_dest, in their order; throws a Failure
 * with the kernel's errno, changes nothing. What is not built yet is refused last.
 */
export function checkDest(
  service: ServiceKey,
  dest: DestSpec,
  request: 'add' | 'edit',
  context: DestContext,
  requireSupported = requireSupportedDest,
): void {
  const name = destKeyOf(dest)
  if (!context.serviceExists) throw serviceNotFound(service)
  if (dest.family !== service.family && dest.fwd !== 'tunnel') {
    throw invalid(`dest ${name} is of the other address family, which only tunnels allow`)
  }
  if (!(dest.weight >= 0)) throw outOfRange(`weight ${dest.weight} of dest ${name} is negative`)
  if (dest.lowerThreshold > dest.upperThreshold) {
    throw outOfRange(
      `lower threshold ${dest.lowerThreshold} of dest ${name} is above the upper one, ${dest.upperThreshold}`,
    )
  }
  if (dest.upperThreshold > MAX_INT) throw invalid(`upper threshold of dest ${name} is above ${MAX_INT}`)
  if (dest.tunType === 'gue' && dest.tunPort === 0)
    throw invalid(`dest ${name} needs a port for its gue tunnel`)
  if (request === 'edit' && !context.present) throw destNotFound(service, dest)
  if (request === 'add' && context.present) {
    throw new Failure('DEST_EXISTS', `dest ${name} is already in service ${serviceText(service)}`, {
      errno: 'EEXIST',
    })
  }
  if (request === 'add' && context.revived !== true) checkAddress(dest.address, context)
  requireSupported(dest)
}

function checkAddress(address: string, { isLocal, isBroadcast }: DestContext): void {
  const kind = addressKind(address)
  const local = isLocal?.(address) ?? false
  // An address of our own passes even where it is link-local; for IPv4 the first test decides.
  const unicast = kind === 'unicast' || (address.includes(':') && local)
  if (unicast && (local || !(isBroadcast?.(address) ?? false))) return
  throw invalid(`${address} is not the unicast address of a server`)
}

/** ENOENT, for whoever looks a dest up and does not find it. */
export function destNotFound(service: ServiceKey, dest: DestKey): Failure {
  return new Failure('DEST_NOT_FOUND', `no dest ${destKeyOf(dest)} in service ${serviceText(service)}`, {
    errno: 'ENOENT',
  })
}

function invalid(message: string): Failure {
  return new Failure('INVALID_ARGUMENT', message, { errno: 'EINVAL' })
}

function outOfRange(message: string): Failure {
  return new Failure('OUT_OF_RANGE', message, { errno: 'ERANGE' })
}

/** The pair of limits a dest has; upper 0 = no limit. */
export interface Thresholds {
  readonly upperThreshold: number
  readonly lowerThreshold: number
}

/** Below how many connections an overloaded dest may be chosen again. */
export function effectiveLower({ upperThreshold, lowerThreshold }: Thresholds): number {
  return lowerThreshold === 0 ? upperThreshold - Math.floor(upperThreshold / 4) : lowerThreshold
}

/**
 * Whether a dest is overloaded after a connection was bound to it; `total` counts that
 * one. It becomes so exactly when it reaches the limit (6.1.183 and later).
 */
export function overloadedAfterBind(overloaded: boolean, total: number, limits: Thresholds): boolean {
  return total === limits.upperThreshold ? total >= effectiveLower(limits) : overloaded
}

/** The same after a connection left; `total` does not count it any more. */
export function overloadedAfterUnbind(overloaded: boolean, total: number, limits: Thresholds): boolean {
  if (total + 1 !== effectiveLower(limits)) return overloaded
  return limits.upperThreshold !== 0 && total >= limits.upperThreshold
}

/** The same after `-e` or the revival of a removed dest, when a limit changed. */
export function overloadedAfterEdit(
  overloaded: boolean,
  total: number,
  before: Thresholds,
  after: Thresholds,
): boolean {
  const same =
    before.upperThreshold === after.upperThreshold && before.lowerThreshold === after.lowerThreshold
  if (same) return overloaded
  if (after.upperThreshold === 0) return false
  if (total >= after.upperThreshold) return true
  return total < effectiveLower(after) ? false : overloaded
}
