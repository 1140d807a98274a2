// SPDX-License-Identifier: MIT
/**
 * Made from bpf/ipvs/abi.h by `make gen`; do not edit.
 *
 * Per struct: the interface of its value, `size`, `at` (offset of each field), `read` and
 * `write` of the whole, `getX` and `setX` of single fields, for views on mapped memory.
 * Network order becomes host order, 64-bit integers are bigint.
 */

function takeBytes(view: DataView, at: number, size: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + at, size).slice()
}

function putBytes(view: DataView, at: number, size: number, value: Uint8Array): void {
  if (value.length > size) throw new RangeError(`${value.length} bytes do not fit into ${size}`)
  const target = new Uint8Array(view.buffer, view.byteOffset + at, size)
  target.set(value)
  target.fill(0, value.length)
}

/** Up to the first NUL. */
function takeText(view: DataView, at: number, size: number): string {
  let text = ''
  for (let i = 0; i < size; i++) {
    const code = view.getUint8(at + i)
    if (code === 0) break
    text += String.fromCharCode(code)
  }
  return text
}

/** Latin letters and at least one NUL behind them. */
function putText(view: DataView, at: number, size: number, value: string): void {
  if (value.length >= size) throw new RangeError(`'${value}' is longer than ${size - 1} characters`)
  for (let i = 0; i < size; i++) {
    const code = i < value.length ? value.charCodeAt(i) : 0
    if (code > 255 || (code === 0 && i < value.length)) throw new RangeError(`'${value}' is not plain text`)
    view.setUint8(at + i, code)
  }
}

function putZero(view: DataView, at: number, size: number): void {
  for (let i = 0; i < size; i++) view.setUint8(at + i, 0)
}

function list<T>(base: number, count: number, stride: number, read: (at: number) => T): T[] {
  const items: T[] = []
  for (let i = 0; i < count; i++) items.push(read(base + i * stride))
  return items
}

function putList<T>(
  base: number,
  count: number,
  stride: number,
  items: readonly T[],
  write: (at: number, item: T) => void,
): void {
  if (items.length !== count) throw new RangeError(`${items.length} items instead of ${count}`)
  items.forEach((item, i) => write(base + i * stride, item))
}

// enum limits
export const MAX_DEVICES = 4096
export const MAX_HOPS = 65536
export const BUCKET_LINES = 8
export const MAX_CHAIN = 63
export const FILTER_BITS = 65536
export const MAX_REASONS = 128
export const MAX_TRACE = 48
export const SWEEP_TICKS = 250
export const SWEEP_TICK_MS = 4
/** Names of `enum limits` by value. */
export const limitsNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [4096, 'MAX_DEVICES'],
  [65536, 'MAX_HOPS'],
  [8, 'BUCKET_LINES'],
  [63, 'MAX_CHAIN'],
  [128, 'MAX_REASONS'],
  [48, 'MAX_TRACE'],
  [250, 'SWEEP_TICKS'],
  [4, 'SWEEP_TICK_MS'],
])

// enum family
export const FAMILY_V4 = 4
export const FAMILY_V6 = 6
/** Names of `enum family` by value. */
export const familyNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [4, 'FAMILY_V4'],
  [6, 'FAMILY_V6'],
])

// enum fwd_method
export const FWD_MASQ = 0
export const FWD_LOCAL = 1
export const FWD_TUNNEL = 2
export const FWD_ROUTE = 3
export const FWD_BYPASS = 4
/** Names of `enum fwd_method` by value. */
export const fwdMethodNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [0, 'FWD_MASQ'],
  [1, 'FWD_LOCAL'],
  [2, 'FWD_TUNNEL'],
  [3, 'FWD_ROUTE'],
  [4, 'FWD_BYPASS'],
])

// enum tun_type
export const TUN_IPIP = 0
export const TUN_GUE = 1
export const TUN_GRE = 2
/** Names of `enum tun_type` by value. */
export const tunTypeNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [0, 'TUN_IPIP'],
  [1, 'TUN_GUE'],
  [2, 'TUN_GRE'],
])

// enum sched_id
export const SCHED_NONE = 0
export const SCHED_RR = 1
export const SCHED_WRR = 2
export const SCHED_LC = 3
export const SCHED_WLC = 4
/** Names of `enum sched_id` by value. */
export const schedIdNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [0, 'SCHED_NONE'],
  [1, 'SCHED_RR'],
  [2, 'SCHED_WRR'],
  [3, 'SCHED_LC'],
  [4, 'SCHED_WLC'],
])

// enum tcp_state
export const TCP_S_NONE = 0
export const TCP_S_ESTABLISHED = 1
export const TCP_S_SYN_SENT = 2
export const TCP_S_SYN_RECV = 3
export const TCP_S_FIN_WAIT = 4
export const TCP_S_TIME_WAIT = 5
export const TCP_S_CLOSE = 6
export const TCP_S_CLOSE_WAIT = 7
export const TCP_S_LAST_ACK = 8
export const TCP_S_LISTEN = 9
export const TCP_S_SYNACK = 10
export const TCP_S_LAST = 11
/** Names of `enum tcp_state` by value. */
export const tcpStateNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [0, 'TCP_S_NONE'],
  [1, 'TCP_S_ESTABLISHED'],
  [2, 'TCP_S_SYN_SENT'],
  [3, 'TCP_S_SYN_RECV'],
  [4, 'TCP_S_FIN_WAIT'],
  [5, 'TCP_S_TIME_WAIT'],
  [6, 'TCP_S_CLOSE'],
  [7, 'TCP_S_CLOSE_WAIT'],
  [8, 'TCP_S_LAST_ACK'],
  [9, 'TCP_S_LISTEN'],
  [10, 'TCP_S_SYNACK'],
  [11, 'TCP_S_LAST'],
])

// enum proto_index
export const PROTO_TCP = 0
export const PROTO_UDP = 1
export const PROTO_SCTP = 2
export const PROTO_LAST = 3
/** Names of `enum proto_index` by value. */
export const protoIndexNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [0, 'PROTO_TCP'],
  [1, 'PROTO_UDP'],
  [2, 'PROTO_SCTP'],
  [3, 'PROTO_LAST'],
])

// enum conn_life
export const LIFE_FREE = 0
export const LIFE_INIT = 1
export const LIFE_PENDING = 2
export const LIFE_LIVE = 3
export const LIFE_ABORT = 4
/** Names of `enum conn_life` by value. */
export const connLifeNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [0, 'LIFE_FREE'],
  [1, 'LIFE_INIT'],
  [2, 'LIFE_PENDING'],
  [3, 'LIFE_LIVE'],
  [4, 'LIFE_ABORT'],
])

// enum conn_word
export const WORD_STATE_SHIFT = 4
export const WORD_FLAG_SHIFT = 8
export const WORD_GEN_SHIFT = 32
/** Names of `enum conn_word` by value. */
export const connWordNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [4, 'WORD_STATE_SHIFT'],
  [8, 'WORD_FLAG_SHIFT'],
  [32, 'WORD_GEN_SHIFT'],
])

// enum conn_flag
export const CONN_F_INACTIVE = 1
export const CONN_F_NOOUTPUT = 2
export const CONN_F_SHADOW = 4
export const CONN_F_TEMPLATE = 8
/** Names of `enum conn_flag` by value. */
export const connFlagNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [1, 'CONN_F_INACTIVE'],
  [2, 'CONN_F_NOOUTPUT'],
  [4, 'CONN_F_SHADOW'],
  [8, 'CONN_F_TEMPLATE'],
])

// enum service_flag
export const SVC_F_PERSISTENT = 1
export const SVC_F_HASHED = 2
export const SVC_F_ONEPACKET = 4
export const SVC_F_SCHED1 = 8
export const SVC_F_SCHED2 = 16
export const SVC_F_SCHED3 = 32
/** Names of `enum service_flag` by value. */
export const serviceFlagNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [1, 'SVC_F_PERSISTENT'],
  [2, 'SVC_F_HASHED'],
  [4, 'SVC_F_ONEPACKET'],
  [8, 'SVC_F_SCHED1'],
  [16, 'SVC_F_SCHED2'],
  [32, 'SVC_F_SCHED3'],
])

// enum service_state
export const SERVICE_FREE = 0
export const SERVICE_LIVE = 1
/** Names of `enum service_state` by value. */
export const serviceStateNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [0, 'SERVICE_FREE'],
  [1, 'SERVICE_LIVE'],
])

// enum dest_state
export const DEST_FREE = 0
export const DEST_LIVE = 1
export const DEST_TRASH = 2
/** Names of `enum dest_state` by value. */
export const destStateNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [0, 'DEST_FREE'],
  [1, 'DEST_LIVE'],
  [2, 'DEST_TRASH'],
])

// enum dest_flag
export const DEST_F_LOCAL = 1
/** Names of `enum dest_flag` by value. */
export const destFlagNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [1, 'DEST_F_LOCAL'],
])

// enum hop_flag
export const HOP_F_MAC = 1
export const HOP_F_XDP = 2
/** Names of `enum hop_flag` by value. */
export const hopFlagNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [1, 'HOP_F_MAC'],
  [2, 'HOP_F_XDP'],
])

