// SPDX-License-Identifier: MIT
/**
 * The control plane on real maps, attached to nothing: held against the model, cut off
 * in the middle of changes, filled to the brim.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

import { DEST_LIVE, LIFE_LIVE } from '../../src/abi/generated.js'
import { at } from '../../src/datapath/kernel/layout.js'
import { KernelDatapath } from '../../src/datapath/kernel/datapath.js'
import { Table } from '../../src/datapath/kernel/tables.js'
import type { Datapath } from '../../src/datapath/datapath.js'
import { MemoryDatapath } from '../../src/datapath/memory/memory.js'
import type { DestSpec } from '../../src/ipvs/dest.js'
import { keyOf, type AddressKey, type Service, type ServiceSpec } from '../../src/ipvs/service.js'
import { dest, service, serviceKey } from '../../src/ipvs/spec.js'
import { BpfMap } from '../../src/libbpf/index.js'
import { Failure } from '../../src/util/errors.js'
import { Netns } from '../support/netns.js'
import { Plane } from '../support/plane.js'

const SERVICES = 6
const DESTS = 24

let netns: Netns
let plane: Plane
let datapath: KernelDatapath

beforeAll(() => {
  netns = Netns.create('control')
  plane = new Plane(netns, { services: SERVICES, dests: DESTS })
  datapath = plane.datapath
})

afterAll(() => {
  plane?.[Symbol.dispose]()
  netns?.[Symbol.dispose]()
})

beforeEach(() => {
  datapath.flush()
  forgetTrash()
})

const web = service('tcp', '10.0.0.1:80', { scheduler: 'rr' })

/** Lets so much time pass that no removed dest comes back. */
function forgetTrash(): void {
  plane.advance(200)
}

/** What a listing shows, without counters, in an order of its own. */
function listing(datapath: Datapath): unknown[] {
  return datapath
    .services()
    .map(({ stats: _, dests, ...spec }) => ({ ...spec, dests: dests.map(({ stats: _, ...rest }) => rest) }))
    .sort((a, b) => (keyOf(a.key) < keyOf(b.key) ? -1 : 1))
}

/** Index of a dest that is in a service. */
function stored(address: string): number {
  const dests = plane.table('dests')
  for (let i = 1; i < dests.length; i++) {
    if (dests.u8(i, at.dest.state) === DEST_LIVE && dests.slice(i, at.dest.addr, 4).join('.') === address)
      return i
  }
  throw new Error(`no dest ${address}`)
}

/** Pretends that packets of one connection were counted for a dest. */
function count(address: string, packets: bigint): void {
  const map = plane.map('dest_stats')
  const key = new Uint8Array(Uint32Array.of(stored(address)).buffer)
  const element = Buffer.concat(map.getPerCpu(key)!)
  const view = new DataView(element.buffer, element.byteOffset)
  for (const [field, step] of [
    [0, 1n],
    [8, packets],
    [24, 100n * packets],
  ] as const) {
    view.setBigUint64(field, view.getBigUint64(field, true) + step, true)
  }
  map.set(key, element)
}

// -- the model ------------------------------------------------------------------

type Operation = readonly [name: string, run: (datapath: Datapath) => void]

/** Right nine times in ten, so that services get long lists and wrong requests come amidst. */
const mostly = <T>(right: readonly T[], wrong: readonly T[]) =>
  fc.oneof(
    { weight: 9, arbitrary: fc.constantFrom(...right) },
    { weight: 1, arbitrary: fc.constantFrom(...wrong) },
  )

const keys = fc.constantFrom(
  ...Array.from({ length: 4 }, () => serviceKey('tcp', '10.0.0.1:80')),
  serviceKey('udp', '10.0.0.1:80'),
  serviceKey('tcp', '10.0.0.2:443'),
  serviceKey('tcp', '[fd00::1]:80'),
)

interface ServiceChoice extends Pick<ServiceSpec, 'scheduler' | 'netmask' | 'persistentTimeout' | 'pe'> {
  readonly key: AddressKey
  /** sched1 to sched3. */
  readonly bits: number
}

