// SPDX-License-Identifier: MIT
/**
 * Plays a recorded scenario frame by frame and tells where it went otherwise.
 *
 * A step is: do it, wait until as much has left as was recorded, read the connections,
 * and look once more for frames that should not be there. The reading takes long
 * enough that the last look seldom waits.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { compareConns, compareFrames, compareLines, compareReceived, type Difference } from './compare.js'
import type { Director, DirectorKind } from './director.js'
import { decode } from './frame.js'
import { Lab } from './lab.js'
import {
  setupCommand,
  setupListener,
  type PacketRecording,
  type SetupCommand,
  type ShowStep,
  type Step,
} from './recording.js'
import type { Stage } from './rounds.js'
import type { Expectation, Wire } from './wire.js'

/** How patient the replay is, in milliseconds. An emulated machine needs more of each. */
export interface Patience {
  /** For frames that are to come. */
  readonly limit: number
  /** For frames that are not, after as many as recorded have come. */
  readonly grace: number
  /** The same when none is recorded. */
  readonly silence: number
  /** For the connections to become those recorded. */
  readonly settle: number
}

export const PATIENCE: Patience = { limit: 500, grace: 30, silence: 60, settle: 300 }
/** On one emulated CPU a frame has left before its injection returns; what is long there is everything else. */
export const EMULATED: Patience = { limit: 4000, grace: 5, silence: 20, settle: 2000 }

/** What went otherwise in one step; step 0 is the setup. */
export interface StepReport {
  readonly step: number
  /** What the step did, for people. */
  readonly did: string
  readonly differences: readonly Difference[]
}

/** Builds the lab of a scenario, with its director. */
export async function stageScenario(
  recording: PacketRecording,
  kind: DirectorKind,
  wire: Wire,
  patience: Patience = PATIENCE,
): Promise<Stage> {
  const lab = await Lab.build(wire, recording.lab, { gro: kind.gro })
  const director = await kind.create(lab)
  return {
    play: async () => formatReport(recording, await new Player(recording, lab, director, patience).play()),
    async close() {
      await director.close()
      await lab.remove()
    },
  }
}

/** A held clock stays so much ahead of the packet that was last, in seconds: some jiffies. */
const STAMP_MARGIN_S = 0.02

class Player {
  /** Seconds that passed on the director's clock besides the recorded waits. */
  #late = 0
  #mark = performance.now()

  constructor(
    readonly recording: PacketRecording,
    readonly lab: Lab,
    readonly director: Director,
    readonly patience: Patience,
  ) {}

  async play(): Promise<StepReport[]> {
    const reports: StepReport[] = []
    const report = (step: number, did: string, differences: readonly Difference[]) => {
      if (differences.length > 0) reports.push({ step, did, differences })
    }
    for (const entry of this.recording.setup) {
      report(
        0,
        typeof entry === 'string' ? entry : (entry.do ?? entry.command ?? ''),
        await this.#prepare(entry),
      )
    }
    await this.lab.wire.take(0)
    this.#lap()
    for (const [index, step] of this.recording.steps.entries()) {
      report(index + 1, describeStep(step), await this.#step(step))
    }
    return reports
  }

  async #prepare(entry: SetupCommand): Promise<Difference[]> {
    const listener = setupListener(entry)
    if (listener) await this.lab.wire.listen(listener.address, listener.port)
    const command = setupCommand(entry)
    return command === undefined ? [] : this.#command(command, typeof entry === 'string' ? {} : entry)
  }

