// SPDX-License-Identifier: MIT
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, copyFileSync, mkdtempSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import {
  BpfError,
  BpfFs,
  BpfLink,
  BpfMap,
  BpfObject,
  BpfProgram,
  hasFeature,
  hasTcx,
  ifindexOf,
  isLoopback,
  isUp,
  listInterfaces,
  netnsInode,
  NotSupportedError,
  openNetns,
  queryTcx,
  queryXdp,
  removeClsact,
  RingBuffer,
  skbContext,
  sourceAddressFor,
  TcFilter,
  xdpContext,
  type RecordBatch,
} from '../../src/libbpf/index.js'
import { compileSupport, type Compiled } from '../support/bpf.js'

const unique = `${process.pid.toString(36)}`
const NS = `lb-a-${unique}`
const PEER = `lb-b-${unique}`
const netns = `/run/netns/${NS}`
const peer = `/run/netns/${PEER}`
const DIRECTORY = `xlvs-test-${unique}`
const PACKET = new Uint8Array(64).fill(0xee)
const SLOTS = 'slots_with_a_rather_long_name'

let compiled: Compiled
let folder: string
let child: string
let fs: BpfFs

const run = (command: string, ...args: string[]) => execFileSync(command, args, { encoding: 'utf8' })
const ip = (...args: string[]) => run('ip', ...args)

beforeAll(async () => {
  fs = BpfFs.open({ mount: true })
  ip('netns', 'add', NS)
  ip('netns', 'add', PEER)
  ip(
    '-n',
    NS,
    'link',
    'add',
    'va',
    'index',
    '4242',
    'address',
    '02:00:00:00:00:0a',
    'type',
    'veth',
    'peer',
    'name',
    'vb',
    'netns',
    PEER,
  )
  ip('-n', NS, 'address', 'add', '192.0.2.1/24', 'dev', 'va')
  ip('-n', NS, 'address', 'add', '2001:db8::1/64', 'dev', 'va', 'nodad')
  for (const [ns, device] of [
    [NS, 'va'],
    [NS, 'lo'],
    [PEER, 'vb'],
  ] as const) {
    ip('-n', ns, 'link', 'set', device, 'up')
  }
  compiled = await compileSupport('basics')
  folder = mkdtempSync(join(tmpdir(), 'xlvs-test-child-'))
  child = join(folder, 'child.mjs')
  // For a child that is nobody.
  chmodSync(folder, 0o755)
  copyFileSync(
    fileURLToPath(new URL('../../build/Release/libbpf_ts.node', import.meta.url)),
    join(folder, 'addon.node'),
  )
  await bundle('libbpf-child', child)
})

afterAll(async () => {
  fs.removeTree(DIRECTORY)
  fs.close()
  for (const name of [NS, PEER]) ip('netns', 'delete', name)
  rmSync(folder, { recursive: true, force: true })
  await compiled[Symbol.asyncDispose]()
})

function loaded(): BpfObject {
  const object = BpfObject.open(compiled.path)
  object.load()
  return object
}

const environment = () => ({ ...process.env, LIBBPF_TS_ADDON: join(folder, 'addon.node') })

/** Makes one program of a file in test/support. */
function bundle(stem: string, outfile: string): Promise<unknown> {
  return build({
    entryPoints: [fileURLToPath(new URL(`../support/${stem}.ts`, import.meta.url))],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
  })
}

/** A process namespace whose process 1 is a shell of ours. */
const OWN_INIT = ['unshare', '--pid', '--fork', '--mount-proc', 'sh', '-c', '"$@"; exit $?', 'sh']

/** Runs the child program behind a command prefix and answers what it says. */
function inChild(prefix: readonly string[], ...args: string[]): Answer {
  const [command, ...rest] = [...prefix, process.execPath, child, ...args]
  const out = execFileSync(command!, rest, { encoding: 'utf8', env: environment() })
  return JSON.parse(out) as Answer
}

