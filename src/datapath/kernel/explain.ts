// SPDX-License-Identifier: MIT
/**
 * What would happen to a packet, and why.
 *
 * The programs are loaded a second time with `cfg_dry`: on the live maps, but with
 * every store left out except what they tell in a map of their own. A test run in
 * the namespace makes routes and neighbours real. What they tell are events with
 * numbers; here they get names. Twin: bpf/ipvs/trace.h
 */
import {
  BUCKET_LINES,
  DEVICE_F_ATTACHED,
  explanation as layout,
  HOP_F_MAC,
  LIFE_LIVE,
  TRACE_CONN_EXPIRED,
  TRACE_CONN_HIT,
  TRACE_CONN_MISS,
  TRACE_CONN_REUSED,
  TRACE_CREATE,
  TRACE_DEST_GONE,
  TRACE_FILTER,
  TRACE_HOP,
  TRACE_PACKET,
  TRACE_PICK,
  TRACE_SCHED,
  TRACE_SERVICE_HIT,
  TRACE_SERVICE_MISS,
  TRACE_STATE,
  TRACE_VIP_ROUTE,
  traceEventNames,
  WORD_STATE_SHIFT,
  XDP_ATTACHED_GENERIC,
  XDP_ATTACHED_NATIVE,
  type Hop as RawHop,
  type TraceStep,
} from '../../abi/generated.js'
import { endpointText, formatAddress } from '../../ipvs/address.js'
import type { DestKey, FwdMethod } from '../../ipvs/dest.js'
import { serviceText, type ServiceKey } from '../../ipvs/service.js'
import {
  BpfError,
  isUp,
  listInterfaces,
  skbContext,
  xdpContext,
  type BpfMap,
  type BpfObject,
  type Interface,
  type TestRunResult,
} from '../../libbpf/index.js'
import { Failure } from '../../util/errors.js'
import { stateName } from './conns.js'
import { buildFrame, formatMac, summarize, type PacketDescription, type PacketSummary } from './frame.js'
import type { Home } from './home.js'
import { at } from './layout.js'
import { settingsOf, type Lifecycle } from './lifecycle.js'
import { verdictOf, type Verdict } from './reasons.js'
import type { Registry } from './registry.js'
import { schedulerNameOf } from './sched-ids.js'
import type { Tables } from './tables.js'

export const EXPLAIN_HOOKS = ['xdp', 'tc'] as const
export type ExplainHook = (typeof EXPLAIN_HOOKS)[number]

export interface ExplainRequest {
  readonly packet: PacketDescription
  /** The device it comes in on; the first one attached, when absent. */
  readonly device?: string
  /** One hook alone; otherwise all that the packet would meet, in their order. */
  readonly hook?: ExplainHook
}

/** One thing that was found out, in words and in data. */
export interface ExplainStep {
  /** Name of the event, `SERVICE_HIT`. */
  readonly event: string
  readonly text: string
}

/** Where the packet would leave to. */
export interface NextHop {
  readonly device: string
  readonly ifindex: number
  readonly address: string
  /** Null while the kernel has not resolved it. */
  readonly mac: string | null
  readonly mtu: number
}

/** The dest a packet goes to. */
export interface ChosenDest extends DestKey {
  readonly fwd: FwdMethod
  readonly weight: number
  readonly service: ServiceKey | null
}

/** What one hook does with the packet. */
export interface HookExplanation {
  readonly hook: ExplainHook
  readonly steps: readonly ExplainStep[]
  readonly verdict: Verdict
  readonly dest: ChosenDest | null
  readonly nextHop: NextHop | null
  /** The packet afterwards; null when it is dropped. */
  readonly after: PacketSummary | null
}

export interface Explanation {
  readonly device: string
  readonly before: PacketSummary
  /** In the order the packet meets them; the last verdict is what happens. */
  readonly hooks: readonly HookExplanation[]
  readonly verdict: Verdict
}

