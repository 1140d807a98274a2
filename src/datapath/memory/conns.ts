// SPDX-License-Identifier: MIT
/**
 * The model's connection table: by client, newest first, as the kernel's chains.
 *
 * The client's side alone chooses the chain, so one entry is found by packets of both
 * directions.
 */
import type { Endpoint } from '../../ipvs/conn.js'
import type { FwdMethod } from '../../ipvs/dest.js'
import type { TcpState } from '../../ipvs/proto/tcp.js'
import type { Family } from '../../ipvs/service.js'
import type { DestObject } from './objects.js'

/** Protocols the model forwards. */
export type ConnProtocol = 'tcp' | 'udp'

export interface Tuple {
  readonly family: Family
  readonly protocol: ConnProtocol
  readonly source: Endpoint
  readonly destination: Endpoint
}

export interface ConnObject {
  readonly family: Family
  readonly protocol: ConnProtocol
  readonly client: Endpoint
  readonly virtual: Endpoint
  /** Where it goes: fixed when it was created, also when the dest is edited. */
  readonly real: Endpoint
  readonly fwd: FwdMethod
  readonly dest: DestObject
  state: TcpState
  active: boolean
  /** No reply was ever seen, and none is expected. */
  noOutput: boolean
  inPackets: number
  timeoutS: number
  expiresAtMs: number
}

export class ConnTable {
  readonly #chains = new Map<string, ConnObject[]>()

  /** A packet of the client: its source is the client, its destination the service. */
  findIn({ family, protocol, source, destination }: Tuple): ConnObject | undefined {
    // Port 0 is how templates and half-known connections are kept; no packet finds those.
    if (source.port === 0) return undefined
    return this.#chain(family, protocol, source)?.find((conn) => same(conn.virtual, destination))
  }

  /** A reply: its destination is the client, its source whoever answers. */
  findOut({ family, protocol, source, destination }: Tuple): ConnObject | undefined {
    return this.#chain(family, protocol, destination)?.find((conn) =>
      same(conn.fwd === 'masq' ? conn.real : conn.virtual, source),
    )
  }

  add(conn: ConnObject): void {
    const key = chainKey(conn.family, conn.protocol, conn.client)
    this.#chains.set(key, [conn, ...(this.#chains.get(key) ?? [])])
  }

  remove(conn: ConnObject): void {
    const key = chainKey(conn.family, conn.protocol, conn.client)
    const rest = (this.#chains.get(key) ?? []).filter((other) => other !== conn)
    if (rest.length === 0) this.#chains.delete(key)
    else this.#chains.set(key, rest)
  }

  *[Symbol.iterator](): Iterator<ConnObject> {
    for (const chain of this.#chains.values()) yield* chain
  }

  #chain(family: Family, protocol: ConnProtocol, client: Endpoint): readonly ConnObject[] | undefined {
    return this.#chains.get(chainKey(family, protocol, client))
  }
}

function chainKey(family: Family, protocol: ConnProtocol, { address, port }: Endpoint): string {
  return `${family} ${protocol} ${address} ${port}`
}

function same(a: Endpoint, b: Endpoint): boolean {
  return a.port === b.port && a.address === b.address
}
