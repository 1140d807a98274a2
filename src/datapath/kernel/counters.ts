// SPDX-License-Identifier: MIT
/**
 * Counters: per dest and CPU in the kernel, everything else is their sum.
 *
 * The per-CPU values only ever grow, also when an index is given to another dest,
 * so all bookkeeping is differences modulo 2^64:
 *
 *   dest     = its sum - dest.zero
 *   service  = service.removed + sums of its dests - service.zero
 *   total    = config.removed + (service.removed + sums of its dests), all services - config.zero
 *
 * Who joins a service takes its sum off service.removed, who leaves puts it there.
 */
import { counters } from '../../abi/generated.js'
import type { BpfMap } from '../../libbpf/index.js'
import { ZERO_RATES, ZERO_STATS, type Stats } from '../../ipvs/stats.js'
import type { Table } from './tables.js'

/** conns, in packets, out packets, in bytes, out bytes: struct counters in its order. */
export type Sum = readonly [bigint, bigint, bigint, bigint, bigint]

export const ZERO_SUM: Sum = [0n, 0n, 0n, 0n, 0n]

const FIELDS = [0, 8, 16, 24, 32] as const

export function add(a: Sum, b: Sum): Sum {
  if (a === ZERO_SUM) return b
  if (b === ZERO_SUM) return a
  return FIELDS.map((_, i) => BigInt.asUintN(64, a[i]! + b[i]!)) as unknown as Sum
}

export function subtract(a: Sum, b: Sum): Sum {
  if (b === ZERO_SUM) return a
  return FIELDS.map((_, i) => BigInt.asUintN(64, a[i]! - b[i]!)) as unknown as Sum
}

export function readSum(table: Table, index: number, field: number): Sum {
  const from = table.at(index, field) >>> 2
  if (isZero(table.words, from)) return ZERO_SUM
  return FIELDS.map((at) => table.u64(index, field + at)) as unknown as Sum
}

export function writeSum(table: Table, index: number, field: number, sum: Sum): void {
  if (sum === ZERO_SUM) {
    const from = table.at(index, field) >>> 2
    table.words.fill(0, from, from + counters.size / 4)
    return
  }
  FIELDS.forEach((at, i) => table.setU64(index, field + at, sum[i]!))
}

/** What a user sees of counters and the values at their last zeroing. */
export function statsOf(sum: Sum, zero: Sum): Stats {
  if (sum === ZERO_SUM && zero === ZERO_SUM) return ZERO_STATS
  const [conns, inPackets, outPackets, inBytes, outBytes] = subtract(sum, zero)
  return { conns, inPackets, outPackets, inBytes, outBytes, rates: ZERO_RATES }
}

function isZero(words: Uint32Array, from: number): boolean {
  for (let i = 0; i < counters.size / 4; i++) if (words[from + i] !== 0) return false
  return true
}

/** Sums over CPUs of single dests, and of all at once for a long listing. */
export class DestSums {
  readonly #map: BpfMap
  readonly #key = new Uint32Array(1)
  readonly #keyBytes = new Uint8Array(this.#key.buffer)
  /** Everything up to an index, read in one go. */
  #all: { readonly words: Uint32Array; readonly view: DataView; readonly count: number } | undefined

  constructor(map: BpfMap) {
    this.#map = map
  }

  /** Reads indexes below `top` in batches; of() answers from there until forget(). */
  preload(top: number): void {
    const { elementSize } = this.#map
    const values = new Uint8Array(top * elementSize)
    let cursor: Uint8Array | undefined
    let done = 0
    while (done < top) {
      const batch = this.#map.lookupBatch(cursor, Math.min(top - done, 16384))
      values.set(batch.values, done * elementSize)
      done += batch.count
      cursor = batch.cursor
      if (cursor === undefined || batch.count === 0) break
    }
    this.#all = { words: new Uint32Array(values.buffer), view: new DataView(values.buffer), count: done }
  }

  forget(): void {
    this.#all = undefined
  }

  of(index: number): Sum {
    const { elementSize } = this.#map
    if (this.#all !== undefined && index < this.#all.count) {
      return sumOfCpus(this.#all.words, this.#all.view, index * elementSize, elementSize)
    }
    this.#key[0] = index
    const values = this.#map.getPerCpu(this.#keyBytes)
    if (values === undefined) return ZERO_SUM
    const { buffer, byteOffset } = values[0]!
    return sumOfCpus(new Uint32Array(buffer), new DataView(buffer), byteOffset, elementSize)
  }
}

function sumOfCpus(words: Uint32Array, view: DataView, from: number, size: number): Sum {
  let sum = ZERO_SUM
  for (let at = from; at < from + size; at += counters.size) {
    if (isZero(words, at >>> 2)) continue
    sum = add(sum, FIELDS.map((field) => view.getBigUint64(at + field, true)) as unknown as Sum)
  }
  return sum
}
