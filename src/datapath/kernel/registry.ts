// SPDX-License-Identifier: MIT
/**
 * Services and dests in the maps of one namespace: every change, in the order of
 * stores that packets and other processes may see at any time.
 *
 * The rules of one change:
 * - Everything is checked and all room is found before the first store.
 * - `config.changes` is odd from the first store to the last. Readers that see it
 *   odd, or changed, look again; a writer that finds it odd mends what a killed one
 *   left (`#mend`).
 * - What packets find is switched by one store: a service by its key, the dests of a
 *   service by `service.set`. Before it, nobody refers to what is being written.
 * - Sums that move with the switch are written into `config.journal` first.
 *
 * Whoever calls a changing method holds the namespace's lock. Twins:
 * bpf/ipvs/service.h, dest.h, sched.h
 */
import {
  DEST_F_LOCAL,
  DEST_FREE,
  DEST_LIVE,
  DEST_TRASH,
  FILTER_BITS,
  SCHED_RR,
  SCHED_WRR,
  SERVICE_FREE,
  SERVICE_LIVE,
  SVC_F_HASHED,
  SVC_F_ONEPACKET,
  SVC_F_PERSISTENT,
  SVC_F_SCHED1,
  SVC_F_SCHED2,
  SVC_F_SCHED3,
} from '../../abi/generated.js'
import { addressBytes, formatAddress } from '../../ipvs/address.js'
import {
  checkDest,
  destNotFound,
  FWD_METHODS,
  overloadedAfterEdit,
  TUN_FLAGS,
  TUN_TYPES,
  type Dest,
  type DestKey,
  type DestSpec,
} from '../../ipvs/dest.js'
import { findScheduler, type SchedState, type Weighted } from '../../ipvs/sched.js'
import type { WrrState } from '../../ipvs/sched/wrr.js'
import {
  checkService,
  keyOf,
  PROTOCOL_NUMBERS,
  PROTOCOLS,
  serviceNotFound,
  type Family,
  type Service,
  type ServiceKey,
  type ServiceSpec,
} from '../../ipvs/service.js'
import type { Stats } from '../../ipvs/stats.js'
import { fence, loadU64, MAP_NOEXIST, storeU32, storeU64 } from '../../libbpf/index.js'
import { Failure } from '../../util/errors.js'
import { add, DestSums, readSum, statsOf, subtract, writeSum, ZERO_SUM, type Sum } from './counters.js'
import { ExtentAllocator, extentSize, type Extent } from './extents.js'
import { AddressFilter, FILTER_REALS, FILTER_VIPS } from './filter.js'
import { at } from './layout.js'
import { SCHED_IDS, schedulerNameOf } from './sched-ids.js'
import type { Tables } from './tables.js'

/** What is asked of the namespace the maps belong to. */
export interface Surroundings {
  /** The address packets to `address` leave from; null without a route. */
  sourceFor(address: string): string | null
  /** Whether it is the broadcast address of one of the namespace's subnets. */
  isBroadcast(address: string): boolean
  /** Seconds on a clock that never goes back and does not stop in suspend. */
  seconds(): number
}

/** How long a removed dest without connections can come back, the kernel's least (ip_vs_ctl.c). */
const TRASH_SECONDS = 120

/** Listings longer than this read all counters in batches instead of one by one. */
const MANY_DESTS = 64

/** A dest set about to be written. */
interface SetPlan {
  readonly set: number
  readonly extent: Extent
  /** The set's old extent, when it does not suit. */
  readonly outgrown: Extent | undefined
}

interface Caches {
  /** Indexes of services by keyOf(); those only that were asked for. */
  readonly services: Map<string, number>
  readonly freeServices: number[]
  /** Removed dests by identity, the latest of each. */
  readonly trash: Map<string, number>
  /** Indexes below dest_top that nobody uses; filled when fresh ones run out. */
  readonly freeDests: number[]
  readonly extents: ExtentAllocator
}

export class Registry {
  readonly #tables: Tables
  readonly #around: Surroundings
  readonly #sums: DestSums
  readonly #vips: AddressFilter
  readonly #reals: AddressFilter
  /** config.changes at which the caches were right. */
  #known = -1n
  #caches: Caches | undefined

  constructor(tables: Tables, around: Surroundings) {
    this.#tables = tables
    this.#around = around
    this.#sums = new DestSums(tables.map('dest_stats'))
    const filter = tables.table('address_filter')
    const row = (side: number) =>
      filter.words.subarray((side * filter.stride) >>> 2, ((side + 1) * filter.stride) >>> 2)
    this.#vips = new AddressFilter(row(FILTER_VIPS))
    this.#reals = new AddressFilter(row(FILTER_REALS))
  }

  // -- reading ----------------------------------------------------------------

  /** Runs `read` until no other process changed anything meanwhile. */
  consistent<T>(read: () => T): T {
    const { config } = this.#tables
    for (let round = 0; ; round++) {
      const before = loadU64(config.bytes, at.config.changes)
      const result = read()
      fence()
      if ((before & 1n) === 0n && loadU64(config.bytes, at.config.changes) === before) return result
      // The change may be a killed process's: then it stays odd, and what there is
      // is usable, if not tidy. The next writer mends it.
      if (round >= 1000) return result
    }
  }

