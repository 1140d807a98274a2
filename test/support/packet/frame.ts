// SPDX-License-Identifier: MIT
/**
 * Ethernet frames for tests, from the outside in, with right lengths and checksums
 * unless a test asks for wrong ones.
 *
 * ```ts
 * eth().ipv4('192.0.2.9', '10.0.0.1').udp(40000, 53).data('q').bytes()
 * ```
 *
 * A frame never changes; each call gives a longer one.
 */
import { addressBytes } from '../../../src/ipvs/address.js'

export interface EthOptions {
  readonly to?: string
  readonly from?: string
  /** Instead of what the next layer says. */
  readonly type?: number
}

export interface Ipv4Options {
  readonly ttl?: number
  readonly tos?: number
  /** `any`: as in the frame this one is compared with. */
  readonly id?: number | 'any'
  readonly df?: boolean
  readonly mf?: boolean
  /** In units of 8 bytes. */
  readonly offset?: number
  /** A multiple of four bytes. */
  readonly options?: Uint8Array
  readonly protocol?: number
  /** Of the whole packet, instead of the true one. */
  readonly length?: number
  readonly checksum?: number
}

export interface Ipv6Options {
  readonly hops?: number
  readonly tclass?: number
  readonly flow?: number
  readonly next?: number
  /** Of the payload, instead of the true one. */
  readonly length?: number
}

export interface UdpOptions {
  readonly checksum?: number
  readonly length?: number
}

export interface TcpOptions {
  /** Letters: S F R A P. An opener when absent. */
  readonly flags?: string
  readonly seq?: number
  readonly ack?: number
  readonly window?: number
  readonly checksum?: number
  readonly options?: Uint8Array
}

/** What a layer must know of those around it. */
interface Around {
  readonly payload: Uint8Array
  /** Protocol number or ethertype of the next layer. */
  readonly next: { readonly protocol: number; readonly ethertype: number } | undefined
  /** Addresses of the IP header outside. */
  readonly addresses: { readonly from: Uint8Array; readonly to: Uint8Array } | undefined
}

interface Layer {
  readonly protocol: number
  readonly ethertype: number
  readonly addresses?: { readonly from: Uint8Array; readonly to: Uint8Array }
  encode(around: Around): Uint8Array
}

export const CLIENT_MAC = '02:00:00:00:01:c9'
export const DIRECTOR_MAC = '02:00:00:00:01:01'

export class Frame {
  readonly #layers: readonly Layer[]

  constructor(layers: readonly Layer[]) {
    this.#layers = layers
  }

  ipv4(from: string, to: string, options: Ipv4Options = {}): Frame {
    return this.#with(ipv4Layer(from, to, options))
  }

  ipv6(from: string, to: string, options: Ipv6Options = {}): Frame {
    return this.#with(ipv6Layer(from, to, options))
  }

  /** IPv4 or IPv6 by the looks of the addresses, with what both families have. */
  ip(from: string, to: string, { ttl, tos }: { readonly ttl?: number; readonly tos?: number } = {}): Frame {
    if (from.includes(':')) {
      return this.ipv6(from, to, {
        ...(ttl === undefined ? {} : { hops: ttl }),
        ...(tos === undefined ? {} : { tclass: tos }),
      })
    }
    return this.ipv4(from, to, {
      ...(ttl === undefined ? {} : { ttl }),
      ...(tos === undefined ? {} : { tos }),
    })
  }

