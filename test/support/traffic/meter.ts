// SPDX-License-Identifier: MIT
/**
 * A second opinion on counters: nft in the client's namespace counts what it really
 * sends to each service and gets back.
 */
import type { Host } from '../../../src/testing/index.js'
import type { Balanced, Count } from './plan.js'

const TABLE = 'count_xlvs'

export interface Traffic {
  readonly sent: Count
  readonly received: Count
}

interface NftObject {
  readonly counter?: { readonly name: string; readonly packets: number; readonly bytes: number }
}

export class Meter {
  readonly #client: Host

  private constructor(client: Host) {
    this.#client = client
  }

  /** Starts counting. */
  static async install(client: Host, services: readonly Balanced[]): Promise<Meter> {
    const rule = (service: Balanced, way: 'sent' | 'received') => {
      const [address, port] = way === 'sent' ? ['daddr', 'dport'] : ['saddr', 'sport']
      const ip = service.family === 4 ? 'ip' : 'ip6'
      return `${ip} ${address} ${service.address} ${service.protocol} ${port} ${service.port} counter name ${name(service, way)}`
    }
    const lines = [
      `table inet ${TABLE} {`,
      ...services.flatMap((service) =>
        (['sent', 'received'] as const).map((way) => `counter ${name(service, way)} {}`),
      ),
      // Fragments are put together at -400: what is counted are whole packets.
      'chain out { type filter hook output priority 0;',
      ...services.map((service) => rule(service, 'sent')),
      '}',
      'chain in { type filter hook input priority 0;',
      ...services.map((service) => rule(service, 'received')),
      '}',
      '}',
    ]
    await client.exec('nft', ['-f', '-'], { input: `${lines.join('\n')}\n` })
    return new Meter(client)
  }

  async read(service: Balanced): Promise<Traffic> {
    const [traffic] = await this.readAll([service])
    return traffic as Traffic
  }

  /** For each of the services, all at one time. */
  async readAll(services: readonly Balanced[]): Promise<Traffic[]> {
    const { stdout } = await this.#client.exec('nft', ['-j', 'list', 'counters', 'table', 'inet', TABLE])
    const { nftables } = JSON.parse(stdout) as { nftables: readonly NftObject[] }
    const count = (service: Balanced, way: 'sent' | 'received'): Count => {
      const counter = nftables.find((object) => object.counter?.name === name(service, way))?.counter
      if (counter === undefined) throw new RangeError(`${name(service, way)} is not counted`)
      return { packets: counter.packets, bytes: counter.bytes }
    }
    return services.map((service) => ({
      sent: count(service, 'sent'),
      received: count(service, 'received'),
    }))
  }
}

function name({ family, method, protocol }: Balanced, way: 'sent' | 'received'): string {
  return `${protocol}${family}_${method.replace('-', '_')}_${way}`
}
