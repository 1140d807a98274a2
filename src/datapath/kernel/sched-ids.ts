// SPDX-License-Identifier: MIT
/** enum sched_id, by the names users type. */
import { SCHED_LC, SCHED_NONE, SCHED_RR, SCHED_WLC, SCHED_WRR } from '../../abi/generated.js'

export const SCHED_IDS: Readonly<Record<string, number>> = {
  none: SCHED_NONE,
  rr: SCHED_RR,
  wrr: SCHED_WRR,
  lc: SCHED_LC,
  wlc: SCHED_WLC,
}

/** The name of a scheduler number. */
export function schedulerNameOf(id: number): string {
  return NAMES.get(id) ?? `scheduler ${id}`
}

const NAMES = new Map(Object.entries(SCHED_IDS).map(([name, id]) => [id, name]))
