// SPDX-License-Identifier: MIT
/**
 * The map of a small world: who is there, and with which addresses.
 *
 *                    front 10.1.0.0/24 fd01::/64      back 10.2.0.0/24 fd02::/64
 *      client1 .2 ----+                                 +---- server1 .11
 *      client2 .3 ----+---- .1 director .1 -------------+---- server2 .12
 *                     +---- .254 router .254 -----------+---- server3 .13
 *
 * Virtual addresses, 10.0.0.1 and fd00::1 and up, are on the director's lo. Everything
 * is routed through the director, except what a server sends from a virtual address
 * (direct routing, tunnels): that takes the router, as it would at home.
 *
 * Pure computation; world.ts carries it out.
 */

export type Family = 4 | 6

/** One end of a cable. */
export interface Port {
  readonly device: string
  readonly mac: string
  readonly segment: SegmentName
  /** Without prefix length, by family; families the world lacks are missing. */
  readonly addresses: Readonly<Partial<Record<Family, string>>>
}

export type SegmentName = 'front' | 'back'
export type Role = 'client' | 'director' | 'server' | 'router'

export interface HostPlan {
  readonly role: Role
  /** `client1`, `director`, `server2`: unique within the world. */
  readonly name: string
  readonly ports: readonly Port[]
}

export interface LayoutOptions {
  /** 1 when left out; at most 9. */
  readonly clients?: number
  /** 3 when left out; at most 99. */
  readonly servers?: number
  /** [4, 6] when left out. */
  readonly families?: readonly Family[]
  /**
   * The way around the director for replies of direct routing and tunnels. With it,
   * hosts meet on bridges; without it, a segment of two is one plain veth pair.
   * true when left out.
   */
  readonly router?: boolean
  /** 1500 when left out. */
  readonly mtu?: number
}

export interface Layout {
  readonly families: readonly Family[]
  readonly mtu: number
  readonly hosts: readonly HostPlan[]
}

const SEGMENT_NUMBER = { front: 1, back: 2 } as const

/** Virtual address number `n`, counted from 1. */
export function virtualAddress(family: Family, n = 1): string {
  return family === 4 ? `10.0.0.${n}` : `fd00::${n}`
}

export const PREFIX_LENGTH: Readonly<Record<Family, number>> = { 4: 24, 6: 64 }

export function planLayout(options: LayoutOptions = {}): Layout {
  const { clients = 1, servers = 3, families = [4, 6], router = true, mtu = 1500 } = options
  if (!Number.isInteger(clients) || clients < 1 || clients > 9) throw new RangeError('1 to 9 clients')
  if (!Number.isInteger(servers) || servers < 1 || servers > 99) throw new RangeError('1 to 99 servers')
  if (families.length === 0) throw new RangeError('at least one family')

  const port = (device: string, segment: SegmentName, number: number): Port => ({
    device,
    segment,
    // The last byte is the address's, so that captures read by themselves.
    mac: `02:00:00:00:0${SEGMENT_NUMBER[segment]}:${number.toString(16).padStart(2, '0')}`,
    addresses: Object.fromEntries(
      families.map((family) => [
        family,
        family === 4
          ? `10.${SEGMENT_NUMBER[segment]}.0.${number}`
          : `fd0${SEGMENT_NUMBER[segment]}::${number}`,
      ]),
    ),
  })
  const through = (role: 'director' | 'router', number: number): HostPlan => ({
    role,
    name: role,
    ports: [port('eth0', 'front', number), port('eth1', 'back', number)],
  })
  const many = (role: 'client' | 'server', count: number, segment: SegmentName, first: number) =>
    Array.from({ length: count }, (_, i) => ({
      role,
      name: `${role}${i + 1}`,
      ports: [port('eth0', segment, first + i)],
    }))

  return {
    families,
    mtu,
    hosts: [
      through('director', 1),
      ...many('client', clients, 'front', 2),
      ...many('server', servers, 'back', 11),
      ...(router ? [through('router', 254)] : []),
    ],
  }
}

/** One veth pair; `port` numbers the bridge side where there is one. */
export interface Cable {
  readonly from: { readonly host: string; readonly port: Port }
  readonly to:
    { readonly host: string; readonly port: Port } | { readonly bridge: SegmentName; readonly device: string }
}

/** How the hosts of a segment meet: one cable between two, a bridge among more. */
export function planCables(layout: Layout): readonly Cable[] {
  return (['front', 'back'] as const).flatMap((segment): Cable[] => {
    const ends = layout.hosts.flatMap(({ name, ports }) =>
      ports.filter((port) => port.segment === segment).map((port) => ({ host: name, port })),
    )
    const [first, second] = ends
    if (first !== undefined && second !== undefined && ends.length === 2) return [{ from: first, to: second }]
    return ends.map((from, i) => ({ from, to: { bridge: segment, device: `${segment}${i}` } }))
  })
}