  services(): Service[] {
    return this.consistent(() => {
      const { services, config } = this.#tables
      if (config.u32(0, at.config.dests) > MANY_DESTS) this.#sums.preload(config.u32(0, at.config.destTop))
      const list: Service[] = []
      try {
        const top = config.u32(0, at.config.serviceTop)
        for (let i = 1; i < top; i++)
          if (services.u8(i, at.service.state) === SERVICE_LIVE) list.push(this.#service(i))
      } finally {
        this.#sums.forget()
      }
      return list
    })
  }

  service(key: ServiceKey): Service | undefined {
    return this.consistent(() => {
      const index = this.#find(key)
      return index === undefined ? undefined : this.#service(index)
    })
  }

  totals(): Stats {
    return this.consistent(() => {
      const { config } = this.#tables
      return statsOf(this.#total(), readSum(config, 0, at.config.zero))
    })
  }

  /** The key of a service by its index, for explanations and listings. */
  serviceKeyAt(index: number): ServiceKey | undefined {
    const { services } = this.#tables
    if (index === 0 || index >= services.length || services.u8(index, at.service.state) !== SERVICE_LIVE)
      return undefined
    return decodeKey(services.slice(index, at.service.key, at.serviceKey.size))
  }

  /** A dest by its index, also one in the trash. */
  destAt(index: number): (Dest & { readonly removed: boolean }) | undefined {
    const { dests } = this.#tables
    if (index === 0 || index >= dests.length || dests.u8(index, at.dest.state) === DEST_FREE) return undefined
    return { ...this.#dest(index), removed: dests.u8(index, at.dest.state) === DEST_TRASH }
  }

  // -- services ---------------------------------------------------------------

  addService(spec: ServiceSpec): void {
    this.#refresh()
    checkService(spec, 'add', this.#findLocked(spec.key) !== undefined)
    const key = encodeKey(spec.key)

    const { services, config, sets } = this.#tables
    const { freeServices, services: found } = this.#cached()
    const top = Math.max(config.u32(0, at.config.serviceTop), 1)
    const index = freeServices.at(-1) ?? top
    if (index >= services.length) throw tableFull('service', services.length - 1, '--services')

    this.#change(() => {
      if (index === top) config.setU32(0, at.config.serviceTop, top + 1)
      else freeServices.pop()
      const epoch = config.u32(0, at.config.serviceEpoch) + 1
      config.setU32(0, at.config.serviceEpoch, epoch)

      services.slice(index).fill(0)
      services.slice(index, at.service.key, key.length).set(key)
      services.setU32(index, at.service.set, 2 * index)
      services.setU32(index, at.service.epoch, epoch)
      this.#writeService(index, spec)
      this.#clearSet(2 * index)
      this.#clearSet(2 * index + 1)
      sets.setU64(2 * index, at.destSet.state, packState(schedulerOf(spec.scheduler).initial([])))
      services.setU8(index, at.service.state, SERVICE_LIVE)

      if (spec.key.kind === 'address') this.#vips.add(key.subarray(0, 16), spec.key.family)
      config.setU32(0, at.config.services, config.u32(0, at.config.services) + 1)
      this.#setFamily(spec.key.family)
      const value = new Uint8Array(Uint32Array.of(index).buffer)
      this.#tables.map('service_keys').set(key, value, MAP_NOEXIST)
      found.set(keyOf(spec.key), index)
    })
  }

  editService(spec: ServiceSpec): void {
    this.#refresh()
    const index = this.#findLocked(spec.key)
    checkService(spec, 'edit', index !== undefined)
    const i = index!
    if (this.#schedulerName(i) === spec.scheduler) {
      this.#change(() => this.#writeService(i, spec))
      return
    }
    // The kernel binds the new scheduler to the service as it is: it starts afresh.
    const refs = this.#refsOf(this.#tables.services.u32(i, at.service.set)).slice()
    const plan = this.#planSet(i, refs.length / 2)
    this.#change(() => {
      this.#writeSet(plan, refs, schedulerOf(spec.scheduler).initial(weightsOf(refs)))
      this.#swap(i, plan)
      this.#writeService(i, spec)
    })
  }

  deleteService(key: ServiceKey): void {
    this.#refresh()
    const index = this.#findLocked(key)
    if (index === undefined) throw serviceNotFound(key)
    this.#removeService(index)
  }

  flush(): void {
    this.#refresh()
    const { services, config } = this.#tables
    const top = config.u32(0, at.config.serviceTop)
    for (let i = 1; i < top; i++)
      if (services.u8(i, at.service.state) === SERVICE_LIVE) this.#removeService(i)
  }

  // -- dests ------------------------------------------------------------------

