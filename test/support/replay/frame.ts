// SPDX-License-Identifier: MIT
/**
 * Reads an Ethernet frame for people: one line that says what it is, and the name of
 * the field at each offset, so that a difference can be told as `ip.ttl` instead of
 * "byte 22". Nothing here decides whether a frame is right; compare.ts looks at bytes.
 */
/** A named stretch of a frame. */
export interface Field {
  readonly offset: number
  readonly length: number
  readonly name: string
}

export interface Decoded {
  /** E.g. `10.1.0.2 > 10.0.0.1 ttl 64 id 0x1234 DF UDP 40000 > 53 len 5`. */
  readonly summary: string
  readonly fields: readonly Field[]
}

const TCP_FLAGS: readonly (readonly [number, string])[] = [
  [0x02, 'S'],
  [0x01, 'F'],
  [0x04, 'R'],
  [0x08, 'P'],
  [0x10, 'A'],
  [0x20, 'U'],
  [0x40, 'E'],
  [0x80, 'C'],
]

const SCTP_CHUNKS = [
  'data',
  'init',
  'init-ack',
  'sack',
  'heartbeat',
  'heartbeat-ack',
  'abort',
  'shutdown',
  'shutdown-ack',
  'error',
  'cookie-echo',
  'cookie-ack',
] as const

/** The UDP ports behind which the recordings have GUE. */
const GUE_PORTS = [6080, 6081]

class Reader {
  readonly words: string[] = []
  readonly fields: Field[] = []

  constructor(readonly data: Buffer) {}

  has(offset: number, length: number): boolean {
    return offset + length <= this.data.length
  }

  name(prefix: string, offset: number, layout: readonly (readonly [string, number])[]): void {
    for (const [name, length] of layout) {
      this.fields.push({ offset, length, name: `${prefix}.${name}` })
      offset += length
    }
  }

  say(...words: (string | undefined | false)[]): void {
    for (const word of words) if (word) this.words.push(word)
  }
}

/** The Internet checksum over some stretches, with a start value; 0 when the sum it contains is right. */
function sum(start: number, ...parts: readonly Buffer[]): number {
  let total = start
  for (const part of parts) {
    for (let at = 0; at < part.length; at += 2) total += (part[at]! << 8) | (part[at + 1] ?? 0)
  }
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16)
  return ~total & 0xffff
}

const hex = (value: number, digits = 1) => '0x' + value.toString(16).padStart(digits, '0')

function address4(data: Buffer, offset: number): string {
  return [...data.subarray(offset, offset + 4)].join('.')
}

/** The usual short form: the longest run of zero groups becomes `::`. */
function address6(data: Buffer, offset: number): string {
  const groups = Array.from({ length: 8 }, (_, index) => data.readUInt16BE(offset + 2 * index))
  let best = { start: 0, length: 0 }
  for (let start = 0; start < 8; start++) {
    let length = 0
    while (groups[start + length] === 0) length++
    if (length > best.length) best = { start, length }
  }
  const text = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':')
  if (best.length < 2) return text(groups)
  return `${text(groups.slice(0, best.start))}::${text(groups.slice(best.start + best.length))}`
}

/** Decodes from the Ethernet header on; whatever is unknown or cut ends the summary with its length. */
export function decode(frame: string): Decoded {
  const reader = new Reader(Buffer.from(frame, 'hex'))
  const { data } = reader
  if (!reader.has(0, 14)) return { summary: `runt of ${data.length} bytes`, fields: [] }
  reader.name('eth', 0, [
    ['destination', 6],
    ['source', 6],
    ['type', 2],
  ])
  const type = data.readUInt16BE(12)
  if (type === 0x0800) ip4(reader, 14, data.length)
  else if (type === 0x86dd) ip6(reader, 14, data.length)
  else if (type === 0x0806) arp(reader)
  else reader.say(`ethertype ${hex(type, 4)} of ${data.length} bytes`)
  return { summary: reader.words.join(' '), fields: reader.fields }
}

/** The name of the field that holds a byte. */
export function fieldAt(decoded: Decoded, offset: number): Field | undefined {
  return decoded.fields.findLast((field) => offset >= field.offset && offset < field.offset + field.length)
}

function arp(reader: Reader): void {
  const { data } = reader
  if (!reader.has(14, 28)) return reader.say('short ARP')
  const asks = data.readUInt16BE(20) === 1
  reader.say(
    asks
      ? `ARP who has ${address4(data, 38)} tell ${address4(data, 28)}`
      : `ARP ${address4(data, 28)} is here`,
  )
}

