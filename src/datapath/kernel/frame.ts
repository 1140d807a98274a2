// SPDX-License-Identifier: MIT
/**
 * Ethernet frames for `explain`: made from a description, and told back in words.
 *
 * Pure: bytes in, data out. Reads what the data plane itself can send (plain IPv4
 * and IPv6, tunnels, ICMP errors) and calls everything else by its number.
 */
import { addressBytes, endpointText, formatAddress, parseAddress } from '../../ipvs/address.js'
import { Failure } from '../../util/errors.js'

export const TCP_FLAGS = ['fin', 'syn', 'rst', 'psh', 'ack', 'urg'] as const
export type TcpFlag = (typeof TCP_FLAGS)[number]

/** A packet that somebody asks about. */
export interface PacketDescription {
  readonly protocol: 'tcp' | 'udp'
  readonly source: { readonly address: string; readonly port: number }
  readonly destination: { readonly address: string; readonly port: number }
  /** TCP only; none means a plain ACK. */
  readonly flags?: readonly TcpFlag[]
  /** Hop limit, 64 unless told. */
  readonly ttl?: number
  /** DSCP and ECN, 0 unless told. */
  readonly tos?: number
  /** Don't Fragment, set unless told. IPv6 knows no other way. */
  readonly df?: boolean
  /** Bytes behind the transport header. */
  readonly payload?: number
}

/** A packet in words: what of it can be told in one line, outermost header first. */
export interface PacketSummary {
  readonly sourceMac: string
  readonly destinationMac: string
  readonly length: number
  readonly headers: readonly HeaderSummary[]
  /** All of it in one line, as tcpdump might. */
  readonly text: string
}

export type HeaderSummary =
  | {
      readonly kind: 'ipv4' | 'ipv6'
      readonly source: string
      readonly destination: string
      readonly ttl: number
      readonly tos: number
      readonly df: boolean
      readonly length: number
    }
  | { readonly kind: 'tcp'; readonly source: number; readonly destination: number; readonly flags: TcpFlag[] }
  | { readonly kind: 'udp'; readonly source: number; readonly destination: number; readonly length: number }
  | { readonly kind: 'icmp' | 'icmpv6'; readonly type: number; readonly code: number }
  | { readonly kind: 'other'; readonly protocol: number }

const ETH_LEN = 14
const ETH_P_IP = 0x0800
const ETH_P_IPV6 = 0x86dd
const IPPROTO = { icmp: 1, ipip: 4, tcp: 6, udp: 17, ipv6: 41, icmpv6: 58 } as const

/** Builds the frame. Checksums are right, so that nothing but the question decides. */
export function buildFrame(
  packet: PacketDescription,
  link: { readonly sourceMac: string; readonly destinationMac: string },
): Uint8Array {
  const source = readAddress(packet.source.address)
  const destination = readAddress(packet.destination.address)
  if (source.family !== destination.family) {
    throw new Failure('INVALID_ARGUMENT', 'source and destination of a packet are of different families', {
      hint: 'give two IPv4 or two IPv6 addresses',
    })
  }
  const ipLength = source.family === 4 ? 20 : 40
  const l4Length = packet.protocol === 'tcp' ? 20 : 8
  const payload = packet.payload ?? 0
  const frame = new Uint8Array(ETH_LEN + ipLength + l4Length + payload)
  const view = new DataView(frame.buffer)
  const l4 = ETH_LEN + ipLength
  const protocol = IPPROTO[packet.protocol]

  frame.set(macBytes(link.destinationMac), 0)
  frame.set(macBytes(link.sourceMac), 6)
  view.setUint16(12, source.family === 4 ? ETH_P_IP : ETH_P_IPV6)

  if (source.family === 4) {
    frame[14] = 0x45
    frame[15] = packet.tos ?? 0
    view.setUint16(16, ipLength + l4Length + payload)
    view.setUint16(20, (packet.df ?? true) ? 0x4000 : 0)
    frame[22] = packet.ttl ?? 64
    frame[23] = protocol
    frame.set(source.bytes, 26)
    frame.set(destination.bytes, 30)
    view.setUint16(24, finish(sum(frame, ETH_LEN, l4, 0)))
  } else {
    const tos = packet.tos ?? 0
    frame[14] = 0x60 | (tos >> 4)
    frame[15] = (tos & 0xf) << 4
    view.setUint16(18, l4Length + payload)
    frame[20] = protocol
    frame[21] = packet.ttl ?? 64
    frame.set(source.bytes, 22)
    frame.set(destination.bytes, 38)
  }

  view.setUint16(l4, packet.source.port)
  view.setUint16(l4 + 2, packet.destination.port)
  if (packet.protocol === 'tcp') {
    const flags = packet.flags ?? ['ack']
    view.setUint32(l4 + 4, 1000)
    if (flags.includes('ack')) view.setUint32(l4 + 8, 7000)
    frame[l4 + 12] = 5 << 4
    frame[l4 + 13] = flags.reduce((bits, flag) => bits | (1 << TCP_FLAGS.indexOf(flag)), 0)
    view.setUint16(l4 + 14, 65535)
  } else {
    view.setUint16(l4 + 4, l4Length + payload)
  }
  const addresses = source.family === 4 ? 26 : 22
  const pseudo = sum(frame, addresses, l4, protocol + l4Length + payload)
  const check = finish(sum(frame, l4, frame.length, pseudo))
  view.setUint16(
    l4 + (packet.protocol === 'tcp' ? 16 : 6),
    packet.protocol === 'udp' && check === 0 ? 0xffff : check,
  )
  return frame
}

function readAddress(text: string): { readonly family: 4 | 6; readonly bytes: Uint8Array } {
  const address = parseAddress(text)
  if (address === undefined) throw new Failure('INVALID_ARGUMENT', `'${text}' is not an IP address`)
  return { family: address.family, bytes: addressBytes(address.text) }
}

