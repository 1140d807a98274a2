// SPDX-License-Identifier: MIT
/**
 * Bulk TCP between real sockets, through tc with every offload on: what a connection
 * gets through the balancer, next to what plain forwarding gives it in the same world.
 */
import { KernelDatapath } from '../../src/datapath/kernel/datapath.js'
import { FWD_METHODS, type FwdMethod } from '../../src/ipvs/dest.js'
import { fullMask, NO_FLAGS } from '../../src/ipvs/service.js'
import { createWorld, type Host, type World } from '../../src/testing/index.js'
import { budget, type BenchContext, type GroupResult, type Ratio, type Row } from './result.js'
import { combine, figure, interleave, type Runner, type Samples } from './statistics.js'

const PORT = 5201
const SECONDS = 1
/** Seven are enough: a run is a whole second, and all of them have to be waited for. */
const ROUNDS = 7

const PLAIN = 'plain forwarding'

interface Way {
  readonly name: string
  /** Without one, straight to the server. */
  readonly method?: { readonly fwd: FwdMethod; readonly vip: number }
  /** Which way the bytes go: only requests pass a balancer that does not masquerade. */
  readonly direction: 'to the server' | 'to the client'
  readonly family: 4 | 6
}

const NAT = { fwd: 'masq', vip: 1 } as const
const DR = { fwd: 'route', vip: 2 } as const
const TUN = { fwd: 'tunnel', vip: 3 } as const

const WAYS: readonly Way[] = [
  { name: PLAIN, direction: 'to the server', family: 4 },
  { name: 'NAT', method: NAT, direction: 'to the server', family: 4 },
  { name: 'DR', method: DR, direction: 'to the server', family: 4 },
  { name: 'TUN', method: TUN, direction: 'to the server', family: 4 },
  { name: PLAIN, direction: 'to the client', family: 4 },
  { name: 'NAT', method: NAT, direction: 'to the client', family: 4 },
  { name: PLAIN, direction: 'to the server', family: 6 },
  { name: 'NAT', method: NAT, direction: 'to the server', family: 6 },
]

const nameOf = ({ name, direction, family }: Way) => `${name}, IPv${family}, ${direction}`
const plainOf = (way: Way) => nameOf({ ...way, name: PLAIN })

export async function measureBulk(context: BenchContext): Promise<GroupResult> {
  await using world = await createWorld({ clients: 1, servers: 1 })
  const [server] = world.servers
  await server.decapsulate()
  for (const { vip } of [DR, TUN]) await server.acceptVirtual(world.vip(4, vip))
  using datapath = KernelDatapath.open({ netns: `/run/netns/${world.director.netns}`, load: 'never' })
  datapath.up({ xdp: 'off', conns: 4096 })
  try {
    configure(datapath, world)
    const listening = server.spawn('iperf3', ['--server', '--port', `${PORT}`, '--forceflush'])
    await listening.printed(/listening/i)

    let round = 0
    const runners = WAYS.map((way, i): Runner => {
      const address =
        way.method === undefined ? server.address(way.family) : world.vip(way.family, way.method.vip)
      return {
        name: nameOf(way),
        run: async () => {
          if (i === 0) context.progress(`round ${++round} of ${ROUNDS + 1}`)
          return gigabits(world.client, address, way.direction)
        },
      }
    })
    const samples = await interleave(runners, ROUNDS)
    checkWays(datapath)
    return result(samples)
  } finally {
    datapath.down()
  }
}

function configure(datapath: KernelDatapath, world: World): void {
  for (const family of world.families) {
    for (const { fwd, vip } of family === 4 ? [NAT, DR, TUN] : [NAT]) {
      const key = {
        kind: 'address',
        protocol: 'tcp',
        address: world.vip(family, vip),
        family,
        port: PORT,
      } as const
      datapath.addService({
        key,
        scheduler: 'rr',
        flags: NO_FLAGS,
        persistentTimeout: 0,
        netmask: fullMask(family),
        pe: '',
      })
      datapath.addDest(key, {
        address: world.servers[0].address(family),
        family,
        port: PORT,
        fwd,
        weight: 1,
        upperThreshold: 0,
        lowerThreshold: 0,
        tunType: 'ipip',
        tunPort: 0,
        tunFlags: 'nocsum',
      })
    }
  }
}

/** Nothing may have taken another way than the one it is listed under. */
function checkWays(datapath: KernelDatapath): void {
  for (const { key, dests } of datapath.services()) {
    for (const { fwd, stats } of dests) {
      if (stats.inBytes > 100_000_000n || stats.outBytes > 100_000_000n) continue
      const what = key.kind === 'address' ? key.address : `mark ${key.fwmark}`
      throw new Error(
        `only ${stats.inBytes} bytes went through ${what} by ${fwd}, one of ${FWD_METHODS.join(', ')}`,
      )
    }
  }
}

/** One iperf3 run; what arrived counts. */
async function gigabits(client: Host, address: string, direction: Way['direction']): Promise<number> {
  const { stdout } = await client.exec('iperf3', [
    ...['--client', address, '--port', `${PORT}`, '--time', `${SECONDS}`, '--json'],
    ...(direction === 'to the client' ? ['--reverse'] : []),
  ])
  const report = JSON.parse(stdout) as { end: { sum_received: { bits_per_second: number } } }
  return report.end.sum_received.bits_per_second / 1e9
}

function result(samples: Samples): GroupResult {
  return {
    group: 'bulk',
    title: 'Bulk TCP through tc',
    about:
      `One connection of iperf3 for ${SECONDS} s per run between namespaces, over veth and bridges with all ` +
      'offloads on; ratios are of throughput.',
    sections: [
      {
        title: 'Throughput of one connection',
        unit: 'Gbit/s',
        rows: WAYS.map((way): Row => {
          const name = nameOf(way)
          const ratios: Ratio[] = []
          if (way.method !== undefined) {
            const ratio = figure(combine(samples, [name, plainOf(way)], (own, plain) => own / plain))
            ratios.push({ of: PLAIN, figure: ratio, budget: budget(ratio, '≥', 0.95) })
          }
          return {
            what: way.name,
            variant: `IPv${way.family}, ${way.direction}`,
            amount: figure(combine(samples, [name], (own) => own)),
            ratios,
          }
        }),
        notes: ['Replies of DR and TUN go around the director, so only what flows to the server passes it.'],
      },
    ],
  }
}