function ip4(reader: Reader, at: number, end: number): void {
  const { data } = reader
  if (!reader.has(at, 20)) return reader.say(`IPv4 cut to ${end - at} bytes`)
  reader.name('ip', at, [
    ['version', 1],
    ['tos', 1],
    ['length', 2],
    ['id', 2],
    ['fragment', 2],
    ['ttl', 1],
    ['protocol', 1],
    ['checksum', 2],
    ['source', 4],
    ['destination', 4],
  ])
  const headerLength = (data[at]! & 15) * 4
  if (headerLength > 20) reader.name('ip', at + 20, [['options', headerLength - 20]])
  const tos = data[at + 1]!
  const total = data.readUInt16BE(at + 2)
  const fragment = data.readUInt16BE(at + 6)
  const offset = (fragment & 0x1fff) * 8
  reader.say(
    `${address4(data, at + 12)} > ${address4(data, at + 16)}`,
    `ttl ${data[at + 8]!}`,
    `id ${hex(data.readUInt16BE(at + 4))}`,
    tos !== 0 && `tos ${hex(tos)}`,
    (fragment & 0x4000) !== 0 && 'DF',
    ((fragment & 0x2000) !== 0 || offset > 0) && `frag ${offset}${(fragment & 0x2000) !== 0 ? '+' : ''}`,
    sum(0, data.subarray(at, at + headerLength)) !== 0 && 'BAD-IP-CHECKSUM',
  )
  const stop = Math.min(end, at + total)
  if (at + total > end) reader.say(`(${at + total - end} bytes cut)`)
  const pseudo = Buffer.concat([data.subarray(at + 12, at + 20), Buffer.of(0, data[at + 9]!)])
  upper(
    reader,
    data[at + 9]!,
    at + headerLength,
    stop,
    offset,
    pseudo,
    (fragment & 0x2000) !== 0 || at + total > end,
  )
}

function ip6(reader: Reader, at: number, end: number): void {
  const { data } = reader
  if (!reader.has(at, 40)) return reader.say(`IPv6 cut to ${end - at} bytes`)
  reader.name('ip6', at, [
    ['class', 1],
    ['flowlabel', 3],
    ['length', 2],
    ['next', 1],
    ['hoplimit', 1],
    ['source', 16],
    ['destination', 16],
  ])
  const word = data.readUInt32BE(at)
  const total = 40 + data.readUInt16BE(at + 4)
  reader.say(
    `${address6(data, at + 8)} > ${address6(data, at + 24)}`,
    `hlim ${data[at + 7]!}`,
    ((word >>> 20) & 0xff) !== 0 && `class ${hex((word >>> 20) & 0xff)}`,
    (word & 0xfffff) !== 0 && `flow ${hex(word & 0xfffff)}`,
  )
  const stop = Math.min(end, at + total)
  const cut = at + total > end
  if (cut) reader.say(`(${at + total - end} bytes cut)`)
  let next = data[at + 6]!
  let cursor = at + 40
  let offset = 0
  let more = false
  while ([0, 43, 44, 60].includes(next) && reader.has(cursor, 8)) {
    if (next === 44) {
      reader.name('ip6', cursor, [
        ['fragment-next', 1],
        ['fragment-reserved', 1],
        ['fragment', 2],
        ['fragment-id', 4],
      ])
      const value = data.readUInt16BE(cursor + 2)
      offset = value & 0xfff8
      more = (value & 1) !== 0
      reader.say(`frag ${offset}${more ? '+' : ''}`)
    } else {
      const length = 8 * (data[cursor + 1]! + 1)
      reader.name('ip6', cursor, [[`extension-${next}`, length]])
      reader.say(`ext ${next}`)
    }
    const step = next === 44 ? 8 : 8 * (data[cursor + 1]! + 1)
    next = data[cursor]!
    cursor += step
  }
  const pseudo = Buffer.concat([data.subarray(at + 8, at + 40), Buffer.of(0, next)])
  upper(reader, next, cursor, stop, offset, pseudo, more || cut)
}

