// SPDX-License-Identifier: MIT
/**
 * Loading, attaching, upgrading and removing the data plane of one namespace.
 *
 * The first load makes the maps and pins them; every later one is an upgrade: new
 * programs on the maps there are, put into the links there are. A map is whole when
 * `config` carries the fingerprint, which is written last; what a killed loader left
 * without one is swept away by the next. Callers hold the namespace's lock.
 */
import { randomInt } from 'node:crypto'
import {
  ABI_FINGERPRINT_U64,
  DEVICE_F_ACCEPT_LOCAL,
  DEVICE_F_ATTACHED,
  DEVICE_F_XDP_TX,
  HOOK_TC_INGRESS,
  HOOK_XDP,
  MAX_DEVICES,
  PROTO_TCP,
  PROTO_UDP,
  XDP_ATTACHED_GENERIC,
  XDP_ATTACHED_NATIVE,
  XDP_MODE_AUTO,
  XDP_MODE_GENERIC,
  XDP_MODE_NATIVE,
  XDP_MODE_OFF,
  XDP_WHY_OFF,
  XDP_WHY_REFUSED,
  XDP_WHY_TAKEN,
  XDP_WHY_VIRTUAL,
} from '../../abi/generated.js'
import { TCP_STATES } from '../../ipvs/conn.js'
import { TCP_TIMEOUTS_S } from '../../ipvs/proto/tcp.js'
import { UDP_TIMEOUT_S } from '../../ipvs/proto/udp.js'
import type { BpfProgram } from '../../libbpf/index.js'
import {
  BpfError,
  BpfLink,
  BpfMap,
  BpfObject,
  FEATURES,
  hasFeature,
  isLoopback,
  isUp,
  kernel,
  listInterfaces,
  queryXdp,
  getSysctl,
  setSysctl,
  storeU64,
  TcFilter,
  type Interface,
} from '../../libbpf/index.js'
import { Failure } from '../../util/errors.js'
import { packageFile } from '../../util/package.js'
import { readClock, tickRate } from './clock.js'
import { macBytes } from './frame.js'
import type { Home } from './home.js'
import { at } from './layout.js'
import { bucketsFor, checkSizes, mapSizes, type Buckets, type Sizes } from './sizes.js'
import { Table, type Tables } from './tables.js'

export const XDP_MODES = ['auto', 'native', 'generic', 'off'] as const
export type XdpChoice = (typeof XDP_MODES)[number]

const XDP_MODE_IDS: Readonly<Record<XdpChoice, number>> = {
  auto: XDP_MODE_AUTO,
  native: XDP_MODE_NATIVE,
  generic: XDP_MODE_GENERIC,
  off: XDP_MODE_OFF,
}

export interface UpOptions extends Partial<Sizes> {
  /** Names of devices; every Ethernet device that is up, when absent. */
  readonly devices?: readonly string[]
  /**
   * `auto`: in the driver of physical devices, off on virtual ones. `native` and
   * `generic`: on every device named, or nothing is changed. As last time when absent.
   */
  readonly xdp?: XdpChoice
  /** Makes the clock of connections adjustable; for tests. */
  readonly testClock?: boolean
  /** Which way into tc; `auto` unless the old way is to be tested. */
  readonly tc?: 'auto' | 'clsact'
}

/** What one device has of ours. */
export interface DeviceStatus {
  readonly name: string
  readonly ifindex: number
  readonly tc: 'tcx' | 'clsact' | null
  readonly xdp: 'native' | 'generic' | null
  /** Why not XDP, or why nothing at all. */
  readonly why: string | null
}

/** Maps that are an object's own: where it puts things together, and what it tells. */
const PRIVATE_MAPS = /^explanations$|_scratch$|_buffer$/

/** Marks our filters where tc has no links. */
const FILTER = { handle: 0x6c76, priority: 0xbff0 } as const

const ARPHRD_ETHER = 1
/** What these devices receive, their master sees: attaching to it is enough. */
const PORTS_OF: readonly string[] = ['bridge', 'bond', 'team', 'openvswitch']