export interface ExplainContext {
  readonly home: Home
  readonly lifecycle: Lifecycle
  readonly tables: Tables
  readonly registry: Registry
  /** Twins loaded so far: the verifier takes its time with each. The caller closes them. */
  readonly twins: Map<ExplainHook, BpfObject>
}

/** MAC address of whoever sent the packet; nobody looks at it. */
const SENDER = '02:00:00:00:00:01'

export function explain(request: ExplainRequest, context: ExplainContext): Explanation {
  const { home, tables } = context
  const interfaces = listInterfaces(home.netns)
  const device = chooseDevice(request.device, interfaces, tables)
  const frame = buildFrame(request.packet, { sourceMac: SENDER, destinationMac: device.mac })

  const hooks: HookExplanation[] = []
  const wanted: readonly ExplainHook[] =
    request.hook !== undefined ? [request.hook] : hasXdp(device, tables) ? ['xdp', 'tc'] : ['tc']
  for (const hook of wanted) {
    const told = explainAt(hook, frame, device, interfaces, context)
    hooks.push(told)
    if (told.verdict.kind !== 'passed' && told.verdict.kind !== 'deferred') break
  }
  return { device: device.name, before: summarize(frame), hooks, verdict: hooks.at(-1)!.verdict }
}

/**
 * Loads the twin of one hook's program. The caller closes it.
 *
 * Exported for the tests, which prove that it cannot write.
 */
export function loadDryTwin(
  hook: ExplainHook,
  { lifecycle, tables }: Pick<ExplainContext, 'lifecycle' | 'tables'>,
): BpfObject {
  const maps = new Map<string, BpfMap>()
  try {
    return lifecycle.openObject(hook, { ...settingsOf(tables.config), dry: true }, maps)
  } finally {
    for (const map of maps.values()) map.close()
  }
}

function explainAt(
  hook: ExplainHook,
  frame: Uint8Array,
  device: Interface,
  interfaces: readonly Interface[],
  context: ExplainContext,
): HookExplanation {
  let object = context.twins.get(hook)
  if (object === undefined) context.twins.set(hook, (object = loadDryTwin(hook, context)))
  using memory = object.map('explanations').mmap({ writable: true })
  new Uint8Array(memory.buffer).fill(0)
  const result = run(hook, object, frame, device, context.home)
  const told = layout.read(new DataView(memory.buffer), 0)
  const trace = told.trace.slice(0, told.steps)
  const verdict = verdictOf(told.reason)
  const names = namer(context, interfaces)
  const index = destOf(trace, context.tables)
  const forwards = verdict.kind === 'forwarded' || verdict.kind === 'answered'
  return {
    hook,
    steps: trace.map((step) => ({
      event: (traceEventNames.get(step.event) ?? `TRACE_${step.event}`).replace('TRACE_', ''),
      text: names.step(step),
    })),
    verdict,
    dest: index === 0 ? null : names.dest(index),
    nextHop: forwards && told.way.ifindex !== 0 ? names.hop(told.way) : null,
    after: verdict.kind === 'dropped' ? null : summarize(result.data),
  }
}

function run(
  hook: ExplainHook,
  object: BpfObject,
  frame: Uint8Array,
  device: Interface,
  home: Home,
): TestRunResult {
  const { ifindex } = device
  const { netns } = home
  if (hook === 'tc') {
    const ctxIn = skbContext({ ifindex, ingressIfindex: ifindex })
    return object.program('tc_ingress').testRun({ dataIn: frame, ctxIn, netns })
  }
  try {
    const ctxIn = xdpContext({ length: frame.length, ingressIfindex: ifindex })
    return object.program('xdp_in').testRun({ dataIn: frame, ctxIn, netns })
  } catch (error) {
    // Virtual devices have receive queues for XDP only while a program is attached.
    if (!(error instanceof BpfError) || error.errnoName !== 'EINVAL') throw error
    throw new Failure('NOT_SUPPORTED', `${device.name} has no XDP to try the packet on`, {
      hint: `attach it first: xlvs up --dev ${device.name} --xdp native`,
      cause: error,
    })
  }
}

