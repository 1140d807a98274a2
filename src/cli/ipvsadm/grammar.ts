// SPDX-License-Identifier: MIT
/**
 * From command line words to one command, with every check ipvsadm makes before it
 * talks to the kernel, in its order and its words.
 *
 * Pure but for names: looking up hosts and services is left to `Lookup`.
 */
import { parseAddress, parseInetAton } from '../../ipvs/address.js'
import {
  MAX_INT,
  TUN_TYPES,
  type DestKey,
  type DestSpec,
  type FwdMethod,
  type TunFlags,
  type TunType,
} from '../../ipvs/dest.js'
import {
  fullMask,
  NO_FLAGS,
  type Family,
  type Protocol,
  type ServiceFlags,
  type ServiceKey,
  type ServiceSpec,
} from '../../ipvs/service.js'
import type { Timeouts } from '../../datapath/datapath.js'
import {
  FORMS,
  hasTunnelOption,
  illegalOption,
  illegalTunnelOption,
  type CommandName,
  type Form,
  type OptionName,
} from './options.js'
import { WordError, Words } from './words.js'

/** How names become numbers. */
export interface Lookup {
  /** First IPv4 address of a host, or undefined. */
  hostAddress(name: string): string | undefined
  /** Port of a service like `http`, or undefined. */
  servicePort(name: string, protocol: Protocol): number | undefined
}

/** What a listing shows, when it shows services; the first that applies. */
export const VIEWS = ['stats', 'rate', 'thresholds', 'persistent-conn', 'tun-info'] as const
export type View = (typeof VIEWS)[number] | 'plain'

export interface ListFormat {
  readonly view: View
  readonly numeric: boolean
  readonly exact: boolean
  readonly sorted: boolean
  /** `--persistent-conn` with `-c`: room for the data of persistence engines. */
  readonly engineData: boolean
}

export interface DaemonSpec {
  readonly role: 'master' | 'backup'
  readonly interface: string
  readonly syncId: number | undefined
  readonly maxLength: number | undefined
  readonly group: string | undefined
  readonly port: number | undefined
  readonly ttl: number | undefined
}

export type Command =
  | { readonly kind: 'help' | 'version' | 'flush' | 'restore' }
  | { readonly kind: 'add-service' | 'edit-service'; readonly spec: ServiceSpec }
  | { readonly kind: 'delete-service'; readonly service: ServiceKey }
  | { readonly kind: 'zero'; readonly service: ServiceKey | undefined }
  | { readonly kind: 'add-server' | 'edit-server'; readonly service: ServiceKey; readonly dest: DestSpec }
  | { readonly kind: 'delete-server'; readonly service: ServiceKey; readonly dest: DestKey }
  | { readonly kind: 'list-services'; readonly service: ServiceKey | undefined; readonly format: ListFormat }
  | { readonly kind: 'list-connections'; readonly format: ListFormat }
  | { readonly kind: 'list-timeouts' | 'list-daemons' }
  | { readonly kind: 'set'; readonly timeouts: Timeouts }
  | { readonly kind: 'start-daemon'; readonly daemon: DaemonSpec }
  | { readonly kind: 'stop-daemon'; readonly daemon: Pick<DaemonSpec, 'role' | 'syncId'> }
  | { readonly kind: 'save'; readonly numeric: boolean }

/** A command line that is none. `ends`: a whole `-R` ends with it. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
  readonly status: 2 | 255
  readonly ends: boolean

  constructor(message: string, status: 2 | 255 = 2, ends = true) {
    super(message)
    this.status = status
    this.ends = ends
  }
}

/** Where ipvsadm puts the persistence that `-p` alone asks for. */
const DEFAULT_PERSISTENCE_S = 360
/** 31 days: the longest time ipvsadm takes. */
const MAX_TIMEOUT_S = 31 * 24 * 60 * 60
const SCHEDULER_NAME_MAX = 15

/**
 * Reads the words after the program's name. `program` is how it was called, for the
 * one message that says it.
 */