const OBJECTS = {
  control: { file: 'control.o', programs: ['sweep_start', 'sweep_now'] },
  tc: { file: 'tc.o', programs: ['tc_ingress'] },
  xdp: { file: 'xdp.o', programs: ['xdp_in'] },
} as const

type ObjectName = keyof typeof OBJECTS

/** A device to attach to, and what to do about XDP there. */
interface Target {
  readonly device: Interface
  readonly xdp: 'native' | 'generic' | 'off'
  /** It was attached before and nothing was said about it. */
  readonly stays: boolean
}

export interface ObjectOptions {
  readonly buckets: Buckets
  readonly hashSeed: number
  readonly hz: number
  readonly testClock: boolean
  readonly dry?: boolean
}

export class Lifecycle {
  readonly #home: Home
  readonly #folder: string

  /** @param folder where the compiled objects are; those of the package when absent */
  constructor(home: Home, folder: string = packageFile('build', 'bpf')) {
    this.#home = home
    this.#folder = folder
  }

  /**
   * Loads, or replaces the programs of what is loaded, and attaches.
   *
   * @returns what it could not do, in sentences, for a person to read
   */
  up(options: UpOptions, tables: Tables | undefined): string[] {
    requireKernel()
    const home = this.#home
    const interfaces = listInterfaces(home.netns)
    const named =
      options.devices === undefined ? undefined : options.devices.map((name) => find(interfaces, name))

    if (tables === undefined) {
      // Pins without a fingerprint are what a killed loader left.
      home.make()
      home.removeDead()
      home.clear()
      home.make()
    } else this.#requireSameSizes(options, tables)

    const config = tables?.config
    const choice =
      options.xdp ?? (config === undefined ? 'auto' : (XDP_MODES[config.u32(0, at.config.xdpMode)] ?? 'auto'))
    const plan = this.#plan(interfaces, named, choice, tables?.table('devices'))
    const warnings: string[] = []
    if (plan.length === 0)
      warnings.push('no Ethernet device is up: nothing is attached, xlvs up does it later')
    if (plan.some(({ xdp }) => xdp === 'generic')) {
      warnings.push('GENERIC XDP is slower than tc alone and copies every packet: it is for tests')
    }

    const created = new Map<string, BpfMap>()
    const sizes = checkSizes(options)
    const settings: { -readonly [K in keyof ObjectOptions]: ObjectOptions[K] } = config
      ? settingsOf(config)
      : {
          buckets: bucketsFor(sizes.conns),
          hashSeed: randomInt(2 ** 32),
          hz: 250,
          testClock: options.testClock ?? false,
        }
    const elements = mapSizes(sizes, settings.buckets)
    try {
      using control = this.openObject('control', settings, created, elements)
      settings.hz = tickRate(readClock(control.program('sweep_now')))
      using tc = this.openObject('tc', settings, created, elements)
      // The verifier takes its time with each: XDP is loaded where it is wanted.
      using xdp = plan.some((target) => target.xdp !== 'off')
        ? this.openObject('xdp', settings, created, elements)
        : undefined

      const map = (name: string) => {
        const found = created.get(name)
        if (found === undefined) throw new Error(`no object has a map ${name}`)
        return found
      }
      using fresh = new Table(map('config'))
      if (tables === undefined) writeConfig(fresh, settings)
      for (const [name, object] of [
        ['control', control],
        ['tc', tc],
        ['xdp', xdp],
      ] as const) {
        if (object === undefined) continue
        for (const program of OBJECTS[name].programs)
          home.replacePin('progs', program, object.program(program))
      }
      if (tables === undefined) this.#allowForwarding(warnings)
      runSweeper(control.program('sweep_start'))

      using devices = new Table(map('devices'))
      const programs = { tc: tc.program('tc_ingress'), xdp: xdp?.program('xdp_in') }
      this.#attach(interfaces, plan, choice, programs, devices, options.tc ?? 'auto', warnings)
      // Last: who is killed before this has loaded nothing, and the next one starts afresh.
      if (tables === undefined) {
        fresh.setU64(0, at.config.netnsCookie, home.cookie)
        storeU64(fresh.bytes, at.config.fingerprint, ABI_FINGERPRINT_U64)
      }
      if (named === undefined || tables === undefined)
        fresh.setU32(0, at.config.xdpMode, XDP_MODE_IDS[choice])
      return warnings
    } finally {
      for (const map of created.values()) map.close()
    }
  }

