// SPDX-License-Identifier: MIT
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import {
  addU32,
  addU64,
  BpfError,
  BpfMap,
  BpfObject,
  BpfProgram,
  casU32,
  casU64,
  fence,
  hasFeature,
  ifindexOf,
  kernel,
  loadU32,
  loadU64,
  MAP_EXIST,
  MAP_F_MMAPABLE,
  MAP_NOEXIST,
  possibleCpus,
  skbContext,
  storeU32,
  storeU64,
  VerifierError,
  xdpContext,
} from '../../src/libbpf/index.js'
import { compileSupport, type Compiled } from '../support/bpf.js'

const SLOTS = 'slots_with_a_rather_long_name'
const PACKET = new Uint8Array(64).fill(0xee)

let compiled: Compiled

beforeAll(async () => {
  compiled = await compileSupport('basics')
})

afterAll(() => compiled[Symbol.asyncDispose]())

const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer)
const u64 = (value: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(value).buffer)
const asU32 = (bytes: Uint8Array | undefined): number =>
  new DataView(bytes!.buffer, bytes!.byteOffset, bytes!.byteLength).getUint32(0, true)
const asU64 = (bytes: Uint8Array | undefined, offset = 0): bigint =>
  new DataView(bytes!.buffer, bytes!.byteOffset, bytes!.byteLength).getBigUint64(offset, true)

function loaded(): BpfObject {
  const object = BpfObject.open(compiled.path)
  object.load()
  return object
}

