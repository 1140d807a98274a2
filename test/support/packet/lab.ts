// SPDX-License-Identifier: MIT
/**
 * A director on the bench: the real programs, one packet at a time, by test run.
 *
 *     client 192.0.2.9 ── gateway ── front [director] back ── 10.1.0.7, .8
 *     2001:db8::9                   VIPs on lo        thin ── 10.3.0.7   (MTU 1300)
 *
 * Nothing is ever sent. Routes and neighbours are real and permanent, so both hooks
 * find a way for what has one. For tc the frame that comes out still has the old MAC
 * addresses: the neighbour layer writes them later.
 */
import { BUCKET_LINES, MAX_REASONS } from '../../../src/abi/generated.js'
import { at } from '../../../src/datapath/kernel/layout.js'
import { TCP_STATES } from '../../../src/ipvs/conn.js'
import type { Conn } from '../../../src/ipvs/conn.js'
import type { DestSpec, FwdMethod } from '../../../src/ipvs/dest.js'
import { TCP_TIMEOUTS_S } from '../../../src/ipvs/proto/tcp.js'
import { fullMask, NO_FLAGS, type AddressKey, type Family, type Protocol } from '../../../src/ipvs/service.js'
import type { Counters } from '../../../src/ipvs/stats.js'
import { ifindexOf, skbContext, xdpContext } from '../../../src/libbpf/index.js'
import { Netns } from '../netns.js'
import { Plane, type Hook, type PlaneOptions } from '../plane.js'
import { CLIENT_MAC, DIRECTOR_MAC, type Frame } from './frame.js'

export const BACK_MAC = '02:00:00:00:02:01'
export const THIN_MAC = '02:00:00:00:03:01'
/** Of the real servers, by the last byte of their address. */
export const realMac = (n: number) => `02:00:00:00:02:${n.toString(16).padStart(2, '0')}`
export const thinRealMac = (n: number) => `02:00:00:00:03:${n.toString(16).padStart(2, '0')}`

export const THIN_MTU = 1300

/** The same roles in both families. */
export const ADDRESSES = {
  4: {
    client: '192.0.2.9',
    vip: '10.0.0.1',
    vip2: '10.0.0.2',
    /** Routed elsewhere: a service may have it, but it is no address of the director. */
    remoteVip: '10.0.0.9',
    real: '10.1.0.7',
    real2: '10.1.0.8',
    /** Nobody knows its MAC address. */
    silent: '10.1.0.66',
    thin: '10.3.0.7',
    /** No route leads there. */
    nowhere: '10.9.0.7',
    director: '10.1.0.1',
    stranger: '198.51.100.7',
    other: '198.51.100.8',
  },
  6: {
    client: '2001:db8::9',
    vip: 'fd00::1',
    vip2: 'fd00::2',
    remoteVip: 'fd00::9',
    real: 'fd01::7',
    real2: 'fd01::8',
    silent: 'fd01::66',
    thin: 'fd03::7',
    nowhere: 'fd09::7',
    director: 'fd01::1',
    stranger: '2001:db8:ffff::7',
    other: '2001:db8:ffff::8',
  },
} as const

/** What the programs answer. */
export type Verdict = 'PASS' | 'DROP' | 'REDIRECT'

const VERDICTS: Readonly<Record<Hook, Readonly<Record<number, Verdict>>>> = {
  xdp: { 1: 'DROP', 2: 'PASS', 4: 'REDIRECT' },
  // TC_ACT_UNSPEC leaves the packet to whoever comes next.
  tc: { 0xffffffff: 'PASS', 2: 'DROP', 7: 'REDIRECT' },
}

export interface Ran {
  readonly verdict: Verdict
  readonly frame: Uint8Array
}

export interface RunOptions {
  /** Where it comes in; absent: the device whose address it is sent to, or `front`. */
  readonly device?: Device
  /** Segments that a device will cut, as GRO makes them. */
  readonly gso?: { readonly size: number; readonly segments: number }
}

export type Device = 'front' | 'back' | 'thin'

/** Everything a packet can leave behind in the maps. */
export interface Traces {
  readonly counters: string
  readonly connections: string
  readonly schedulers: string
}

export class Lab implements Disposable {
  readonly netns: Netns
  readonly plane: Plane
  readonly #ifindex: Readonly<Record<Device, number>>
  readonly #isHome: boolean

