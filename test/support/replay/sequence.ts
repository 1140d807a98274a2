// SPDX-License-Identifier: MIT
/**
 * Plays a recorded scheduler case: who is chosen for each new connection.
 *
 * A connection is one SYN (or datagram) whose dest is read from the frame that leaves.
 * Frames between two configuration commands go out in one request to the frame helper,
 * one after the other, because hundreds of steps must not cost hundreds of round trips.
 */
import type { Director, DirectorKind } from './director.js'
import { Lab } from './lab.js'
import {
  packetRecording,
  packetScenarios,
  type LabRecord,
  type ScheduleRecording,
  type ScheduleStep,
} from './recording.js'
import type { Patience } from './replay.js'
import type { Stage } from './rounds.js'
import type { CaughtFrame, Wire } from './wire.js'

interface Endpoint {
  readonly address: Buffer
  readonly port: number
}

const CLIENT_MAC = '020000000102'
const DIRECTOR_MAC = '020000000101'

/** Builds the lab of a case, with its director. */
export async function stageSequence(
  recording: ScheduleRecording,
  kind: DirectorKind,
  wire: Wire,
  patience: Patience,
): Promise<Stage> {
  const { lines, commands } = surroundings(recording)
  const lab = await Lab.build(wire, sharedLab(), { gro: kind.gro, extra: lines })
  const director = await kind.create(lab)
  return {
    play: async () => formatSequence(recording, await play(recording, commands, lab, director, patience)),
    async close() {
      await director.close()
      await lab.remove()
    },
  }
}

/** Answers what was not as recorded. */
async function play(
  recording: ScheduleRecording,
  commands: readonly string[],
  lab: Lab,
  director: Director,
  patience: Patience,
): Promise<string[]> {
  const wrong: string[] = []
  const must = async (command: string) => {
    const { status, stderr } = await director.run(command)
    if (status !== 0) wrong.push(`${command}: status ${status}: ${stderr.trim()}`)
  }
  for (const command of [...commands, ...recording.ipvsadm]) await must(command)
  await lab.wire.take(0)

  let batch: [number, Extract<ScheduleStep, { client: string }>][] = []
  const flush = async () => {
    if (batch.length === 0) return
    const answers = await lab.wire.exchange(
      batch.map(([, step]) => [
        'c',
        frameOf(recording, step),
        step.op === 'fin' ? 1 : step.dest === null ? 0 : 1,
      ]),
      { limit: patience.limit, grace: patience.grace },
    )
    for (const [index, [number, step]] of batch.entries()) {
      if (step.op === 'fin') continue
      const chosen = destOf(answers[index] ?? [], step)
      if (chosen !== step.dest) {
        wrong.push(
          `step ${number}: ${step.client} to ${step.to}: ${chosen ?? 'nobody'}, not ${step.dest ?? 'nobody'}`,
        )
      }
    }
    batch = []
  }
  for (const [index, step] of recording.steps.entries()) {
    if (step.op === 'connect' || step.op === 'fin') {
      batch.push([index + 1, step])
      continue
    }
    await flush()
    await must(step.command)
  }
  await flush()
  wrong.push(...compareFinal(recording, (await director.run('ipvsadm -Ln --nosort')).stdout))
  return wrong
}

function formatSequence(recording: ScheduleRecording, wrong: readonly string[]): string {
  if (wrong.length === 0) return ''
  const shown = wrong.slice(0, 12)
  const rest = wrong.length - shown.length
  return [
    `${recording.case}: ${wrong.length} differences in ${recording.steps.length} steps`,
    ...shown.map((line) => `  ${line}`),
    ...(rest > 0 ? [`  … and ${rest} more`] : []),
  ].join('\n')
}

/** The scheduler cases do not say what their lab was; any packet scenario's does. */
function sharedLab(): LabRecord {
  const [name] = packetScenarios()
  if (name === undefined) throw new Error('there are no recorded packet scenarios')
  return packetRecording(name).lab
}

/** Neighbours for every dest that occurs, and marks by destination port for fwmark services. */
function surroundings(recording: ScheduleRecording): { lines: string[]; commands: string[] } {
  const addresses = new Set(recording.dests.map((dest) => dest.address))
  for (const step of recording.steps) {
    if (step.op === 'add') addresses.add(endpointText(step.dest).address)
  }
  const known = sharedLab().neighbours
  const lines = [...addresses]
    .filter((address) => known[address] === undefined)
    .map((address) => `neigh add ${address} lladdr 02:00:00:00:02:99 dev d1 nud permanent`)
  const mark = recording.service.fwmark
  if (mark === undefined) return { lines, commands: [] }
  const targets = recording.steps.flatMap((step) =>
    step.op === 'connect' ? [endpointText(step.to).address] : [],
  )
  for (const target of new Set(targets)) lines.push(`route add local ${target} dev lo`)
  return {
    lines,
    commands: [
      "nft 'add table inet m'",
      "nft 'add chain inet m p { type filter hook prerouting priority -150; }'",
      `nft 'add rule inet m p ${recording.service.protocol} dport ${mark} meta mark set ${mark}'`,
    ],
  }
}