const services: fc.Arbitrary<ServiceChoice> = fc.record({
  key: keys,
  // Those the kernel knows and we do not yet, and one that nobody knows, are refused.
  scheduler: mostly(['rr', 'wrr', 'lc', 'wlc', 'none'], ['sh', 'nobody']),
  bits: fc.integer({ min: 0, max: 7 }),
  netmask: mostly(['', '64'], ['0', '129']),
  persistentTimeout: mostly([0], [300]),
  pe: mostly([''], ['sip', 'no']),
})

function specOf({ key, scheduler, bits, netmask, persistentTimeout, pe }: ServiceChoice): ServiceSpec {
  const mask = key.family === 4 ? '255.255.255.255' : netmask || '128'
  const flags = {
    onePacket: false,
    sched1: (bits & 1) !== 0,
    sched2: (bits & 2) !== 0,
    sched3: (bits & 4) !== 0,
  }
  return { key, scheduler, flags, netmask: mask, persistentTimeout, pe }
}

const dests: fc.Arbitrary<DestSpec> = fc
  .record({
    endpoint: mostly(
      ['10.2.0.11:80', '10.2.0.12:80', '10.2.0.12:8080', '10.2.0.13:80', '10.2.0.14:80', '[fd02::11]:80'],
      ['127.0.0.1:80', '0.0.0.0:80', '224.0.0.1:80', '255.255.255.255:80', '[fe80::1]:80', '[ff02::1]:80'],
    ),
    fwd: fc.constantFrom('masq' as const, 'route' as const, 'tunnel' as const),
    weight: mostly([0, 1, 2, 5, 65535, 0x7fff_ffff], [-1]),
    limits: mostly(
      [
        [0, 0],
        [10, 0],
        [10, 5],
      ],
      [
        [5, 10],
        [0x8000_0000, 0],
      ],
    ),
    tunType: mostly(['ipip' as const], ['gue' as const]),
    tunPort: fc.constantFrom(0, 6080),
  })
  .map(({ endpoint, limits: [upperThreshold, lowerThreshold], ...rest }) =>
    dest(endpoint, { ...rest, upperThreshold: upperThreshold!, lowerThreshold: lowerThreshold! }),
  )

const named = <T>(name: string, values: fc.Arbitrary<T>, run: (datapath: Datapath, value: T) => void) =>
  values.map((value): Operation => [`${name} ${JSON.stringify(value)}`, (datapath) => run(datapath, value)])

const operations: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 4, arbitrary: named('addService', services, (d, s) => d.addService(specOf(s))) },
  { weight: 2, arbitrary: named('editService', services, (d, s) => d.editService(specOf(s))) },
  { weight: 1, arbitrary: named('deleteService', keys, (d, key) => d.deleteService(key)) },
  {
    weight: 12,
    arbitrary: named('addDest', fc.tuple(keys, dests), (d, [key, spec]) => d.addDest(key, spec)),
  },
  {
    weight: 3,
    arbitrary: named('editDest', fc.tuple(keys, dests), (d, [key, spec]) => d.editDest(key, spec)),
  },
  {
    weight: 3,
    arbitrary: named('deleteDest', fc.tuple(keys, dests), (d, [key, spec]) => d.deleteDest(key, spec)),
  },
  { weight: 1, arbitrary: named('zero', fc.option(keys), (d, key) => d.zero(key ?? undefined)) },
  { weight: 1, arbitrary: named('flush', fc.constant(null), (d) => d.flush()) },
  {
    weight: 1,
    arbitrary: named(
      'setTimeouts',
      fc.constantFrom([900, 120, 300], [0, 60, 0], [-1, 0, 0], [1, 2, 2 ** 31]),
      (d, [tcp, tcpFin, udp]) => d.setTimeouts({ tcp: tcp, tcpFin: tcpFin, udp: udp }),
    ),
  },
)

/** What a caller sees of an operation: nothing, or what is wrong. */
function outcome(run: () => void): string {
  try {
    run()
    return 'done'
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return `${error.code} ${error.errno} ${error.message}`
  }
}