  /** Detaches everything and forgets everything, connections included. */
  down(tables: Tables | undefined): void {
    const home = this.#home
    // Other processes have the maps open: this tells them that they are history.
    if (tables !== undefined) storeU64(tables.config.bytes, at.config.fingerprint, 0n)
    for (const name of home.names('links')) {
      using link = BpfLink.openPinned(home.pin('links', name), { fs: home.fs })
      if (link.info().ifindex !== 0) link.detach()
    }
    for (const device of listInterfaces(home.netns)) {
      TcFilter.find(device.ifindex, 'ingress', { ...FILTER, netns: home.netns })?.detach()
    }
    home.remove()
  }

  /** Every device of the namespace and what of ours is on it. */
  devices(tables: Tables): DeviceStatus[] {
    const home = this.#home
    const links = this.#links()
    const devices = tables.table('devices')
    return listInterfaces(home.netns).map((device) => {
      const { name, ifindex } = device
      const known = ifindex < devices.length
      const attached = known && (devices.u8(ifindex, at.device.flags) & DEVICE_F_ATTACHED) !== 0
      const code = known ? devices.u8(ifindex, at.device.xdp) : 0
      const hasFilter =
        attached && !links.has(`tc-${ifindex}`)
          ? TcFilter.find(ifindex, 'ingress', { ...FILTER, netns: home.netns }) !== undefined
          : false
      const tc = links.has(`tc-${ifindex}`) ? 'tcx' : hasFilter ? 'clsact' : null
      const xdp = links.has(`xdp-${ifindex}`) ? (code === XDP_ATTACHED_GENERIC ? 'generic' : 'native') : null
      return {
        name,
        ifindex,
        tc,
        xdp,
        why: tc === null ? whyNothing(device) : xdp === null ? whyNoXdp(code) : null,
      }
    })
  }

  /** Opens and loads one object on the pinned maps; maps it brings first are pinned. */
  openObject(
    name: ObjectName,
    options: ObjectOptions,
    maps: Map<string, BpfMap>,
    elements: Readonly<Record<string, number>> = {},
    open: (object: BpfObject) => void = () => {},
  ): BpfObject {
    const home = this.#home
    const { file } = OBJECTS[name]
    const object = openFile(this.#folder, file)
    try {
      setConstants(object, name, options)
      const fresh: string[] = []
      for (const map of object.maps) {
        if (map.internal || PRIVATE_MAPS.test(map.name)) continue
        const shared = maps.get(map.name) ?? this.#pinned(map.name)
        if (shared !== undefined) {
          maps.set(map.name, shared)
          map.reuseFd(shared)
          continue
        }
        if (elements[map.name] !== undefined) map.setMaxEntries(elements[map.name]!)
        fresh.push(map.name)
      }
      open(object)
      object.load({ fs: home.fs })
      for (const map of fresh) {
        home.fs.pin(object.map(map), home.pin('maps', map))
        maps.set(map, object.map(map).clone())
      }
      return object
    } catch (error) {
      object.close()
      throw error
    }
  }

  #pinned(name: string): BpfMap | undefined {
    const { fs } = this.#home
    const path = this.#home.pin('maps', name)
    return fs.kind(path) === undefined ? undefined : BpfMap.openPinned(path, { fs })
  }

