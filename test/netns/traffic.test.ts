// SPDX-License-Identifier: MIT
/**
 * Real HTTP and UDP through every method and both families, on tc with all offloads
 * and on native XDP, held against what the client really sent and got.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { destEndpoint, HOOKS, Lab } from '../support/traffic/lab.js'
import { Meter } from '../support/traffic/meter.js'
import { endpoint, FAMILIES, METHODS, PROTOCOLS, url, type Balanced } from '../support/traffic/plan.js'

const CASES = FAMILIES.flatMap((family) =>
  METHODS.flatMap((method) => PROTOCOLS.map((protocol) => ({ family, method, protocol }))),
)

/** One answered request. */
interface Answered {
  readonly name: string
  readonly localPort: number
}

describe.each(HOOKS)('on %s', (hook) => {
  let lab: Lab
  let meter: Meter
  let lastPort = 20_000

  beforeAll(async () => {
    lab = await Lab.create(hook)
    meter = await Meter.install(lab.world.client, lab.services)
    await lab.configure(lab.services)
  })

  afterAll(() => lab?.[Symbol.asyncDispose]())

  /** A request on a connection of its own. */
  async function ask(service: Balanced): Promise<Answered> {
    const { client } = lab.world
    if (service.protocol === 'tcp') {
      const { status, body, localPort } = await client.get(url(service))
      expect(status).toBe(200)
      return { name: body.trim(), localPort }
    }
    // A port that is given out twice would belong to a connection that is still there.
    const localPort = ++lastPort
    const { body, from, fromPort } = await client.ask(service.address, service.port, 'who?', { localPort })
    expect({ from, fromPort }).toEqual({ from: service.address, fromPort: service.port })
    return { name: body.replace(' who?', ''), localPort }
  }

  /** As many requests as there are servers, one after another. */
  async function round(service: Balanced): Promise<Answered[]> {
    const answers: Answered[] = []
    for (const _ of lab.world.servers) answers.push(await ask(service))
    return answers
  }

  it.each(CASES)(
    'answers $protocol over IPv$family by $method in turn, and counts each packet once',
    async ({ family, method, protocol }) => {
      const service = lab.service(family, method, protocol)
      const answers = await round(service)
      // XDP forwards when the neighbours are known, and looks for them twice a second.
      while (hook === 'xdp') {
        const before = lab.forwarded('tc_ingress')
        answers.push(...(await round(service)))
        if (lab.forwarded('tc_ingress') === before) break
        expect(answers.length).toBeLessThan(1_000)
      }
      const before = { xdp: lab.forwarded('xdp'), tc: lab.forwarded('tc_ingress') }
      const sentBefore = await meter.read(service)
      answers.push(...(await round(service)))
      answers.push(...(await round(service)))

      // The last segments of a closing connection are nothing the client waits for.
      const state = protocol === 'udp' ? 'UDP' : method === 'masq' ? 'TIME_WAIT' : 'FIN_WAIT'
      const connections = await vi.waitFor(async () => {
        const listed = await lab.listedConns(service)
        expect(new Set(listed.map((conn) => conn.state))).toEqual(new Set([state]))
        return listed
      }, SOON)
      const { stats, traffic } = await vi.waitFor(async () => {
        const traffic = await meter.read(service)
        const stats = await lab.listedStats(service)
        expect(stats.service.in).toEqual(traffic.sent)
        return { stats, traffic }
      }, SOON)

      const inTurn = answers.map((_, i) => `server${3 - (i % 3)}`)
      expect(answers.map(({ name }) => name)).toEqual(inTurn)
      expect(stats.service).toEqual({
        conns: answers.length,
        in: traffic.sent,
        out: method === 'masq' ? traffic.received : { packets: 0, bytes: 0 },
      })
      for (const server of lab.world.servers) {
        expect(stats.dests.get(destEndpoint(service, server))?.conns).toBe(answers.length / 3)
      }
      const dests = [...stats.dests.values()]
      expect(dests.reduce((sum, dest) => sum + dest.in.bytes, 0)).toBe(traffic.sent.bytes)
      expect(dests.reduce((sum, dest) => sum + dest.out.packets, 0)).toBe(stats.service.out.packets)

      const client = lab.world.client.address(family)
      expect(new Set(connections)).toEqual(
        new Set(
          answers.map(({ name, localPort }) => ({
            protocol: protocol.toUpperCase(),
            state,
            source: endpoint(client, localPort),
            virtual: endpoint(service.address, service.port),
            destination: destEndpoint(
              service,
              lab.world.servers.find((server) => server.name === name) ?? lab.world.servers[0],
            ),
          })),
        ),
      )

      // Stragglers of the rounds before may be among them, but on one hook only.
      const now = { xdp: lab.forwarded('xdp'), tc: lab.forwarded('tc_ingress') }
      const packets = traffic.sent.packets - sentBefore.sent.packets
      const [fast, other] = hook === 'xdp' ? (['xdp', 'tc'] as const) : (['tc', 'xdp'] as const)
      expect(now[fast] - before[fast]).toBeGreaterThanOrEqual(packets)
      expect(now[other] - before[other]).toBe(0)
      const { inPackets, outPackets } = lab.datapath.totals()
      expect(now.xdp + now.tc).toBe(Number(inPackets + outPackets))
    },
  )
})

/** For what happens by itself. */
const SOON = { timeout: 8_000, interval: 20 }
