// SPDX-License-Identifier: MIT
/**
 * IP addresses as text and as bytes.
 *
 * Inside the program an address is always the text `inet_ntop` writes, so two are the
 * same when their texts are equal. `parseAddress` makes that text from what a user
 * typed; `parseInetAton` accepts the old short forms ipvsadm takes besides.
 */
import type { Family } from './service.js'

export interface Address {
  readonly family: Family
  /** As `inet_ntop` writes it. */
  readonly text: string
}

const PART = '(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])'
const IPV4 = new RegExp(`^${PART}\\.${PART}\\.${PART}\\.${PART}$`)

/**
 * Reads a complete IPv4 or IPv6 address, as `inet_pton` does: four decimal parts
 * without leading zeros, words of at most four digits, no zone. Undefined for
 * anything else.
 *
 * Our own, because ipaddr.js takes `1`, `010.0.0.1` and zones, and reads `::1.2.3.4`
 * as if it were `::ffff:1.2.3.4`.
 */
export function parseAddress(text: string): Address | undefined {
  if (IPV4.test(text)) return { family: 4, text }
  const bytes = ipv6Bytes(text)
  return bytes === undefined ? undefined : { family: 6, text: formatAddress(bytes) }
}

function ipv6Bytes(text: string): Uint8Array | undefined {
  // At least two colons: most of what is asked is `10.0.0.1:80`.
  if (text.indexOf(':') === text.lastIndexOf(':')) return undefined
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const parts = halves.map((half, i) => (half === '' ? [] : halfBytes(half, i === halves.length - 1)))
  const [head, tail] = parts
  if (head === undefined || parts.includes(undefined)) return undefined
  if (tail === undefined) return head.length === 16 ? Uint8Array.from(head) : undefined
  // `::` stands for at least one word.
  const gap = 16 - head.length - tail.length
  return gap >= 2 ? Uint8Array.from([...head, ...Array<number>(gap).fill(0), ...tail]) : undefined
}

/** Words between colons; the last of the address may be dotted IPv4. */
function halfBytes(half: string, isEnd: boolean): number[] | undefined {
  const bytes: number[] = []
  const words = half.split(':')
  for (const [i, word] of words.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(word)) {
      const value = Number.parseInt(word, 16)
      bytes.push(value >> 8, value & 0xff)
    } else if (isEnd && i === words.length - 1 && IPV4.test(word)) {
      bytes.push(...word.split('.').map(Number))
    } else {
      return undefined
    }
  }
  return bytes
}

/**
 * Reads IPv4 in the forms of `inet_aton`: one to four parts, each decimal, octal (0…)
 * or hexadecimal (0x…), the last one filling what is left: `10.1` is 10.0.0.1.
 */
export function parseInetAton(text: string): string | undefined {
  if (IPV4.test(text)) return text
  const parts = text.split('.')
  if (parts.length > 4) return undefined
  let value = 0
  for (const [position, part] of parts.entries()) {
    const number = parsePart(part)
    const bytes = position === parts.length - 1 ? 5 - parts.length : 1
    if (number === undefined || number >= 2 ** (8 * bytes)) return undefined
    value = value * 2 ** (8 * bytes) + number
  }
  return formatIpv4(value)
}

function parsePart(part: string): number | undefined {
  if (/^0x[0-9a-f]+$/i.test(part)) return Number.parseInt(part.slice(2), 16)
  if (/^0[0-7]*$/.test(part)) return Number.parseInt(part, 8)
  if (/^[1-9][0-9]*$/.test(part)) return Number.parseInt(part, 10)
  return undefined
}

/** 4 or 16 bytes in network order, of an address in canonical text. */
export function addressBytes(text: string): Uint8Array {
  const bytes = text.includes(':') ? ipv6Bytes(text) : Uint8Array.from(text.split('.').map(Number))
  if (bytes === undefined) throw new Error(`not a canonical address: ${text}`)
  return bytes
}

/** Canonical text of 4 or 16 bytes in network order. */
export function formatAddress(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  const words = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!)
  const [start, length] = longestZeroRun(words)

  // inet_ntop writes ::ffff:1.2.3.4 and the old ::1.2.3.4, but ::1 and ::ffff as words.
  const dotted = start === 0 && (length === 6 || (length === 5 && words[5] === 0xffff))
  const tail = dotted ? [bytes.subarray(12).join('.')] : []
  const hex = words.slice(0, dotted ? 6 : 8).map((word) => word.toString(16))
  if (length === 0) return [...hex, ...tail].join(':')
  const end = Math.min(start + length, hex.length)
  return `${hex.slice(0, start).join(':')}::${[...hex.slice(end), ...tail].join(':')}`
}

function longestZeroRun(words: readonly number[]): readonly [start: number, length: number] {
  let best: readonly [number, number] = [0, 0]
  for (let start = 0; start < words.length; start++) {
    let end = start
    while (words[end] === 0) end++
    // A single zero word is written out; of equal runs the first is shortened.
    if (end - start > Math.max(best[1], 1)) best = [start, end - start]
    start = end
  }
  return best
}

function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff).join('.')
}

/** The IPv4 address as the number its bytes spell. */
export function ipv4Number(text: string): number {
  return text.split('.').reduce((value, part) => value * 256 + Number(part), 0)
}

/**
 * Whether a real server may have this address, as far as the address alone tells.
 *
 * `link-local` may be one of the director's own addresses, which is allowed; whether an
 * IPv4 address is the broadcast address of a subnet only its routes tell
 * (inet_addr_type, ipv6_addr_type).
 */
export function addressKind(text: string): 'unicast' | 'link-local' | 'other' {
  const bytes = addressBytes(text)
  const first = bytes[0]!
  if (bytes.length === 4) {
    const multicast = first >= 224 && first < 240
    return multicast || text === '0.0.0.0' || text === '255.255.255.255' ? 'other' : 'unicast'
  }
  if (first === 0xff) return 'other'
  if (first === 0xfe && (bytes[1]! & 0xc0) === 0x80) return 'link-local'
  const leading = bytes.subarray(0, 10).every((byte) => byte === 0)
  if (leading && bytes[10] === 0xff && bytes[11] === 0xff) return 'other'
  return bytes.every((byte) => byte === 0) ? 'other' : 'unicast'
}

/** `10.0.0.1:80`, `[2001:db8::1]:80`. */
export function endpointText(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