  #requireSameSizes(options: UpOptions, tables: Tables): void {
    const has: Sizes = {
      conns: Math.floor((tables.config.u32(0, at.config.buckets4) * 8) / 1.5),
      services: tables.map('services').maxEntries - 1,
      dests: tables.map('dests').maxEntries - 1,
    }
    for (const name of ['services', 'dests'] as const) {
      if (options[name] !== undefined && options[name] !== has[name]) throw sizeFixed(name, has[name])
    }
    const { conns } = options
    if (conns !== undefined && bucketsFor(conns).buckets4 !== tables.config.u32(0, at.config.buckets4)) {
      throw sizeFixed('conns', has.conns)
    }
    if (
      options.testClock !== undefined &&
      options.testClock !== (tables.config.u32(0, at.config.testClock) !== 0)
    ) {
      throw new Failure('INVALID_ARGUMENT', 'whether the clock is adjustable is fixed while loaded', {
        hint: 'xlvs down first (this ends all connections)',
      })
    }
  }

  /**
   * Routes are looked up as if the packet had come in on lo, so that a director
   * forwards with net.ipv4.ip_forward=0 as kernel IPVS does; lo must allow it.
   */
  #allowForwarding(warnings: string[]): void {
    for (const name of ['net.ipv4.conf.lo.forwarding', 'net.ipv6.conf.lo.forwarding']) {
      try {
        setSysctl(name, 1, this.#home.netns)
      } catch (error) {
        if (!(error instanceof BpfError)) throw error
        // No IPv6 in this kernel or namespace: nothing to allow.
        if (error.errnoName === 'ENOENT' && name.includes('ipv6')) continue
        warnings.push(`${name} could not be set to 1 (${error.errnoName}): set it, or turn on forwarding`)
      }
    }
  }

  /** Whether the stack takes IPv4 packets from own addresses on a device. */
  #acceptsLocal({ name }: Interface): boolean {
    const scopes = ['all', name.replace(/\./g, '/')]
    return scopes.some((scope) => getSysctl(`net.ipv4.conf.${scope}.accept_local`, this.#home.netns) === '1')
  }

  /** Our pinned links by name; those whose device is gone are cleared away. */
  #links(): Set<string> {
    const home = this.#home
    const names = new Set<string>()
    for (const name of home.names('links')) {
      using link = BpfLink.openPinned(home.pin('links', name), { fs: home.fs })
      if (link.info().ifindex === 0) home.fs.remove(home.pin('links', name))
      else names.add(name)
    }
    return names
  }

  /** The devices to attach to, and how: those named or fit, and those we are on already. */
  #plan(
    interfaces: readonly Interface[],
    named: readonly Interface[] | undefined,
    choice: XdpChoice,
    table: Table | undefined,
  ): Target[] {
    const links = this.#links()
    const attached = ({ ifindex }: Interface) =>
      links.has(`tc-${ifindex}`) ||
      (table !== undefined &&
        ifindex < table.length &&
        (table.u8(ifindex, at.device.flags) & DEVICE_F_ATTACHED) !== 0)
    const wanted = named ?? interfaces.filter((device) => whyNothing(device, interfaces) === null)
    return interfaces
      .filter((device) => wanted.includes(device) || attached(device))
      .map((device) => {
        // Devices not named stay as they are, in newer programs.
        const stays = named !== undefined && !named.includes(device)
        if (stays) return { device, xdp: this.#runningXdp(device, links), stays }
        return {
          device,
          xdp: choice !== 'auto' ? choice : device.kind === undefined ? 'native' : 'off',
          stays,
        }
      })
  }

  /** How our XDP program runs on a device, if it does. */
  #runningXdp({ ifindex }: Interface, links: ReadonlySet<string>): Target['xdp'] {
    if (!links.has(`xdp-${ifindex}`)) return 'off'
    const mode = queryXdp(ifindex, { netns: this.#home.netns })?.mode
    return mode === 'native' || mode === 'generic' ? mode : 'off'
  }

  #attach(
    interfaces: readonly Interface[],
    plan: readonly Target[],
    choice: XdpChoice,
    programs: { readonly tc: BpfProgram; readonly xdp: BpfProgram | undefined },
    table: Table,
    way: 'auto' | 'clsact',
    warnings: string[],
  ): void {
    const links = this.#links()
    for (const { device, xdp, stays } of plan) {
      const code = this.#attachXdp(device, xdp, choice, programs.xdp, links)
      if (code === XDP_WHY_TAKEN && !stays)
        warnings.push(`${device.name}: another XDP program is attached, so ours is not`)
      this.#attachTc(device, programs.tc, links, way)
      if (device.ifindex < table.length && !stays) table.setU8(device.ifindex, at.device.xdp, code)
    }
    const ours = new Set(plan.map(({ device }) => device.ifindex))
    this.refreshDevices(table, interfaces, (ifindex) => ours.has(ifindex))
  }

  /**
   * Writes what programs must know of devices: their addresses, whom XDP may send to,
   * where the stack takes packets from own addresses (accept_local).
   */
  refreshDevices(
    table: Table,
    interfaces: readonly Interface[] = listInterfaces(this.#home.netns),
    isOurs = (ifindex: number) => (table.u8(ifindex, at.device.flags) & DEVICE_F_ATTACHED) !== 0,
  ): void {
    for (const device of interfaces) {
      const { ifindex } = device
      if (ifindex >= Math.min(table.length, MAX_DEVICES)) continue
      table.slice(ifindex, at.device.mac, 6).set(macBytes(device.mac))
      const native = table.u8(ifindex, at.device.xdp) === XDP_ATTACHED_NATIVE
      table.setU8(
        ifindex,
        at.device.flags,
        (native ? DEVICE_F_XDP_TX : 0) |
          (isOurs(ifindex) ? DEVICE_F_ATTACHED : 0) |
          (this.#acceptsLocal(device) ? DEVICE_F_ACCEPT_LOCAL : 0),
      )
    }
  }

  #attachTc(device: Interface, program: BpfProgram, links: Set<string>, way: 'auto' | 'clsact'): void {
    const home = this.#home
    const { ifindex } = device
    const name = `tc-${ifindex}`
    if (links.has(name)) {
      using link = BpfLink.openPinned(home.pin('links', name), { fs: home.fs })
      link.update(program)
      return
    }
    const attachment = program.attachTc(ifindex, 'ingress', { via: way, netns: home.netns, ...FILTER })
    if (attachment.kind === 'filter') {
      attachment.keep()
      return
    }
    using link = attachment
    home.fs.pin(link, home.pin('links', name))
  }

  /** Answers the enum xdp_why for the device. */
  #attachXdp(
    device: Interface,
    mode: Target['xdp'],
    choice: XdpChoice,
    program: BpfProgram | undefined,
    links: Set<string>,
  ): number {
    const home = this.#home
    const { ifindex } = device
    const name = `xdp-${ifindex}`
    if (links.has(name)) {
      using link = BpfLink.openPinned(home.pin('links', name), { fs: home.fs })
      if (mode === this.#runningXdp(device, links) && program !== undefined) {
        link.update(program)
        return mode === 'native' ? XDP_ATTACHED_NATIVE : XDP_ATTACHED_GENERIC
      }
      link.detach()
      home.fs.remove(home.pin('links', name))
    }
    if (mode === 'off' || program === undefined) return choice === 'off' ? XDP_WHY_OFF : XDP_WHY_VIRTUAL
    if (queryXdp(ifindex, { netns: home.netns }) !== null) {
      if (choice === 'auto') return XDP_WHY_TAKEN
      throw new Failure('ATTACH_REFUSED', `another XDP program is attached to ${device.name}`, {
        hint: `ip link set dev ${device.name} xdp off detaches it, if nobody needs it`,
      })
    }
    try {
      using link = program.attachXdp(ifindex, { mode, netns: home.netns })
      home.fs.pin(link, home.pin('links', name))
    } catch (error) {
      // Asked for by name it must not fail in silence; `auto` leaves the device to tc.
      if (choice !== 'auto' || !(error instanceof BpfError) || error.code === 'NOT_PERMITTED') throw error
      return XDP_WHY_REFUSED
    }
    return mode === 'native' ? XDP_ATTACHED_NATIVE : XDP_ATTACHED_GENERIC
  }
}