describe('an object', () => {
  it('tells its maps and programs before it is loaded', () => {
    using object = BpfObject.open(compiled.path)

    expect([...object.programs].map((program) => [program.name, program.section, program.type])).toEqual([
      ['count', 'xdp', 'xdp'],
      ['grow', 'xdp', 'xdp'],
      ['where', 'xdp', 'xdp'],
      ['mark_passed', 'tc', 'sched-cls'],
      ['drop_all', 'tc', 'sched-cls'],
      ['add', 'syscall', 'syscall'],
      ['flood', 'syscall', 'syscall'],
    ])
    expect([...object.maps].map((map) => map.name).sort()).toEqual([
      '.rodata',
      'events',
      'flows',
      'hits',
      SLOTS,
    ])
    expect(() => object.map('flows').info).toThrow(/not in the kernel/)
    expect(() => object.map('nonsense')).toThrow(/has no map nonsense; it has .*flows/)
  })

  it('opens from bytes as from a file', () => {
    using object = BpfObject.open(readFileSync(compiled.path), { name: 'bytes' })
    object.load()

    expect(object.program('add').testRun({ ctxIn: new Uint8Array(24) }).retval).toBe(7)
  })

  it('sets constants of every size by name', () => {
    using object = BpfObject.open(compiled.path)

    object.rodata.set('cfg_retval', 2)
    object.rodata.set('cfg_flag', true)
    object.rodata.set('cfg_big', 0xfedc_ba98_7654_3210n)
    object.rodata.set('cfg_mac', Uint8Array.of(2, 0, 0, 0, 0, 1))
    object.rodata.set('cfg_signed', -300)
    object.load()
    using slots = object.map(SLOTS).mmap()
    const run = object.program('count').testRun({ dataIn: PACKET })

    expect(run.retval).toBe(2)
    expect([...run.data.subarray(0, 7)]).toEqual([2, 0, 0, 0, 0, 1, 0xee])
    expect(new BigUint64Array(slots.buffer)[0]).toBe(0xfedc_ba98_7654_3210n)
    expect([...object.rodata.get('cfg_signed')]).toEqual([0xd4, 0xfe])
  })

  it('refuses constants that do not fit, do not exist or come too late', () => {
    using object = BpfObject.open(compiled.path)

    expect(() => object.rodata.set('cfg_flag', 256)).toThrow(RangeError)
    expect(() => object.rodata.set('cfg_flag', -129)).toThrow(RangeError)
    expect(() => object.rodata.set('cfg_mac', 1)).toThrow(/is no integer/)
    expect(() => object.rodata.set('cfg_mac', new Uint8Array(7))).toThrow(RangeError)
    expect(() => object.rodata.set('cfg_none', 1)).toThrow(/has no variable cfg_none/)
    object.load()
    expect(() => object.rodata.set('cfg_flag', 1)).toThrow(/before basics is loaded/)
    expect(() => object.load()).toThrow(/it is loaded/)
  })

  it('loads off the event loop', async () => {
    using object = BpfObject.open(compiled.path)
    let turns = 0
    const timer = setInterval(() => turns++, 1)

    const loading = object.loadAsync()
    expect(() => object.close()).toThrow(/being loaded/)
    await loading
    clearInterval(timer)

    expect(turns).toBeGreaterThan(0)
    expect(object.program('count').id).toBeGreaterThan(0)
  })

  it('leaves out programs that are not to be loaded', () => {
    using object = BpfObject.open(compiled.path)
    object.program('count').setAutoload(false)
    object.load()

    expect(() => object.program('count').fd).toThrow(/was not loaded/)
    expect(object.program('grow').fd).toBeGreaterThan(0)
  })

  it('shares a map with an object loaded before, also under a name the kernel cuts', () => {
    using first = loaded()
    using second = BpfObject.open(compiled.path)
    second.map(SLOTS).reuseFd(first.map(SLOTS))
    second.map('flows').setMaxEntries(7)
    second.load()

    expect(second.map(SLOTS).id).toBe(first.map(SLOTS).id)
    expect(second.map('flows').maxEntries).toBe(7)
    expect(second.map('flows').id).not.toBe(first.map('flows').id)
    expect(first.program('count').mapIds()).toContain(second.map(SLOTS).id)
  })

  it('refuses to be used after it is closed', () => {
    const object = loaded()
    const map = object.map('flows')
    using copy = map.clone()
    object.close()
    object.close()

    expect(() => map.get(u32(1))).toThrow(/closed/)
    expect(() => object.btf).toThrow(/closed/)
    expect(copy.get(u32(1))).toBeUndefined()
  })

  it('says which file is missing or is no object', () => {
    expect(() => BpfObject.open('/nonexistent/some.o')).toThrow(/cannot open .*some\.o.*ENOENT/)
    expect(() => BpfObject.open(new Uint8Array(100))).toThrow(BpfError)
  })

  it("tells the verifier's complaint, with the whole log at hand", async () => {
    await using bad = await compileSupport('rejected')
    using object = BpfObject.open(bad.path)

    const error = catchError(() => object.load()) as VerifierError

    expect(error).toBeInstanceOf(VerifierError)
    expect(error.code).toBe('VERIFIER_REJECTED')
    expect(error.program).toBe('careless')
    expect(error.errnoName).toBe('EACCES')
    expect(error.message).toMatch(/invalid access to packet/)
    expect(error.message.split('\n').length).toBeLessThan(12)
    expect(error.log).toMatch(/processed \d+ insns/)
    expect(() => object.load()).toThrow(/it is failed/)
  })

  it('answers the log of programs that load when asked', () => {
    using object = BpfObject.open(compiled.path)

    expect(object.load({ logLevel: 1 })).toMatch(/processed \d+ insns/)
  })
})

