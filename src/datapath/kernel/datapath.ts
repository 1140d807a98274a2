// SPDX-License-Identifier: MIT
/**
 * The data plane of one network namespace, in the kernel.
 *
 * The maps are the truth: any number of processes may hold one of these, and none
 * has to. What changes something takes the namespace's lock, looks at what others
 * did since, changes and lets go; what reads needs no lock. See registry.ts for the
 * rules of a change, lifecycle.ts for loading.
 */
import { uptime } from 'node:os'
import { HOOK_LAST, hookNames, MAX_REASONS, PROTO_TCP, PROTO_UDP, reasonNames } from '../../abi/generated.js'
import { TCP_STATES, type Conn } from '../../ipvs/conn.js'
import { checkDest, type DestKey, type DestSpec } from '../../ipvs/dest.js'
import { changeTimeouts, DEFAULT_TIMEOUTS } from '../../ipvs/proto/timeouts.js'
import {
  checkService,
  serviceNotFound,
  type Service,
  type ServiceKey,
  type ServiceSpec,
} from '../../ipvs/service.js'
import { ZERO_STATS, type Stats } from '../../ipvs/stats.js'
import { BpfProgram, isBroadcastAddress, sourceAddressFor, type BpfObject } from '../../libbpf/index.js'
import { Failure } from '../../util/errors.js'
import type { Datapath, Timeouts } from '../datapath.js'
import { readClock } from './clock.js'
import { countLive, walkConns, type ConnClock } from './conns.js'
import { explain, type ExplainHook, type Explanation, type ExplainRequest } from './explain.js'
import { Home, isMissing } from './home.js'
import { at } from './layout.js'
import {
  isWhole,
  Lifecycle,
  settingsOf,
  timeoutField,
  type DeviceStatus,
  type UpOptions,
} from './lifecycle.js'
import { Registry } from './registry.js'
import { checkSetting, SETTINGS } from './settings.js'
import { Tables } from './tables.js'

export interface OpenOptions {
  /** Path of a network namespace, `/run/netns/blue`; the process's own when absent. */
  readonly netns?: string
  /** `auto`: the first service loads and attaches, as ipvsadm loads ip_vs. `never`: only up() does. */
  readonly load?: 'auto' | 'never'
  /** Folder of the compiled programs; those of the package when absent. */
  readonly objects?: string
}

/** How full a table is. */
export interface Fill {
  readonly used: number
  readonly size: number
}

export interface Status {
  readonly netns: bigint
  /** Where the pins are. */
  readonly path: string
  readonly loaded: boolean
  readonly devices: readonly DeviceStatus[]
  readonly tables: Readonly<
    Record<'services' | 'dests' | 'conns4' | 'conns6' | 'spares4' | 'spares6', Fill>
  > | null
  readonly testClock: boolean
}

/** How often a verdict was given, by reason and hook. */
export interface ReasonCount {
  readonly hook: string
  readonly reason: string
  readonly number: number
  readonly count: bigint
}

const DEVICES_FRESH_MS = 50

/**
 * How long an answer of the routing table is good for, while many dests are added. A
 * route that changes later is no reason to look again either: up() does.
 */
const ROUTE_CACHE_MS = 5000

/** What a loaded plane is used through. */
interface Opened {
  readonly tables: Tables
  readonly registry: Registry
  readonly twins: Map<ExplainHook, BpfObject>
  sweepNow?: BpfProgram
}

export class KernelDatapath implements Datapath {
  readonly #home: Home
  readonly #lifecycle: Lifecycle
  #devicesAt = -Infinity
  readonly #load: 'auto' | 'never'
  #open: Opened | undefined
  #depth = 0
  #routes = new Map<string, string | null>()
  #routesUntil = 0

  private constructor(home: Home, options: OpenOptions) {
    this.#home = home
    this.#lifecycle = new Lifecycle(home, options.objects)
    this.#load = options.load ?? 'auto'
  }