export function parseCommand(words: readonly string[], program: string, lookup: Lookup): Command {
  try {
    return new Parser(words, program, lookup).parse()
  } catch (error) {
    if (error instanceof WordError) throw new UsageError(error.message, 255, false)
    throw error
  }
}

/** The message for a line that does not start with a command. */
export function tryHelp(program: string): UsageError {
  return new UsageError(`Try \`${program} -h' or '${program} --help' for more information.`, 255)
}

class Parser {
  readonly #words: Words<Form>
  readonly #program: string
  readonly #lookup: Lookup
  readonly #given = new Set<OptionName>()

  // The service, as far as it is known: what comes later depends on what came before.
  #protocol: Protocol | undefined
  #fwmark = 0
  #family: Family | undefined
  #address = '0.0.0.0'
  #port = 0
  #netmask = fullMask(4)
  #scheduler = ''
  #schedFlags: string | undefined
  #persistence = 0
  #onePacket = false
  #engine = ''

  #dest: DestKey = { address: '0.0.0.0', family: 4, port: 0 }
  #fwd: FwdMethod = 'route'
  #weight = 1
  #upperThreshold = 0
  #lowerThreshold = 0
  #tunType: TunType = 'ipip'
  #tunPort = 0
  #tunFlags: TunFlags = 'nocsum'

  #role: DaemonSpec['role'] = 'master'
  #interface = 'eth0'
  #syncId: number | undefined
  #maxLength: number | undefined
  #group: string | undefined
  #groupPort: number | undefined
  #ttl: number | undefined

  constructor(words: readonly string[], program: string, lookup: Lookup) {
    this.#words = new Words(words, FORMS)
    this.#program = program
    this.#lookup = lookup
  }

