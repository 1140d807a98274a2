// SPDX-License-Identifier: MIT
/**
 * A straight road of three network namespaces: sender – balancer – sink, joined by
 * two veth pairs. Addresses of clients and servers belong to nobody: neighbours are
 * permanent, so no packet but the measured ones is ever on it.
 */
import { setTimeout } from 'node:timers/promises'
import { guard, release, removeLeftovers, removeNamespaces, uniquePrefix } from '../../src/testing/janitor.js'
import { runCommand } from '../../src/testing/process.js'
import { ifindexOf, listInterfaces } from '../../src/libbpf/index.js'

export type Family = 4 | 6
export type Place = 'sender' | 'balancer' | 'sink'

const MAC = {
  sender: '02:00:00:00:01:02',
  front: '02:00:00:00:01:01',
  back: '02:00:00:00:02:01',
  sink: '02:00:00:00:02:02',
} as const

const GATEWAY = { 4: '10.1.0.2', 6: 'fd01::2' } as const
const OWN = {
  front: { 4: '10.1.0.1/24', 6: 'fd01::1/64' },
  back: { 4: '10.2.0.1/24', 6: 'fd02::1/64' },
} as const

/** The balancer's own address towards the servers: outer source of its tunnels. */
export const BACK_ADDRESS = { 4: '10.2.0.1', 6: 'fd02::1' } as const

/** Clients count up from here; 198.18.0.0/15 is set aside for benchmarks (RFC 2544). */
export const CLIENT = { 4: '198.18.0.0', 6: 'fd18::' } as const

/** An address nobody balances. */
export const FOREIGN = { 4: '203.0.113.77', 6: 'fd77::77' } as const

/** Servers the sink stands for. */
export const SERVERS = 64

export function server(family: Family, number = 0): string {
  return family === 4 ? `10.2.0.${11 + number}` : `fd02::${(11 + number).toString(16)}`
}

export function vip(family: Family, number = 1): string {
  return family === 4 ? `10.0.0.${number}` : `fd00::${number}`
}

const VIPS = 9

export class Road implements AsyncDisposable {
  readonly mac = MAC
  readonly families: readonly Family[]
  readonly #prefix: string

  private constructor(families: readonly Family[]) {
    this.families = families
    this.#prefix = uniquePrefix()
  }

  /** Builds one. What a killed bench left is swept away first. */
  static async build(families: readonly Family[] = [4]): Promise<Road> {
    removeLeftovers()
    const road = new Road(families)
    guard(road)
    try {
      await road.#build()
      return road
    } catch (error) {
      await road[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Path of a namespace, as libbpf-ts and nsenter want it. */
  netns(place: Place): string {
    return `/run/netns/${this.#prefix}${place}`
  }

  ifindex(place: Place, device: 'eth0' | 'eth1' = 'eth0'): number {
    return ifindexOf(device, this.netns(place))
  }

  async exec(place: Place, line: readonly string[], input = ''): Promise<string> {
    return (await runCommand(['nsenter', `--net=${this.netns(place)}`, ...line], { input })).stdout
  }

  /**
   * Removes it and waits until the kernel has done with the balancer. Its devices go
   * last, after conntrack has forgotten what it saw there.
   */
  async takeDown(): Promise<void> {
    removeNamespaces([`${this.#prefix}balancer`])
    const deadline = Date.now() + 30_000
    while (this.#hasCable()) {
      if (Date.now() > deadline) throw new Error('the namespace of the balancer does not go away')
      await setTimeout(2)
    }
    await this[Symbol.asyncDispose]()
  }

  #hasCable(): boolean {
    return listInterfaces(this.netns('sender')).some(({ name }) => name === 'eth0')
  }

  removeNow(): void {
    removeNamespaces((['sender', 'balancer', 'sink'] as const).map((place) => this.#prefix + place))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.removeNow()
    release(this)
  }

  async #build(): Promise<void> {
    const name = (place: Place) => this.#prefix + place
    const places = ['sender', 'balancer', 'sink'] as const
    await batch(
      [],
      places.map((place) => `netns add ${name(place)}`),
    )
    for (const place of places) await this.exec(place, ['sh', '-e'], sysctls(this.families))
    const cable = (near: Place, device: string, nearMac: string, far: Place, farMac: string) =>
      `link add ${device} address ${nearMac} netns ${name(near)} type veth peer name eth0 address ${farMac} netns ${name(far)}`
    await batch(
      [],
      [
        cable('balancer', 'eth0', MAC.front, 'sender', MAC.sender),
        cable('balancer', 'eth1', MAC.back, 'sink', MAC.sink),
      ],
    )
    for (const place of ['sender', 'sink'] as const) {
      await batch(['-n', name(place)], ['link set lo up', 'link set eth0 up'])
    }
    await batch(['-n', name('balancer')], this.#balancer())
    // Who receives frames from XDP must poll; see PROBES §16.
    for (const [place, device] of [
      ['sender', 'eth0'],
      ['balancer', 'eth0'],
      ['balancer', 'eth1'],
      ['sink', 'eth0'],
    ] as const) {
      await this.exec(place, ['ethtool', '-K', device, 'gro', 'on'])
    }
  }

  #balancer(): string[] {
    return [
      'link set lo up',
      'link set eth0 up',
      'link set eth1 up',
      ...this.families.flatMap((family) => {
        const length = family === 4 ? 32 : 128
        const nodad = family === 6 ? ' nodad' : ''
        return [
          `addr add ${OWN.front[family]} dev eth0${nodad}`,
          `addr add ${OWN.back[family]} dev eth1${nodad}`,
          ...Array.from({ length: VIPS }, (_, i) => `addr add ${vip(family, i + 1)}/${length} dev lo`),
          `neigh replace ${GATEWAY[family]} lladdr ${MAC.sender} nud permanent dev eth0`,
          ...Array.from(
            { length: SERVERS },
            (_, i) => `neigh replace ${server(family, i)} lladdr ${MAC.sink} nud permanent dev eth1`,
          ),
          `route add default via ${GATEWAY[family]}`,
        ]
      }),
    ]
  }
}

function sysctls(families: readonly Family[]): string {
  const settings: Record<string, number> = {
    'net/ipv6/conf/all/disable_ipv6': families.includes(6) ? 0 : 1,
    'net/ipv6/conf/default/disable_ipv6': families.includes(6) ? 0 : 1,
    'net/ipv6/conf/default/accept_dad': 0,
    'net/ipv6/conf/default/accept_ra': 0,
    'net/ipv6/conf/default/router_solicitations': 0,
    'net/ipv4/conf/all/rp_filter': 0,
    'net/ipv4/conf/default/rp_filter': 0,
    'net/ipv4/ip_forward': 1,
    ...(families.includes(6) ? { 'net/ipv6/conf/all/forwarding': 1 } : {}),
  }
  return Object.entries(settings)
    .map(([path, value]) => `[ ! -e /proc/sys/${path} ] || echo ${value} >/proc/sys/${path}`)
    .join('\n')
}

async function batch(options: readonly string[], lines: readonly string[]): Promise<void> {
  await runCommand(['ip', ...options, '-batch', '-'], { input: `${lines.join('\n')}\n` })
}
