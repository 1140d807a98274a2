// SPDX-License-Identifier: MIT
/** Reads a frame as its receiver would: lengths and checksums, through tunnels and quotes. */
import { decode } from '../replay/frame.js'
import { checksum, transportChecksum } from './frame.js'

/** Everything that a receiver would drop the frame for, in words; nothing when it is right. */
export function faultsOf(frame: Uint8Array): string[] {
  if (frame.length < 14) return [`a frame of ${frame.length} bytes`]
  const type = (frame[12]! << 8) | frame[13]!
  if (type === 0x0800) return ipv4Faults(frame.subarray(14), 'IPv4')
  if (type === 0x86dd) return ipv6Faults(frame.subarray(14), 'IPv6')
  return [`ethertype 0x${type.toString(16)}`]
}

/** One line for people. */
export function describeFrame(frame: Uint8Array): string {
  const { summary } = decode(Buffer.from(frame).toString('hex'))
  const faults = faultsOf(frame)
  return faults.length === 0 ? summary : `${summary} (${faults.join('; ')})`
}

function ipv4Faults(packet: Uint8Array, name: string): string[] {
  const view = viewOf(packet)
  if (packet.length < 20) return [`${name}: header cut off`]
  const header = (packet[0]! & 15) * 4
  const length = view.getUint16(2)
  if (packet[0]! >> 4 !== 4 || header < 20 || header > packet.length) return [`${name}: bad header`]
  const faults: string[] = []
  if (length !== packet.length) faults.push(`${name}: says ${length} bytes, has ${packet.length}`)
  if (checksum(packet.subarray(0, header)) !== 0) faults.push(`${name}: header checksum is wrong`)
  if ((view.getUint16(6) & 0x3fff) !== 0) return faults // a fragment
  const addresses = { from: packet.subarray(12, 16), to: packet.subarray(16, 20) }
  return [...faults, ...payloadFaults(packet[9]!, packet.subarray(header), addresses, name)]
}

function ipv6Faults(packet: Uint8Array, name: string): string[] {
  const view = viewOf(packet)
  if (packet.length < 40 || packet[0]! >> 4 !== 6) return [`${name}: bad header`]
  const faults: string[] = []
  const length = view.getUint16(4)
  if (length !== packet.length - 40) faults.push(`${name}: says ${length} bytes, has ${packet.length - 40}`)
  const addresses = { from: packet.subarray(8, 24), to: packet.subarray(24, 40) }
  let [next, at] = [packet[6]!, 40]
  while ([0, 43, 60].includes(next) && at + 8 <= packet.length) {
    next = packet[at]!
    at += (packet[at + 1]! + 1) * 8
  }
  return [...faults, ...payloadFaults(next, packet.subarray(at), addresses, name)]
}

function payloadFaults(
  protocol: number,
  payload: Uint8Array,
  addresses: { readonly from: Uint8Array; readonly to: Uint8Array },
  outer: string,
): string[] {
  switch (protocol) {
    case 4:
      return ipv4Faults(payload, `${outer}/IPv4`)
    case 41:
      return ipv6Faults(payload, `${outer}/IPv6`)
    case 1:
      return checksum(payload) === 0 ? [] : ['ICMP: checksum is wrong']
    case 58:
      return transportChecksum(payload, 58, addresses) === 0 ? [] : ['ICMPv6: checksum is wrong']
    case 6:
      if (payload.length < 20) return ['TCP: header cut off']
      return transportChecksum(payload, 6, addresses) === 0 ? [] : ['TCP: checksum is wrong']
    case 17: {
      if (payload.length < 8) return ['UDP: header cut off']
      const sum = viewOf(payload).getUint16(6)
      if (sum === 0) return addresses.from.length === 4 ? [] : ['UDP: no checksum over IPv6']
      return transportChecksum(payload, 17, addresses) === 0 ? [] : ['UDP: checksum is wrong']
    }
    default:
      return []
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
