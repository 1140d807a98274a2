// SPDX-License-Identifier: MIT
/**
 * A process of its own, inside a lab's namespace, that throws broken packets at the
 * programs and checks after each what must hold for every packet. Answers one line
 * of JSON. Called by test/packet/hostile.test.ts.
 */
import { addressBytes } from '../../../src/ipvs/address.js'
import { at } from '../../../src/datapath/kernel/layout.js'
import { inspectTable } from '../conn-table.js'
import { Netns } from '../netns.js'
import { Random } from '../random.js'
import type { Hook } from '../plane.js'
import { describeFrame, faultsOf } from './check.js'
import { eth, type Frame } from './frame.js'
import { ADDRESSES, BACK_MAC, Lab, masq, realMac, route, service, tunnel, type Ran } from './lab.js'

export interface HostileAnswer {
  readonly packets: number
  readonly verdicts: Readonly<Record<string, number>>
  readonly reasons: Readonly<Record<string, number>>
  readonly connections: number
  /** At most ten. */
  readonly faults: readonly string[]
}

const FAMILIES = [4, 6] as const

/** One of each kind that the programs tell apart. */
function seeds(): Frame[] {
  return FAMILIES.flatMap((family) => {
    const a = ADDRESSES[family]
    const fromReal = () => eth({ to: BACK_MAC, from: realMac(7) })
    return [
      ...['S', 'A', 'FA', 'R', 'PA'].map((flags) =>
        eth().ip(a.client, a.vip).tcp(40000, 80, { flags }).data(20),
      ),
      eth()
        .ip(a.client, a.vip)
        .tcp(40001, 81, { flags: 'S', options: new Uint8Array(20).fill(1) }),
      eth().ip(a.client, a.vip).tcp(40001, 82, { flags: 'S' }),
      eth().ip(a.client, a.vip).udp(40000, 53).data('question'),
      eth().ip(a.client, a.vip).udp(40000, 53, { checksum: 0 }).data('question'),
      eth().ip(a.client, a.vip).udp(40000, 54).data(33),
      eth().ip(a.client, a.vip2).udp(40000, 53).data(1400),
      fromReal().ip(a.real, a.client).tcp(8080, 40000, { flags: 'SA' }),
      fromReal().ip(a.real, a.client).udp(5353, 40000).data('answer'),
      fromReal().ip(a.vip, a.client).tcp(82, 40001, { flags: 'SA' }),
      eth()
        .ip(a.client, a.vip)
        .icmp(family === 4 ? 8 : 128, 0)
        .data('ping'),
      eth().ip(a.stranger, a.other).tcp(1, 2).data('not yours'),
      eth().ip(a.client, a.vip).ip(a.client, a.vip).udp(1, 2),
    ]
  }).concat(
    [1, 10].map((words) =>
      eth()
        .ipv4(ADDRESSES[4].client, ADDRESSES[4].vip, { options: new Uint8Array(4 * words).fill(1) })
        .udp(40000, 53)
        .data('q'),
    ),
    [0, 43, 60, 51, 44].map((type) =>
      eth()
        .ipv6(ADDRESSES[6].client, ADDRESSES[6].vip)
        .extension(type, 16)
        .extension(60)
        .udp(40000, 53)
        .data('q'),
    ),
    [eth({ type: 0x0806 }).data(46), eth({ type: 0x8100 }).data(46)],
  )
}

function given(lab: Lab): void {
  for (const family of FAMILIES) {
    const a = ADDRESSES[family]
    const other = ADDRESSES[family === 4 ? 6 : 4]
    lab.given(
      service('tcp', a.vip, 80, 'rr', [masq(a.real, 8080), masq(a.real2, 80)]),
      service('tcp', a.vip, 81, 'wlc', [tunnel(a.real, 81), tunnel(other.real, 81), masq(a.thin, 1)]),
      service('tcp', a.vip, 82, 'lc', [route(a.real, 82), route(a.thin, 82)]),
      service('udp', a.vip, 53, 'wrr', [masq(a.real, 5353, { weight: 3 }), tunnel(other.real2, 53)]),
      service('udp', a.vip, 54, 'rr', []),
      service('udp', a.vip2, 53, 'rr', [masq(a.thin, 53), route(a.nowhere, 53), masq(a.silent, 53)]),
    )
  }
}

