// SPDX-License-Identifier: MIT
/**
 * Loading, attaching, upgrading and removing, by the programs a user runs, through
 * every way into a namespace.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

import { KernelDatapath, type Status } from '../../src/datapath/kernel/datapath.js'
import { Home } from '../../src/datapath/kernel/home.js'
import { at } from '../../src/datapath/kernel/layout.js'
import { Tables } from '../../src/datapath/kernel/tables.js'
import { dest, service } from '../../src/ipvs/spec.js'
import { BpfLink, BpfMap, BpfProgram, listInterfaces, queryTcx, queryXdp } from '../../src/libbpf/index.js'
import { RunningProcess, runCommand, type ExecOptions, type ExecResult } from '../../src/testing/process.js'
import { packageFile } from '../../src/util/package.js'
import { Netns } from '../support/netns.js'

const PROGRAM = (name: string) => packageFile('build', 'bin', name)

/** How a user gets into a namespace. */
const ENTRANCES = {
  'a shell in it': (netns: Netns) => ['nsenter', `--net=${netns.path}`, 'sh', '-c', 'exec "$@"', 'sh'],
  'nsenter --net': (netns: Netns) => ['nsenter', `--net=${netns.path}`, '--'],
  'ip netns exec': (netns: Netns) => ['ip', 'netns', 'exec', netns.name],
} as const

type Entrance = keyof typeof ENTRANCES

function run(
  netns: Netns,
  program: 'ipvsadm' | 'xlvs',
  words: string,
  options: ExecOptions & { entrance?: Entrance } = {},
): Promise<ExecResult> {
  const enter = ENTRANCES[options.entrance ?? 'nsenter --net'](netns)
  return runCommand([...enter, PROGRAM(program), ...words.split(' ').filter(Boolean)], options)
}

const failing = { check: false } as const

let netns: Netns

function makeRoom(stem: string): Netns {
  const room = Netns.create(stem)
  room.ip(
    'link add d0 type veth peer name c0',
    'link add d1 type veth peer name s0',
    'link set d0 up',
    'link set d1 up',
    'link set c0 up',
    'addr add 10.1.0.1/24 dev d0',
    'addr add 10.2.0.1/24 dev d1',
    'addr add 10.0.0.1/32 dev lo',
  )
  return room
}

beforeEach(() => {
  netns = makeRoom('life')
})

afterEach(() => {
  using datapath = KernelDatapath.open({ netns: netns.path, load: 'never' })
  datapath.down()
  netns[Symbol.dispose]()
})

function status(room: Netns = netns): Status {
  using datapath = KernelDatapath.open({ netns: room.path, load: 'never' })
  return datapath.status()
}

const onDevice = (name: string) => status().devices.find((device) => device.name === name)

const ifindexOf = (name: string) => listInterfaces(netns.path).find((device) => device.name === name)!.ifindex

/** Ids of the links and of the programs behind them, by pin. */
function links(): Record<string, { link: number; program: number }> {
  using home = Home.open(netns.path)
  return Object.fromEntries(
    home.names('links').map((name) => {
      using link = BpfLink.openPinned(home.pin('links', name), { fs: home.fs })
      return [name, { link: link.info().id, program: link.info().programId }]
    }),
  )
}

function mapIds(): Record<string, number> {
  using home = Home.open(netns.path)
  return Object.fromEntries(
    home.names('maps').map((name) => {
      using map = BpfMap.openPinned(home.pin('maps', name), { fs: home.fs })
      return [name, map.id]
    }),
  )
}

