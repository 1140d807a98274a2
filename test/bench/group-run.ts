// SPDX-License-Identifier: MIT
/**
 * What a packet costs in the data path itself, by test run (PROBES §15): no device,
 * no driver, no stack; net of what the wrapper around it costs. Next to it, in the
 * same rounds, the operations that the budgets are stated in.
 */
import { buildFrame, summarize, type TcpFlag } from '../../src/datapath/kernel/frame.js'
import { addressBytes } from '../../src/ipvs/address.js'
import type { FwdMethod } from '../../src/ipvs/dest.js'
import { skbContext, xdpContext, type BpfObject, type TestRunResult } from '../../src/libbpf/index.js'
import { BenchMap, FIRST_CLIENT_PORT, type Stencil } from './bench-map.js'
import { MASQ_PORT, Plane, SERVICE_PORT, type Hook } from './plane.js'
import { budget, type BenchContext, type GroupResult, type Ratio, type Row, type Section } from './result.js'
import { BACK_ADDRESS, CLIENT, FOREIGN, Road, server, vip, type Family } from './road.js'
import { combine, figure, interleave, type Runner, type Samples } from './statistics.js'

/** Packets per run of a program: LOOP of bpf/candidates.h. */
const LOOP = 16
const PAYLOAD = 26
/** How long one sample may take. */
const SAMPLE_NS = 12_000_000
/** How often a sample goes through its flows at least. */
const LAPS = 2

const K = 1024
const K64 = 65_536
const M = 1_048_576
type Entries = typeof K | typeof K64 | typeof M

const CONNS = M
const FLOWS = [1, K, K64, M] as const
/** New connections per sample. */
const NEW = 1 << 15

const XDP_REDIRECT = 4
const TC_ACT_REDIRECT = 7

/** Names of the runners that everything is compared with. */
const EMPTY = 'the empty program'
const NOTHING = 'the wrapper alone'
const GROW = 'the wrapper with room in front'
const HASH: Readonly<Record<Entries, string>> = {
  [K]: 'HASH lookup, 1k entries',
  [K64]: 'HASH lookup, 64k entries',
  [M]: 'HASH lookup, 1M entries',
}
const LINE = 'one random line of the table'
const PAIR = 'HASH insert + delete'
const TURNOVER = 'HASH insert + delete of an older one, half full'

const flowsText = (flows: number) =>
  flows >= M ? `${flows / M}M` : flows >= K ? `${flows / K}k` : `${flows}`

interface Kind {
  readonly name: string
  readonly family: Family
  readonly fwd: FwdMethod
  readonly vip: number
  readonly reply?: boolean
  /** Multiples of a HASH lookup, with few, 64k and 1M flows. */
  readonly budgets: readonly [few: number, many: number, million: number] | readonly [few: number]
}

const KINDS: readonly Kind[] = [
  { name: 'NAT in', family: 4, fwd: 'masq', vip: 1, budgets: [1.4, 0.45, 0.9] },
  { name: 'NAT reply', family: 4, fwd: 'masq', vip: 1, reply: true, budgets: [1.4, 0.45, 0.9] },
  { name: 'DR', family: 4, fwd: 'route', vip: 2, budgets: [1.2, 0.45, 0.9] },
  { name: 'TUN', family: 4, fwd: 'tunnel', vip: 3, budgets: [1.3, 0.45, 0.9] },
  { name: 'NAT in, IPv6', family: 6, fwd: 'masq', vip: 1, budgets: [1.6] },
  { name: 'DR, IPv6', family: 6, fwd: 'route', vip: 2, budgets: [1.6] },
]

/** The bench's programs on one hook of one plane. */
class Bench {
  readonly hook: Hook
  readonly map: BenchMap
  readonly plane: Plane
  readonly #object: BpfObject
  readonly #road: Road
  readonly #cpu: number
  readonly #ifindex: number
  readonly #repeats = new Map<string, number>()

  constructor(hook: Hook, plane: Plane, object: BpfObject, road: Road, cpu: number) {
    this.hook = hook
    this.plane = plane
    this.map = new BenchMap(object.map('bench'))
    this.#object = object
    this.#road = road
    this.#cpu = cpu
    this.#ifindex = road.ifindex('balancer')
  }

  get forwarded(): number {
    return this.hook === 'xdp' ? XDP_REDIRECT : TC_ACT_REDIRECT
  }