// enum device_flag
export const DEVICE_F_XDP_TX = 1
export const DEVICE_F_ATTACHED = 2
export const DEVICE_F_ACCEPT_LOCAL = 4
/** Names of `enum device_flag` by value. */
export const deviceFlagNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [1, 'DEVICE_F_XDP_TX'],
  [2, 'DEVICE_F_ATTACHED'],
  [4, 'DEVICE_F_ACCEPT_LOCAL'],
])

// enum xdp_mode
export const XDP_MODE_AUTO = 0
export const XDP_MODE_NATIVE = 1
export const XDP_MODE_GENERIC = 2
export const XDP_MODE_OFF = 3
/** Names of `enum xdp_mode` by value. */
export const xdpModeNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [0, 'XDP_MODE_AUTO'],
  [1, 'XDP_MODE_NATIVE'],
  [2, 'XDP_MODE_GENERIC'],
  [3, 'XDP_MODE_OFF'],
])

// enum xdp_why
export const XDP_ATTACHED_NATIVE = 1
export const XDP_ATTACHED_GENERIC = 2
export const XDP_WHY_OFF = 3
export const XDP_WHY_VIRTUAL = 4
export const XDP_WHY_REFUSED = 5
export const XDP_WHY_TAKEN = 6
/** Names of `enum xdp_why` by value. */
export const xdpWhyNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [1, 'XDP_ATTACHED_NATIVE'],
  [2, 'XDP_ATTACHED_GENERIC'],
  [3, 'XDP_WHY_OFF'],
  [4, 'XDP_WHY_VIRTUAL'],
  [5, 'XDP_WHY_REFUSED'],
  [6, 'XDP_WHY_TAKEN'],
])

// enum reason
export const REASON_NONE = 0
export const FORWARD_IN = 1
export const FORWARD_NEW = 2
export const FORWARD_OUT = 3
export const ANSWER_TOO_BIG = 4
export const ANSWER_TTL = 5
export const ANSWER_HOST_UNREACHABLE = 6
export const ANSWER_PORT_UNREACHABLE = 7
export const PASS_NOT_OURS = 32
export const PASS_NO_SERVICE = 33
export const PASS_NOT_IP = 34
export const PASS_OTHER_HOST = 35
export const PASS_FRAGMENT = 36
export const PASS_PROTOCOL = 37
export const PASS_NOT_OPENER = 38
export const PASS_CLIENT_PORT_20 = 39
export const PASS_VIP_NOT_LOCAL = 40
export const PASS_LOCAL_DEST = 41
export const PASS_REPLY_TTL = 42
export const PASS_REPLY_TOO_BIG = 43
export const PASS_REPLY_NO_ROUTE = 44
export const PASS_MALFORMED = 45
export const PASS_DISABLED = 46
export const PASS_OPTIONS = 47
export const PASS_SEEN = 48
export const PASS_REPLY_UNTOUCHED = 49
export const DEFER_HOP = 64
export const DEFER_DEVICE = 65
export const DEFER_TOO_BIG = 66
export const DEFER_TTL = 67
export const DEFER_CHECKSUM = 68
export const DEFER_BUSY = 69
export const DEFER_NO_DEST = 70
export const DEFER_HEADERS = 71
export const DEFER_DEST_GONE = 72
export const DEFER_ROOM = 73
export const DROP_DEST_GONE = 80
export const DROP_TABLE_FULL = 81
export const DROP_SHORT_HEADER = 82
export const DROP_NO_ROOM = 83
export const DROP_REWRITE = 84
export const DROP_TUNNEL_MTU = 85
export const DROP_NO_ANSWER = 86
export const DROP_CONTENDED = 87
export const DROP_BAD_SOURCE = 88
/** Names of `enum reason` by value. */
export const reasonNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [0, 'REASON_NONE'],
  [1, 'FORWARD_IN'],
  [2, 'FORWARD_NEW'],
  [3, 'FORWARD_OUT'],
  [4, 'ANSWER_TOO_BIG'],
  [5, 'ANSWER_TTL'],
  [6, 'ANSWER_HOST_UNREACHABLE'],
  [7, 'ANSWER_PORT_UNREACHABLE'],
  [32, 'PASS_NOT_OURS'],
  [33, 'PASS_NO_SERVICE'],
  [34, 'PASS_NOT_IP'],
  [35, 'PASS_OTHER_HOST'],
  [36, 'PASS_FRAGMENT'],
  [37, 'PASS_PROTOCOL'],
  [38, 'PASS_NOT_OPENER'],
  [39, 'PASS_CLIENT_PORT_20'],
  [40, 'PASS_VIP_NOT_LOCAL'],
  [41, 'PASS_LOCAL_DEST'],
  [42, 'PASS_REPLY_TTL'],
  [43, 'PASS_REPLY_TOO_BIG'],
  [44, 'PASS_REPLY_NO_ROUTE'],
  [45, 'PASS_MALFORMED'],
  [46, 'PASS_DISABLED'],
  [47, 'PASS_OPTIONS'],
  [48, 'PASS_SEEN'],
  [49, 'PASS_REPLY_UNTOUCHED'],
  [64, 'DEFER_HOP'],
  [65, 'DEFER_DEVICE'],
  [66, 'DEFER_TOO_BIG'],
  [67, 'DEFER_TTL'],
  [68, 'DEFER_CHECKSUM'],
  [69, 'DEFER_BUSY'],
  [70, 'DEFER_NO_DEST'],
  [71, 'DEFER_HEADERS'],
  [72, 'DEFER_DEST_GONE'],
  [73, 'DEFER_ROOM'],
  [80, 'DROP_DEST_GONE'],
  [81, 'DROP_TABLE_FULL'],
  [82, 'DROP_SHORT_HEADER'],
  [83, 'DROP_NO_ROOM'],
  [84, 'DROP_REWRITE'],
  [85, 'DROP_TUNNEL_MTU'],
  [86, 'DROP_NO_ANSWER'],
  [87, 'DROP_CONTENDED'],
  [88, 'DROP_BAD_SOURCE'],
])

// enum trace_event
export const TRACE_NONE = 0
export const TRACE_PACKET = 1
export const TRACE_FILTER = 2
export const TRACE_CONN_HIT = 3
export const TRACE_CONN_MISS = 4
export const TRACE_CONN_EXPIRED = 5
export const TRACE_CONN_REUSED = 6
export const TRACE_SERVICE_HIT = 7
export const TRACE_SERVICE_MISS = 8
export const TRACE_VIP_ROUTE = 9
export const TRACE_SCHED = 10
export const TRACE_PICK = 11
export const TRACE_STATE = 12
export const TRACE_HOP = 13
export const TRACE_CREATE = 14
export const TRACE_DEST_GONE = 15
/** Names of `enum trace_event` by value. */
export const traceEventNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [0, 'TRACE_NONE'],
  [1, 'TRACE_PACKET'],
  [2, 'TRACE_FILTER'],
  [3, 'TRACE_CONN_HIT'],
  [4, 'TRACE_CONN_MISS'],
  [5, 'TRACE_CONN_EXPIRED'],
  [6, 'TRACE_CONN_REUSED'],
  [7, 'TRACE_SERVICE_HIT'],
  [8, 'TRACE_SERVICE_MISS'],
  [9, 'TRACE_VIP_ROUTE'],
  [10, 'TRACE_SCHED'],
  [11, 'TRACE_PICK'],
  [12, 'TRACE_STATE'],
  [13, 'TRACE_HOP'],
  [14, 'TRACE_CREATE'],
  [15, 'TRACE_DEST_GONE'],
])

// enum hook
export const HOOK_XDP = 0
export const HOOK_TC_INGRESS = 1
export const HOOK_TC_EGRESS = 2
export const HOOK_LAST = 3
/** Names of `enum hook` by value. */
export const hookNames: ReadonlyMap<number, string> = /* @__PURE__ */ new Map([
  [0, 'HOOK_XDP'],
  [1, 'HOOK_TC_INGRESS'],
  [2, 'HOOK_TC_EGRESS'],
  [3, 'HOOK_LAST'],
])

/** `struct conn`, 64 bytes. */
export interface Conn {
  word: bigint
  caddr: number
  vaddr: number
  daddr: number
  cport: number
  vport: number
  dport: number
  protocol: number
  fwd: number
  dest: number
  when: bigint
  inPkts: number
  fwmark: number
  hop: number
  control: number
  link: bigint
}

