// SPDX-License-Identifier: MIT
/**
 * Bulk TCP both ways through every method and both families: every byte arrives, at a
 * pace that plain forwarding sets. A tunnel finds its smaller MTU by itself.
 */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { BulkReply, Family } from '../../src/testing/index.js'
import { eventually, HOOKS, Lab } from '../support/traffic/lab.js'
import { FAMILIES, METHODS, otherFamily, url } from '../support/traffic/plan.js'

/** XDP between veths is slow: no segments of 64 KB there. */
const BYTES = { tc: 100_000_000, xdp: 40_000_000 } as const

const WAYS = ['down', 'up'] as const
type Way = (typeof WAYS)[number]

const CASES = FAMILIES.flatMap((family) => WAYS.map((way) => ({ family, way })))

const TUNNELS = FAMILIES.flatMap((family) =>
  (['tun', 'tun-other'] as const).map((method) => ({ family, method })),
)

/** What the header of a tunnel costs, by the outer family. */
const OUTER_BYTES = { 4: 20, 6: 40 } as const

describe.each(HOOKS)('bulk TCP on %s', (hook) => {
  const bytes = BYTES[hook]
  let lab: Lab
  let sha256: string

  beforeAll(async () => {
    lab = await Lab.create(hook, { servers: 2 })
    await lab.configure(
      lab.services.filter(({ protocol }) => protocol === 'tcp'),
      [lab.world.servers[0]],
    )
    sha256 = patternDigest(bytes)
  })

  afterAll(() => lab?.[Symbol.asyncDispose]())

  function transfer(base: string, way: Way): Promise<BulkReply> {
    const { client } = lab.world
    return way === 'down' ? client.download(base, bytes) : client.upload(base, bytes)
  }

  /** XDP forwards when it knows the neighbours, and looks for them twice a second. */
  async function warmUp(base: string): Promise<void> {
    await eventually('a request without tc', async () => {
      const before = lab.forwarded('tc_ingress')
      await lab.world.client.get(base)
      return lab.forwarded('tc_ingress') === before || hook !== 'xdp' ? true : undefined
    })
  }

  /** To a server that no service has: the director only forwards. */
  function plain(family: Family): string {
    const [, other] = lab.world.servers
    return url({ address: other?.address(family) ?? '', port: 80 })
  }

  it.each(CASES)('arrives whole over IPv$family, $way, by every method', async ({ family, way }) => {
    const counter = hook === 'xdp' ? 'xdp' : 'tc_ingress'
    let alone = await transfer(plain(family), way)
    expect(alone).toMatchObject({ bytes, sha256 })

    for (const method of METHODS) {
      const base = url(lab.service(family, method, 'tcp'))
      await warmUp(base)
      const before = lab.forwarded(counter)
      const rates: string[] = []
      let ratio = 0
      // The machine may be busy with something else: the best of three counts.
      for (let attempt = 0; attempt < 3 && ratio < 0.5; attempt++) {
        if (attempt > 0) alone = await transfer(plain(family), way)
        const balanced = await transfer(base, way)
        expect(balanced, method).toMatchObject({ bytes, sha256 })
        ratio = Math.max(ratio, alone.seconds / balanced.seconds)
        rates.push(`${gigabits(balanced)} of ${gigabits(alone)} Gbit/s`)
      }
      // Of a download, direct routing and tunnels carry the acknowledgements only.
      const packets = lab.forwarded(counter) - before

      const figures = `${rates.join(', ')}: ${ratio.toFixed(2)}`
      process.stdout.write(`bulk TCP on ${hook}, IPv${family} by ${method}, ${way}: ${figures}\n`)
      expect(ratio, method).toBeGreaterThanOrEqual(0.5)
      expect(packets, method).toBeGreaterThan(100)
    }
  })

  it.each(TUNNELS)(
    'tells the client of the smaller MTU of a tunnel, IPv$family by $method',
    async ({ family, method }) => {
      const { client } = lab.world
      const service = lab.service(family, method, 'tcp')
      const mtu = 1500 - OUTER_BYTES[method === 'tun' ? family : otherFamily(family)]
      await client.ip(`-${family}`, 'route', 'flush', 'cache')
      const told = () => lab.verdicts('tc_ingress', 'ANSWER_TOO_BIG')
      const before = told()

      const reply = await client.upload(url(service), 1_000_000, { timeoutMs: 20_000 })

      expect(reply.sha256).toBe(patternDigest(1_000_000))
      expect(await client.ip('route', 'get', service.address)).toContain(` mtu ${mtu} `)
      // Once or a few times, for what was on the way already.
      expect(told() - before).toBeGreaterThan(0)
      expect(told() - before).toBeLessThan(50)
    },
  )
})

/** The sum of what an agent sends, see src/testing/agent.ts. */
function patternDigest(bytes: number): string {
  const pattern = Buffer.alloc(1 << 16, 'xlvs moves bytes and loses none. ')
  const hash = createHash('sha256')
  for (let left = bytes; left > 0; left -= pattern.length) hash.update(pattern.subarray(0, left))
  return hash.digest('hex')
}

function gigabits({ bytes, seconds }: BulkReply): string {
  return ((bytes * 8) / seconds / 1e9).toFixed(2)
}
