// SPDX-License-Identifier: MIT
/**
 * Small worlds of network namespaces for tests: clients, a director, real servers.
 *
 * ```ts
 * await using world = await createWorld({ servers: 3 })
 * await world.servers[0].http({ port: 80 })
 * await world.director.exec('ipvsadm', ['-A', '-t', '10.0.0.1:80', '-s', 'rr'])
 * ```
 *
 * Any number of worlds live side by side. One is gone when its scope ends, when the
 * process ends, or, after a kill -9, when the next world is made. See layout.ts for
 * who has which address.
 */
import { setTimeout } from 'node:timers/promises'
import { Failure } from '../util/errors.js'
import { Host, Server } from './host.js'
import { guard, release, removeLeftovers, removeNamespaces, uniquePrefix } from './janitor.js'
import {
  planCables,
  planLayout,
  PREFIX_LENGTH,
  virtualAddress,
  type Cable,
  type Family,
  type HostPlan,
  type Layout,
  type LayoutOptions,
  type SegmentName,
} from './layout.js'
import { runCommand } from './process.js'

/** The namespace of the bridges, where a world has some. */
const SWITCH = 'switch'

/** A list that is known to have a first element. */
export type NonEmpty<T> = readonly [T, ...T[]]

export class World implements AsyncDisposable {
  readonly families: readonly Family[]
  readonly clients: NonEmpty<Host>
  readonly director: Host
  readonly servers: NonEmpty<Server>
  readonly router: Host | undefined
  readonly #prefix: string
  readonly #layout: Layout
  readonly #cables: readonly Cable[]
  readonly #hosts: readonly Host[]

  /** Use {@link createWorld}. */
  constructor(layout: Layout, prefix: string) {
    this.#layout = layout
    this.#prefix = prefix
    this.#cables = planCables(layout)
    this.families = layout.families
    const plans = (role: HostPlan['role']) => layout.hosts.filter((host) => host.role === role)
    const [router] = plans('router')
    const make = (plan: HostPlan) => new Host(plan, prefix + plan.name)
    this.clients = nonEmpty(plans('client').map(make))
    this.director = nonEmpty(plans('director').map(make))[0]
    this.servers = nonEmpty(plans('server').map((plan) => new Server(plan, prefix + plan.name, router)))
    this.router = router === undefined ? undefined : make(router)
    this.#hosts = [...this.clients, this.director, ...this.servers, ...(this.router ? [this.router] : [])]
  }

  /** The first client. */
  get client(): Host {
    return this.clients[0]
  }

  /** Virtual address number `n`, from 1; the director has 1 to 9 on lo. */
  vip(family: Family, n = 1): string {
    return virtualAddress(family, n)
  }