/** Tells what a frame is. Never throws: what cannot be read is left out. */
export function summarize(frame: Uint8Array): PacketSummary {
  const headers: HeaderSummary[] = []
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  const etherType = frame.length >= ETH_LEN ? view.getUint16(12) : 0
  if (etherType === ETH_P_IP) readIp(frame, view, ETH_LEN, IPPROTO.ipip, headers)
  else if (etherType === ETH_P_IPV6) readIp(frame, view, ETH_LEN, IPPROTO.ipv6, headers)
  const summary = {
    sourceMac: formatMac(frame.subarray(6, 12)),
    destinationMac: formatMac(frame.subarray(0, 6)),
    length: frame.length,
    headers,
  }
  return { ...summary, text: textOf(headers) || `ethertype 0x${etherType.toString(16).padStart(4, '0')}` }
}

function readIp(frame: Uint8Array, view: DataView, at: number, as: number, headers: HeaderSummary[]): void {
  if (as === IPPROTO.ipip) {
    if (frame.length < at + 20) return
    headers.push({
      kind: 'ipv4',
      source: formatAddress(frame.subarray(at + 12, at + 16)),
      destination: formatAddress(frame.subarray(at + 16, at + 20)),
      ttl: frame[at + 8]!,
      tos: frame[at + 1]!,
      df: (view.getUint16(at + 6) & 0x4000) !== 0,
      length: view.getUint16(at + 2),
    })
    readNext(frame, view, at + (frame[at]! & 0xf) * 4, frame[at + 9]!, headers)
    return
  }
  if (frame.length < at + 40) return
  headers.push({
    kind: 'ipv6',
    source: formatAddress(frame.subarray(at + 8, at + 24)),
    destination: formatAddress(frame.subarray(at + 24, at + 40)),
    ttl: frame[at + 7]!,
    tos: (view.getUint16(at) >> 4) & 0xff,
    df: true,
    length: 40 + view.getUint16(at + 4),
  })
  readNext(frame, view, at + 40, frame[at + 6]!, headers)
}

function readNext(
  frame: Uint8Array,
  view: DataView,
  at: number,
  protocol: number,
  headers: HeaderSummary[],
): void {
  const left = frame.length - at
  if (protocol === IPPROTO.ipip || protocol === IPPROTO.ipv6) readIp(frame, view, at, protocol, headers)
  else if (protocol === IPPROTO.tcp && left >= 14) {
    const bits = frame[at + 13]!
    const flags = TCP_FLAGS.filter((_, bit) => bits & (1 << bit))
    headers.push({ kind: 'tcp', source: view.getUint16(at), destination: view.getUint16(at + 2), flags })
  } else if (protocol === IPPROTO.udp && left >= 8) {
    const [source, destination] = [view.getUint16(at), view.getUint16(at + 2)]
    headers.push({ kind: 'udp', source, destination, length: view.getUint16(at + 4) })
  } else if ((protocol === IPPROTO.icmp || protocol === IPPROTO.icmpv6) && left >= 8) {
    const kind = protocol === IPPROTO.icmp ? 'icmp' : 'icmpv6'
    headers.push({ kind, type: frame[at]!, code: frame[at + 1]! })
    // What an error quotes says what it is about.
    if (kind === 'icmp' && [3, 11, 12].includes(frame[at]!))
      readIp(frame, view, at + 8, IPPROTO.ipip, headers)
    if (kind === 'icmpv6' && frame[at]! < 128) readIp(frame, view, at + 8, IPPROTO.ipv6, headers)
  } else headers.push({ kind: 'other', protocol })
}

/** `10.1.0.2:40000 > 10.0.0.1:80 tcp syn ttl 64`, tunnels outside in. */
function textOf(headers: readonly HeaderSummary[]): string {
  const parts: string[] = []
  headers.forEach((header, index) => {
    if (header.kind !== 'ipv4' && header.kind !== 'ipv6') return
    const next = headers[index + 1]
    let text: string
    if (next === undefined) text = `${header.source} > ${header.destination} ${header.kind}`
    else if (next.kind === 'tcp' || next.kind === 'udp') {
      const from = endpointText(header.source, next.source)
      text = `${from} > ${endpointText(header.destination, next.destination)} ${next.kind}`
      if (next.kind === 'tcp') text += ` ${next.flags.join(',') || 'no flags'}`
    } else if (next.kind === 'icmp' || next.kind === 'icmpv6') {
      text = `${header.source} > ${header.destination} ${next.kind} type ${next.type} code ${next.code} about`
    } else if (next.kind === 'other')
      text = `${header.source} > ${header.destination} protocol ${next.protocol}`
    else text = `${header.source} > ${header.destination} carries`
    parts.push(`${text} ttl ${header.ttl}${header.tos ? ` tos 0x${header.tos.toString(16)}` : ''}`)
  })
  return parts.join(' | ').replace(/ (carries|about) ttl (\d+)( tos 0x[0-9a-f]+)? \| /g, ' ttl $2$3 $1: ')
}

/** `02:00:00:00:00:01` as six bytes. */
export function macBytes(text: string): Uint8Array {
  const bytes = Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16))
  return bytes.length === 6 ? bytes : new Uint8Array(6)
}

export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':')
}

/** Adds up 16-bit words in network order; a last odd byte is the upper half of a word. */
function sum(bytes: Uint8Array, from: number, to: number, start: number): number {
  let total = start
  for (let i = from; i < to; i += 2) total += (bytes[i]! << 8) | (i + 1 < to ? bytes[i + 1]! : 0)
  return total
}

function finish(total: number): number {
  let folded = total
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000)
  return ~folded & 0xffff
}