describe('the kernel datapath', () => {
  it('answers and lists as the model does after any sequence of operations', () => {
    fc.assert(
      fc.property(fc.array(operations, { minLength: 1, maxLength: 60, size: 'max' }), (sequence) => {
        datapath.flush()
        forgetTrash()
        const isLocal = (address: string) => address === '127.0.0.1'
        const model = new MemoryDatapath({ isLocal })
        datapath.setTimeouts({ tcp: 900, tcpFin: 120, udp: 300 })
        // Half of it by another process: what it does must be seen.
        using other = KernelDatapath.open({ netns: netns.path, load: 'never' })
        sequence.forEach(([, run], i) => {
          const actor = i % 2 === 0 ? datapath : other
          expect(outcome(() => run(actor))).toBe(outcome(() => run(model)))
        })
        expect(listing(datapath)).toEqual(listing(model))
        expect(datapath.timeouts()).toEqual(model.timeouts())
      }),
      { numRuns: 150 },
    )
  })

  it('gives every service its own room in the array of dests, whatever comes and goes', () => {
    fc.assert(
      fc.property(fc.array(operations, { minLength: 20, maxLength: 80, size: 'max' }), (sequence) => {
        datapath.flush()
        for (const [, run] of sequence) outcome(() => run(datapath))

        const sets = plane.table('dest_sets')
        const taken: [number, number][] = []
        for (let set = 2; set < sets.length; set++) {
          expect(sets.u32(set, at.destSet.version) % 2).toBe(0)
          const capacity = sets.u32(set, at.destSet.capacity)
          expect(sets.u32(set, at.destSet.len)).toBeLessThanOrEqual(capacity)
          if (capacity > 0) taken.push([sets.u32(set, at.destSet.start), capacity])
        }
        taken.sort((a, b) => a[0] - b[0])
        taken.reduce((end, [start, capacity]) => {
          expect(start).toBeGreaterThanOrEqual(end)
          return start + capacity
        }, 0)
      }),
      { numRuns: 50 },
    )
  })

  it('says that a table is full and changes nothing', () => {
    for (let i = 1; i <= SERVICES; i++) datapath.addService(service('tcp', `10.0.0.${i}:80`))
    expect(() => datapath.addService(service('tcp', '10.0.1.1:80'))).toThrow(
      expect.objectContaining({ code: 'TABLE_FULL', errno: 'ENOMEM' }),
    )

    for (let i = 1; i <= DESTS; i++)
      datapath.addDest(serviceKey('tcp', '10.0.0.1:80'), dest(`10.2.0.${i}:80`))
    const before = listing(datapath)
    expect(() => datapath.addDest(serviceKey('tcp', '10.0.0.2:80'), dest('10.2.1.1:80'))).toThrow(
      expect.objectContaining({ code: 'TABLE_FULL', errno: 'ENOMEM' }),
    )

    expect(listing(datapath)).toEqual(before)
  })

  it('gives the place of a removed dest to another one when its time in the trash is over', () => {
    datapath.addService(web)
    for (let i = 1; i <= DESTS; i++) datapath.addDest(web.key, dest(`10.2.0.${i}:80`))
    datapath.deleteDest(web.key, dest('10.2.0.7:80'))
    expect(() => datapath.addDest(web.key, dest('10.2.1.1:80'))).toThrow(/full/)

    forgetTrash()
    datapath.addDest(web.key, dest('10.2.1.1:80'))

    expect(datapath.service(web.key)!.dests).toHaveLength(DESTS)
  })

  it('takes back a removed dest with its connections and counters, under a new service too', () => {
    datapath.addService(web)
    datapath.addDest(web.key, dest('10.2.0.11:80', { upperThreshold: 10 }))
    count('10.2.0.11', 5n)
    const index = stored('10.2.0.11')
    plane.table('dests').setU32(index, at.dest.total, 3)
    plane.table('dests').setU32(index, at.dest.active, 2)

    datapath.deleteDest(web.key, dest('10.2.0.11:80'))
    datapath.addDest(web.key, dest('10.2.0.11:80'))
    expect(datapath.service(web.key)!.dests[0]).toMatchObject({
      activeConns: 2,
      inactiveConns: 1,
      stats: { inPackets: 5n },
    })

    datapath.deleteService(web.key)
    datapath.addService(web)
    datapath.addDest(web.key, dest('10.2.0.11:80'))
    expect(datapath.service(web.key)!.dests[0]).toMatchObject({ activeConns: 2, stats: { inPackets: 5n } })
    expect(datapath.service(web.key)!.stats.inPackets).toBe(0n)

    plane.table('dests').setU32(index, at.dest.total, 0)
    plane.table('dests').setU32(index, at.dest.active, 0)
  })

  it('never lets a total go back, whatever is removed', () => {
    const start = datapath.totals()
    datapath.addService(web)
    datapath.addDest(web.key, dest('10.2.0.11:80'))
    datapath.addDest(web.key, dest('10.2.0.12:80'))
    count('10.2.0.11', 5n)
    count('10.2.0.12', 7n)

    const service = () => datapath.service(web.key)!.stats
    const total = () => datapath.totals().inPackets - start.inPackets
    expect([service().inPackets, service().inBytes, service().conns, total()]).toEqual([12n, 1200n, 2n, 12n])
    datapath.deleteDest(web.key, dest('10.2.0.11:80'))
    expect([service().inPackets, total()]).toEqual([12n, 12n])
    datapath.addDest(web.key, dest('10.2.0.11:80'))
    expect([service().inPackets, total()]).toEqual([12n, 12n])
    datapath.zero(web.key)
    expect([service().inPackets, total()]).toEqual([0n, 12n])
    count('10.2.0.12', 1n)
    expect([service().inPackets, total()]).toEqual([1n, 13n])
    datapath.deleteService(web.key)
    expect(total()).toBe(13n)
    datapath.zero()
    expect(datapath.totals()).toMatchObject({ conns: 0n, inPackets: 0n, inBytes: 0n })
  })

  it('overloads a dest when its limit is set below what it has, as the kernel does', () => {
    datapath.addService(web)
    datapath.addDest(web.key, dest('10.2.0.11:80'))
    const index = stored('10.2.0.11')
    plane.table('dests').setU32(index, at.dest.total, 3)
    const overloaded = () => datapath.service(web.key)!.dests[0]!.overloaded

    datapath.editDest(web.key, dest('10.2.0.11:80', { upperThreshold: 2 }))
    expect(overloaded()).toBe(true)
    datapath.editDest(web.key, dest('10.2.0.11:80', { upperThreshold: 10, lowerThreshold: 1 }))
    expect(overloaded()).toBe(true)
    datapath.editDest(web.key, dest('10.2.0.11:80'))
    expect(overloaded()).toBe(false)

    plane.table('dests').setU32(index, at.dest.total, 0)
  })

  it('lets packets pass when the last service of their family is gone', () => {
    const families = () => plane.table('config').u32(0, at.config.families)
    datapath.addService(web)
    datapath.addService(service('tcp', '[fd00::1]:80'))
    expect(families()).toBe(3)
    datapath.deleteService(web.key)
    expect(families()).toBe(2)
    datapath.flush()
    expect(families()).toBe(0)
  })
})

