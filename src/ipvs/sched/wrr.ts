// SPDX-License-Identifier: MIT
/**
 * Weighted round robin: rounds with a falling bar, a dest takes part while its
 * weight reaches the bar.
 *
 * The bar (cw) survives changes of the dest list, so dests that are added one by one
 * start with the bar the first of them left. Twin: bpf/ipvs/sched/wrr.h.
 */
import type { Candidate, Choice, Scheduler, Weighted } from '../sched.js'

export interface WrrState {
  /** Where the last scan ended: 0 = the list head, i + 1 = entry i. */
  readonly cl: number
  /** The bar of the current round. */
  readonly cw: number
  /** The bar of the first round: the highest weight, rounded to the steps. */
  readonly mw: number
  /** How far the bar falls from round to round: the greatest common divisor. */
  readonly di: number
}

export const wrr: Scheduler<WrrState> = {
  name: 'wrr',

  initial(dests) {
    const { di, mw } = marks(dests)
    return { cl: 0, cw: mw, mw, di }
  },

  afterAdd: (state, dests) => recalculate(state, dests),
  afterDelete: (state, dests) => recalculate(state, dests),
  afterEdit: (state, dests) => recalculate(state, dests),

  pick(state: WrrState, dests: readonly Candidate[]): Choice<WrrState> {
    const { mw, di } = state
    if (mw === 0) return { index: undefined, state }

    const start = state.cl
    let { cw } = state
    let place = start
    let restarted = false
    let lastPass = false
    let stop = 0

    for (;;) {
      for (; place < dests.length; place++) {
        const dest = dests[place]!
        if (!dest.overloaded && dest.weight >= cw) {
          return { index: place, state: { ...state, cl: place + 1, cw } }
        }
        if (place + 1 === stop) return { index: undefined, state: { ...state, cl: stop, cw } }
      }

      // The list end: lower the bar, or put it up again.
      place = 0
      cw -= di
      if (cw <= 0) {
        cw = mw
        // Everybody has been asked for the lowest bar: nobody can be chosen.
        if (lastPass || start === 0) return { index: undefined, state: { ...state, cl: 0, cw } }
        restarted = true
      }
      lastPass = cw <= di
      // What lies after the start has been asked for the lowest bar already.
      if (lastPass && restarted && start !== 0) stop = start
    }
  },
}

function recalculate(state: WrrState, dests: readonly Weighted[]): WrrState {
  const { di, mw } = marks(dests)
  let { cw } = state
  if (cw > mw || cw === 0) cw = mw
  else if (di > 1) cw = Math.floor(cw / di) * di + 1
  return { cl: 0, cw, mw, di }
}

function marks(dests: readonly Weighted[]): { readonly di: number; readonly mw: number } {
  let divisor = 0
  let highest = 0
  for (const { weight } of dests) {
    if (weight <= 0) continue
    divisor = gcd(weight, divisor)
    highest = Math.max(highest, weight)
  }
  const di = divisor === 0 ? 1 : divisor
  return { di, mw: highest - (di - 1) }
}

function gcd(a: number, b: number): number {
  while (b !== 0) [a, b] = [b, a % b]
  return a
}