  stencil(kind: Pick<Kind, 'family' | 'vip' | 'reply' | 'fwd'>, flags: readonly TcpFlag[]): Stencil {
    const { family } = kind
    const client = { address: CLIENT[family], port: FIRST_CLIENT_PORT }
    const service = { address: vip(family, kind.vip), port: SERVICE_PORT }
    const real = { address: server(family), port: MASQ_PORT }
    const reply = kind.reply === true
    return {
      family,
      client: reply ? 'destination' : 'source',
      frame: this.#frame(reply ? real : client, reply ? client : service, flags),
    }
  }

  foreign(): Stencil {
    const client = { address: CLIENT[4], port: FIRST_CLIENT_PORT }
    return {
      family: 4,
      client: 'source',
      frame: this.#frame(client, { address: FOREIGN[4], port: SERVICE_PORT }, ['ack']),
    }
  }

  #frame(
    source: { address: string; port: number },
    destination: { address: string; port: number },
    flags: readonly TcpFlag[],
    ttl = 64,
  ): Uint8Array {
    // Whoever sends it, it comes in at the front: routing does not depend on it.
    const link = { sourceMac: this.#road.mac.sender, destinationMac: this.#road.mac.front }
    return buildFrame({ protocol: 'tcp', source, destination, flags, payload: PAYLOAD, ttl }, link)
  }

  /** Runs a program over the frame in the map. */
  run(program: string, stencil: Stencil, repeat: number): TestRunResult {
    const ifindex = this.#ifindex
    const length = stencil.frame.length
    return this.#object.program(program).testRun({
      dataIn: stencil.frame,
      dataOut: length + 256,
      ctxIn:
        this.hook === 'xdp'
          ? xdpContext({ length, ingressIfindex: ifindex })
          : skbContext({ ifindex, ingressIfindex: ifindex }),
      repeat,
      cpu: this.#cpu,
      netns: this.#road.netns('balancer'),
    })
  }

  /** A runner over random flows, long enough to be told from noise. */
  random(name: string, program: string, stencil: Stencil, flows: number, verdict?: string): Runner {
    return {
      name,
      run: () => {
        this.map.use(stencil)
        this.map.random(flows)
        const repeat = this.#repeats.get(`${program} ${flows}`) ?? this.#calibrate(program, stencil, flows)
        const before = verdict === undefined ? undefined : this.plane.verdicts(this.hook)
        this.map.takeMisses()
        // What was run before has used the caches for itself, and a connection that rested
        // asks for its route anew: a lap ahead of the clock, for flows a cache may hold.
        const ahead = flows <= K64 ? (LAPS * Math.max(flows, LOOP)) / LOOP : 0
        if (ahead > 0) this.run(program, stencil, ahead)
        const { durationNs } = this.run(program, stencil, repeat)
        if (before !== undefined && verdict !== undefined) {
          this.plane.verdicts(this.hook).expectOnly(verdict, (ahead + repeat) * LOOP, before)
        }
        this.#expectNoMiss(name)
        return durationNs / LOOP
      },
    }
  }

  /** A runner of which every packet is another flow's first. */
  sequential(
    name: string,
    program: string,
    stencil: Stencil,
    count: number,
    options: NewOptions = {},
  ): Runner {
    return {
      name,
      run: () => {
        this.map.use(stencil)
        this.map.sequential(options.take?.(count))
        const before = options.verdict === undefined ? undefined : this.plane.verdicts(this.hook)
        this.map.takeMisses()
        const { durationNs } = this.run(program, stencil, count / LOOP)
        if (before !== undefined && options.verdict !== undefined) {
          const tolerated = options.tolerated ?? 0
          this.plane.verdicts(this.hook).expectOnly(options.verdict, count, before, tolerated)
        }
        this.#expectNoMiss(name)
        options.after?.()
        return durationNs / LOOP
      },
    }
  }

  /** The empty program: a whole run is one packet here. */
  empty(stencil: Stencil): Runner {
    const repeat = M
    return { name: EMPTY, run: () => this.run('run_empty', stencil, repeat).durationNs }
  }

  /** One packet of flow `number`; answers what came out. */
  one(stencil: Stencil, number: number): TestRunResult {
    this.map.use(stencil)
    this.map.sequential(number)
    this.map.set('keep', 1)
    return this.run('run_path', stencil, 1)
  }

  /** Opens flows [from, to) and establishes them. */
  establish(kind: Kind, from: number, to: number): void {
    const forward = { ...kind, reply: false }
    for (const [flags, verdict] of [
      [['syn'], 'FORWARD_NEW'],
      [['ack'], 'FORWARD_IN'],
    ] as const) {
      const stencil = this.stencil(forward, flags)
      const before = this.plane.verdicts(this.hook)
      if (to - from < LOOP) {
        for (let number = from; number < to; number++) this.one(stencil, number)
      } else {
        // Whole runs only; what overlaps with flows that are there would be no new one.
        if (from % LOOP !== 0 || to % LOOP !== 0) throw new RangeError(`flows ${from} to ${to}`)
        this.map.use(stencil)
        this.map.sequential(from)
        this.run('run_path', stencil, (to - from) / LOOP)
      }
      this.plane.verdicts(this.hook).expectOnly(verdict, to - from, before)
    }
  }

  /** What must come out for a packet of flow 0, to the byte. */
  expectedFrame(kind: Kind): Uint8Array {
    const { family, fwd } = kind
    const client = { address: CLIENT[family], port: FIRST_CLIENT_PORT }
    const service = { address: vip(family, kind.vip), port: SERVICE_PORT }
    const real = { address: server(family), port: MASQ_PORT }
    const out = kind.reply
      ? this.#frame(service, client, ['ack'], 63)
      : this.#frame(client, fwd === 'masq' ? real : service, ['ack'], 63)
    // On tc the neighbour layer writes the link header later.
    if (this.hook === 'xdp') {
      const { mac } = this.#road
      out.set(macBytes(kind.reply ? mac.sender : mac.sink), 0)
      out.set(macBytes(kind.reply ? mac.front : mac.back), 6)
    }
    return fwd === 'tunnel' ? tunnelled(out) : out
  }

  #calibrate(program: string, stencil: Stencil, flows: number): number {
    const trial = 256
    const { durationNs } = this.run(program, stencil, trial)
    const lap = flows <= K64 ? Math.ceil((LAPS * flows) / LOOP) : 0
    const repeat = Math.max(trial, lap, Math.round(SAMPLE_NS / Math.max(1, durationNs)))
    this.#repeats.set(`${program} ${flows}`, repeat)
    return repeat
  }

  #expectNoMiss(name: string): void {
    const misses = this.map.takeMisses()
    if (misses > 0) throw new Error(`${name}: ${misses} operations failed`)
  }

  [Symbol.dispose](): void {
    this.map[Symbol.dispose]()
  }
}

