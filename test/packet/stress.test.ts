// SPDX-License-Identifier: MIT
/**
 * Many CPUs, contexts and tools on one small connection table: nothing is lost,
 * doubled or stuck. XLVS_STRESS=10 takes ten minutes instead of half of one.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { compileSupport, type Compiled } from '../support/bpf.js'
import { Netns } from '../support/netns.js'
import { prepareStressNetns, stress, type StressOptions, type StressOutcome } from '../support/stress.js'

type Configuration = Omit<StressOptions, 'seconds' | 'objects'> & { readonly name: string }

const table = (main: number, spare: number) => ({
  buckets4: main,
  spares4: spare,
  buckets6: main,
  spares6: spare,
})

const CONFIGURATIONS: readonly Configuration[] = [
  {
    name: 'four clients in one bucket, with long stays in every window',
    buckets: table(1, 4),
    clients: 4,
    linger: 4,
    changeDests: true,
  },
  {
    name: 'one bucket with the longest chain there may be, and more clients than fit',
    buckets: table(1, 70),
    clients: 600,
    linger: 64,
    changeDests: true,
  },
  {
    name: 'a full table, whose counters must agree to the packet',
    buckets: table(4, 8),
    clients: 64,
    linger: 32,
    changeDests: false,
  },
  {
    name: 'a table of some size at full speed',
    buckets: table(4096, 512),
    clients: 10_000,
    linger: 0,
    changeDests: true,
  },
]

const minutes = Number(process.env['XLVS_STRESS'] ?? 0.5)
const seconds = (minutes * 60) / CONFIGURATIONS.length

describe('the connection table under stress', () => {
  let netns: Netns
  const compiled: Partial<Record<'control' | 'tc' | 'xdp', Compiled>> = {}
  const outcomes: StressOutcome[] = []

  beforeAll(async () => {
    for (const part of ['control', 'tc', 'xdp'] as const)
      compiled[part] = await compileSupport(`stress-${part}`)
    netns = Netns.create('stress')
    prepareStressNetns(netns)
  }, 120_000)

  afterAll(async () => {
    netns?.[Symbol.dispose]()
    for (const object of Object.values(compiled)) await object[Symbol.asyncDispose]()
  })

  it.each(CONFIGURATIONS)(
    'keeps its books with $name',
    async (configuration) => {
      const outcome = await stress(netns, {
        ...configuration,
        seconds,
        objects: {
          control: compiled.control!.path,
          tc: compiled.tc!.path,
          xdp: compiled.xdp!.path,
        },
      })
      outcomes.push(outcome)

      expect(outcome.faults).toEqual([])
      expect(outcome.packets).toBeGreaterThan(20_000 * seconds)
      // Without these it was no stress.
      expect(outcome.events.scanned).toBeGreaterThan(1000)
      expect(outcome.userKills).toBeGreaterThan(0)
      expect(outcome.listed).toBeGreaterThan(0)
      expect(outcome.destChanges > 0).toBe(configuration.changeDests)
    },
    minutes * 60_000 + 120_000,
  )

  it('went through every window', () => {
    const total = (name: keyof StressOutcome['events']) =>
      outcomes.reduce((sum, { events }) => sum + events[name], 0)

    for (const name of ['killed', 'walked', 'extending', 'evicted', 'lost', 'drained', 'ended'] as const)
      expect(total(name), name).toBeGreaterThan(0)
    expect(
      Math.max(...outcomes.flatMap(({ atRest }) => atRest.map(({ longestChain }) => longestChain))),
    ).toBe(63)

    const figures = (['packets', 'scanned', 'lost', 'aborted', 'cutOff', 'evicted', 'drained'] as const).map(
      (name) => `${total(name)} ${name}`,
    )
    process.stdout.write(`stress: ${figures.join(', ')}\n`)
  })
})
