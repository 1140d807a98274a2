// SPDX-License-Identifier: MIT
/**
 * The connection table under fire, and what is left of it.
 *
 * XDP, tc and programs in process context make, move on and end the same few
 * connections on all CPUs; the real sweeper and a second one expire them and take
 * buckets away; user space kills, lists, adds and removes dests meanwhile. Then all
 * stands still and the table is counted.
 *
 * The programs are the real ones under test/support/bpf/stress-*.bpf.c, which give
 * the core made-up packets and linger in the windows between its steps.
 */
import { availableParallelism } from 'node:os'
import { setImmediate } from 'node:timers/promises'

import {
  BUCKET_LINES,
  CONN_F_INACTIVE,
  LIFE_LIVE,
  PROTO_TCP,
  PROTO_UDP,
  WORD_FLAG_SHIFT,
} from '../../src/abi/generated.js'
import { at } from '../../src/datapath/kernel/layout.js'
import type { Buckets } from '../../src/datapath/kernel/sizes.js'
import type { Table } from '../../src/datapath/kernel/tables.js'
import type { DestSpec } from '../../src/ipvs/dest.js'
import { fullMask, NO_FLAGS, type AddressKey, type Family } from '../../src/ipvs/service.js'
import { addU32, casU64, loadU32, loadU64, skbContext, xdpContext } from '../../src/libbpf/index.js'
import { inspectTable, type TableReport } from './conn-table.js'
import type { Netns } from './netns.js'
import { Plane, type Part } from './plane.js'

/** enum stress_event of test/support/bpf/stress.h. */
export const STRESS_EVENTS = [
  'matched',
  'walked',
  'killing',
  'killed',
  'stepping',
  'pushing',
  'popping',
  'extending',
  'extendLost',
  'evicting',
  'evicted',
  'claimed',
  'filled',
  'published',
  'scanned',
  'lost',
  'aborted',
  'cutOff',
  'copying',
  'drainDead',
  'drainClosing',
  'drainMisled',
  'drainReverted',
  'drained',
  'packets',
  'created',
  'ended',
  'misdirected',
] as const

export type StressEvent = (typeof STRESS_EVENTS)[number]

export interface StressOptions {
  readonly buckets: Buckets
  /** Different clients; each talks to two virtual addresses by two protocols. */
  readonly clients: number
  readonly seconds: number
  /** One in so many visits of a window stays there; a power of two, 0 = none does. */
  readonly linger: number
  /** Dests come and go meanwhile. Without it all counters must agree to the packet. */
  readonly changeDests: boolean
  readonly objects: Readonly<Record<Part, string>>
}

export interface StressOutcome {
  readonly packets: number
  readonly events: Readonly<Record<StressEvent, number>>
  /** When everything stood still. */
  readonly atRest: readonly TableReport[]
  /** After the clock went on far enough for all to expire. */
  readonly drained: readonly TableReport[]
  /** In words: tables, counters, listings. */
  readonly faults: readonly string[]
  readonly userKills: number
  readonly listed: number
  readonly destChanges: number
}

const VIPS = 2
const REALS = 4
const FAMILIES = [4, 6] as const
const PROTOCOLS = ['tcp', 'udp'] as const

const vip = (family: Family, n: number) => (family === 4 ? `10.0.0.${1 + n}` : `fd00::${1 + n}`)
const real = (family: Family, n: number) => (family === 4 ? `10.2.0.${11 + n}` : `fd02::${11 + n}`)

/** The addresses the programs make packets of, in a namespace where all have a way. */
export function prepareStressNetns(netns: Netns): void {
  netns.ip(
    'link add eth0 address 02:00:00:00:00:01 type veth peer name far0',
    'link set eth0 up',
    'link set far0 up',
    'addr add 10.2.0.1/24 dev eth0',
    'addr add fd02::1/64 dev eth0 nodad',
    'route add default via 10.2.0.254',
    'route add default via fd02::254',
    ...FAMILIES.flatMap((family) =>
      Array.from({ length: VIPS }, (_, n) => `addr add ${vip(family, n)}/${family === 4 ? 32 : 128} dev lo`),
    ),
    ...FAMILIES.flatMap((family) =>
      [
        ...Array.from({ length: REALS }, (_, n) => real(family, n)),
        family === 4 ? '10.2.0.254' : 'fd02::254',
      ].map((address) => `neigh add ${address} lladdr 02:00:00:00:00:02 dev eth0 nud permanent`),
    ),
  )
}

interface Job {
  readonly part: Part
  readonly program: string
  readonly cpu: number
  readonly rounds: number
  /** As frames from a device's ring, in its softirq. */
  readonly live?: boolean
}

