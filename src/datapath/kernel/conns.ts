// SPDX-License-Identifier: MIT
/**
 * Listing connections: a walk over mapped memory that packets change meanwhile.
 *
 * A bucket is copied, then every line's generation is looked at again. The same one
 * before and after means that the copy is one connection's; another one means that
 * the line was recycled, and the bucket is copied anew. Entries never move, so none
 * comes twice, and one bucket is all the memory it takes. Twin: bpf/ipvs/conn.h
 */
import {
  BUCKET_LINES,
  CONN_F_INACTIVE,
  CONN_F_TEMPLATE,
  LIFE_LIVE,
  WORD_FLAG_SHIFT,
  WORD_STATE_SHIFT,
} from '../../abi/generated.js'
import { formatAddress } from '../../ipvs/address.js'
import { TCP_STATES, type Conn } from '../../ipvs/conn.js'
import { FWD_METHODS } from '../../ipvs/dest.js'
import { UDP_STATE } from '../../ipvs/proto/udp.js'
import type { Family } from '../../ipvs/service.js'
import { fence } from '../../libbpf/index.js'
import { at } from './layout.js'
import type { Table } from './tables.js'

/** The clock of the table. */
export interface ConnClock {
  /** Jiffies as the programs see them, 32 bits. */
  readonly now: number
  readonly hz: number
}

const LIFE_MASK = 15
const LINE_WORDS = at.conn.size / 4

/**
 * Walks one family's table.
 *
 * @param buckets main and spare ones
 */
export function* walkConns(
  family: Family,
  table: Table,
  buckets: number,
  dests: Table,
  clock: ConnClock,
): Generator<Conn> {
  const words = table.words
  const bucketWords = table.stride / 4
  const copy = new Uint32Array(bucketWords)
  const view = new DataView(copy.buffer)
  const bytes = new Uint8Array(copy.buffer)
  for (let bucket = 0; bucket < buckets; bucket++) {
    const from = bucket * bucketWords
    if (!hasLive(words, from)) continue
    copyBucket(words, from, copy)
    for (let line = 0; line < BUCKET_LINES; line++) {
      if ((copy[line * LINE_WORDS]! & LIFE_MASK) !== LIFE_LIVE) continue
      const conn = readConn(family, line, view, bytes, dests, clock)
      if (conn !== undefined) yield conn
    }
  }
}

/** How many lines hold a connection, expired ones too: for fill levels. */
export function countLive(table: Table, buckets: number): number {
  const bucketWords = table.stride / 4
  let live = 0
  for (let bucket = 0; bucket < buckets; bucket++) {
    for (let line = 0; line < BUCKET_LINES; line++) {
      if ((table.words[bucket * bucketWords + line * LINE_WORDS]! & LIFE_MASK) === LIFE_LIVE) live++
    }
  }
  return live
}

function hasLive(words: Uint32Array, from: number): boolean {
  for (let line = 0; line < BUCKET_LINES; line++) {
    if ((words[from + line * LINE_WORDS]! & LIFE_MASK) === LIFE_LIVE) return true
  }
  return false
}

/** Takes the bucket's lines so that each live one is whole. */
function copyBucket(words: Uint32Array, from: number, copy: Uint32Array): void {
  for (let round = 0; ; round++) {
    copy.set(words.subarray(from, from + copy.length))
    fence()
    let torn = false
    for (let line = 0; line < BUCKET_LINES; line++) {
      const at = line * LINE_WORDS
      if ((copy[at]! & LIFE_MASK) !== LIFE_LIVE) continue
      // The generation is the upper half of the word.
      const same = words[from + at + 1] === copy[at + 1] && (words[from + at]! & LIFE_MASK) === LIFE_LIVE
      if (same) continue
      torn = true
      // A line that is recycled all the time: it holds nobody for long.
      if (round >= 10) copy[at] = 0
    }
    if (!torn || round >= 10) return
  }
}

/** The entry, or undefined when its time is over: the next packet will not find it. */
function readConn(
  family: Family,
  line: number,
  view: DataView,
  bytes: Uint8Array,
  dests: Table,
  clock: ConnClock,
): Conn | undefined {
  const base = line * at.conn.size
  const stamp = view.getUint32(base + at.conn.when, true)
  const timeout = view.getUint32(base + at.conn.when + 4, true)
  // Packets stamp while we walk: a stamp may be younger than our clock.
  const age = Math.max((clock.now - stamp) | 0, 0)
  if (age >= timeout) return undefined

  const word = view.getUint32(base + at.conn.word, true)
  const flags = word >>> WORD_FLAG_SHIFT
  const state = (word >>> WORD_STATE_SHIFT) & LIFE_MASK
  const protocol = bytes[base + at.conn.protocol]!
  const template = (flags & CONN_F_TEMPLATE) !== 0
  const dest = view.getUint32(base + at.conn.dest, true)
  const fwd = FWD_METHODS[bytes[base + at.conn.fwd]!] ?? 'masq'
  const destFamily =
    dest !== 0 && dest < dests.length ? ((dests.u8(dest, at.dest.family) || family) as Family) : family

  const address = (lineField: number, wholeField: number) => {
    if (family === 4) return formatAddress(bytes.subarray(base + lineField, base + lineField + 4))
    const whole = at.bucket6.addrs + line * at.connAddrs.size + wholeField
    return formatAddress(bytes.subarray(whole, whole + 16))
  }
  return {
    family,
    protocol,
    client: {
      address: address(at.conn.caddr, at.connAddrs.caddr),
      port: view.getUint16(base + at.conn.cport),
    },
    virtual: {
      address: address(at.conn.vaddr, at.connAddrs.vaddr),
      port: view.getUint16(base + at.conn.vport),
    },
    dest: {
      address:
        destFamily === family
          ? address(at.conn.daddr, at.connAddrs.daddr)
          : formatAddress(dests.slice(dest, at.dest.addr, destFamily === 4 ? 4 : 16)),
      port: view.getUint16(base + at.conn.dport),
    },
    destFamily,
    fwd,
    state: stateName(protocol, state, template),
    expiresMs: Math.round(((timeout - age) * 1000) / clock.hz),
    active: (flags & CONN_F_INACTIVE) === 0,
    inPackets: view.getUint32(base + at.conn.inPkts, true),
    fwmark: view.getUint32(base + at.conn.fwmark, true),
    template,
  }
}

/** As /proc/net/ip_vs_conn prints it. */
export function stateName(protocol: number, state: number, template = false): string {
  if (template) return state === 0 ? 'NONE' : 'ASSURED'
  if (protocol === 17) return UDP_STATE
  return TCP_STATES[state] ?? 'ERR!'
}