export const conn = {
  size: 64,
  /** Offset of each field. */
  at: {
    word: 0,
    caddr: 8,
    vaddr: 12,
    daddr: 16,
    cport: 20,
    vport: 22,
    dport: 24,
    protocol: 26,
    fwd: 27,
    dest: 28,
    when: 32,
    inPkts: 40,
    fwmark: 44,
    hop: 48,
    control: 52,
    link: 56,
  },
  read(view: DataView, base: number): Conn {
    return {
      word: view.getBigUint64(base, true),
      caddr: view.getUint32(base + 8, false),
      vaddr: view.getUint32(base + 12, false),
      daddr: view.getUint32(base + 16, false),
      cport: view.getUint16(base + 20, false),
      vport: view.getUint16(base + 22, false),
      dport: view.getUint16(base + 24, false),
      protocol: view.getUint8(base + 26),
      fwd: view.getUint8(base + 27),
      dest: view.getUint32(base + 28, true),
      when: view.getBigUint64(base + 32, true),
      inPkts: view.getUint32(base + 40, true),
      fwmark: view.getUint32(base + 44, true),
      hop: view.getUint32(base + 48, true),
      control: view.getUint32(base + 52, true),
      link: view.getBigUint64(base + 56, true),
    }
  },
  write(view: DataView, base: number, value: Conn): void {
    view.setBigUint64(base, value.word, true)
    view.setUint32(base + 8, value.caddr, false)
    view.setUint32(base + 12, value.vaddr, false)
    view.setUint32(base + 16, value.daddr, false)
    view.setUint16(base + 20, value.cport, false)
    view.setUint16(base + 22, value.vport, false)
    view.setUint16(base + 24, value.dport, false)
    view.setUint8(base + 26, value.protocol)
    view.setUint8(base + 27, value.fwd)
    view.setUint32(base + 28, value.dest, true)
    view.setBigUint64(base + 32, value.when, true)
    view.setUint32(base + 40, value.inPkts, true)
    view.setUint32(base + 44, value.fwmark, true)
    view.setUint32(base + 48, value.hop, true)
    view.setUint32(base + 52, value.control, true)
    view.setBigUint64(base + 56, value.link, true)
  },
  getWord(view: DataView, base: number): bigint {
    return view.getBigUint64(base, true)
  },
  setWord(view: DataView, base: number, value: bigint): void {
    view.setBigUint64(base, value, true)
  },
  getCaddr(view: DataView, base: number): number {
    return view.getUint32(base + 8, false)
  },
  setCaddr(view: DataView, base: number, value: number): void {
    view.setUint32(base + 8, value, false)
  },
  getVaddr(view: DataView, base: number): number {
    return view.getUint32(base + 12, false)
  },
  setVaddr(view: DataView, base: number, value: number): void {
    view.setUint32(base + 12, value, false)
  },
  getDaddr(view: DataView, base: number): number {
    return view.getUint32(base + 16, false)
  },
  setDaddr(view: DataView, base: number, value: number): void {
    view.setUint32(base + 16, value, false)
  },
  getCport(view: DataView, base: number): number {
    return view.getUint16(base + 20, false)
  },
  setCport(view: DataView, base: number, value: number): void {
    view.setUint16(base + 20, value, false)
  },
  getVport(view: DataView, base: number): number {
    return view.getUint16(base + 22, false)
  },
  setVport(view: DataView, base: number, value: number): void {
    view.setUint16(base + 22, value, false)
  },
  getDport(view: DataView, base: number): number {
    return view.getUint16(base + 24, false)
  },
  setDport(view: DataView, base: number, value: number): void {
    view.setUint16(base + 24, value, false)
  },
  getProtocol(view: DataView, base: number): number {
    return view.getUint8(base + 26)
  },
  setProtocol(view: DataView, base: number, value: number): void {
    view.setUint8(base + 26, value)
  },
  getFwd(view: DataView, base: number): number {
    return view.getUint8(base + 27)
  },
  setFwd(view: DataView, base: number, value: number): void {
    view.setUint8(base + 27, value)
  },
  getDest(view: DataView, base: number): number {
    return view.getUint32(base + 28, true)
  },
  setDest(view: DataView, base: number, value: number): void {
    view.setUint32(base + 28, value, true)
  },
  getWhen(view: DataView, base: number): bigint {
    return view.getBigUint64(base + 32, true)
  },
  setWhen(view: DataView, base: number, value: bigint): void {
    view.setBigUint64(base + 32, value, true)
  },
  getInPkts(view: DataView, base: number): number {
    return view.getUint32(base + 40, true)
  },
  setInPkts(view: DataView, base: number, value: number): void {
    view.setUint32(base + 40, value, true)
  },
  getFwmark(view: DataView, base: number): number {
    return view.getUint32(base + 44, true)
  },
  setFwmark(view: DataView, base: number, value: number): void {
    view.setUint32(base + 44, value, true)
  },
  getHop(view: DataView, base: number): number {
    return view.getUint32(base + 48, true)
  },
  setHop(view: DataView, base: number, value: number): void {
    view.setUint32(base + 48, value, true)
  },
  getControl(view: DataView, base: number): number {
    return view.getUint32(base + 52, true)
  },
  setControl(view: DataView, base: number, value: number): void {
    view.setUint32(base + 52, value, true)
  },
  getLink(view: DataView, base: number): bigint {
    return view.getBigUint64(base + 56, true)
  },
  setLink(view: DataView, base: number, value: bigint): void {
    view.setBigUint64(base + 56, value, true)
  },
} as const

/** `struct conn_addrs`, 64 bytes. */
export interface ConnAddrs {
  caddr: Uint8Array
  vaddr: Uint8Array
  daddr: Uint8Array
}

export const connAddrs = {
  size: 64,
  /** Offset of each field. */
  at: {
    caddr: 0,
    vaddr: 16,
    daddr: 32,
  },
  read(view: DataView, base: number): ConnAddrs {
    return {
      caddr: takeBytes(view, base, 16),
      vaddr: takeBytes(view, base + 16, 16),
      daddr: takeBytes(view, base + 32, 16),
    }
  },
  write(view: DataView, base: number, value: ConnAddrs): void {
    putBytes(view, base, 16, value.caddr)
    putBytes(view, base + 16, 16, value.vaddr)
    putBytes(view, base + 32, 16, value.daddr)
    putZero(view, base + 48, 16)
  },
  getCaddr(view: DataView, base: number): Uint8Array {
    return takeBytes(view, base, 16)
  },
  setCaddr(view: DataView, base: number, value: Uint8Array): void {
    putBytes(view, base, 16, value)
  },
  getVaddr(view: DataView, base: number): Uint8Array {
    return takeBytes(view, base + 16, 16)
  },
  setVaddr(view: DataView, base: number, value: Uint8Array): void {
    putBytes(view, base + 16, 16, value)
  },
  getDaddr(view: DataView, base: number): Uint8Array {
    return takeBytes(view, base + 32, 16)
  },
  setDaddr(view: DataView, base: number, value: Uint8Array): void {
    putBytes(view, base + 32, 16, value)
  },
} as const

/** `struct bucket4`, 512 bytes. */
export interface Bucket4 {
  lines: readonly Conn[]
}

export const bucket4 = {
  size: 512,
  /** Offset of each field. */
  at: {
    lines: 0,
  },
  read(view: DataView, base: number): Bucket4 {
    return {
      lines: list(base, 8, 64, (at) => conn.read(view, at)),
    }
  },
  write(view: DataView, base: number, value: Bucket4): void {
    putList(base, 8, 64, value.lines, (at, item) => conn.write(view, at, item))
  },
} as const

/** `struct bucket6`, 1024 bytes. */
export interface Bucket6 {
  lines: readonly Conn[]
  addrs: readonly ConnAddrs[]
}

export const bucket6 = {
  size: 1024,
  /** Offset of each field. */
  at: {
    lines: 0,
    addrs: 512,
  },
  read(view: DataView, base: number): Bucket6 {
    return {
      lines: list(base, 8, 64, (at) => conn.read(view, at)),
      addrs: list(base + 512, 8, 64, (at) => connAddrs.read(view, at)),
    }
  },
  write(view: DataView, base: number, value: Bucket6): void {
    putList(base, 8, 64, value.lines, (at, item) => conn.write(view, at, item))
    putList(base + 512, 8, 64, value.addrs, (at, item) => connAddrs.write(view, at, item))
  },
} as const

/** `struct spares`, 64 bytes. */
export interface Spares {
  head: bigint
  used: bigint
}

export const spares = {
  size: 64,
  /** Offset of each field. */
  at: {
    head: 0,
    used: 8,
  },
  read(view: DataView, base: number): Spares {
    return {
      head: view.getBigUint64(base, true),
      used: view.getBigUint64(base + 8, true),
    }
  },
  write(view: DataView, base: number, value: Spares): void {
    view.setBigUint64(base, value.head, true)
    view.setBigUint64(base + 8, value.used, true)
    putZero(view, base + 16, 48)
  },
  getHead(view: DataView, base: number): bigint {
    return view.getBigUint64(base, true)
  },
  setHead(view: DataView, base: number, value: bigint): void {
    view.setBigUint64(base, value, true)
  },
  getUsed(view: DataView, base: number): bigint {
    return view.getBigUint64(base + 8, true)
  },
  setUsed(view: DataView, base: number, value: bigint): void {
    view.setBigUint64(base + 8, value, true)
  },
} as const

/** `struct counters`, 40 bytes. */
export interface Counters {
  conns: bigint
  inPackets: bigint
  outPackets: bigint
  inBytes: bigint
  outBytes: bigint
}

