// SPDX-License-Identifier: MIT
/**
 * Least connection: the least loaded of all; weights tell only whether at all.
 *
 * Twin: bpf/ipvs/sched/lc.h.
 */
import { isEligible, overhead, type NoState, type Scheduler } from '../sched.js'

export const lc: Scheduler<NoState> = {
  name: 'lc',
  initial: () => ({}),
  afterAdd: (state) => state,
  afterDelete: (state) => state,
  afterEdit: (state) => state,

  pick(state, dests) {
    let least: number | undefined
    let leastLoad = 0
    dests.forEach((dest, index) => {
      if (!isEligible(dest)) return
      const load = overhead(dest)
      // Ties go to the one seen first.
      if (least !== undefined && load >= leastLoad) return
      least = index
      leastLoad = load
    })
    return { index: least, state }
  },
}