interface Answer {
  readonly [name: string]: unknown
  readonly error?: Readonly<Record<'name' | 'code' | 'errnoName' | 'message' | 'hint' | 'operation', string>>
}

function catchBpf(action: () => unknown): BpfError {
  try {
    action()
  } catch (error) {
    expect(error).toBeInstanceOf(BpfError)
    return error as BpfError
  }
  throw new Error('it did not fail')
}

describe('a network namespace', () => {
  it('shows its devices to a process outside, which stays where it is', () => {
    const before = readlinkSync('/proc/self/ns/net')

    const devices = listInterfaces(netns)
    const va = devices.find((device) => device.name === 'va')!
    const lo = devices.find((device) => device.name === 'lo')!

    expect(va).toMatchObject({ kind: 'veth', mac: '02:00:00:00:00:0a', mtu: 1500, type: 1 })
    expect(va.ifindex).toBe(ifindexOf('va', netns))
    expect([isUp(va), isLoopback(va), isLoopback(lo)]).toEqual([true, false, true])
    expect(lo.kind).toBeUndefined()
    expect(listInterfaces().some((device) => device.name === 'va')).toBe(false)
    expect(readlinkSync('/proc/self/ns/net')).toBe(before)
    expect(readlinkSync('/proc/thread-self/ns/net')).toBe(before)
  })

  it('is known by its inode', () => {
    expect(netnsInode(netns)).not.toBe(netnsInode())
    expect(netnsInode()).toBe(BigInt(/\d+/.exec(readlinkSync('/proc/self/ns/net'))![0]))
    expect(netnsInode(netns)).not.toBe(netnsInode(peer))
  })

  it('chooses the source address by its own routes', () => {
    expect(sourceAddressFor('192.0.2.77', netns)).toBe('192.0.2.1')
    expect(sourceAddressFor('2001:db8::77', netns)).toBe('2001:db8::1')
    expect(sourceAddressFor('192.0.2.1', netns)).toBe('192.0.2.1')
    expect(sourceAddressFor('198.51.100.1', netns)).toBeNull()
    expect(sourceAddressFor('2001:db8:1::1', netns)).toBeNull()
    expect(sourceAddressFor('127.0.0.1', netns)).toBe('127.0.0.1')
    expect(() => sourceAddressFor('example', netns)).toThrow(TypeError)
  })

  it('is told from a device that does not exist in it', () => {
    const error = catchBpf(() => ifindexOf('va'))

    expect(error.code).toBe('DEVICE_NOT_FOUND')
    expect(error.message).toMatch(/cannot find the network device va/)
    expect(catchBpf(() => ifindexOf('va', '/run/netns/nothing-here')).message).toMatch(
      /cannot open the network namespace .*ENOENT/,
    )
    expect(catchBpf(() => ifindexOf('va', '/etc/passwd')).message).toMatch(
      /cannot enter the network namespace .*EINVAL/,
    )
  })

  it('is where test runs look up devices', () => {
    using object = loaded()
    const ctxIn = xdpContext({ length: PACKET.length, ingressIfindex: ifindexOf('va', netns) })

    expect(object.program('where').testRun({ dataIn: PACKET, ctxIn, netns }).retval).toBe(
      ifindexOf('va', netns),
    )
    expect(catchBpf(() => object.program('where').testRun({ dataIn: PACKET, ctxIn })).errnoName).toMatch(
      /ENODEV|EINVAL/,
    )
  })

  it('may be given as an open descriptor, also off the event loop', async () => {
    using object = loaded()
    const fd = openNetns(netns)
    const skb = skbContext({ ifindex: ifindexOf('va', fd) })

    const [one, two] = await Promise.all([
      object.program('mark_passed').testRunAsync({ dataIn: PACKET, ctxIn: skb, netns: fd }),
      object.program('mark_passed').testRunAsync({ dataIn: PACKET, ctxIn: skb, netns }),
    ])

    expect([one.retval, two.retval]).toEqual([0, 0])
    run('true')
  })
})

