// SPDX-License-Identifier: MIT
/**
 * A program that is killed, at whatever moment, leaves a state that the next one can
 * use, and the traffic does not notice.
 */
import { setTimeout } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { packageFile } from '../../src/util/package.js'
import { destEndpoint, Lab, serviceWords } from '../support/traffic/lab.js'
import { endpoint, url, type Balanced } from '../support/traffic/plan.js'

/** Starts a program in the director and kills it after a while; answers whether it came to its end before. */
async function killed(
  lab: Lab,
  program: 'ipvsadm' | 'xlvs',
  words: readonly string[],
  afterMs: number,
  input = '',
): Promise<boolean> {
  const process = lab.world.director.spawn(packageFile('build', 'bin', program), words)
  process.child.stdin?.end(input)
  await Promise.race([setTimeout(afterMs), process.ended])
  process.child.kill('SIGKILL')
  await process.ended
  return process.child.signalCode === null
}

/** How long something takes, in milliseconds. */
async function timed(act: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await act()
  return performance.now() - started
}

/** `-A` and `-a` lines of `ipvsadm -Sn`, each service with its own. */
async function saved(lab: Lab): Promise<Map<string, string[]>> {
  const { stdout } = await lab.ipvsadm(['-S', '-n'])
  const services = new Map<string, string[]>()
  for (const line of stdout.split('\n').filter((line) => line !== '')) {
    const [command, , address = ''] = line.split(' ')
    if (command === '-A') services.set(address, [])
    else services.get(address)?.push(line)
    if (!services.has(address)) throw new Error(`a real server without a service: ${line}`)
  }
  return services
}

const SERVICES = 600
const FIRST_PORT = 2_000

it('ipvsadm -R killed half way leaves whole services, a free lock and the traffic alone', async () => {
  await using lab = await Lab.create('tc', { families: [4], methods: ['masq'] })
  const { client, servers } = lab.world
  await lab.configure(lab.services)
  const service = lab.service(4, 'masq', 'udp')
  const many = Array.from({ length: SERVICES }, (_, i): Balanced => ({
    ...lab.service(4, 'masq', 'tcp'),
    port: FIRST_PORT + i,
  }))
  const rules = many
    .flatMap((one) => [
      `-A ${serviceWords(one)} -s wlc\n`,
      ...servers.map((server) => `-a ${serviceWords(one)} -r ${destEndpoint(one, server)} -m -w 1\n`),
    ])
    .join('')
  const own = await saved(lab)
  const removeMany = () => {
    for (const { key } of lab.datapath.services())
      if (key.kind === 'address' && key.port >= FIRST_PORT) lab.datapath.deleteService(key)
  }
  await using stream = await client.stream(service.address, service.port, { perSecond: 1_000 })

  const full = await timed(() => lab.ipvsadm(['-R'], { input: rules }))
  expect((await saved(lab)).size).toBe(own.size + SERVICES)
  removeMany()

  let halfWay = 0
  for (let attempt = 0; attempt < 20 && halfWay < 3; attempt++) {
    await killed(lab, 'ipvsadm', ['-R'], full * (0.2 + 0.8 * Math.random()), rules)

    const after = await saved(lab)
    const restored = [...after].filter(([address]) => !own.has(address))
    expect([...own.keys()].every((address) => after.has(address))).toBe(true)
    // In order, each of them complete but perhaps the last.
    expect(new Set(restored.map(([address]) => address))).toEqual(
      new Set(many.slice(0, restored.length).map(({ address, port }) => endpoint(address, port))),
    )
    const incomplete = restored.filter(([, dests]) => dests.length < servers.length)
    expect(incomplete.length).toBeLessThanOrEqual(1)

    // What is there serves, and more can be had.
    const usable = many.find((one) => after.get(endpoint(one.address, one.port))?.length === servers.length)
    if (usable !== undefined) expect(await client.get(url(usable))).toMatchObject({ status: 200 })
    await lab.ipvsadm(['-A', '-t', `${service.address}:999`])
    await lab.ipvsadm(['-D', '-t', `${service.address}:999`])
    expect(await saved(lab)).toEqual(after)
    // The first change after it has tidied up.
    const { tables } = lab.datapath.status()
    expect(tables?.services.used).toBe(after.size)
    expect(tables?.dests.used).toBe([...after.values()].flat().length)

    if (restored.length > 0 && restored.length < SERVICES) halfWay++
    removeMany()
    expect(await saved(lab)).toEqual(own)
  }

  await lab.ipvsadm(['-R'], { input: rules })
  expect((await saved(lab)).size).toBe(own.size + SERVICES)
  expect(halfWay).toBeGreaterThan(0)
  const report = await stream.stop()
  expect(report).toMatchObject({ missing: 0, doubled: 0, answered: report.sent })
  expect(report.sent).toBeGreaterThan(500)
})

it('xlvs up killed while it upgrades lets the old programs or the new ones go on', async () => {
  await using lab = await Lab.create('xdp', { families: [4], methods: ['masq'] })
  await lab.configure(lab.services)
  const service = lab.service(4, 'masq', 'udp')
  await using stream = await lab.world.client.stream(service.address, service.port, { perSecond: 1_000 })
  const full = await timed(() => lab.up())

  for (let attempt = 0; attempt < 5; attempt++) {
    await killed(lab, 'xlvs', ['up'], full * Math.random())

    expect(await lab.xlvs('status')).toMatch(/eth0 +tcx +native/)
    expect((await lab.programs()).length).toBe(4)
  }
  await lab.up()

  expect(new Set(await lab.programs()).size).toBe(2)
  expect((await saved(lab)).size).toBe(2)
  const report = await stream.stop()
  expect(report).toMatchObject({ missing: 0, doubled: 0, answered: report.sent })
  expect((await lab.listedStats(service)).service).toMatchObject({ conns: 1, in: { packets: report.sent } })
})

it('ipvsadm -A killed while it loads is repeated with success', async () => {
  await using lab = await Lab.create('tc', { families: [4], methods: ['masq'], servers: 1 })
  const { client, servers } = lab.world
  const service = lab.service(4, 'masq', 'tcp')
  const add = ['-A', ...serviceWords(service).split(' '), '-s', 'rr']
  await lab.xlvs('down')
  const full = await timed(() => lab.ipvsadm(add))

  for (let attempt = 0; attempt < 5; attempt++) {
    await lab.xlvs('down')
    expect((await lab.ipvsadm(['-Sn'])).stdout).toBe('')

    await killed(lab, 'ipvsadm', add, full * Math.random())

    const before = await saved(lab)
    const { status, stderr } = await lab.ipvsadm(add, { check: false })
    if (before.size === 0) expect(stderr).toBe('')
    expect(status).toBe(before.size === 0 ? 0 : 255)
    await lab.ipvsadm([
      '-a',
      ...serviceWords(service).split(' '),
      '-r',
      destEndpoint(service, servers[0]),
      '-m',
    ])
    expect(await client.get(url(service))).toMatchObject({ status: 200, body: 'server1\n' })
  }
})
