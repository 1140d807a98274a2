// SPDX-License-Identifier: MIT
/**
 * The model: kernel IPVS on tuples, in plain objects and with a clock of its own.
 *
 * No packets, no concurrency, no limits; only what the rules say. Tests run the front
 * end on it, replay recordings of the real kernel on it, and hold the eBPF data plane
 * against it.
 *
 * @example
 * const datapath = new MemoryDatapath()
 * datapath.addService(service)
 * datapath.addDest(service.key, dest)
 * const { verdict, dest } = datapath.deliver({ family: 4, protocol: 'tcp', source, destination, flags: { syn: true } })
 * datapath.advance(60_000)
 */
import type { Conn, Endpoint } from '../../ipvs/conn.js'
import {
  checkDest,
  destKeyOf,
  destNotFound,
  overloadedAfterBind,
  overloadedAfterEdit,
  overloadedAfterUnbind,
  type DestKey,
  type DestSpec,
} from '../../ipvs/dest.js'
import { changeTimeouts, DEFAULT_TIMEOUTS } from '../../ipvs/proto/timeouts.js'
import {
  isActive,
  nextTcpState,
  TCP_TIMEOUTS_S,
  tcpEvent,
  type TcpDirection,
  type TcpFlags,
} from '../../ipvs/proto/tcp.js'
import { UDP_STATE } from '../../ipvs/proto/udp.js'
import { findScheduler, type SchedState, type Scheduler } from '../../ipvs/sched.js'
import {
  checkService,
  keyOf,
  PROTOCOL_NUMBERS,
  serviceNotFound,
  type Service,
  type ServiceKey,
  type ServiceSpec,
} from '../../ipvs/service.js'
import type { Counters, Stats } from '../../ipvs/stats.js'
import { requireSupportedDest, requireSupportedService } from '../../ipvs/supported.js'
import type { Datapath, Timeouts } from '../datapath.js'
import { ConnTable, type ConnObject, type Tuple } from './conns.js'
import {
  candidate,
  Meter,
  newDest,
  showService,
  trashKey,
  type DestObject,
  type ServiceObject,
} from './objects.js'

/** Those of net.ipv4.vs that decide something here, with the kernel's defaults. */
export interface Sysctls {
  readonly connReuseMode: number
  readonly expireNodestConn: boolean
  /** Any TCP packet but a reset opens a connection. */
  readonly sloppyTcp: boolean
  /** The other TCP tables. */
  readonly secureTcp: boolean
}

const DEFAULT_SYSCTLS: Sysctls = {
  connReuseMode: 1,
  expireNodestConn: false,
  sloppyTcp: false,
  secureTcp: false,
}

export interface MemoryOptions extends Partial<Sysctls> {
  /** The director's own addresses. */
  readonly isLocal?: (address: string) => boolean
  readonly isBroadcast?: (address: string) => boolean
  /**
   * Takes what is not built yet, too. Nothing honours it: for tests of what only passes
   * through, as listings. Services get `scheduler` then, or one that never chooses.
   */
  readonly acceptUnsupported?: boolean
  readonly scheduler?: (name: string) => Scheduler<SchedState> | undefined
}

export interface Packet extends Tuple {
  /** TCP only. */
  readonly flags?: TcpFlags
  /** Length from the IP header on; 40 unless given. */
  readonly bytes?: number
}

/** What becomes of a packet. */
export interface Delivery {
  /**
   * `forward`: sent to the dest, or back to the client; `accept`: not for IPVS, left to
   * the stack; `drop`; `unreachable`: dropped and answered with ICMP port unreachable.
   */
  readonly verdict: 'forward' | 'accept' | 'drop' | 'unreachable'
  readonly direction?: 'in' | 'out'
  /** Who serves the connection. */
  readonly dest?: Endpoint
}

const ACCEPT: Delivery = { verdict: 'accept' }

/** A new connection that nothing has been seen of. */
const NEW_CONN_S = 3
const FTP = 21
const FTP_DATA = 20
/** net.ipv4.ip_unprivileged_port_start */
const UNPRIVILEGED = 1024
/** IP_VS_DEST_TRASH_PERIOD */
const TRASH_PERIOD_MS = 120_000

export class MemoryDatapath implements Datapath {
  readonly #options: MemoryOptions
  readonly #services = new Map<string, ServiceObject>()
  readonly #conns = new ConnTable()
  readonly #trash: DestObject[] = []
  readonly #totals = new Meter()
  #timeouts: Timeouts = DEFAULT_TIMEOUTS
  #sysctls: Sysctls
  #nowMs = 0
  #nextSweepMs = 0

  constructor(options: MemoryOptions = {}) {
    this.#options = options
    this.#sysctls = { ...DEFAULT_SYSCTLS, ...options }
  }

