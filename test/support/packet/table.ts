// SPDX-License-Identifier: MIT
/**
 * Runs tables of packets through both hooks.
 *
 * Each case is played twice from a clean state: to tc alone, and to XDP with tc
 * behind it. Either XDP does exactly what tc would have done, or it says why not and
 * leaves no trace, not in the packet and not in the maps, and tc does it then.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import type { Counters } from '../../../src/ipvs/stats.js'
import { describeFrame, faultsOf } from './check.js'
import type { Frame } from './frame.js'
import { Lab, type GivenService, type Ran, type RunOptions, type Verdict } from './lab.js'
import type { Hook, PlaneOptions } from '../plane.js'

export interface PacketCase {
  readonly name: string
  readonly given: readonly GivenService[]
  readonly settings?: Readonly<Record<string, number>>
  /** Packets that came before, by either hook; nobody looks at what becomes of them. */
  readonly before?: readonly (Frame | ((lab: Lab) => void))[]
  readonly packet: Frame
  /** Where it comes in, and how; `front` unless said otherwise. */
  readonly from?: RunOptions
  readonly verdict: Verdict
  /** Why, by the name of enum reason. */
  readonly reason: string
  /** Why XDP leaves it to tc; absent: it does the same itself. */
  readonly xdp?: string
  /** What leaves, with the MAC addresses of its way; absent: what came. */
  readonly out?: Frame
  /** What is added to the counters of the first dest and of everything. */
  readonly counts?: Partial<Record<keyof Counters, number>>
  /** The first dest is not the one that the packet goes to. */
  readonly skipDestCounts?: boolean
  /** XDP may end an expired connection before it leaves the packet: tc would do the same. */
  readonly leavesTraces?: boolean
  /** The connection afterwards: state and whether it counts as active. */
  readonly state?: readonly [state: string, active: boolean]
  /** How many connections there are afterwards. */
  readonly connections?: number
  /** Faults of a frame that came in with them. */
  readonly faults?: readonly string[]
}

/** One `it` per case and hook. */
export function packetCases(title: string, cases: readonly PacketCase[], options: PlaneOptions = {}): void {
  describe(title, () => {
    let lab: Lab

    beforeAll(() => {
      lab = new Lab(options)
    })

    afterAll(() => lab?.[Symbol.dispose]())

    for (const hook of ['tc', 'xdp'] as const) {
      it.each(cases)(`$name (${hook})`, (packetCase) => play(lab, hook, packetCase))
    }
  })
}

function play(lab: Lab, hook: Hook, packetCase: PacketCase): void {
  const { given, settings, before = [], packet, from, verdict, reason, xdp, counts } = packetCase
  lab.reset()
  lab.given(...given)
  if (settings !== undefined) lab.plane.datapath.setSettings(settings)
  for (const step of before) {
    if (typeof step === 'function') step(lab)
    else if (hook === 'xdp') lab.deliver(step)
    else lab.run('tc', step)
  }
  const [firstService] = given
  const countersBefore = { total: lab.totals(), dest: firstService && lab.destCounters(firstService.key) }
  const [tcBefore, xdpBefore] = [lab.plane.reasons('tc'), lab.plane.reasons('xdp')]
  const input = packet.bytes()

  let ran: Ran
  const leaves = hook === 'xdp' && xdp !== undefined
  if (leaves) {
    const traces = lab.traces()
    const first = lab.run('xdp', input, from)
    expect(first.verdict).toBe('PASS')
    expect(describeFrame(first.frame)).toBe(describeFrame(input))
    expect(Buffer.from(first.frame).equals(input)).toBe(true)
    expect(added(lab.plane.reasons('xdp'), xdpBefore)).toEqual({ [xdp]: 1 })
    if (packetCase.leavesTraces !== true) expect(lab.traces()).toEqual(traces)
    ran = lab.run('tc', first.frame, from)
  } else {
    ran = lab.run(hook, input, from)
  }

  const doer = leaves ? 'tc' : hook
  const reasons = lab.plane.reasons(doer)
  expect(added(reasons, doer === 'tc' ? tcBefore : xdpBefore)).toEqual({ [reason]: 1 })
  expect(ran.verdict).toBe(verdict)
  if (verdict !== 'DROP') compareFrames(ran.frame, packetCase.out ?? packet, doer, packetCase.faults ?? [])

  const expected = { conns: 0, inPackets: 0, outPackets: 0, inBytes: 0, outBytes: 0, ...counts }
  expect(difference(lab.totals(), countersBefore.total)).toEqual(expected)
  if (firstService !== undefined && countersBefore.dest !== undefined && packetCase.skipDestCounts !== true) {
    const now = lab.destCounters(firstService.key)
    if (now !== undefined) expect(difference(now, countersBefore.dest)).toEqual(expected)
  }
  const { connections } = lab
  if (packetCase.state !== undefined) {
    expect(connections.map(({ state, active }) => [state, active])).toEqual([packetCase.state])
  }
  if (packetCase.connections !== undefined) expect(connections).toHaveLength(packetCase.connections)
}

/** For tc the MAC addresses are written after the program, so they are not looked at. */
export function compareFrames(
  actual: Uint8Array,
  expected: Frame,
  hook: Hook,
  faults: readonly string[] = [],
): void {
  const wanted = expected.bytes(actual)
  if (hook === 'tc') wanted.set(actual.subarray(0, 14))
  expect(describeFrame(actual)).toBe(describeFrame(wanted))
  expect(Buffer.from(actual).toString('hex')).toBe(Buffer.from(wanted).toString('hex'))
  if (hook === 'xdp') expect(faultsOf(actual)).toEqual(faults)
  else expect(faultsOf(withType(actual))).toEqual(faults)
}

/** tc leaves the old ethertype too; the packet tells what it should be. */
function withType(frame: Uint8Array): Uint8Array {
  const fixed = frame.slice()
  const type = (frame[12]! << 8) | frame[13]!
  if (type !== 0x0800 && type !== 0x86dd) return fixed
  fixed.set(frame[14]! >> 4 === 6 ? [0x86, 0xdd] : [0x08, 0x00], 12)
  return fixed
}

function added(now: Readonly<Record<string, number>>, before: Readonly<Record<string, number>>) {
  return Object.fromEntries(
    Object.entries(now)
      .map(([name, count]) => [name, count - (before[name] ?? 0)] as const)
      .filter(([, count]) => count !== 0),
  )
}

function difference(now: Counters, before: Counters): Record<keyof Counters, number> {
  const names = ['conns', 'inPackets', 'outPackets', 'inBytes', 'outBytes'] as const
  return Object.fromEntries(names.map((name) => [name, Number(now[name] - before[name])])) as Record<
    keyof Counters,
    number
  >
}