export const counters = {
  size: 40,
  /** Offset of each field. */
  at: {
    conns: 0,
    inPackets: 8,
    outPackets: 16,
    inBytes: 24,
    outBytes: 32,
  },
  read(view: DataView, base: number): Counters {
    return {
      conns: view.getBigUint64(base, true),
      inPackets: view.getBigUint64(base + 8, true),
      outPackets: view.getBigUint64(base + 16, true),
      inBytes: view.getBigUint64(base + 24, true),
      outBytes: view.getBigUint64(base + 32, true),
    }
  },
  write(view: DataView, base: number, value: Counters): void {
    view.setBigUint64(base, value.conns, true)
    view.setBigUint64(base + 8, value.inPackets, true)
    view.setBigUint64(base + 16, value.outPackets, true)
    view.setBigUint64(base + 24, value.inBytes, true)
    view.setBigUint64(base + 32, value.outBytes, true)
  },
  getConns(view: DataView, base: number): bigint {
    return view.getBigUint64(base, true)
  },
  setConns(view: DataView, base: number, value: bigint): void {
    view.setBigUint64(base, value, true)
  },
  getInPackets(view: DataView, base: number): bigint {
    return view.getBigUint64(base + 8, true)
  },
  setInPackets(view: DataView, base: number, value: bigint): void {
    view.setBigUint64(base + 8, value, true)
  },
  getOutPackets(view: DataView, base: number): bigint {
    return view.getBigUint64(base + 16, true)
  },
  setOutPackets(view: DataView, base: number, value: bigint): void {
    view.setBigUint64(base + 16, value, true)
  },
  getInBytes(view: DataView, base: number): bigint {
    return view.getBigUint64(base + 24, true)
  },
  setInBytes(view: DataView, base: number, value: bigint): void {
    view.setBigUint64(base + 24, value, true)
  },
  getOutBytes(view: DataView, base: number): bigint {
    return view.getBigUint64(base + 32, true)
  },
  setOutBytes(view: DataView, base: number, value: bigint): void {
    view.setBigUint64(base + 32, value, true)
  },
} as const

/** `struct service_key`, 20 bytes. */
export interface ServiceKey {
  addr: Uint8Array
  port: number
  protocol: number
  family: number
}

export const serviceKey = {
  size: 20,
  /** Offset of each field. */
  at: {
    addr: 0,
    port: 16,
    protocol: 18,
    family: 19,
  },
  read(view: DataView, base: number): ServiceKey {
    return {
      addr: takeBytes(view, base, 16),
      port: view.getUint16(base + 16, false),
      protocol: view.getUint8(base + 18),
      family: view.getUint8(base + 19),
    }
  },
  write(view: DataView, base: number, value: ServiceKey): void {
    putBytes(view, base, 16, value.addr)
    view.setUint16(base + 16, value.port, false)
    view.setUint8(base + 18, value.protocol)
    view.setUint8(base + 19, value.family)
  },
  getAddr(view: DataView, base: number): Uint8Array {
    return takeBytes(view, base, 16)
  },
  setAddr(view: DataView, base: number, value: Uint8Array): void {
    putBytes(view, base, 16, value)
  },
  getPort(view: DataView, base: number): number {
    return view.getUint16(base + 16, false)
  },
  setPort(view: DataView, base: number, value: number): void {
    view.setUint16(base + 16, value, false)
  },
  getProtocol(view: DataView, base: number): number {
    return view.getUint8(base + 18)
  },
  setProtocol(view: DataView, base: number, value: number): void {
    view.setUint8(base + 18, value)
  },
  getFamily(view: DataView, base: number): number {
    return view.getUint8(base + 19)
  },
  setFamily(view: DataView, base: number, value: number): void {
    view.setUint8(base + 19, value)
  },
} as const

/** `struct service`, 192 bytes. */
export interface Service {
  key: ServiceKey
  state: number
  sched: number
  flags: number
  set: number
  fwmark: number
  timeout: number
  netmask: number
  epoch: number
  schedName: string
  peName: string
  removed: Counters
  zero: Counters
}

export const service = {
  size: 192,
  /** Offset of each field. */
  at: {
    key: 0,
    state: 20,
    sched: 21,
    flags: 22,
    set: 24,
    fwmark: 28,
    timeout: 32,
    netmask: 36,
    epoch: 40,
    schedName: 44,
    peName: 60,
    removed: 80,
    zero: 120,
  },
  read(view: DataView, base: number): Service {
    return {
      key: serviceKey.read(view, base),
      state: view.getUint8(base + 20),
      sched: view.getUint8(base + 21),
      flags: view.getUint16(base + 22, true),
      set: view.getUint32(base + 24, true),
      fwmark: view.getUint32(base + 28, true),
      timeout: view.getUint32(base + 32, true),
      netmask: view.getUint32(base + 36, true),
      epoch: view.getUint32(base + 40, true),
      schedName: takeText(view, base + 44, 16),
      peName: takeText(view, base + 60, 16),
      removed: counters.read(view, base + 80),
      zero: counters.read(view, base + 120),
    }
  },
  write(view: DataView, base: number, value: Service): void {
    serviceKey.write(view, base, value.key)
    view.setUint8(base + 20, value.state)
    view.setUint8(base + 21, value.sched)
    view.setUint16(base + 22, value.flags, true)
    view.setUint32(base + 24, value.set, true)
    view.setUint32(base + 28, value.fwmark, true)
    view.setUint32(base + 32, value.timeout, true)
    view.setUint32(base + 36, value.netmask, true)
    view.setUint32(base + 40, value.epoch, true)
    putText(view, base + 44, 16, value.schedName)
    putText(view, base + 60, 16, value.peName)
    putZero(view, base + 76, 4)
    counters.write(view, base + 80, value.removed)
    counters.write(view, base + 120, value.zero)
    putZero(view, base + 160, 32)
  },
  getState(view: DataView, base: number): number {
    return view.getUint8(base + 20)
  },
  setState(view: DataView, base: number, value: number): void {
    view.setUint8(base + 20, value)
  },
  getSched(view: DataView, base: number): number {
    return view.getUint8(base + 21)
  },
  setSched(view: DataView, base: number, value: number): void {
    view.setUint8(base + 21, value)
  },
  getFlags(view: DataView, base: number): number {
    return view.getUint16(base + 22, true)
  },
  setFlags(view: DataView, base: number, value: number): void {
    view.setUint16(base + 22, value, true)
  },
  getSet(view: DataView, base: number): number {
    return view.getUint32(base + 24, true)
  },
  setSet(view: DataView, base: number, value: number): void {
    view.setUint32(base + 24, value, true)
  },
  getFwmark(view: DataView, base: number): number {
    return view.getUint32(base + 28, true)
  },
  setFwmark(view: DataView, base: number, value: number): void {
    view.setUint32(base + 28, value, true)
  },
  getTimeout(view: DataView, base: number): number {
    return view.getUint32(base + 32, true)
  },
  setTimeout(view: DataView, base: number, value: number): void {
    view.setUint32(base + 32, value, true)
  },
  getNetmask(view: DataView, base: number): number {
    return view.getUint32(base + 36, true)
  },
  setNetmask(view: DataView, base: number, value: number): void {
    view.setUint32(base + 36, value, true)
  },
  getEpoch(view: DataView, base: number): number {
    return view.getUint32(base + 40, true)
  },
  setEpoch(view: DataView, base: number, value: number): void {
    view.setUint32(base + 40, value, true)
  },
  getSchedName(view: DataView, base: number): string {
    return takeText(view, base + 44, 16)
  },
  setSchedName(view: DataView, base: number, value: string): void {
    putText(view, base + 44, 16, value)
  },
  getPeName(view: DataView, base: number): string {
    return takeText(view, base + 60, 16)
  },
  setPeName(view: DataView, base: number, value: string): void {
    putText(view, base + 60, 16, value)
  },
} as const

/** `struct dest_set`, 64 bytes. */
export interface DestSet {
  state: bigint
  version: number
  start: number
  len: number
  capacity: number
  gcd: number
  maxWeight: number
}

export const destSet = {
  size: 64,
  /** Offset of each field. */
  at: {
    state: 0,
    version: 8,
    start: 12,
    len: 16,
    capacity: 20,
    gcd: 24,
    maxWeight: 28,
  },
  read(view: DataView, base: number): DestSet {
    return {
      state: view.getBigUint64(base, true),
      version: view.getUint32(base + 8, true),
      start: view.getUint32(base + 12, true),
      len: view.getUint32(base + 16, true),
      capacity: view.getUint32(base + 20, true),
      gcd: view.getUint32(base + 24, true),
      maxWeight: view.getUint32(base + 28, true),
    }
  },
  write(view: DataView, base: number, value: DestSet): void {
    view.setBigUint64(base, value.state, true)
    view.setUint32(base + 8, value.version, true)
    view.setUint32(base + 12, value.start, true)
    view.setUint32(base + 16, value.len, true)
    view.setUint32(base + 20, value.capacity, true)
    view.setUint32(base + 24, value.gcd, true)
    view.setUint32(base + 28, value.maxWeight, true)
    putZero(view, base + 32, 32)
  },
  getState(view: DataView, base: number): bigint {
    return view.getBigUint64(base, true)
  },
  setState(view: DataView, base: number, value: bigint): void {
    view.setBigUint64(base, value, true)
  },
  getVersion(view: DataView, base: number): number {
    return view.getUint32(base + 8, true)
  },
  setVersion(view: DataView, base: number, value: number): void {
    view.setUint32(base + 8, value, true)
  },
  getStart(view: DataView, base: number): number {
    return view.getUint32(base + 12, true)
  },
  setStart(view: DataView, base: number, value: number): void {
    view.setUint32(base + 12, value, true)
  },
  getLen(view: DataView, base: number): number {
    return view.getUint32(base + 16, true)
  },
  setLen(view: DataView, base: number, value: number): void {
    view.setUint32(base + 16, value, true)
  },
  getCapacity(view: DataView, base: number): number {
    return view.getUint32(base + 20, true)
  },
  setCapacity(view: DataView, base: number, value: number): void {
    view.setUint32(base + 20, value, true)
  },
  getGcd(view: DataView, base: number): number {
    return view.getUint32(base + 24, true)
  },
  setGcd(view: DataView, base: number, value: number): void {
    view.setUint32(base + 24, value, true)
  },
  getMaxWeight(view: DataView, base: number): number {
    return view.getUint32(base + 28, true)
  },
  setMaxWeight(view: DataView, base: number, value: number): void {
    view.setUint32(base + 28, value, true)
  },
} as const

