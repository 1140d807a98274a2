// SPDX-License-Identifier: MIT
/** What becomes of connections: their end, their heirs, and a table that is full. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { inspectTable } from '../support/conn-table.js'
import { CLIENT_MAC, DIRECTOR_MAC, eth } from '../support/packet/frame.js'
import { ADDRESSES, BACK_MAC, Lab, masq, realMac, route, service } from '../support/packet/lab.js'
import { compareFrames, packetCases, type PacketCase } from '../support/packet/table.js'

const FAMILIES = [4, 6] as const

const toReal = (n = 7) => eth({ to: realMac(n), from: BACK_MAC })
const toClient = () => eth({ to: CLIENT_MAC, from: DIRECTOR_MAC })
const fromReal = (n = 7) => eth({ to: BACK_MAC, from: realMac(n) })
const after = (seconds: number) => (lab: Lab) => lab.plane.advance(seconds)

packetCases(
  'the end of a connection',
  FAMILIES.flatMap((family): PacketCase[] => {
    const a = ADDRESSES[family]
    const overhead = family === 4 ? 20 : 40
    const name = `IPv${family}`
    const dns = [service('udp', a.vip, 53, 'rr', [masq(a.real, 5353), masq(a.real2, 5353)])]
    const web = [service('tcp', a.vip, 80, 'rr', [masq(a.real, 8080), masq(a.real2, 8080)])]
    const direct = [service('tcp', a.vip, 80, 'rr', [route(a.real, 80), route(a.real2, 80)])]
    const one = [service('tcp', a.vip, 80, 'rr', [masq(a.real, 8080)])]
    const ask = eth().ip(a.client, a.vip).udp(40000, 53).data('q')
    const client = (flags: string) => eth().ip(a.client, a.vip).tcp(40000, 80, { flags })
    const server = (flags: string, n = 8) =>
      fromReal(n)
        .ip(n === 8 ? a.real2 : a.real, a.client)
        .tcp(8080, 40000, { flags })
    const towards = (n: number, port: number, flags: string) =>
      toReal(n)
        .ip(a.client, n === 8 ? a.real2 : a.real, { ttl: 63 })
        .tcp(40000, port, { flags })
    // Dests stand newest first: .8 has the first turn, .7 the second.
    const segment = { inPackets: 1, inBytes: overhead + 20 }
    return [
      {
        name: `${name}: a datagram in time stays with its dest and starts the timer again`,
        given: dns,
        before: [ask, after(200), ask, after(299)],
        packet: ask,
        verdict: 'REDIRECT',
        reason: 'FORWARD_IN',
        out: toReal(8).ip(a.client, a.real2, { ttl: 63 }).udp(40000, 5353).data('q'),
        counts: { inPackets: 1, inBytes: overhead + 9 },
        connections: 1,
      },
      {
        name: `${name}: a datagram that comes too late opens a new one, without a sweep`,
        given: [dns[0]!],
        before: [ask, after(300)],
        packet: ask,
        verdict: 'REDIRECT',
        reason: 'FORWARD_NEW',
        out: toReal(7).ip(a.client, a.real, { ttl: 63 }).udp(40000, 5353).data('q'),
        connections: 1,
        skipDestCounts: true,
        counts: { conns: 1, inPackets: 1, inBytes: overhead + 9 },
      },
      {
        name: `${name}: an answer that comes too late is nobody's`,
        given: dns,
        before: [ask, after(301)],
        packet: fromReal(8).ip(a.real2, a.client).udp(5353, 40000).data('a'),
        verdict: 'PASS',
        reason: 'PASS_NOT_OURS',
        connections: 0,
        leavesTraces: true,
      },
      {
        name: `${name}: one that is over no longer hides an older one with the same reply tuple`,
        given: [
          service('tcp', a.vip, 80, 'rr', [masq(a.real, 8080)]),
          service('tcp', a.vip2, 80, 'rr', [masq(a.real, 8080)]),
        ],
        // The older one is established, the newer one half open and a minute old.
        before: [client('S'), client('A'), eth().ip(a.client, a.vip2).tcp(40000, 80), after(61)],
        packet: server('A', 7),
        verdict: 'REDIRECT',
        reason: 'FORWARD_OUT',
        out: toClient().ip(a.vip, a.client, { ttl: 63 }).tcp(80, 40000, { flags: 'A' }),
        counts: { outPackets: 1, outBytes: overhead + 20 },
        state: ['ESTABLISHED', true],
      },
      {
        name: `${name}: half open, it ends after a minute`,
        given: web,
        before: [client('S'), after(60)],
        packet: client('A'),
        verdict: 'PASS',
        reason: 'PASS_NOT_OPENER',
        connections: 0,
        leavesTraces: true,
      },
      {
        name: `${name}: established, it lives for fifteen minutes`,
        given: web,
        before: [client('S'), server('SA'), client('A'), after(899)],
        packet: client('A'),
        verdict: 'REDIRECT',
        reason: 'FORWARD_IN',
        out: towards(8, 8080, 'A'),
        counts: segment,
        state: ['ESTABLISHED', true],
      },
      {
        name: `${name}: an opener after the end starts anew`,
        given: web,
        before: [client('S'), server('SA'), client('A'), client('FA'), server('FA'), client('A')],
        packet: client('S'),
        verdict: 'REDIRECT',
        reason: 'FORWARD_NEW',
        out: towards(7, 8080, 'S'),
        counts: { conns: 1, ...segment },
        skipDestCounts: true,
        state: ['SYN_RECV', true],
      },
      {
        name: `${name}: with conn_reuse_mode=0 it does not`,
        given: web,
        settings: { conn_reuse_mode: 0 },
        before: [client('S'), server('SA'), client('A'), client('FA'), server('FA'), client('A')],
        packet: client('S'),
        verdict: 'REDIRECT',
        reason: 'FORWARD_IN',
        out: towards(8, 8080, 'S'),
        counts: segment,
        connections: 1,
      },
      {
        name: `${name}: an opener in the middle stays with its dest`,
        given: web,
        before: [client('S'), server('SA'), client('A')],
        packet: client('S'),
        verdict: 'REDIRECT',
        reason: 'FORWARD_IN',
        out: towards(8, 8080, 'S'),
        counts: segment,
        state: ['ESTABLISHED', true],
      },
      {
        name: `${name}: direct routing in FIN_WAIT, an opener stays with its dest`,
        given: direct,
        before: [client('S'), client('A'), client('FA')],
        packet: client('S'),
        verdict: 'REDIRECT',
        reason: 'FORWARD_IN',
        out: toReal(8).ip(a.client, a.vip, { ttl: 63 }).tcp(40000, 80),
        counts: segment,
        connections: 1,
      },
      {
        name: `${name}: direct routing in FIN_WAIT, with conn_reuse_mode=3 an opener starts anew`,
        given: direct,
        settings: { conn_reuse_mode: 3 },
        before: [client('S'), client('A'), client('FA')],
        packet: client('S'),
        verdict: 'REDIRECT',
        reason: 'FORWARD_NEW',
        out: toReal(7).ip(a.client, a.vip, { ttl: 63 }).tcp(40000, 80),
        counts: { conns: 1, ...segment },
        skipDestCounts: true,
        state: ['SYN_RECV', true],
      },
      {
        name: `${name}: weight 0 keeps what is open`,
        given: one,
        before: [
          client('S'),
          (lab) => lab.plane.datapath.editDest(one[0]!.key, masq(a.real, 8080, { weight: 0 })),
        ],
        packet: client('A'),
        verdict: 'REDIRECT',
        reason: 'FORWARD_IN',
        out: towards(7, 8080, 'A'),
        counts: segment,
        connections: 1,
      },
      {
        name: `${name}: weight 0 with expire_nodest_conn, an opener goes to another dest`,
        given: web,
        settings: { expire_nodest_conn: 1 },
        before: [
          client('S'),
          (lab) => lab.plane.datapath.editDest(web[0]!.key, masq(a.real2, 8080, { weight: 0 })),
        ],
        packet: client('S'),
        verdict: 'REDIRECT',
        reason: 'FORWARD_NEW',
        out: towards(7, 8080, 'S'),
        counts: { conns: 1, ...segment },
        skipDestCounts: true,
        connections: 1,
      },
      {
        name: `${name}: a removed dest with expire_nodest_conn, an opener goes to another one`,
        given: web,
        before: [
          client('S'),
          (lab) => lab.plane.datapath.deleteDest(web[0]!.key, masq(a.real2, 8080)),
          (lab) => lab.plane.datapath.setSettings({ expire_nodest_conn: 1 }),
        ],
        packet: client('S'),
        verdict: 'REDIRECT',
        reason: 'FORWARD_NEW',
        out: towards(7, 8080, 'S'),
        counts: { conns: 1, ...segment },
        connections: 1,
      },
      {
        name: `${name}: a removed dest with expire_nodest_conn, what goes on is not ours any more`,
        given: web,
        before: [
          client('S'),
          (lab) => lab.plane.datapath.deleteDest(web[0]!.key, masq(a.real2, 8080)),
          (lab) => lab.plane.datapath.setSettings({ expire_nodest_conn: 1 }),
        ],
        packet: client('A'),
        verdict: 'PASS',
        reason: 'PASS_NOT_OPENER',
        connections: 0,
        leavesTraces: true,
      },
      {
        name: `${name}: a dest that comes back finds its connections`,
        given: one,
        before: [
          client('S'),
          (lab) => lab.plane.datapath.deleteDest(one[0]!.key, masq(a.real, 8080)),
          (lab) => lab.plane.datapath.addDest(one[0]!.key, masq(a.real, 8080)),
        ],
        packet: client('A'),
        verdict: 'REDIRECT',
        reason: 'FORWARD_IN',
        out: towards(7, 8080, 'A'),
        counts: segment,
        connections: 1,
      },
      {
        name: `${name}: with sloppy_tcp any segment opens`,
        given: web,
        settings: { sloppy_tcp: 1 },
        packet: client('A'),
        verdict: 'REDIRECT',
        reason: 'FORWARD_NEW',
        out: towards(8, 8080, 'A'),
        counts: { conns: 1, ...segment },
        state: ['ESTABLISHED', true],
      },
      {
        name: `${name}: with sloppy_tcp a reset opens nothing`,
        given: web,
        settings: { sloppy_tcp: 1 },
        packet: client('R'),
        verdict: 'PASS',
        reason: 'PASS_NOT_OPENER',
        connections: 0,
      },
      {
        name: `${name}: a dest above its upper threshold gets nothing new`,
        given: [
          service('tcp', a.vip, 80, 'rr', [
            masq(a.real, 8080),
            masq(a.real2, 8080, { upperThreshold: 1, lowerThreshold: 0 }),
          ]),
        ],
        before: [client('S'), eth().ip(a.client, a.vip).tcp(40001, 80)],
        packet: eth().ip(a.client, a.vip).tcp(40002, 80),
        verdict: 'REDIRECT',
        reason: 'FORWARD_NEW',
        out: toReal(7).ip(a.client, a.real, { ttl: 63 }).tcp(40002, 8080),
        counts: { conns: 1, ...segment },
        skipDestCounts: true,
        connections: 3,
      },
    ]
  }),
)

describe.each(['tc', 'xdp'] as const)('a full table (%s)', (hook) => {
  let lab: Lab
  const shape = { buckets4: 1, spares4: 1, buckets6: 1, spares6: 1 }

  beforeAll(() => {
    lab = new Lab({ buckets: shape })
  })

  afterAll(() => lab?.[Symbol.dispose]())

  describe.each(FAMILIES)('IPv%i', (family) => {
    const a = ADDRESSES[family]
    const web = service('tcp', a.vip, 80, 'rr', [masq(a.real, 8080)])
    const client = (port: number, flags: string) => eth().ip(a.client, a.vip).tcp(port, 80, { flags })
    const fill = (flags: readonly string[]) => {
      lab.reset()
      lab.given(web)
      for (let port = 1000; port < 1016; port++) for (const f of flags) lab.run(hook, client(port, f))
      expect(lab.connections).toHaveLength(16)
    }
    const inspect = () =>
      inspectTable(lab.plane.table(family === 4 ? 'conns4' : 'conns6'), lab.plane.table('spare_buckets'), {
        family,
        buckets: 1,
        spares: 1,
        hashSeed: 0,
      })

    it('refuses a newcomer while all connections are in use, and says why', () => {
      fill(['S', 'A'])

      const ran = lab.run(hook, client(2000, 'S'))

      expect(ran.verdict).toBe('DROP')
      expect(lab.plane.reasons(hook)).toMatchObject({ DROP_TABLE_FULL: 1 })
      expect(lab.connections).toHaveLength(16)
      expect(inspect()).toMatchObject({ live: 16, faults: [], spares: { chained: 1 } })
      expect(lab.plane.datapath.service(web.key)?.dests[0]).toMatchObject({
        activeConns: 16,
        inactiveConns: 0,
      })
    })

    it('gives the place of one that is half open to the newcomer', () => {
      fill(['S'])

      const ran = lab.run(hook, client(2000, 'S'))

      expect(ran.verdict).toBe('REDIRECT')
      compareFrames(
        ran.frame,
        eth({ to: realMac(7), from: BACK_MAC })
          .ip(a.client, a.real, { ttl: 63 })
          .tcp(2000, 8080),
        hook,
      )
      expect(lab.connections).toHaveLength(16)
      expect(lab.connections.map(({ client: { port } }) => port)).toContain(2000)
      expect(inspect()).toMatchObject({ live: 16, faults: [] })
      expect(lab.plane.datapath.service(web.key)?.dests[0]).toMatchObject({
        activeConns: 16,
        inactiveConns: 0,
      })
    })

    it('gives the place of the one that said nothing for longest to the newcomer', () => {
      fill(['S', 'A'])
      lab.plane.advance(30)
      for (let port = 1000; port < 1016; port++) if (port !== 1005) lab.run(hook, client(port, 'A'))
      lab.plane.advance(31)

      // Whatever lies in the main bucket may go; at least one of those does.
      const ran = lab.run(hook, client(2000, 'S'))

      const inMain = lab.connections.map(({ client: { port } }) => port)
      expect(inMain).toHaveLength(16)
      if (ran.verdict === 'REDIRECT') expect(inMain).not.toContain(1005)
      else expect(inMain).toContain(1005)
      expect(inspect()).toMatchObject({ live: 16, faults: [] })
    })

    it('still forwards what is open, in both buckets', () => {
      fill(['S', 'A'])

      for (let port = 1000; port < 1016; port++)
        expect(lab.run(hook, client(port, 'A')).verdict).toBe('REDIRECT')
      for (let port = 1000; port < 1016; port++) {
        const reply = fromReal(7).ip(a.real, a.client).tcp(8080, port, { flags: 'A' })
        expect(lab.run(hook, reply).verdict).toBe('REDIRECT')
      }
    })
  })
})