/** Must be made in a namespace that `prepareStressNetns` prepared. */
export async function stress(netns: Netns, options: StressOptions): Promise<StressOutcome> {
  using plane = new Plane(netns, {
    buckets: options.buckets,
    hashSeed: 0x5eed,
    objects: options.objects,
    constants: {
      cfg_linger: options.linger,
      cfg_clients: options.clients,
      cfg_vips: VIPS,
      cfg_reals: REALS,
    },
  })
  plane.learnDevices()
  configure(plane)
  runSyscall(plane, 'sweep_start', 0)

  const deadline = performance.now() + options.seconds * 1000
  const isOver = () => performance.now() > deadline
  const user = new UserSpace(plane, options.changeDests)
  const jobs = jobsOf(options)
  let next = 0
  // As many calls at a time as libuv has threads, each on the CPU it is for.
  const lanes = Array.from({ length: 4 }, async () => {
    while (!isOver()) await run(plane, jobs[next++ % jobs.length]!)
  })
  const meddling = (async () => {
    while (!isOver()) {
      user.meddle()
      await setImmediate()
    }
  })()
  await Promise.all([...lanes, meddling])
  runSyscall(plane, 'sweep_stop', 0)

  const faults = [...user.faults]
  const events = Object.fromEntries(
    STRESS_EVENTS.map((name, i) => [name, plane.sum('stress_events', i)]),
  ) as Record<StressEvent, number>
  const atRest = inspect(plane, 'at rest', faults)
  checkCounters(plane, events, user.kills, atRest, options.changeDests, faults)

  // A week: longer than any timeout, so everything ends; a bucket leaves each chain per sweep.
  plane.advance(7 * 86_400)
  for (let i = 0; i < options.buckets.spares4 + options.buckets.spares6 + 1; i++)
    runSyscall(plane, 'sweep_often', 1)
  const drained = inspect(plane, 'drained', faults)
  for (const report of drained) {
    if (report.live > 0) faults.push(`drained: ${report.live} connections are left`)
    if (report.spares.chained > 0)
      faults.push(`drained: ${report.spares.chained} spare buckets are still on chains`)
  }

  return {
    packets: events.packets,
    events,
    atRest,
    drained,
    faults,
    userKills: user.kills,
    listed: user.listed,
    destChanges: user.changes,
  }
}

function jobsOf(options: StressOptions): Job[] {
  const cpus = Math.min(availableParallelism(), 4)
  const packets = (part: 'xdp' | 'tc', cpu: number): Job => ({ part, program: 'drive', cpu, rounds: 20_000 })
  const sweeps = Math.ceil(20_000 / (BUCKET_LINES * (options.buckets.buckets4 + options.buckets.spares4 + 8)))
  return (
    Array.from({ length: cpus }, (_, cpu): Job[] => [
      packets('xdp', cpu),
      packets('tc', cpu),
      { part: 'control', program: 'drive', cpu, rounds: 10_000 },
      { ...packets('xdp', cpu), live: true },
      packets('tc', cpu),
      { part: 'control', program: 'sweep_often', cpu, rounds: sweeps },
    ])
      .flat()
      // Neighbours in the list are under way together: let them be different ones.
      .map((job, i, all) => all[(i * 7) % all.length]!)
  )
}

/** Numbers the runs: those in process context each have a slot of their own to work in. */
let runs = 0

const PACKET = new Uint8Array(64)

async function run(plane: Plane, { part, program, cpu, rounds, live = false }: Job): Promise<void> {
  const target = plane.program(part, program)
  if (part === 'control') {
    await target.testRunAsync({ ctxIn: new Uint8Array(Uint32Array.of(rounds, ++runs % 256).buffer), cpu })
    return
  }
  const ctxIn = part === 'xdp' ? xdpContext({ length: PACKET.length }) : skbContext({})
  const netns = plane.netns.path
  await target.testRunAsync({ dataIn: PACKET, ctxIn, repeat: rounds, liveFrames: live, cpu, netns })
}

function runSyscall(plane: Plane, program: string, rounds: number): void {
  const ctxIn = new Uint8Array(Math.max(at.sweepRequest.size, 8))
  new DataView(ctxIn.buffer).setUint32(0, rounds, true)
  const size = program === 'sweep_start' ? at.sweepRequest.size : 8
  plane.program('control', program).testRun({ ctxIn: ctxIn.subarray(0, size) })
}

