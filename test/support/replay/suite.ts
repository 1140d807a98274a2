// SPDX-License-Identifier: MIT
/**
 * The vitest shape of a replay: one test per recording, several labs side by side.
 *
 * The labs run from the start, a few at a time; each test waits for its own. That keeps
 * the number of labs independent of the test runner's idea of concurrency.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DirectorKind } from './director.js'
import { deferred, deferredSummary, groundPackets, groundSchedulers } from './ground.js'
import { removeAbandonedLabs } from './lab.js'
import { WirePool } from './pool.js'
import { packetRecording, schedulerRecording, waits } from './recording.js'
import { formatReport, PATIENCE, replay } from './replay.js'
import { formatSequence, playSequence } from './sequence.js'
import type { Wire } from './wire.js'

/** Labs at once: a replay mostly waits, but its commands want a CPU each. */
const LABS = 6

function suite(
  title: string,
  names: readonly string[],
  sentence: (name: string) => string,
  play: (name: string, wire: Wire) => Promise<string>,
): void {
  describe(title, () => {
    const results = new Map<string, Promise<string>>()
    let pool: WirePool

    beforeAll(() => {
      removeAbandonedLabs()
      pool = new WirePool(LABS)
      for (const name of names) {
        const result = pool.use((wire) => play(name, wire))
        result.catch(() => undefined) // its own test tells
        results.set(name, result)
      }
    })

    afterAll(async () => {
      await Promise.allSettled(results.values())
      await pool.close()
    })

    for (const name of names) {
      it(`${name}: ${sentence(name)}`, async () => {
        expect(await results.get(name)).toBe('')
      })
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
    async (name, wire) => formatReport(await replay(packetRecording(name), kind, wire, PATIENCE)),
  )
}

/** Replays every claimed scheduler case choice by choice. */
export function schedulerSuite(kind: DirectorKind): void {
  suite(
    `recorded choices, replayed on ${kind.name}`,
    groundSchedulers(),
    (name) => `chooses as the kernel in ${schedulerRecording(name).steps.length} steps`,
    async (name, wire) => formatSequence(await playSequence(schedulerRecording(name), kind, wire, PATIENCE)),
  )
}

/** Says which recordings are left to later, and why. */
export function announceDeferred(): void {
  const entries = deferred()
  process.stdout.write(
    `recordings that are not replayed yet: ${entries.length}\n${deferredSummary(entries)}\n`,
  )
}