  addDest(service: ServiceKey, spec: DestSpec): void {
    this.#refresh()
    const owner = this.#findLocked(service)
    const place = owner === undefined ? -1 : this.#placeOf(owner, spec)
    const revived = owner === undefined ? undefined : this.#trashed(owner, spec)
    checkDest(service, spec, 'add', {
      serviceExists: owner !== undefined,
      present: place >= 0,
      revived: revived !== undefined,
      isLocal: (address) => this.#around.sourceFor(address) === address,
      isBroadcast: (address) => this.#around.isBroadcast(address),
    })
    const i = owner!

    const { services, dests, config } = this.#tables
    const old = this.#refsOf(services.u32(i, at.service.set))
    const refs = new Uint32Array(old.length + 2)
    const plan = this.#planSet(i, refs.length / 2)
    const top = Math.max(config.u32(0, at.config.destTop), 1)
    let index: number
    try {
      index = revived ?? this.#takeDest(top)
    } catch (error) {
      this.#unplan(plan)
      throw error
    }
    const isNew = index === top
    const sum = isNew ? ZERO_SUM : this.#sums.of(index)
    refs[0] = index
    refs[1] = spec.weight
    refs.set(old, 2)
    const state = this.#schedulerAt(i).afterAdd(this.#stateOf(i), weightsOf(refs), 0)
    const place6 = addressBytes16(spec.address)

    this.#change(() => {
      if (isNew) config.setU32(0, at.config.destTop, top + 1)
      if (revived === undefined) {
        // Until it is whole, a killed writer's dest is nobody's.
        dests.setU8(index, at.dest.state, DEST_FREE)
        dests.setU8(index, at.dest.overload, 0)
        dests.slice(index, at.dest.addr, 16).set(place6)
        dests.view.setUint16(dests.at(index, at.dest.port), spec.port)
        dests.setU8(index, at.dest.family, spec.family)
        const key = services.slice(i, at.service.key, at.serviceKey.size)
        dests.slice(index, at.dest.serviceKey, at.serviceKey.size).set(key)
        dests.setU32(index, at.dest.fwmark, services.u32(i, at.service.fwmark))
      } else {
        this.#cached().trash.delete(this.#trashKeyOf(index))
      }
      // A revived dest goes on counting, under a new service too: the kernel zeroes it to its
      // estimator's last look, which is as good as not at all within two seconds of traffic.
      if (revived === undefined) writeSum(dests, index, at.dest.zero, sum)
      this.#writeDest(index, spec)
      dests.setU32(index, at.dest.service, i)
      dests.setU32(index, at.dest.serviceEpoch, services.u32(i, at.service.epoch))
      this.#reals.add(place6, spec.family)
      dests.setU8(index, at.dest.state, DEST_LIVE)

      this.#writeSet(plan, refs, state)
      const removed = subtract(readSum(services, i, at.service.removed), sum)
      this.#journal(i, plan.set, removed)
      this.#swap(i, plan)
      writeSum(services, i, at.service.removed, removed)
      config.setU32(0, at.config.dests, config.u32(0, at.config.dests) + 1)
    })
  }

  editDest(service: ServiceKey, spec: DestSpec): void {
    this.#refresh()
    const owner = this.#findLocked(service)
    const place = owner === undefined ? -1 : this.#placeOf(owner, spec)
    checkDest(service, spec, 'edit', { serviceExists: owner !== undefined, present: place >= 0 })
    const i = owner!

    const refs = this.#refsOf(this.#tables.services.u32(i, at.service.set)).slice()
    const plan = this.#planSet(i, refs.length / 2)
    const index = refs[2 * place]!
    refs[2 * place + 1] = spec.weight
    const state = this.#schedulerAt(i).afterEdit(this.#stateOf(i), weightsOf(refs), place)
    this.#change(() => {
      this.#writeDest(index, spec)
      this.#writeSet(plan, refs, state)
      this.#swap(i, plan)
    })
  }

  deleteDest(service: ServiceKey, dest: DestKey): void {
    this.#refresh()
    const i = this.#findLocked(service)
    if (i === undefined) throw serviceNotFound(service)
    const place = this.#placeOf(i, dest)
    if (place < 0) throw destNotFound(service, dest)

    const { services, config } = this.#tables
    const old = this.#refsOf(services.u32(i, at.service.set))
    const index = old[2 * place]!
    const refs = new Uint32Array(old.length - 2)
    refs.set(old.subarray(0, 2 * place))
    refs.set(old.subarray(2 * place + 2), 2 * place)
    const plan = this.#planSet(i, refs.length / 2)
    const state = this.#schedulerAt(i).afterDelete(this.#stateOf(i), weightsOf(refs), place)
    this.#change(() => {
      this.#writeSet(plan, refs, state)
      const removed = add(readSum(services, i, at.service.removed), this.#sums.of(index))
      this.#journal(i, plan.set, removed)
      this.#swap(i, plan)
      this.#trash(index)
      writeSum(services, i, at.service.removed, removed)
      config.setU32(0, at.config.dests, config.u32(0, at.config.dests) - 1)
    })
  }

  // -- counters ---------------------------------------------------------------

  zero(key?: ServiceKey): void {
    this.#refresh()
    const { services, config } = this.#tables
    if (key !== undefined) {
      const index = this.#findLocked(key)
      if (index === undefined) throw serviceNotFound(key)
      this.#change(() => this.#zeroService(index))
      return
    }
    const top = config.u32(0, at.config.serviceTop)
    this.#change(() => {
      writeSum(config, 0, at.config.zero, this.#total())
      for (let i = 1; i < top; i++)
        if (services.u8(i, at.service.state) === SERVICE_LIVE) this.#zeroService(i)
    })
  }

  /** Source addresses and locality of all dests anew: routes may have changed. */
  refreshRoutes(): void {
    this.#refresh()
    const { dests, config } = this.#tables
    this.#change(() => {
      for (let i = 1; i < config.u32(0, at.config.destTop); i++) {
        if (dests.u8(i, at.dest.state) === DEST_FREE) continue
        this.#writeRoute(i, this.#addressOf(i))
      }
    })
  }

  #zeroService(index: number): void {
    const { services, dests } = this.#tables
    writeSum(services, index, at.service.zero, this.#serviceSum(index))
    const refs = this.#refsOf(services.u32(index, at.service.set))
    for (let r = 0; r < refs.length; r += 2) writeSum(dests, refs[r]!, at.dest.zero, this.#sums.of(refs[r]!))
  }

  #serviceSum(index: number): Sum {
    const { services } = this.#tables
    const refs = this.#refsOf(services.u32(index, at.service.set))
    let sum = readSum(services, index, at.service.removed)
    for (let r = 0; r < refs.length; r += 2) sum = add(sum, this.#sums.of(refs[r]!))
    return sum
  }

  #total(): Sum {
    const { services, config } = this.#tables
    if (config.u32(0, at.config.dests) > MANY_DESTS) this.#sums.preload(config.u32(0, at.config.destTop))
    try {
      let sum = readSum(config, 0, at.config.removed)
      const top = config.u32(0, at.config.serviceTop)
      for (let i = 1; i < top; i++) {
        if (services.u8(i, at.service.state) === SERVICE_LIVE) sum = add(sum, this.#serviceSum(i))
      }
      return sum
    } finally {
      this.#sums.forget()
    }
  }

  // -- one change -------------------------------------------------------------

  /** Whether another process, or a killed one, was here since. */
  #refresh(): void {
    const { config } = this.#tables
    let changes = config.u64(0, at.config.changes)
    if ((changes & 1n) === 1n) {
      this.#caches = undefined
      this.#mend()
      changes = config.u64(0, at.config.changes)
    }
    if (changes !== this.#known) this.#caches = undefined
    this.#known = changes
  }

  /** Nothing in `stores` may fail; if it does, the next writer mends. */
  #change(stores: () => void): void {
    const { config } = this.#tables
    storeU64(config.bytes, at.config.changes, this.#known + 1n)
    stores()
    config.setU32(0, at.config.journal + at.journal.service, 0)
    this.#known = BigInt.asUintN(64, this.#known + 2n)
    storeU64(config.bytes, at.config.changes, this.#known)
  }

  #journal(service: number, set: number, removed: Sum): void {
    const { config } = this.#tables
    const base = at.config.journal
    config.setU32(0, base + at.journal.service, 0)
    config.setU32(0, base + at.journal.set, set)
    writeSum(config, 0, base + at.journal.removed, removed)
    storeU32(config.bytes, base + at.journal.service, service)
  }

  /** The one store that gives a service its new dests. */
  #swap(service: number, plan: SetPlan): void {
    const { services } = this.#tables
    storeU32(services.bytes, services.at(service, at.service.set), plan.set)
    if (plan.outgrown !== undefined) this.#cached().extents.give(plan.outgrown)
  }

  /** After a process was killed in the middle of a change: finish it, or undo it. */
  #mend(): void {
    const { config, services, sets, dests } = this.#tables
    const keys = this.#tables.map('service_keys')
    const indexOf = (service: number) => {
      const value = keys.get(services.slice(service, at.service.key, at.serviceKey.size).slice())
      return value === undefined ? 0 : new DataView(value.buffer, value.byteOffset).getUint32(0, true)
    }

    const base = at.config.journal
    const [service, set] = [config.u32(0, base + at.journal.service), config.u32(0, base + at.journal.set)]
    if (service !== 0 && services.u8(service, at.service.state) === SERVICE_LIVE) {
      const removed = readSum(config, 0, base + at.journal.removed)
      if (set === 0) {
        if (indexOf(service) !== service) writeSum(config, 0, at.config.removed, removed)
      } else if (services.u32(service, at.service.set) === set) {
        writeSum(services, service, at.service.removed, removed)
      }
    }
    config.setU32(0, base + at.journal.service, 0)

    const members = new Set<number>()
    let [serviceCount, destCount, families] = [0, 0, 0]
    for (let i = 1; i < config.u32(0, at.config.serviceTop); i++) {
      if (services.u8(i, at.service.state) !== SERVICE_LIVE) continue
      if (indexOf(i) !== i) {
        this.#clearSet(2 * i)
        this.#clearSet(2 * i + 1)
        services.setU8(i, at.service.state, SERVICE_FREE)
        continue
      }
      const idle = services.u32(i, at.service.set) ^ 1
      if (sets.u32(idle, at.destSet.version) & 1) this.#clearSet(idle)
      const refs = this.#refsOf(services.u32(i, at.service.set))
      for (let r = 0; r < refs.length; r += 2) {
        members.add(refs[r]!)
        // An edit may have stored the dest's weight and not yet the list's.
        dests.setU32(refs[r]!, at.dest.weight, refs[r + 1]!)
      }
      serviceCount++
      destCount += refs.length / 2
      families |= familyBit(services.u8(i, at.service.key + at.serviceKey.family) as Family)
    }
    for (let i = 1; i < config.u32(0, at.config.destTop); i++) {
      if (dests.u8(i, at.dest.state) === DEST_LIVE && !members.has(i)) this.#trash(i)
    }
    config.setU32(0, at.config.services, serviceCount)
    config.setU32(0, at.config.dests, destCount)
    config.setU32(0, at.config.families, families)
    storeU64(config.bytes, at.config.changes, (config.u64(0, at.config.changes) | 1n) + 1n)
  }

  // -- records ----------------------------------------------------------------

  #find(key: ServiceKey): number | undefined {
    return this.#lookup(encodeKey(key))
  }

  /** The same for writers, who know what changed since. */
  #findLocked(key: ServiceKey): number | undefined {
    const { services } = this.#cached()
    const name = keyOf(key)
    let index = services.get(name)
    if (index === undefined) {
      index = this.#find(key)
      if (index !== undefined) services.set(name, index)
    }
    return index
  }

  #lookup(key: Uint8Array): number | undefined {
    const value = this.#tables.map('service_keys').get(key)
    return value && new DataView(value.buffer, value.byteOffset).getUint32(0, true)
  }

  #writeService(index: number, spec: ServiceSpec): void {
    const { services } = this.#tables
    const { flags } = spec
    const bits =
      SVC_F_HASHED |
      (spec.persistentTimeout > 0 ? SVC_F_PERSISTENT : 0) |
      (flags.onePacket ? SVC_F_ONEPACKET : 0) |
      (flags.sched1 ? SVC_F_SCHED1 : 0) |
      (flags.sched2 ? SVC_F_SCHED2 : 0) |
      (flags.sched3 ? SVC_F_SCHED3 : 0)
    services.view.setUint16(services.at(index, at.service.flags), bits, true)
    services.setU32(index, at.service.fwmark, spec.key.kind === 'fwmark' ? spec.key.fwmark : 0)
    services.setU32(index, at.service.timeout, spec.persistentTimeout)
    const mask = services.slice(index, at.service.netmask, 4)
    if (spec.key.family === 4) mask.set(addressBytes(spec.netmask))
    else services.setU32(index, at.service.netmask, Number(spec.netmask))
    writeText(services.slice(index, at.service.schedName, 16), spec.scheduler)
    writeText(services.slice(index, at.service.peName, 16), spec.pe)
    services.setU8(index, at.service.sched, SCHED_IDS[spec.scheduler] ?? 0)
  }

  #service(index: number): Service {
    const { services } = this.#tables
    const key = decodeKey(services.slice(index, at.service.key, at.serviceKey.size))
    const flags = services.view.getUint16(services.at(index, at.service.flags), true)
    const refs = this.#refsOf(services.u32(index, at.service.set))
    const dests: Dest[] = []
    for (let r = 0; r < refs.length; r += 2) dests.push(this.#dest(refs[r]!))
    return {
      key,
      scheduler: this.#schedulerName(index),
      flags: {
        onePacket: (flags & SVC_F_ONEPACKET) !== 0,
        sched1: (flags & SVC_F_SCHED1) !== 0,
        sched2: (flags & SVC_F_SCHED2) !== 0,
        sched3: (flags & SVC_F_SCHED3) !== 0,
      },
      persistentTimeout: flags & SVC_F_PERSISTENT ? services.u32(index, at.service.timeout) : 0,
      netmask:
        key.family === 4
          ? formatAddress(services.slice(index, at.service.netmask, 4))
          : String(services.u32(index, at.service.netmask)),
      pe: readText(services.slice(index, at.service.peName, 16)),
      stats: statsOf(this.#serviceSum(index), readSum(services, index, at.service.zero)),
      dests,
    }
  }

  #schedulerName(index: number): string {
    return readText(this.#tables.services.slice(index, at.service.schedName, 16))
  }

  #schedulerAt(index: number) {
    return schedulerOf(schedulerNameOf(this.#tables.services.u8(index, at.service.sched)))
  }

  #removeService(index: number): void {
    const { services, config } = this.#tables
    const key = services.slice(index, at.service.key, at.serviceKey.size).slice()
    const family = key[at.serviceKey.family] as Family
    const refs = this.#refsOf(services.u32(index, at.service.set)).slice()
    const { extents, freeServices, services: found } = this.#cached()
    this.#change(() => {
      const removed = add(readSum(config, 0, at.config.removed), this.#serviceSum(index))
      this.#journal(index, 0, removed)
      this.#tables.map('service_keys').delete(key)
      found.delete(keyOf(decodeKey(key)))
      for (let r = 0; r < refs.length; r += 2) this.#trash(refs[r]!)
      writeSum(config, 0, at.config.removed, removed)
      for (const set of [2 * index, 2 * index + 1]) {
        const extent = this.#extentOf(set)
        this.#clearSet(set)
        if (extent !== undefined) extents.give(extent)
      }
      services.setU8(index, at.service.state, SERVICE_FREE)
      freeServices.push(index)
      config.setU32(0, at.config.services, config.u32(0, at.config.services) - 1)
      config.setU32(0, at.config.dests, config.u32(0, at.config.dests) - refs.length / 2)
      if (!this.#hasFamily(family)) this.#clearFamily(family)
      if (config.u32(0, at.config.services) === 0) this.rebuildFilter()
    })
  }

  /** Makes the address filter from what there is, leaving out bits of what is gone. */
  rebuildFilter(): void {
    const { services, dests, config } = this.#tables
    const vips = new Uint32Array(FILTER_BITS / 32)
    const reals = new Uint32Array(FILTER_BITS / 32)
    const [nextVips, nextReals] = [new AddressFilter(vips), new AddressFilter(reals)]
    for (let i = 1; i < config.u32(0, at.config.serviceTop); i++) {
      if (services.u8(i, at.service.state) !== SERVICE_LIVE) continue
      const key = services.slice(i, at.service.key, at.serviceKey.size)
      if (key[at.serviceKey.protocol] !== 0) {
        nextVips.add(key.subarray(0, 16), key[at.serviceKey.family] as Family)
      }
    }
    for (let i = 1; i < config.u32(0, at.config.destTop); i++) {
      if (dests.u8(i, at.dest.state) === DEST_FREE || this.#isForgotten(i)) continue
      nextReals.add(dests.slice(i, at.dest.addr, 16), dests.u8(i, at.dest.family) as Family)
      // Connections of a removed dest still come from clients to its service.
      const key = dests.slice(i, at.dest.serviceKey, at.serviceKey.size)
      nextVips.add(key.subarray(0, 16), key[at.serviceKey.family] as Family)
    }
    this.#vips.replace(vips)
    this.#reals.replace(reals)
  }

  #setFamily(family: Family): void {
    const { config } = this.#tables
    config.setU32(0, at.config.families, config.u32(0, at.config.families) | familyBit(family))
  }

  #clearFamily(family: Family): void {
    const { config } = this.#tables
    config.setU32(0, at.config.families, config.u32(0, at.config.families) & ~familyBit(family))
  }

  #hasFamily(family: Family): boolean {
    const { services, config } = this.#tables
    for (let i = 1; i < config.u32(0, at.config.serviceTop); i++) {
      if (services.u8(i, at.service.state) !== SERVICE_LIVE) continue
      if (services.u8(i, at.service.key + at.serviceKey.family) === family) return true
    }
    return false
  }

  /** What `-e` replaces, for a new dest as well. */
  #writeDest(index: number, spec: DestSpec): void {
    const { dests } = this.#tables
    const before = {
      upperThreshold: dests.u32(index, at.dest.upper),
      lowerThreshold: dests.u32(index, at.dest.lower),
    }
    dests.setU8(index, at.dest.fwd, FWD_METHODS.indexOf(spec.fwd))
    dests.setU8(index, at.dest.tunType, TUN_TYPES.indexOf(spec.tunType))
    dests.view.setUint16(dests.at(index, at.dest.tunFlags), TUN_FLAGS.indexOf(spec.tunFlags), true)
    dests.view.setUint16(dests.at(index, at.dest.tunPort), spec.tunPort)
    dests.setU32(index, at.dest.weight, spec.weight)
    dests.setU32(index, at.dest.upper, spec.upperThreshold)
    dests.setU32(index, at.dest.lower, spec.lowerThreshold)
    const overloaded = dests.u8(index, at.dest.overload) !== 0
    const total = dests.u32(index, at.dest.total)
    dests.setU8(index, at.dest.overload, overloadedAfterEdit(overloaded, total, before, spec) ? 1 : 0)
    this.#writeRoute(index, spec.address)
  }

  #writeRoute(index: number, address: string): void {
    const { dests } = this.#tables
    const source = this.#around.sourceFor(address)
    dests.slice(index, at.dest.tunSource, 16).set(source === null ? NO_ADDRESS : addressBytes16(source))
    dests.setU8(index, at.dest.flags, source === address ? DEST_F_LOCAL : 0)
    // The cached next hop may be for the old method or route.
    dests.setU32(index, at.dest.hop, 0)
  }

  #dest(index: number): Dest {
    const { dests } = this.#tables
    const active = dests.u32(index, at.dest.active)
    const offset = dests.at(index)
    return {
      address: this.#addressOf(index),
      family: dests.u8(index, at.dest.family) as Family,
      port: dests.view.getUint16(offset + at.dest.port),
      fwd: FWD_METHODS[dests.u8(index, at.dest.fwd)] ?? 'masq',
      weight: dests.u32(index, at.dest.weight),
      upperThreshold: dests.u32(index, at.dest.upper),
      lowerThreshold: dests.u32(index, at.dest.lower),
      tunType: TUN_TYPES[dests.u8(index, at.dest.tunType)] ?? 'ipip',
      tunPort: dests.view.getUint16(offset + at.dest.tunPort),
      tunFlags: TUN_FLAGS[dests.view.getUint16(offset + at.dest.tunFlags, true)] ?? 'nocsum',
      activeConns: active,
      inactiveConns: Math.max(dests.u32(index, at.dest.total) - active, 0),
      persistentConns: dests.u32(index, at.dest.persistent),
      overloaded: dests.u8(index, at.dest.overload) !== 0,
      stats: statsOf(this.#sums.of(index), readSum(dests, index, at.dest.zero)),
    }
  }

  #addressOf(index: number): string {
    const { dests } = this.#tables
    return formatAddress(dests.slice(index, at.dest.addr, dests.u8(index, at.dest.family) === 4 ? 4 : 16))
  }

  /** The position of a dest in its service's list, or -1. */
  #placeOf(service: number, { address, family, port }: DestKey): number {
    const { services, dests } = this.#tables
    const wanted = new Uint32Array(addressBytes16(address).buffer, 0, 4)
    const refs = this.#refsOf(services.u32(service, at.service.set))
    for (let r = 0; r < refs.length; r += 2) {
      const offset = dests.at(refs[r]!)
      const word = (offset + at.dest.addr) >>> 2
      if (
        dests.words[word] === wanted[0] &&
        dests.words[word + 1] === wanted[1] &&
        dests.words[word + 2] === wanted[2] &&
        dests.words[word + 3] === wanted[3] &&
        dests.view.getUint16(offset + at.dest.port) === port &&
        dests.bytes[offset + at.dest.family] === family
      ) {
        return r / 2
      }
    }
    return -1
  }

  // -- the trash ----------------------------------------------------------------

  #trash(index: number): void {
    const { dests } = this.#tables
    dests.setU32(index, at.dest.removedAt, this.#around.seconds())
    dests.setU8(index, at.dest.state, DEST_TRASH)
    this.#caches?.trash.set(this.#trashKeyOf(index), index)
  }

  #trashKeyOf(index: number): string {
    const { dests } = this.#tables
    return trashKey(
      dests.slice(index, at.dest.addr, 16),
      dests.view.getUint16(dests.at(index, at.dest.port)),
      dests.u8(index, at.dest.family),
      dests.slice(index, at.dest.serviceKey, at.serviceKey.size),
    )
  }

  /** Nobody refers to it and its time is over: it cannot come back. */
  #isForgotten(index: number): boolean {
    const { dests } = this.#tables
    if (dests.u8(index, at.dest.state) !== DEST_TRASH) return false
    const age = this.#around.seconds() - dests.u32(index, at.dest.removedAt)
    return (
      age >= TRASH_SECONDS &&
      dests.u32(index, at.dest.total) === 0 &&
      dests.u32(index, at.dest.persistent) === 0
    )
  }

  /** A removed dest of the same identity that may come back (ip_vs_trash_get_dest). */
  #trashed(service: number, { address, family, port }: DestKey): number | undefined {
    const { services, dests } = this.#tables
    const { trash } = this.#cached()
    if (trash.size === 0) return undefined
    const key = services.slice(service, at.service.key, at.serviceKey.size)
    const index = trash.get(trashKey(addressBytes16(address), port, family, key))
    return index === undefined || dests.u8(index, at.dest.state) !== DEST_TRASH || this.#isForgotten(index)
      ? undefined
      : index
  }

  /** An index for a new dest: one never used while there are any, then a forgotten one. */
  #takeDest(top: number): number {
    const { dests } = this.#tables
    if (top < dests.length) return top
    const { freeDests, trash } = this.#cached()
    if (freeDests.length === 0) {
      for (let i = dests.length - 1; i > 0; i--) {
        if (dests.u8(i, at.dest.state) === DEST_FREE || this.#isForgotten(i)) freeDests.push(i)
      }
    }
    const index = freeDests.pop()
    if (index === undefined) throw tableFull('dest', dests.length - 1, '--dests')
    const key = this.#trashKeyOf(index)
    if (trash.get(key) === index) trash.delete(key)
    return index
  }

  // -- dest sets ----------------------------------------------------------------

  /** The entries of a set, in place: dest, weight, dest, weight, ... */
  #refsOf(set: number): Uint32Array {
    const { sets, refs } = this.#tables
    const start = sets.u32(set, at.destSet.start) * 2
    return refs.words.subarray(start, start + sets.u32(set, at.destSet.len) * 2)
  }

  #extentOf(set: number): Extent | undefined {
    const { sets } = this.#tables
    const capacity = sets.u32(set, at.destSet.capacity)
    return capacity === 0 ? undefined : { start: sets.u32(set, at.destSet.start), capacity }
  }

  /** Room in the set that is not in force. */
  #planSet(service: number, count: number): SetPlan {
    const { services, refs } = this.#tables
    const set = services.u32(service, at.service.set) ^ 1
    const had = this.#extentOf(set)
    if (count === 0) return { set, extent: had ?? { start: 0, capacity: 0 }, outgrown: undefined }
    // One size too large is kept, so that a list that goes up and down does not move.
    const enough = extentSize(count)
    if (had !== undefined && had.capacity >= enough && had.capacity <= enough * 4) {
      return { set, extent: had, outgrown: undefined }
    }
    const extent = this.#cached().extents.take(count)
    if (extent === undefined) throw tableFull('dest list', refs.length, '--dests')
    return { set, extent, outgrown: had }
  }

  /** Gives back what a plan took, when the change does not happen. */
  #unplan(plan: SetPlan): void {
    const had = this.#extentOf(plan.set)
    if (plan.extent.capacity !== 0 && had?.start !== plan.extent.start)
      this.#cached().extents.give(plan.extent)
  }

  #writeSet(plan: SetPlan, list: Uint32Array, state: SchedState): void {
    const { sets, refs } = this.#tables
    const { set, extent } = plan
    const version = sets.u32(set, at.destSet.version) | 1
    storeU32(sets.bytes, sets.at(set, at.destSet.version), version)
    sets.setU32(set, at.destSet.capacity, 0)
    sets.setU32(set, at.destSet.len, 0)
    sets.setU32(set, at.destSet.start, extent.start)
    sets.setU32(set, at.destSet.capacity, extent.capacity)
    refs.words.set(list, extent.start * 2)
    // Kept with every scheduler: the step and the highest mark belong to the list.
    const { di, mw } = marksOf(list)
    sets.setU32(set, at.destSet.gcd, di)
    sets.setU32(set, at.destSet.maxWeight, mw)
    sets.setU64(set, at.destSet.state, packState(state))
    sets.setU32(set, at.destSet.len, list.length / 2)
    storeU32(sets.bytes, sets.at(set, at.destSet.version), version + 1)
  }

  #clearSet(set: number): void {
    const { sets } = this.#tables
    const version = sets.u32(set, at.destSet.version) | 1
    storeU32(sets.bytes, sets.at(set, at.destSet.version), version)
    for (const field of [
      at.destSet.len,
      at.destSet.capacity,
      at.destSet.start,
      at.destSet.gcd,
      at.destSet.maxWeight,
    ]) {
      sets.setU32(set, field, 0)
    }
    sets.setU64(set, at.destSet.state, 0n)
    storeU32(sets.bytes, sets.at(set, at.destSet.version), version + 1)
  }

  /** What the scheduler in the kernel remembers right now. */
  #stateOf(service: number): SchedState {
    const { services, sets } = this.#tables
    const set = services.u32(service, at.service.set)
    const low = sets.u32(set, at.destSet.state)
    const high = sets.u32(set, at.destSet.state + 4)
    switch (services.u8(service, at.service.sched)) {
      case SCHED_RR:
        return { pos: low }
      case SCHED_WRR:
        return {
          cl: low,
          cw: high,
          mw: sets.u32(set, at.destSet.maxWeight),
          di: sets.u32(set, at.destSet.gcd),
        }
      default:
        return {}
    }
  }

  // -- caches -------------------------------------------------------------------

  #cached(): Caches {
    if (this.#caches !== undefined) return this.#caches
    const { services, dests, config, refs } = this.#tables
    const freeServices: number[] = []
    const taken: Extent[] = []
    for (let i = config.u32(0, at.config.serviceTop) - 1; i > 0; i--) {
      if (services.u8(i, at.service.state) !== SERVICE_LIVE) freeServices.push(i)
      else {
        for (const set of [2 * i, 2 * i + 1]) {
          const extent = this.#extentOf(set)
          if (extent !== undefined) taken.push(extent)
        }
      }
    }
    const trash = new Map<string, number>()
    const destTop = config.u32(0, at.config.destTop)
    // As many live dests as indexes in use: nothing was ever removed.
    if (destTop - 1 > config.u32(0, at.config.dests)) {
      for (let i = 1; i < destTop; i++) {
        if (dests.u8(i, at.dest.state) !== DEST_TRASH) continue
        const key = this.#trashKeyOf(i)
        const other = trash.get(key)
        const later =
          other === undefined || dests.u32(other, at.dest.removedAt) <= dests.u32(i, at.dest.removedAt)
        if (later) trash.set(key, i)
      }
    }
    this.#caches = {
      services: new Map(),
      freeServices,
      trash,
      freeDests: [],
      extents: new ExtentAllocator(refs.length, taken),
    }
    return this.#caches
  }
}