function chooseDevice(name: string | undefined, interfaces: readonly Interface[], tables: Tables): Interface {
  if (name !== undefined) {
    const device = interfaces.find((candidate) => candidate.name === name)
    if (device !== undefined) return device
    throw new Failure('DEVICE_NOT_FOUND', `there is no network device '${name}' in this namespace`, {
      errno: 'ENODEV',
      hint: '`ip link` lists them',
    })
  }
  const devices = tables.table('devices')
  const device = interfaces.find(
    (candidate) =>
      isUp(candidate) &&
      candidate.ifindex < devices.length &&
      (devices.u8(candidate.ifindex, at.device.flags) & DEVICE_F_ATTACHED) !== 0,
  )
  if (device !== undefined) return device
  throw new Failure('DEVICE_NOT_FOUND', 'the data plane is attached to no device that is up', {
    hint: 'xlvs up attaches it; --dev names the device the packet comes in on',
  })
}

function hasXdp(device: Interface, tables: Tables): boolean {
  const devices = tables.table('devices')
  if (device.ifindex >= devices.length) return false
  const code = devices.u8(device.ifindex, at.device.xdp)
  return code === XDP_ATTACHED_NATIVE || code === XDP_ATTACHED_GENERIC
}

/** The dest the packet ends at: the one picked, or that of the connection found. */
function destOf(trace: readonly TraceStep[], tables: Tables): number {
  let dest = 0
  for (const { event, a, b } of trace) {
    if (event === TRACE_PICK || event === TRACE_CREATE) dest = a
    else if (event === TRACE_CONN_HIT) dest = connAt(b, trace, tables)?.dest ?? 0
    else if (event === TRACE_CONN_REUSED) dest = 0
  }
  return dest
}

/** What a line of the connection table says, if it still holds a connection. */
function connAt(line: number, trace: readonly TraceStep[], tables: Tables) {
  const six = trace.some(({ event, a }) => event === TRACE_PACKET && a === 6)
  const table = tables.table(six ? 'conns6' : 'conns4')
  const bucket = Math.floor(line / BUCKET_LINES)
  if (bucket >= table.length) return undefined
  const base = (line % BUCKET_LINES) * at.conn.size
  if ((table.u32(bucket, base) & 15) !== LIFE_LIVE) return undefined
  return { dest: table.u32(bucket, base + at.conn.dest) }
}