interface NewOptions {
  readonly verdict?: string
  readonly tolerated?: number
  /** Hands out flow numbers nobody had yet. */
  readonly take?: (count: number) => number
  readonly after?: () => void
}

function macBytes(text: string): Uint8Array {
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16))
}

/** An IPv4 packet inside another from the balancer to its server. */
function tunnelled(frame: Uint8Array): Uint8Array {
  const out = new Uint8Array(frame.length + 20)
  const view = new DataView(out.buffer)
  out.set(frame.subarray(0, 14), 0)
  out.set(frame.subarray(14), 34)
  out[14] = 0x45
  view.setUint16(16, frame.length - 14 + 20)
  view.setUint16(20, 0x4000)
  out[22] = 63
  out[23] = 4
  out.set(addressBytes(BACK_ADDRESS[4]), 26)
  out.set(addressBytes(server(4)), 30)
  let sum = 0
  for (let at = 14; at < 34; at += 2) sum += view.getUint16(at)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  view.setUint16(24, ~sum & 0xffff)
  return out
}

/** Throws unless the packet leaves as it must. */
function checkPacket(bench: Bench, kind: Kind): void {
  const { retval, data } = bench.one(bench.stencil(kind, ['ack']), 0)
  const expected = bench.expectedFrame(kind)
  if (retval === bench.forwarded && Buffer.compare(data, expected) === 0) return
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
  throw new Error(
    `${kind.name} on ${bench.hook} came out wrong (action ${retval}):\n` +
      `  found    ${summarize(data).text}\n           ${hex(data)}\n` +
      `  expected ${summarize(expected).text}\n           ${hex(expected)}`,
  )
}

/** Rows of what everything else is compared with, net of the wrapper. */
function unitRow(samples: Samples, name: string, variant?: string): Row {
  const net = combine(samples, [name, NOTHING], (total, wrapper) => total - wrapper)
  return { what: name, amount: figure(net), ratios: [], ...(variant === undefined ? {} : { variant }) }
}

