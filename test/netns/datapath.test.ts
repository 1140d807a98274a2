// SPDX-License-Identifier: MIT
/**
 * The library and `xlvs` on a data plane that real traffic runs through: what it
 * lists, what it explains, what settings and the clock do.
 */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

import { verdictOf } from '../../src/datapath/kernel/reasons.js'
import { reasonNames } from '../../src/abi/generated.js'
import { KernelDatapath } from '../../src/datapath/kernel/datapath.js'
import { EXPLAIN_HOOKS, loadDryTwin, type Explanation } from '../../src/datapath/kernel/explain.js'
import { buildFrame, type PacketDescription, type TcpFlag } from '../../src/datapath/kernel/frame.js'
import { Home } from '../../src/datapath/kernel/home.js'
import { Lifecycle } from '../../src/datapath/kernel/lifecycle.js'
import { Tables } from '../../src/datapath/kernel/tables.js'
import { dest, service } from '../../src/ipvs/spec.js'
import { BpfMap, BpfProgram, listInterfaces, skbContext } from '../../src/libbpf/index.js'
import { createWorld, type World } from '../../src/testing/index.js'
import { runCommand } from '../../src/testing/process.js'
import { packageFile } from '../../src/util/package.js'

const XLVS = packageFile('build', 'bin', 'xlvs')

let world: World
let datapath: KernelDatapath

beforeAll(async () => {
  world = await createWorld({ servers: 2, families: [4, 6] })
  await Promise.all(world.servers.map((server) => server.http({ port: 8080 })))
  await world.xdpReady()
  datapath = KernelDatapath.open({ netns: netnsPath() })
  datapath.up({ testClock: true })
})

afterAll(async () => {
  datapath?.down()
  datapath?.[Symbol.dispose]()
  await world?.[Symbol.asyncDispose]()
})

beforeEach(() => {
  datapath.flush()
  // Past every timeout: nothing of the test before is left.
  datapath.advanceClock(2000)
  datapath.setSettings({ conn_reuse_mode: 1, expire_nodest_conn: 0, sloppy_tcp: 0 })
})

const front = () => world.director.port('front').device
const back = () => world.director.port('back').device
const netnsPath = () => `/run/netns/${world.director.netns}`

function balance(family: 4 | 6 = 4) {
  const vip = family === 4 ? world.vip(4) : `[${world.vip(6)}]`
  const web = service('tcp', `${vip}:80`, { scheduler: 'rr' })
  datapath.addService(web)
  for (const server of world.servers) {
    const address = server.address(family)
    datapath.addDest(web.key, dest(family === 4 ? `${address}:8080` : `[${address}]:8080`, { fwd: 'masq' }))
  }
  return web
}

const url = (family: 4 | 6 = 4) => (family === 4 ? `http://${world.vip(4)}/` : `http://[${world.vip(6)}]/`)

function packet(flags: readonly TcpFlag[], port = 40000, to = 80): PacketDescription {
  return {
    protocol: 'tcp',
    source: { address: world.client.address(4), port },
    destination: { address: world.vip(4), port: to },
    flags,
  }
}

/** Waits until no packet was counted for a while: acknowledgements come late. */
async function settled(): Promise<void> {
  for (let last = -1n, quiet = 0; quiet < 3; await sleep(50)) {
    const { inPackets, outPackets } = datapath.totals()
    quiet = inPackets + outPackets === last ? quiet + 1 : 0
    last = inPackets + outPackets
  }
}

/** Runs a frame through the attached program, so that it makes a connection without any traffic. */
function inject(description: PacketDescription, device: string): void {
  using home = Home.open(netnsPath())
  using program = BpfProgram.openPinned(home.pin('progs', 'tc_ingress'), { fs: home.fs })
  const { ifindex, mac } = listInterfaces(netnsPath()).find(({ name }) => name === device)!
  const dataIn = buildFrame(description, { sourceMac: '02:00:00:00:00:01', destinationMac: mac })
  program.testRun({ dataIn, ctxIn: skbContext({ ifindex, ingressIfindex: ifindex }), netns: netnsPath() })
}

const xlvs = (...words: string[]) => world.director.exec(XLVS, words, { check: false })