/** Turns numbers into names. */
function namer({ registry, tables }: ExplainContext, interfaces: readonly Interface[]) {
  const deviceName = (ifindex: number) =>
    interfaces.find((device) => device.ifindex === ifindex)?.name ?? `device ${ifindex}`
  const destText = (index: number) => {
    const dest = registry.destAt(index)
    return dest === undefined ? `dest ${index}` : endpointText(dest.address, dest.port)
  }
  const hz = tables.config.u32(0, at.config.hz)
  let protocol = 6
  let scheduler = ''

  function step({ event, a, b, c }: TraceStep): string {
    switch (event) {
      case TRACE_PACKET:
        protocol = b
        return `an IPv${a} packet, ${b === 6 ? 'TCP' : b === 17 ? 'UDP' : `protocol ${b}`}, ${c} bytes`
      case TRACE_FILTER:
        if (a !== 0 && b !== 0) return 'its addresses may be a service’s and a real server’s'
        return a !== 0 ? 'its destination may be the address of a service' : 'its source may be a real server'
      case TRACE_CONN_HIT: {
        const state = stateName(protocol, (Number(c & 0xffff_ffffn) >>> WORD_STATE_SHIFT) & 15)
        return `${a === 0 ? 'belongs to' : 'is a reply of'} the connection at line ${b}, in state ${state}`
      }
      case TRACE_CONN_MISS:
        return a === 0 ? 'belongs to no connection' : 'is no reply of a connection'
      case TRACE_CONN_EXPIRED:
        return `the connection at line ${b} has expired: it ends`
      case TRACE_CONN_REUSED:
        return `opens the connection at line ${b} anew: the old one ends`
      case TRACE_SERVICE_HIT: {
        const key = registry.serviceKeyAt(a)
        return `is for service ${key === undefined ? a : serviceText(key)}`
      }
      case TRACE_SERVICE_MISS:
        return 'no service has this address, protocol and port'
      case TRACE_VIP_ROUTE:
        return a !== 0 ? 'the service’s address is local' : 'the service’s address is not local'
      case TRACE_SCHED:
        scheduler = schedulerNameOf(a)
        return `scheduler ${scheduler} chooses among ${b} dest${b === 1 ? '' : 's'}${memory(scheduler, c)}`
      case TRACE_PICK:
        if (a === 0) return `${scheduler} finds no dest that takes new connections`
        return `${scheduler} picks ${destText(a)} (weight ${b}${load(scheduler, a)})`
      case TRACE_STATE: {
        const timeout = `timeout ${Math.round((Number(c) / hz) * 10) / 10} s`
        const [before, after] = [stateName(protocol, a), stateName(protocol, b)]
        return before === after
          ? `state ${after}, ${timeout}`
          : `state ${before} becomes ${after}, ${timeout}`
      }
      case TRACE_HOP:
        if (a === 0)
          return b === FIB_NOT_FORWARDED ? 'the route says: deliver here' : `no route (${fibText(b)})`
        return `the route leads out of ${deviceName(a)}, MTU ${c}${b === FIB_NO_NEIGHBOUR ? ', MAC address not known yet' : ''}`
      case TRACE_CREATE:
        return `a connection to ${destText(a)} is made`
      case TRACE_DEST_GONE:
        return `${destText(a)} was removed from its service`
      default:
        return `event ${event}: ${a} ${b} ${c}`
    }
  }

  /** What lc and wlc compare. */
  function load(name: string, index: number): string {
    const dest = registry.destAt(index)
    if (dest === undefined || (name !== 'lc' && name !== 'wlc')) return ''
    return `, ${dest.activeConns} active and ${dest.inactiveConns} inactive connections`
  }

  return {
    step,
    hop: (way: RawHop): NextHop => ({
      device: deviceName(way.ifindex),
      ifindex: way.ifindex,
      address: formatAddress(way.via.subarray(0, way.family === 4 ? 4 : 16)),
      mac: way.flags & HOP_F_MAC ? formatMac(way.dmac) : null,
      mtu: way.mtu,
    }),
    dest: (index: number): ChosenDest | null => {
      const dest = registry.destAt(index)
      if (dest === undefined) return null
      const { address, family, port, fwd, weight } = dest
      const service = registry.serviceKeyAt(tables.dests.u32(index, at.dest.service)) ?? null
      return { address, family, port, fwd, weight, service }
    },
  }
}

/** What a scheduler remembered before it chose. */
function memory(scheduler: string, word: bigint): string {
  const low = Number(word & 0xffff_ffffn)
  const place = low === 0 ? 'at the head' : `after entry ${low}`
  if (scheduler === 'rr') return `, ${place}`
  return scheduler === 'wrr' ? `, ${place}, with mark ${Number(word >> 32n)}` : ''
}

/** enum of bpf_fib_lookup: what we say in words. */
const FIB_NOT_FORWARDED = 4
const FIB_NO_NEIGHBOUR = 7

function fibText(result: number): string {
  const texts: Readonly<Record<number, string>> = {
    1: 'blackhole',
    2: 'unreachable',
    3: 'prohibited',
    5: 'forwarding is off on lo: sysctl net.ipv4.conf.lo.forwarding, net.ipv6.conf.lo.forwarding',
    6: 'it needs an encapsulation',
  }
  return texts[result] ?? `bpf_fib_lookup says ${result}`
}
