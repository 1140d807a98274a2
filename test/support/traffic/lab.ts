// SPDX-License-Identifier: MIT
/**
 * A world whose director runs xlvs, set up with the two programs as a user would.
 */
import { setTimeout } from 'node:timers/promises'
import { KernelDatapath, verdictOf } from '../../../src/index.js'
import { BpfLink, BpfMap } from '../../../src/libbpf/index.js'
import {
  createWorld,
  type ExecOptions,
  type ExecResult,
  type Family,
  type LayoutOptions,
  type Server,
  type World,
} from '../../../src/testing/index.js'
import { packageFile } from '../../../src/util/package.js'
import {
  balanced,
  endpoint,
  METHODS,
  otherFamily,
  PORTS,
  type Balanced,
  type Count,
  type Method,
} from './plan.js'

/** `tc`: with every offload on. `xdp`: XDP in the driver of the veths, tc behind it. */
export const HOOKS = ['tc', 'xdp'] as const
/** `clsact`: tc as before Linux 6.6, with a filter instead of a link. */
export type Hook = (typeof HOOKS)[number] | 'clsact'

export interface LabOptions extends LayoutOptions {
  readonly methods?: readonly Method[]
}

/** One line of `ipvsadm -Ln --stats --exact`, without the name. */
export interface ListedStats {
  readonly conns: number
  readonly in: Count
  readonly out: Count
}

export interface ServiceStats {
  readonly service: ListedStats
  /** By address and port as listed. */
  readonly dests: ReadonlyMap<string, ListedStats>
}

/** One line of `ipvsadm -Lnc`. */
export interface ListedConn {
  readonly protocol: string
  readonly state: string
  readonly source: string
  readonly virtual: string
  readonly destination: string
}

const CLSACT_UP = `
  import { KernelDatapath } from ${JSON.stringify(packageFile('build', 'js', 'index.js'))}
  KernelDatapath.open().up({ xdp: 'off', tc: 'clsact' })
`

export class Lab implements AsyncDisposable {
  readonly world: World
  readonly hook: Hook
  readonly services: readonly Balanced[]
  /** The director's data plane as the library sees it: for looking often. */
  readonly datapath: KernelDatapath

  private constructor(world: World, hook: Hook, services: readonly Balanced[]) {
    this.world = world
    this.hook = hook
    this.services = services
    this.datapath = KernelDatapath.open({ netns: `/run/netns/${world.director.netns}`, load: 'never' })
  }

  /** Namespaces, real servers that answer, and xlvs loaded; no services yet. */
  static async create(hook: Hook, options: LabOptions = {}): Promise<Lab> {
    const world = await createWorld(options)
    try {
      const services = balanced((f, n) => world.vip(f, n), world.families, options.methods ?? METHODS)
      await Promise.all(world.servers.map((server) => prepare(server, services)))
      const lab = new Lab(world, hook, services)
      if (hook === 'xdp') await world.xdpReady()
      await lab.up('--xdp', hook === 'xdp' ? 'native' : 'off')
      return lab
    } catch (error) {
      await world[Symbol.asyncDispose]()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.datapath.down()
      this.datapath[Symbol.dispose]()
    } finally {
      await this.world[Symbol.asyncDispose]()
    }
  }

  service(family: Family, method: Method, protocol: Balanced['protocol']): Balanced {
    const found = this.services.find(
      (service) => service.family === family && service.method === method && service.protocol === protocol,
    )
    if (found === undefined) throw new RangeError(`this lab has no ${protocol} over ${method}`)
    return found
  }

  /** `ipvsadm …` in the director. */
  ipvsadm(words: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    return this.world.director.exec(packageFile('build', 'bin', 'ipvsadm'), words, options)
  }

  /** `xlvs …` in the director; returns what it printed. */
  async xlvs(...words: string[]): Promise<string> {
    return (await this.world.director.exec(packageFile('build', 'bin', 'xlvs'), words)).stdout
  }

  /** `xlvs up`: the first time loads, every other time upgrades. */
  async up(...words: readonly string[]): Promise<void> {
    // Only the library can choose the old way where there is a new one.
    if (this.hook === 'clsact')
      await this.world.director.exec('node', ['--input-type=module', '-e', CLSACT_UP])
    else await this.xlvs('up', ...words)
  }

  /** Ids of the programs that see the packets of the director's devices, XDP and tc. */
  async programs(): Promise<number[]> {
    const { path, devices } = this.datapath.status()
    const ids: number[] = []
    for (const { name, ifindex, tc, xdp } of devices) {
      if (tc === 'tcx') ids.push(linkedProgram(`${path}/links/tc-${ifindex}`))
      if (xdp !== null) ids.push(linkedProgram(`${path}/links/xdp-${ifindex}`))
      if (tc !== 'clsact') continue
      const { stdout } = await this.world.director.exec('tc', [
        '-j',
        'filter',
        'show',
        'dev',
        name,
        'ingress',
      ])
      const filters = JSON.parse(stdout) as readonly { options?: { prog?: { id: number } } }[]
      ids.push(...filters.flatMap(({ options }) => (options?.prog === undefined ? [] : [options.prog.id])))
    }
    return ids
  }

  /** Adds services, with all real servers unless told with which, by one `ipvsadm -R`. */
  async configure(
    services: readonly Balanced[],
    servers: readonly Server[] = this.world.servers,
  ): Promise<void> {
    const rules = services.flatMap((service) => [
      `-A ${serviceWords(service)} -s rr`,
      ...servers.map((server) => `-a ${serviceWords(service)} ${destWords(service, server)}`),
    ])
    await this.ipvsadm(['-R'], { input: `${rules.join('\n')}\n` })
  }