describe('connections', () => {
  it.each([4, 6] as const)('are listed while they live, over IPv%i', async (family) => {
    balance(family)
    await using session = await world.client.session()
    await session.get(url(family))

    const conns = [...datapath.connections()]

    expect(conns).toEqual([
      expect.objectContaining({
        family,
        protocol: 6,
        virtual: { address: world.vip(family), port: 80 },
        fwd: 'masq',
        state: 'ESTABLISHED',
        active: true,
      }),
    ])
    expect(conns[0]!.client.address).toBe(world.client.address(family))
    expect(world.servers.map((server) => server.address(family))).toContain(conns[0]!.dest.address)
    expect(conns[0]!.expiresMs).toBeGreaterThan(890_000)
    expect(conns[0]!.inPackets).toBeGreaterThanOrEqual(3)
    const { stdout } = await xlvs('conn', 'list', '--json')
    expect(JSON.parse(stdout)).toMatchObject({ state: 'ESTABLISHED', client: conns[0]!.client })
  })

  it('end when the clock passes their timeout, and leave their dest', async () => {
    const web = balance()
    inject(packet(['syn']), front())
    const active = () =>
      datapath.service(web.key)!.dests.reduce((sum, { activeConns }) => sum + activeConns, 0)
    expect(active()).toBe(1)

    // SYN_RECV: a minute.
    await xlvs('clock', '--advance', '50')
    expect([...datapath.connections()]).toHaveLength(1)
    await xlvs('clock', '--advance', '10')

    expect([...datapath.connections()]).toEqual([])
    expect(active()).toBe(0)
  })

  it('of a removed dest end with it when expire_nodest_conn says so, and stay otherwise', async () => {
    const web = balance()
    await using session = await world.client.session()
    const { body } = await session.get(url())
    const server = world.servers.find(({ name }) => body.startsWith(name))!
    const key = dest(`${server.address(4)}:8080`)

    datapath.deleteDest(web.key, key)
    expect([...datapath.connections()]).toHaveLength(1)
    datapath.addDest(web.key, dest(`${server.address(4)}:8080`, { fwd: 'masq' }))
    await session.get(url())

    expect((await xlvs('sysctl', 'expire_nodest_conn=1')).stdout).toBe('expire_nodest_conn = 1\n')
    datapath.deleteDest(web.key, key)
    expect([...datapath.connections()]).toEqual([])
  })

  it('have the timeouts that were set', async () => {
    balance()
    datapath.setTimeouts({ tcp: 100, tcpFin: 0, udp: 0 })
    await using session = await world.client.session()
    await session.get(url())

    const [conn] = [...datapath.connections()]

    datapath.setTimeouts({ tcp: 900, tcpFin: 120, udp: 300 })
    expect(conn!.expiresMs).toBeLessThanOrEqual(100_000)
    expect(conn!.expiresMs).toBeGreaterThan(90_000)
  })
})

describe('counters', () => {
  it('agree: dests add up to their service, services to the total, verdicts to the packets', async () => {
    const web = balance()
    datapath.zero()
    const before = datapath.totals()
    for (let i = 0; i < 4; i++) await world.client.get(url())
    await settled()

    const { stats, dests } = datapath.service(web.key)!
    const totals = datapath.totals()

    expect(before.conns).toBe(0n)
    expect(stats.conns).toBe(4n)
    expect(dests.map((each) => each.stats.conns)).toEqual([2n, 2n])
    for (const name of ['conns', 'inPackets', 'outPackets', 'inBytes', 'outBytes'] as const) {
      expect(dests.reduce((sum, each) => sum + each.stats[name], 0n)).toBe(stats[name])
      expect(totals[name]).toBe(stats[name])
    }
    const { stdout } = await xlvs('stats', '--json')
    const told = JSON.parse(stdout) as { totals: unknown; reasons: { reason: string; count: string }[] }
    expect(told.totals).toMatchObject({ conns: '4', inPackets: String(stats.inPackets) })
    expect(told.reasons.map(({ reason }) => reason)).toContain('FORWARD_NEW')
  })
})

