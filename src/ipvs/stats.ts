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

export const ZERO_RATES: Rates = { conns: 0n, inPackets: 0n, outPackets: 0n, inBytes: 0n, outBytes: 0n }

export const ZERO_STATS: Stats = { ...ZERO_RATES, rates: ZERO_RATES }
