// SPDX-License-Identifier: MIT
/**
 * Looks at a connection table at rest and says what is wrong with it. Twin of the
 * invariants in bpf/ipvs/conn.h and conn_new.h, written down a second time.
 */
import {
  BUCKET_LINES,
  CONN_F_INACTIVE,
  LIFE_FREE,
  LIFE_LIVE,
  WORD_FLAG_SHIFT,
} from '../../src/abi/generated.js'
import { at } from '../../src/datapath/kernel/layout.js'
import type { Table } from '../../src/datapath/kernel/tables.js'

export interface TableShape {
  readonly family: 4 | 6
  readonly buckets: number
  readonly spares: number
  readonly hashSeed: number
}

export interface Load {
  active: number
  total: number
}

export interface TableReport {
  readonly live: number
  /** Everything that must not be, in words. */
  readonly faults: string[]
  /** What the table says of each dest, by index. */
  readonly loads: ReadonlyMap<number, Load>
  readonly spares: { readonly chained: number; readonly stacked: number; readonly unused: number }
  readonly longestChain: number
}

const LINK_CLOSING = 1
const LINK_DEAD = 2

export function inspectTable(conns: Table, spareHeads: Table, shape: TableShape): TableReport {
  const { family, buckets, spares, hashSeed } = shape
  const faults: string[] = []
  const loads = new Map<number, Load>()
  const tuples = new Map<string, number>()
  const chainOf = new Map<number, number>()
  let live = 0
  let longestChain = 0

  const row = family === 4 ? 0 : 1
  const linkOf = (bucket: number) => conns.u32(bucket, at.conn.link)
  const marksOf = (bucket: number) => conns.u32(bucket, at.conn.link + 4)

  for (let main = 0; main < buckets; main++) {
    let length = 0
    for (let bucket = main; ;) {
      if (chainOf.has(bucket)) {
        faults.push(`bucket ${bucket} is on the chains of ${chainOf.get(bucket)} and ${main}`)
        break
      }
      chainOf.set(bucket, main)
      const marks = marksOf(bucket)
      if (marks & (LINK_CLOSING | LINK_DEAD))
        faults.push(`the link of bucket ${bucket} carries marks ${marks}`)
      const next = linkOf(bucket)
      if (next === 0) break
      if (next > spares) {
        faults.push(`bucket ${bucket} is linked to spare ${next} of ${spares}`)
        break
      }
      bucket = buckets + next - 1
      length++
    }
    longestChain = Math.max(longestChain, length)
  }

  const stacked = new Set<number>()
  for (let next = spareHeads.u32(row, at.spares.head); next !== 0;) {
    const bucket = buckets + next - 1
    if (stacked.has(bucket)) {
      faults.push(`the stack of spare buckets bites its tail at ${bucket}`)
      break
    }
    stacked.add(bucket)
    if (chainOf.has(bucket)) faults.push(`bucket ${bucket} is both spare and on chain ${chainOf.get(bucket)}`)
    next = linkOf(bucket)
  }
  const used = Math.min(Number(spareHeads.u64(row, at.spares.used)), spares)
  const chained = chainOf.size - buckets
  if (chained + stacked.size !== used)
    faults.push(
      `${used} spare buckets were taken, but ${chained} are on chains and ${stacked.size} given back`,
    )

  for (let line = 0; line < (buckets + spares) * BUCKET_LINES; line++) {
    const bucket = Math.floor(line / BUCKET_LINES)
    const base = conns.at(bucket, (line % BUCKET_LINES) * at.conn.size)
    const word = conns.view.getUint32(base + at.conn.word, true)
    const life = word & 15
    if (life === LIFE_FREE) continue
    if (life !== LIFE_LIVE) {
      faults.push(`line ${line} is stuck in life ${life}`)
      continue
    }
    live++
    const dest = conns.view.getUint32(base + at.conn.dest, true)
    const load = loads.get(dest) ?? { active: 0, total: 0 }
    loads.set(dest, load)
    load.total++
    if (((word >>> WORD_FLAG_SHIFT) & CONN_F_INACTIVE) === 0) load.active++

    const key = keyAt(conns, family, bucket, line % BUCKET_LINES, base)
    const twin = tuples.get(key.tuple)
    if (twin !== undefined) faults.push(`lines ${twin} and ${line} hold the same connection`)
    tuples.set(key.tuple, line)
    const chain = chainOf.get(bucket)
    const home = mainBucket(key.fold, key.portAndProtocol, hashSeed, buckets)
    if (chain === undefined) faults.push(`line ${line} is in bucket ${bucket}, which no chain reaches`)
    else if (chain !== home) faults.push(`line ${line} is on chain ${chain} and belongs to ${home}`)
  }

  return {
    live,
    faults,
    loads,
    spares: { chained, stacked: stacked.size, unused: spares - used },
    longestChain,
  }
}

/** hash_conn and conn_main_bucket of bpf/net/hash.h and bpf/ipvs/conn.h. */
export function mainBucket(address: number, portAndProtocol: number, seed: number, buckets: number): number {
  let h = Math.imul(address ^ seed, 0x9e3779b1)
  h ^= h >>> 15
  h = (h + portAndProtocol) | 0
  h = Math.imul(h, 0x85ebca77)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae3d)
  h ^= h >>> 16
  return Number((BigInt(h >>> 0) * BigInt(buckets)) >> 32n)
}

function keyAt(conns: Table, family: 4 | 6, bucket: number, slot: number, base: number) {
  const { view, bytes } = conns
  const protocol = bytes[base + at.conn.protocol]!
  const ports = view.getUint32(base + at.conn.cport, true)
  const portAndProtocol = ((ports & 0xffff) | (protocol << 16)) >>> 0
  if (family === 4) {
    const fold = view.getUint32(base + at.conn.caddr, true)
    const vaddr = view.getUint32(base + at.conn.vaddr, true)
    return { tuple: `${protocol} ${fold} ${vaddr} ${ports}`, fold, portAndProtocol }
  }
  const addrs = conns.at(bucket, at.bucket6.addrs + slot * at.connAddrs.size)
  let fold = 0
  for (let i = 0; i < 16; i += 4) fold ^= view.getUint32(addrs + at.connAddrs.caddr + i, true)
  const both = Buffer.from(bytes.subarray(addrs + at.connAddrs.caddr, addrs + at.connAddrs.daddr)).toString(
    'hex',
  )
  return { tuple: `${protocol} ${both} ${ports}`, fold, portAndProtocol }
}
