// SPDX-License-Identifier: MIT
/**
 * The worlds other tests live in, without any load balancer: plain routing, and what
 * real servers need for direct routing and tunnels.
 */
import { createHash } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Failure } from '../../src/util/errors.js'
import { namespaces } from '../../src/testing/janitor.js'
import { RunningProcess } from '../../src/testing/process.js'
import { packageFile } from '../../src/util/package.js'
import {
  createWorld,
  type Family,
  type Host,
  type TestServer,
  type Visit,
  type World,
} from '../../src/testing/index.js'

const url = (address: string, port = 80) =>
  `http://${address.includes(':') ? `[${address}]` : address}:${port}/`

/** The namespaces a world's hosts live in, and their siblings. */
const namespacesOf = (prefix: string) => namespaces().filter((name) => name.startsWith(prefix))
const prefixOf = (world: World) => world.director.netns.replace(/director$/, '')

/** Looks until `look` gives something; there is no event for what arrives at another host. */
async function eventually<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (const deadline = Date.now() + 5_000; ; await setTimeout(5)) {
    const found = await look()
    if (found !== undefined) return found
    if (Date.now() > deadline) throw new Error('it never happened')
  }
}

describe('a world', () => {
  let world: World
  let http: readonly TestServer[]

  beforeAll(async () => {
    world = await createWorld({ clients: 2, servers: 2 })
    http = await Promise.all(world.servers.map((server) => server.http({ port: 80 })))
    await Promise.all(world.servers.map((server) => server.udp({ port: 53 })))
  })

  afterAll(() => world[Symbol.asyncDispose]())

  it.each<Family>([4, 6])('routes HTTP from each client to each server over IPv%i', async (family) => {
    for (const client of world.clients) {
      for (const server of world.servers) {
        const reply = await client.get(url(server.address(family)))

        expect(reply).toMatchObject({ status: 200, body: `${server.name}\n` })
      }
    }
  })

  it.each<Family>([4, 6])(
    'carries UDP over IPv%i, and the answer names the address asked',
    async (family) => {
      for (const server of world.servers) {
        const answer = await world.client.ask(server.address(family), 53, 'who?', { localPort: 4242 })

        expect(answer).toEqual({
          body: `${server.name} who?`,
          from: server.address(family),
          fromPort: 53,
          localPort: 4242,
        })
      }
    },
  )

  it('tells a server who asked it what', async () => {
    const [, second] = world.clients
    const before = (await http[0]?.visits())?.length ?? 0

    const { localPort } = await (second as Host).get(`${url(world.servers[0].address(4))}hello`)

    const visits: readonly Visit[] = (await http[0]?.visits()) ?? []
    expect(visits.slice(before)).toEqual([
      { from: (second as Host).address(4), fromPort: localPort, data: 'GET /hello' },
    ])
  })

  it('keeps one connection for the requests of a session', async () => {
    const target = url(world.servers[0].address(4))
    await using session = await world.client.session()

    const first = await session.get(target)
    const second = await session.get(target)
    const alone = await world.client.get(target)

    expect(second.localPort).toBe(first.localPort)
    expect(alone.localPort).not.toBe(first.localPort)
  })

  it.each<Family>([4, 6])('moves bulk data unharmed both ways over IPv%i', async (family) => {
    const bytes = 20_000_000
    const target = url(world.servers[0].address(family))

    const down = await world.client.download(target, bytes)
    const up = await world.client.upload(target, bytes)

    const expected = createHash('sha256')
      .update(
        'xlvs moves bytes and loses none. '
          .repeat(Math.ceil(65536 / 33))
          .slice(0, 65536)
          .repeat(306)
          .slice(0, bytes),
      )
      .digest('hex')
    expect(down).toMatchObject({ bytes, sha256: expected })
    expect(up).toMatchObject({ bytes, sha256: expected })
  })

  it('runs commands inside, by nsenter and by ip netns exec', async () => {
    for (const via of ['nsenter', 'ip-netns'] as const) {
      const { stdout } = await world.director.exec('ip', ['-o', '-4', 'addr', 'show', 'dev', 'eth1'], { via })

      expect(stdout).toContain('10.2.0.1/24')
    }
    const { stdout } = await world.director.exec('cat', [], { input: 'as typed\n' })
    expect(stdout).toBe('as typed\n')
  })

  it('hides bpffs from ip netns exec only, as iproute2 does', async () => {
    const kind = ['-f', '-c', '%T', '/sys/fs/bpf']

    const inside = await world.director.exec('stat', kind, { via: 'ip-netns' })

    expect(inside.stdout).toBe('sysfs\n')
  })

  it('fails with what a command said, or returns its status when asked', async () => {
    const run = (check: boolean) => world.client.exec('sh', ['-c', 'echo no way >&2; exit 3'], { check })

    await expect(run(true)).rejects.toThrow(/ended with 3: no way/)
    await expect(run(false)).resolves.toEqual({ status: 3, stdout: '', stderr: 'no way\n' })
    await expect(world.client.exec('no-such-command')).rejects.toBeInstanceOf(Failure)
    for (const slow of ['sleep 60', 'sleep 60 & wait']) {
      await expect(world.client.exec('sh', ['-c', slow], { timeoutMs: 100 })).rejects.toThrow(
        'did not end within 100 ms',
      )
    }
  })

  it('says who is missing when nobody answers', async () => {
    await expect(world.client.ask('10.2.0.99', 53, 'hello?', { timeoutMs: 200 })).rejects.toThrow(
      'client1: no answer from 10.2.0.99 port 53 within 200 ms',
    )
    await expect(world.client.get('http://10.2.0.11:81/')).rejects.toThrow('ECONNREFUSED')
  })

  it('switches the far ends of native XDP to computed checksums and polling', async () => {
    await world.xdpReady()

    for (const host of [...world.clients, ...world.servers]) {
      const { stdout } = await host.exec('ethtool', ['-k', 'eth0'])
      expect(stdout).toMatch(/^tx-checksumming: off/m)
      expect(stdout).toMatch(/^generic-receive-offload: on/m)
    }
    expect(await world.client.get(url(world.servers[0].address(4)))).toMatchObject({ status: 200 })
  })
})