describe('the first service', () => {
  it.each(Object.keys(ENTRANCES) as Entrance[])(
    'loads and attaches by itself from %s, and is seen from everywhere',
    async (entrance) => {
      await run(netns, 'ipvsadm', '-A -t 10.0.0.1:80 -s rr', { entrance })
      await run(netns, 'ipvsadm', '-a -t 10.0.0.1:80 -r 10.2.0.11:8080 -m', { entrance })

      for (const other of Object.keys(ENTRANCES) as Entrance[]) {
        const { stdout } = await run(netns, 'ipvsadm', '-Sn', { entrance: other })
        expect(stdout).toBe('-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.2.0.11:8080 -m -w 1\n')
      }
      using library = KernelDatapath.open({ netns: netns.path, load: 'never' })
      expect(library.services()[0]?.dests[0]).toMatchObject({ address: '10.2.0.11', fwd: 'masq' })
      const { devices } = status()
      expect(
        devices
          .filter(({ tc }) => tc !== null)
          .map(({ name }) => name)
          .sort(),
      ).toEqual(['c0', 'd0', 'd1'])
    },
  )

  it('leaves veth devices to tc, and says so', async () => {
    await run(netns, 'ipvsadm', '-A -t 10.0.0.1:80')

    expect(onDevice('d0')).toMatchObject({
      tc: 'tcx',
      xdp: null,
      why: expect.stringContaining('virtual') as string,
    })
    expect(onDevice('lo')).toMatchObject({ tc: null, why: 'loopback' })
    expect(queryXdp(ifindexOf('d0'), { netns: netns.path })).toBeNull()
  })

  it('leaves out devices that are down and ports of a bridge', async () => {
    netns.ip('link add br0 type bridge', 'link set br0 up', 'link set d1 master br0', 'link set c0 down')

    await run(netns, 'ipvsadm', '-A -t 10.0.0.1:80')

    const attached = status()
      .devices.filter(({ tc }) => tc !== null)
      .map(({ name }) => name)
    expect(attached.sort()).toEqual(['br0', 'd0'])
    expect(onDevice('c0')).toMatchObject({ why: expect.stringContaining('down') as string })
  })

  it('is loaded once when many ask for it at the same time', async () => {
    const ports = Array.from({ length: 8 }, (_, i) => 8000 + i)

    await Promise.all(
      ports.map((port, i) =>
        run(netns, 'ipvsadm', `-A -t 10.0.0.1:${port}`, {
          entrance: i % 2 === 0 ? 'nsenter --net' : 'ip netns exec',
        }),
      ),
    )

    const { stdout } = await run(netns, 'ipvsadm', '-Sn')
    expect(stdout.match(/-A -t 10\.0\.0\.1:(\d+)/g)).toHaveLength(ports.length)
    expect(queryTcx(ifindexOf('d0'), 'ingress', { netns: netns.path })).toHaveLength(1)
  })

  it('does not load for a service that is refused, nor for a listing', async () => {
    expect(await run(netns, 'ipvsadm', '-A -t 10.0.0.1:80 -s nobody', failing)).toMatchObject({ status: 255 })
    expect(await run(netns, 'ipvsadm', '-Ln')).toMatchObject({ status: 0 })
    expect(await run(netns, 'ipvsadm', '-D -t 10.0.0.1:80', failing)).toMatchObject({
      status: 255,
      stderr: 'No such service\n',
    })

    expect(status().loaded).toBe(false)
  })

  it('lets lo forward, so that routes can be asked for', async () => {
    await runCommand(['nsenter', `--net=${netns.path}`, 'sysctl', '-qw', 'net.ipv4.conf.lo.forwarding=0'])
    await run(netns, 'ipvsadm', '-A -t 10.0.0.1:80', { entrance: 'ip netns exec' })

    const { stdout } = await runCommand([
      'nsenter',
      `--net=${netns.path}`,
      'sysctl',
      '-n',
      'net.ipv4.conf.lo.forwarding',
    ])
    expect(stdout.trim()).toBe('1')
  })
})

