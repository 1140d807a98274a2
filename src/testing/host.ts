// SPDX-License-Identifier: MIT
/**
 * One host of a small world: a network namespace with commands, servers and clients
 * in it. Real traffic comes from its agent, a process that lives inside.
 */
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { Failure } from '../util/errors.js'
import { packageFile } from '../util/package.js'
import type { AgentCalls, AgentReply, Asked, HttpReply, StreamReport, Visit } from './agent-protocol.js'
import type { Family, HostPlan, Port } from './layout.js'
import {
  inNamespace,
  runCommand,
  RunningProcess,
  type Entrance,
  type ExecOptions,
  type ExecResult,
} from './process.js'

export interface HttpOptions {
  /** A free one when left out. */
  readonly port?: number
  /** All addresses of both families when left out. */
  readonly address?: string
}

export interface UdpOptions {
  readonly port: number
  /** Every address the host has, virtual ones included, when left out. */
  readonly addresses?: readonly string[]
}

export interface AskOptions {
  /** Leave from this address and port instead of whatever is free. */
  readonly localAddress?: string
  readonly localPort?: number
  /** 5 s when left out, 60 s for bulk transfers. */
  readonly timeoutMs?: number
}

export interface DatagramOptions extends AskOptions {
  /**
   * true: the socket is connected, so an ICMP error rejects with ECONNREFUSED and the
   * like; without it, silence does.
   */
  readonly connected?: boolean
}

export interface StreamOptions {
  readonly localPort?: number
  /** 2000 when left out. */
  readonly perSecond?: number
  /** Of each datagram, about; 64 when left out. */
  readonly bytes?: number
  /** How many may be on the way; 64 when left out. */
  readonly window?: number
}

/** A stream of datagrams under way. */
export interface Stream extends AsyncDisposable {
  readonly localPort: number
  report(): Promise<StreamReport>
  /** Ends it; what is missing in this report is lost. */
  stop(): Promise<StreamReport>
}

/** A server started on a host. */
export interface TestServer extends AsyncDisposable {
  readonly port: number
  /** Every request it saw, in order. */
  visits(): Promise<readonly Visit[]>
  close(): Promise<void>
}

/** Requests that share one TCP connection. */
export interface Session extends AsyncDisposable {
  get(url: string, options?: AskOptions): Promise<HttpReply>
  /** As {@link Host.download}. */
  download(base: string, bytes: number, options?: AskOptions): Promise<BulkReply>
  close(): Promise<void>
}

export interface BulkReply {
  readonly bytes: number
  readonly sha256: string
  readonly seconds: number
}

export class Host {
  readonly name: string
  /** As `ip netns` knows it. */
  readonly netns: string
  readonly ports: readonly Port[]
  readonly #started = new Set<RunningProcess>()
  readonly #virtual: string[] = []
  #agent: Promise<AgentClient> | undefined

  constructor(plan: HostPlan, netns: string) {
    this.name = plan.name
    this.netns = netns
    this.ports = plan.ports
  }

  /** Its own address; on hosts with two devices the one in `segment`. */
  address(family: Family, segment?: Port['segment']): string {
    const address = this.port(segment).addresses[family]
    if (address === undefined) throw new RangeError(`this world has no IPv${family}`)
    return address
  }

  /** Its device, MAC and addresses in a segment; the first one when left out. */
  port(segment?: Port['segment']): Port {
    const port = this.ports.find((port) => segment === undefined || port.segment === segment)
    if (port === undefined)
      throw new RangeError(`${this.name} has no device in '${segment ?? 'any segment'}'`)
    return port
  }

  /** Runs a command in the namespace; a status other than 0 is a Failure unless `check` is false. */
  exec(command: string, args: readonly string[] = [], options: ExecOptions = {}): Promise<ExecResult> {
    return runCommand(inNamespace(this.netns, options.via ?? 'nsenter', command, args), options)
  }

  /** Starts a command in the namespace; it is ended with the world at the latest. */
  spawn(
    command: string,
    args: readonly string[] = [],
    options: { readonly via?: Entrance } & Pick<ExecOptions, 'env' | 'cwd'> = {},
  ): RunningProcess {
    const line = inNamespace(this.netns, options.via ?? 'nsenter', command, args)
    const started = new RunningProcess(line, options)
    this.#started.add(started)
    const forget = () => this.#started.delete(started)
    started.ended.then(forget, forget)
    return started
  }

  /** `host.ip('route', 'add', …)`; returns what it printed. */
  async ip(...args: string[]): Promise<string> {
    return (await runCommand(['ip', '-n', this.netns, ...args])).stdout
  }