function ratioTo(samples: Samples, net: readonly number[], of: string, limit?: number): Ratio {
  const unit = combine(samples, [of, NOTHING], (total, wrapper) => total - wrapper)
  const ratio = figure(net.map((amount, round) => amount / unit[round]!))
  return { of, figure: ratio, ...(limit === undefined ? {} : { budget: budget(ratio, '≤', limit) }) }
}

export async function measureRuns(context: BenchContext): Promise<GroupResult> {
  await using road = await Road.build([4, 6])
  const sections: Section[] = []
  {
    // Room for a million connections of each family: the second gets half of what is asked for.
    using plane = Plane.onRoad(road, { conns: CONNS, xdp: 'native' })
    configure(plane, 4)
    const numbers: Numbers = { next: 0, turned: 0 }
    for (const hook of ['xdp', 'tc'] as const) {
      using bench = new Bench(hook, plane, await plane.load(hook), road, context.cpu)
      if (hook === 'xdp') fillHashes(bench)
      sections.push(await existing(bench, context, 4))
      sections.push(await opening(bench, context, numbers))
    }
  }
  {
    using plane = Plane.onRoad(road, { conns: 2 * CONNS, xdp: 'native' })
    configure(plane, 6)
    for (const [i, hook] of (['xdp', 'tc'] as const).entries()) {
      using bench = new Bench(hook, plane, await plane.load(hook), road, context.cpu)
      if (hook === 'xdp') fillHashes(bench)
      sections.splice(1 + i * 3, 0, await existing(bench, context, 6))
    }
  }
  return {
    group: 'run',
    title: 'The data path by test run',
    about:
      'Nanoseconds per packet in the program itself, net of the wrapper that makes the packets; ' +
      'flows in pseudo-random order; every packet that comes out was checked once to the byte, ' +
      'every verdict counted.',
    sections,
  }
}

function configure(plane: Plane, family: Family): void {
  for (const kind of KINDS) {
    if (kind.family === family && !kind.reply) plane.addService(kind)
  }
  if (family === 6) return
  for (const service of OPENINGS) plane.addService({ ...service, fwd: 'masq' })
}

function fillHashes(bench: Bench): void {
  const stencil = bench.foreign()
  for (const [program, entries] of [
    ['fill_1k', K],
    ['fill_64k', K64],
    ['fill_1m', M],
  ] as const) {
    bench.map.use(stencil)
    bench.map.sequential(0)
    bench.run(program, stencil, entries / LOOP)
  }
  const misses = bench.map.takeMisses()
  if (misses > 0) throw new Error(`${misses} entries did not fit into the hash maps`)
}

/** Packets of connections that exist. */
async function existing(bench: Bench, context: BenchContext, family: Family): Promise<Section> {
  const { hook, plane } = bench
  const rows: Row[] = []
  const units: Samples[] = []
  for (const kind of KINDS) {
    if (kind.family !== family) continue
    // An skb stays marked as encapsulated, so the second packet of a run would be refused.
    if (hook === 'tc' && kind.fwd === 'tunnel') continue
    let filled = 0
    for (const flows of FLOWS) {
      context.progress(`${hook}: ${kind.name}, ${flowsText(flows)} flows`)
      if (filled === 1) {
        // Runs are of 16 flows: the single one makes room for the first sixteen.
        plane.expireAll(family)
        filled = 0
      }
      bench.establish(kind, filled, flows)
      filled = flows
      checkPacket(bench, kind)

      const stencil = bench.stencil(kind, ['ack'])
      const foreign = bench.foreign()
      const unit = flows === 1 ? K : flows
      const runners = [
        bench.random('wrapper', 'run_nothing', stencil, flows),
        bench.random('path', 'run_path', stencil, flows, kind.reply ? 'FORWARD_OUT' : 'FORWARD_IN'),
        ...(kind.fwd === 'tunnel' ? [bench.random(GROW, 'run_grow', stencil, flows)] : []),
        bench.random(NOTHING, 'run_nothing', foreign, flows),
        bench.random(HASH[unit], HASH_PROGRAMS[unit], foreign, Math.max(flows, 1)),
        ...(unit === K64 ? [bench.random(HASH[M], 'run_hash_1m', foreign, M)] : []),
        ...(family === 4 ? [bench.random(LINE, 'run_line', foreign, flows)] : []),
        bench.empty(foreign),
      ]
      const samples = await interleave(runners, context.rounds)
      units.push(samples)
      const net =
        kind.fwd === 'tunnel'
          ? // The wrapper takes the outer header off again: half of what growing and shrinking cost.
            combine(samples, ['path', 'wrapper', GROW], (path, none, grow) => path - none - (grow - none) / 2)
          : combine(samples, ['path', 'wrapper'], (path, none) => path - none)
      rows.push({
        what: kind.name,
        variant: `${flowsText(flows)} ${flows === 1 ? 'flow' : 'flows'}`,
        amount: figure(net),
        ratios: ratiosOf(kind, hook, flows, samples, net),
      })
    }
    plane.expireAll(family)
  }
  if (family === 4) {
    rows.push(await foreignTraffic(bench, context))
    rows.push(...commonUnits(units))
  }
  return {
    title: `Existing connections, ${hook === 'xdp' ? 'XDP' : 'tc'}, IPv${family}`,
    unit: 'ns',
    rows,
    notes: [
      ...(hook === 'tc' && family === 4
        ? ['TUN on tc is in the veth group only: a test run cannot undo what marks an skb as encapsulated.']
        : []),
      'Budgets are in HASH lookups of the same rounds: 1k entries up to 1k flows, 1M entries above (DESIGN §4).',
      'A million connections are too many for any cache; up to 64k the flows were gone through twice before the clock started.',
    ],
  }
}

