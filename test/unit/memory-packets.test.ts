// SPDX-License-Identifier: MIT
/**
 * Recorded packets of the real kernel on the model, which knows tuples only: which side
 * they left at, the connections after every step, and the listings.
 *
 * Scenarios with frames a tuple cannot express (fragments, ICMP, bad headers, small
 * TTL, too big) or settings the model lacks are left to the replay of whole frames, and
 * so is what the stack around IPVS decides: odd addresses, routes, local servers.
 */
import { describe, expect, test } from 'vitest'
import { MemoryDatapath, type Packet, type Sysctls } from '../../src/datapath/memory/memory.js'
import { endpoint, NUMERIC } from '../../src/cli/ipvsadm/listing.js'
import { formatAddress } from '../../src/ipvs/address.js'
import { ipvsadm, ipvsadmLine } from '../support/ipvsadm.js'
import {
  packetRecording,
  packetScenarios,
  setupCommand,
  type PacketRecording,
  type ShowStep,
  type Step,
} from '../support/replay/recording.js'

const SYSCTLS: Readonly<Record<string, (value: string) => Partial<Sysctls>>> = {
  conn_reuse_mode: (value) => ({ connReuseMode: Number(value) }),
  expire_nodest_conn: (value) => ({ expireNodestConn: value !== '0' }),
  sloppy_tcp: (value) => ({ sloppyTcp: value !== '0' }),
  secure_tcp: (value) => ({ secureTcp: Number(value) > 1 }),
}

/** Runs a recorded command; false when the model has nothing like it. */
function command(datapath: MemoryDatapath, line: string): boolean {
  if (line.startsWith('ipvsadm ')) {
    const { stderr } = ipvsadmLine(datapath, line)
    return !stderr.includes('not supported yet')
  }
  const [, name = '', value = ''] = /^sysctl -qw net\.ipv4\.vs\.(\w+)='?(\d+)'?$/.exec(line) ?? []
  const setting = SYSCTLS[name]
  if (setting === undefined) return false
  datapath.setSysctls(setting(value))
  return true
}

/** The packet in a frame, when a tuple says all there is to say of it. */
function packetOf(frame: string): Packet | undefined {
  const data = Buffer.from(frame, 'hex').subarray(12)
  const type = data.readUInt16BE(0)
  const ip = data.subarray(2)
  if (type === 0x0800) {
    const total = ip.readUInt16BE(2)
    const plain = ip[0] === 0x45 && (ip.readUInt16BE(6) & 0x3fff) === 0 && ip[8]! > 1 && total <= ip.length
    return plain
      ? transport(4, ip[9]!, ip.subarray(12, 16), ip.subarray(16, 20), ip.subarray(20, total), 20)
      : undefined
  }
  if (type === 0x86dd) {
    const length = ip.readUInt16BE(4)
    const plain = ip[7]! > 1 && length > 0 && 40 + length <= ip.length
    return plain
      ? transport(6, ip[6]!, ip.subarray(8, 24), ip.subarray(24, 40), ip.subarray(40, 40 + length), 40)
      : undefined
  }
  return undefined
}

function transport(
  family: 4 | 6,
  protocol: number,
  from: Uint8Array,
  to: Uint8Array,
  data: Buffer,
  header: number,
): Packet | undefined {
  const needed = { 6: 20, 17: 8 }[protocol]
  if (needed === undefined || data.length < needed || data.length > 1400) return undefined
  const flags = protocol === 6 ? data[13]! : 0
  return {
    family,
    protocol: protocol === 6 ? 'tcp' : 'udp',
    source: { address: formatAddress(from), port: data.readUInt16BE(0) },
    destination: { address: formatAddress(to), port: data.readUInt16BE(2) },
    flags: {
      fin: (flags & 1) !== 0,
      syn: (flags & 2) !== 0,
      rst: (flags & 4) !== 0,
      ack: (flags & 16) !== 0,
    },
    bytes: header + data.length,
  }
}

/** Rows as the recordings have them: the time rounded to what the timer was set to. */
function rows(datapath: MemoryDatapath): string[] {
  return [...datapath.connections()]
    .map(({ protocol, expiresMs, state, client, virtual, dest }) => {
      const seconds = Math.round(expiresMs / 1000)
      const time = [Math.floor(seconds / 60), seconds % 60].map((n) => String(n).padStart(2, '0')).join(':')
      const ends = [client, virtual, dest].map((end) => endpoint(end, undefined, NUMERIC)).join(' ')
      return `${protocol === 6 ? 'TCP' : 'UDP'}  ${time} ${state.padEnd(11)} ${ends}`
    })
    .sort()
}