// -- connections ------------------------------------------------------------------

describe('the connection listing', () => {
  /** Writes a line as a program would; answers a function that takes it away. */
  function line(
    family: 4 | 6,
    place: { bucket: number; line: number },
    fields: { life?: number; gen?: number; state?: number; flags?: number; age?: number; timeout?: number },
  ): () => void {
    const { life = LIFE_LIVE, gen = 1, state = 1, flags = 0, age = 0, timeout = 900 } = fields
    const table = plane.table(family === 4 ? 'conns4' : 'conns6')
    const base = place.line * at.conn.size
    const bytes = table.slice(place.bucket, base, at.conn.size)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    view.setUint16(at.conn.cport, 40000)
    view.setUint16(at.conn.vport, 80)
    view.setUint16(at.conn.dport, 8080)
    bytes[at.conn.protocol] = 6
    view.setUint32(at.conn.inPkts, 7, true)
    if (family === 4) {
      bytes.set([192, 0, 2, 9], at.conn.caddr)
      bytes.set([10, 0, 0, 1], at.conn.vaddr)
      bytes.set([10, 2, 0, 11], at.conn.daddr)
    } else {
      const whole = table.slice(place.bucket, at.bucket6.addrs + place.line * at.connAddrs.size, 48)
      whole.fill(0)
      for (const [i, last] of [9, 1, 11].entries()) {
        whole.set([0xfd, i], 16 * i)
        whole[16 * i + 15] = last
      }
    }
    const now = (Number(clockNow() & 0xffff_ffffn) - age * plane.hz) >>> 0
    view.setUint32(at.conn.when, now, true)
    view.setUint32(at.conn.when + 4, timeout * plane.hz, true)
    view.setUint32(at.conn.word + 4, gen, true)
    view.setUint32(at.conn.word, (flags << 8) | (state << 4) | life, true)
    return () => bytes.fill(0)
  }

  function clockNow(): bigint {
    const skew = BigInt(plane.table('config').u32(0, at.config.clockSkew))
    const request = new Uint8Array(at.sweepRequest.size)
    const { ctx } = plane.program('control', 'sweep_now').testRun({ ctxIn: request })
    return new DataView(ctx.buffer, ctx.byteOffset).getBigUint64(at.sweepRequest.jiffies, true) + skew
  }

  it('shows live lines of both families, in main and in spare buckets', () => {
    const { buckets4, spares4 } = plane.buckets
    const places = [
      { family: 4, bucket: 0, line: 0 },
      { family: 4, bucket: buckets4 + spares4 - 1, line: 7 },
      { family: 6, bucket: 3, line: 5 },
    ] as const
    const undo = places.map(({ family, ...place }) => line(family, place, {}))

    const conns = [...datapath.connections()]

    undo.forEach((take) => take())
    expect(conns).toHaveLength(3)
    expect(conns[0]).toMatchObject({
      family: 4,
      protocol: 6,
      client: { address: '192.0.2.9', port: 40000 },
      virtual: { address: '10.0.0.1', port: 80 },
      dest: { address: '10.2.0.11', port: 8080 },
      fwd: 'masq',
      state: 'ESTABLISHED',
      active: true,
      inPackets: 7,
      template: false,
    })
    expect(conns[0]!.expiresMs).toBeGreaterThan(899_000)
    expect(conns[0]!.expiresMs).toBeLessThanOrEqual(900_000)
    expect(conns[2]).toMatchObject({
      family: 6,
      client: { address: 'fd00::9' },
      virtual: { address: 'fd01::1' },
      dest: { address: 'fd02::b' },
    })
    expect([...datapath.connections()]).toEqual([])
  })

  it('leaves out what is being made, what is free and what has expired', () => {
    const undo = [
      line(4, { bucket: 1, line: 0 }, { life: 0 }),
      line(4, { bucket: 1, line: 1 }, { life: 1 }),
      line(4, { bucket: 1, line: 2 }, { life: 2 }),
      line(4, { bucket: 1, line: 3 }, { life: 4 }),
      line(4, { bucket: 1, line: 4 }, { age: 61, timeout: 60 }),
      line(4, { bucket: 1, line: 5 }, { age: 59, timeout: 60, state: 3, flags: 1 }),
    ]

    const conns = [...datapath.connections()]

    undo.forEach((take) => take())
    expect(conns.map(({ state, active }) => ({ state, active }))).toEqual([
      { state: 'SYN_RECV', active: false },
    ])
    expect(conns[0]!.expiresMs).toBeGreaterThan(0)
    expect(conns[0]!.expiresMs).toBeLessThanOrEqual(1000)
  })
})