describe('a real server', () => {
  it.each<Family>([4, 6])('answers for a virtual address past the director over IPv%i', async (family) => {
    await using world = await createWorld({ servers: 1, families: [family] })
    const [server] = world.servers
    const vip = world.vip(family)
    await server.acceptVirtual(vip)
    await server.http({ port: 80 })
    await server.udp({ port: 53 })
    // What direct routing does, done by a route: the packet as it is, to the server's MAC.
    await world.director.ip('addr', 'del', `${vip}/${family === 4 ? 32 : 128}`, 'dev', 'lo')
    await world.director.ip('route', 'add', vip, 'via', server.address(family))
    const transmitted = async (device: string) =>
      Number(
        (await world.director.exec('cat', [`/proc/net/dev`])).stdout
          .match(new RegExp(`${device}:(.*)`))?.[1]
          ?.trim()
          .split(/\s+/)[9],
      )
    const before = await transmitted('eth0')

    const bulk = await world.client.download(url(vip), 1_000_000)
    const answer = await world.client.ask(vip, 53, 'who?')

    expect(bulk.bytes).toBe(1_000_000)
    expect(answer).toMatchObject({ body: 'server1 who?', from: vip })
    // The replies took the router: towards the client the director sent next to nothing (ND, ARP).
    expect((await transmitted('eth0')) - before).toBeLessThan(8)
  })

  it.each<[Family, Family]>([
    [4, 4],
    [6, 6],
    [4, 6],
    [6, 4],
  ])('takes an IPv%i header off an IPv%i packet', async (outer, inner) => {
    await using world = await createWorld({ servers: 1 })
    const [server] = world.servers
    const vip = world.vip(inner)
    await server.acceptVirtual(vip)
    await server.decapsulate()
    await server.udp({ port: 53 })
    const listening = await world.client.udp({ port: 4242 })
    const packet = udpPacket(inner, world.client.address(inner), 4242, vip, 53, 'in a tunnel')

    // The kernel writes the outer header of a raw socket.
    await world.director.exec('python3', [
      '-c',
      [
        'import socket, sys',
        's = socket.socket(socket.AF_INET6 if sys.argv[1] == "6" else socket.AF_INET, socket.SOCK_RAW, int(sys.argv[2]))',
        's.sendto(bytes.fromhex(sys.argv[3]), (sys.argv[4], 0))',
      ].join('\n'),
      String(outer),
      String(inner === 4 ? 4 : 41),
      packet.toString('hex'),
      server.address(outer),
    ])

    const [visit] = await eventually(async () => {
      const visits = await listening.visits()
      return visits.length > 0 ? visits : undefined
    })
    expect(visit).toEqual({ from: vip, fromPort: 53, data: 'server1 in a tunnel' })
  })
})