describe('a map', () => {
  it('sets, gets, walks and deletes', () => {
    using map = BpfMap.create({ type: 'hash', name: 'h', keySize: 4, valueSize: 8, maxEntries: 8 })

    for (let i = 0; i < 5; i++) map.set(u32(i), u64(BigInt(i) * 10n))

    expect(asU64(map.get(u32(3)))).toBe(30n)
    expect(map.get(u32(9))).toBeUndefined()
    expect([...map.keys()].map(asU32).sort()).toEqual([0, 1, 2, 3, 4])
    expect([...map.entries()].map(([k, v]) => [asU32(k), asU64(v)]).sort()).toEqual([
      [0, 0n],
      [1, 10n],
      [2, 20n],
      [3, 30n],
      [4, 40n],
    ])
    expect(map.delete(u32(3))).toBe(true)
    expect(map.delete(u32(3))).toBe(false)
    expect(asU64(map.take(u32(4)))).toBe(40n)
    expect(map.get(u32(4))).toBeUndefined()
    for (const key of map.keys()) map.delete(key)
    expect([...map.keys()]).toEqual([])
  })

  it('honours the update flags and says when it is full', () => {
    using map = BpfMap.create({ type: 'hash', name: 'tiny', keySize: 4, valueSize: 8, maxEntries: 2 })
    map.set(u32(1), u64(1n), MAP_NOEXIST)

    expect(catchBpf(() => map.set(u32(1), u64(2n), MAP_NOEXIST)).errnoName).toBe('EEXIST')
    expect(catchBpf(() => map.set(u32(2), u64(2n), MAP_EXIST)).errnoName).toBe('ENOENT')
    map.set(u32(2), u64(2n))
    const full = catchBpf(() => map.set(u32(3), u64(3n)))
    expect(full.code).toBe('TABLE_FULL')
    expect(full.message).toMatch(/cannot add to map tiny: it holds 2 elements and is full/)
  })

  it('never passes a short buffer to the kernel', () => {
    using map = BpfMap.create({ type: 'hash', name: 'h', keySize: 4, valueSize: 8, maxEntries: 8 })

    expect(() => map.get(new Uint8Array(3))).toThrow(RangeError)
    expect(() => map.set(u32(1), new Uint8Array(7))).toThrow(RangeError)
    expect(() => map.get(u32(1), new Uint8Array(7))).toThrow(RangeError)
    expect(() => map.delete(new Uint8Array(5))).toThrow(RangeError)
    expect(() => map.nextKey(new Uint8Array(0))).toThrow(RangeError)
    expect(() => map.updateBatch(new Uint8Array(8), new Uint8Array(8))).toThrow(RangeError)
    expect(() => map.push(u64(1n))).toThrow(RangeError)
  })

  it('tells what it is', () => {
    using map = BpfMap.create({
      type: 'lru-hash',
      name: 'described',
      keySize: 16,
      valueSize: 40,
      maxEntries: 512,
    })

    expect(map.info).toMatchObject({
      name: 'described',
      type: 'lru-hash',
      keySize: 16,
      valueSize: 40,
      maxEntries: 512,
    })
    using same = BpfMap.fromId(map.id)
    expect(same.info).toEqual(map.info)
    expect([...BpfMap.ids()]).toContain(map.id)
  })

  it('updates, reads and deletes in batches, on and off the event loop', async () => {
    const count = 20_000
    using map = BpfMap.create({ type: 'hash', name: 'many', keySize: 4, valueSize: 8, maxEntries: count })
    const keys = new Uint8Array(Uint32Array.from({ length: count }, (_, i) => i * 7).buffer)
    const values = new Uint8Array(BigUint64Array.from({ length: count }, (_, i) => BigInt(i)).buffer)

    expect(map.updateBatch(keys, values)).toEqual({ done: count })
    expect(await map.updateBatchAsync(keys, values)).toEqual({ done: count })
    const all = await map.dumpAsync()

    expect(all.count).toBe(count)
    const seen = new Map<number, bigint>()
    const view = new DataView(all.values.buffer, all.values.byteOffset)
    const keyView = new DataView(all.keys.buffer, all.keys.byteOffset)
    for (let i = 0; i < all.count; i++)
      seen.set(keyView.getUint32(i * 4, true), view.getBigUint64(i * 8, true))
    expect(seen.size).toBe(count)
    expect(seen.get(7 * 1234)).toBe(1234n)
    expect(map.deleteBatch(keys.subarray(0, 40))).toEqual({ done: 10 })
    expect(await map.deleteBatchAsync(keys.subarray(40))).toEqual({ done: count - 10 })
    expect(map.nextKey(null)).toBeUndefined()
  })

  it('says how far a batch came before it failed', () => {
    using map = BpfMap.create({ type: 'hash', name: 'few', keySize: 4, valueSize: 8, maxEntries: 3 })
    const keys = new Uint8Array(Uint32Array.of(1, 2, 3, 4, 5).buffer)

    const updated = map.updateBatch(keys, new Uint8Array(40))
    const deleted = map.deleteBatch(new Uint8Array(Uint32Array.of(1, 9, 2).buffer))
    const refused = map.updateBatch(keys, new Uint8Array(40), 1 << 20)

    expect(updated.done).toBe(3)
    expect(updated.error?.code).toBe('TABLE_FULL')
    expect(deleted.done).toBe(1)
    expect(deleted.error?.errnoName).toBe('ENOENT')
    expect(refused.done).toBe(0)
    expect(refused.error?.errnoName).toBe('EINVAL')
  })

  it('has one value per CPU in per-CPU maps', () => {
    using object = loaded()
    const map = object.map('hits')

    map.set(u32(1), u32(5))
    object.program('count').testRun({ dataIn: PACKET, repeat: 10, cpu: 0 })

    const counts = map.getPerCpu(u32(0))!
    expect(counts).toHaveLength(possibleCpus())
    expect(counts[0]!.length).toBe(4)
    expect(counts.map(asU32)).toEqual(counts.map((_, cpu) => (cpu === 0 ? 10 : 0)))
    expect(map.getPerCpu(u32(1))!.map(asU32)).toEqual(counts.map(() => 5))
    expect(() => map.get(u32(0))).toThrow(/getPerCpu/)
    const all = new Map(
      [...map.entries()].map(([key, value]) => [asU32(key), map.splitPerCpu(value).map(asU32)]),
    )
    expect(all.get(0)).toEqual(counts.map(asU32))
  })

  it('queues and stacks', () => {
    using queue = BpfMap.create({ type: 'queue', name: 'q', keySize: 0, valueSize: 4, maxEntries: 2 })

    queue.push(u32(1))
    queue.push(u32(2))

    expect(catchBpf(() => queue.push(u32(3))).errnoName).toBe('E2BIG')
    expect(asU32(queue.take())).toBe(1)
    expect(asU32(queue.take())).toBe(2)
    expect(queue.take()).toBeUndefined()
  })

  it('freezes', () => {
    using map = BpfMap.create({ type: 'array', name: 'ice', keySize: 4, valueSize: 8, maxEntries: 1 })
    map.freeze()

    expect(catchBpf(() => map.set(u32(0), u64(1n))).errnoName).toBe('EPERM')
  })
})