describe('xlvs up', () => {
  it('attaches to the devices named, and to more of them later', async () => {
    await run(netns, 'xlvs', 'up --dev d0')
    expect(
      status()
        .devices.filter(({ tc }) => tc !== null)
        .map(({ name }) => name),
    ).toEqual(['d0'])

    await run(netns, 'xlvs', 'up --dev d1 --xdp native')

    expect(onDevice('d0')).toMatchObject({ tc: 'tcx', xdp: null })
    expect(onDevice('d1')).toMatchObject({ tc: 'tcx', xdp: 'native', why: null })
    expect(queryXdp(ifindexOf('d1'), { netns: netns.path })).toMatchObject({ mode: 'native' })
  })

  it('changes the XDP mode, and warns of the generic one', async () => {
    await run(netns, 'xlvs', 'up --dev d0 --xdp native')
    const generic = await run(netns, 'xlvs', 'up --xdp generic --dev d0')
    expect(generic.stderr).toMatch(/warning: GENERIC XDP/)
    expect(queryXdp(ifindexOf('d0'), { netns: netns.path })).toMatchObject({ mode: 'generic' })
    expect(onDevice('d0')).toMatchObject({ xdp: 'generic' })

    await run(netns, 'xlvs', 'up --xdp off')

    expect(queryXdp(ifindexOf('d0'), { netns: netns.path })).toBeNull()
    expect(onDevice('d0')).toMatchObject({ tc: 'tcx', xdp: null, why: 'xdp off' })
  })

  it('replaces programs and keeps maps, links, services and the XDP mode', async () => {
    await run(netns, 'xlvs', 'up --xdp native')
    await run(netns, 'ipvsadm', '-A -t 10.0.0.1:80 -s wrr')
    await run(netns, 'ipvsadm', '-a -t 10.0.0.1:80 -r 10.2.0.11 -m -w 5')
    const [before, maps] = [links(), mapIds()]
    const { stdout: rules } = await run(netns, 'ipvsadm', '-Sn')

    await run(netns, 'xlvs', 'up', { entrance: 'ip netns exec' })

    const after = links()
    expect(mapIds()).toEqual(maps)
    expect(Object.keys(after)).toEqual(Object.keys(before))
    for (const name of Object.keys(before)) {
      expect(after[name]!.link).toBe(before[name]!.link)
      expect(after[name]!.program).not.toBe(before[name]!.program)
    }
    expect((await run(netns, 'ipvsadm', '-Sn')).stdout).toBe(rules)
    expect(onDevice('d0')).toMatchObject({ xdp: 'native' })
    // Nothing of the old version is left behind.
    const old = new Set(Object.values(before).map(({ program }) => program))
    const programs = new Set(BpfProgram.ids())
    expect([...old].filter((id) => programs.has(id))).toEqual([])
  })

  it('works with filters where the kernel has no tcx', async () => {
    using datapath = KernelDatapath.open({ netns: netns.path })
    datapath.up({ devices: ['d0'], tc: 'clsact' })
    expect(onDevice('d0')).toMatchObject({ tc: 'clsact' })
    const filters = () => runCommand(['tc', '-n', netns.name, 'filter', 'show', 'dev', 'd0', 'ingress'])
    expect((await filters()).stdout.match(/ handle /g)).toHaveLength(1)

    datapath.up({ tc: 'clsact' })
    expect((await filters()).stdout.match(/ handle /g)).toHaveLength(1)

    datapath.down()
    expect((await filters()).stdout).not.toMatch(/tc_ingress/)
  })

  it('refuses XDP where another program is, and with auto leaves the device to tc', async () => {
    const taken = ifindexOf('d0')
    using other = Netns.create('other')
    other.ip('link add x0 type veth peer name x1', 'link set x0 up')
    using foreign = KernelDatapath.open({ netns: other.path })
    foreign.up({ devices: ['x0'], xdp: 'native' })
    using home = Home.open(other.path)
    using program = BpfProgram.openPinned(home.pin('progs', 'xdp_in'), { fs: home.fs })
    using link = program.attachXdp(taken, { mode: 'native', netns: netns.path })

    const refused = await run(netns, 'xlvs', 'up --dev d0 --xdp native', failing)

    expect(refused).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('another XDP program') as string,
    })
    expect(status().loaded).toBe(false)
    expect(link.info().ifindex).toBe(taken)
    foreign.down()
  })

  it('makes the tables as large as asked for, and refuses other sizes afterwards', async () => {
    await run(netns, 'xlvs', 'up --conns 1000 --services 10 --dests 20')
    expect(status().tables).toMatchObject({
      services: { size: 10 },
      dests: { size: 20 },
      conns4: { used: 0 },
    })

    const other = await run(netns, 'xlvs', 'up --services 11', failing)
    expect(other).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/10 services.*\nhint: xlvs down/) as string,
    })
    expect(await run(netns, 'xlvs', 'up --services 10')).toMatchObject({ status: 0 })
  })

  it.each([
    ['up --dev nope', 1, /no network device 'nope'.*\nhint: .ip link/],
    ['up --dev lo', 1, /lo is not an Ethernet device/],
    ['up --xdp fast', 2, /fast/],
    ['up --conns 0', 2, /conns must be between/],
    ['up --dests 1.5', 2, /dests must be between/],
    ['up --dests many', 2, /dests/],
    ['explain tcp 192.0.2.9:40000 10.0.0.1:80', 69, /no data plane is loaded.*\nhint: xlvs up/],
    ['explain sctp 192.0.2.9:40000 10.0.0.1:80', 2, /sctp/],
    ['explain tcp 192.0.2.9 10.0.0.1:80', 2, /'192.0.2.9' is not an address and port\nhint: write/],
    ['explain tcp 1:1 10.0.0.1:80', 2, /'1:1' is not an address and port/],
    ['explain tcp [fd00::1]:1 10.0.0.1:80', 69, /no data plane/],
    ['explain udp 192.0.2.9:1 10.0.0.1:80 --syn', 2, /UDP has no flags/],
    ['stats', 69, /no data plane is loaded/],
    ['conn list', 69, /no data plane is loaded/],
    ['conn drop', 2, /drop/],
    ['sysctl nonsense=1', 2, /there is no setting 'nonsense'\nhint: there are conn_reuse_mode/],
    ['sysctl secure_tcp=4', 2, /secure_tcp is an integer between 0 and 3, not 4/],
    ['sysctl sloppy_tcp=on', 2, /sloppy_tcp is an integer, not 'on'/],
    ['clock --advance 1', 69, /no data plane/],
  ])('says what is wrong with `xlvs %s` and loads nothing', async (words, code, message) => {
    const { status: exit, stderr } = await run(netns, 'xlvs', words, failing)

    expect({ exit, stderr }).toEqual({ exit: code, stderr: expect.stringMatching(message) as string })
    expect(status().loaded).toBe(false)
  })

  it('names the capabilities that are missing', async () => {
    const line = ['nsenter', `--net=${netns.path}`, 'setpriv', '--bounding-set=-net_admin,-bpf,-sys_admin']
    const { status: exit, stderr } = await runCommand([...line, PROGRAM('xlvs'), 'up'], failing)

    expect({ exit, stderr }).toEqual({
      exit: 77,
      stderr: expect.stringContaining('CAP_BPF and CAP_NET_ADMIN') as string,
    })
  })
})