describe('XDP', () => {
  it.each(['native', 'generic'] as const)('attaches in %s mode, is replaced and detached', (mode) => {
    using object = loaded()
    const va = ifindexOf('va', netns)
    expect(queryXdp(va, { netns })).toBeNull()

    {
      using link = object.program('count').attachXdp(va, { mode, netns })
      expect(queryXdp(va, { netns })).toMatchObject({ mode, programId: object.program('count').id })
      expect(link.info()).toMatchObject({ type: 'xdp', ifindex: va, programId: object.program('count').id })

      link.update(object.program('where'), object.program('count'))
      expect(queryXdp(va, { netns })!.programId).toBe(object.program('where').id)
      expect(catchBpf(() => link.update(object.program('where'), object.program('count'))).errnoName).toBe(
        'EPERM',
      )

      const taken = catchBpf(() => object.program('count').attachXdp(va, { mode, netns }))
      expect(taken.code).toBe('ATTACH_REFUSED')
      expect(taken.hint).toMatch(/another XDP program/)
      link.detach()
      expect(queryXdp(va, { netns })).toBeNull()
    }
    {
      using _link = object.program('count').attachXdp(va, { mode, netns })
    }
    expect(queryXdp(va, { netns })).toBeNull()
  })

  it('names what a device lacks and what does not exist', () => {
    using object = loaded()
    const lo = ifindexOf('lo', netns)

    const lacks = catchBpf(() => object.program('count').attachXdp(lo, { mode: 'native', netns }))
    expect(lacks).toBeInstanceOf(NotSupportedError)
    expect((lacks as NotSupportedError).feature).toBe('native XDP')
    expect(lacks.hint).toMatch(/generic XDP/)
    expect(
      catchBpf(() => object.program('count').attachXdp(9999, { mode: 'generic', netns })).message,
    ).toMatch(/attach program count to generic XDP of device 9999: .*\((ENODEV|EINVAL)\)/)
    ip('-n', NS, 'link', 'set', 'va', 'mtu', '9000')
    try {
      ip('-n', PEER, 'link', 'set', 'vb', 'mtu', '9000')
      const big = catchBpf(() =>
        object.program('count').attachXdp(ifindexOf('va', netns), { mode: 'native', netns }),
      )
      expect(big.hint).toMatch(/MTU/)
    } finally {
      ip('-n', NS, 'link', 'set', 'va', 'mtu', '1500')
      ip('-n', PEER, 'link', 'set', 'vb', 'mtu', '1500')
    }
  })

  it('lives on behind a pin and is found again', () => {
    using object = loaded()
    const va = ifindexOf('va', netns)
    fs.mkdir(DIRECTORY)
    const path = `${DIRECTORY}/xdp-link`
    {
      using link = object.program('count').attachXdp(va, { mode: 'generic', netns })
      link.pin(path, { fs })
    }

    using again = BpfLink.openPinned(path, { fs })
    expect(again.info().programId).toBe(object.program('count').id)
    expect([...BpfLink.ids()]).toContain(again.info().id)
    expect(queryXdp(va, { netns })?.programId).toBe(object.program('count').id)
    fs.remove(path)
    again.close()
    expect(queryXdp(va, { netns })).toBeNull()
  })

  it('lets live frames of a test run leave through a device', async () => {
    using object = loaded()
    using sink = loaded()
    using slots = sink.map(SLOTS).mmap()
    const vb = ifindexOf('vb', peer)
    const va = ifindexOf('va', netns)
    using sender = BpfObject.open(compiled.path)
    sender.rodata.set('cfg_retval', 3)
    sender.load()
    // XDP_TX on the device the frame came in on: what va transmits arrives at vb.
    using _sink = sink.program('count').attachXdp(vb, { mode: 'native', netns: peer })
    using _other = object.program('where').attachXdp(va, { mode: 'native', netns })

    const result = await sender.program('count').testRunAsync({
      dataIn: PACKET,
      ctxIn: xdpContext({ length: PACKET.length, ingressIfindex: va }),
      liveFrames: true,
      repeat: 640,
      batchSize: 64,
      netns,
    })

    expect(result.data.length).toBe(0)
    // The kernel's own neighbour discovery may add a few.
    await expect
      .poll(() => new BigUint64Array(slots.buffer)[1], { timeout: 5000 })
      .toBeGreaterThanOrEqual(640n)
  })
})