function schedulerOf(name: string) {
  const scheduler = findScheduler(name)
  // checkService let only known ones in.
  if (scheduler === undefined) throw new Failure('SCHEDULER_NOT_FOUND', `there is no scheduler '${name}'`)
  return scheduler
}

function packState(state: SchedState): bigint {
  if ('pos' in state) return BigInt((state as { readonly pos: number }).pos)
  if ('cw' in state) {
    const { cw, cl } = state as WrrState
    return (BigInt(cw) << 32n) | BigInt(cl)
  }
  return 0n
}

/** The list as schedulers see it. */
function weightsOf(refs: Uint32Array): Weighted[] {
  const list: Weighted[] = []
  for (let r = 1; r < refs.length; r += 2) list.push({ weight: refs[r]! })
  return list
}

/** wrr's step and highest mark, by wrr's own rule. */
function marksOf(refs: Uint32Array): { readonly di: number; readonly mw: number } {
  return findScheduler('wrr')!.initial(weightsOf(refs)) as WrrState
}

function familyBit(family: Family): number {
  return family === 4 ? 1 : 2
}

function tableFull(what: string, size: number, option: string): Failure {
  return new Failure('TABLE_FULL', `the ${what} table holds ${size} entries and is full`, {
    errno: 'ENOMEM',
    hint: `make it larger: xlvs down, then xlvs up ${option} N (this ends all connections)`,
  })
}