interface Played {
  /** Why the model cannot tell; undefined when it played to the end. */
  readonly obstacle?: string
  readonly differences: readonly string[]
}

function play(recording: PacketRecording, sparingCounters: boolean): Played {
  const datapath = new MemoryDatapath()
  const differences: string[] = []
  for (const entry of recording.setup) {
    const line = setupCommand(entry)
    if (line !== undefined && !command(datapath, line)) return { obstacle: line, differences }
  }
  for (const [number, step] of recording.steps.entries()) {
    const obstacle = playStep(
      datapath,
      sparingCounters && 'show' in step ? withoutStats(step) : step,
      (what) => differences.push(`step ${number}: ${what}`),
    )
    if (obstacle !== undefined) return { obstacle: `step ${number}: ${obstacle}`, differences }
  }
  return { differences }
}

function withoutStats(step: ShowStep): ShowStep {
  return { show: Object.fromEntries(Object.entries(step.show).filter(([line]) => !line.includes('--stats'))) }
}

function playStep(datapath: MemoryDatapath, step: Step, differ: (what: string) => void): string | undefined {
  if ('show' in step) {
    for (const [line, wanted] of Object.entries(step.show)) {
      if (!line.startsWith('ipvsadm ')) continue
      const got = ipvsadm(datapath, line.split(' ').slice(1)).stdout.split('\n').slice(1, -1)
      if (got.join('\n') !== wanted.join('\n'))
        differ(`${line}:\n${got.join('\n')}\nnot\n${wanted.join('\n')}`)
    }
    return undefined
  }
  if ('do' in step) {
    if (!command(datapath, step.do)) return step.do
  } else if ('wait' in step) datapath.advance(step.wait * 1000)
  else if (!('frame' in step)) return 'sent by the director'
  else {
    const packet = packetOf(step.frame)
    if (packet === undefined) return `${step.is ?? step.frame}`
    const { verdict, direction } = datapath.deliver(packet)
    const left = step.out.map(({ at }) => at).join()
    // What is accepted is the stack's: it may forward it, or answer it.
    const wanted = { forward: direction === 'out' ? 'c' : 's', unreachable: step.in, drop: '', accept: left }[
      verdict
    ]
    if (left !== wanted) differ(`left at '${left}', ${verdict} means '${wanted}'`)
  }
  const got = rows(datapath)
  const loose = new Set((step.about ?? []).map(withoutTime))
  const sparing = (row: string): string => (loose.has(withoutTime(row)) ? withoutTime(row) : row)
  const wanted = step.conns.map(spaced).map(sparing).sort()
  if (got.map(sparing).sort().join('\n') !== wanted.join('\n')) {
    differ(`connections:\n${got.join('\n')}\nnot\n${wanted.join('\n')}`)
  }
  return undefined
}

const withoutTime = (row: string): string => row.replace(/\d\d:\d\d/, 'mm:ss')
const spaced = (row: string): string =>
  row.replace(/^(\S+) +(\S+) (\S+) +/, (_, p: string, t: string, s: string) => `${p}  ${t} ${s.padEnd(11)} `)

/** About the stack around IPVS, or about processes on the director. */
const AROUND = /^(edge|hairpin|local)-/

/**
 * A dest revived by a new service starts its counters at the kernel's last look at them,
 * which was before all its traffic; the model has no such delay.
 */
const LATE_COUNTERS = ['dest-service-deleted-expire-nodest-0']

const played = packetScenarios()
  .filter((name) => !AROUND.test(name))
  .map((name) => {
    const recording = packetRecording(name)
    return { name, shows: recording.shows, ...play(recording, LATE_COUNTERS.includes(name)) }
  })
const complete = played.filter(({ obstacle }) => obstacle === undefined)

describe('the kernel’s recorded packets on the model', () => {
  test.each(complete)('$name: $shows', ({ differences }) => {
    expect(differences).toEqual([])
  })

  test('most of TCP, NAT, DR, UDP and removed dests is among them', () => {
    expect(complete.length).toBeGreaterThanOrEqual(45)
  })

  test('what is told before an obstacle is right, too', () => {
    const wrong = played.filter(
      ({ obstacle, differences }) => obstacle !== undefined && differences.length > 0,
    )
    expect(wrong.map(({ name, differences }) => ({ name, differences }))).toEqual([])
  })
})
