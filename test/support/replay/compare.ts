// SPDX-License-Identifier: MIT
/**
 * What was recorded against what happened: frames byte by byte, connections row by
 * row, listings line by line. Each function answers with sentences, none when equal.
 */
import { decode, fieldAt } from './frame.js'
import type { ExpectedFrame, ReceivedDatagram } from './recording.js'
import type { CaughtFrame } from './wire.js'

/** One thing that is not as recorded; further lines show both sides. */
export interface Difference {
  readonly what: string
  readonly detail: readonly string[]
}

/** Compares what left, in order, both ends together. */
export function compareFrames(
  expected: readonly ExpectedFrame[],
  caught: readonly CaughtFrame[],
): Difference[] {
  if (expected.length === caught.length) {
    return expected.flatMap((frame, index) => compareFrame(index, frame, caught[index]!))
  }
  // A frame too few or too many: pair what is equal, and name the rest.
  const rest = [...caught]
  const missing = expected.filter((frame) => {
    const found = rest.findIndex((other) => compareFrame(0, frame, other).length === 0)
    if (found >= 0) rest.splice(found, 1)
    return found < 0
  })
  const paired = Math.min(missing.length, rest.length)
  return [
    ...missing
      .slice(0, paired)
      .flatMap((frame, index) => compareFrame(expected.indexOf(frame), frame, rest[index]!)),
    ...missing.slice(paired).map((frame) => ({
      what: `a frame did not leave at ${frame.at}`,
      detail: [`expected  ${decode(frame.frame).summary}`],
    })),
    ...rest.slice(paired).map((frame) => ({
      what: `a frame left at ${frame.at} that should not`,
      detail: [`got       ${decode(frame.frame).summary}`, `          ${frame.frame}`],
    })),
  ]
}

function compareFrame(index: number, expected: ExpectedFrame, caught: CaughtFrame): Difference[] {
  const differences: string[] = []
  if (expected.at !== caught.at) differences.push(`left at ${caught.at}, not at ${expected.at}`)
  const want = Buffer.from(expected.frame, 'hex')
  const got = Buffer.from(caught.frame, 'hex')
  if (want.length !== got.length) differences.push(`is ${got.length} bytes long, not ${want.length}`)
  const varies = (at: number) =>
    (expected.varies ?? []).some(([offset, length]) => at >= offset && at < offset + length)
  const decoded = decode(expected.frame)
  for (let at = 0; at < Math.min(want.length, got.length);) {
    if (want[at] === got[at] || varies(at)) {
      at++
      continue
    }
    const field = fieldAt(decoded, at)
    const from = field?.offset ?? at
    const to = Math.min(from + (field?.length ?? 1), want.length, got.length)
    const show = (data: Buffer) => {
      const text = data.toString('hex', from, to)
      return text.length > 32 ? `${data.toString('hex', at, Math.min(to, at + 14))}… (from byte ${at})` : text
    }
    differences.push(`${field?.name ?? 'byte'} at ${from} is ${show(got)}, not ${show(want)}`)
    at = to
  }
  if (differences.length === 0) return []
  return [
    {
      what: `frame ${index + 1} at ${expected.at}: ${differences.join('; ')}`,
      detail: [`expected  ${decoded.summary}`, `got       ${decode(caught.frame).summary}`],
    },
  ]
}

/** A row of `ipvsadm -Lnc`. */
export interface ConnRow {
  /** Everything but the time, in one string. */
  readonly key: string
  readonly seconds: number
}

/** Reads a row; undefined for the headings. */
export function parseConn(line: string): ConnRow | undefined {
  const [protocol, time, ...rest] = line.trim().split(/\s+/)
  const parts = /^(\d+):(\d\d)$/.exec(time ?? '')
  if (protocol === undefined || parts === null) return undefined
  return { key: [protocol, ...rest].join(' '), seconds: Number(parts[1]) * 60 + Number(parts[2]) }
}

/**
 * Compares connection lists. The recorded time is what the timer was set to less the
 * recorded waits; the list shows whole seconds that are left, after the director spent
 * up to `late` seconds that the recording does not count.
 */
export function compareConns(
  expected: readonly string[],
  about: readonly string[],
  listed: readonly string[],
  late: number,
): Difference[] {
  const order = (one: ConnRow, other: ConnRow) =>
    one.key < other.key ? -1 : one.key > other.key ? 1 : one.seconds - other.seconds
  const loose = new Set(about)
  const rows = (lines: readonly string[]) =>
    lines.flatMap((line) => {
      const row = parseConn(line)
      return row === undefined ? [] : [{ ...row, line: line.trim() }]
    })
  const left = rows(listed).sort(order)
  const missing: string[] = []
  const differences: Difference[] = []
  for (const want of rows(expected).sort(order)) {
    const found = left.findIndex((row) => row.key === want.key)
    if (found < 0) {
      missing.push(want.line)
      continue
    }
    const [got] = left.splice(found, 1)
    const spread = loose.has(want.line) || about.some((line) => line.trim() === want.line) ? 3 : 0
    const lowest = Math.floor(want.seconds - late - 0.001) - spread
    if (got!.seconds < lowest || got!.seconds > want.seconds + spread) {
      differences.push({
        what: `the time of a connection is not between ${clock(Math.max(0, lowest))} and ${clock(want.seconds + spread)}`,
        detail: [`expected  ${want.line}`, `got       ${got!.line}`],
      })
    }
  }
  if (missing.length > 0 || left.length > 0) {
    differences.push({
      what: 'the connections are not those recorded',
      detail: [...missing.map((line) => `expected  ${line}`), ...left.map((row) => `got       ${row.line}`)],
    })
  }
  return differences
}

function clock(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}

/** Compares a listing line by line, blanks at the end of a line included. */
export function compareLines(
  what: string,
  expected: readonly string[],
  got: readonly string[],
): Difference[] {
  if (expected.length === got.length && expected.every((line, index) => line === got[index])) return []
  const detail: string[] = []
  for (let index = 0; index < Math.max(expected.length, got.length); index++) {
    const [want, have] = [expected[index], got[index]]
    if (want === have) {
      detail.push(`          ${want ?? ''}`)
      continue
    }
    if (want !== undefined) detail.push(`expected  ${want}`)
    if (have !== undefined) detail.push(`got       ${have}`)
  }
  return [{ what: `${what} does not show what was recorded`, detail }]
}

/** Compares what the director's own sockets were given. */
export function compareReceived(
  expected: readonly ReceivedDatagram[],
  received: readonly ReceivedDatagram[],
): Difference[] {
  const text = (datagram: ReceivedDatagram) =>
    `${datagram.from.join(' port ')} to ${datagram.at.join(' port ')}: ${datagram.payload}`
  return compareLines('what the director received', expected.map(text).sort(), received.map(text).sort())
}
