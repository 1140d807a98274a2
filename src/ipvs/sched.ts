// SPDX-License-Identifier: MIT
/**
 * Schedulers: who gets the next connection.
 *
 * A scheduler is pure. What it remembers (the pointer of rr, the marks of wrr) is a
 * plain value that describes one dest list; when the list changes, the value is
 * translated to the new list, as the kernel's pointers survive a list edit by
 * themselves. `datapath/memory` picks with these functions; `datapath/kernel` uses
 * only the translations, because the kernel side picks in bpf/ipvs/sched.h with the
 * same numbers.
 *
 * Dest lists are newest first everywhere. Twin: bpf/ipvs/sched.h.
 */
import { lc } from './sched/lc.js'
import { rr, type RrState } from './sched/rr.js'
import { wlc } from './sched/wlc.js'
import { wrr, type WrrState } from './sched/wrr.js'

/** What the translations need to know of a dest. */
export interface Weighted {
  readonly weight: number
}

/** What a pick needs to know of a dest. */
export interface Candidate extends Weighted {
  readonly activeConns: number
  readonly inactiveConns: number
  readonly overloaded: boolean
}

/** Nothing to remember: lc, wlc. */
export type NoState = Readonly<Record<string, never>>

export type SchedState = RrState | WrrState | NoState

/** A choice: the index into the list, or undefined when nobody may be chosen. */
export interface Choice<State> {
  readonly index: number | undefined
  readonly state: State
}

export interface Scheduler<State> {
  readonly name: string
  /** The scheduler is bound to a service that holds these dests. */
  initial(dests: readonly Weighted[]): State
  /** `dests` is the new list, `index` where the added one is in it. */
  afterAdd(state: State, dests: readonly Weighted[], index: number): State
  /** `dests` is the new list, `index` where the deleted one was in the old list. */
  afterDelete(state: State, dests: readonly Weighted[], index: number): State
  /** `dests` is the new list, `index` the edited one. Called for every `-e`. */
  afterEdit(state: State, dests: readonly Weighted[], index: number): State
  pick(state: State, dests: readonly Candidate[]): Choice<State>
}

/** A dest that rr, lc and wlc may start with. */
export function isEligible(dest: Candidate): boolean {
  return !dest.overloaded && dest.weight > 0
}

/**
 * Load of a dest: 256 per active connection and one per connection at all
 * (ip_vs_dest_conn_overhead since 6.1.183, so 257·active + inactive).
 */
export function overhead(dest: Candidate): number {
  return dest.activeConns * 257 + dest.inactiveConns
}

/** The scheduler of that name, or undefined when there is none (yet: see supported.ts). */
export function findScheduler(name: string): Scheduler<SchedState> | undefined {
  // Scheduler's members are methods, so one with a narrower state passes for the wider
  // type: a state is only ever handed back to the scheduler that made it. A switch
  // rather than a table, because the members import this file.
  switch (name) {
    case 'rr':
      return rr
    case 'wrr':
      return wrr
    case 'lc':
      return lc
    case 'wlc':
      return wlc
    case 'none':
      return NONE
    default:
      return undefined
  }
}

/**
 * Names kernel IPVS knows, whether or not they are built here; any other is ENOENT. Debian's
 * 6.1 has no twos.
 */
export const KERNEL_SCHEDULERS: readonly string[] = [
  ...['rr', 'wrr', 'lc', 'wlc', 'lblc', 'lblcr', 'dh', 'sh', 'sed', 'nq', 'fo', 'ovf', 'mh'],
  'none',
]

const unchanged = (state: SchedState): SchedState => state

/** The kernel's word for a service without scheduler: it never chooses anybody. */
const NONE: Scheduler<SchedState> = {
  name: 'none',
  initial: () => ({}),
  afterAdd: unchanged,
  afterDelete: unchanged,
  afterEdit: unchanged,
  pick: (state) => ({ index: undefined, state }),
}