  udp(from: number, to: number, options: UdpOptions = {}): Frame {
    return this.#with({
      protocol: 17,
      ethertype: 0,
      encode({ payload, addresses }) {
        const bytes = join(new Uint8Array(8), payload)
        const view = new DataView(bytes.buffer)
        view.setUint16(0, from)
        view.setUint16(2, to)
        view.setUint16(4, options.length ?? bytes.length)
        view.setUint16(6, options.checksum ?? (transportChecksum(bytes, 17, addresses) || 0xffff))
        return bytes
      },
    })
  }

  tcp(from: number, to: number, options: TcpOptions = {}): Frame {
    const { flags = 'S', seq = 1000, ack = flags.includes('A') ? 2000 : 0, window = 64240 } = options
    const extra = options.options ?? new Uint8Array()
    return this.#with({
      protocol: 6,
      ethertype: 0,
      encode({ payload, addresses }) {
        const bytes = join(new Uint8Array(20), extra, payload)
        const view = new DataView(bytes.buffer)
        view.setUint16(0, from)
        view.setUint16(2, to)
        view.setUint32(4, seq)
        view.setUint32(8, ack)
        view.setUint8(12, ((20 + extra.length) / 4) << 4)
        view.setUint8(
          13,
          [...flags].reduce((sum, letter) => sum | (1 << 'FSRPA'.indexOf(letter)), 0),
        )
        view.setUint16(14, window)
        view.setUint16(16, options.checksum ?? transportChecksum(bytes, 6, addresses))
        return bytes
      },
    })
  }

  /** ICMP or ICMPv6, whichever suits the header outside. `info` is the second word. */
  icmp(type: number, code: number, info = 0): Frame {
    const outer = this.#layers.at(-1)
    const six = outer?.addresses?.from.length === 16
    return this.#with({
      protocol: six ? 58 : 1,
      ethertype: 0,
      encode({ payload, addresses }) {
        const bytes = join(new Uint8Array(8), payload)
        const view = new DataView(bytes.buffer)
        view.setUint8(0, type)
        view.setUint8(1, code)
        view.setUint32(4, info)
        view.setUint16(2, six ? transportChecksum(bytes, 58, addresses) : checksum(bytes))
        return bytes
      },
    })
  }

  /** An IPv6 extension header of `type`, of a multiple of eight bytes. */
  extension(type: number, bytes = 8): Frame {
    return this.#with({
      protocol: type,
      ethertype: 0,
      encode({ payload, next }) {
        const header = new Uint8Array(bytes)
        header[0] = next?.protocol ?? 59
        header[1] = bytes / 8 - 1
        header[2] = 1 // PadN, to the end
        header[3] = bytes - 4
        return join(header, payload)
      },
    })
  }

  data(data: string | Uint8Array | number): Frame {
    const bytes =
      typeof data === 'string'
        ? new TextEncoder().encode(data)
        : typeof data === 'number'
          ? Uint8Array.from({ length: data }, (_, i) => i * 7)
          : data
    return this.#with({ protocol: 59, ethertype: 0, encode: ({ payload }) => join(bytes, payload) })
  }

  /** Bytes behind the packet that no header counts, as short Ethernet frames have. */
  padding(bytes: number): Frame {
    return new Padded(this.#layers, bytes)
  }

  /** The frame; identifications that may be any are taken from `actual`. */
  bytes(actual?: Uint8Array): Uint8Array {
    const mine = this.encode()
    return actual === undefined ? mine : adoptIds(mine, actual)
  }

  protected encode(): Uint8Array {
    let payload: Uint8Array = new Uint8Array()
    for (let i = this.#layers.length - 1; i >= 0; i--) {
      const next = this.#layers[i + 1]
      const outer = this.#layers.slice(0, i).findLast((layer) => layer.addresses !== undefined)
      payload = this.#layers[i]!.encode({ payload, next, addresses: outer?.addresses })
    }
    return payload
  }

  #with(layer: Layer): Frame {
    return new Frame([...this.#layers, layer])
  }
}

class Padded extends Frame {
  readonly #padding: number

  constructor(layers: readonly Layer[], padding: number) {
    super(layers)
    this.#padding = padding
  }

  protected override encode(): Uint8Array {
    return join(super.encode(), new Uint8Array(this.#padding).fill(0xee))
  }
}

/** From the client's router to the director, unless said otherwise. */
export function eth({ to = DIRECTOR_MAC, from = CLIENT_MAC, type }: EthOptions = {}): Frame {
  return new Frame([
    {
      protocol: 0,
      ethertype: 0,
      encode({ payload, next }) {
        const header = new Uint8Array(14)
        header.set(macBytes(to), 0)
        header.set(macBytes(from), 6)
        new DataView(header.buffer).setUint16(12, type ?? next?.ethertype ?? 0)
        return join(header, payload)
      },
    },
  ])
}

/** Marks an identification that is not known beforehand: no test can hit it by chance. */
const ANY_ID = 0xa11d

function ipv4Layer(from: string, to: string, options: Ipv4Options): Layer {
  const addresses = { from: addressBytes(from), to: addressBytes(to) }
  const extra = options.options ?? new Uint8Array()
  return {
    protocol: 4,
    ethertype: 0x0800,
    addresses,
    encode({ payload, next }) {
      const header = new Uint8Array(20 + extra.length)
      const view = new DataView(header.buffer)
      const { df = true, mf = false, offset = 0, id = 0x1234 } = options
      view.setUint8(0, 0x40 | (header.length / 4))
      view.setUint8(1, options.tos ?? 0)
      view.setUint16(2, options.length ?? header.length + payload.length)
      view.setUint16(4, id === 'any' ? ANY_ID : id)
      view.setUint16(6, (df ? 0x4000 : 0) | (mf ? 0x2000 : 0) | offset)
      view.setUint8(8, options.ttl ?? 64)
      view.setUint8(9, options.protocol ?? next?.protocol ?? 255)
      header.set(addresses.from, 12)
      header.set(addresses.to, 16)
      header.set(extra, 20)
      view.setUint16(10, options.checksum ?? checksum(header))
      return join(header, payload)
    },
  }
}

function ipv6Layer(from: string, to: string, options: Ipv6Options): Layer {
  const addresses = { from: addressBytes(from), to: addressBytes(to) }
  return {
    protocol: 41,
    ethertype: 0x86dd,
    addresses,
    encode({ payload, next }) {
      const header = new Uint8Array(40)
      const view = new DataView(header.buffer)
      const { tclass = 0, flow = 0, hops = 64 } = options
      view.setUint32(0, ((6 << 28) | (tclass << 20) | flow) >>> 0)
      view.setUint16(4, options.length ?? payload.length)
      view.setUint8(6, options.next ?? next?.protocol ?? 59)
      view.setUint8(7, hops)
      header.set(addresses.from, 8)
      header.set(addresses.to, 24)
      return join(header, payload)
    },
  }
}

/** Puts `actual`'s identification where an IPv4 header of ours leaves it open. */
function adoptIds(mine: Uint8Array, actual: Uint8Array): Uint8Array {
  const bytes = mine.slice()
  const view = new DataView(bytes.buffer)
  for (let at = 14; at + 20 <= bytes.length && bytes[at]! >> 4 === 4;) {
    const length = (bytes[at]! & 15) * 4
    if (view.getUint16(at + 4) === ANY_ID && at + 6 <= actual.length) {
      bytes.set(actual.subarray(at + 4, at + 6), at + 4)
      view.setUint16(at + 10, 0)
      view.setUint16(at + 10, checksum(bytes.subarray(at, at + length)))
    }
    if (bytes[at + 9] !== 4) break
    at += length
  }
  return bytes
}

/** The Internet checksum of what has zero in its place, right bytes give 0 with it. */
export function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0
  for (const part of parts)
    for (let i = 0; i < part.length; i++) sum += i % 2 === 0 ? part[i]! << 8 : part[i]!
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

/** With the pseudo header; every part but the last has an even length. */
export function transportChecksum(
  segment: Uint8Array,
  protocol: number,
  addresses: { readonly from: Uint8Array; readonly to: Uint8Array } | undefined,
): number {
  if (addresses === undefined) throw new RangeError('a transport header needs an IP header outside')
  const tail = new Uint8Array(8)
  const view = new DataView(tail.buffer)
  view.setUint32(0, segment.length)
  view.setUint32(4, protocol)
  return checksum(addresses.from, addresses.to, tail, segment)
}

export function macBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(':').map((byte) => Number.parseInt(byte, 16)))
}

function join(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
