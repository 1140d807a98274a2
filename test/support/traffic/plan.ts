// SPDX-License-Identifier: MIT
/**
 * Who serves what in the traffic tests: a virtual address for each way of forwarding,
 * HTTP and UDP on each, all of them in one world.
 */
import type { Family } from '../../../src/testing/index.js'

/** `tun-other`: the tunnel's outer header is of the other family. */
export const METHODS = ['masq', 'dr', 'tun', 'tun-other'] as const
export type Method = (typeof METHODS)[number]

export const FAMILIES = [4, 6] as const satisfies readonly Family[]

export const PROTOCOLS = ['tcp', 'udp'] as const
export type Protocol = (typeof PROTOCOLS)[number]

/** Port of the service, and of the real servers where they may have another. */
export const PORTS = { tcp: { virtual: 80, masq: 8080 }, udp: { virtual: 53, masq: 5353 } } as const

/** One virtual service of a world. */
export interface Balanced {
  readonly family: Family
  readonly method: Method
  readonly protocol: Protocol
  /** Address without a port. */
  readonly address: string
  readonly port: number
}

export const otherFamily = (family: Family): Family => (family === 4 ? 6 : 4)

/** `10.0.0.1:80`, `[fd00::1]:80`: as ipvsadm wants and prints it. */
export const endpoint = (address: string, port: number): string =>
  address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`

export const url = ({ address, port }: Pick<Balanced, 'address' | 'port'>): string =>
  `http://${endpoint(address, port)}/`

/** Every address of a way of forwarding: number 1 is masquerading, and so on. */
export function balanced(
  vip: (family: Family, n: number) => string,
  families: readonly Family[],
  methods: readonly Method[],
): Balanced[] {
  return families.flatMap((family) =>
    methods.flatMap((method) =>
      PROTOCOLS.map((protocol) => ({
        family,
        method,
        protocol,
        address: vip(family, METHODS.indexOf(method) + 1),
        port: PORTS[protocol].virtual,
      })),
    ),
  )
}

/** Packets and bytes, one way. */
export interface Count {
  readonly packets: number
  readonly bytes: number
}