/** What the programs cannot do without; all of it is in 6.1. */
const NEEDED = ['helper:redirect_neigh', 'program:syscall', 'helper:timer_init', 'helper:loop'] as const

function requireKernel(): void {
  const { release, version } = kernel()
  const [major, minor] = version
  if (major > 6 || (major === 6 && minor >= 1)) return
  // Distributions carry features back: what is there counts, not the number.
  const missing = NEEDED.find((feature) => hasFeature(feature) === false)
  if (missing === undefined) return
  const what = missing.replace(/^helper:/, 'bpf_').replace(/^program:/, 'BPF programs of type ')
  throw new Failure(
    'KERNEL_TOO_OLD',
    `Linux ${release} has no ${what}, which Linux ${FEATURES[missing]} brings`,
    {
      hint: 'Linux 6.1 or newer is supported',
    },
  )
}

/** What a loaded data plane was made with. */
export function settingsOf(config: Table): ObjectOptions {
  return {
    buckets: {
      buckets4: config.u32(0, at.config.buckets4),
      spares4: config.u32(0, at.config.spares4),
      buckets6: config.u32(0, at.config.buckets6),
      spares6: config.u32(0, at.config.spares6),
    },
    hashSeed: config.u32(0, at.config.hashSeed),
    hz: config.u32(0, at.config.hz),
    testClock: config.u32(0, at.config.testClock) !== 0,
  }
}

