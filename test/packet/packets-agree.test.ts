// SPDX-License-Identifier: MIT
/**
 * XDP with tc behind it is tc alone, only faster: whatever comes in whatever order,
 * the same packets leave, and the same connections, counters and turns are left.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { describeFrame } from '../support/packet/check.js'
import { eth, type Frame } from '../support/packet/frame.js'
import { ADDRESSES, BACK_MAC, Lab, masq, realMac, route, service, tunnel } from '../support/packet/lab.js'
import { Random } from '../support/random.js'

const FAMILIES = [4, 6] as const
const STEPS = 150
/** XLVS_SEED names another one. */
const SEEDS = process.env['XLVS_SEED'] ? [Number(process.env['XLVS_SEED'])] : [1, 2, 3, 4, 5, 6, 7, 8]

type Step = { readonly frame: Frame } | { readonly say: string; readonly act: (lab: Lab) => void }

function given() {
  return FAMILIES.flatMap((family) => {
    const a = ADDRESSES[family]
    const other = ADDRESSES[family === 4 ? 6 : 4]
    return [
      service('tcp', a.vip, 80, 'rr', [masq(a.real, 8080), masq(a.real2, 8080), masq(a.thin, 80)]),
      service('tcp', a.vip2, 80, 'wlc', [masq(a.real, 8080, { weight: 2 }), masq(a.real2, 8080)]),
      service('tcp', a.vip, 81, 'lc', [route(a.real, 81), tunnel(a.real2, 81), tunnel(other.real, 81)]),
      service('udp', a.vip, 53, 'wrr', [
        masq(a.real, 53, { weight: 3, upperThreshold: 4 }),
        tunnel(other.real2, 53),
        masq(a.silent, 53),
      ]),
    ]
  })
}

function randomStep(random: Random): Step {
  const family = random.pick(FAMILIES)
  const a = ADDRESSES[family]
  const client = 40000 + random.below(6)
  const vip = random.pick([a.vip, a.vip2])
  const ttl = random.below(12) === 0 ? 1 : 64
  const flags = random.pick(['S', 'S', 'A', 'PA', 'FA', 'R', 'SA'])
  const server = random.pick([7, 8])
  const real = server === 7 ? a.real : a.real2
  const size = random.pick([0, 1, 100, 1290, 1430])
  switch (random.below(10)) {
    case 0:
    case 1:
    case 2:
      return { frame: eth().ip(a.client, vip, { ttl }).tcp(client, 80, { flags }).data(size) }
    case 3:
      return { frame: eth().ip(a.client, a.vip, { ttl }).tcp(client, 81, { flags }).data(size) }
    case 4:
    case 5:
      return { frame: eth().ip(a.client, a.vip, { ttl, tos: 0xb9 }).udp(client, 53).data(size) }
    case 6:
    case 7:
      return {
        frame: eth({ to: BACK_MAC, from: realMac(server) })
          .ip(real, a.client, { ttl })
          .tcp(8080, client, { flags })
          .data(size),
      }
    case 8: {
      const checksum = family === 4 ? { checksum: 0 } : {}
      return {
        frame: eth({ to: BACK_MAC, from: realMac(server) })
          .ip(real, a.client)
          .udp(53, client, checksum)
          .data('a'),
      }
    }
    default: {
      const seconds = random.pick([1, 7, 65, 130, 350])
      const key = random.pick(given()).key
      const weight = random.below(3)
      return random.pick<Step>([
        { say: `${seconds} s later`, act: (lab) => lab.plane.advance(seconds) },
        { say: 'swept', act: (lab) => void lab.plane.datapath.sweep() },
        {
          say: `weight ${weight}`,
          act: (lab) => {
            const dest = lab.plane.datapath.service(key)?.dests[0]
            if (dest !== undefined) lab.plane.datapath.editDest(key, { ...dest, weight })
          },
        },
        {
          say: 'expire_nodest_conn',
          act: (lab) => lab.plane.datapath.setSettings({ expire_nodest_conn: weight & 1 }),
        },
      ])
    }
  }
}

/** What one play leaves behind and what it did, in words that can be compared. */
function play(lab: Lab, steps: readonly Step[], hooks: 'tc' | 'both') {
  lab.reset()
  lab.given(...given())
  const story = steps.map((step) => {
    if ('say' in step) {
      step.act(lab)
      return step.say
    }
    const ran = hooks === 'both' ? lab.deliver(step.frame) : lab.run('tc', step.frame)
    const packet = Buffer.from(withoutId(ran.frame).subarray(14)).toString('hex')
    return `${describeFrame(step.frame.bytes())}: ${ran.verdict}${ran.verdict === 'DROP' ? '' : ` ${packet}`}`
  })
  return {
    story,
    connections: lab.connections.map(({ expiresMs: _, ...conn }) => JSON.stringify(conn)).sort(),
    services: given().map(({ key }) => lab.plane.datapath.service(key)),
    totals: lab.totals(),
  }
}

/** Tunnel heads and errors of ours carry a random identification. */
function withoutId(frame: Uint8Array): Uint8Array {
  const bytes = frame.slice()
  if (bytes[14]! >> 4 === 4) bytes.fill(0, 18, 20).fill(0, 24, 26)
  return bytes
}

describe('XDP and tc on one device', () => {
  let lab: Lab
  const byXdp: Record<string, number> = {}

  beforeAll(() => {
    lab = new Lab()
  })

  afterAll(() => lab?.[Symbol.dispose]())

  it.each(SEEDS)('do together what tc does alone (seed %i)', (seed) => {
    const random = new Random(seed)
    const steps = Array.from({ length: STEPS }, () => randomStep(random))

    const alone = play(lab, steps, 'tc')
    const together = play(lab, steps, 'both')

    expect(together).toEqual(alone)
    for (const [reason, count] of Object.entries(lab.plane.reasons('xdp'))) {
      byXdp[reason] = (byXdp[reason] ?? 0) + count
    }
  })

  it('each did its part', () => {
    for (const reason of [
      'FORWARD_NEW',
      'FORWARD_IN',
      'FORWARD_OUT',
      'DEFER_TTL',
      'DEFER_TOO_BIG',
      'DEFER_HOP',
    ]) {
      expect(byXdp[reason], reason).toBeGreaterThan(0)
    }
  })
})
