// SPDX-License-Identifier: MIT
/**
 * Connection entries as a listing shows them.
 *
 * Twin: bpf/ipvs/conn.h, which owns the table itself.
 */
import type { FwdMethod } from './dest.js'
import type { Family } from './service.js'

/** Numbers are the kernel's IP_VS_TCP_S_* values, by position. */
export const TCP_STATES = [
  'NONE',
  'ESTABLISHED',
  'SYN_SENT',
  'SYN_RECV',
  'FIN_WAIT',
  'TIME_WAIT',
  'CLOSE',
  'CLOSE_WAIT',
  'LAST_ACK',
  'LISTEN',
  'SYNACK',
] as const

export interface Endpoint {
  readonly address: string
  readonly port: number
}

export interface Conn {
  readonly family: Family
  /** IP protocol number: 6, 17, 132; 0 for fwmark templates. */
  readonly protocol: number
  readonly client: Endpoint
  readonly virtual: Endpoint
  readonly dest: Endpoint
  readonly destFamily: Family
  readonly fwd: FwdMethod
  /** As /proc/net/ip_vs_conn prints it: ESTABLISHED, UDP, ASSURED … */
  readonly state: string
  /** Time left until it expires, in milliseconds; never negative. */
  readonly expiresMs: number
  readonly active: boolean
  readonly inPackets: number
  readonly fwmark: number
  readonly template: boolean
}
