// SPDX-License-Identifier: MIT
/**
 * The kernel's clock of connections: jiffies, asked through the control program.
 *
 * No interface tells HZ. Jiffies start five minutes before their 32-bit wrap-around
 * and then keep pace with the monotonic clock, so one look at both tells it.
 */
import type { BpfProgram } from '../../libbpf/index.js'
import { Failure } from '../../util/errors.js'
import { at } from './layout.js'

/** What Linux can be built with. */
const RATES = [100, 250, 300, 1000]

export interface Reading {
  readonly jiffies: bigint
  readonly nanoseconds: bigint
  /** Connections ended by a full sweep. */
  readonly killed: number
}

/** Runs `sweep_now`; with `full` the whole table is swept. */
export function readClock(sweepNow: BpfProgram, full = false): Reading {
  const request = new Uint8Array(at.sweepRequest.size)
  request[at.sweepRequest.full] = full ? 1 : 0
  const { ctx, retval } = sweepNow.testRun({ ctxIn: request })
  const view = new DataView(ctx.buffer, ctx.byteOffset)
  const error = view.getInt32(at.sweepRequest.error, true)
  if (error !== 0 || retval !== 0) {
    throw new Failure('SYSTEM', `the control program failed with ${error || retval}`)
  }
  return {
    jiffies: view.getBigUint64(at.sweepRequest.jiffies, true),
    nanoseconds: view.getBigUint64(at.sweepRequest.nanoseconds, true),
    killed: view.getUint32(at.sweepRequest.killed, true),
  }
}

/** Jiffies per second. */
export function tickRate({ jiffies, nanoseconds }: Pick<Reading, 'jiffies' | 'nanoseconds'>): number {
  const seconds = Number(nanoseconds) / 1e9
  const error = (rate: number) => Math.abs((Number(jiffies) - (2 ** 32 - 300 * rate)) / rate - seconds)
  return RATES.reduce((best, rate) => (error(rate) < error(best) ? rate : best))
}