  /**
   * Prepares hosts and cables for native XDP on the director. A veth hands an XDP
   * program checksums that nobody has computed yet, and drops what XDP sends it
   * unless it polls: so the far ends compute them (tx off) and poll (gro on).
   */
  async xdpReady(): Promise<void> {
    const ready = { tx: false, gro: true }
    await Promise.all([
      ...this.#hosts
        .filter((host) => host !== this.director)
        .flatMap((host) => host.ports.map(({ device }) => host.offload(ready, device))),
      ...this.#switchDevices().map((device) =>
        runCommand([
          'nsenter',
          `--net=/run/netns/${this.#prefix}${SWITCH}`,
          'ethtool',
          '-K',
          device,
          'tx',
          'off',
          'gro',
          'on',
        ]),
      ),
    ])
  }

  /** Makes the namespaces; what {@link createWorld} does first. */
  async build(): Promise<void> {
    const bridges = [...new Set(this.#cables.flatMap(({ to }) => ('bridge' in to ? [to.bridge] : [])))]
    const members = [...this.#hosts.map(({ name }) => name), ...(bridges.length > 0 ? [SWITCH] : [])]

    await batch(
      [],
      members.map((name) => `netns add ${this.#prefix}${name}`),
    )
    await Promise.all(
      members.map((name) =>
        runCommand(['nsenter', `--net=/run/netns/${this.#prefix}${name}`, 'sh', '-e'], {
          input: this.#sysctls(name),
        }),
      ),
    )
    await batch(
      [],
      this.#cables.map((cable) => this.#cable(cable)),
    )
    if (bridges.length > 0) await batch(['-n', this.#prefix + SWITCH], this.#bridge(bridges))
    await Promise.all(this.#hosts.map((host) => batch(['-n', host.netns], this.#addresses(host))))
    await Promise.all(this.#hosts.map((host) => waitFor(host.netns, isUp)))
    if (bridges.length > 0) await waitFor(this.#prefix + SWITCH, isForwarding)
  }

  /** Removes everything at once, without waiting for anybody: for signal handlers. */
  removeNow(): void {
    for (const host of this.#hosts) host.kill()
    removeNamespaces([...this.#hosts.map(({ netns }) => netns), this.#prefix + SWITCH])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.stop()))
    this.removeNow()
    release(this)
  }

  #sysctls(name: string): string {
    const forwards = name === 'director' || name === 'router'
    const settings: Record<string, number> = {
      // Addresses are usable at once: nobody here has the same.
      'net/ipv6/conf/all/accept_dad': 0,
      'net/ipv6/conf/default/accept_dad': 0,
      'net/ipv6/conf/default/accept_ra': 0,
      'net/ipv6/conf/default/router_solicitations': 0,
      // Virtual addresses leave by devices that routing would not expect them on.
      'net/ipv4/conf/all/rp_filter': 0,
      'net/ipv4/conf/default/rp_filter': 0,
      'net/ipv4/conf/all/send_redirects': 0,
      'net/ipv4/conf/default/send_redirects': 0,
      // Errors are what tests look at.
      'net/ipv4/icmp_ratelimit': 0,
      'net/ipv6/icmp/ratelimit': 0,
      'net/ipv4/ip_forward': forwards ? 1 : 0,
      'net/ipv6/conf/all/forwarding': forwards ? 1 : 0,
      ...(name === SWITCH || !this.families.includes(6)
        ? { 'net/ipv6/conf/all/disable_ipv6': 1, 'net/ipv6/conf/default/disable_ipv6': 1 }
        : {}),
    }
    return Object.entries(settings)
      .map(([path, value]) => `[ ! -e /proc/sys/${path} ] || echo ${value} >/proc/sys/${path}`)
      .join('\n')
  }

  #cable({ from, to }: Cable): string {
    const end = (host: string, device: string, mac?: string) =>
      `${device} ${mac === undefined ? '' : `address ${mac} `}mtu ${this.#layout.mtu} netns ${this.#prefix}${host}`
    const [near, far] = [
      end(from.host, from.port.device, from.port.mac),
      'bridge' in to ? end(SWITCH, to.device) : end(to.host, to.port.device, to.port.mac),
    ]
    return `link add ${near} type veth peer name ${far}`
  }

  #bridge(bridges: readonly SegmentName[]): string[] {
    const ports = this.#cables.flatMap(({ to }) => ('bridge' in to ? [to] : []))
    return [
      ...bridges.map(
        (bridge) => `link add ${bridge} mtu ${this.#layout.mtu} type bridge stp_state 0 mcast_snooping 0`,
      ),
      ...bridges.map((bridge) => `link set ${bridge} up`),
      ...ports.map(({ device, bridge }) => `link set ${device} up master ${bridge}`),
    ]
  }

  #addresses(host: Host): string[] {
    return [
      'link set lo up',
      ...host.ports.flatMap(({ device, addresses }) => [
        `link set ${device} up`,
        ...this.families.map(
          (family) =>
            `addr add ${addresses[family] ?? ''}/${PREFIX_LENGTH[family]} dev ${device}${family === 6 ? ' nodad' : ''}`,
        ),
      ]),
      ...(host === this.director ? this.families.flatMap(directorAddresses) : []),
      ...this.families.flatMap((family) => this.#routes(host, family)),
    ]
  }

  #routes(host: Host, family: Family): string[] {
    if (host.ports.length > 1) return [] // Director and router are on both segments.
    const { segment } = host.port()
    return [`route add default via ${this.director.address(family, segment)}`]
  }

  #switchDevices(): string[] {
    return this.#cables.flatMap(({ to }) => ('bridge' in to ? [to.device] : []))
  }
}

/**
 * Makes a world. Needs root; IPv4 and IPv6, one client, three servers and a router
 * unless told otherwise.
 *
 * @throws Failure NOT_PERMITTED without the capabilities to make namespaces.
 */
export async function createWorld(options: LayoutOptions = {}): Promise<World> {
  const layout = planLayout(options)
  if (process.geteuid?.() !== 0) {
    throw new Failure('NOT_PERMITTED', 'making network namespaces needs CAP_SYS_ADMIN and CAP_NET_ADMIN', {
      hint: 'run as root',
      errno: 'EPERM',
    })
  }
  removeLeftovers()
  const world = new World(layout, uniquePrefix())
  guard(world)
  try {
    await world.build()
    return world
  } catch (error) {
    await world[Symbol.asyncDispose]()
    throw error
  }
}

const DIRECTOR_VIPS = 9

function directorAddresses(family: Family): string[] {
  const length = family === 4 ? 32 : 128
  return Array.from(
    { length: DIRECTOR_VIPS },
    (_, i) => `addr add ${virtualAddress(family, i + 1)}/${length} dev lo`,
  )
}

async function batch(options: readonly string[], lines: readonly string[]): Promise<void> {
  await runCommand(['ip', ...options, '-batch', '-'], { input: `${lines.join('\n')}\n` })
}

interface LinkState {
  readonly operstate: string
  readonly addr_info?: readonly { readonly tentative?: boolean }[]
  readonly linkinfo?: { readonly info_slave_data?: { readonly state: string } }
}

/** Carrier changes travel through a work queue: look until they have arrived. */
async function waitFor(netns: string, ready: (devices: readonly LinkState[]) => boolean): Promise<void> {
  const deadline = Date.now() + 10_000
  for (;;) {
    const { stdout } = await runCommand(['ip', '-n', netns, '-d', '-j', 'addr', 'show'])
    if (ready(JSON.parse(stdout) as LinkState[])) return
    if (Date.now() > deadline)
      throw new Failure('SYSTEM', `the links of ${netns} did not come up:\n${stdout}`)
    await setTimeout(5)
  }
}

function isUp(devices: readonly LinkState[]): boolean {
  return devices.every(
    ({ operstate, addr_info: addresses = [] }) =>
      // lo has no operational state.
      (operstate === 'UP' || operstate === 'UNKNOWN') &&
      addresses.every(({ tentative }) => tentative !== true),
  )
}

function isForwarding(devices: readonly LinkState[]): boolean {
  return devices.every(({ linkinfo }) => (linkinfo?.info_slave_data?.state ?? 'forwarding') === 'forwarding')
}

function nonEmpty<T>(list: readonly T[]): NonEmpty<T> {
  const [first, ...others] = list
  if (first === undefined) throw new RangeError('a world has at least one of each')
  return [first, ...others]
}