  /**
   * Opens the data plane of a namespace. Nothing is loaded or changed yet.
   *
   * @example
   * using datapath = KernelDatapath.open()
   * datapath.addService(service)
   *
   * @throws Failure NOT_PERMITTED without CAP_BPF and CAP_NET_ADMIN
   */
  static open(options: OpenOptions = {}): KernelDatapath {
    const home = Home.open(options.netns)
    try {
      return new KernelDatapath(home, options)
    } catch (error) {
      home[Symbol.dispose]()
      throw error
    }
  }

  // -- lifecycle ----------------------------------------------------------------

  /** Whether programs and maps are there. */
  get loaded(): boolean {
    return this.#state() !== undefined
  }

  /**
   * Loads and attaches; when loaded already, replaces the programs on the maps there
   * are, without losing a packet, and attaches to more devices.
   *
   * @returns what it could not do and a person should know
   * @throws Failure LAYOUT_MISMATCH, DEVICE_NOT_FOUND, ATTACH_REFUSED, KERNEL_TOO_OLD
   */
  up(options: UpOptions = {}): string[] {
    return this.locked(() => {
      const before = this.#state()
      try {
        const warnings = this.#lifecycle.up(options, before?.tables)
        // Addresses and routes may be others than when the dests were added.
        before?.registry.refreshRoutes()
        return warnings
      } catch (error) {
        // A first load either works or leaves nothing.
        if (before === undefined) this.#lifecycle.down(undefined)
        throw error
      }
    })
  }

  /**
   * Detaches and unpins everything: services, counters and connections are gone. Takes
   * away what another version loaded, too.
   *
   * @returns whether anything was there
   */
  down(): boolean {
    return this.locked(() => {
      this.#forget()
      using config = this.#openConfig()
      this.#lifecycle.down(config)
      return config !== undefined
    })
  }

  /** Throws NOT_LOADED when nothing is loaded. */
  requireLoaded(): void {
    this.#loaded()
  }

  status(): Status {
    const state = this.#state()
    const { inode: netns, path } = this.#home
    if (state === undefined)
      return { netns, path, loaded: false, devices: [], tables: null, testClock: false }
    const { tables } = state
    const { config } = tables
    const { buckets, testClock } = settingsOf(config)
    const conns = (name: 'conns4' | 'conns6', main: number, spare: number): Fill => ({
      used: countLive(tables.table(name), main + spare),
      size: (main + spare) * 8,
    })
    return {
      netns,
      path,
      loaded: true,
      devices: this.#lifecycle.devices(tables),
      tables: {
        services: { used: config.u32(0, at.config.services), size: tables.services.length - 1 },
        dests: { used: config.u32(0, at.config.dests), size: tables.dests.length - 1 },
        conns4: conns('conns4', buckets.buckets4, buckets.spares4),
        conns6: conns('conns6', buckets.buckets6, buckets.spares6),
        spares4: this.#spares(tables, 4, buckets.buckets4, buckets.spares4),
        spares6: this.#spares(tables, 6, buckets.buckets6, buckets.spares6),
      },
      testClock,
    }
  }

  // -- services and dests ---------------------------------------------------------

  addService(spec: ServiceSpec): void {
    this.locked(() => {
      if (this.#state() === undefined) {
        // Refuse before loading what would be refused after it.
        checkService(spec, 'add', false)
        this.#autoload()
      }
      this.#loaded().registry.addService(spec)
      this.#refreshDevices()
    })
  }

  editService(spec: ServiceSpec): void {
    this.locked(() => {
      const state = this.#state()
      if (state === undefined) return checkService(spec, 'edit', false)
      state.registry.editService(spec)
    })
  }

  deleteService(key: ServiceKey): void {
    this.locked(() => {
      const state = this.#state()
      if (state === undefined) throw serviceNotFound(key)
      state.registry.deleteService(key)
      this.#afterRemoval()
    })
  }

  flush(): void {
    this.locked(() => {
      const state = this.#state()
      if (state === undefined) return
      state.registry.flush()
      this.#afterRemoval()
    })
  }

  addDest(service: ServiceKey, dest: DestSpec): void {
    this.locked(() => {
      const state = this.#state()
      if (state === undefined)
        return checkDest(service, dest, 'add', { serviceExists: false, present: false })
      state.registry.addDest(service, dest)
    })
  }