  setSysctls(changes: Partial<Sysctls>): void {
    this.#sysctls = { ...this.#sysctls, ...changes }
  }

  addService(spec: ServiceSpec): void {
    checkService(spec, 'add', this.#services.has(keyOf(spec.key)), this.#supportedService)
    const scheduler = this.#scheduler(spec.scheduler)
    this.#services.set(keyOf(spec.key), {
      spec,
      scheduler,
      state: scheduler.initial([]),
      dests: [],
      meter: new Meter(),
    })
  }

  editService(spec: ServiceSpec): void {
    const service = this.#services.get(keyOf(spec.key))
    checkService(spec, 'edit', service !== undefined, this.#supportedService)
    // Only a change of scheduler starts it anew; otherwise it remembers.
    if (service!.spec.scheduler !== spec.scheduler) {
      service!.scheduler = this.#scheduler(spec.scheduler)
      service!.state = service!.scheduler.initial(service!.dests.map(candidate))
    }
    service!.spec = spec
  }

  deleteService(key: ServiceKey): void {
    const service = this.#require(key)
    this.#services.delete(keyOf(key))
    for (const dest of service.dests) this.#discard(dest)
    service.dests = []
  }

  flush(): void {
    for (const { spec } of [...this.#services.values()]) this.deleteService(spec.key)
  }

  addDest(key: ServiceKey, spec: DestSpec): void {
    const service = this.#services.get(keyOf(key))
    const inTrash = this.#trash.find(
      (dest) => trashKey(dest.service.spec.key, dest.spec) === trashKey(key, spec),
    )
    checkDest(
      key,
      spec,
      'add',
      {
        serviceExists: service !== undefined,
        present: service !== undefined && findDest(service, spec) !== undefined,
        revived: inTrash !== undefined,
        isLocal: this.#options.isLocal,
        isBroadcast: this.#options.isBroadcast,
      },
      this.#supportedDest,
    )
    const dest = inTrash ?? newDest(service!, spec)
    if (inTrash !== undefined) this.#revive(inTrash, service!, spec)
    service!.dests = [dest, ...service!.dests]
    service!.state = service!.scheduler.afterAdd(service!.state, service!.dests.map(candidate), 0)
  }

  editDest(key: ServiceKey, spec: DestSpec): void {
    const service = this.#services.get(keyOf(key))
    const dest = service && findDest(service, spec)
    const context = { serviceExists: service !== undefined, present: dest !== undefined }
    checkDest(key, spec, 'edit', context, this.#supportedDest)
    setSpec(dest!, spec)
    const { scheduler, dests, state } = service!
    service!.state = scheduler.afterEdit(state, dests.map(candidate), dests.indexOf(dest!))
  }

  deleteDest(key: ServiceKey, destKey: DestKey): void {
    const service = this.#require(key)
    const dest = findDest(service, destKey)
    if (dest === undefined) throw destNotFound(key, destKey)
    const index = service.dests.indexOf(dest)
    service.dests = service.dests.filter((other) => other !== dest)
    service.state = service.scheduler.afterDelete(service.state, service.dests.map(candidate), index)
    this.#discard(dest)
  }

  services(): Service[] {
    return [...this.#services.values()].map(showService)
  }

  service(key: ServiceKey): Service | undefined {
    const service = this.#services.get(keyOf(key))
    return service && showService(service)
  }

  totals(): Stats {
    return this.#totals.shown
  }

  zero(key?: ServiceKey): void {
    const services = key === undefined ? [...this.#services.values()] : [this.#require(key)]
    for (const { meter, dests } of services) {
      meter.zero()
      for (const dest of dests) dest.meter.zero()
    }
    if (key === undefined) this.#totals.zero()
  }

  timeouts(): Timeouts {
    return this.#timeouts
  }

  setTimeouts(timeouts: Timeouts): void {
    this.#timeouts = changeTimeouts(this.#timeouts, timeouts)
  }

  *connections(): Iterable<Conn> {
    for (const conn of this.#conns) yield this.#showConn(conn)
  }

  locked<T>(change: () => T): T {
    return change()
  }

  [Symbol.dispose](): void {
    // Nothing is held.
  }

  /** Lets time pass: connections expire, the trash is swept. */
  advance(ms: number): void {
    const target = this.#nowMs + ms
    while (this.#trash.length > 0 && this.#nextSweepMs <= target) {
      this.#expireUntil(this.#nextSweepMs)
      this.#sweepTrash()
    }
    this.#expireUntil(target)
  }

  /**
   * A packet arrives at the director. Whether it is a request or a reply is found out as
   * the hooks do: replies are looked for first.
   */
  deliver(packet: Packet): Delivery {
    // Without any service of the family nothing listens, not even for its connections.
    if (![...this.#services.values()].some(({ spec }) => spec.key.family === packet.family)) return ACCEPT

    const reply = this.#conns.findOut(packet)
    if (reply !== undefined) {
      this.#count(reply, { outPackets: 1n, outBytes: BigInt(packet.bytes ?? 40) })
      this.#step(reply, packet, 'output')
      return { verdict: 'forward', direction: 'out', dest: reply.real }
    }

    let conn = this.#conns.findIn(packet)
    if (conn !== undefined && packet.protocol === 'tcp' && packet.flags?.syn === true) {
      if (this.#mustReschedule(conn)) conn = this.#expire(conn)
    }
    if (conn !== undefined && !conn.dest.available) {
      if (!this.#sysctls.expireNodestConn) return { verdict: 'drop', direction: 'in' }
      conn = this.#expire(conn)
    }
    if (conn === undefined) {
      const scheduled = this.#schedule(packet)
      if ('verdict' in scheduled) return scheduled
      conn = scheduled
    }
    this.#count(conn, { inPackets: 1n, inBytes: BigInt(packet.bytes ?? 40) })
    this.#step(conn, packet, 'input')
    conn.inPackets++
    return { verdict: 'forward', direction: 'in', dest: conn.real }
  }

  // -- services and dests ------------------------------------------------------

  #require(key: ServiceKey): ServiceObject {
    const service = this.#services.get(keyOf(key))
    if (service === undefined) throw serviceNotFound(key)
    return service
  }

  readonly #supportedService = (spec: ServiceSpec): void => {
    if (this.#options.acceptUnsupported !== true) requireSupportedService(spec)
  }

  readonly #supportedDest = (spec: DestSpec): void => {
    if (this.#options.acceptUnsupported !== true) requireSupportedDest(spec)
  }

  #scheduler(name: string): Scheduler<SchedState> {
    return this.#options.scheduler?.(name) ?? findScheduler(name) ?? findScheduler('none')!
  }

  /** A removed dest waits in the trash for its connections, or to be added again. */
  #discard(dest: DestObject): void {
    dest.available = false
    dest.idleSinceMs = undefined
    if (this.#trash.length === 0) this.#nextSweepMs = this.#nowMs + TRASH_PERIOD_MS / 2
    this.#trash.push(dest)
    if (!this.#sysctls.expireNodestConn) return
    for (const conn of [...this.#conns]) if (conn.dest === dest) this.#expire(conn)
  }

  #revive(dest: DestObject, service: ServiceObject, spec: DestSpec): void {
    this.#trash.splice(this.#trash.indexOf(dest), 1)
    dest.available = true
    // Counters go on; what is shown starts anew when the service is another one.
    if (dest.service !== service) dest.meter.zero()
    dest.service = service
    setSpec(dest, spec)
  }

  /** A dest that nothing refers to goes when a later sweep still finds it so. */
  #sweepTrash(): void {
    const used = new Set([...this.#conns].map(({ dest }) => dest))
    for (const dest of [...this.#trash]) {
      if (used.has(dest)) continue
      if (dest.idleSinceMs === undefined) dest.idleSinceMs = this.#nowMs
      else if (this.#nowMs >= dest.idleSinceMs + TRASH_PERIOD_MS) {
        this.#trash.splice(this.#trash.indexOf(dest), 1)
      }
    }
    this.#nextSweepMs = this.#nowMs + TRASH_PERIOD_MS / 2
  }

  // -- packets -----------------------------------------------------------------

  /** Whether an opening packet on a connection that exists starts a new one. */
  #mustReschedule(conn: ConnObject): boolean {
    const { connReuseMode: mode, expireNodestConn } = this.#sysctls
    if (expireNodestConn && conn.dest.spec.weight === 0) return true
    if (mode === 0) return false
    if (conn.state === 'TIME_WAIT' || conn.state === 'CLOSE') return true
    return (mode & 2) !== 0 && conn.state === 'FIN_WAIT' && conn.noOutput
  }

  #schedule(packet: Packet): ConnObject | Delivery {
    const { family, protocol, source, destination, flags = {} } = packet
    if (protocol === 'tcp' && (flags.rst === true || !(flags.syn === true || this.#sysctls.sloppyTcp))) {
      return ACCEPT
    }
    const service = this.#findService(packet)
    if (service === undefined || source.port === FTP_DATA) return ACCEPT

    const dest = this.#choose(service, destination.port)
    if (dest === undefined) {
      const { key } = service.spec
      const ftpData = key.kind === 'address' && key.port === FTP && destination.port !== FTP
      return ftpData ? ACCEPT : { verdict: 'unreachable', direction: 'in' }
    }
    const { spec } = dest
    const conn: ConnObject = {
      family,
      protocol,
      client: source,
      virtual: destination,
      real: { address: spec.address, port: spec.port === 0 ? destination.port : spec.port },
      fwd: spec.fwd,
      dest,
      state: 'NONE',
      active: false,
      noOutput: spec.fwd !== 'masq',
      inPackets: 0,
      timeoutS: NEW_CONN_S,
      expiresAtMs: this.#nowMs + NEW_CONN_S * 1000,
    }
    this.#conns.add(conn)
    dest.total++
    dest.overloaded = overloadedAfterBind(dest.overloaded, dest.total, spec)
    this.#count(conn, { conns: 1n })
    return conn
  }

  /** Exact, then FTP's for its data ports, then the one for all ports. */
  #findService({ family, protocol, destination: { address, port } }: Packet): ServiceObject | undefined {
    const at = (atPort: number): ServiceObject | undefined =>
      this.#services.get(keyOf({ kind: 'address', family, protocol, address, port: atPort }))
    const exact = at(port)
    if (exact !== undefined) return exact
    const ftpData = protocol === 'tcp' && (port === FTP_DATA || port >= UNPRIVILEGED)
    return (ftpData ? at(FTP) : undefined) ?? at(0)
  }

  #choose(service: ServiceObject, port: number): DestObject | undefined {
    const { key } = service.spec
    // Without persistence nothing says which server has this port of the client.
    if (key.kind === 'address' && key.port !== port) return undefined
    const choice = service.scheduler.pick(service.state, service.dests.map(candidate))
    service.state = choice.state
    return choice.index === undefined ? undefined : service.dests[choice.index]
  }

  /** A removed dest is not counted any more, and neither is what it serves. */
  #count({ dest }: ConnObject, counters: Partial<Counters>): void {
    if (!dest.available) return
    for (const meter of [dest.meter, dest.service.meter, this.#totals]) meter.add(counters)
  }

  /** Moves the state on and winds the clock up again. */
  #step(conn: ConnObject, { flags = {} }: Packet, direction: 'input' | 'output'): void {
    if (conn.protocol === 'tcp') {
      let table: TcpDirection = direction
      if (conn.noOutput) {
        if (direction === 'output') conn.noOutput = false
        else table = 'inputOnly'
      }
      conn.state = nextTcpState(conn.state, tcpEvent(flags), table, this.#sysctls.secureTcp)
      this.#setActive(conn, isActive(conn.state))
    }
    conn.timeoutS = this.#timeoutOf(conn)
    conn.expiresAtMs = this.#nowMs + conn.timeoutS * 1000
  }

  #setActive(conn: ConnObject, active: boolean): void {
    if (conn.active !== active) conn.dest.active += active ? 1 : -1
    conn.active = active
  }

  #timeoutOf({ protocol, state }: ConnObject): number {
    if (protocol === 'udp') return this.#timeouts.udp
    if (state === 'ESTABLISHED') return this.#timeouts.tcp
    if (state === 'FIN_WAIT') return this.#timeouts.tcpFin
    return TCP_TIMEOUTS_S[state]
  }

  #expire(conn: ConnObject): undefined {
    this.#conns.remove(conn)
    const { dest } = conn
    this.#setActive(conn, false)
    dest.total--
    dest.overloaded = overloadedAfterUnbind(dest.overloaded, dest.total, dest.spec)
  }

  #expireUntil(targetMs: number): void {
    const due = [...this.#conns].filter(({ expiresAtMs }) => expiresAtMs <= targetMs)
    for (const conn of due.sort((a, b) => a.expiresAtMs - b.expiresAtMs)) this.#expire(conn)
    this.#nowMs = targetMs
  }

  #showConn(conn: ConnObject): Conn {
    const { family, protocol, client, virtual, real, fwd, active, inPackets, dest } = conn
    return {
      family,
      protocol: PROTOCOL_NUMBERS[protocol],
      client,
      virtual,
      dest: real,
      destFamily: dest.spec.family,
      fwd,
      state: protocol === 'udp' ? UDP_STATE : conn.state,
      expiresMs: conn.expiresAtMs - this.#nowMs,
      active,
      inPackets,
      fwmark: 0,
      template: false,
    }
  }
}

function findDest(service: ServiceObject, key: DestKey): DestObject | undefined {
  return service.dests.find(({ spec }) => destKeyOf(spec) === destKeyOf(key))
}

function setSpec(dest: DestObject, spec: DestSpec): void {
  dest.overloaded = overloadedAfterEdit(dest.overloaded, dest.total, dest.spec, spec)
  dest.spec = spec
}