  /** What `ipvsadm -Ln --stats --exact` says of a service, and of each of its dests. */
  async listedStats(service: Balanced): Promise<ServiceStats> {
    const listed = (await this.allStats()).get(serviceWords(service))
    if (listed === undefined) throw new RangeError(`not listed: ${serviceWords(service)}`)
    return listed
  }

  /** The same for all services, by {@link serviceWords}. */
  async allStats(): Promise<Map<string, ServiceStats>> {
    const { stdout } = await this.ipvsadm(['-L', '-n', '--stats', '--exact'])
    const services = new Map<string, ServiceStats>()
    let dests = new Map<string, ListedStats>()
    for (const row of stdout
      .split('\n')
      .slice(3)
      .filter((row) => row !== '')) {
      const [kind = '', name = '', ...numbers] = row.trim().split(/\s+/)
      const [conns = NaN, inPackets = NaN, outPackets = NaN, inBytes = NaN, outBytes = NaN] =
        numbers.map(Number)
      const stats = {
        conns,
        in: { packets: inPackets, bytes: inBytes },
        out: { packets: outPackets, bytes: outBytes },
      }
      if (kind === '->') {
        dests.set(name, stats)
        continue
      }
      dests = new Map()
      services.set(`${kind === 'TCP' ? '-t' : '-u'} ${name}`, { service: stats, dests })
    }
    return services
  }

  /** What `ipvsadm -Lnc` says of connections to a service. */
  async listedConns(service: Balanced): Promise<ListedConn[]> {
    return (await this.allConns()).filter((conn) => isOf(conn, service))
  }

  /** Every line of `ipvsadm -Lnc`. */
  async allConns(): Promise<ListedConn[]> {
    const { stdout } = await this.ipvsadm(['-L', '-n', '-c'])
    return stdout
      .split('\n')
      .slice(2)
      .filter((row) => row !== '')
      .map((row) => row.trim().split(/\s+/))
      .map(([protocol = '', , state = '', source = '', virtual = '', destination = '']) => {
        return { protocol, state, source, virtual, destination }
      })
  }

  /** How often a hook gave one of these verdicts, by `xlvs stats`' source. */
  verdicts(hook: 'xdp' | 'tc_ingress', ...reasons: readonly string[]): number {
    return this.datapath
      .reasons()
      .filter((entry) => entry.hook === hook && reasons.includes(entry.reason))
      .reduce((sum, { count }) => sum + Number(count), 0)
  }

  /** Lets the next packet to each next hop be one that XDP leaves to tc, see bpf/ipvs/hop.h. */
  makeNeighbourChecksDue(): void {
    using checks = BpfMap.openPinned(`${this.datapath.status().path}/maps/hop_checks`)
    const longAgo = new Uint8Array([1, 0, 0, 0])
    // A world has a handful of next hops, numbered from 1.
    for (let number = 1; number < 64; number++) {
      const stamp = checks.get(u32(number))
      if (stamp?.some((byte) => byte !== 0) === true) checks.set(u32(number), longAgo)
    }
  }

  /** Verdicts that cost a packet, by name. */
  drops(): string[] {
    return this.datapath
      .reasons()
      .filter(({ number }) => verdictOf(number).kind === 'dropped')
      .map(({ hook, reason, count }) => `${hook} ${reason} ${count}`)
  }

  /** Packets that a hook forwarded, both directions. */
  forwarded(hook: 'xdp' | 'tc_ingress'): number {
    return this.verdicts(hook, 'FORWARD_IN', 'FORWARD_NEW', 'FORWARD_OUT')
  }
}

/** Whether a connection listed belongs to a service. */
export function isOf({ protocol, virtual }: ListedConn, service: Balanced): boolean {
  return protocol === service.protocol.toUpperCase() && virtual === endpoint(service.address, service.port)
}

/** `-t 10.0.0.1:80` */
export function serviceWords({ protocol, address, port }: Balanced): string {
  return `${protocol === 'tcp' ? '-t' : '-u'} ${endpoint(address, port)}`
}

/** The real server of a service as ipvsadm lists it. */
export function destEndpoint(service: Balanced, server: Server): string {
  const family = service.method === 'tun-other' ? otherFamily(service.family) : service.family
  const port = service.method === 'masq' ? PORTS[service.protocol].masq : service.port
  return endpoint(server.address(family), port)
}

/** `-r 10.2.0.11:8080 -m` */
export function destWords(service: Balanced, server: Server): string {
  const option = { masq: '-m', dr: '-g', tun: '-i', 'tun-other': '-i' }[service.method]
  return `-r ${destEndpoint(service, server)} ${option}`
}

/** Real servers listen on their own addresses and on the virtual ones. */
async function prepare(server: Server, services: readonly Balanced[]): Promise<void> {
  const virtual = services.filter(({ method }) => method !== 'masq').map(({ address }) => address)
  for (const address of new Set(virtual)) await server.acceptVirtual(address)
  if (services.some(({ method }) => method.startsWith('tun'))) await server.decapsulate()
  for (const port of Object.values(PORTS.tcp)) await server.http({ port })
  for (const port of Object.values(PORTS.udp)) await server.udp({ port })
}

function u32(value: number): Uint8Array {
  return new Uint8Array(new Uint32Array([value]).buffer)
}

function linkedProgram(path: string): number {
  using link = BpfLink.openPinned(path)
  return link.info().programId
}

/** Looks until `look` finds something; a time-out fails with what it saw last. */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 8_000,
): Promise<T> {
  for (const deadline = Date.now() + timeoutMs; ; await setTimeout(5)) {
    const found = await look()
    if (found !== undefined) return found
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`)
  }
}