const OURS = FAMILIES.flatMap((family) => {
  const { vip, vip2, real, real2, thin, nowhere, silent } = ADDRESSES[family]
  return [vip, vip2, real, real2, thin, nowhere, silent].map((address) =>
    Buffer.from(addressBytes(address)).toString('latin1'),
  )
})

/** No address in it is ours, or it is not even IP: nothing may happen to it. */
function isForeign(frame: Uint8Array): boolean {
  const type = frame.length < 14 ? 0 : (frame[12]! << 8) | frame[13]!
  const text = (from: number, bytes: number) =>
    Buffer.from(frame.subarray(from, from + bytes)).toString('latin1')
  if (type === 0x0800) return !OURS.includes(text(26, 4)) && !OURS.includes(text(30, 4))
  if (type === 0x86dd) return !OURS.includes(text(22, 16)) && !OURS.includes(text(38, 16))
  return true
}

/** A few bytes, bits or lengths of a good packet turned into something else. */
function mutate(random: Random, seed: Uint8Array): Uint8Array {
  let frame = seed.slice()
  for (let changes = 1 + random.below(4); changes > 0; changes--) {
    // Mostly within the headers.
    const position =
      random.below(4) === 0 ? random.below(frame.length) : 12 + random.below(Math.min(80, frame.length - 12))
    switch (random.below(6)) {
      case 0:
        frame[position] = random.next() & 255
        break
      case 1:
        frame[position]! ^= 1 << random.below(8)
        break
      case 2:
        frame[position] = random.pick([0, 1, 4, 6, 17, 44, 127, 128, 254, 255])
        break
      case 3:
        frame = frame.slice(0, Math.max(15, random.below(frame.length + 1)))
        break
      case 4:
        frame = Uint8Array.from([...frame, ...new Uint8Array(random.below(40)).fill(random.next() & 255)])
        break
      default:
        // Another client, so that connections come and go.
        if (frame.length > 36) frame[34] = random.next() & 255
    }
  }
  // What has a wrong header checksum goes no further than the parser: mend most.
  if (frame.length >= 34 && frame[12] === 8 && frame[13] === 0 && random.below(8) > 0) mendIpv4(frame)
  return frame
}

function mendIpv4(frame: Uint8Array): void {
  const header = frame.subarray(14, Math.min(frame.length, 14 + (frame[14]! & 15) * 4))
  if (header.length < 20 || header.length % 2 !== 0) return
  header[10] = header[11] = 0
  let sum = 0
  for (let i = 0; i < header.length; i += 2) sum += (header[i]! << 8) | header[i + 1]!
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  header[10] = (~sum >>> 8) & 255
  header[11] = ~sum & 255
}

/** Test runs of tc refuse, since Linux 6.17, what is shorter than the header it announces. */
function isRefused(frame: Uint8Array): boolean {
  const type = (frame[12]! << 8) | frame[13]!
  return (type === 0x0800 && frame.length < 34) || (type === 0x86dd && frame.length < 54)
}