describe('tc', () => {
  it('attaches by tcx in order, and is replaced', () => {
    using object = loaded()
    const va = ifindexOf('va', netns)
    using other = loaded()
    const [pass, drop] = [object.program('mark_passed'), object.program('drop_all')]

    {
      using first = pass.attachTcx(va, 'ingress', { netns })
      using second = drop.attachTcx(va, 'ingress', { netns, position: 'first' })
      using out = pass.attachTc(va, 'egress', { netns })

      expect(queryTcx(va, 'ingress', { netns })).toEqual([drop.id, pass.id])
      expect(queryTcx(va, 'egress', { netns })).toEqual([pass.id])
      expect(first.info()).toMatchObject({
        type: 'tcx',
        ifindex: va,
        direction: 'ingress',
        programId: pass.id,
      })
      expect(out.kind).toBe('link')
      second.update(other.program('drop_all'))
      first.update(drop)
      expect(queryTcx(va, 'ingress', { netns })).toEqual([other.program('drop_all').id, drop.id])
      first.detach()
      expect(queryTcx(va, 'ingress', { netns })).toEqual([other.program('drop_all').id])
    }

    expect(queryTcx(va, 'ingress', { netns })).toEqual([])
    expect(hasTcx()).toBe(true)
    expect(hasFeature('tcx')).toBe(true)
  })

  it('attaches to clsact, is replaced, found again and removed', () => {
    using object = loaded()
    const va = ifindexOf('va', netns)
    const [pass, drop] = [object.program('mark_passed'), object.program('drop_all')]
    expect(TcFilter.find(va, 'ingress', { netns })).toBeUndefined()

    {
      using attachment = pass.attachTc(va, 'ingress', { netns, via: 'clsact', handle: 7, priority: 3 })
      const filter = attachment as TcFilter
      expect(filter.kind).toBe('filter')
      expect(filter.programId()).toBe(pass.id)
      expect(run('tc', '-n', NS, 'filter', 'show', 'dev', 'va', 'ingress')).toMatch(
        /pref 3 .*handle 0x7 .*direct-action/,
      )
      attachment.update(drop)
      expect(filter.programId()).toBe(drop.id)
      expect(TcFilter.find(va, 'ingress', { netns, handle: 7, priority: 3 })!.programId()).toBe(drop.id)
      expect(TcFilter.find(va, 'egress', { netns, handle: 7, priority: 3 })).toBeUndefined()
    }
    expect(TcFilter.find(va, 'ingress', { netns, handle: 7, priority: 3 })).toBeUndefined()

    {
      using kept = TcFilter.attach(pass, va, 'egress', { netns })
      kept.keep()
    }
    const found = TcFilter.find(va, 'egress', { netns })!
    expect(found.programId()).toBe(pass.id)
    found.detach()
    expect(found.programId()).toBeUndefined()
    removeClsact(va, { netns })
    expect(run('tc', '-n', NS, 'qdisc', 'show', 'dev', 'va')).not.toMatch(/clsact/)
  })

  it('sees real packets', async () => {
    using object = loaded()
    const va = ifindexOf('va', netns)
    using _tap = object.program('mark_passed').attachTcx(va, 'egress', { netns })

    // Nobody answers; the ARP request is what counts.
    run('ip', 'netns', 'exec', NS, 'bash', '-c', 'echo > /dev/udp/192.0.2.9/9')

    const seen = object.map('flows').get(new Uint8Array(Uint32Array.of(va).buffer))
    expect(new DataView(seen!.buffer).getBigUint64(0, true)).toBeGreaterThan(0n)
  })

  it('says which device does not exist', () => {
    using object = loaded()

    expect(catchBpf(() => object.program('drop_all').attachTcx(9999, 'ingress', { netns })).code).toBe(
      'DEVICE_NOT_FOUND',
    )
    expect(
      catchBpf(() => TcFilter.attach(object.program('drop_all'), 9999, 'ingress', { netns })).message,
    ).toMatch(/clsact|device 9999/)
  })
})