const HASH_PROGRAMS: Readonly<Record<Entries, string>> = {
  [K]: 'run_hash_1k',
  [K64]: 'run_hash_64k',
  [M]: 'run_hash_1m',
}

function ratiosOf(kind: Kind, hook: Hook, flows: number, samples: Samples, net: readonly number[]): Ratio[] {
  const [few, many, million] = kind.budgets
  const limit = hook === 'tc' ? undefined : flows <= K ? few : flows === K64 ? many : million
  const ratios =
    flows <= K
      ? [ratioTo(samples, net, HASH[K], limit)]
      : flows === K64
        ? [ratioTo(samples, net, HASH[M], limit), ratioTo(samples, net, HASH[K64])]
        : [ratioTo(samples, net, HASH[M], limit)]
  if (kind.family === 4 && flows >= K64) ratios.push(ratioTo(samples, net, LINE))
  return ratios
}

async function foreignTraffic(bench: Bench, context: BenchContext): Promise<Row> {
  const foreign = bench.foreign()
  const flows = K
  context.progress(`${bench.hook}: foreign traffic`)
  const samples = await interleave(
    [
      bench.random(NOTHING, 'run_nothing', foreign, flows),
      bench.random('path', 'run_path', foreign, flows, 'PASS_NOT_OURS'),
      bench.random(HASH[flows], 'run_hash_1k', foreign, flows),
    ],
    context.rounds,
  )
  const net = combine(samples, ['path', NOTHING], (path, none) => path - none)
  return {
    what: 'traffic that is not ours',
    variant: '1k flows',
    amount: figure(net),
    ratios: [ratioTo(samples, net, HASH[flows], bench.hook === 'xdp' ? 0.25 : undefined)],
  }
}

/** The units over all rounds they were measured in. */
function commonUnits(all: readonly Samples[]): Row[] {
  const rows: Row[] = []
  const empty = all.flatMap((samples) => samples.get(EMPTY) ?? [])
  rows.push({ what: EMPTY, variant: 'a whole run', amount: figure(empty), ratios: [] })
  const wrapper = all.flatMap((samples) => samples.get(NOTHING) ?? [])
  rows.push({ what: NOTHING, variant: 'already taken off', amount: figure(wrapper), ratios: [] })
  for (const name of Object.values(HASH)) {
    const net = all
      .filter((samples) => samples.has(name))
      .flatMap((samples) => combine(samples, [name, NOTHING], (total, none) => total - none))
    rows.push({ what: name, amount: figure(net), ratios: [] })
  }
  FLOWS.forEach((flows, i) => {
    const net = all
      .filter((samples, at) => at % FLOWS.length === i && samples.has(LINE))
      .flatMap((samples) => combine(samples, [LINE, NOTHING], (total, none) => total - none))
    rows.push({ what: LINE, variant: `of ${flowsText(flows)}`, amount: figure(net), ratios: [] })
  })
  return rows
}