  parse(): Command {
    const name = this.#commandName()
    if (name === 'help' || name === 'version') return { kind: name }

    for (let found = this.#words.nextOption(); found !== undefined; found = this.#words.nextOption()) {
      this.#option(found.form, found.argument)
    }
    const timeouts = name === 'set' ? this.#timeouts() : undefined
    const extra = this.#words.nextPlain()
    if (extra !== undefined) throw new UsageError(`unexpected argument ${extra}`)

    const offence = illegalOption(name, this.#given)
    if (offence !== undefined) throw new UsageError(offence)
    return this.#command(name, timeouts)
  }

  #commandName(): CommandName {
    let found
    try {
      found = this.#words.nextOption()
    } catch (error) {
      if (error instanceof WordError) throw tryHelp(this.#program)
      throw error
    }
    const name = found?.form.command
    if (name === undefined) throw tryHelp(this.#program)
    if (name === 'start-daemon' || name === 'stop-daemon') {
      if (found?.argument !== 'master' && found?.argument !== 'backup') {
        throw new UsageError(
          name === 'start-daemon'
            ? 'illegal start-daemon parameter specified'
            : 'illegal start_daemon specified',
        )
      }
      this.#role = found.argument
    }
    return name
  }

  /** One option: what it says, or the message that it cannot say that. */
  #option({ command, option, long }: Form, given: string | undefined): void {
    if (command !== undefined) throw new UsageError(`invalid option \`${this.#words.lastWord}'`)
    if (option !== undefined) {
      if (this.#given.has(option)) throw new UsageError(`multiple '${option}' options specified`)
      this.#given.add(option)
    }
    const argument = given ?? ''
    switch (long) {
      case 'tcp-service':
        return this.#serviceAddress('tcp', argument)
      case 'udp-service':
        return this.#serviceAddress('udp', argument)
      case 'sctp-service':
        return this.#serviceAddress('sctp', argument)
      case 'fwmark-service':
        this.#fwmark =
          integer(argument, 1, 0xffff_ffff) ?? fail(`invalid fwmark value \`${argument}' specified`)
        // Names of ports are looked up as for TCP.
        this.#protocol = 'tcp'
        this.#family = 4
        return
      case 'ipv6':
        if (this.#fwmark === 0) throw new UsageError('-6 used before -f\n')
        this.#family = 6
        this.#netmask = fullMask(6)
        return
      case 'scheduler':
        this.#scheduler = argument.slice(0, SCHEDULER_NAME_MAX)
        return
      case 'persistent':
        this.#persistence = given === undefined ? DEFAULT_PERSISTENCE_S : timeout(given, 1)
        return
      case 'netmask':
        this.#netmask = this.#mask(argument)
        return
      case 'ops':
        this.#onePacket = true
        return
      case 'pe':
        this.#engine = argument
        return
      case 'sched-flags':
        this.#schedFlags = argument
        return
      case 'real-server':
        this.#dest = this.#realServer(argument)
        return
      case 'masquerading':
        this.#fwd = 'masq'
        return
      case 'ipip':
        this.#fwd = 'tunnel'
        return
      case 'gatewaying':
        this.#fwd = 'route'
        return
      case 'weight':
        this.#weight = integer(argument, 0, MAX_INT) ?? fail('illegal weight specified')
        return
      case 'u-threshold':
        this.#upperThreshold = integer(argument, 0, MAX_INT) ?? fail('illegal u_threshold specified')
        return
      case 'l-threshold':
        this.#lowerThreshold = integer(argument, 0, MAX_INT) ?? fail('illegal l_threshold specified')
        return
      case 'tun-type':
        this.#tunType = TUN_TYPES.find((type) => type === argument) ?? fail('illegal tunnel type specified')
        return
      case 'tun-port':
        this.#tunPort = integer(argument, 1, 65535) ?? fail('illegal tunnel port specified')
        return
      case 'tun-nocsum':
        this.#tunFlags = 'nocsum'
        return
      case 'tun-csum':
        this.#tunFlags = 'csum'
        return
      case 'tun-remcsum':
        this.#tunFlags = 'remcsum'
        return
      case 'mcast-interface':
        this.#interface = argument
        return
      case 'mcast-group':
        this.#group = multicastGroup(argument)
        return
      case 'mcast-port':
        this.#groupPort = integer(argument, 1, 65535) ?? fail('illegal mcast-port specified')
        return
      case 'mcast-ttl':
        this.#ttl = integer(argument, 1, 255) ?? fail('illegal mcast-ttl specified')
        return
      case 'sync-maxlen':
        this.#maxLength = integer(argument, 1, 65507) ?? fail('illegal sync-maxlen specified')
        return
      case 'syncid':
        this.#syncId = integer(argument, 0, 255) ?? fail('illegal syncid specified')
        return
      default:
        // The others are flags: being given is all they say.
        return
    }
  }

  #serviceAddress(protocol: Protocol, text: string): void {
    this.#protocol = protocol
    const parsed = this.#endpoint(text) ?? fail('illegal virtual server address[:port] specified')
    this.#address = parsed.address
    this.#family = parsed.family
    this.#port = parsed.port ?? 0
    // An IPv6 address brings its own mask, and forgets what -M said before it.
    if (parsed.family === 6) this.#netmask = fullMask(6)
  }

  #realServer(text: string): DestKey {
    const parsed = this.#endpoint(text) ?? fail('illegal real server address[:port] specified')
    // The service's port, if it was given before.
    return { address: parsed.address, family: parsed.family, port: parsed.port ?? this.#port }
  }

  /**
   * `host`, `host:port`, `[v6]:port` or bare IPv6, which is never split. Brackets around
   * anything but IPv6 swallow the port.
   */
  #endpoint(text: string): { address: string; family: Family; port?: number } | undefined {
    if (/^[0-9]*$/.test(text)) return undefined
    let host = text
    let port: string | undefined
    const bracketed = text.startsWith('[')
    if (bracketed) {
      const end = text.indexOf(']')
      if (end === -1 || text[end + 1] !== ':') return undefined
      host = text.slice(1, end)
      port = text.slice(end + 2)
    }
    const address = parseAddress(host)
    if (address?.family === 6) {
      if (port === undefined) return { address: address.text, family: 6 }
      const number = this.#portNumber(port)
      return number === undefined ? undefined : { address: address.text, family: 6, port: number }
    }

    const colon = host.lastIndexOf(':')
    port = colon === -1 ? undefined : host.slice(colon + 1)
    if (colon !== -1) host = host.slice(0, colon)
    const ipv4 = parseInetAton(host.replace(/\s.*$/s, '')) ?? this.#lookup.hostAddress(host)
    if (ipv4 === undefined) return undefined
    if (port === undefined) return { address: ipv4, family: 4 }
    const number = this.#portNumber(port)
    return number === undefined ? undefined : { address: ipv4, family: 4, port: number }
  }

  #portNumber(text: string): number | undefined {
    const number = integer(text, 0, 65535)
    if (number !== undefined || this.#protocol === undefined) return number
    return this.#lookup.servicePort(text, this.#protocol)
  }

  #mask(text: string): string {
    if (this.#family === 6) {
      const length = Number.parseInt(text, 10)
      return length >= 1 && length <= 128 ? String(length) : fail('illegal ipv6 netmask specified')
    }
    return (
      parseInetAton(text.replace(/\s.*$/s, '')) ??
      this.#lookup.hostAddress(text) ??
      fail('illegal virtual server persistent mask specified')
    )
  }

