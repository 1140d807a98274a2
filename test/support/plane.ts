// SPDX-License-Identifier: MIT
/**
 * The real programs on tables as small as a test wants, attached to nothing.
 *
 * Its maps are pinned where `xlvs up` would pin them in the namespace, so everything
 * else is the real thing: a KernelDatapath configures it, and whoever removes the
 * namespace removes the pins.
 */
import {
  ABI_FINGERPRINT_U64,
  DEVICE_F_XDP_TX,
  HOOK_TC_INGRESS,
  HOOK_XDP,
  MAX_REASONS,
  reasonNames,
  XDP_ATTACHED_NATIVE,
} from '../../src/abi/generated.js'
import { PROTO_TCP, PROTO_UDP } from '../../src/abi/generated.js'
import { readClock, tickRate } from '../../src/datapath/kernel/clock.js'
import { KernelDatapath } from '../../src/datapath/kernel/datapath.js'
import { Home } from '../../src/datapath/kernel/home.js'
import { at } from '../../src/datapath/kernel/layout.js'
import type { Buckets } from '../../src/datapath/kernel/sizes.js'
import { Table } from '../../src/datapath/kernel/tables.js'
import { TCP_STATES } from '../../src/ipvs/conn.js'
import { TCP_TIMEOUTS_S } from '../../src/ipvs/proto/tcp.js'
import { UDP_TIMEOUT_S } from '../../src/ipvs/proto/udp.js'
import { BpfObject, kernel, listInterfaces, type BpfMap, type ObjectProgram } from '../../src/libbpf/index.js'
import { packageFile } from '../../src/util/package.js'
import type { Netns } from './netns.js'

export type Part = 'control' | 'tc' | 'xdp'
export type Hook = 'xdp' | 'tc'

export interface PlaneOptions {
  readonly buckets?: Partial<Buckets>
  /** 0 when absent: tests know where a connection goes. */
  readonly hashSeed?: number
  readonly services?: number
  readonly dests?: number
  /** Other objects than the built ones, which may bring maps of their own. */
  readonly objects?: Partial<Record<Part, string>>
  /** Constants of those objects. */
  readonly constants?: Readonly<Record<string, number>>
}

export const OWN_MAPS: readonly string[] = ['explanations', 'hop_scratch']

export class Plane implements Disposable {
  readonly netns: Netns
  readonly buckets: Buckets
  readonly hashSeed: number
  readonly hz: number
  readonly datapath: KernelDatapath
  readonly #home: Home
  readonly #objects = {} as Record<Part, BpfObject>
  readonly #maps = new Map<string, BpfMap>()
  readonly #tables = new Map<string, Table>()

  constructor(netns: Netns, options: PlaneOptions = {}) {
    this.netns = netns
    this.buckets = { buckets4: 16, spares4: 2, buckets6: 16, spares6: 2, ...options.buckets }
    this.hashSeed = options.hashSeed ?? 0
    this.#home = Home.open(netns.path)
    // Inode numbers of namespaces come again: clear what a killed process left.
    this.#home.make()
    this.#home.clear()
    this.#home.make()
    // The control program tells the tick rate, which the others are loaded with.
    this.#load('control', options, 250)
    this.hz = tickRate(readClock(this.program('control', 'sweep_now')))
    for (const part of ['tc', 'xdp'] as const) this.#load(part, options, this.hz)
    this.#home.replacePin('progs', 'sweep_now', this.program('control', 'sweep_now'))
    this.#configure()
    this.datapath = KernelDatapath.open({ netns: netns.path, load: 'never' })
  }

  program(part: Part, name: string): ObjectProgram {
    return this.#objects[part].program(name)
  }

  map(name: string): BpfMap {
    const map = this.#maps.get(name)
    if (map === undefined) throw new Error(`no object has a map ${name}`)
    return map
  }

  /** A map of one object that the others do not share. */
  mapOf(part: Part, name: string): BpfMap {
    return this.#objects[part].map(name)
  }

  /** A map in memory. */
  table(name: string): Table {
    let table = this.#tables.get(name)
    if (table === undefined) this.#tables.set(name, (table = new Table(this.map(name))))
    return table
  }

  /** Tells the programs the devices' addresses, and that XDP may send to them. */
  learnDevices(): void {
    const devices = this.table('devices')
    for (const { ifindex, mac } of listInterfaces(this.netns.path)) {
      devices.slice(ifindex, at.device.mac, 6).set(mac.split(':').map((byte) => Number.parseInt(byte, 16)))
      devices.setU8(ifindex, at.device.flags, DEVICE_F_XDP_TX)
      // As if XDP were attached natively; who writes the flags anew goes by this.
      devices.setU8(ifindex, at.device.xdp, XDP_ATTACHED_NATIVE)
    }
  }

