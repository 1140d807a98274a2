// SPDX-License-Identifier: MIT
/**
 * The vitest shape of a replay: one test per recording.
 *
 * All are played from the start, in rounds; each test waits for its own outcome.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DirectorKind } from './director.js'
import { deferred, deferredSummary, groundPackets, groundSchedulers } from './ground.js'
import { removeAbandonedLabs } from './lab.js'
import { packetRecording, schedulerRecording, waits } from './recording.js'
import { PATIENCE, stageScenario } from './replay.js'
import { playAll, type Stage } from './rounds.js'
import { stageSequence } from './sequence.js'
import type { Wire } from './wire.js'

/** Labs of a round. */
const LABS = 8

/** For the first test of a round, which waits until all of it is built; on a busy machine that is long. */
const PATIENCE_MS = 300_000

function suite(
  title: string,
  names: readonly string[],
  sentence: (name: string) => string,
  build: (name: string, wire: Wire) => Promise<Stage>,
): void {
  describe(title, () => {
    const outcomes = new Map<string, Promise<string>>()
    let done: Promise<void>

    beforeAll(() => {
      removeAbandonedLabs()
      const tell = new Map<string, (outcome: string | Error) => void>()
      for (const name of names) {
        const outcome = new Promise<string>((resolve, reject) => {
          tell.set(name, (text) => (text instanceof Error ? reject(text) : resolve(text)))
        })
        outcome.catch(() => undefined) // its own test tells
        outcomes.set(name, outcome)
      }
      const jobs = names.map((name) => ({ name, build: (wire: Wire) => build(name, wire) }))
      done = playAll(jobs, LABS, (name, outcome) => tell.get(name)?.(outcome))
    })

    afterAll(() => done, PATIENCE_MS)

    for (const name of names) {
      it(
        `${name}: ${sentence(name)}`,
        async () => {
          expect(await outcomes.get(name)).toBe('')
        },
        PATIENCE_MS,
      )
    }
  })
}

/** Longer waits than this are for directors whose clock can be set ahead. */
const LONGEST_WAIT_S = 30

/** Replays every claimed packet scenario frame by frame. */
export function packetSuite(kind: DirectorKind): void {
  const names = groundPackets().filter((name) => kind.clock || waits(packetRecording(name)) <= LONGEST_WAIT_S)
  const slow = groundPackets().filter((name) => !names.includes(name))
  if (slow.length > 0) process.stdout.write(`not replayed without a clock to set ahead: ${slow.join(', ')}\n`)
  suite(
    `recorded packets, replayed on ${kind.name}`,
    names,
    (name) => packetRecording(name).shows,
    (name, wire) => stageScenario(packetRecording(name), kind, wire, PATIENCE),
  )
}

/** Replays every claimed scheduler case choice by choice. */
export function schedulerSuite(kind: DirectorKind): void {
  suite(
    `recorded choices, replayed on ${kind.name}`,
    groundSchedulers(),
    (name) => `chooses as the kernel in ${schedulerRecording(name).steps.length} steps`,
    (name, wire) => stageSequence(schedulerRecording(name), kind, wire, PATIENCE),
  )
}

/** Says which recordings are left to later, and why. */
export function announceDeferred(): void {
  const entries = deferred()
  process.stdout.write(
    `recordings that are not replayed yet: ${entries.length}\n${deferredSummary(entries)}\n`,
  )
}