describe('bpffs', () => {
  it('pins, lists, renames and removes', () => {
    using object = loaded()
    const path = (name: string) => `${DIRECTORY}/tree/${name}`
    fs.mkdir(`${DIRECTORY}/tree/deep/er`)

    object.map('flows').pin(path('flows'), { fs })
    object.program('count').pin(path('count'), { fs })

    expect(fs.list(`${DIRECTORY}/tree`).sort((a, b) => (a.name < b.name ? -1 : 1))).toEqual([
      { name: 'count', directory: false },
      { name: 'deep', directory: true },
      { name: 'flows', directory: false },
    ])
    expect([fs.kind(path('flows')), fs.kind(path('count')), fs.kind(path('none'))]).toEqual([
      'map',
      'program',
      undefined,
    ])
    using map = BpfMap.openPinned(path('flows'), { fs })
    using program = BpfProgram.openPinned(fs.path(path('count')))
    expect([map.id, program.id]).toEqual([object.map('flows').id, object.program('count').id])
    expect(catchBpf(() => BpfProgram.openPinned(path('flows'), { fs })).message).toMatch(/it is a map/)
    expect(catchBpf(() => object.map('hits').pin(path('flows'), { fs })).errnoName).toBe('EEXIST')
    fs.rename(path('flows'), path('renamed'))
    expect([fs.exists(path('flows')), fs.exists(path('renamed'))]).toEqual([false, true])
    expect([fs.remove(path('renamed')), fs.remove(path('renamed'))]).toEqual([true, false])
    expect([fs.removeTree(`${DIRECTORY}/tree`), fs.removeTree(`${DIRECTORY}/tree`)]).toEqual([true, false])
    expect(fs.list(`${DIRECTORY}/tree`)).toEqual([])
  })

  it('says that pins need a bpf file system', () => {
    using map = BpfMap.create({ type: 'array', name: 'm', keySize: 4, valueSize: 4, maxEntries: 1 })

    const error = catchBpf(() => map.pin(join(folder, 'pin')))

    expect(error.message).toMatch(/cannot pin at .*pin/)
    expect(error.hint).toMatch(/mount -t bpf/)
  })

  it('is the same from inside ip netns exec, and what is pinned there lives on', () => {
    const inside = ['ip', 'netns', 'exec', NS]
    const path = fs.path(`${DIRECTORY}/from/inside`)

    const made = inChild(inside, 'pin', path)

    expect(made).toMatchObject({ foreign: true, netns: String(netnsInode(netns)) })
    using map = BpfMap.openPinned(path, { fs })
    expect([...map.get(new Uint8Array(4))!]).toEqual([1, 2, 3, 4])
    map.set(new Uint8Array(4), Uint8Array.of(5, 6, 7, 8))
    expect(inChild(inside, 'read', path)).toEqual({ value: [5, 6, 7, 8] })
    expect(inChild(['nsenter', `--net=${netns}`], 'read', path)).toEqual({ value: [5, 6, 7, 8] })
  })

  it('is that of process 1, where process 1 may be looked at', () => {
    const path = fs.path(`${DIRECTORY}/from/other/init`)
    const inside = [...OWN_INIT, 'ip', 'netns', 'exec', NS]

    expect(inChild(inside, 'pin', path)).toMatchObject({ foreign: true })
    expect(inChild(OWN_INIT, 'list', 'init')).toMatchObject({ foreign: false })
    expect(inChild(inside, 'list', 'own')).toMatchObject({ foreign: false, mounted: false })
    using map = BpfMap.openPinned(path, { fs })
    expect([...map.get(new Uint8Array(4))!]).toEqual([1, 2, 3, 4])
  })

  it('is where load() pins and finds maps, also from inside ip netns exec', () => {
    const path = fs.path(`${DIRECTORY}/loaded-flows`)
    fs.mkdir(DIRECTORY)

    const first = inChild(['ip', 'netns', 'exec', NS], 'load', compiled.path, 'flows', path)
    const second = inChild(['ip', 'netns', 'exec', PEER], 'load', compiled.path, 'flows', path)

    using map = BpfMap.openPinned(path, { fs })
    expect([first['id'], second['id']]).toEqual([map.id, map.id])
  })

  it('names the capability that is missing', () => {
    const without = (...capabilities: string[]) => [
      'setpriv',
      `--bounding-set=${capabilities.map((name) => `-${name}`).join(',')}`,
      `--inh-caps=${capabilities.map((name) => `-${name}`).join(',')}`,
    ]
    const va = String(ifindexOf('lo'))

    const entering = inChild(
      [...OWN_INIT, 'unshare', '-m', ...without('sys_admin', 'sys_chroot')],
      'list',
      'init',
    )
    const loading = inChild(without('sys_admin', 'bpf'), 'attach', compiled.path, va)
    const attaching = inChild(without('net_admin', 'sys_admin'), 'attach', compiled.path, va)
    const nobody = inChild(['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'], 'list', 'init')

    expect(loading.error).toMatchObject({ code: 'NOT_PERMITTED', errnoName: 'EPERM' })
    expect(loading.error!.hint).toMatch(/needs CAP_BPF/)
    expect(attaching.error).toMatchObject({ code: 'NOT_PERMITTED' })
    expect(attaching.error!.hint).toMatch(/needs CAP_NET_ADMIN: /)
    expect(nobody.error).toMatchObject({ code: 'NOT_PERMITTED' })
    expect(nobody.error!.hint).toMatch(/CAP_SYS_PTRACE and CAP_SYS_ADMIN/)
    expect(entering.error).toMatchObject({ code: 'NOT_PERMITTED' })
    expect(entering.error!.message).toMatch(/enter the mount namespace of process 1/)
    expect(entering.error!.hint).toMatch(/CAP_SYS_ADMIN and CAP_SYS_CHROOT/)
  })
})