  async sysctl(name: string, value: string | number): Promise<void> {
    // Dots separate, but device names may have some: sysctl(8) takes slashes for that.
    await this.exec('sh', [
      '-c',
      'printf %s "$2" >"/proc/sys/$1"',
      'sysctl',
      name.replaceAll('.', '/'),
      `${value}`,
    ])
  }

  /** Switches offloads, `ethtool -K`: `offload({ tx: false, gro: true })`. */
  async offload(features: Readonly<Record<string, boolean>>, device = this.port().device): Promise<void> {
    const words = Object.entries(features).flatMap(([feature, on]) => [feature, on ? 'on' : 'off'])
    await this.exec('ethtool', ['-K', device, ...words])
  }

  /**
   * A real HTTP server: `GET /` answers with the host's name, `GET /bulk/N` with N
   * bytes, `POST` with the SHA-256 of what was sent.
   */
  async http({ port = 0, address = '::' }: HttpOptions = {}): Promise<TestServer> {
    const agent = await this.#talk()
    const { id, port: listening } = await agent.call('serveHttp', { name: this.name, address, port })
    return testServer(agent, id, listening)
  }

  /** A UDP server that answers each datagram with the host's name and the datagram. */
  async udp({ port, addresses = this.#allAddresses() }: UdpOptions): Promise<TestServer> {
    const agent = await this.#talk()
    const { id } = await agent.call('echoUdp', { name: this.name, addresses, port })
    return testServer(agent, id, port)
  }

  /** One HTTP request on a connection of its own. */
  async get(url: string, { timeoutMs = 5_000, ...options }: AskOptions = {}): Promise<HttpReply> {
    return (await this.#talk()).call('httpGet', { url, timeoutMs, ...options })
  }

  /** Several HTTP requests on one connection. */
  async session(): Promise<Session> {
    const agent = await this.#talk()
    const { id } = await agent.call('openSession', {})
    const close = async () => void (await agent.call('close', { id }))
    return {
      get: (url, { timeoutMs = 5_000, ...options } = {}) =>
        agent.call('httpGet', { url, timeoutMs, session: id, ...options }),
      download: (base, bytes, options) => download(agent, base, bytes, { ...options, session: id }),
      close,
      [Symbol.asyncDispose]: close,
    }
  }

  /** Downloads `bytes` from a server started with `http`, and sums them up. */
  async download(base: string, bytes: number, options: AskOptions = {}): Promise<BulkReply> {
    return download(await this.#talk(), base, bytes, options)
  }

  /** Uploads `bytes`; the sum is what the server found. */
  async upload(
    url: string,
    bytes: number,
    { timeoutMs = 60_000, ...options }: AskOptions = {},
  ): Promise<BulkReply> {
    const { body, seconds } = await (
      await this.#talk()
    ).call('httpBulk', { url, timeoutMs, upload: bytes, ...options })
    return { bytes, sha256: body, seconds }
  }

  /** Sends one datagram and waits for the answer. */
  async ask(
    address: string,
    port: number,
    data: string,
    { timeoutMs = 5_000, ...options }: DatagramOptions = {},
  ): Promise<Asked> {
    return (await this.#talk()).call('askUdp', { address, port, data, timeoutMs, ...options })
  }

  /** Sends numbered datagrams to a server started with `udp` until stopped, and counts the answers. */
  async stream(address: string, port: number, options: StreamOptions = {}): Promise<Stream> {
    const { perSecond = 2_000, bytes = 64, window = 64, localPort } = options
    const agent = await this.#talk()
    const opened = await agent.call('openStream', { address, port, localPort, perSecond, bytes, window })
    const { id } = opened
    return {
      localPort: opened.localPort,
      report: () => agent.call('streamReport', { id, stop: false }),
      stop: () => agent.call('streamReport', { id, stop: true }),
      [Symbol.asyncDispose]: async () => void (await agent.call('close', { id })),
    }
  }

  /** Takes a virtual address on lo; UDP servers started later answer from it too. */
  async addVirtual(address: string): Promise<void> {
    await this.ip('addr', 'add', `${address}/${address.includes(':') ? '128' : '32'}`, 'dev', 'lo')
    this.#virtual.push(address)
  }

  /** Ends everything started here. Called by the world. */
  async stop(): Promise<void> {
    const agent = await this.#agent?.catch(() => undefined)
    agent?.hangUp()
    await Promise.all([...this.#started].map((process) => process[Symbol.asyncDispose]()))
  }

  /** Ends everything started here, now, without waiting: the process itself is ending. */
  kill(): void {
    for (const { child } of this.#started) child.kill('SIGKILL')
  }

  #allAddresses(): string[] {
    return [...this.ports.flatMap((port) => Object.values(port.addresses)), ...this.#virtual]
  }

  #talk(): Promise<AgentClient> {
    this.#agent ??= (async () => {
      const script = packageFile('build', 'js', 'testing', 'agent.js')
      if (!existsSync(script)) {
        throw new Failure('TOOL_MISSING', 'the traffic agent is not built', { hint: 'make js' })
      }
      const process = this.spawn('node', [script])
      await process.printed(/^ready\n/, 30_000)
      return new AgentClient(this.name, process)
    })()
    return this.#agent
  }
}

/** A real server: what direct routing and tunnels ask of it. */
export class Server extends Host {
  readonly #router: HostPlan | undefined

  constructor(plan: HostPlan, netns: string, router: HostPlan | undefined) {
    super(plan, netns)
    this.#router = router
  }

  /**
   * Makes it answer for a virtual address (direct routing, tunnels): the address on
   * lo, silence about it in ARP, and replies from it straight to the client.
   */
  async acceptVirtual(address: string): Promise<void> {
    const family = address.includes(':') ? 6 : 4
    if (family === 4) {
      await this.sysctl('net.ipv4.conf.all.arp_ignore', 1)
      await this.sysctl('net.ipv4.conf.all.arp_announce', 2)
    }
    await this.addVirtual(address)
    const gateway = this.#router?.ports.find(({ segment }) => segment === 'back')?.addresses[family]
    if (gateway === undefined) return
    const table = '77'
    await this.ip(`-${family}`, 'route', 'replace', 'default', 'via', gateway, 'table', table)
    await this.ip(`-${family}`, 'rule', 'add', 'from', address, 'lookup', table)
  }

  /**
   * Takes IP-in-IP off what arrives (both families outside, both inside), for tunnel
   * forwarding: a tc program, because not every kernel has the ipip module.
   */
  async decapsulate(): Promise<void> {
    const { device } = this.port()
    const object = packageFile('build', 'bpf', 'testing', 'decap.o')
    if (!existsSync(object)) throw new Failure('TOOL_MISSING', `${object} is not built`, { hint: 'make bpf' })
    await this.exec('tc', ['qdisc', 'replace', 'dev', device, 'clsact'])
    await this.exec('tc', ['filter', 'replace', 'dev', device, 'ingress', 'pref', '1', 'handle', '1',
      'bpf', 'direct-action', 'object-file', object, 'section', 'tc']) // prettier-ignore
  }
}

async function download(
  agent: AgentClient,
  base: string,
  bytes: number,
  { timeoutMs = 60_000, ...options }: AskOptions & { readonly session?: number },
): Promise<BulkReply> {
  const url = new URL(`/bulk/${bytes}`, base).href
  const { body, seconds } = await agent.call('httpBulk', { url, timeoutMs, digest: true, ...options })
  return { bytes, sha256: body, seconds }
}

function testServer(agent: AgentClient, id: number, port: number): TestServer {
  const close = async () => void (await agent.call('close', { id }))
  return {
    port,
    visits: async () => (await agent.call('visits', { id })).visits,
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** Our end of the conversation with agent.ts. */
class AgentClient {
  readonly #host: string
  readonly #process: RunningProcess
  readonly #waiting = new Map<number, { resolve: (result: object) => void; reject: (error: Error) => void }>()
  #lastNumber = 0

  constructor(host: string, process: RunningProcess) {
    this.#host = host
    this.#process = process
    const { stdout } = process.child
    if (stdout === null) throw new TypeError('the agent has no output')
    createInterface({ input: stdout }).on('line', (line) => this.#hear(line))
    const gone = () => {
      for (const { reject } of this.#waiting.values()) {
        reject(new Failure('SYSTEM', `the traffic agent of ${host} is gone: ${process.stderr}`))
      }
      this.#waiting.clear()
    }
    process.ended.then(gone, gone)
  }

  call<K extends keyof AgentCalls>(call: K, args: AgentCalls[K][0]): Promise<AgentCalls[K][1]> {
    return new Promise((resolve, reject) => {
      const number = ++this.#lastNumber
      this.#waiting.set(number, { resolve, reject })
      this.#process.child.stdin?.write(`${JSON.stringify({ number, call, with: args })}\n`, (error) => {
        if (error instanceof Error)
          reject(new Failure('SYSTEM', `the traffic agent of ${this.#host} is gone`))
      })
    })
  }

  /** An agent ends when nobody talks to it any more. */
  hangUp(): void {
    this.#process.child.stdin?.end()
  }

  #hear(line: string): void {
    if (!line.startsWith('{')) return // The greeting.
    const reply = JSON.parse(line) as AgentReply
    const waiting = this.#waiting.get(reply.number)
    this.#waiting.delete(reply.number)
    if ('error' in reply) waiting?.reject(new Failure('SYSTEM', `${this.#host}: ${reply.error}`))
    else waiting?.resolve(reply.result)
  }
}
