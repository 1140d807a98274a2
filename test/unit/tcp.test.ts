// SPDX-License-Identifier: MIT
/**
 * The tables of the TCP state machine, cell by cell.
 *
 * Written as in the specification: columns are the state before, `·` stays.
 */
import { describe, expect, test } from 'vitest'
import { TCP_STATES } from '../../src/ipvs/conn.js'
import {
  isActive,
  nextTcpState,
  TCP_DIRECTIONS,
  TCP_EVENTS,
  tcpEvent,
  TCP_TIMEOUTS_S,
  type TcpDirection,
  type TcpEvent,
  type TcpState,
} from '../../src/ipvs/proto/tcp.js'

const COLUMNS = ['NO', 'ES', 'SS', 'SR', 'FW', 'TW', 'CL', 'CW', 'LA', 'LI', 'SA'] as const

const NORMAL: Record<TcpDirection, string> = {
  input: `
| syn | SR | · | ES | · | SR | SR | SR | SR | SR | SR | SR |
| fin | CL | CW | · | TW | TW | · | · | · | · | · | TW |
| ack | ES | · | · | ES | · | · | · | · | CL | · | ES |
| rst | CL | CL | CL | · | CL | CL | · | CL | · | · | SR |`,
  output: `
| syn | SS | · | · | · | SS | SS | SS | SS | SS | · | SR |
| fin | TW | FW | · | TW | · | · | · | TW | · | · | TW |
| ack | ES | · | · | ES | · | · | · | · | · | ES | ES |
| rst | CL | CL | · | CL | CL | · | · | CL | CL | CL | CL |`,
  inputOnly: `
| syn | SR | · | ES | · | SR | SR | SR | SR | SR | SR | SR |
| fin | CL | FW | · | TW | · | · | · | · | · | · | TW |
| ack | ES | · | · | ES | · | · | · | · | CL | · | ES |
| rst | CL | CL | CL | · | CL | CL | · | CL | · | · | CL |`,
}

/** Where secure_tcp differs. */
const SECURE: readonly (readonly [TcpDirection, TcpEvent, before: string, after: string])[] = [
  ['input', 'syn', 'SA', 'SA'],
  ['input', 'fin', 'SA', 'SA'],
  ['input', 'ack', 'SR', 'SR'],
  ['input', 'ack', 'SA', 'SA'],
  ['input', 'rst', 'SA', 'CL'],
  ['output', 'syn', 'SR', 'SA'],
  ['output', 'syn', 'SA', 'SA'],
  ...['NO', 'FW', 'TW', 'CL', 'CW', 'LA', 'LI', 'SA'].map(
    (before) => ['inputOnly', 'syn', before, 'SA'] as const,
  ),
]

const long = (short: string): TcpState => TCP_STATES[COLUMNS.indexOf(short as (typeof COLUMNS)[number])]!

function cells(table: string): { event: TcpEvent; before: TcpState; after: TcpState }[] {
  return table
    .trim()
    .split('\n')
    .flatMap((line) => {
      const [event, ...after] = line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim())
      return after.map((cell, column) => ({
        event: event as TcpEvent,
        before: TCP_STATES[column]!,
        after: cell === '·' ? TCP_STATES[column]! : long(cell),
      }))
    })
}

describe.each(TCP_DIRECTIONS)('a segment, table %s', (direction) => {
  test.each(cells(NORMAL[direction]))('$event in $before leads to $after', ({ event, before, after }) => {
    expect(nextTcpState(before, event, direction)).toBe(after)
  })

  test('the specification has all 44 cells', () => {
    expect(cells(NORMAL[direction])).toHaveLength(TCP_EVENTS.length * TCP_STATES.length)
  })

  test('secure_tcp changes the cells it is documented to change, and no other', () => {
    for (const { event, before, after } of cells(NORMAL[direction])) {
      const changed = SECURE.find(([d, e, b]) => d === direction && e === event && long(b) === before)
      expect(nextTcpState(before, event, direction, true), `${event} in ${before}`).toBe(
        changed === undefined ? after : long(changed[3]),
      )
    }
  })

  test('a segment without any flag closes', () => {
    for (const state of TCP_STATES) expect(nextTcpState(state, undefined, direction)).toBe('CLOSE')
  })
})

test('reset comes before opening, opening before closing, closing before acknowledging', () => {
  expect(tcpEvent({ rst: true, syn: true, fin: true, ack: true })).toBe('rst')
  expect(tcpEvent({ syn: true, fin: true, ack: true })).toBe('syn')
  expect(tcpEvent({ fin: true, ack: true })).toBe('fin')
  expect(tcpEvent({ ack: true })).toBe('ack')
  expect(tcpEvent({})).toBeUndefined()
})

test('connections that are being opened or open count as active', () => {
  expect(TCP_STATES.filter(isActive)).toEqual(['ESTABLISHED', 'SYN_SENT', 'SYN_RECV', 'SYNACK'])
})

test('timeouts are the kernel defaults', () => {
  expect(TCP_STATES.map((state) => TCP_TIMEOUTS_S[state])).toEqual([
    2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120,
  ])
})