function endpointText(text: string): { address: string; port: number } {
  const colon = text.lastIndexOf(':')
  return { address: text.slice(0, colon).replace(/[[\]]/g, ''), port: Number(text.slice(colon + 1)) }
}

function endpoint(text: string): Endpoint {
  const { address, port } = endpointText(text)
  return {
    address: address.includes(':') ? bytes6(address) : Buffer.from(address.split('.').map(Number)),
    port,
  }
}

function bytes6(address: string): Buffer {
  const [head = '', tail] = address.split('::')
  const groups = (part: string) => (part === '' ? [] : part.split(':'))
  const front = groups(head)
  const back = tail === undefined ? [] : groups(tail)
  const zeros = Array<string>(8 - front.length - back.length).fill('0')
  const data = Buffer.alloc(16)
  for (const [index, group] of [...front, ...zeros, ...back].entries())
    data.writeUInt16BE(parseInt(group, 16), 2 * index)
  return data
}

function text(address: Buffer): string {
  if (address.length === 4) return [...address].join('.')
  const groups = Array.from({ length: 8 }, (_, index) => address.readUInt16BE(2 * index).toString(16))
  return new URL(`http://[${groups.join(':')}]`).hostname
}

function internetSum(...parts: Buffer[]): number {
  let total = 0
  for (const part of parts)
    for (let at = 0; at < part.length; at += 2) total += (part[at]! << 8) | (part[at + 1] ?? 0)
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16)
  return ~total & 0xffff
}

/** The client's frame for a step: SYN, FIN+ACK, or a datagram. */
function frameOf(
  recording: ScheduleRecording,
  step: { op: 'connect' | 'fin'; client: string; to: string },
): string {
  const [from, to] = [endpoint(step.client), endpoint(step.to)]
  const tcp = recording.service.protocol === 'tcp'
  const segment = Buffer.alloc(tcp ? 20 : 8)
  segment.writeUInt16BE(from.port, 0)
  segment.writeUInt16BE(to.port, 2)
  if (tcp) {
    segment.writeUInt32BE(1000, 4)
    segment.writeUInt32BE(step.op === 'fin' ? 1 : 0, 8)
    segment[12] = 0x50
    segment[13] = step.op === 'fin' ? 0x11 : 0x02
    segment.writeUInt16BE(65535, 14)
  } else {
    segment.writeUInt16BE(8, 4)
  }
  const protocol = tcp ? 6 : 17
  const pseudo = Buffer.concat([from.address, to.address, Buffer.of(0, protocol, 0, segment.length)])
  segment.writeUInt16BE(internetSum(pseudo, segment) || 0xffff, tcp ? 16 : 6)
  const v4 = from.address.length === 4
  const header = Buffer.alloc(v4 ? 20 : 40)
  if (v4) {
    header[0] = 0x45
    header.writeUInt16BE(20 + segment.length, 2)
    header.writeUInt16BE(0x4000, 6)
    header[8] = 64
    header[9] = protocol
    from.address.copy(header, 12)
    to.address.copy(header, 16)
    header.writeUInt16BE(internetSum(header), 10)
  } else {
    header[0] = 0x60
    header.writeUInt16BE(segment.length, 4)
    header[6] = protocol
    header[7] = 64
    from.address.copy(header, 8)
    to.address.copy(header, 24)
  }
  const ethernet = Buffer.from(DIRECTOR_MAC + CLIENT_MAC + (v4 ? '0800' : '86dd'), 'hex')
  return Buffer.concat([ethernet, header, segment]).toString('hex')
}

/** Where the frame of a connection went, or null. Frames of other connections do not count. */
function destOf(frames: readonly CaughtFrame[], step: { client: string }): string | null {
  const client = endpoint(step.client)
  for (const { at, frame } of frames) {
    if (at !== 's') continue
    const data = Buffer.from(frame, 'hex')
    const v4 = data.readUInt16BE(12) === 0x0800
    const size = v4 ? 4 : 16
    const start = v4 ? 26 : 22
    const ports = start + 2 * size
    if (
      !data.subarray(start, start + size).equals(client.address) ||
      data.readUInt16BE(ports) !== client.port
    )
      continue
    return `${text(data.subarray(start + size, start + 2 * size))}:${data.readUInt16BE(ports + 2)}`
  }
  return null
}

/** The counters at the end, in the order of the listing. */
function compareFinal(recording: ScheduleRecording, listing: string): string[] {
  const expected = recording.final_in_proc_order.map(
    ({ dest, weight, active, inactive }) => `${dest} weight ${weight} active ${active} inactive ${inactive}`,
  )
  const got = listing.split('\n').flatMap((line) => {
    const [arrow, dest, , weight, active, inactive] = line.trim().split(/\s+/)
    return arrow === '->' && /^\d+$/.test(weight ?? '')
      ? [`${dest ?? ''} weight ${weight ?? ''} active ${active ?? ''} inactive ${inactive ?? ''}`]
      : []
  })
  if (expected.length === got.length && expected.every((line, index) => line === got[index])) return []
  return [
    'at the end:',
    ...expected.map((line) => `  expected  ${line}`),
    ...got.map((line) => `  got       ${line}`),
  ]
}