/**
 * Throws when the pinned maps are not what this program would make.
 *
 * @returns false when they are a killed loader's, or those of a plane that is gone, or
 *   of a dead namespace that had the same inode number
 */
export function isWhole(config: Table, netnsCookie: bigint): boolean {
  const fingerprint = config.u64(0, at.config.fingerprint)
  if (fingerprint === 0n || config.u64(0, at.config.netnsCookie) !== netnsCookie) return false
  if (fingerprint === ABI_FINGERPRINT_U64) return true
  throw layoutMismatch(`fingerprint ${fingerprint.toString(16)}, not ${ABI_FINGERPRINT_U64.toString(16)}`)
}

export function layoutMismatch(detail: string): Failure {
  return new Failure('LAYOUT_MISMATCH', `the loaded data plane is of another version: ${detail}`, {
    hint: 'use the version that loaded it, or start over: xlvs down, then xlvs up (this ends all connections)',
  })
}

function openFile(folder: string, file: string): BpfObject {
  try {
    return BpfObject.open(`${folder}/${file}`)
  } catch (error) {
    if (!(error instanceof BpfError) || error.errnoName !== 'ENOENT') throw error
    throw new Failure('SYSTEM', `there is no compiled program ${folder}/${file}`, {
      hint: 'build it: make, or xlvs compile',
      cause: error,
    })
  }
}

function setConstants(object: BpfObject, name: ObjectName, options: ObjectOptions): void {
  const { buckets, hz } = options
  const [major, minor] = kernel().version
  const values: Readonly<Record<string, number>> = {
    cfg_buckets4: buckets.buckets4,
    cfg_spares4: buckets.spares4,
    cfg_buckets6: buckets.buckets6,
    cfg_spares6: buckets.spares6,
    cfg_hash_seed: options.hashSeed,
    cfg_hz: hz,
    // A next hop is looked up anew after half a second to a second.
    cfg_hop_shift: Math.floor(Math.log2(hz)),
    cfg_dry: options.dry === true ? 1 : 0,
    cfg_fib_src: major > 6 || (major === 6 && minor >= 7) ? 1 : 0,
    cfg_test_clock: options.testClock ? 1 : 0,
    cfg_hook: name === 'xdp' ? HOOK_XDP : HOOK_TC_INGRESS,
  }
  // Each object has those constants only that its programs use.
  for (const [key, value] of Object.entries(values)) if (object.rodata.has(key)) object.rodata.set(key, value)
}

