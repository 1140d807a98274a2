// SPDX-License-Identifier: MIT
/**
 * Upgrading under traffic: `xlvs up` again and again, while datagrams stream, a TCP
 * connection goes on and new ones are opened. Not one packet may be missing.
 */
import { setTimeout } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { Lab, type Hook } from '../support/traffic/lab.js'
import { url, type Method } from '../support/traffic/plan.js'

const STREAMS: readonly { readonly family: 4 | 6; readonly method: Method }[] = [
  { family: 4, method: 'masq' },
  { family: 6, method: 'dr' },
  { family: 4, method: 'tun' },
]

/** Repeats something that must not fail until told to stop; answers how often. */
function keepDoing(act: () => Promise<unknown>): () => Promise<number> {
  let going = true
  const done = (async () => {
    let times = 0
    // With a breath in between, or the upgrades would wait for a processor.
    for (; going; times++, await setTimeout(5)) await act()
    return times
  })()
  done.catch(() => undefined) // Whoever stops it hears of it.
  return () => {
    going = false
    return done
  }
}

describe('upgrading again and again', () => {
  it.each<[Hook, number]>([
    ['tc', 10],
    ['xdp', 10],
    ['clsact', 5],
  ])('on %s loses no packet and no connection', async (hook, upgrades) => {
    await using lab = await Lab.create(hook, { methods: ['masq', 'dr', 'tun'] })
    await lab.configure(lab.services)
    const { client } = lab.world
    const udp = STREAMS.map(({ family, method }) => lab.service(family, method, 'udp'))
    const kept = lab.service(4, 'masq', 'tcp')
    const opened = lab.service(6, 'dr', 'tcp')

    await using session = await client.session()
    const first = await session.download(url(kept), 65_536)
    const streams = await Promise.all(
      udp.map(({ address, port }) => client.stream(address, port, { perSecond: 2_000 })),
    )
    const stopTransfer = keepDoing(async () => {
      const { sha256 } = await session.download(url(kept), 65_536)
      if (sha256 !== first.sha256) throw new Error('the transfer arrived damaged')
    })
    const stopOpening = keepDoing(() => client.get(url(opened)))

    const programs = [await lab.programs()]
    const started = performance.now()
    for (let i = 0; i < upgrades; i++) {
      await lab.up()
      programs.push(await lab.programs())
    }
    const seconds = (performance.now() - started) / 1000
    const transfers = await stopTransfer()
    const requests = await stopOpening()
    const reports = await Promise.all(streams.map((stream) => stream.stop()))

    const sent = reports.reduce((sum, report) => sum + report.sent, 0)
    const silence = Math.max(...reports.map(({ longestSilenceMs }) => longestSilenceMs))
    process.stdout.write(
      `${upgrades} upgrades on ${hook}, ${(seconds / upgrades).toFixed(2)} s each: ${sent} datagrams ` +
        `(${Math.round(sent / seconds)}/s), ${transfers} transfers, ${requests} connections; ` +
        `longest silence ${silence.toFixed(0)} ms\n`,
    )
    // Each program was another one after each upgrade.
    expect(programs[0]).toHaveLength(hook === 'xdp' ? 4 : 2)
    expect(new Set(programs.flat()).size).toBe((upgrades + 1) * (hook === 'xdp' ? 2 : 1))
    for (const report of reports) {
      expect(report).toMatchObject({ missing: 0, doubled: 0, answered: report.sent })
      // A connection that had been forgotten would have gone to the next server.
      expect(Object.keys(report.by)).toHaveLength(1)
      expect(report.sent).toBeGreaterThan(1_000)
    }
    expect(lab.drops()).toEqual([])
    expect(transfers).toBeGreaterThan(upgrades)
    expect(requests).toBeGreaterThan(upgrades)
    const lasting = await lab.listedConns(kept)
    expect(lasting.map(({ state }) => state)).toEqual(['ESTABLISHED'])
    for (const [i, service] of udp.entries()) {
      const { service: stats } = await lab.listedStats(service)
      expect(stats).toMatchObject({ conns: 1, in: { packets: reports[i]?.sent } })
    }
    if (hook === 'xdp') expect(lab.forwarded('xdp')).toBeGreaterThan(lab.forwarded('tc_ingress') * 10)
  })
})
