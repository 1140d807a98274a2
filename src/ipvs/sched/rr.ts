// SPDX-License-Identifier: MIT
/**
 * Round robin: the one after the last, weights tell only whether at all.
 *
 * Twin: bpf/ipvs/sched/rr.h.
 */
import type { Candidate, Choice, Scheduler } from '../sched.js'

export interface RrState {
  /** Who was used last: 0 = the list head (nobody), i + 1 = entry i. */
  readonly pos: number
}

export const rr: Scheduler<RrState> = {
  name: 'rr',
  initial: () => ({ pos: 0 }),

  // The kernel's pointer names an entry, ours a place: it moves with its entry.
  afterAdd: (state, _dests, index) => (state.pos > index ? { pos: state.pos + 1 } : state),

  // For the pointed entry itself this is the kernel's rule, too: back to its predecessor.
  afterDelete: (state, _dests, index) => (state.pos > index ? { pos: state.pos - 1 } : state),

  afterEdit: (state) => state,

  pick(state: RrState, dests: readonly Candidate[]): Choice<RrState> {
    // From the entry after the last used one, once around, itself at last.
    for (let step = 0; step < dests.length; step++) {
      const index = (state.pos + step) % dests.length
      const dest = dests[index]!
      if (!dest.overloaded && dest.weight > 0) return { index, state: { pos: index + 1 } }
    }
    return { index: undefined, state }
  },
}
