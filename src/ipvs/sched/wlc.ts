// SPDX-License-Identifier: MIT
/**
 * Weighted least connection: the least loaded for its weight.
 *
 * Twin: bpf/ipvs/sched/wlc.h.
 */
import { isEligible, overhead, type NoState, type Scheduler } from '../sched.js'

export const wlc: Scheduler<NoState> = {
  name: 'wlc',
  initial: () => ({}),
  afterAdd: (state) => state,
  afterDelete: (state) => state,
  afterEdit: (state) => state,

  pick(state, dests) {
    const first = dests.findIndex(isEligible)
    if (first === -1) return { index: undefined, state }

    let least = first
    for (let index = first + 1; index < dests.length; index++) {
      const challenger = dests[index]!
      if (challenger.overloaded) continue
      const incumbent = dests[least]!
      // load/weight compared without division, in 64 bits as the kernel does; a
      // challenger must be strictly better, which at weight 0 it cannot be.
      const challenge = BigInt(overhead(incumbent)) * BigInt(challenger.weight)
      if (challenge > BigInt(overhead(challenger)) * BigInt(incumbent.weight)) least = index
    }
    return { index: least, state }
  },
}