/** `struct dest_ref`, 8 bytes. */
export interface DestRef {
  dest: number
  weight: number
}

export const destRef = {
  size: 8,
  /** Offset of each field. */
  at: {
    dest: 0,
    weight: 4,
  },
  read(view: DataView, base: number): DestRef {
    return {
      dest: view.getUint32(base, true),
      weight: view.getUint32(base + 4, true),
    }
  },
  write(view: DataView, base: number, value: DestRef): void {
    view.setUint32(base, value.dest, true)
    view.setUint32(base + 4, value.weight, true)
  },
  getDest(view: DataView, base: number): number {
    return view.getUint32(base, true)
  },
  setDest(view: DataView, base: number, value: number): void {
    view.setUint32(base, value, true)
  },
  getWeight(view: DataView, base: number): number {
    return view.getUint32(base + 4, true)
  },
  setWeight(view: DataView, base: number, value: number): void {
    view.setUint32(base + 4, value, true)
  },
} as const

/** `struct dest`, 192 bytes. */
export interface Dest {
  addr: Uint8Array
  port: number
  family: number
  fwd: number
  state: number
  tunType: number
  tunFlags: number
  tunPort: number
  overload: number
  flags: number
  weight: number
  hop: number
  tunSource: Uint8Array
  service: number
  active: number
  total: number
  persistent: number
  upper: number
  lower: number
  removedAt: number
  serviceEpoch: number
  fwmark: number
  serviceKey: ServiceKey
  zero: Counters
}

export const dest = {
  size: 192,
  /** Offset of each field. */
  at: {
    addr: 0,
    port: 16,
    family: 18,
    fwd: 19,
    state: 20,
    tunType: 21,
    tunFlags: 22,
    tunPort: 24,
    overload: 26,
    flags: 27,
    weight: 28,
    hop: 32,
    tunSource: 36,
    service: 52,
    active: 64,
    total: 68,
    persistent: 72,
    upper: 76,
    lower: 80,
    removedAt: 84,
    serviceEpoch: 88,
    fwmark: 92,
    serviceKey: 128,
    zero: 152,
  },
  read(view: DataView, base: number): Dest {
    return {
      addr: takeBytes(view, base, 16),
      port: view.getUint16(base + 16, false),
      family: view.getUint8(base + 18),
      fwd: view.getUint8(base + 19),
      state: view.getUint8(base + 20),
      tunType: view.getUint8(base + 21),
      tunFlags: view.getUint16(base + 22, true),
      tunPort: view.getUint16(base + 24, false),
      overload: view.getUint8(base + 26),
      flags: view.getUint8(base + 27),
      weight: view.getUint32(base + 28, true),
      hop: view.getUint32(base + 32, true),
      tunSource: takeBytes(view, base + 36, 16),
      service: view.getUint32(base + 52, true),
      active: view.getUint32(base + 64, true),
      total: view.getUint32(base + 68, true),
      persistent: view.getUint32(base + 72, true),
      upper: view.getUint32(base + 76, true),
      lower: view.getUint32(base + 80, true),
      removedAt: view.getUint32(base + 84, true),
      serviceEpoch: view.getUint32(base + 88, true),
      fwmark: view.getUint32(base + 92, true),
      serviceKey: serviceKey.read(view, base + 128),
      zero: counters.read(view, base + 152),
    }
  },
  write(view: DataView, base: number, value: Dest): void {
    putBytes(view, base, 16, value.addr)
    view.setUint16(base + 16, value.port, false)
    view.setUint8(base + 18, value.family)
    view.setUint8(base + 19, value.fwd)
    view.setUint8(base + 20, value.state)
    view.setUint8(base + 21, value.tunType)
    view.setUint16(base + 22, value.tunFlags, true)
    view.setUint16(base + 24, value.tunPort, false)
    view.setUint8(base + 26, value.overload)
    view.setUint8(base + 27, value.flags)
    view.setUint32(base + 28, value.weight, true)
    view.setUint32(base + 32, value.hop, true)
    putBytes(view, base + 36, 16, value.tunSource)
    view.setUint32(base + 52, value.service, true)
    putZero(view, base + 56, 8)
    view.setUint32(base + 64, value.active, true)
    view.setUint32(base + 68, value.total, true)
    view.setUint32(base + 72, value.persistent, true)
    view.setUint32(base + 76, value.upper, true)
    view.setUint32(base + 80, value.lower, true)
    view.setUint32(base + 84, value.removedAt, true)
    view.setUint32(base + 88, value.serviceEpoch, true)
    view.setUint32(base + 92, value.fwmark, true)
    putZero(view, base + 96, 32)
    serviceKey.write(view, base + 128, value.serviceKey)
    putZero(view, base + 148, 4)
    counters.write(view, base + 152, value.zero)
  },
  getAddr(view: DataView, base: number): Uint8Array {
    return takeBytes(view, base, 16)
  },
  setAddr(view: DataView, base: number, value: Uint8Array): void {
    putBytes(view, base, 16, value)
  },
  getPort(view: DataView, base: number): number {
    return view.getUint16(base + 16, false)
  },
  setPort(view: DataView, base: number, value: number): void {
    view.setUint16(base + 16, value, false)
  },
  getFamily(view: DataView, base: number): number {
    return view.getUint8(base + 18)
  },
  setFamily(view: DataView, base: number, value: number): void {
    view.setUint8(base + 18, value)
  },
  getFwd(view: DataView, base: number): number {
    return view.getUint8(base + 19)
  },
  setFwd(view: DataView, base: number, value: number): void {
    view.setUint8(base + 19, value)
  },
  getState(view: DataView, base: number): number {
    return view.getUint8(base + 20)
  },
  setState(view: DataView, base: number, value: number): void {
    view.setUint8(base + 20, value)
  },
  getTunType(view: DataView, base: number): number {
    return view.getUint8(base + 21)
  },
  setTunType(view: DataView, base: number, value: number): void {
    view.setUint8(base + 21, value)
  },
  getTunFlags(view: DataView, base: number): number {
    return view.getUint16(base + 22, true)
  },
  setTunFlags(view: DataView, base: number, value: number): void {
    view.setUint16(base + 22, value, true)
  },
  getTunPort(view: DataView, base: number): number {
    return view.getUint16(base + 24, false)
  },
  setTunPort(view: DataView, base: number, value: number): void {
    view.setUint16(base + 24, value, false)
  },
  getOverload(view: DataView, base: number): number {
    return view.getUint8(base + 26)
  },
  setOverload(view: DataView, base: number, value: number): void {
    view.setUint8(base + 26, value)
  },
  getFlags(view: DataView, base: number): number {
    return view.getUint8(base + 27)
  },
  setFlags(view: DataView, base: number, value: number): void {
    view.setUint8(base + 27, value)
  },
  getWeight(view: DataView, base: number): number {
    return view.getUint32(base + 28, true)
  },
  setWeight(view: DataView, base: number, value: number): void {
    view.setUint32(base + 28, value, true)
  },
  getHop(view: DataView, base: number): number {
    return view.getUint32(base + 32, true)
  },
  setHop(view: DataView, base: number, value: number): void {
    view.setUint32(base + 32, value, true)
  },
  getTunSource(view: DataView, base: number): Uint8Array {
    return takeBytes(view, base + 36, 16)
  },
  setTunSource(view: DataView, base: number, value: Uint8Array): void {
    putBytes(view, base + 36, 16, value)
  },
  getService(view: DataView, base: number): number {
    return view.getUint32(base + 52, true)
  },
  setService(view: DataView, base: number, value: number): void {
    view.setUint32(base + 52, value, true)
  },
  getActive(view: DataView, base: number): number {
    return view.getUint32(base + 64, true)
  },
  setActive(view: DataView, base: number, value: number): void {
    view.setUint32(base + 64, value, true)
  },
  getTotal(view: DataView, base: number): number {
    return view.getUint32(base + 68, true)
  },
  setTotal(view: DataView, base: number, value: number): void {
    view.setUint32(base + 68, value, true)
  },
  getPersistent(view: DataView, base: number): number {
    return view.getUint32(base + 72, true)
  },
  setPersistent(view: DataView, base: number, value: number): void {
    view.setUint32(base + 72, value, true)
  },
  getUpper(view: DataView, base: number): number {
    return view.getUint32(base + 76, true)
  },
  setUpper(view: DataView, base: number, value: number): void {
    view.setUint32(base + 76, value, true)
  },
  getLower(view: DataView, base: number): number {
    return view.getUint32(base + 80, true)
  },
  setLower(view: DataView, base: number, value: number): void {
    view.setUint32(base + 80, value, true)
  },
  getRemovedAt(view: DataView, base: number): number {
    return view.getUint32(base + 84, true)
  },
  setRemovedAt(view: DataView, base: number, value: number): void {
    view.setUint32(base + 84, value, true)
  },
  getServiceEpoch(view: DataView, base: number): number {
    return view.getUint32(base + 88, true)
  },
  setServiceEpoch(view: DataView, base: number, value: number): void {
    view.setUint32(base + 88, value, true)
  },
  getFwmark(view: DataView, base: number): number {
    return view.getUint32(base + 92, true)
  },
  setFwmark(view: DataView, base: number, value: number): void {
    view.setUint32(base + 92, value, true)
  },
} as const