/** Everything that must hold for one packet; a sentence when something does not. */
function judge(hook: Hook, input: Uint8Array, { verdict, frame }: Ran): string | undefined {
  if (verdict === 'PASS' && !Buffer.from(frame).equals(input)) return 'passed on, but changed'
  if (verdict === 'PASS') return undefined
  if (isForeign(input)) return `a foreign packet, but ${verdict}`
  if (verdict === 'DROP') return undefined
  const output = frame.slice()
  // tc leaves the Ethernet header to the neighbour layer.
  if (hook === 'tc') output.set(output[14]! >> 4 === 6 ? [0x86, 0xdd] : [0x08, 0x00], 12)
  const faults = faultsOf(output)
  const length = faults.find((fault) => /bad header|says|header checksum/.test(fault) && !fault.includes('/'))
  if (length !== undefined) return `left with a broken header: ${length}`
  if (faults.length > 0 && faultsOf(unpadded(input)).length === 0)
    return `was right, left as ${faults.join(', ')}`
  return undefined
}

/** The frame less what its IP header does not count. */
function unpadded(frame: Uint8Array): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  const length = frame[12] === 8 ? view.getUint16(16) : 40 + view.getUint16(18)
  return frame.subarray(0, 14 + length)
}

function attack(hook: Hook, count: number, seed: number): HostileAnswer {
  using lab = new Lab({ buckets: { buckets4: 64, spares4: 8, buckets6: 64, spares6: 8 } }, Netns.here())
  lab.reset()
  given(lab)
  const random = new Random(seed)
  const verdicts: Record<string, number> = {}
  const faults: string[] = []
  let packets = 0

  const throwAt = (frame: Uint8Array) => {
    if (hook === 'tc' && isRefused(frame)) return
    packets++
    const ran = lab.run(hook, frame)
    verdicts[ran.verdict] = (verdicts[ran.verdict] ?? 0) + 1
    const fault = judge(hook, frame, ran)
    if (fault !== undefined && faults.length < 10) {
      faults.push(`${fault}\n  in  ${hex(frame)}\n      ${describeFrame(frame)}\n  out ${hex(ran.frame)}`)
    }
  }

  const frames = seeds().map((frame) => frame.bytes())
  // Shorter frames than an Ethernet header and one byte do not reach a program.
  for (const frame of frames) for (let cut = 15; cut <= frame.length; cut++) throwAt(frame.slice(0, cut))
  while (packets < count) {
    throwAt(mutate(random, random.pick(frames)))
    // A minute every now and then, so that the table does not just fill up.
    if (packets % 1000 === 0) lab.plane.advance(60)
  }

  const reasons = lab.plane.reasons(hook)
  const counted = Object.values(reasons).reduce((sum, count) => sum + count, 0)
  if (counted !== packets) faults.push(`${packets} packets, but ${counted} verdicts counted`)
  faults.push(...tableFaults(lab))
  return { packets, verdicts, reasons, connections: lab.connections.length, faults }
}

function tableFaults(lab: Lab): string[] {
  const { plane } = lab
  const { buckets4, spares4, buckets6, spares6 } = plane.buckets
  const heads = plane.table('spare_buckets')
  const reports = [
    inspectTable(plane.table('conns4'), heads, {
      family: 4,
      buckets: buckets4,
      spares: spares4,
      hashSeed: 0,
    }),
    inspectTable(plane.table('conns6'), heads, {
      family: 6,
      buckets: buckets6,
      spares: spares6,
      hashSeed: 0,
    }),
  ]
  const faults = reports.flatMap((report) => report.faults)
  const dests = plane.table('dests')
  for (let dest = 1; dest < dests.length; dest++) {
    const sum = (field: 'active' | 'total') =>
      reports.reduce((total, { loads }) => total + (loads.get(dest)?.[field] ?? 0), 0)
    for (const field of ['active', 'total'] as const) {
      const says = dests.u32(dest, at.dest[field])
      if (says !== sum(field)) faults.push(`dest ${dest} says ${says} ${field}, the table ${sum(field)}`)
    }
  }
  return faults
}

const hex = (frame: Uint8Array) => Buffer.from(frame).toString('hex')

const [hook, count, seed] = process.argv.slice(2)
process.stdout.write(`${JSON.stringify(attack(hook as Hook, Number(count), Number(seed)))}\n`)