/** Everything but the fingerprint. */
function writeConfig(config: Table, { buckets, hashSeed, hz, testClock }: ObjectOptions): void {
  config.setU32(0, at.config.hz, hz)
  config.setU32(0, at.config.hashSeed, hashSeed)
  config.setU32(0, at.config.buckets4, buckets.buckets4)
  config.setU32(0, at.config.spares4, buckets.spares4)
  config.setU32(0, at.config.buckets6, buckets.buckets6)
  config.setU32(0, at.config.spares6, buckets.spares6)
  TCP_STATES.forEach((state, i) => setTimeout(config, PROTO_TCP, i, TCP_TIMEOUTS_S[state] * hz))
  setTimeout(config, PROTO_UDP, 0, UDP_TIMEOUT_S * hz)
  // Defaults of net.ipv4.vs.*; the others are 0.
  config.setU32(0, at.config.connReuseMode, 1)
  config.setU32(0, at.config.pmtuDisc, 1)
  config.setU32(0, at.config.snatReroute, 1)
  config.setU32(0, at.config.serviceTop, 1)
  config.setU32(0, at.config.destTop, 1)
  config.setU32(0, at.config.testClock, testClock ? 1 : 0)
}

/** Offset of one timeout within struct config. */
export function timeoutField(protocol: number, state: number): number {
  return at.config.timeouts + (protocol * 16 + state) * 4
}

function setTimeout(config: Table, protocol: number, state: number, jiffies: number): void {
  config.setU32(0, timeoutField(protocol, state), jiffies)
}

function runSweeper(program: BpfProgram): void {
  const { retval, ctx } = program.testRun({ ctxIn: new Uint8Array(at.sweepRequest.size) })
  const error = new DataView(ctx.buffer, ctx.byteOffset).getInt32(at.sweepRequest.error, true) || retval
  if (error !== 0) throw new Failure('SYSTEM', `the sweeper did not start: error ${error}`)
}

function find(interfaces: readonly Interface[], name: string): Interface {
  const device = interfaces.find((candidate) => candidate.name === name)
  if (device === undefined) {
    throw new Failure('DEVICE_NOT_FOUND', `there is no network device '${name}' in this namespace`, {
      errno: 'ENODEV',
      hint: '`ip link` lists them',
    })
  }
  if (device.type !== ARPHRD_ETHER) {
    throw new Failure('ATTACH_REFUSED', `${name} is not an Ethernet device`, {
      hint: 'the programs read Ethernet frames; attach to the device the packets come in on',
    })
  }
  return device
}

/** Why a device is left alone when none is named; null when it is not. */
function whyNothing(device: Interface, interfaces: readonly Interface[] = []): string | null {
  if (isLoopback(device)) return 'loopback'
  if (device.type !== ARPHRD_ETHER) return 'not an Ethernet device'
  if (!isUp(device)) return 'was down: xlvs up attaches'
  const master = interfaces.find((other) => other.ifindex === device.master)
  if (master !== undefined && PORTS_OF.includes(master.kind ?? '')) return `a port of ${master.name}`
  return interfaces.length === 0 ? 'not attached: xlvs up attaches' : null
}

function whyNoXdp(code: number): string | null {
  switch (code) {
    case XDP_WHY_OFF:
      return 'xdp off'
    case XDP_WHY_VIRTUAL:
      return 'virtual device, where tc is faster: --xdp native to try it'
    case XDP_WHY_REFUSED:
      return 'the driver refuses native XDP (no support, MTU too large, or LRO on)'
    case XDP_WHY_TAKEN:
      return 'another XDP program is attached'
    default:
      return null
  }
}

function sizeFixed(name: keyof Sizes, has: number): Failure {
  return new Failure(
    'INVALID_ARGUMENT',
    `the tables are made for ${has} ${name}, which is fixed while loaded`,
    {
      hint: 'xlvs down first (this ends all connections)',
    },
  )
}
