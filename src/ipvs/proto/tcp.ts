// SPDX-License-Identifier: MIT
/**
 * The TCP state machine of IPVS.
 *
 * Not the one of RFC 9293: a director sees one or both directions of a connection and
 * guesses. Which of the three tables applies is the question whether replies pass here.
 * Twin: bpf/ipvs/proto/tcp.h; numbers are positions in TCP_STATES.
 */
import { TCP_STATES } from '../conn.js'

export type TcpState = (typeof TCP_STATES)[number]

/** Tested in this order: a packet with RST and SYN is a reset. */
export const TCP_EVENTS = ['syn', 'fin', 'ack', 'rst'] as const
export type TcpEvent = (typeof TCP_EVENTS)[number]

/** `inputOnly`: a packet of the client while no reply was ever seen (DR and tunnels). */
export const TCP_DIRECTIONS = ['input', 'output', 'inputOnly'] as const
export type TcpDirection = (typeof TCP_DIRECTIONS)[number]

export interface TcpFlags {
  readonly syn?: boolean
  readonly fin?: boolean
  readonly ack?: boolean
  readonly rst?: boolean
}

/** The kernel's defaults; ESTABLISHED and FIN_WAIT change with `ipvsadm --set`. */
export const TCP_TIMEOUTS_S: Readonly<Record<TcpState, number>> = {
  NONE: 2,
  ESTABLISHED: 900,
  SYN_SENT: 120,
  SYN_RECV: 60,
  FIN_WAIT: 120,
  TIME_WAIT: 120,
  CLOSE: 10,
  CLOSE_WAIT: 60,
  LAST_ACK: 30,
  LISTEN: 120,
  SYNACK: 120,
}

/** The states in which a connection counts as active. */
const ACTIVE: readonly TcpState[] = ['ESTABLISHED', 'SYN_SENT', 'SYN_RECV', 'SYNACK']

export function isActive(state: TcpState): boolean {
  return ACTIVE.includes(state)
}

/** What a segment means; undefined for one without any of the four flags. */
export function tcpEvent(flags: TcpFlags): TcpEvent | undefined {
  if (flags.rst) return 'rst'
  if (flags.syn) return 'syn'
  if (flags.fin) return 'fin'
  if (flags.ack) return 'ack'
  return undefined
}

/**
 * The state after a segment. `secure` selects the tables of the secure_tcp sysctl,
 * under which a client alone never establishes a connection.
 */
export function nextTcpState(
  state: TcpState,
  event: TcpEvent | undefined,
  direction: TcpDirection,
  secure = false,
): TcpState {
  if (event === undefined) return 'CLOSE'
  const table = secure ? SECURE[direction] : NORMAL[direction]
  return table[event][TCP_STATES.indexOf(state)]!
}

type Table = Readonly<Record<TcpEvent, readonly TcpState[]>>

const SHORT: Readonly<Record<string, TcpState>> = {
  NO: 'NONE',
  ES: 'ESTABLISHED',
  SS: 'SYN_SENT',
  SR: 'SYN_RECV',
  FW: 'FIN_WAIT',
  TW: 'TIME_WAIT',
  CL: 'CLOSE',
  CW: 'CLOSE_WAIT',
  LA: 'LAST_ACK',
  LI: 'LISTEN',
  SA: 'SYNACK',
}

/** Reads one line of a table: the state after, for each state before in order. */
function row(cells: string): readonly TcpState[] {
  return cells.split(' ').map((cell) => SHORT[cell]!)
}

/* State before:    NO ES SS SR FW TW CL CW LA LI SA */
const NORMAL: Readonly<Record<TcpDirection, Table>> = {
  input: {
    syn: row('SR ES ES SR SR SR SR SR SR SR SR'),
    fin: row('CL CW SS TW TW TW CL CW LA LI TW'),
    ack: row('ES ES SS ES FW TW CL CW CL LI ES'),
    rst: row('CL CL CL SR CL CL CL CL LA LI SR'),
  },
  output: {
    syn: row('SS ES SS SR SS SS SS SS SS LI SR'),
    fin: row('TW FW SS TW FW TW CL TW LA LI TW'),
    ack: row('ES ES SS ES FW TW CL CW LA ES ES'),
    rst: row('CL CL SS CL CL TW CL CL CL CL CL'),
  },
  inputOnly: {
    syn: row('SR ES ES SR SR SR SR SR SR SR SR'),
    fin: row('CL FW SS TW FW TW CL CW LA LI TW'),
    ack: row('ES ES SS ES FW TW CL CW CL LI ES'),
    rst: row('CL CL CL SR CL CL CL CL LA LI CL'),
  },
}

const SECURE: Readonly<Record<TcpDirection, Table>> = {
  input: {
    syn: row('SR ES ES SR SR SR SR SR SR SR SA'),
    fin: row('CL CW SS TW TW TW CL CW LA LI SA'),
    ack: row('ES ES SS SR FW TW CL CW CL LI SA'),
    rst: row('CL CL CL SR CL CL CL CL LA LI CL'),
  },
  output: {
    syn: row('SS ES SS SA SS SS SS SS SS LI SA'),
    fin: row('TW FW SS TW FW TW CL TW LA LI TW'),
    ack: row('ES ES SS ES FW TW CL CW LA ES ES'),
    rst: row('CL CL SS CL CL TW CL CL CL CL CL'),
  },
  inputOnly: {
    syn: row('SA ES ES SR SA SA SA SA SA SA SA'),
    fin: row('CL FW SS TW FW TW CL CW LA LI TW'),
    ack: row('ES ES SS ES FW TW CL CW CL LI ES'),
    rst: row('CL CL CL SR CL CL CL CL LA LI CL'),
  },
}
