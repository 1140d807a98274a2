// SPDX-License-Identifier: MIT
/**
 * What verdicts mean, in sentences. Numbers and names are those of enum reason.
 *
 * Twin: bpf/ipvs/verdict.h
 */
import { reasonNames } from '../../abi/generated.js'

/** What becomes of a packet with a reason. */
export type VerdictKind = 'forwarded' | 'answered' | 'passed' | 'deferred' | 'dropped'

export interface Verdict {
  readonly reason: string
  readonly number: number
  readonly kind: VerdictKind
  readonly text: string
}

const TEXTS: Readonly<Record<string, string>> = {
  FORWARD_IN: 'forwarded to the dest of its connection',
  FORWARD_NEW: 'opens a connection and is forwarded to the dest chosen',
  FORWARD_OUT: 'a reply: sent to the client with the address of the service',
  ANSWER_TOO_BIG: 'too big for the way to the dest: answered with "fragmentation needed" or "packet too big"',
  ANSWER_TTL: 'its hop limit ends here: answered with "time exceeded"',
  ANSWER_HOST_UNREACHABLE: 'no route to the dest: answered with "host unreachable"',
  ANSWER_PORT_UNREACHABLE: 'no dest takes new connections: answered with "port unreachable"',
  PASS_NOT_OURS: 'no address of a service or of a real server',
  PASS_NO_SERVICE: 'no service has this address, protocol and port',
  PASS_NOT_IP: 'not IP, or tagged for a VLAN device',
  PASS_OTHER_HOST: 'addressed to another MAC address',
  PASS_FRAGMENT: 'a fragment',
  PASS_PROTOCOL: 'neither TCP nor UDP',
  PASS_NOT_OPENER: 'belongs to no connection and does not open one',
  PASS_CLIENT_PORT_20: 'comes from port 20: FTP data is not scheduled',
  PASS_VIP_NOT_LOCAL: 'the address of the service is not an address of this host',
  PASS_LOCAL_DEST: 'the dest is this host',
  PASS_REPLY_TTL: 'a reply whose hop limit ends here: left to forwarding',
  PASS_REPLY_TOO_BIG: 'a reply too big for the way to the client: left to forwarding',
  PASS_REPLY_NO_ROUTE: 'a reply without a route to the client: left to forwarding',
  PASS_MALFORMED: 'headers that contradict themselves',
  PASS_DISABLED: 'no service of this address family',
  PASS_OPTIONS: 'IP options that the stack must handle',
  PASS_SEEN: 'was handled already',
  PASS_REPLY_UNTOUCHED: 'a reply of a direct or tunnelled connection: counted, not changed',
  DEFER_HOP: 'XDP knows no MAC address, may not send there, or has the neighbour checked',
  DEFER_DEVICE: 'XDP cannot deliver to this host',
  DEFER_TOO_BIG: 'too big for the way, which tc answers',
  DEFER_TTL: 'its hop limit ends, which tc answers',
  DEFER_CHECKSUM: 'UDP without checksum cannot be rewritten in XDP',
  DEFER_BUSY: 'another CPU was faster',
  DEFER_NO_DEST: 'no dest, which tc answers',
  DEFER_HEADERS: 'headers that XDP does not read',
  DEFER_DEST_GONE: 'its dest is gone',
  DEFER_ROOM: 'no room in front of the packet',
  DROP_DEST_GONE: 'its dest was removed',
  DROP_TABLE_FULL: 'the connection table is full',
  DROP_SHORT_HEADER: 'the transport header is cut off',
  DROP_NO_ROOM: 'no room for the outer header',
  DROP_REWRITE: 'the packet could not be rewritten',
  DROP_TUNNEL_MTU: 'the way to the dest is too narrow for a tunnel',
  DROP_NO_ANSWER: 'no answer could be made or sent',
  DROP_CONTENDED: 'lost a race for its connection several times',
  DROP_BAD_SOURCE: 'from an address nobody may have',
}

/** What follows from where the program left the packet, beside the reason's own words. */
const SUFFIXES: Readonly<Record<VerdictKind, string>> = {
  forwarded: '',
  answered: '',
  passed: ': left to the stack',
  deferred: ': left to tc',
  dropped: ': dropped',
}

export function verdictOf(number: number): Verdict {
  const reason = reasonNames.get(number) ?? `REASON_${number}`
  const kind = kindOf(number)
  return { reason, number, kind, text: `${TEXTS[reason] ?? 'unknown'}${SUFFIXES[kind]}` }
}

/** The ranges of enum reason. */
function kindOf(number: number): VerdictKind {
  if (number >= 80) return 'dropped'
  if (number >= 64) return 'deferred'
  if (number >= 32) return 'passed'
  return number >= 4 ? 'answered' : 'forwarded'
}