/** `struct hop`, 64 bytes. */
export interface Hop {
  ifindex: number
  mtu: number
  dmac: Uint8Array
  smac: Uint8Array
  family: number
  flags: number
  via: Uint8Array
}

export const hop = {
  size: 64,
  /** Offset of each field. */
  at: {
    ifindex: 0,
    mtu: 4,
    dmac: 8,
    smac: 14,
    family: 20,
    flags: 21,
    via: 24,
  },
  read(view: DataView, base: number): Hop {
    return {
      ifindex: view.getUint32(base, true),
      mtu: view.getUint32(base + 4, true),
      dmac: takeBytes(view, base + 8, 6),
      smac: takeBytes(view, base + 14, 6),
      family: view.getUint8(base + 20),
      flags: view.getUint8(base + 21),
      via: takeBytes(view, base + 24, 16),
    }
  },
  write(view: DataView, base: number, value: Hop): void {
    view.setUint32(base, value.ifindex, true)
    view.setUint32(base + 4, value.mtu, true)
    putBytes(view, base + 8, 6, value.dmac)
    putBytes(view, base + 14, 6, value.smac)
    view.setUint8(base + 20, value.family)
    view.setUint8(base + 21, value.flags)
    putZero(view, base + 22, 2)
    putBytes(view, base + 24, 16, value.via)
    putZero(view, base + 40, 24)
  },
  getIfindex(view: DataView, base: number): number {
    return view.getUint32(base, true)
  },
  setIfindex(view: DataView, base: number, value: number): void {
    view.setUint32(base, value, true)
  },
  getMtu(view: DataView, base: number): number {
    return view.getUint32(base + 4, true)
  },
  setMtu(view: DataView, base: number, value: number): void {
    view.setUint32(base + 4, value, true)
  },
  getDmac(view: DataView, base: number): Uint8Array {
    return takeBytes(view, base + 8, 6)
  },
  setDmac(view: DataView, base: number, value: Uint8Array): void {
    putBytes(view, base + 8, 6, value)
  },
  getSmac(view: DataView, base: number): Uint8Array {
    return takeBytes(view, base + 14, 6)
  },
  setSmac(view: DataView, base: number, value: Uint8Array): void {
    putBytes(view, base + 14, 6, value)
  },
  getFamily(view: DataView, base: number): number {
    return view.getUint8(base + 20)
  },
  setFamily(view: DataView, base: number, value: number): void {
    view.setUint8(base + 20, value)
  },
  getFlags(view: DataView, base: number): number {
    return view.getUint8(base + 21)
  },
  setFlags(view: DataView, base: number, value: number): void {
    view.setUint8(base + 21, value)
  },
  getVia(view: DataView, base: number): Uint8Array {
    return takeBytes(view, base + 24, 16)
  },
  setVia(view: DataView, base: number, value: Uint8Array): void {
    putBytes(view, base + 24, 16, value)
  },
} as const

/** `struct device`, 8 bytes. */
export interface Device {
  mac: Uint8Array
  flags: number
  xdp: number
}

export const device = {
  size: 8,
  /** Offset of each field. */
  at: {
    mac: 0,
    flags: 6,
    xdp: 7,
  },
  read(view: DataView, base: number): Device {
    return {
      mac: takeBytes(view, base, 6),
      flags: view.getUint8(base + 6),
      xdp: view.getUint8(base + 7),
    }
  },
  write(view: DataView, base: number, value: Device): void {
    putBytes(view, base, 6, value.mac)
    view.setUint8(base + 6, value.flags)
    view.setUint8(base + 7, value.xdp)
  },
  getMac(view: DataView, base: number): Uint8Array {
    return takeBytes(view, base, 6)
  },
  setMac(view: DataView, base: number, value: Uint8Array): void {
    putBytes(view, base, 6, value)
  },
  getFlags(view: DataView, base: number): number {
    return view.getUint8(base + 6)
  },
  setFlags(view: DataView, base: number, value: number): void {
    view.setUint8(base + 6, value)
  },
  getXdp(view: DataView, base: number): number {
    return view.getUint8(base + 7)
  },
  setXdp(view: DataView, base: number, value: number): void {
    view.setUint8(base + 7, value)
  },
} as const

/** `struct journal`, 48 bytes. */
export interface Journal {
  service: number
  set: number
  removed: Counters
}

export const journal = {
  size: 48,
  /** Offset of each field. */
  at: {
    service: 0,
    set: 4,
    removed: 8,
  },
  read(view: DataView, base: number): Journal {
    return {
      service: view.getUint32(base, true),
      set: view.getUint32(base + 4, true),
      removed: counters.read(view, base + 8),
    }
  },
  write(view: DataView, base: number, value: Journal): void {
    view.setUint32(base, value.service, true)
    view.setUint32(base + 4, value.set, true)
    counters.write(view, base + 8, value.removed)
  },
  getService(view: DataView, base: number): number {
    return view.getUint32(base, true)
  },
  setService(view: DataView, base: number, value: number): void {
    view.setUint32(base, value, true)
  },
  getSet(view: DataView, base: number): number {
    return view.getUint32(base + 4, true)
  },
  setSet(view: DataView, base: number, value: number): void {
    view.setUint32(base + 4, value, true)
  },
} as const

/** `struct config`, 512 bytes. */
export interface Config {
  fingerprint: bigint
  netnsCookie: bigint
  hz: number
  hashSeed: number
  buckets4: number
  spares4: number
  buckets6: number
  spares6: number
  families: number
  clockSkew: number
  timeouts: readonly (readonly number[])[]
  connReuseMode: number
  expireNodestConn: number
  pmtuDisc: number
  snatReroute: number
  sloppyTcp: number
  secureTcp: number
  hops: number
  serviceEpoch: number
  removed: Counters
  zero: Counters
  services: number
  dests: number
  changes: bigint
  serviceTop: number
  destTop: number
  testClock: number
  xdpMode: number
  journal: Journal
}