  async #command(
    command: string,
    recorded: { status?: number; stdout?: readonly string[]; stderr?: readonly string[] },
  ): Promise<Difference[]> {
    const done = await this.director.run(command)
    const text = (output: string) => output.split('\n').slice(0, output.endsWith('\n') ? -1 : undefined)
    const status = recorded.status ?? 0
    return [
      ...(done.status === status
        ? []
        : [{ what: `the command ended with ${done.status}, not ${status}`, detail: text(done.stderr) }]),
      ...compareLines('standard output', recorded.stdout ?? [], done.stdout === '' ? [] : text(done.stdout)),
      // A wrong status shows its message already.
      ...(done.status === status
        ? compareLines('standard error', recorded.stderr ?? [], done.stderr === '' ? [] : text(done.stderr))
        : []),
    ]
  }

  async #step(step: Step): Promise<Difference[]> {
    if ('show' in step) {
      const differences = await this.#show(step)
      this.#late += this.#lap()
      return differences
    }
    const { wire } = this.lab
    const expectation: Expectation = {
      frames: step.out.length,
      received: step.received?.length ?? 0,
      limit: this.patience.limit,
    }
    const differences: Difference[] = []
    if ('frame' in step) await wire.send(step.in, step.frame, expectation)
    else if ('packet' in step) await wire.send('director', step.packet, expectation)
    else if ('socket' in step) await wire.socket(step.socket, step.from, step.to, step.payload, expectation)
    else {
      if ('do' in step) differences.push(...(await this.#command(step.do, step)))
      else {
        this.#late += this.#lap()
        this.#late += await this.director.wait(step.wait, step.out.length > 0)
        this.#lap()
      }
      await wire.expect(expectation)
      // In the recordings a connect ends with the first wait, after its second SYN.
      if ('wait' in step) await wire.giveUp()
    }
    const conns = await this.#conns(step)
    this.#late += this.#lap()
    const { frames, received } = await wire.take(
      step.out.length > 0 ? this.patience.grace : this.patience.silence,
    )
    differences.push(
      ...compareFrames(step.out, frames),
      ...compareReceived(step.received ?? [], received),
      ...conns,
    )
    // By now the packet is dealt with; the rest of the step need not age connections.
    const rest = this.#lap()
    const held = this.director.hold === undefined ? 0 : Math.max(0, rest - STAMP_MARGIN_S)
    if (held > 0) this.director.hold?.(held)
    this.#late += rest - held
    return differences
  }

  /** Seconds since it was asked last. */
  #lap(): number {
    const before = this.#mark
    this.#mark = performance.now()
    return (this.#mark - before) / 1000
  }

  /** A softirq may still be at work when the list is read first. */
  async #conns(step: { conns: readonly string[]; about?: readonly string[] }): Promise<Difference[]> {
    const deadline = performance.now() + this.patience.settle
    for (;;) {
      const listed = await this.director.connections()
      const differences = compareConns(
        step.conns,
        step.about ?? [],
        listed,
        this.#late + (performance.now() - this.#mark) / 1000,
      )
      if (differences.length === 0 || performance.now() > deadline) return differences
      await sleep(20)
    }
  }

  async #show(step: ShowStep): Promise<Difference[]> {
    const differences: Difference[] = []
    for (const [what, expected] of Object.entries(step.show)) {
      if (what === '/proc/net/ip_vs_stats') {
        differences.push(...compareLines(what, expected, await this.director.totals()))
        continue
      }
      const { stdout, stderr } = await this.director.run(what)
      const [head, ...rest] = stdout.split('\n')
      if (head === undefined || !head.startsWith('IP Virtual Server version ')) {
        differences.push({ what: `${what} has no first line`, detail: [head ?? '', stderr] })
      }
      differences.push(...compareLines(what, expected, rest.slice(0, -1)))
    }
    return differences
  }
}

function describeStep(step: Step): string {
  if ('show' in step) return 'show'
  const note = step.note === undefined ? '' : `   (${step.note})`
  if ('frame' in step) return `${step.in} sends ${decode(step.frame).summary}${note}`
  if ('packet' in step) return `director sends ${step.is ?? step.packet}${note}`
  if ('socket' in step)
    return `director's ${step.socket} socket ${step.from.join(':')} to ${step.to.join(':')}${note}`
  if ('do' in step) return `${step.do}${note}`
  return `${step.wait} s pass${note}`
}

/** The differences as a text; empty when all was as recorded. */
export function formatReport(recording: PacketRecording, steps: readonly StepReport[]): string {
  if (steps.length === 0) return ''
  const lines = [`${recording.scenario}: ${recording.shows}`]
  for (const { step, did, differences } of steps) {
    lines.push(`  ${step === 0 ? 'setup' : `step ${step}`}: ${did}`)
    for (const { what, detail } of differences) {
      lines.push(`    ${what}`, ...detail.map((line) => `        ${line}`))
    }
  }
  return lines.join('\n')
}