describe('a mapping', () => {
  it('shows what programs write without a system call, and they see what we write', () => {
    using object = loaded()
    using mapping = object.map(SLOTS).mmap({ writable: true })
    const words = new BigUint64Array(mapping.buffer)

    words[1] = 1000n
    object.program('count').testRun({ dataIn: PACKET, repeat: 5 })

    expect(mapping.stride).toBe(16)
    expect(mapping.buffer.byteLength).toBe(1024 * 16)
    expect(words[1]).toBe(1005n)
    expect(asU64(object.map(SLOTS).get(u32(0)), 8)).toBe(1005n)
  })

  it('lives without its map, and its views are empty after it is disposed of', () => {
    const map = BpfMap.create({
      type: 'array',
      name: 'm',
      keySize: 4,
      valueSize: 12,
      maxEntries: 3,
      flags: MAP_F_MMAPABLE,
    })
    const mapping = map.mmap({ writable: true })
    map.close()
    const view = new Uint8Array(mapping.buffer)

    view[47] = 1
    expect(view.length).toBe(48)
    mapping.dispose()
    mapping.dispose()

    expect(view.length).toBe(0)
    expect(mapping.buffer.byteLength).toBe(0)
  })

  it('is refused with the reason for a map that was not made for it', () => {
    using map = BpfMap.create({ type: 'array', name: 'plain', keySize: 4, valueSize: 8, maxEntries: 1 })

    expect(catchBpf(() => map.mmap()).hint).toMatch(/MAP_F_MMAPABLE/)
  })

  it('is changed atomically', () => {
    using map = BpfMap.create({
      type: 'array',
      name: 'm',
      keySize: 4,
      valueSize: 16,
      maxEntries: 4,
      flags: MAP_F_MMAPABLE,
    })
    using mapping = map.mmap({ writable: true })
    const { buffer } = mapping
    const big = 0xffff_ffff_ffff_fff0n

    storeU64(buffer, 8, big)
    expect(casU64(buffer, 8, 1n, 2n)).toBe(big)
    expect(casU64(buffer, 8, big, big + 1n)).toBe(big)
    expect(loadU64(buffer, 8)).toBe(big + 1n)
    expect(addU64(buffer, 8, 0x10n)).toBe(big + 1n)
    expect(addU64(new DataView(buffer, 8), 0, -1n)).toBe(1n)
    expect(loadU64(buffer, 8)).toBe(0n)
    storeU32(buffer, 20, 0xffff_fffe)
    expect(casU32(buffer, 20, 0xffff_fffe, 5)).toBe(0xffff_fffe)
    expect(addU32(buffer, 20, 3)).toBe(5)
    expect(loadU32(buffer, 20)).toBe(8)
    fence()
    expect(asU32(map.get(u32(1))!.subarray(4))).toBe(8)
    expect(() => loadU64(buffer, 4)).toThrow(/aligned/)
    expect(() => loadU64(buffer, 64)).toThrow(RangeError)
    expect(() => loadU64(buffer, -8)).toThrow(RangeError)
  })
})