/** struct service_key. */
export function encodeKey(key: ServiceKey): Uint8Array {
  const bytes = new Uint8Array(at.serviceKey.size)
  const view = new DataView(bytes.buffer)
  if (key.kind === 'fwmark') view.setUint32(at.serviceKey.addr, key.fwmark, true)
  else {
    bytes.set(addressBytes(key.address), at.serviceKey.addr)
    view.setUint16(at.serviceKey.port, key.port)
    bytes[at.serviceKey.protocol] = PROTOCOL_NUMBERS[key.protocol]
  }
  bytes[at.serviceKey.family] = key.family
  return bytes
}

export function decodeKey(bytes: Uint8Array): ServiceKey {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const family = bytes[at.serviceKey.family] as Family
  const number = bytes[at.serviceKey.protocol]!
  if (number === 0) return { kind: 'fwmark', fwmark: view.getUint32(at.serviceKey.addr, true), family }
  return {
    kind: 'address',
    protocol: PROTOCOLS.find((name) => PROTOCOL_NUMBERS[name] === number) ?? 'tcp',
    address: formatAddress(bytes.subarray(at.serviceKey.addr, at.serviceKey.addr + (family === 4 ? 4 : 16))),
    family,
    port: view.getUint16(at.serviceKey.port),
  }
}