describe('explain', () => {
  const last = ({ hooks }: Explanation) => hooks.at(-1)!

  it('tells who gets a new connection, and the kernel does just that', async () => {
    balance()
    for (let i = 0; i < 3; i++) {
      const told = datapath.explain({ packet: packet(['syn']) })
      const { body } = await world.client.get(url())

      const chosen = world.servers.find((server) => server.address(4) === last(told).dest?.address)
      expect(told.verdict).toMatchObject({ reason: 'FORWARD_NEW', kind: 'forwarded' })
      expect(body).toMatch(new RegExp(`^${chosen!.name}\\b`))
    }
  })

  it('tells what is found of a connection that lives, both ways', async () => {
    balance()
    await using session = await world.client.session()
    await session.get(url())
    const [conn] = [...datapath.connections()]

    const request = datapath.explain({ packet: packet(['ack'], conn!.client.port) })
    const reply = datapath.explain({
      packet: { protocol: 'tcp', source: conn!.dest, destination: conn!.client, flags: ['ack'] },
      device: back(),
    })

    expect(last(request)).toMatchObject({
      verdict: { reason: 'FORWARD_IN' },
      dest: { address: conn!.dest.address, port: 8080, fwd: 'masq' },
      after: { headers: [{ destination: conn!.dest.address, ttl: 63 }, { destination: 8080 }] },
    })
    expect(last(request).steps.map(({ text }) => text)).toContainEqual(
      expect.stringMatching(/in state ESTABLISHED/),
    )
    expect(last(reply)).toMatchObject({
      verdict: { reason: 'FORWARD_OUT' },
      nextHop: { address: world.client.address(4), device: front() },
      after: { headers: [{ source: world.vip(4), ttl: 63 }, { source: 80 }] },
    })
  })

  it.each([
    ['a port without a service', packetOf(['syn'], 81), 'PASS_NO_SERVICE'],
    ['what opens nothing', packetOf(['ack']), 'PASS_NOT_OPENER'],
    ['a reset', packetOf(['syn', 'rst']), 'PASS_NOT_OPENER'],
    ['a hop limit that ends', { ...packetOf(['syn']), ttl: 1 }, 'ANSWER_TTL'],
  ])('says what becomes of %s', (_what, make, reason) => {
    balance()
    const told = datapath.explain({ packet: withAddresses(make) })

    expect(told.verdict.reason).toBe(reason)
  })

  it('says that nobody takes new connections', () => {
    const web = balance()
    for (const server of world.servers) {
      datapath.editDest(web.key, dest(`${server.address(4)}:8080`, { fwd: 'masq', weight: 0 }))
    }

    const told = datapath.explain({ packet: packet(['syn']) })

    expect(told.verdict).toMatchObject({ reason: 'ANSWER_PORT_UNREACHABLE', kind: 'answered' })
    expect(last(told).steps.at(-2)?.text).toMatch(/rr finds no dest/)
    expect(last(told).after?.text).toMatch(/icmp type 3 code 3/)
  })

  it('prints in order what was looked up, chosen and done', async () => {
    balance()
    const from = `${world.client.address(4)}:40000`
    const { stdout, status } = await xlvs('explain', 'tcp', from, `${world.vip(4)}:80`, '--syn')

    expect(status).toBe(0)
    const order = [
      `packet   ${from} > ${world.vip(4)}:80 tcp syn`,
      'at tc',
      'belongs to no connection',
      `is for service tcp ${world.vip(4)}:80`,
      'scheduler rr chooses among 2 dests',
      'rr picks',
      'state NONE becomes SYN_RECV, timeout 60 s',
      'verdict  opens a connection',
      'dest     ',
      'leaves   by ',
      'after    ',
    ].map((text) => stdout.indexOf(text))
    expect(order).not.toContain(-1)
    expect(order).toEqual([...order].sort((a, b) => a - b))
    const json = await xlvs('explain', 'tcp', from, `${world.vip(4)}:80`, '--syn', '--json')
    expect(JSON.parse(json.stdout)).toMatchObject({ verdict: { reason: 'FORWARD_NEW', number: 2 } })
  })

  it('asks XDP first where it is attached, then tc', async () => {
    datapath.up({ xdp: 'native' })
    balance()
    await world.client.get(url())

    const told = datapath.explain({ packet: packet(['syn']) })
    const refused = datapath.explain({ packet: packet(['syn'], 40000, 81) })

    datapath.up({ xdp: 'off' })
    expect(told.hooks.map(({ hook }) => hook)).toEqual(['xdp'])
    expect(last(told)).toMatchObject({
      verdict: { reason: 'FORWARD_NEW' },
      nextHop: { mac: expect.any(String) as string },
    })
    expect(refused.hooks.map(({ hook, verdict }) => [hook, verdict.reason])).toEqual([
      ['xdp', 'PASS_NO_SERVICE'],
      ['tc', 'PASS_NO_SERVICE'],
    ])
  })

  it('has a sentence for every verdict', () => {
    for (const number of reasonNames.keys())
      if (number !== 0) expect(verdictOf(number).text).not.toMatch(/unknown/)
  })

  it('writes to no map, whatever it is asked', async () => {
    datapath.up({ xdp: 'native' })
    balance()
    balance(6)
    inject(packet(['syn']), front())
    const [opened] = [...datapath.connections()]
    const reply = { protocol: 'tcp', source: opened!.dest, destination: opened!.client } as const
    inject({ ...reply, flags: ['syn', 'ack'] }, back())
    inject(packet(['ack']), front())
    const [conn] = [...datapath.connections()]
    expect(conn).toMatchObject({ state: 'ESTABLISHED' })
    const live = packet(['ack'], conn!.client.port)
    await settled()
    const before = contents()
    const given = verdicts()

    for (const flags of [['syn'], ['ack'], ['fin', 'ack'], ['rst'], ['syn', 'ack']] as const) {
      for (const hook of EXPLAIN_HOOKS) {
        datapath.explain({ packet: packet(flags), hook })
        datapath.explain({ packet: { ...live, flags }, hook })
        datapath.explain({ packet: { ...live, source: conn!.dest, destination: conn!.client, flags }, hook })
        datapath.explain({
          packet: {
            protocol: 'tcp',
            source: { address: world.client.address(6), port: 4 },
            destination: { address: world.vip(6), port: 80 },
            flags,
          },
          hook,
        })
      }
    }

    expect(contents()).toEqual(before)
    expect(verdicts()).toEqual(given)
    datapath.up({ xdp: 'off' })
  })

  it('is made by programs that have no instruction to write to a shared map', async () => {
    using home = Home.open(netnsPath())
    using tables = new Tables(home.fs, home.room('maps'))
    for (const hook of EXPLAIN_HOOKS) {
      using object = loadDryTwin(hook, { lifecycle: new Lifecycle(home), tables })
      for (const program of object.programs) {
        const { stdout } = await runCommand(['bpftool', 'prog', 'dump', 'xlated', 'id', String(program.id)])

        // The lines of calls name the helper; atomic operations are "lock" or "atomic".
        expect(stdout).toMatch(/call/)
        expect(stdout).not.toMatch(/(update|delete|push|pop)_elem/)
        expect(stdout).not.toMatch(/\block\b|atomic/)
      }
    }
  })

  /** What was forwarded, answered or dropped so far. */
  function verdicts() {
    return datapath.reasons().filter(({ number }) => verdictOf(number).kind !== 'passed')
  }

  /** A checksum of each pinned map. */
  function contents(): Record<string, string> {
    using home = Home.open(netnsPath())
    return Object.fromEntries(
      home
        .names('maps')
        // The sweeper's own notes change all the time, and so do counts of packets that
        // pass: hosts look for each other.
        .filter((name) => !['sweeps', 'sweeper', 'reasons'].includes(name))
        .map((name) => {
          using map = BpfMap.openPinned(home.pin('maps', name), { fs: home.fs })
          const hash = createHash('sha256')
          for (const [key, value] of map.entries()) hash.update(key).update(value)
          return [name, hash.digest('hex')]
        }),
    )
  }
})

/** A packet whose addresses the world gives it later. */
function packetOf(
  flags: readonly TcpFlag[],
  to = 80,
): Omit<PacketDescription, 'source' | 'destination'> & { to: number } {
  return { protocol: 'tcp', flags, to }
}

function withAddresses({ to, ...rest }: ReturnType<typeof packetOf>): PacketDescription {
  return { ...packet(rest.flags ?? [], 40000, to), ...rest }
}
