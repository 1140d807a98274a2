// SPDX-License-Identifier: MIT
/** What clients see when something is missing, goes away or moves. */
import { setTimeout } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Server } from '../../src/testing/index.js'
import { destEndpoint, destWords, eventually, HOOKS, Lab, serviceWords } from '../support/traffic/lab.js'
import { endpoint, FAMILIES, METHODS, url, type Balanced } from '../support/traffic/plan.js'

/** For what happens by itself. */
const SOON = { timeout: 8_000, interval: 20 }

/** Routes and neighbours are looked up again after a second at most; the rest is for a busy machine. */
const A_SECOND_MS = 1_500

/** Looks until it is so; fails when it was not although a second had passed. */
async function withinASecond(what: string, look: () => Promise<boolean>): Promise<void> {
  for (const changed = performance.now(); ; await setTimeout(10)) {
    const looked = performance.now() - changed
    if (await look()) return
    if (looked > A_SECOND_MS) throw new Error(`${what}: not after ${looked.toFixed(0)} ms`)
  }
}

describe.each(HOOKS)('on %s', (hook) => {
  let lab: Lab
  let lastPort = 20_000

  beforeAll(async () => {
    lab = await Lab.create(hook)
  })

  afterAll(() => lab?.[Symbol.asyncDispose]())

  afterEach(() => lab.datapath.flush())

  const run = (line: string) => lab.ipvsadm(line.split(' '))

  /** A datagram whose sender hears of ICMP errors. */
  function ask({ address, port }: Balanced, localPort = ++lastPort, timeoutMs = 5_000) {
    return lab.world.client.ask(address, port, 'who?', { localPort, timeoutMs, connected: true })
  }

  function serverNamed(body: string): Server {
    const server = lab.world.servers.find(({ name }) => body.startsWith(name))
    if (server === undefined) throw new Error(`no server is called '${body}'`)
    return server
  }

  it.each(FAMILIES)('leaves a port without a service to the director itself, IPv%i', async (family) => {
    const tcp = lab.service(family, 'masq', 'tcp')
    const udp = lab.service(family, 'masq', 'udp')
    await lab.configure([tcp, udp])
    const nothing = { ...udp, port: 99 }

    await expect(lab.world.client.get(url(nothing))).rejects.toThrow('ECONNREFUSED')
    await expect(ask(nothing)).rejects.toThrow('ECONNREFUSED')

    expect(await lab.world.client.get(url(tcp))).toMatchObject({ status: 200 })
    expect((await lab.listedStats(udp)).service.in.packets).toBe(0)
  })

  it.each(FAMILIES)('refuses while no real server takes connections, IPv%i', async (family) => {
    const tcp = lab.service(family, 'masq', 'tcp')
    const udp = lab.service(family, 'dr', 'udp')
    const dr = lab.service(family, 'dr', 'tcp')
    await lab.configure([tcp, udp])
    await lab.configure([dr], [])
    await using session = await lab.world.client.session()
    const { body, localPort } = await session.get(url(tcp))
    for (const server of lab.world.servers) {
      await run(`-e ${serviceWords(tcp)} ${destWords(tcp, server)} -w 0`)
      await run(`-e ${serviceWords(udp)} ${destWords(udp, server)} -w 0`)
    }
    const before = lab.verdicts('tc_ingress', 'ANSWER_PORT_UNREACHABLE')

    await expect(lab.world.client.get(url(tcp))).rejects.toThrow('ECONNREFUSED')
    await expect(lab.world.client.get(url(dr))).rejects.toThrow('ECONNREFUSED')
    await expect(ask(udp)).rejects.toThrow('ECONNREFUSED')

    // A client that is busy with its socket hears of the second SYN's error only.
    expect(lab.verdicts('tc_ingress', 'ANSWER_PORT_UNREACHABLE') - before).toBeGreaterThanOrEqual(3)
    // Who is connected already stays connected.
    expect(await session.get(url(tcp))).toMatchObject({ body, localPort })
    const [server] = lab.world.servers
    await run(`-e ${serviceWords(udp)} ${destWords(udp, server)} -w 1`)
    expect((await ask(udp)).body).toBe('server1 who?')
  })

  it('hands on what a real server itself refuses', async () => {
    const tcp = lab.service(4, 'masq', 'tcp')
    const [server] = lab.world.servers
    await run(`-A ${serviceWords(tcp)} -s rr`)
    await run(`-a ${serviceWords(tcp)} -r ${endpoint(server.address(4), 81)} -m`)

    await expect(lab.world.client.get(url(tcp))).rejects.toThrow('ECONNREFUSED')

    await vi.waitFor(async () => {
      const conns = (await lab.listedConns(tcp)).filter(({ destination }) => destination.endsWith(':81'))
      expect(conns.map(({ state }) => state)).toEqual(['CLOSE'])
    }, SOON)
  })

  it.each(FAMILIES)(
    'holds the connections of a removed real server until it is back, IPv%i',
    async (family) => {
      const tcp = lab.service(family, 'masq', 'tcp')
      const udp = lab.service(family, 'masq', 'udp')
      await lab.configure([tcp, udp])
      await using session = await lab.world.client.session()
      const { body } = await session.get(url(tcp))
      const server = serverNamed(body)
      const localPort = ++lastPort
      const udpServer = serverNamed((await ask(udp, localPort)).body)
      await run(`-d ${serviceWords(tcp)} -r ${destEndpoint(tcp, server)}`)
      await run(`-d ${serviceWords(udp)} -r ${destEndpoint(udp, udpServer)}`)
      const dropped = () =>
        lab.verdicts('tc_ingress', 'DROP_DEST_GONE') + lab.verdicts('xdp', 'DROP_DEST_GONE')
      const before = dropped()

      // Not answered, not refused, and nobody else's.
      await expect(ask(udp, localPort, 300)).rejects.toThrow('no answer')
      const waiting = session.get(url(tcp), { timeoutMs: 20_000 })
      await eventually('a dropped segment', () => (dropped() > before + 1 ? true : undefined))
      expect((await ask(udp)).body).not.toBe(`${udpServer.name} who?`)
      await run(`-a ${serviceWords(tcp)} ${destWords(tcp, server)}`)
      await run(`-a ${serviceWords(udp)} ${destWords(udp, udpServer)}`)

      expect(await waiting).toMatchObject({ status: 200, body })
      expect((await ask(udp, localPort)).body).toBe(`${udpServer.name} who?`)
    },
  )

  it.each(FAMILIES)('gives them up at once with expire_nodest_conn, IPv%i', async (family) => {
    const tcp = lab.service(family, 'masq', 'tcp')
    const udp = lab.service(family, 'tun', 'udp')
    await lab.configure([tcp, udp])
    await lab.xlvs('sysctl', 'net.ipv4.vs.expire_nodest_conn=1')
    try {
      await using session = await lab.world.client.session()
      const first = await session.get(url(tcp))
      const server = serverNamed(first.body)
      const localPort = ++lastPort
      const udpServer = serverNamed((await ask(udp, localPort)).body)
      await run(`-d ${serviceWords(tcp)} -r ${destEndpoint(tcp, server)}`)
      await run(`-d ${serviceWords(udp)} -r ${destEndpoint(udp, udpServer)}`)

      // A datagram opens a connection to somebody else, a segment cannot: the stack resets.
      expect((await ask(udp, localPort)).body).not.toContain(udpServer.name)
      const second = await session.get(url(tcp)).catch((error: unknown) => String(error))
      if (typeof second === 'string') expect(second).toMatch(/ECONNRESET|socket hang up/)
      // A keep-alive probe may have met the reset before us: then we had a new connection.
      else expect(second.localPort).not.toBe(first.localPort)

      expect(await lab.world.client.get(url(tcp))).toMatchObject({ status: 200 })
    } finally {
      await lab.xlvs('sysctl', 'net.ipv4.vs.expire_nodest_conn=0')
    }
  })

  it.each(FAMILIES)('follows a changed route within a second, IPv%i', async (family) => {
    const service = lab.service(family, 'masq', 'udp')
    const { client, director, router, servers } = lab.world
    const [server] = servers
    const route = `${server.address(family)}/${family === 4 ? 32 : 128}`
    await lab.configure([service], [server])
    const match = `${family === 4 ? 'ip' : 'ip6'} daddr ${server.address(family)}`
    const table = [
      `table inet detour${family} {`,
      'counter detour {}',
      'chain forward { type filter hook forward priority 0;',
      `${match} counter name detour`,
      '}',
      '}\n',
    ].join('\n')
    await router?.exec('nft', ['-f', '-'], { input: table })
    const detoured = async () => {
      const list = await router?.exec('nft', ['list', 'counter', 'inet', `detour${family}`, 'detour'])
      return Number(/packets (\d+)/.exec(list?.stdout ?? '')?.[1])
    }
    await using stream = await client.stream(service.address, service.port, { perSecond: 500 })
    await eventually('answers', async () => ((await stream.report()).answered > 100 ? true : undefined))
    expect(await detoured()).toBe(0)

    try {
      await director.ip(`-${family}`, 'route', 'add', route, 'via', router?.address(family, 'back') ?? '')
      await withinASecond('the detour', async () => (await detoured()) > 0)

      // From now on all of them, but those that are on the way.
      const before = { detoured: await detoured(), sent: (await stream.report()).sent }
      await eventually('more of them', async () =>
        (await stream.report()).sent > before.sent + 200 ? true : undefined,
      )
      expect((await detoured()) - before.detoured).toBeGreaterThan(100)
    } finally {
      await director.ip(`-${family}`, 'route', 'del', route)
    }
    await withinASecond('the way back', async () => {
      const before = await detoured()
      const { sent } = await stream.report()
      await eventually('one more', async () => ((await stream.report()).sent > sent + 20 ? true : undefined))
      return (await detoured()) === before
    })

    const { missing, doubled, answered, sent } = await stream.stop()
    expect({ missing, doubled, answered }).toEqual({ missing: 0, doubled: 0, answered: sent })
  })

  it.each(FAMILIES)('says so when there is no route any more, and until then only, IPv%i', async (family) => {
    const service = lab.service(family, 'masq', 'tcp')
    const { client, director, servers } = lab.world
    const [server] = servers
    const route = `${server.address(family)}/${family === 4 ? 32 : 128}`
    await lab.configure([service], [server])
    expect(await client.get(url(service))).toMatchObject({ status: 200 })

    const outcome = () =>
      // One that was connected when the route went away would wait longer than it is away.
      client.get(url(service), { timeoutMs: 2_500 }).then(
        ({ body }) => body,
        (error: unknown) => String(error),
      )
    await director.ip(`-${family}`, 'route', 'add', 'unreachable', route)
    try {
      await withinASecond('no route', async () => (await outcome()).includes('EHOSTUNREACH'))
    } finally {
      await director.ip(`-${family}`, 'route', 'del', 'unreachable', route)
    }
    await withinASecond('a route again', async () => (await outcome()) === 'server1\n')
  })

  it.each(FAMILIES)('follows a real server to another MAC address within a second, IPv%i', async (family) => {
    const service = lab.service(family, 'dr', 'udp')
    const { director, servers } = lab.world
    const [server] = servers
    const { mac } = server.port()
    const moved = mac.replace(/^02/, '06')
    await lab.configure([service], [server])
    const localPort = ++lastPort
    expect((await ask(service, localPort)).body).toBe('server1 who?')
    const move = async (to: string) => {
      await server.ip('link', 'set', 'eth0', 'address', to)
      // What an announcement of the server's would do; the other family is for the tests after this.
      for (const address of FAMILIES.map((each) => server.address(each)))
        await director.ip('neigh', 'replace', address, 'lladdr', to, 'dev', 'eth1', 'nud', 'reachable')
    }
    const answers = () =>
      ask(service, localPort, 100).then(
        ({ body }) => body === 'server1 who?',
        () => false,
      )

    try {
      await move(moved)
      await withinASecond('an answer from there', answers)
    } finally {
      await move(mac)
    }
    await withinASecond('an answer as before', answers)
  })

  it.each(FAMILIES)('finds a real server again that moved in silence, IPv%i', async (family) => {
    const service = lab.service(family, 'dr', 'udp')
    const { director, servers } = lab.world
    const [server] = servers
    await lab.configure([service], [server])
    const address = server.address(family)
    // Checking takes the kernel eight seconds unless told to hurry.
    for (const [name, value] of Object.entries({
      delay_first_probe_time: 1,
      retrans_time_ms: 100,
      ucast_solicit: 1,
    }))
      await director.sysctl(`net.ipv${family}.neigh.eth1.${name}`, value)
    const lladdr = '06:00:00:00:00:99'
    await director.ip('neigh', 'replace', address, 'lladdr', lladdr, 'dev', 'eth1', 'nud', 'stale')
    const answered = () =>
      ask(service, ++lastPort, 100).then(
        () => true,
        () => false,
      )

    // XDP has neighbours checked every 16 s or more; here it is due at once.
    await eventually('a right neighbour', async () => {
      lab.makeNeighbourChecksDue()
      return (await answered()) ? true : undefined
    })

    expect(await director.ip('neigh', 'show', address)).toContain(server.port().mac)
  })

  it.each(FAMILIES)('loses no first packet while neighbours are looked for, IPv%i', async (family) => {
    const services = METHODS.map((method) => lab.service(family, method, 'udp'))
    for (const service of services) {
      await lab.configure([service])
      await lab.world.director.ip('neigh', 'flush', 'dev', 'eth1')
      const deferred = lab.verdicts('xdp', 'DEFER_HOP')

      const answers = await Promise.all(lab.world.servers.map(() => ask(service)))

      expect(new Set(answers.map(({ body }) => body)).size, service.method).toBe(3)
      if (hook === 'xdp') expect(lab.verdicts('xdp', 'DEFER_HOP'), service.method).toBeGreaterThan(deferred)
    }
  })
})