  editDest(service: ServiceKey, dest: DestSpec): void {
    this.locked(() => {
      const state = this.#state()
      if (state === undefined)
        return checkDest(service, dest, 'edit', { serviceExists: false, present: false })
      state.registry.editDest(service, dest)
    })
  }

  deleteDest(service: ServiceKey, dest: DestKey): void {
    this.locked(() => {
      const state = this.#state()
      if (state === undefined) throw serviceNotFound(service)
      state.registry.deleteDest(service, dest)
      this.#afterRemoval()
    })
  }

  services(): Service[] {
    return this.#state()?.registry.services() ?? []
  }

  service(key: ServiceKey): Service | undefined {
    return this.#state()?.registry.service(key)
  }

  totals(): Stats {
    return this.#state()?.registry.totals() ?? ZERO_STATS
  }

  zero(service?: ServiceKey): void {
    this.locked(() => {
      const state = this.#state()
      if (state === undefined) {
        if (service !== undefined) throw serviceNotFound(service)
        return
      }
      state.registry.zero(service)
    })
  }

  // -- settings -------------------------------------------------------------------

  timeouts(): Timeouts {
    const state = this.#state()
    if (state === undefined) return DEFAULT_TIMEOUTS
    const { config } = state.tables
    const hz = config.u32(0, at.config.hz)
    const seconds = (field: number) => Math.floor(config.u32(0, field) / hz)
    return { tcp: seconds(TCP_FIELD), tcpFin: seconds(TCP_FIN_FIELD), udp: seconds(UDP_FIELD) }
  }