const OPENINGS = [
  { vip: 4, scheduler: 'rr', dests: 16, limit: 1.2 },
  { vip: 5, scheduler: 'rr', dests: 64, limit: 1.2 },
  { vip: 6, scheduler: 'wrr', dests: 16, limit: 1.2, weight: (dest: number) => 1 + (dest % 4) },
  { vip: 7, scheduler: 'wrr', dests: 64, limit: 1.2, weight: (dest: number) => 1 + (dest % 4) },
  { vip: 8, scheduler: 'wlc', dests: 16, limit: undefined },
  { vip: 9, scheduler: 'wlc', dests: 64, limit: 1.5 },
] as const

/** Flow numbers that nobody had yet. */
interface Numbers {
  /** For new connections. */
  next: number
  /** For the hash map that is turned over; it outlives the hook. */
  turned: number
}

/** First packets of connections. */
async function opening(bench: Bench, context: BenchContext, numbers: Numbers): Promise<Section> {
  const { hook, plane } = bench
  const rows: Row[] = []
  const foreign = bench.foreign()
  const take = (count: number) => (numbers.next += count) - count
  const after = () => plane.expireAll(4)
  const name = ({ scheduler, dests }: (typeof OPENINGS)[number]) => `${scheduler}, ${dests} dests`
  context.progress(`${hook}: new connections`)
  const turn = (count: number) => (numbers.turned += count) - count
  if (numbers.turned === 0) {
    bench.map.use(foreign)
    bench.map.sequential(turn(CONNS / 2))
    bench.run('run_turnover', foreign, CONNS / 2 / LOOP)
  }
  const samples = await interleave(
    [
      ...OPENINGS.map((service) =>
        bench.sequential(
          name(service),
          'run_path',
          bench.stencil({ family: 4, vip: service.vip, fwd: 'masq' }, ['syn']),
          NEW,
          { verdict: 'FORWARD_NEW', take, after },
        ),
      ),
      bench.sequential(NOTHING, 'run_nothing', foreign, NEW, { take }),
      bench.sequential(PAIR, 'run_pair', foreign, NEW, { take }),
      bench.sequential(TURNOVER, 'run_turnover', foreign, NEW, { take: turn }),
    ],
    context.rounds,
  )
  for (const service of OPENINGS) {
    const net = combine(samples, [name(service), NOTHING], (path, none) => path - none)
    rows.push({
      what: `new connection, ${service.scheduler}`,
      variant: `${service.dests} dests`,
      amount: figure(net),
      ratios: [
        ratioTo(samples, net, PAIR, hook === 'xdp' ? service.limit : undefined),
        ratioTo(samples, net, TURNOVER),
      ],
    })
  }

  context.progress(`${hook}: a full table`)
  const stencil = bench.stencil({ family: 4, vip: 4, fwd: 'masq' }, ['syn'])
  // Twice as many as there are lines: hardly a bucket is left with room.
  const flood = plane.lines(4) * 2
  bench.map.use(stencil)
  bench.map.sequential(take(flood))
  bench.run('run_path', stencil, Math.floor(flood / LOOP))
  const fill = plane.connections() / plane.lines(4)
  const full = await interleave(
    [
      // The sweeper may be at the same bucket: then XDP leaves the packet to tc.
      bench.sequential('path', 'run_path', stencil, NEW, {
        verdict: 'FORWARD_NEW',
        take,
        tolerated: NEW / 1000,
      }),
      bench.sequential(NOTHING, 'run_nothing', foreign, NEW, { take }),
      bench.sequential(PAIR, 'run_pair', foreign, NEW, { take }),
    ],
    context.rounds,
  )
  const net = combine(full, ['path', NOTHING], (path, none) => path - none)
  rows.push({
    what: 'new connection, rr',
    variant: `table full (${(fill * 100).toFixed(1)} %)`,
    amount: figure(net),
    ratios: [ratioTo(full, net, PAIR, hook === 'xdp' ? 0.6 : undefined)],
  })
  plane.expireAll(4)
  rows.push(unitRow(samples, PAIR, '1M entries, empty'), unitRow(samples, TURNOVER, '1M entries'))
  return {
    title: `New connections, ${hook === 'xdp' ? 'XDP' : 'tc'}, IPv4`,
    unit: 'ns',
    rows,
    notes: [`${NEW} SYNs per run to a table with room for a million connections, masquerading.`],
  }
}