describe('a lock', () => {
  it('lets one in at a time, and goes with its holder', async () => {
    fs.mkdir(`${DIRECTORY}/lock`)
    const path = fs.path(`${DIRECTORY}/lock`)
    const holder = spawn('ip', ['netns', 'exec', NS, process.execPath, child, 'hold', path], {
      env: environment(),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exit = once(holder, 'exit')
    try {
      await once(holder.stdout, 'data')

      const blocked = catchBpf(() => fs.lock(path, { timeoutMs: 30 }))
      expect(blocked.errnoName).toBe('ETIMEDOUT')
      expect(blocked.message).toMatch(/another process holds it/)
      await expect(fs.lockAsync(path, { timeoutMs: 30 })).rejects.toThrow(/another process holds it/)
      await expect(fs.lockAsync(path, { signal: AbortSignal.timeout(30) })).rejects.toThrow(/abort/i)
      const waiting = fs.lockAsync(path, { timeoutMs: 20_000 })
      // ip replaces itself by the command, so this ends the holder itself.
      holder.kill('SIGKILL')
      using _lock = await waiting
      expect(catchBpf(() => fs.lock(path, { timeoutMs: 0 })).errnoName).toBe('ETIMEDOUT')
    } finally {
      holder.kill('SIGKILL')
      await exit
    }
    using again = fs.lock(path)
    expect(again.fd).toBeGreaterThan(0)
  })

  it('is taken in turns by many waiters', async () => {
    fs.mkdir(`${DIRECTORY}/turns`)
    let inside = 0
    let most = 0

    await Promise.all(
      Array.from({ length: 20 }, async () => {
        using _lock = await fs.lockAsync(`${DIRECTORY}/turns`, { timeoutMs: 30_000 })
        most = Math.max(most, ++inside)
        await new Promise((resolve) => setImmediate(resolve))
        inside--
      }),
    )

    expect([most, inside]).toEqual([1, 0])
  })
})

describe('a ring buffer', () => {
  const flood = (object: BpfObject, count: number, first: number): number =>
    object.program('flood').testRun({ ctxIn: new Uint8Array(Uint32Array.of(count, first).buffer) }).retval

  /** Checks that records number on without a gap and are intact; answers the next number. */
  function follow(batch: RecordBatch, from: number): number {
    let expected = from
    for (const record of batch) {
      const words = new DataView(record.buffer, record.byteOffset, record.byteLength)
      if (words.getUint32(0, true) !== expected || words.getUint32(4, true) !== ~expected >>> 0) {
        throw new Error(`record ${words.getUint32(0, true)} where ${expected} should be`)
      }
      expected++
    }
    return expected
  }

  it('hands over every record once, in order and in batches', async () => {
    using object = loaded()
    let next = 0
    let batches = 0
    using _ring = RingBuffer.open(object.map('events'), (batch) => {
      next = follow(batch, next)
      batches++
    })

    let sent = 0
    while (sent < 100_000) {
      const round = flood(object, 4096, sent)
      sent += round
      // A full ring: let the consumer run.
      if (round < 4096) await new Promise((resolve) => setImmediate(resolve))
    }

    await expect.poll(() => next, { timeout: 20_000 }).toBe(sent)
    expect(batches).toBeLessThan(sent / 10)
  })

  it('is read by hand without a callback', () => {
    using object = loaded()
    using ring = RingBuffer.open(object.map('events'))

    expect(ring.drain().count).toBe(0)
    flood(object, 5, 100)
    const batch = ring.drain()

    expect(batch.count).toBe(5)
    expect([...batch].map((record) => record.length)).toEqual([8, 16, 8, 16, 8])
    expect(follow(batch, 100)).toBe(105)
    expect(ring.drain().count).toBe(0)
    ring.close()
    expect(() => ring.drain()).toThrow(/closed/)
  })

  it('stops while records are on their way', async () => {
    using object = loaded()
    let seen = 0
    const ring = RingBuffer.open(object.map('events'), (batch) => (seen += batch.count), { batchBytes: 64 })
    flood(object, 4096, 0)

    ring.close()
    const atClose = seen
    await new Promise((resolve) => setTimeout(resolve, 20))

    expect(seen).toBe(atClose)
  })

  it('does not keep the process alive when asked not to, and its callback may throw', async () => {
    const script = join(folder, 'ring.mjs')
    await bundle('libbpf-ring', script)
    const end = (mode: string) =>
      spawnSync(process.execPath, [script, compiled.path, mode], {
        encoding: 'utf8',
        env: environment(),
        timeout: 20_000,
      })

    expect(end('idle')).toMatchObject({ status: 0, stdout: 'done\n', stderr: '' })
    const thrown = end('throw')
    expect(thrown).toMatchObject({ status: 1, signal: null, stdout: 'done\n' })
    expect(thrown.stderr).toMatch(/Error: the batch is not to my liking/)
  })

  it('is refused for another type of map', () => {
    using object = loaded()

    expect(catchBpf(() => RingBuffer.open(object.map('flows'))).hint).toMatch(/ringbuf/)
  })
})