describe('xlvs status', () => {
  it('tells in JSON what it tells in words', async () => {
    expect(await run(netns, 'xlvs', 'status', failing)).toMatchObject({
      status: 69,
      stdout: expect.stringContaining('not loaded') as string,
    })
    await run(netns, 'xlvs', 'up --dev d0')

    const { stdout: json } = await run(netns, 'xlvs', 'status --json')
    const { stdout: words } = await run(netns, 'xlvs', 'status')

    using home = Home.open(netns.path)
    expect(JSON.parse(json)).toMatchObject({ loaded: true, netns: String(home.inode), path: home.path })
    expect(words).toMatch(/^d0 +tcx +- +virtual device/m)
    expect(words).toMatch(/^d1 +- +- +not attached: xlvs up attaches/m)
    expect(words).toMatch(/^services +0 +16384 +0 %$/m)
  })
})

describe('xlvs down', () => {
  it('leaves nothing behind', async () => {
    await run(netns, 'xlvs', 'up --xdp native')
    await run(netns, 'ipvsadm', '-A -t 10.0.0.1:80')
    const ids = Object.values(mapIds())

    await run(netns, 'xlvs', 'down', { entrance: 'ip netns exec' })

    expect(queryTcx(ifindexOf('d0'), 'ingress', { netns: netns.path })).toEqual([])
    expect(queryXdp(ifindexOf('d0'), { netns: netns.path })).toBeNull()
    using home = Home.open(netns.path)
    expect(home.fs.list('xlvs').map(({ name }) => name)).not.toContain(String(home.inode))
    expect((await run(netns, 'ipvsadm', '-Sn')).stdout).toBe('')
    // The kernel frees maps a moment after their last user.
    for (let i = 0; i < 100 && [...BpfMap.ids()].some((id) => ids.includes(id)); i++) await sleep(20)
    expect([...BpfMap.ids()].filter((id) => ids.includes(id))).toEqual([])
    expect(await run(netns, 'xlvs', 'down')).toMatchObject({ status: 0, stderr: 'nothing was loaded\n' })
  })

  it('is noticed by a process that had the data plane open', async () => {
    using datapath = KernelDatapath.open({ netns: netns.path })
    datapath.addService(service('tcp', '10.0.0.1:80'))

    await run(netns, 'xlvs', 'down')
    expect(datapath.services()).toEqual([])
    await run(netns, 'ipvsadm', '-A -u 10.0.0.1:53')
    datapath.addDest({ ...service('udp', '10.0.0.1:53').key }, dest('10.2.0.11'))

    expect((await run(netns, 'ipvsadm', '-Sn')).stdout).toContain('-a -u 10.0.0.1:53 -r 10.2.0.11:0 -g -w 1')
  })
})

