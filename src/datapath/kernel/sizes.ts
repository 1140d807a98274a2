// SPDX-License-Identifier: MIT
/**
 * How large the tables are made. Fixed from load to `down`, as nothing that the
 * kernel maps into memory can grow.
 */
import { Failure } from '../../util/errors.js'

export interface Sizes {
  /** IPv4 connections there is room for; IPv6 gets half as many. */
  readonly conns: number
  readonly services: number
  readonly dests: number
}

export const DEFAULT_SIZES: Sizes = { conns: 262_144, services: 16_384, dests: 131_072 }

const LIMITS: Readonly<Record<keyof Sizes, readonly [least: number, most: number]>> = {
  // 16.8 M lines of 64 bytes is what an mmapable array was seen to take.
  conns: [64, 8_388_608],
  services: [1, 1_048_576],
  dests: [1, 4_194_304],
}

/** Buckets of eight lines and spare ones, for each family. */
export interface Buckets {
  readonly buckets4: number
  readonly spares4: number
  readonly buckets6: number
  readonly spares6: number
}

/** Fills in defaults; refuses what cannot be made. */
export function checkSizes(wanted: Partial<Sizes>): Sizes {
  for (const name of ['conns', 'services', 'dests'] as const) {
    const value = wanted[name]
    const [least, most] = LIMITS[name]
    if (value !== undefined && !(Number.isInteger(value) && value >= least && value <= most)) {
      throw new Failure('INVALID_ARGUMENT', `${name} must be between ${least} and ${most}, not ${value}`)
    }
  }
  return {
    conns: wanted.conns ?? DEFAULT_SIZES.conns,
    services: wanted.services ?? DEFAULT_SIZES.services,
    dests: wanted.dests ?? DEFAULT_SIZES.dests,
  }
}

/**
 * 1.5 lines per connection and one spare bucket for eight others: at that filling
 * 2 % of the buckets overflow (PROBES: connection table).
 */
export function bucketsFor(conns: number): Buckets {
  const main = (count: number) => Math.ceil((count * 1.5) / 8)
  const buckets4 = main(conns)
  const buckets6 = main(Math.ceil(conns / 2))
  return { buckets4, spares4: Math.ceil(buckets4 / 8), buckets6, spares6: Math.ceil(buckets6 / 8) }
}

/** Elements of each map that is sized at load; index 0 of services and dests is never used. */
export function mapSizes(sizes: Sizes, buckets: Buckets): Readonly<Record<string, number>> {
  return {
    services: sizes.services + 1,
    service_keys: sizes.services,
    dest_sets: 2 * (sizes.services + 1),
    dests: sizes.dests + 1,
    dest_stats: sizes.dests + 1,
    // Two sets per service, each in an extent of up to twice its length, and at
    // least one smallest extent per set.
    dest_refs: 2 ** Math.ceil(Math.log2(Math.max(4 * sizes.dests, 16 * sizes.services))),
    conns4: buckets.buckets4 + buckets.spares4,
    conns6: buckets.buckets6 + buckets.spares6,
  }
}