export const config = {
  size: 512,
  /** Offset of each field. */
  at: {
    fingerprint: 0,
    netnsCookie: 8,
    hz: 16,
    hashSeed: 20,
    buckets4: 24,
    spares4: 28,
    buckets6: 32,
    spares6: 36,
    families: 40,
    clockSkew: 44,
    timeouts: 48,
    connReuseMode: 240,
    expireNodestConn: 244,
    pmtuDisc: 248,
    snatReroute: 252,
    sloppyTcp: 256,
    secureTcp: 260,
    hops: 264,
    serviceEpoch: 268,
    removed: 272,
    zero: 312,
    services: 352,
    dests: 356,
    changes: 360,
    serviceTop: 368,
    destTop: 372,
    testClock: 376,
    xdpMode: 380,
    journal: 384,
  },
  read(view: DataView, base: number): Config {
    return {
      fingerprint: view.getBigUint64(base, true),
      netnsCookie: view.getBigUint64(base + 8, true),
      hz: view.getUint32(base + 16, true),
      hashSeed: view.getUint32(base + 20, true),
      buckets4: view.getUint32(base + 24, true),
      spares4: view.getUint32(base + 28, true),
      buckets6: view.getUint32(base + 32, true),
      spares6: view.getUint32(base + 36, true),
      families: view.getUint32(base + 40, true),
      clockSkew: view.getUint32(base + 44, true),
      timeouts: list(base + 48, 3, 64, (at) => list(at, 16, 4, (at) => view.getUint32(at, true))),
      connReuseMode: view.getUint32(base + 240, true),
      expireNodestConn: view.getUint32(base + 244, true),
      pmtuDisc: view.getUint32(base + 248, true),
      snatReroute: view.getUint32(base + 252, true),
      sloppyTcp: view.getUint32(base + 256, true),
      secureTcp: view.getUint32(base + 260, true),
      hops: view.getUint32(base + 264, true),
      serviceEpoch: view.getUint32(base + 268, true),
      removed: counters.read(view, base + 272),
      zero: counters.read(view, base + 312),
      services: view.getUint32(base + 352, true),
      dests: view.getUint32(base + 356, true),
      changes: view.getBigUint64(base + 360, true),
      serviceTop: view.getUint32(base + 368, true),
      destTop: view.getUint32(base + 372, true),
      testClock: view.getUint32(base + 376, true),
      xdpMode: view.getUint32(base + 380, true),
      journal: journal.read(view, base + 384),
    }
  },
  write(view: DataView, base: number, value: Config): void {
    view.setBigUint64(base, value.fingerprint, true)
    view.setBigUint64(base + 8, value.netnsCookie, true)
    view.setUint32(base + 16, value.hz, true)
    view.setUint32(base + 20, value.hashSeed, true)
    view.setUint32(base + 24, value.buckets4, true)
    view.setUint32(base + 28, value.spares4, true)
    view.setUint32(base + 32, value.buckets6, true)
    view.setUint32(base + 36, value.spares6, true)
    view.setUint32(base + 40, value.families, true)
    view.setUint32(base + 44, value.clockSkew, true)
    putList(base + 48, 3, 64, value.timeouts, (at, item) => putList(at, 16, 4, item, (at1, item1) => view.setUint32(at1, item1, true)))
    view.setUint32(base + 240, value.connReuseMode, true)
    view.setUint32(base + 244, value.expireNodestConn, true)
    view.setUint32(base + 248, value.pmtuDisc, true)
    view.setUint32(base + 252, value.snatReroute, true)
    view.setUint32(base + 256, value.sloppyTcp, true)
    view.setUint32(base + 260, value.secureTcp, true)
    view.setUint32(base + 264, value.hops, true)
    view.setUint32(base + 268, value.serviceEpoch, true)
    counters.write(view, base + 272, value.removed)
    counters.write(view, base + 312, value.zero)
    view.setUint32(base + 352, value.services, true)
    view.setUint32(base + 356, value.dests, true)
    view.setBigUint64(base + 360, value.changes, true)
    view.setUint32(base + 368, value.serviceTop, true)
    view.setUint32(base + 372, value.destTop, true)
    view.setUint32(base + 376, value.testClock, true)
    view.setUint32(base + 380, value.xdpMode, true)
    journal.write(view, base + 384, value.journal)
    putZero(view, base + 432, 80)
  },
  getFingerprint(view: DataView, base: number): bigint {
    return view.getBigUint64(base, true)
  },
  setFingerprint(view: DataView, base: number, value: bigint): void {
    view.setBigUint64(base, value, true)
  },
  getNetnsCookie(view: DataView, base: number): bigint {
    return view.getBigUint64(base + 8, true)
  },
  setNetnsCookie(view: DataView, base: number, value: bigint): void {
    view.setBigUint64(base + 8, value, true)
  },
  getHz(view: DataView, base: number): number {
    return view.getUint32(base + 16, true)
  },
  setHz(view: DataView, base: number, value: number): void {
    view.setUint32(base + 16, value, true)
  },
  getHashSeed(view: DataView, base: number): number {
    return view.getUint32(base + 20, true)
  },
  setHashSeed(view: DataView, base: number, value: number): void {
    view.setUint32(base + 20, value, true)
  },
  getBuckets4(view: DataView, base: number): number {
    return view.getUint32(base + 24, true)
  },
  setBuckets4(view: DataView, base: number, value: number): void {
    view.setUint32(base + 24, value, true)
  },
  getSpares4(view: DataView, base: number): number {
    return view.getUint32(base + 28, true)
  },
  setSpares4(view: DataView, base: number, value: number): void {
    view.setUint32(base + 28, value, true)
  },
  getBuckets6(view: DataView, base: number): number {
    return view.getUint32(base + 32, true)
  },
  setBuckets6(view: DataView, base: number, value: number): void {
    view.setUint32(base + 32, value, true)
  },
  getSpares6(view: DataView, base: number): number {
    return view.getUint32(base + 36, true)
  },
  setSpares6(view: DataView, base: number, value: number): void {
    view.setUint32(base + 36, value, true)
  },
  getFamilies(view: DataView, base: number): number {
    return view.getUint32(base + 40, true)
  },
  setFamilies(view: DataView, base: number, value: number): void {
    view.setUint32(base + 40, value, true)
  },
  getClockSkew(view: DataView, base: number): number {
    return view.getUint32(base + 44, true)
  },
  setClockSkew(view: DataView, base: number, value: number): void {
    view.setUint32(base + 44, value, true)
  },
  getConnReuseMode(view: DataView, base: number): number {
    return view.getUint32(base + 240, true)
  },
  setConnReuseMode(view: DataView, base: number, value: number): void {
    view.setUint32(base + 240, value, true)
  },
  getExpireNodestConn(view: DataView, base: number): number {
    return view.getUint32(base + 244, true)
  },
  setExpireNodestConn(view: DataView, base: number, value: number): void {
    view.setUint32(base + 244, value, true)
  },
  getPmtuDisc(view: DataView, base: number): number {
    return view.getUint32(base + 248, true)
  },
  setPmtuDisc(view: DataView, base: number, value: number): void {
    view.setUint32(base + 248, value, true)
  },
  getSnatReroute(view: DataView, base: number): number {
    return view.getUint32(base + 252, true)
  },
  setSnatReroute(view: DataView, base: number, value: number): void {
    view.setUint32(base + 252, value, true)
  },
  getSloppyTcp(view: DataView, base: number): number {
    return view.getUint32(base + 256, true)
  },
  setSloppyTcp(view: DataView, base: number, value: number): void {
    view.setUint32(base + 256, value, true)
  },
  getSecureTcp(view: DataView, base: number): number {
    return view.getUint32(base + 260, true)
  },
  setSecureTcp(view: DataView, base: number, value: number): void {
    view.setUint32(base + 260, value, true)
  },
  getHops(view: DataView, base: number): number {
    return view.getUint32(base + 264, true)
  },
  setHops(view: DataView, base: number, value: number): void {
    view.setUint32(base + 264, value, true)
  },
  getServiceEpoch(view: DataView, base: number): number {
    return view.getUint32(base + 268, true)
  },
  setServiceEpoch(view: DataView, base: number, value: number): void {
    view.setUint32(base + 268, value, true)
  },
  getServices(view: DataView, base: number): number {
    return view.getUint32(base + 352, true)
  },
  setServices(view: DataView, base: number, value: number): void {
    view.setUint32(base + 352, value, true)
  },
  getDests(view: DataView, base: number): number {
    return view.getUint32(base + 356, true)
  },
  setDests(view: DataView, base: number, value: number): void {
    view.setUint32(base + 356, value, true)
  },
  getChanges(view: DataView, base: number): bigint {
    return view.getBigUint64(base + 360, true)
  },
  setChanges(view: DataView, base: number, value: bigint): void {
    view.setBigUint64(base + 360, value, true)
  },
  getServiceTop(view: DataView, base: number): number {
    return view.getUint32(base + 368, true)
  },
  setServiceTop(view: DataView, base: number, value: number): void {
    view.setUint32(base + 368, value, true)
  },
  getDestTop(view: DataView, base: number): number {
    return view.getUint32(base + 372, true)
  },
  setDestTop(view: DataView, base: number, value: number): void {
    view.setUint32(base + 372, value, true)
  },
  getTestClock(view: DataView, base: number): number {
    return view.getUint32(base + 376, true)
  },
  setTestClock(view: DataView, base: number, value: number): void {
    view.setUint32(base + 376, value, true)
  },
  getXdpMode(view: DataView, base: number): number {
    return view.getUint32(base + 380, true)
  },
  setXdpMode(view: DataView, base: number, value: number): void {
    view.setUint32(base + 380, value, true)
  },
} as const

/** `struct trace_step`, 24 bytes. */
export interface TraceStep {
  event: number
  a: number
  b: number
  c: bigint
}

export const traceStep = {
  size: 24,
  /** Offset of each field. */
  at: {
    event: 0,
    a: 4,
    b: 8,
    c: 16,
  },
  read(view: DataView, base: number): TraceStep {
    return {
      event: view.getUint32(base, true),
      a: view.getUint32(base + 4, true),
      b: view.getUint32(base + 8, true),
      c: view.getBigUint64(base + 16, true),
    }
  },
  write(view: DataView, base: number, value: TraceStep): void {
    view.setUint32(base, value.event, true)
    view.setUint32(base + 4, value.a, true)
    view.setUint32(base + 8, value.b, true)
    putZero(view, base + 12, 4)
    view.setBigUint64(base + 16, value.c, true)
  },
  getEvent(view: DataView, base: number): number {
    return view.getUint32(base, true)
  },
  setEvent(view: DataView, base: number, value: number): void {
    view.setUint32(base, value, true)
  },
  getA(view: DataView, base: number): number {
    return view.getUint32(base + 4, true)
  },
  setA(view: DataView, base: number, value: number): void {
    view.setUint32(base + 4, value, true)
  },
  getB(view: DataView, base: number): number {
    return view.getUint32(base + 8, true)
  },
  setB(view: DataView, base: number, value: number): void {
    view.setUint32(base + 8, value, true)
  },
  getC(view: DataView, base: number): bigint {
    return view.getBigUint64(base + 16, true)
  },
  setC(view: DataView, base: number, value: bigint): void {
    view.setBigUint64(base + 16, value, true)
  },
} as const