/** What two dests must share to be the same one: address, port, family, service. */
function trashKey(addr: Uint8Array, port: number, family: number, service: Uint8Array): string {
  const key = TRASH_KEY
  key.set(addr)
  key[16] = port >>> 8
  key[17] = port & 0xff
  key[18] = family
  key.set(service, 19)
  return key.toString('latin1')
}

const TRASH_KEY = Buffer.alloc(19 + at.serviceKey.size)

/** An address in the 16 bytes of the ABI. Not to be changed: the same few come again and again. */
function addressBytes16(text: string): Uint8Array {
  let bytes = recentAddresses.get(text)
  if (bytes === undefined) {
    bytes = new Uint8Array(16)
    bytes.set(addressBytes(text))
    if (recentAddresses.size >= 1024) recentAddresses.clear()
    recentAddresses.set(text, bytes)
  }
  return bytes
}

const NO_ADDRESS = new Uint8Array(16)
const recentAddresses = new Map<string, Uint8Array>()

function writeText(into: Uint8Array, text: string): void {
  into.fill(0)
  // The last byte stays 0.
  into.set(Buffer.from(text, 'utf8').subarray(0, into.length - 1))
}

function readText(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return Buffer.from(bytes.subarray(0, end < 0 ? bytes.length : end)).toString('utf8')
}