describe('a program', () => {
  it('tells what it is, also by its id', () => {
    using object = loaded()
    const program = object.program('mark_passed')

    expect(program.info).toMatchObject({
      name: 'mark_passed',
      type: 'sched-cls',
    })
    expect(program.info.tag).toMatch(/^[0-9a-f]{16}$/)
    expect(program.info.instructions).toBe(program.translated().length / 8)
    using same = BpfProgram.fromId(program.id)
    expect(same.info).toEqual(program.info)
    expect([...BpfProgram.ids()]).toContain(program.id)
  })

  it('runs on a packet that grows', () => {
    using object = loaded()

    const run = object.program('grow').testRun({ dataIn: PACKET })

    expect(run.retval).toBe(3)
    expect(run.data.length).toBe(84)
    expect([...run.data.subarray(19, 21)]).toEqual([0x5a, 0xee])
  })

  it('measures many runs off the event loop', async () => {
    using object = loaded()
    using slots = object.map(SLOTS).mmap()

    const run = await object.program('count').testRunAsync({ dataIn: PACKET, repeat: 200_000, cpu: 0 })

    expect(run.durationNs).toBeGreaterThan(0)
    expect(run.durationNs).toBeLessThan(100_000)
    expect(new BigUint64Array(slots.buffer)[1]).toBe(200_000n)
  })

  it('gives programs the context they ask for', () => {
    using object = loaded()
    const lo = ifindexOf('lo')

    const xdp = object.program('where').testRun({
      dataIn: PACKET,
      ctxIn: xdpContext({ length: PACKET.length, ingressIfindex: lo }),
    })
    const skb = object.program('mark_passed').testRun({
      dataIn: PACKET,
      ctxIn: skbContext({ mark: 41, ifindex: lo, cb: [1, 2, 3, 4, 5] }),
    })

    expect(xdp.retval).toBe(lo)
    expect(new DataView(skb.ctx.buffer).getUint32(8, true)).toBe(42)
    expect(new DataView(skb.ctx.buffer).getUint32(48, true)).toBe(1)
    expect(asU64(object.map('flows').get(u32(lo)))).toBe(1n)
  })

  it('runs syscall programs on their argument, and leaves the one given alone', () => {
    using object = loaded()
    const argument = new Uint8Array(BigUint64Array.of(40n, 2n, 0n).buffer)

    const run = object.program('add').testRun({ ctxIn: argument })

    expect(run.retval).toBe(7)
    expect(asU64(run.ctx, 16)).toBe(42n)
    expect(asU64(argument, 16)).toBe(0n)
  })

  it('says why a test run fails', () => {
    using object = loaded()

    expect(catchBpf(() => object.program('count').testRun({ dataIn: new Uint8Array(5) })).hint).toMatch(
      /14 bytes/,
    )
    const short = catchBpf(() => object.program('grow').testRun({ dataIn: PACKET, dataOut: 64 }))
    expect(short.message).toMatch(/longer than 64 bytes/)
    expect(() => object.program('count').testRun({ dataIn: PACKET, cpu: 4000 })).toThrow(/CPU/)
  })
})

describe('the kernel', () => {
  it('says its version and features', () => {
    expect(kernel().version[0]).toBeGreaterThanOrEqual(5)
    expect(kernel().libbpf).toMatch(/^v1\./)
    expect(hasFeature('helper:loop')).toBe(true)
    expect(hasFeature('program:syscall')).toBe(true)
  })
})

function catchError(action: () => unknown): unknown {
  try {
    action()
  } catch (error) {
    return error
  }
  throw new Error('it did not fail')
}

function catchBpf(action: () => unknown): BpfError {
  const error = catchError(action)
  expect(error).toBeInstanceOf(BpfError)
  return error as BpfError
}