  setTimeouts(wanted: Timeouts): void {
    this.locked(() => {
      const { tcp, tcpFin, udp } = changeTimeouts(this.timeouts(), wanted)
      if (this.#state() === undefined) this.#autoload()
      const { config } = this.#loaded().tables
      const hz = config.u32(0, at.config.hz)
      for (const seconds of [tcp, tcpFin, udp]) {
        // Where the kernel ticks faster than Debian's, the same int holds less.
        if (seconds * hz <= 0x7fff_ffff) continue
        throw new Failure(
          'INVALID_ARGUMENT',
          `a timeout of ${seconds} s is too long for ${hz} ticks a second`,
          {
            errno: 'EINVAL',
          },
        )
      }
      config.setU32(0, TCP_FIELD, tcp * hz)
      config.setU32(0, TCP_FIN_FIELD, tcpFin * hz)
      config.setU32(0, UDP_FIELD, udp * hz)
    })
  }

  /** Settings by their sysctl names; the defaults when nothing is loaded. */
  settings(): Record<string, number> {
    const config = this.#state()?.tables.config
    return Object.fromEntries(
      SETTINGS.map((setting) => [setting.name, config ? config.u32(0, setting.field) | 0 : setting.default]),
    )
  }

  /** Sets some of them, or none when one is refused; loads the data plane when nothing is loaded. */
  setSettings(values: Readonly<Record<string, number>>): void {
    const changes = Object.entries(values).map(([name, value]) => ({
      field: checkSetting(name, value).field,
      value,
    }))
    if (changes.length === 0) return
    this.locked(() => {
      if (this.#state() === undefined) this.#autoload()
      const { config } = this.#loaded().tables
      for (const { field, value } of changes) config.setU32(0, field, value >>> 0)
    })
  }

  // -- connections and packets ------------------------------------------------------

  *connections(): Generator<Conn> {
    const state = this.#state()
    if (state === undefined) return
    const { tables } = state
    const { buckets } = settingsOf(tables.config)
    const clock = this.#clock()
    const { buckets4, spares4, buckets6, spares6 } = buckets
    yield* walkConns(4, tables.table('conns4'), buckets4 + spares4, tables.dests, clock)
    yield* walkConns(6, tables.table('conns6'), buckets6 + spares6, tables.dests, clock)
  }

  /** How often each verdict was given, the given ones only. */
  reasons(): ReasonCount[] {
    const state = this.#state()
    if (state === undefined) return []
    const map = state.tables.map('reasons')
    const counts: ReasonCount[] = []
    let key = 0
    for (const [, element] of map.entries()) {
      const hook = Math.floor(key / MAX_REASONS)
      const number = key % MAX_REASONS
      key++
      if (hook >= HOOK_LAST) break
      const view = new DataView(element.buffer, element.byteOffset, element.byteLength)
      let count = 0n
      for (let cpu = 0; cpu < element.byteLength; cpu += 8) count += view.getBigUint64(cpu, true)
      if (count === 0n) continue
      counts.push({
        hook: (hookNames.get(hook) ?? `hook ${hook}`).replace('HOOK_', '').toLowerCase(),
        reason: reasonNames.get(number) ?? `REASON_${number}`,
        number,
        count,
      })
    }
    return counts
  }

  /**
   * What would happen to a packet, and why. Changes nothing: the same programs are
   * loaded a second time so that they only tell.
   */
  explain(request: ExplainRequest): Explanation {
    const { tables, registry, twins } = this.#loaded()
    return explain(request, { home: this.#home, lifecycle: this.#lifecycle, tables, registry, twins })
  }

  /** Ends expired connections now, without waiting for the sweeper; answers how many. */
  sweep(): number {
    return this.locked(() => readClock(this.#sweepNow(), true).killed)
  }

  /** Lets the clock of connections jump; only for a plane that was loaded with `testClock`. */
  advanceClock(seconds: number): void {
    if (!(Number.isFinite(seconds) && seconds >= 0)) {
      throw new Failure('INVALID_ARGUMENT', `the clock goes forward only, not by ${seconds} s`)
    }
    this.locked(() => {
      this.#skewClock(seconds)
      this.sweep()
    })
  }

  /**
   * Undoes time that has just passed, as if it had stood still; only with `testClock`.
   * Going back behind the latest packet of a connection would end that connection.
   */
  holdClock(seconds: number): void {
    this.locked(() => this.#skewClock(-seconds))
  }

  #skewClock(seconds: number): void {
    const { config } = this.#loaded().tables
    const { hz, testClock } = settingsOf(config)
    if (!testClock) {
      throw new Failure('NOT_SUPPORTED', 'the clock of this data plane is the real one', {
        hint: 'load it with xlvs up --test-clock',
      })
    }
    const skew = config.u32(0, at.config.clockSkew) + Math.round(seconds * hz)
    config.setU32(0, at.config.clockSkew, skew >>> 0)
  }

  // -- the lock -----------------------------------------------------------------

  locked<T>(change: () => T): T {
    // down() takes the fingerprint away before it removes anything.
    if (this.#depth === 0) {
      this.#home.lock(
        () => this.#open !== undefined && this.#open.tables.config.u64(0, at.config.fingerprint) !== 0n,
      )
    }
    this.#depth++
    try {
      return change()
    } finally {
      if (--this.#depth === 0) this.#home.unlock()
    }
  }

  [Symbol.dispose](): void {
    this.#forget()
    this.#home[Symbol.dispose]()
  }

  // -- within -------------------------------------------------------------------

  /** What is loaded, as it is now: another process may have taken it away or made it anew. */
  #state() {
    if (this.#open !== undefined) {
      if (isWhole(this.#open.tables.config, this.#home.cookie)) return this.#open
      this.#forget()
    }
    const tables = new Tables(this.#home.fs, this.#home.room('maps'))
    try {
      if (isWhole(tables.config, this.#home.cookie)) {
        this.#open = { tables, registry: new Registry(tables, this.#surroundings(tables)), twins: new Map() }
        return this.#open
      }
    } catch (error) {
      tables[Symbol.dispose]()
      if (isMissing(error)) return undefined
      throw error
    }
    tables[Symbol.dispose]()
    return undefined
  }

  #loaded() {
    const state = this.#state()
    if (state !== undefined) return state
    throw new Failure('NOT_LOADED', 'no data plane is loaded in this network namespace', {
      hint: 'xlvs up loads it, and so does the first service (ipvsadm -A)',
    })
  }

  #autoload(): void {
    if (this.#load === 'never') return
    this.up()
  }

  /**
   * Devices as they are when a service is added: no process need run to notice a new
   * address or a sysctl. Not for each of ten thousand in a row.
   */
  #refreshDevices(): void {
    const now = performance.now()
    if (now - this.#devicesAt < DEVICES_FRESH_MS) return
    this.#devicesAt = now
    this.#lifecycle.refreshDevices(this.#loaded().tables.table('devices'))
  }

  #forget(): void {
    this.#open?.sweepNow?.close()
    for (const twin of this.#open?.twins.values() ?? []) twin.close()
    this.#open?.tables[Symbol.dispose]()
    this.#open = undefined
    this.#routes.clear()
  }

  /** The config map of whatever version, for down(). */
  #openConfig(): Tables | undefined {
    const tables = new Tables(this.#home.fs, this.#home.room('maps'))
    try {
      void tables.config
      return tables
    } catch (error) {
      tables[Symbol.dispose]()
      if (isMissing(error)) return undefined
      throw error
    }
  }

  /** A removed dest's connections end with it if the operator wants it so (expire_nodest_conn). */
  #afterRemoval(): void {
    const { tables } = this.#loaded()
    if (tables.config.u32(0, at.config.expireNodestConn) !== 0) this.sweep()
  }

  #sweepNow(): BpfProgram {
    const state = this.#loaded()
    const { fs } = this.#home
    return (state.sweepNow ??= BpfProgram.openPinned(this.#home.pin('progs', 'sweep_now'), { fs }))
  }

  #clock(): ConnClock {
    const { config } = this.#loaded().tables
    const { hz, testClock } = settingsOf(config)
    const { jiffies } = readClock(this.#sweepNow())
    const skew = testClock ? config.u32(0, at.config.clockSkew) : 0
    return { now: (Number(jiffies & 0xffff_ffffn) + skew) >>> 0, hz }
  }

  #spares(tables: Tables, family: 4 | 6, main: number, spare: number): Fill {
    const spares = tables.table('spare_buckets')
    const conns = tables.table(family === 4 ? 'conns4' : 'conns6')
    const row = family === 4 ? 0 : 1
    // Taken for the first time so far, less those that came back to the stack.
    let used = Math.min(spares.u32(row, at.spares.used), spare)
    let next = spares.u32(row, at.spares.head)
    for (let i = 0; next !== 0 && i < spare; i++) {
      used--
      next = conns.u32(main + next - 1, at.conn.link)
    }
    return { used: Math.max(used, 0), size: spare }
  }

  /** The kernel's answer, or one it gave a moment ago. */
  #sourceFor(address: string): string | null {
    const now = performance.now()
    if (now > this.#routesUntil) {
      this.#routes.clear()
      this.#routesUntil = now + ROUTE_CACHE_MS
    }
    let source = this.#routes.get(address)
    if (source === undefined) {
      source = sourceAddressFor(address, this.#home.netns)
      this.#routes.set(address, source)
    }
    return source
  }

  #surroundings(tables: Tables) {
    const { netns } = this.#home
    return {
      sourceFor: (address: string) => this.#sourceFor(address),
      isBroadcast: (address: string) =>
        this.#sourceFor(address) === null && isBroadcastAddress(address, netns),
      seconds: () => {
        const { hz, testClock } = settingsOf(tables.config)
        const skew = testClock ? tables.config.u32(0, at.config.clockSkew) / hz : 0
        return Math.floor(BOOT_OFFSET + performance.now() / 1000 + skew)
      },
    }
  }
}

/** What performance.now() started at on CLOCK_BOOTTIME; asking each time is slow. */
const BOOT_OFFSET = uptime() - performance.now() / 1000

const TCP_FIELD = timeoutField(PROTO_TCP, TCP_STATES.indexOf('ESTABLISHED'))
const TCP_FIN_FIELD = timeoutField(PROTO_TCP, TCP_STATES.indexOf('FIN_WAIT'))
const UDP_FIELD = timeoutField(PROTO_UDP, 0)
