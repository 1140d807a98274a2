// SPDX-License-Identifier: MIT
// README.md shows this file as it is, from here on.
import { expect, it } from 'vitest'
import { dest, KernelDatapath, service } from 'xlvs'
import { createWorld } from 'xlvs/testing'

it('shares requests among three servers', async () => {
  await using world = await createWorld({ servers: 3 })
  using balancer = KernelDatapath.open({ netns: `/run/netns/${world.director.netns}` })
  const web = service('tcp', '10.0.0.1:80', { scheduler: 'rr' })
  balancer.addService(web)
  for (const server of world.servers) {
    await server.http({ port: 8080 })
    balancer.addDest(web.key, dest(`${server.address(4)}:8080`, { fwd: 'masq' }))
  }

  const answers: string[] = []
  for (let i = 0; i < 6; i++) answers.push((await world.client.get('http://10.0.0.1/')).body.trim())

  expect(answers).toEqual(['server3', 'server2', 'server1', 'server3', 'server2', 'server1'])
})