// -- cut off in the middle ----------------------------------------------------------

describe('a process that is killed in the middle of a change', () => {
  class Killed extends Error {}

  /** Runs `change` and lets it end at its n-th store; answers whether it got that far. */
  function killAt(n: number, change: () => void): boolean {
    let left = n
    const tick = () => {
      if (left-- === 0) throw new Killed()
    }
    const patched: [object, string, (...args: never[]) => unknown][] = []
    const patch = (prototype: object, name: string) => {
      const target = prototype as Record<string, (...args: unknown[]) => unknown>
      const original = target[name]!
      patched.push([prototype, name, original])
      target[name] = function (this: unknown, ...args: unknown[]) {
        tick()
        return original.apply(this, args)
      }
    }
    for (const name of ['setU32', 'setU8', 'setU64']) patch(Table.prototype, name)
    for (const name of ['set', 'delete']) patch(BpfMap.prototype, name)
    try {
      change()
      return false
    } catch (error) {
      if (!(error instanceof Killed)) throw error
      return true
    } finally {
      for (const [prototype, name, original] of patched)
        (prototype as Record<string, unknown>)[name] = original
    }
  }

  const other = service('tcp', '10.0.0.9:80')
  const changes: Readonly<Record<string, (datapath: Datapath) => void>> = {
    'adding a service': (d) => d.addService(service('tcp', '10.0.0.2:80', { scheduler: 'wrr' })),
    'editing a service': (d) => d.editService({ ...web, scheduler: 'wrr' }),
    'deleting a service': (d) => d.deleteService(web.key),
    'adding a dest': (d) => d.addDest(web.key, dest('10.2.0.13:80', { weight: 3 })),
    'bringing a dest back': (d) => d.addDest(web.key, dest('10.2.0.14:80')),
    'editing a dest': (d) => d.editDest(web.key, dest('10.2.0.11:80', { weight: 9 })),
    'deleting a dest': (d) => d.deleteDest(web.key, dest('10.2.0.12:80')),
  }

  /** Two services, three dests that counted, one of them in the trash. */
  function prepare(target: Datapath): void {
    target.addService(web)
    target.addService(other)
    for (const address of ['10.2.0.11:80', '10.2.0.12:80', '10.2.0.14:80'])
      target.addDest(web.key, dest(address))
    target.deleteDest(web.key, dest('10.2.0.14:80'))
  }

  it.each(Object.entries(changes))('leaves %s undone or done', (_name, change) => {
    const [before, after] = [new MemoryDatapath(), new MemoryDatapath()]
    prepare(before)
    prepare(after)
    change(after)
    let points = 0

    for (let n = 0; ; n++) {
      datapath.flush()
      forgetTrash()
      datapath.addService(web)
      datapath.addService(other)
      for (const address of ['10.2.0.11:80', '10.2.0.12:80', '10.2.0.14:80'])
        datapath.addDest(web.key, dest(address))
      for (const address of ['10.2.0.11', '10.2.0.12', '10.2.0.14']) count(address, 5n)
      datapath.deleteDest(web.key, dest('10.2.0.14:80'))
      const total = datapath.totals().inPackets

      let killed: boolean
      {
        using victim = KernelDatapath.open({ netns: netns.path, load: 'never' })
        victim.services()
        killed = killAt(n, () => change(victim))
      }

      // The next writer mends; what it wants itself works.
      using next = KernelDatapath.open({ netns: netns.path, load: 'never' })
      next.addDest(other.key, dest('10.2.0.20:80'))
      next.deleteDest(other.key, dest('10.2.0.20:80'))
      expect([listing(before), listing(after)]).toContainEqual(listing(next))
      expect(next.totals().inPackets).toBe(total)
      const config = plane.table('config')
      expect(config.u64(0, at.config.changes) % 2n).toBe(0n)
      expect(config.u32(0, at.config.dests)).toBe(
        next.services().flatMap((each: Service) => each.dests).length,
      )
      if (!killed) {
        expect(listing(next)).toEqual(listing(after))
        break
      }
      points++
    }
    expect(points).toBeGreaterThan(3)
  })
})