/** `struct explanation`, 1232 bytes. */
export interface Explanation {
  steps: number
  reason: number
  dest: number
  hop: number
  way: Hop
  trace: readonly TraceStep[]
}

export const explanation = {
  size: 1232,
  /** Offset of each field. */
  at: {
    steps: 0,
    reason: 4,
    dest: 8,
    hop: 12,
    way: 16,
    trace: 80,
  },
  read(view: DataView, base: number): Explanation {
    return {
      steps: view.getUint32(base, true),
      reason: view.getUint32(base + 4, true),
      dest: view.getUint32(base + 8, true),
      hop: view.getUint32(base + 12, true),
      way: hop.read(view, base + 16),
      trace: list(base + 80, 48, 24, (at) => traceStep.read(view, at)),
    }
  },
  write(view: DataView, base: number, value: Explanation): void {
    view.setUint32(base, value.steps, true)
    view.setUint32(base + 4, value.reason, true)
    view.setUint32(base + 8, value.dest, true)
    view.setUint32(base + 12, value.hop, true)
    hop.write(view, base + 16, value.way)
    putList(base + 80, 48, 24, value.trace, (at, item) => traceStep.write(view, at, item))
  },
  getSteps(view: DataView, base: number): number {
    return view.getUint32(base, true)
  },
  setSteps(view: DataView, base: number, value: number): void {
    view.setUint32(base, value, true)
  },
  getReason(view: DataView, base: number): number {
    return view.getUint32(base + 4, true)
  },
  setReason(view: DataView, base: number, value: number): void {
    view.setUint32(base + 4, value, true)
  },
  getDest(view: DataView, base: number): number {
    return view.getUint32(base + 8, true)
  },
  setDest(view: DataView, base: number, value: number): void {
    view.setUint32(base + 8, value, true)
  },
  getHop(view: DataView, base: number): number {
    return view.getUint32(base + 12, true)
  },
  setHop(view: DataView, base: number, value: number): void {
    view.setUint32(base + 12, value, true)
  },
} as const

/** `struct sweep_request`, 32 bytes. */
export interface SweepRequest {
  full: number
  killed: number
  error: number
  jiffies: bigint
  nanoseconds: bigint
}

export const sweepRequest = {
  size: 32,
  /** Offset of each field. */
  at: {
    full: 0,
    killed: 4,
    error: 8,
    jiffies: 16,
    nanoseconds: 24,
  },
  read(view: DataView, base: number): SweepRequest {
    return {
      full: view.getUint32(base, true),
      killed: view.getUint32(base + 4, true),
      error: view.getInt32(base + 8, true),
      jiffies: view.getBigUint64(base + 16, true),
      nanoseconds: view.getBigUint64(base + 24, true),
    }
  },
  write(view: DataView, base: number, value: SweepRequest): void {
    view.setUint32(base, value.full, true)
    view.setUint32(base + 4, value.killed, true)
    view.setInt32(base + 8, value.error, true)
    putZero(view, base + 12, 4)
    view.setBigUint64(base + 16, value.jiffies, true)
    view.setBigUint64(base + 24, value.nanoseconds, true)
  },
  getFull(view: DataView, base: number): number {
    return view.getUint32(base, true)
  },
  setFull(view: DataView, base: number, value: number): void {
    view.setUint32(base, value, true)
  },
  getKilled(view: DataView, base: number): number {
    return view.getUint32(base + 4, true)
  },
  setKilled(view: DataView, base: number, value: number): void {
    view.setUint32(base + 4, value, true)
  },
  getError(view: DataView, base: number): number {
    return view.getInt32(base + 8, true)
  },
  setError(view: DataView, base: number, value: number): void {
    view.setInt32(base + 8, value, true)
  },
  getJiffies(view: DataView, base: number): bigint {
    return view.getBigUint64(base + 16, true)
  },
  setJiffies(view: DataView, base: number, value: bigint): void {
    view.setBigUint64(base + 16, value, true)
  },
  getNanoseconds(view: DataView, base: number): bigint {
    return view.getBigUint64(base + 24, true)
  },
  setNanoseconds(view: DataView, base: number, value: bigint): void {
    view.setBigUint64(base + 24, value, true)
  },
} as const

/** Changes with the layout of any struct above. */
export const ABI_FINGERPRINT = 'ca6fa8db55c10309'
/** The same as the number that pinned maps carry. */
export const ABI_FINGERPRINT_U64 = 0xca6fa8db55c10309n

/** Layout of each struct as text, to say what differs. */
export const LAYOUTS: Readonly<Record<string, string>> = {
  conn: 'struct conn 64\n  0 word u64\n  8 caddr be32\n  12 vaddr be32\n  16 daddr be32\n  20 cport be16\n  22 vport be16\n  24 dport be16\n  26 protocol u8\n  27 fwd u8\n  28 dest u32\n  32 when u64\n  40 in_pkts u32\n  44 fwmark u32\n  48 hop u32\n  52 control u32\n  56 link u64\n',
  conn_addrs: 'struct conn_addrs 64\n  0 caddr bytes[16]\n  16 vaddr bytes[16]\n  32 daddr bytes[16]\n  48 pad bytes[16]\n',
  bucket4: 'struct bucket4 512\n  0 lines conn[8]\n',
  bucket6: 'struct bucket6 1024\n  0 lines conn[8]\n  512 addrs conn_addrs[8]\n',
  spares: 'struct spares 64\n  0 head u64\n  8 used u64\n  16 pad bytes[48]\n',
  counters: 'struct counters 40\n  0 conns u64\n  8 in_packets u64\n  16 out_packets u64\n  24 in_bytes u64\n  32 out_bytes u64\n',
  service_key: 'struct service_key 20\n  0 addr bytes[16]\n  16 port be16\n  18 protocol u8\n  19 family u8\n',
  service: 'struct service 192\n  0 key service_key\n  20 state u8\n  21 sched u8\n  22 flags u16\n  24 set u32\n  28 fwmark u32\n  32 timeout u32\n  36 netmask u32\n  40 epoch u32\n  44 sched_name text[16]\n  60 pe_name text[16]\n  76 pad u32\n  80 removed counters\n  120 zero counters\n  160 pad bytes[32]\n',
  dest_set: 'struct dest_set 64\n  0 state u64\n  8 version u32\n  12 start u32\n  16 len u32\n  20 capacity u32\n  24 gcd u32\n  28 max_weight u32\n  32 pad bytes[32]\n',
  dest_ref: 'struct dest_ref 8\n  0 dest u32\n  4 weight u32\n',
  dest: 'struct dest 192\n  0 addr bytes[16]\n  16 port be16\n  18 family u8\n  19 fwd u8\n  20 state u8\n  21 tun_type u8\n  22 tun_flags u16\n  24 tun_port be16\n  26 overload u8\n  27 flags u8\n  28 weight u32\n  32 hop u32\n  36 tun_source bytes[16]\n  52 service u32\n  56 pad bytes[8]\n  64 active u32\n  68 total u32\n  72 persistent u32\n  76 upper u32\n  80 lower u32\n  84 removed_at u32\n  88 service_epoch u32\n  92 fwmark u32\n  96 pad bytes[32]\n  128 service_key service_key\n  148 pad u32\n  152 zero counters\n',
  hop: 'struct hop 64\n  0 ifindex u32\n  4 mtu u32\n  8 dmac bytes[6]\n  14 smac bytes[6]\n  20 family u8\n  21 flags u8\n  22 pad bytes[2]\n  24 via bytes[16]\n  40 pad bytes[24]\n',
  device: 'struct device 8\n  0 mac bytes[6]\n  6 flags u8\n  7 xdp u8\n',
  journal: 'struct journal 48\n  0 service u32\n  4 set u32\n  8 removed counters\n',
  config: 'struct config 512\n  0 fingerprint u64\n  8 netns_cookie u64\n  16 hz u32\n  20 hash_seed u32\n  24 buckets4 u32\n  28 spares4 u32\n  32 buckets6 u32\n  36 spares6 u32\n  40 families u32\n  44 clock_skew u32\n  48 timeouts u32[16][3]\n  240 conn_reuse_mode u32\n  244 expire_nodest_conn u32\n  248 pmtu_disc u32\n  252 snat_reroute u32\n  256 sloppy_tcp u32\n  260 secure_tcp u32\n  264 hops u32\n  268 service_epoch u32\n  272 removed counters\n  312 zero counters\n  352 services u32\n  356 dests u32\n  360 changes u64\n  368 service_top u32\n  372 dest_top u32\n  376 test_clock u32\n  380 xdp_mode u32\n  384 journal journal\n  432 pad bytes[80]\n',
  trace_step: 'struct trace_step 24\n  0 event u32\n  4 a u32\n  8 b u32\n  12 pad u32\n  16 c u64\n',
  explanation: 'struct explanation 1232\n  0 steps u32\n  4 reason u32\n  8 dest u32\n  12 hop u32\n  16 way hop\n  80 trace trace_step[48]\n',
  sweep_request: 'struct sweep_request 32\n  0 full u32\n  4 killed u32\n  8 error s32\n  12 pad u32\n  16 jiffies u64\n  24 nanoseconds u64\n',
}