  /** @param home a namespace that this process is in and that `buildLab` prepared */
  constructor(options: PlaneOptions = {}, home?: Netns) {
    this.#isHome = home !== undefined
    this.netns = home ?? Netns.create('lab')
    try {
      if (!this.#isHome) buildLab(this.netns)
      this.plane = new Plane(this.netns, options)
    } catch (error) {
      if (!this.#isHome) this.netns[Symbol.dispose]()
      throw error
    }
    const index = (name: Device) => ifindexOf(name, this.netns.path)
    this.#ifindex = { front: index('front'), back: index('back'), thin: index('thin') }
    // XDP may send to every device, as if all were attached natively.
    this.plane.learnDevices()
  }

  ifindex(device: Device): number {
    return this.#ifindex[device]
  }

  /** One packet through one hook. */
  run(hook: Hook, frame: Frame | Uint8Array, { device, gso }: RunOptions = {}): Ran {
    const dataIn = frame instanceof Uint8Array ? frame : frame.bytes()
    const ifindex = this.#ifindex[device ?? deviceOf(dataIn)]
    // Entering a namespace takes a thread, which takes longer than the packet.
    const netns = this.#isHome ? undefined : this.netns.path
    const result =
      hook === 'xdp'
        ? this.plane.program('xdp', 'xdp_in').testRun({
            dataIn,
            ctxIn: xdpContext({ length: dataIn.length, ingressIfindex: ifindex }),
            ...(netns === undefined ? {} : { netns }),
          })
        : this.plane.program('tc', 'tc_ingress').testRun({
            dataIn,
            ctxIn: skbContext({
              ingressIfindex: ifindex,
              ifindex,
              ...(gso === undefined ? {} : { gsoSize: gso.size, gsoSegments: gso.segments }),
            }),
            ...(netns === undefined ? {} : { netns }),
          })
    const verdict = VERDICTS[hook][result.retval]
    if (verdict === undefined) throw new Error(`${hook} answers ${result.retval}`)
    return { verdict, frame: result.data }
  }

  /** As on a device with both: XDP first, tc when it lets the packet pass. */
  deliver(frame: Frame, options: RunOptions = {}): Ran {
    const first = this.run('xdp', frame, options)
    return first.verdict === 'PASS' ? this.run('tc', first.frame, options) : first
  }

  /** Adds services; see `service` below. */
  given(...services: readonly GivenService[]): void {
    for (const { key, scheduler, dests } of services) {
      this.plane.datapath.addService({
        key,
        scheduler,
        flags: NO_FLAGS,
        persistentTimeout: 0,
        netmask: fullMask(key.family),
        pe: '',
      })
      for (const dest of dests) this.plane.datapath.addDest(key, dest)
    }
  }

  /** Everything as after loading, but for the clock, which went on by an hour. */
  reset(): void {
    const { plane } = this
    plane.datapath.flush()
    plane.advance(3600)
    for (let round = 0; round <= plane.buckets.spares4 + plane.buckets.spares6; round++)
      plane.datapath.sweep()
    const zero = new Uint8Array(8)
    for (let i = 0; i < 3 * MAX_REASONS; i++)
      plane.map('reasons').set(new Uint8Array(Uint32Array.of(i).buffer), zero)
    plane.datapath.setSettings(DEFAULTS)
    TCP_STATES.forEach((state, i) => plane.setTimeout(0, i, TCP_TIMEOUTS_S[state] * plane.hz))
    plane.setTimeout(1, 0, 300 * plane.hz)
    plane.datapath.zero()
  }

  get connections(): readonly Conn[] {
    return [...this.plane.datapath.connections()]
  }

  /** Counters of one dest, by its service. */
  destCounters(key: AddressKey, n = 0): Counters | undefined {
    const dest = this.plane.datapath.service(key)?.dests[n]
    return dest === undefined ? undefined : countersOf(dest.stats)
  }

  totals(): Counters {
    return countersOf(this.plane.datapath.totals())
  }

  /** To be compared before and after: equal when a packet left nothing behind. */
  traces(): Traces {
    const { plane } = this
    const text = (name: string) => Buffer.from(plane.table(name).bytes).toString('latin1')
    const sums = [...plane.map('dest_stats').entries()].map(([, value]) =>
      Buffer.from(value).toString('latin1'),
    )
    return {
      counters: sums.join(''),
      connections: this.#conns('conns4') + this.#conns('conns6') + text('spare_buckets'),
      schedulers: text('dest_sets'),
    }
  }

  /** Less the ways back, which are a cache: looking one up is no trace. */
  #conns(name: 'conns4' | 'conns6'): string {
    const table = this.plane.table(name)
    const bytes = Buffer.from(table.bytes)
    for (let bucket = 0; bucket < table.length; bucket++)
      for (let line = 0; line < BUCKET_LINES; line++)
        bytes.writeUInt32LE(0, table.at(bucket, line * at.conn.size + at.conn.hop))
    return bytes.toString('latin1')
  }

  [Symbol.dispose](): void {
    this.plane?.[Symbol.dispose]()
    if (!this.#isHome) this.netns[Symbol.dispose]()
  }
}

/** Devices, addresses, routes and neighbours of the lab. */
export function buildLab(netns: Netns): void {
  const cable = (name: Device, mac: string, mtu: number) => [
    `link add ${name} address ${mac} mtu ${mtu} type veth peer name ${name}-far mtu ${mtu}`,
    `link set ${name} up`,
    `link set ${name}-far up`,
  ]
  const neighbour = (address: string, mac: string, device: Device) =>
    `neigh add ${address} lladdr ${mac} dev ${device} nud permanent`
  netns.ip(
    ...cable('front', DIRECTOR_MAC, 1500),
    ...cable('back', BACK_MAC, 1500),
    ...cable('thin', THIN_MAC, THIN_MTU),
    'addr add 10.2.0.1/24 dev front',
    'addr add fd02::1/64 dev front nodad',
    'addr add 10.1.0.1/24 dev back',
    'addr add fd01::1/64 dev back nodad',
    'addr add 10.3.0.1/24 dev thin',
    'addr add fd03::1/64 dev thin nodad',
    'route add 192.0.2.0/24 via 10.2.0.254',
    'route add 2001:db8::/64 via fd02::254',
    neighbour('10.2.0.254', CLIENT_MAC, 'front'),
    neighbour('fd02::254', CLIENT_MAC, 'front'),
    ...[ADDRESSES[4], ADDRESSES[6]].flatMap((a, i) => [
      `addr add ${a.vip}/${i === 0 ? 32 : 128} dev lo`,
      `addr add ${a.vip2}/${i === 0 ? 32 : 128} dev lo`,
      `route add ${a.remoteVip}/${i === 0 ? 32 : 128} via ${a.real}`,
      neighbour(a.real, realMac(7), 'back'),
      neighbour(a.real2, realMac(8), 'back'),
      neighbour(a.thin, thinRealMac(7), 'thin'),
    ]),
  )
}

const DEFAULTS: Readonly<Record<string, number>> = {
  conn_reuse_mode: 1,
  expire_nodest_conn: 0,
  pmtu_disc: 1,
  snat_reroute: 1,
  sloppy_tcp: 0,
  secure_tcp: 0,
}

export interface GivenService {
  readonly key: AddressKey
  readonly scheduler: string
  readonly dests: readonly DestSpec[]
}

export function service(
  protocol: Protocol,
  address: string,
  port: number,
  scheduler: string,
  dests: readonly DestSpec[],
): GivenService {
  const family: Family = address.includes(':') ? 6 : 4
  return { key: { kind: 'address', protocol, address, family, port }, scheduler, dests }
}

export function dest(fwd: FwdMethod, address: string, port: number, more: Partial<DestSpec> = {}): DestSpec {
  return {
    address,
    family: address.includes(':') ? 6 : 4,
    port,
    fwd,
    weight: 1,
    upperThreshold: 0,
    lowerThreshold: 0,
    tunType: 'ipip',
    tunPort: 0,
    tunFlags: 'nocsum',
    ...more,
  }
}

export const masq = (address: string, port: number, more: Partial<DestSpec> = {}) =>
  dest('masq', address, port, more)
export const route = (address: string, port: number, more: Partial<DestSpec> = {}) =>
  dest('route', address, port, more)
export const tunnel = (address: string, port: number, more: Partial<DestSpec> = {}) =>
  dest('tunnel', address, port, more)

function deviceOf(frame: Uint8Array): Device {
  const to = Buffer.from(frame.subarray(0, 6)).toString('hex')
  if (to === BACK_MAC.replaceAll(':', '')) return 'back'
  return to === THIN_MAC.replaceAll(':', '') ? 'thin' : 'front'
}

function countersOf({ conns, inPackets, outPackets, inBytes, outBytes }: Counters): Counters {
  return { conns, inPackets, outPackets, inBytes, outBytes }
}