/** Services over the same real servers, so that reply tuples collide; short timeouts. */
function configure(plane: Plane): void {
  const { datapath } = plane
  for (const key of serviceKeys()) {
    const scheduler = key.protocol === 'udp' ? 'rr' : key.address.endsWith('1') ? 'wlc' : 'wrr'
    datapath.addService({
      key,
      scheduler,
      flags: NO_FLAGS,
      persistentTimeout: 0,
      netmask: fullMask(key.family),
      pe: '',
    })
    for (let n = 0; n < REALS; n++) datapath.addDest(key, destOf(key, n))
  }
  const tick = (ms: number) => Math.max(1, Math.round((ms * plane.hz) / 1000))
  for (let state = 0; state < 16; state++) plane.setTimeout(PROTO_TCP, state, tick(20 + 20 * state))
  // Established connections and datagrams stay long enough to fill the table.
  plane.setTimeout(PROTO_TCP, 1, tick(400))
  plane.setTimeout(PROTO_UDP, 0, tick(150))
}

function serviceKeys(): AddressKey[] {
  return FAMILIES.flatMap((family) =>
    PROTOCOLS.flatMap((protocol) =>
      Array.from({ length: VIPS }, (_, n) => ({
        kind: 'address' as const,
        protocol,
        address: vip(family, n),
        family,
        port: 80,
      })),
    ),
  )
}

function destOf(key: AddressKey, n: number): DestSpec {
  return {
    address: real(key.family, n),
    family: key.family,
    port: 80,
    // One of four by direct routing: its replies belong to the virtual address.
    fwd: n === 3 ? 'route' : 'masq',
    weight: 1 + n,
    upperThreshold: n === 2 ? 20 : 0,
    lowerThreshold: 0,
    tunType: 'ipip',
    tunPort: 0,
    tunFlags: 'nocsum',
  }
}

/** What an operator and his tools do at the same time. */
class UserSpace {
  kills = 0
  listed = 0
  changes = 0
  readonly faults: string[] = []
  readonly #plane: Plane
  readonly #changesDests: boolean
  readonly #keys = serviceKeys()
  #turn = 0
  #removed: { readonly key: AddressKey; readonly n: number } | undefined

  constructor(plane: Plane, changesDests: boolean) {
    this.#plane = plane
    this.#changesDests = changesDests
  }