describe('a data plane of another version', () => {
  function pretendOther(): void {
    using home = Home.open(netns.path)
    using tables = new Tables(home.fs, home.room('maps'))
    tables.config.setU64(0, at.config.fingerprint, 0x1234n)
  }

  it('is refused with a way out, and left alone', async () => {
    await run(netns, 'ipvsadm', '-A -t 10.0.0.1:80')
    pretendOther()
    const before = links()

    for (const words of ['up', 'status', 'stats']) {
      const { status: exit, stderr } = await run(netns, 'xlvs', words, failing)
      expect(exit).toBe(1)
      expect(stderr).toMatch(/another version.*1234.*\nhint: .*xlvs down/)
    }
    expect((await run(netns, 'ipvsadm', '-A -t 10.0.0.1:81', failing)).status).not.toBe(0)
    expect(links()).toEqual(before)

    await run(netns, 'xlvs', 'down')
    await run(netns, 'xlvs', 'up')
    expect(status().loaded).toBe(true)
  })
})

describe('namespaces', () => {
  it('are not taken for a dead one that had the same inode number', async () => {
    await run(netns, 'ipvsadm', '-A -t 10.0.0.1:80')
    {
      using home = Home.open(netns.path)
      using config = BpfMap.openPinned(home.pin('maps', 'config'), { fs: home.fs })
      const view = config.mmap({ writable: true })
      new DataView(view.buffer).setBigUint64(at.config.netnsCookie, home.cookie + 1n, true)
    }

    const listed = await run(netns, 'ipvsadm', '-Ln')
    await run(netns, 'ipvsadm', '-A -u 10.0.0.1:53')
    const anew = await run(netns, 'ipvsadm', '-Sn')

    expect(listed.stdout).not.toContain('10.0.0.1:80')
    expect(anew.stdout).toBe('-A -u 10.0.0.1:53 -s wlc\n')
  })

  it('that died without xlvs down leave nothing behind once another one loads', async () => {
    const doomed = makeRoom('doomed')
    await run(doomed, 'ipvsadm', '-A -t 10.0.0.1:80')
    const left = String(Home.open(doomed.path).inode)
    doomed[Symbol.dispose]()

    using home = Home.open(netns.path)
    // Its devices go a moment after its name.
    const isGone = async () => {
      await run(netns, 'xlvs', 'down')
      await run(netns, 'ipvsadm', '-A -t 10.0.0.1:80')
      return !home.fs.list('xlvs').some(({ name }) => name === left)
    }
    await expect.poll(isGone, { timeout: 30_000 }).toBe(true)
  })

  it('never see each other', async () => {
    using other = makeRoom('other')
    await run(netns, 'ipvsadm', '-A -t 10.0.0.1:80 -s rr')
    expect(status(other).loaded).toBe(false)
    await run(other, 'ipvsadm', '-A -t 10.0.0.1:80 -s wlc')
    await run(other, 'ipvsadm', '-a -t 10.0.0.1:80 -r 10.2.0.99:80 -m')

    expect((await run(netns, 'ipvsadm', '-Sn')).stdout).toBe('-A -t 10.0.0.1:80 -s rr\n')
    await run(netns, 'ipvsadm', '-C')
    expect((await run(other, 'ipvsadm', '-Sn')).stdout).toMatch(/-s wlc\n-a .*10\.2\.0\.99/)
    await run(other, 'xlvs', 'down')
    expect(status().loaded).toBe(true)
  })
})

