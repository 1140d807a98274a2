// SPDX-License-Identifier: MIT
/**
 * Counters and rates of a service, a dest or the whole namespace.
 *
 * 64-bit, so bigint; rates are per second as the estimator gives them (0n until
 * an estimator runs).
 */
export interface Stats {
  readonly conns: bigint
  readonly inPackets: bigint
  readonly outPackets: bigint
  readonly inBytes: bigint
  readonly outBytes: bigint
  readonly rates: Rates
}

export interface Rates {
  readonly conns: bigint
  readonly inPackets: bigint
  readonly outPackets: bigint
  readonly inBytes: bigint
  readonly outBytes: bigint
}

/** The five counters without their rates. */
export type Counters = Omit<Stats, 'rates'>

export const ZERO_RATES: Rates = { conns: 0n, inPackets: 0n, outPackets: 0n, inBytes: 0n, outBytes: 0n }

export const ZERO_STATS: Stats = { ...ZERO_RATES, rates: ZERO_RATES }

/** Sum of two sets of counters; rates are left to the estimator. */
export function addCounters(a: Counters, b: Counters): Counters {
  return {
    conns: a.conns + b.conns,
    inPackets: a.inPackets + b.inPackets,
    outPackets: a.outPackets + b.outPackets,
    inBytes: a.inBytes + b.inBytes,
    outBytes: a.outBytes + b.outBytes,
  }
}

/** What was counted since `base`: how a zeroed counter is shown. */
export function countersSince(now: Counters, base: Counters): Counters {
  return {
    conns: now.conns - base.conns,
    inPackets: now.inPackets - base.inPackets,
    outPackets: now.outPackets - base.outPackets,
    inBytes: now.inBytes - base.inBytes,
    outBytes: now.outBytes - base.outBytes,
  }
}