  meddle(): void {
    this.#turn++
    for (const family of FAMILIES) this.#kill(family, 8)
    if (this.#turn % 16 === 0) this.#list()
    if (this.#changesDests && this.#turn % 8 === 0) this.#change()
    if (this.#turn % 64 === 0) {
      const config = this.#plane.table('config')
      config.setU32(0, at.config.expireNodestConn, (this.#turn / 64) & 1)
      config.setU32(0, at.config.connReuseMode, (this.#turn / 128) & 1 ? 1 : 3)
    }
  }

  /** conn_kill from the outside: whoever swaps the word takes the entry off its dest. */
  #kill(family: Family, tries: number): void {
    const conns = this.#plane.table(family === 4 ? 'conns4' : 'conns6')
    const dests = this.#plane.table('dests')
    for (let i = 0; i < tries; i++) {
      const bucket = Math.floor(Math.random() * conns.length)
      const line = conns.at(bucket, Math.floor(Math.random() * BUCKET_LINES) * at.conn.size)
      const word = loadU64(conns.bytes, line + at.conn.word)
      if (Number(word & 15n) !== LIFE_LIVE) continue
      const dest = loadU32(conns.bytes, line + at.conn.dest)
      if (casU64(conns.bytes, line + at.conn.word, word, (word >> 32n) << 32n) !== word) continue
      this.kills++
      unbind(dests, dest, ((Number(word & 0xffff_ffffn) >>> WORD_FLAG_SHIFT) & CONN_F_INACTIVE) === 0)
    }
  }

  /** Every entry a listing shows is one that packets can have made. */
  #list(): void {
    for (const conn of this.#plane.datapath.connections()) {
      this.listed++
      const reals = conn.family === 4 ? /^10\.2\.0\.1[1-4]$/ : /^fd02::1[1-4]$/
      const virtual = conn.family === 4 ? /^10\.0\.0\.[12]$/ : /^fd00::[12]$/
      const client = conn.family === 4 ? /^198\.18\.0\.\d+$/ : /^fd01::/
      const right =
        reals.test(conn.dest.address) &&
        virtual.test(conn.virtual.address) &&
        client.test(conn.client.address) &&
        conn.client.port >= 1024 &&
        conn.virtual.port === 80 &&
        conn.dest.port === 80 &&
        (conn.fwd === 'route') === conn.dest.address.endsWith('4')
      if (!right && this.faults.length < 10) this.faults.push(`listed: ${JSON.stringify(conn)}`)
    }
  }

  /** Takes a dest away, or brings back the one taken away last. */
  #change(): void {
    const { datapath } = this.#plane
    this.changes++
    if (this.#removed !== undefined) {
      const { key, n } = this.#removed
      datapath.addDest(key, destOf(key, n))
      this.#removed = undefined
      return
    }
    const key = this.#keys[Math.floor(Math.random() * this.#keys.length)]!
    const n = Math.floor(Math.random() * REALS)
    if (this.changes % 3 === 0) {
      datapath.editDest(key, { ...destOf(key, n), weight: this.changes % 2 === 0 ? 0 : 5 })
      return
    }
    datapath.deleteDest(key, destOf(key, n))
    this.#removed = { key, n }
  }
}

/** dest_unbind of bpf/ipvs/dest.h. */
function unbind(dests: Table, dest: number, active: boolean): void {
  if (dest === 0) return
  if (active) addU32(dests.bytes, dests.at(dest, at.dest.active), -1)
  const before = addU32(dests.bytes, dests.at(dest, at.dest.total), -1)
  const upper = dests.u32(dest, at.dest.upper)
  const lower = dests.u32(dest, at.dest.lower) || upper - Math.floor(upper / 4)
  if (upper !== 0 && before === lower)
    dests.setU8(dest, at.dest.overload, loadU32(dests.bytes, dests.at(dest, at.dest.total)) >= upper ? 1 : 0)
}

/** Both tables, and the dests against what the tables say of them. */
function inspect(plane: Plane, when: string, faults: string[]): TableReport[] {
  const { buckets4, spares4, buckets6, spares6 } = plane.buckets
  const spareHeads = plane.table('spare_buckets')
  const { hashSeed } = plane
  const reports = [
    inspectTable(plane.table('conns4'), spareHeads, {
      family: 4,
      buckets: buckets4,
      spares: spares4,
      hashSeed,
    }),
    inspectTable(plane.table('conns6'), spareHeads, {
      family: 6,
      buckets: buckets6,
      spares: spares6,
      hashSeed,
    }),
  ]
  for (const [i, report] of reports.entries())
    faults.push(...report.faults.map((fault) => `${when}, IPv${i === 0 ? 4 : 6}: ${fault}`))

  const dests = plane.table('dests')
  for (let dest = 0; dest < dests.length; dest++) {
    let [active, total] = [0, 0]
    for (const { loads } of reports) {
      active += loads.get(dest)?.active ?? 0
      total += loads.get(dest)?.total ?? 0
    }
    const counted = { active: dests.u32(dest, at.dest.active), total: dests.u32(dest, at.dest.total) }
    if (counted.active !== active || counted.total !== total) {
      faults.push(
        `${when}: dest ${dest} says ${counted.active | 0} active of ${counted.total | 0}, the table ${active} of ${total}`,
      )
    }
    const upper = dests.u32(dest, at.dest.upper)
    const lower = dests.u32(dest, at.dest.lower) || upper - Math.floor(upper / 4)
    const overload = dests.u8(dest, at.dest.overload) !== 0
    if (upper === 0 ? overload : (total >= upper && !overload) || (total < lower && overload))
      faults.push(
        `${when}: dest ${dest} with ${total} of ${lower} to ${upper} is ${overload ? '' : 'not '}overloaded`,
      )
  }
  return reports
}

/** Packets and connections, each counted in several places. */
function checkCounters(
  plane: Plane,
  events: Readonly<Record<StressEvent, number>>,
  userKills: number,
  atRest: readonly TableReport[],
  destsChanged: boolean,
  faults: string[],
): void {
  const { scanned, lost, aborted, cutOff, killed, evicted, created, misdirected } = events
  const made = scanned - lost - aborted - cutOff
  const ended = killed + evicted + userKills
  const live = atRest.reduce((sum, report) => sum + report.live, 0)
  if (made - ended !== live) faults.push(`${made} connections made, ${ended} ended, and ${live} are there`)
  if (misdirected > 0) faults.push(`${misdirected} packets were sent where another connection goes`)

  const verdicts = (['xdp', 'tc'] as const).map((hook) => plane.reasons(hook))
  const count = (reason: string) => verdicts.reduce((sum, row) => sum + (row[reason] ?? 0), 0)
  const { conns, inPackets, outPackets } = plane.datapath.totals()
  const compare = (what: string, has: bigint, wanted: number) => {
    // What is under way to a dest when it leaves is nobody's.
    const agrees = destsChanged ? Number(has) <= wanted : Number(has) === wanted
    if (!agrees) faults.push(`the counters say ${has} ${what}, the verdicts ${wanted}`)
  }
  compare('packets in', inPackets, count('FORWARD_IN') + count('FORWARD_NEW'))
  compare('packets out', outPackets, count('FORWARD_OUT'))
  compare('connections', conns, made - created)
}