describe('several processes', () => {
  it('lose no dest of each other', async () => {
    await run(netns, 'ipvsadm', '-A -t 10.0.0.1:80 -s wrr')
    const hosts = Array.from({ length: 24 }, (_, i) => i + 1)

    await Promise.all(
      hosts.map((host) =>
        run(netns, 'ipvsadm', `-a -t 10.0.0.1:80 -r 10.2.0.${host}:80 -m -w ${host}`, {
          entrance: host % 2 === 0 ? 'nsenter --net' : 'ip netns exec',
        }),
      ),
    )
    await Promise.all(
      hosts
        .filter((host) => host % 3 !== 1)
        .map((host) =>
          host % 3 === 0
            ? run(netns, 'ipvsadm', `-d -t 10.0.0.1:80 -r 10.2.0.${host}:80`)
            : run(netns, 'ipvsadm', `-e -t 10.0.0.1:80 -r 10.2.0.${host}:80 -m -w ${host + 100}`),
        ),
    )

    const { stdout } = await run(netns, 'ipvsadm', '-Sn')
    const found = [...stdout.matchAll(/-r 10\.2\.0\.(\d+):80 -m -w (\d+)/g)].map(([, host, weight]) => [
      host,
      weight,
    ])
    const wanted = hosts
      .filter((host) => host % 3 !== 0)
      .map((host) => [String(host), String(host % 3 === 1 ? host : host + 100)])
    expect(found).toEqual(wanted)
  })

  it('restore what they saved', async () => {
    const rules =
      [
        '-A -t 10.0.0.1:80 -s rr',
        '-a -t 10.0.0.1:80 -r 10.2.0.11:8080 -m -w 3',
        '-a -t 10.0.0.1:80 -r 10.2.0.12:80 -g -w 0',
        '-A -u 10.0.0.1:53 -s wlc',
        '-a -u 10.0.0.1:53 -r 10.2.0.13:53 -i -w 65535 --tun-type ipip',
        '-A -t [fd00::1]:80 -s wrr',
        '-a -t [fd00::1]:80 -r [fd02::11]:80 -m -w 1',
      ].join('\n') + '\n'
    await run(netns, 'ipvsadm', '-R', { input: rules })
    const { stdout: saved } = await run(netns, 'ipvsadm', '-Sn')
    expect(saved.split('\n').sort()).toEqual(rules.split('\n').sort())

    await run(netns, 'ipvsadm', '-C')
    await run(netns, 'ipvsadm', '-R', { input: saved })

    expect((await run(netns, 'ipvsadm', '-Sn')).stdout).toBe(saved)
  })
})

describe('a process that is killed', () => {
  const rules = Array.from({ length: 400 }, (_, i) => {
    const vip = `10.${100 + (i >> 8)}.${i & 255}.1:80`
    return `-A -t ${vip} -s wrr\n-a -t ${vip} -r 10.2.0.11 -m -w 1\n-a -t ${vip} -r 10.2.0.12 -m -w 2\n`
  }).join('')

  it('leaves rules that can be listed, changed and removed', async () => {
    using datapath = KernelDatapath.open({ netns: netns.path })
    datapath.up({ devices: ['d0'] })
    for (const enough of [1, 90, 333]) {
      await using restore = new RunningProcess(['nsenter', `--net=${netns.path}`, PROGRAM('ipvsadm'), '-R'])
      restore.child.stdin!.write(rules)
      // Not ended: it would go on waiting for more when it is through.
      while (datapath.services().length < enough) await sleep(1)
      restore.child.kill('SIGKILL')
      await restore.ended

      datapath.addService(service('udp', '10.0.0.1:53'))
      const services = datapath.services()
      const whole = services.filter(({ dests }) => dests.length === 2).length
      expect(whole).toBeGreaterThanOrEqual(services.length - 2)
      const { tables } = datapath.status()
      expect(tables).toMatchObject({
        services: { used: services.length },
        dests: { used: services.flatMap(({ dests }) => dests).length },
      })
      datapath.flush()
      expect(datapath.services()).toEqual([])
    }
  })

  it('while loading leaves nothing that stands in the way of the next', async () => {
    for (const delay of [200, 450, 700]) {
      await using up = new RunningProcess(['nsenter', `--net=${netns.path}`, PROGRAM('xlvs'), 'up'])
      await sleep(delay)
      up.child.kill('SIGKILL')
      await up.ended
      // Whatever it got done: this is what the next user does.
      await run(netns, 'ipvsadm', '-A -t 10.0.0.1:80', { entrance: 'ip netns exec' })
      expect(onDevice('d0')).toMatchObject({ tc: 'tcx' })
      expect(queryTcx(ifindexOf('d0'), 'ingress', { netns: netns.path })).toHaveLength(1)
      await run(netns, 'xlvs', 'down')
    }
  })
})