describe('removing a world', () => {
  it('leaves no namespace and no process', async () => {
    const world = await createWorld({ servers: 1 })
    await world.client.http()
    const sleeping = world.client.spawn('sleep', ['600'])
    const prefix = prefixOf(world)
    expect(namespacesOf(prefix)).toHaveLength(5)

    await world[Symbol.asyncDispose]()

    expect(namespacesOf(prefix)).toEqual([])
    expect(sleeping.child.signalCode ?? sleeping.child.exitCode).not.toBeNull()
  })

  it('does not wait for children that a stopped command left', async () => {
    const world = await createWorld({ servers: 1, router: false })
    const parent = world.client.spawn('sh', ['-c', 'sleep 600 & echo started; wait'])
    await parent.printed(/started/)

    await world[Symbol.asyncDispose]()

    expect(await parent.ended).not.toBe(0)
    expect(namespacesOf(prefixOf(world))).toEqual([])
  })

  it('happens when a scope is left by an exception', async () => {
    let prefix = ''

    await expect(async () => {
      await using world = await createWorld({ servers: 1, router: false })
      prefix = prefixOf(world)
      throw new Error('the test failed')
    }).rejects.toThrow('the test failed')

    expect(prefix).not.toBe('')
    expect(namespacesOf(prefix)).toEqual([])
  })

  it('happens when building it fails half way', async () => {
    const before = namespaces().filter((name) => name.startsWith(`xlvs-${process.pid}-`))

    await expect(createWorld({ mtu: 1 })).rejects.toBeInstanceOf(Failure)

    expect(namespaces().filter((name) => name.startsWith(`xlvs-${process.pid}-`))).toEqual(before)
  })

  /** Another process with a world, from the built library. */
  async function somebodyElse(): Promise<RunningProcess> {
    const library = packageFile('build', 'js', 'testing', 'index.js')
    const script = `
      import { createWorld } from ${JSON.stringify(library)}
      const world = await createWorld({ servers: 1 })
      await world.client.http()
      console.log('built')
      setInterval(() => {}, 1000)`
    const other = new RunningProcess(['node', '--input-type=module', '-e', script])
    await other.printed(/built/)
    return other
  }

  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'happens on %s, which still ends the process',
    async (signal) => {
      const other = await somebodyElse()
      expect(namespacesOf(`xlvs-${other.pid}-`)).toHaveLength(5)

      other.child.kill(signal)
      await other.ended

      expect(other.child.signalCode).toBe(signal)
      expect(namespacesOf(`xlvs-${other.pid}-`)).toEqual([])
    },
  )

  it('is done by the next world when the process was killed', async () => {
    const killed = await somebodyElse()
    killed.child.kill('SIGKILL')
    await killed.ended
    expect(namespacesOf(`xlvs-${killed.pid}-`)).toHaveLength(5)

    await using _next = await createWorld({ servers: 1, router: false })

    expect(namespacesOf(`xlvs-${killed.pid}-`)).toEqual([])
  })
})

describe('two worlds', () => {
  it('use the same addresses and never meet', async () => {
    await using one = await createWorld({ servers: 1, families: [4], router: false })
    await using other = await createWorld({ servers: 1, families: [4], router: false })
    await one.servers[0].http({ port: 80 })

    expect(one.servers[0].address(4)).toBe(other.servers[0].address(4))
    expect(await one.client.get(url(one.servers[0].address(4)))).toMatchObject({ status: 200 })
    await expect(other.client.get(url(other.servers[0].address(4)))).rejects.toThrow('ECONNREFUSED')
  })
})

/** An IP packet with UDP in it, checksums and all. */
function udpPacket(
  family: Family,
  from: string,
  fromPort: number,
  to: string,
  toPort: number,
  data: string,
): Buffer {
  const payload = Buffer.from(data)
  const udp = Buffer.alloc(8 + payload.length)
  udp.writeUInt16BE(fromPort, 0)
  udp.writeUInt16BE(toPort, 2)
  udp.writeUInt16BE(udp.length, 4)
  payload.copy(udp, 8)
  const addresses = Buffer.concat([addressBytes(from), addressBytes(to)])
  const pseudo = Buffer.from([0, 17, udp.length >> 8, udp.length & 0xff])
  udp.writeUInt16BE(checksum(Buffer.concat([addresses, pseudo, udp])) || 0xffff, 6)

  const header = Buffer.alloc(family === 4 ? 12 : 8)
  if (family === 4) {
    header.set([0x45, 0, 0, 0, 0, 1, 0, 0, 64, 17])
    header.writeUInt16BE(20 + udp.length, 2)
    header.writeUInt16BE(checksum(Buffer.concat([header, addresses])), 10)
  } else {
    header.set([0x60, 0, 0, 0, 0, 0, 17, 64])
    header.writeUInt16BE(udp.length, 4)
  }
  return Buffer.concat([header, addresses, udp])
}

/** Enough for the addresses of a world: `10.0.0.1`, `fd00::1`. */
function addressBytes(address: string): Buffer {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number))
  const [network = '', host = ''] = address.split('::')
  return Buffer.from(network.padEnd(32 - 4, '0') + host.padStart(4, '0'), 'hex')
}

function checksum(bytes: Buffer): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] as number) * 256 + (bytes[i + 1] ?? 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16)
  return ~sum & 0xffff
}