  #timeouts(): Timeouts {
    const words = [this.#words.nextPlain(), this.#words.nextPlain(), this.#words.nextPlain()]
    if (words.includes(undefined)) throw new UsageError('--set option requires 3 timeout values')
    const [tcp = 0, tcpFin = 0, udp = 0] = words.map((word = '') => timeout(word, 0))
    return { tcp, tcpFin, udp }
  }

  #command(name: CommandName, timeouts: Timeouts | undefined): Command {
    switch (name) {
      case 'add-service':
      case 'edit-service':
        return { kind: name, spec: this.#serviceSpec() }
      case 'delete-service':
        return { kind: name, service: this.#key() }
      case 'zero':
        return { kind: name, service: this.#given.has('service-address') ? this.#key() : undefined }
      case 'add-server':
      case 'edit-server':
        return { kind: name, service: this.#key(), dest: this.#destSpec() }
      case 'delete-server':
        return { kind: name, service: this.#key(), dest: this.#dest }
      case 'list':
        return this.#list()
      case 'set':
        return { kind: name, timeouts: timeouts! }
      case 'start-daemon':
        return { kind: name, daemon: this.#daemonSpec() }
      case 'stop-daemon':
        return { kind: name, daemon: { role: this.#role, syncId: this.#syncId } }
      case 'save':
        return { kind: name, numeric: this.#given.has('numeric') }
      default:
        return { kind: name }
    }
  }

  #key(): ServiceKey {
    const family = this.#family ?? 4
    if (this.#fwmark !== 0) return { kind: 'fwmark', fwmark: this.#fwmark, family }
    return { kind: 'address', protocol: this.#protocol!, address: this.#address, family, port: this.#port }
  }

  #serviceSpec(): ServiceSpec {
    const persistent = this.#given.has('persistent')
    if (this.#fwmark === 0) {
      if (this.#port === 0 && !persistent) fail('Zero port specified for non-persistent service')
      if (this.#onePacket && this.#protocol !== 'udp') {
        fail('One-Packet Scheduling is only for UDP virtual services')
      }
    }
    const scheduler = this.#scheduler === '' ? 'wlc' : this.#scheduler
    return {
      key: this.#key(),
      scheduler,
      flags: schedulerFlags(scheduler, this.#schedFlags ?? '', this.#onePacket),
      persistentTimeout: persistent ? this.#persistence : 0,
      netmask: this.#netmask,
      pe: this.#engine,
    }
  }

  #destSpec(): DestSpec {
    let { port } = this.#dest
    // Only NAT can change a port; without one of its own a mark has nothing to force.
    if (this.#fwmark === 0 && this.#fwd !== 'masq') port = this.#port
    if (this.#dest.family !== (this.#family ?? 4) && this.#fwd !== 'tunnel') {
      fail('Different address family is allowed only for tunneling servers')
    }
    if (hasTunnelOption(this.#given) && this.#fwd !== 'tunnel') {
      fail('Tunnel options conflict with forward method')
    }
    const offence = illegalTunnelOption(this.#tunType, this.#given)
    if (offence !== undefined) fail(offence)
    return {
      address: this.#dest.address,
      family: this.#dest.family,
      port,
      fwd: this.#fwd,
      weight: this.#weight,
      upperThreshold: this.#upperThreshold,
      lowerThreshold: this.#lowerThreshold,
      tunType: this.#tunType,
      tunPort: this.#tunPort,
      tunFlags: this.#tunFlags,
    }
  }

  #daemonSpec(): DaemonSpec {
    return {
      role: this.#role,
      interface: this.#interface,
      syncId: this.#syncId,
      maxLength: this.#maxLength,
      group: this.#group,
      port: this.#groupPort,
      ttl: this.#ttl,
    }
  }

  #list(): Command {
    const has = (...names: OptionName[]) => names.some((name) => this.#given.has(name))
    const contradiction =
      (has('connection', 'timeout', 'daemon') && has('stats', 'rate', 'thresholds')) ||
      (has('timeout', 'daemon') && has('persistent-conn'))
    if (contradiction) fail('options conflicts in the list command')

    const format: ListFormat = {
      view: VIEWS.find((view) => has(view)) ?? 'plain',
      numeric: has('numeric'),
      exact: has('exact'),
      sorted: !has('nosort'),
      engineData: has('persistent-conn'),
    }
    if (has('connection')) return { kind: 'list-connections', format }
    if (has('timeout')) return { kind: 'list-timeouts' }
    if (has('daemon')) return { kind: 'list-daemons' }
    return { kind: 'list-services', service: has('service-address') ? this.#key() : undefined, format }
  }
}

/** Names of scheduler flags, and the schedulers that know them. */
const SCHEDULER_FLAGS: Readonly<Record<string, { flag: keyof ServiceFlags; scheduler?: string }>> = {
  'flag-1': { flag: 'sched1' },
  'flag-2': { flag: 'sched2' },
  'flag-3': { flag: 'sched3' },
  'sh-fallback': { flag: 'sched1', scheduler: 'sh' },
  'sh-port': { flag: 'sched2', scheduler: 'sh' },
  'mh-fallback': { flag: 'sched1', scheduler: 'mh' },
  'mh-port': { flag: 'sched2', scheduler: 'mh' },
}

function schedulerFlags(scheduler: string, list: string, onePacket: boolean): ServiceFlags {
  if (list === '' && !onePacket) return NO_FLAGS
  const flags: { -readonly [name in keyof ServiceFlags]: boolean } = { ...NO_FLAGS, onePacket }
  for (const name of list.split(',')) {
    if (name === '') continue
    const known = SCHEDULER_FLAGS[name] ?? fail(`invalid scheduler flag \`${name}'`)
    if (known.scheduler !== undefined && known.scheduler !== scheduler) {
      fail(`incompatible scheduler flag \`${name}'`)
    }
    flags[known.flag] = true
  }
  return flags
}

function multicastGroup(text: string): string {
  const address = parseAddress(text)
  if (text.includes(':')) {
    if (address?.family === 6 && address.text.startsWith('ff')) return address.text
    return fail(`invalid IPv6 mcast-group \`${text}'`)
  }
  const first = Number(text.split('.')[0])
  if (address?.family === 4 && first >= 224 && first < 240) return text
  return fail(`invalid IPv4 mcast-group \`${text}'`)
}

function timeout(text: string, least: number): number {
  return integer(text, least, MAX_TIMEOUT_S) ?? fail(`invalid timeout value \`${text}' specified`)
}

/** What strtol takes for a decimal number, when it is in range. */
function integer(text: string, least: number, most: number): number | undefined {
  if (!/^[ \t\n\v\f\r]*[+-]?[0-9]+$/.test(text)) return undefined
  const number = Number(text)
  return number >= least && number <= most ? number : undefined
}

function fail(message: string): never {
  throw new UsageError(message)
}