/** What the network header carries. `partial`: not all of it is here, so no checksum can be judged. */
function upper(
  reader: Reader,
  protocol: number,
  at: number,
  end: number,
  fragmentOffset: number,
  pseudo: Buffer,
  partial: boolean,
): void {
  const { data } = reader
  const length = end - at
  if (fragmentOffset > 0) return reader.say(`proto ${protocol} len ${length}`)
  const body = data.subarray(at, end)
  const bad = () => !partial && sum(length, pseudo, body) !== 0 && 'BAD-CHECKSUM'
  switch (protocol) {
    case 6: {
      reader.name('tcp', at, [
        ['source', 2],
        ['destination', 2],
        ['seq', 4],
        ['ack', 4],
        ['offset', 1],
        ['flags', 1],
        ['window', 2],
        ['checksum', 2],
        ['urgent', 2],
      ])
      if (length < 20) return reader.say(`TCP ${ports(data, at, length)} cut to ${length} bytes`)
      const header = (data[at + 12]! >> 4) * 4
      if (header > 20) reader.name('tcp', at + 20, [['options', header - 20]])
      reader.name('tcp', at + header, [['payload', Math.max(0, length - header)]])
      const flags = TCP_FLAGS.filter(([bit]) => (data[at + 13]! & bit) !== 0).map(([, letter]) => letter)
      return reader.say(
        `TCP ${ports(data, at, length)} ${flags.join('') || 'none'}`,
        `seq ${data.readUInt32BE(at + 4)} ack ${data.readUInt32BE(at + 8)}`,
        length > header && `len ${length - header}`,
        bad(),
      )
    }
    case 17: {
      reader.name('udp', at, [
        ['source', 2],
        ['destination', 2],
        ['length', 2],
        ['checksum', 2],
      ])
      if (length < 8) return reader.say(`UDP ${ports(data, at, length)} cut to ${length} bytes`)
      const checksum = data.readUInt16BE(at + 6)
      reader.say(`UDP ${ports(data, at, length)} len ${length - 8}`, checksum === 0 ? 'no checksum' : bad())
      if (GUE_PORTS.includes(data.readUInt16BE(at + 2)) && length >= 12) return gue(reader, at + 8, end)
      return reader.name('udp', at + 8, [['payload', length - 8]])
    }
    case 132: {
      reader.name('sctp', at, [
        ['source', 2],
        ['destination', 2],
        ['tag', 4],
        ['checksum', 4],
        ['chunks', Math.max(0, length - 12)],
      ])
      const chunk = length > 12 ? data[at + 12]! : undefined
      return reader.say(
        `SCTP ${ports(data, at, length)}`,
        chunk === undefined ? `cut to ${length} bytes` : (SCTP_CHUNKS[chunk] ?? `chunk ${chunk}`),
        length >= 12 && `crc ${hex(data.readUInt32BE(at + 8), 8)}`,
      )
    }
    case 1: {
      reader.name('icmp', at, [
        ['type', 1],
        ['code', 1],
        ['checksum', 2],
        ['rest', 4],
      ])
      if (length < 8) return reader.say(`ICMP cut to ${length} bytes`)
      const type = data[at]!
      reader.say(
        `ICMP ${type}/${data[at + 1]!}`,
        data.readUInt32BE(at + 4) !== 0 && `rest ${hex(data.readUInt32BE(at + 4), 8)}`,
        !partial && sum(0, body) !== 0 && 'BAD-CHECKSUM',
      )
      return [3, 4, 5, 11, 12].includes(type) ? quote(reader, at + 8, end, 4) : undefined
    }
    case 58: {
      reader.name('icmp6', at, [
        ['type', 1],
        ['code', 1],
        ['checksum', 2],
        ['rest', 4],
      ])
      if (length < 8) return reader.say(`ICMPv6 cut to ${length} bytes`)
      const type = data[at]!
      reader.say(
        `ICMPv6 ${type}/${data[at + 1]!}`,
        data.readUInt32BE(at + 4) !== 0 && `rest ${hex(data.readUInt32BE(at + 4), 8)}`,
        bad(),
      )
      return type < 128 ? quote(reader, at + 8, end, 6) : undefined
    }
    case 4:
      reader.say('IPIP:')
      return ip4(reader, at, end)
    case 41:
      reader.say('IP6:')
      return ip6(reader, at, end)
    case 47:
      return gre(reader, at, end)
    default:
      reader.name(`proto-${protocol}`, at, [['payload', length]])
      return reader.say(`proto ${protocol} len ${length}`)
  }
}

function ports(data: Buffer, at: number, length: number): string {
  return length < 4 ? '?' : `${data.readUInt16BE(at)} > ${data.readUInt16BE(at + 2)}`
}

/** The packet inside an ICMP error; it is usually cut, so that its checksums say little. */
function quote(reader: Reader, at: number, end: number, family: 4 | 6): void {
  if (at >= end) return
  reader.say('[')
  if (family === 4) ip4(reader, at, end)
  else ip6(reader, at, end)
  reader.say(']')
}

function gre(reader: Reader, at: number, end: number): void {
  const { data } = reader
  reader.name('gre', at, [
    ['flags', 2],
    ['protocol', 2],
  ])
  if (end - at < 4) return reader.say('GRE cut')
  const summed = (data.readUInt16BE(at) & 0x8000) !== 0
  if (summed) {
    reader.name('gre', at + 4, [
      ['checksum', 2],
      ['reserved', 2],
    ])
  }
  reader.say(
    'GRE',
    data.readUInt16BE(at) !== 0 && `flags ${hex(data.readUInt16BE(at), 4)}`,
    summed && sum(0, data.subarray(at, end)) !== 0 && 'BAD-CHECKSUM',
    ':',
  )
  const inner = at + (summed ? 8 : 4)
  const type = data.readUInt16BE(at + 2)
  if (type === 0x0800) ip4(reader, inner, end)
  else if (type === 0x86dd) ip6(reader, inner, end)
  else reader.say(`protocol ${hex(type, 4)}`)
}

function gue(reader: Reader, at: number, end: number): void {
  const { data } = reader
  reader.name('gue', at, [['header', 4]])
  const options = (data[at]! & 0x1f) * 4
  if (options > 0) reader.name('gue', at + 4, [['options', options]])
  reader.say(`GUE ${data.toString('hex', at, Math.min(end, at + 4 + options))}:`)
  const inner = at + 4 + options
  if (data[at + 1] === 4) ip4(reader, inner, end)
  else if (data[at + 1] === 41) ip6(reader, inner, end)
  else reader.say(`protocol ${data[at + 1] ?? '?'}`)
}
