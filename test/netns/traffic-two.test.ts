// SPDX-License-Identifier: MIT
/** Two directors with the same addresses, services and clients never see each other. */
import { expect, it } from 'vitest'
import { HOOKS, Lab } from '../support/traffic/lab.js'
import { endpoint, FAMILIES, url } from '../support/traffic/plan.js'

it.each(HOOKS)('two directors on %s keep services, connections and counters apart', async (hook) => {
  const options = { methods: ['masq'], servers: 2, router: false } as const
  await using one = await Lab.create(hook, options)
  await using other = await Lab.create(hook, options)
  const [first, second] = one.world.servers
  await one.configure(one.services, [first])
  expect((await other.ipvsadm(['-Sn'])).stdout).toBe('')
  await other.configure(other.services, second === undefined ? [] : [second])
  const rules = async (lab: Lab) => (await lab.ipvsadm(['-Sn'])).stdout
  const before = [await rules(one), await rules(other)]

  for (const family of FAMILIES) {
    const tcp = one.service(family, 'masq', 'tcp')
    const udp = one.service(family, 'masq', 'udp')
    // The very same connections on both sides.
    const localPort = 30_000 + family
    expect(await one.world.client.get(url(tcp), { localPort })).toMatchObject({ body: 'server1\n' })
    expect(await other.world.client.get(url(tcp), { localPort })).toMatchObject({ body: 'server2\n' })
    for (let i = 0; i < 3; i++) {
      const asked = one.world.client.ask(udp.address, udp.port, 'who?', { localPort })
      expect((await asked).body).toBe('server1 who?')
    }
    const asked = other.world.client.ask(udp.address, udp.port, 'who?', { localPort })
    expect((await asked).body).toBe('server2 who?')

    for (const [lab, name, datagrams] of [
      [one, 'server1', 3],
      [other, 'server2', 1],
    ] as const) {
      const server = lab.world.servers.find((server) => server.name === name) ?? first
      const destination = (port: number) => endpoint(server.address(family), port)
      expect((await lab.listedConns(tcp)).map((conn) => conn.destination)).toEqual([destination(8080)])
      expect((await lab.listedConns(udp)).map((conn) => conn.destination)).toEqual([destination(5353)])
      expect((await lab.listedStats(udp)).service).toMatchObject({ conns: 1, in: { packets: datagrams } })
      expect((await lab.listedStats(tcp)).service.conns).toBe(1)
    }
  }

  expect([await rules(one), await rules(other)]).toEqual(before)
  await one.xlvs('down')
  expect(await rules(one)).toBe('')
  expect(await rules(other)).toBe(before[1])
  expect(await other.world.client.get(url(other.service(4, 'masq', 'tcp')))).toMatchObject({ status: 200 })
})