  /** Jiffies of one state's timeout. */
  setTimeout(protocol: number, state: number, jiffies: number): void {
    this.table('config').setU32(0, at.config.timeouts + (protocol * 16 + state) * 4, jiffies)
  }

  /** Lets the connections' clock jump; nothing is swept. */
  advance(seconds: number): void {
    const config = this.table('config')
    config.setU32(0, at.config.clockSkew, (config.u32(0, at.config.clockSkew) + seconds * this.hz) >>> 0)
  }

  /** Verdicts so far, by reason, for one hook. */
  reasons(hook: Hook): Record<string, number> {
    const row = hook === 'xdp' ? HOOK_XDP : HOOK_TC_INGRESS
    const counts: Record<string, number> = {}
    for (let reason = 0; reason < MAX_REASONS; reason++) {
      const count = this.sum('reasons', row * MAX_REASONS + reason)
      if (count > 0) counts[reasonNames.get(reason) ?? `reason ${reason}`] = count
    }
    return counts
  }

  /** The sum over all CPUs of a per-CPU array of counters. */
  sum(map: string, index: number): number {
    const values = this.map(map).getPerCpu(new Uint8Array(Uint32Array.of(index).buffer)) ?? []
    return values.reduce(
      (sum, value) => sum + Number(new DataView(value.buffer, value.byteOffset).getBigUint64(0, true)),
      0,
    )
  }

  [Symbol.dispose](): void {
    for (const table of this.#tables.values()) table[Symbol.dispose]()
    this.datapath?.[Symbol.dispose]()
    for (const object of Object.values(this.#objects)) object.close()
    for (const map of this.#maps.values()) map.close()
    this.#home.clear()
    this.#home.remove()
    this.#home[Symbol.dispose]()
  }

  #load(part: Part, options: PlaneOptions, hz: number): void {
    const [major, minor] = kernel().version
    const { buckets4, spares4, buckets6, spares6 } = this.buckets
    const { services = 64, dests = 256 } = options
    const object = BpfObject.open(options.objects?.[part] ?? packageFile('build', 'bpf', `${part}.o`))
    this.#objects[part] = object
    const constants: Readonly<Record<string, number>> = {
      cfg_buckets4: buckets4,
      cfg_spares4: spares4,
      cfg_buckets6: buckets6,
      cfg_spares6: spares6,
      cfg_hash_seed: this.hashSeed,
      cfg_hz: hz,
      cfg_hop_shift: Math.floor(Math.log2(hz)),
      cfg_fib_src: major > 6 || (major === 6 && minor >= 7) ? 1 : 0,
      cfg_test_clock: 1,
      cfg_hook: part === 'xdp' ? HOOK_XDP : HOOK_TC_INGRESS,
      ...options.constants,
    }
    for (const [name, value] of Object.entries(constants))
      if (object.rodata.has(name)) object.rodata.set(name, value)
    const elements: Readonly<Record<string, number>> = {
      conns4: buckets4 + spares4,
      conns6: buckets6 + spares6,
      services: services + 1,
      service_keys: services,
      dest_sets: 2 * (services + 1),
      dest_refs: Math.max(4 * dests, 16 * services),
      dests: dests + 1,
      dest_stats: dests + 1,
    }
    const fresh: string[] = []
    for (const map of object.maps) {
      if (map.internal || OWN_MAPS.includes(map.name)) continue
      const shared = this.#maps.get(map.name)
      if (shared !== undefined) {
        map.reuseFd(shared)
        continue
      }
      if (elements[map.name] !== undefined) map.setMaxEntries(elements[map.name]!)
      fresh.push(map.name)
    }
    object.load()
    for (const name of fresh) {
      this.#home.fs.pin(object.map(name), this.#home.pin('maps', name))
      this.#maps.set(name, object.map(name).clone())
    }
  }

  #configure(): void {
    const config = this.table('config')
    const { buckets4, spares4, buckets6, spares6 } = this.buckets
    const values: readonly (readonly [field: number, value: number])[] = [
      [at.config.hz, this.hz],
      [at.config.hashSeed, this.hashSeed],
      [at.config.buckets4, buckets4],
      [at.config.spares4, spares4],
      [at.config.buckets6, buckets6],
      [at.config.spares6, spares6],
      [at.config.connReuseMode, 1],
      [at.config.pmtuDisc, 1],
      [at.config.snatReroute, 1],
      [at.config.serviceTop, 1],
      [at.config.destTop, 1],
      [at.config.testClock, 1],
    ]
    for (const [field, value] of values) config.setU32(0, field, value)
    TCP_STATES.forEach((state, i) => this.setTimeout(PROTO_TCP, i, TCP_TIMEOUTS_S[state] * this.hz))
    this.setTimeout(PROTO_UDP, 0, UDP_TIMEOUT_S * this.hz)
    config.setU64(0, at.config.netnsCookie, this.#home.cookie)
    config.setU64(0, at.config.fingerprint, ABI_FINGERPRINT_U64)
  }
}
