// SPDX-License-Identifier: MIT
/**
 * What the recordings of the real kernel look like, and where they are.
 *
 * The format is described in test/fixtures/ipvs-6.1/README.md. Fields that are only
 * for people (`is`, `note`, `picture`) are kept, because a difference is easier to
 * understand with them.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { packageFile } from '../../../src/util/package.js'

/** The client's or the server's end of the director. */
export type Side = 'c' | 's'

export interface ExpectedFrame {
  readonly at: Side
  /** The whole Ethernet frame in hex, without FCS. */
  readonly frame: string
  readonly is?: string
  /** Bytes that differ from run to run: offset, length, field. */
  readonly varies?: readonly (readonly [number, number, string])[]
}

export interface ReceivedDatagram {
  readonly at: readonly [string, number]
  readonly from: readonly [string, number]
  readonly payload: string
}

interface Outcome {
  readonly note?: string
  readonly out: readonly ExpectedFrame[]
  readonly conns: readonly string[]
  /** Rows of `conns` whose time may be three seconds off. */
  readonly about?: readonly string[]
  readonly received?: readonly ReceivedDatagram[]
}

export interface FrameStep extends Outcome {
  readonly in: Side
  readonly frame: string
  readonly is?: string
}

/** A raw socket of the director sends an IP packet. */
export interface PacketStep extends Outcome {
  readonly in: 'director'
  readonly packet: string
  readonly is?: string
}

/** An ordinary socket of the director sends, or connects. */
export interface SocketStep extends Outcome {
  readonly in: 'director'
  readonly socket: 'tcp' | 'udp'
  readonly from: readonly [string, number]
  readonly to: readonly [string, number]
  readonly payload?: string
}

export interface CommandStep extends Outcome {
  readonly do: string
  readonly status?: number
  readonly stdout?: readonly string[]
  readonly stderr?: readonly string[]
}

export interface WaitStep extends Outcome {
  readonly wait: number
}

export interface ShowStep {
  readonly show: Readonly<Record<string, readonly string[]>>
}

export type Step = FrameStep | PacketStep | SocketStep | CommandStep | WaitStep | ShowStep

/** A setup command that failed or printed something is an object. */
export type SetupCommand =
  | string
  | {
      readonly do?: string
      readonly command?: string
      readonly status?: number
      readonly stdout?: readonly string[]
      readonly stderr?: readonly string[]
    }

export interface LabRecord {
  /** Links first, then what runs in the director's namespace. */
  readonly commands: readonly string[]
  readonly neighbours: Readonly<Record<string, string>>
}

export interface PacketRecording {
  readonly scenario: string
  readonly shows: string
  readonly kernel: string
  readonly lab: LabRecord
  readonly setup: readonly SetupCommand[]
  readonly steps: readonly Step[]
}

export interface ConnectStep {
  readonly op: 'connect'
  readonly client: string
  readonly to: string
  /** Who was chosen; null when nothing left. */
  readonly dest: string | null
}

export interface FinStep {
  readonly op: 'fin'
  readonly client: string
  readonly to: string
}

export interface ChangeStep {
  readonly op: 'edit' | 'add' | 'remove'
  readonly dest: string
  readonly command: string
}

export type ScheduleStep = ConnectStep | FinStep | ChangeStep

export interface ScheduleRecording {
  readonly case: string
  readonly kernel: string
  readonly service: {
    readonly protocol: 'tcp' | 'udp'
    readonly scheduler: string
    readonly flags: readonly string[]
    readonly family: 4 | 6
    readonly persistent: number | null
    readonly one_packet: boolean
    readonly fwmark?: number
  }
  readonly dests: readonly {
    readonly address: string
    readonly port: number
    readonly weight: number
    readonly upper: number
    readonly lower: number
  }[]
  readonly ipvsadm: readonly string[]
  readonly steps: readonly ScheduleStep[]
  readonly final_in_proc_order: readonly {
    readonly dest: string
    readonly weight: number
    readonly active: number
    readonly inactive: number
  }[]
}

/** Kernels whose recordings there are; the later holds only what differs from the earlier. */
export const RECORDED_KERNELS = ['6.1', '6.12'] as const
export type RecordedKernel = (typeof RECORDED_KERNELS)[number]

function fixtures(kernel: RecordedKernel, kind: 'packets' | 'schedulers'): string {
  return packageFile('test', 'fixtures', `ipvs-${kernel}`, kind)
}

function names(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length))
    .sort()
}

/** Names of all packet scenarios. */
export function packetScenarios(): string[] {
  return names(fixtures('6.1', 'packets'))
}

/** Names of all scheduler cases. */
export function schedulerCases(): string[] {
  return names(fixtures('6.1', 'schedulers'))
}

/** One scenario as recorded on a kernel; what has no record of its own on 6.12 is as on 6.1. */
export function packetRecording(name: string, kernel: RecordedKernel = '6.1'): PacketRecording {
  const own = join(fixtures(kernel, 'packets'), name + '.json')
  const file = existsSync(own) ? own : join(fixtures('6.1', 'packets'), name + '.json')
  return JSON.parse(readFileSync(file, 'utf8')) as PacketRecording
}

export function schedulerRecording(name: string): ScheduleRecording {
  return JSON.parse(
    readFileSync(join(fixtures('6.1', 'schedulers'), name + '.json'), 'utf8'),
  ) as ScheduleRecording
}

/** The command of a setup line; undefined for a remark. */
export function setupCommand(entry: SetupCommand): string | undefined {
  const command = typeof entry === 'string' ? entry : (entry.do ?? entry.command)
  return command === undefined || command.startsWith('#') ? undefined : command
}

/** Where a setup remark says that a UDP socket of the director listens. */
export function setupListener(entry: SetupCommand): { address: string; port: number } | undefined {
  const found =
    typeof entry === 'string'
      ? /^# a UDP socket on the director listens on (\S+) port (\d+)$/.exec(entry)
      : null
  return found ? { address: found[1] ?? '', port: Number(found[2]) } : undefined
}

/** Seconds that a scenario lets pass in all. */
export function waits(recording: PacketRecording): number {
  return recording.steps.reduce((total, step) => total + ('wait' in step ? step.wait : 0), 0)
}
