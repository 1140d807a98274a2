// SPDX-License-Identifier: MIT
/** What is forwarded, and every byte of how: masquerading, direct routing, tunnels. */
import { eth, CLIENT_MAC, DIRECTOR_MAC, type Frame } from '../support/packet/frame.js'
import { ADDRESSES, BACK_MAC, masq, realMac, route, service, tunnel } from '../support/packet/lab.js'
import { packetCases, type PacketCase } from '../support/packet/table.js'

const FAMILIES = [4, 6] as const

/** Leaving towards a real server, or towards the client's gateway. */
const toReal = (n = 7) => eth({ to: realMac(n), from: BACK_MAC })
const toClient = () => eth({ to: CLIENT_MAC, from: DIRECTOR_MAC })
const fromReal = (n = 7) => eth({ to: BACK_MAC, from: realMac(n) })

const header = (family: 4 | 6) => (family === 4 ? 20 : 40)

packetCases(
  'masquerading',
  FAMILIES.flatMap((family): PacketCase[] => {
    const a = ADDRESSES[family]
    const dns = [service('udp', a.vip, 53, 'rr', [masq(a.real, 5353)])]
    const web = [service('tcp', a.vip, 80, 'rr', [masq(a.real, 8080)])]
    const samePort = [service('tcp', a.vip, 80, 'rr', [masq(a.real, 80)])]
    const ask = eth().ip(a.client, a.vip).udp(40000, 53).data('question')
    const syn = eth().ip(a.client, a.vip).tcp(40000, 80, { flags: 'S' })
    const inBytes = header(family) + 8 + 8
    return [
      {
        name: `IPv${family}: a datagram opens a connection and gets the dest's address and port`,
        given: dns,
        packet: ask,
        verdict: 'REDIRECT',
        reason: 'FORWARD_NEW',
        out: toReal().ip(a.client, a.real, { ttl: 63 }).udp(40000, 5353).data('question'),
        counts: { conns: 1, inPackets: 1, inBytes },
        state: ['UDP', false],
      },
      {
        name: `IPv${family}: the next datagram follows it`,
        given: dns,
        before: [ask],
        packet: eth().ip(a.client, a.vip).udp(40000, 53).data('again'),
        verdict: 'REDIRECT',
        reason: 'FORWARD_IN',
        out: toReal().ip(a.client, a.real, { ttl: 63 }).udp(40000, 5353).data('again'),
        counts: { inPackets: 1, inBytes: header(family) + 8 + 5 },
        connections: 1,
      },
      {
        name: `IPv${family}: the answer gets the virtual address and port`,
        given: dns,
        before: [ask],
        packet: fromReal().ip(a.real, a.client).udp(5353, 40000).data('answer'),
        verdict: 'REDIRECT',
        reason: 'FORWARD_OUT',
        out: toClient().ip(a.vip, a.client, { ttl: 63 }).udp(53, 40000).data('answer'),
        counts: { outPackets: 1, outBytes: header(family) + 8 + 6 },
      },
      {
        name: `IPv${family}: an opener makes an active connection in SYN_RECV`,
        given: web,
        packet: syn,
        verdict: 'REDIRECT',
        reason: 'FORWARD_NEW',
        out: toReal().ip(a.client, a.real, { ttl: 63 }).tcp(40000, 8080, { flags: 'S' }),
        counts: { conns: 1, inPackets: 1, inBytes: header(family) + 20 },
        state: ['SYN_RECV', true],
      },
      {
        name: `IPv${family}: the answer to an opener comes from the virtual address`,
        given: web,
        before: [syn],
        packet: fromReal().ip(a.real, a.client).tcp(8080, 40000, { flags: 'SA' }),
        verdict: 'REDIRECT',
        reason: 'FORWARD_OUT',
        out: toClient().ip(a.vip, a.client, { ttl: 63 }).tcp(80, 40000, { flags: 'SA' }),
        counts: { outPackets: 1, outBytes: header(family) + 20 },
        state: ['SYN_RECV', true],
      },
      {
        name: `IPv${family}: an acknowledgment establishes the connection`,
        given: web,
        before: [syn, fromReal().ip(a.real, a.client).tcp(8080, 40000, { flags: 'SA' })],
        packet: eth().ip(a.client, a.vip).tcp(40000, 80, { flags: 'A' }),
        verdict: 'REDIRECT',
        reason: 'FORWARD_IN',
        out: toReal().ip(a.client, a.real, { ttl: 63 }).tcp(40000, 8080, { flags: 'A' }),
        counts: { inPackets: 1, inBytes: header(family) + 20 },
        state: ['ESTABLISHED', true],
      },
      {
        name: `IPv${family}: a port that stays the same is left alone`,
        given: samePort,
        packet: syn,
        verdict: 'REDIRECT',
        reason: 'FORWARD_NEW',
        out: toReal().ip(a.client, a.real, { ttl: 63 }).tcp(40000, 80, { flags: 'S' }),
        counts: { conns: 1, inPackets: 1, inBytes: header(family) + 20 },
      },
      {
        name: `IPv${family}: payloads of odd length and TCP options go through`,
        given: web,
        before: [syn],
        packet: eth()
          .ip(a.client, a.vip)
          .tcp(40000, 80, { flags: 'PA', options: Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0) })
          .data(333),
        verdict: 'REDIRECT',
        reason: 'FORWARD_IN',
        out: toReal()
          .ip(a.client, a.real, { ttl: 63 })
          .tcp(40000, 8080, { flags: 'PA', options: Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0) })
          .data(333),
        counts: { inPackets: 1, inBytes: header(family) + 32 + 333 },
      },
      {
        name: `IPv${family}: a datagram whose checksum becomes zero is sent with all ones`,
        given: dns,
        packet: eth().ip(a.client, a.vip).udp(40000, 53).data(bytesForZero(family)),
        verdict: 'REDIRECT',
        reason: 'FORWARD_NEW',
        out: toReal()
          .ip(a.client, a.real, { ttl: 63 })
          .udp(40000, 5353, { checksum: 0xffff })
          .data(bytesForZero(family)),
        counts: { conns: 1, inPackets: 1, inBytes: header(family) + 10 },
      },
      {
        name: `IPv${family}: padding of a short frame is cut off and not counted`,
        given: dns,
        packet: ask.padding(13),
        verdict: 'REDIRECT',
        reason: 'FORWARD_NEW',
        out: toReal().ip(a.client, a.real, { ttl: 63 }).udp(40000, 5353).data('question'),
        counts: { conns: 1, inPackets: 1, inBytes },
      },
      {
        name: `IPv${family}: class of service and identification pass unchanged`,
        given: dns,
        packet:
          family === 4
            ? eth().ipv4(a.client, a.vip, { tos: 0xb9, id: 0xbeef, df: false }).udp(40000, 53)
            : eth().ipv6(a.client, a.vip, { tclass: 0xb9, flow: 0xbeef5 }).udp(40000, 53),
        verdict: 'REDIRECT',
        reason: 'FORWARD_NEW',
        out:
          family === 4
            ? toReal().ipv4(a.client, a.real, { tos: 0xb9, id: 0xbeef, df: false, ttl: 63 }).udp(40000, 5353)
            : toReal().ipv6(a.client, a.real, { tclass: 0xb9, flow: 0xbeef5, hops: 63 }).udp(40000, 5353),
        counts: { conns: 1, inPackets: 1, inBytes: header(family) + 8 },
      },
      {
        name: `IPv${family}: two virtual addresses with one real server each get their own answers`,
        given: [...dns, service('udp', a.vip2, 53, 'rr', [masq(a.real2, 5353)])],
        before: [ask, eth().ip(a.client, a.vip2).udp(40000, 53).data('other')],
        packet: fromReal().ip(a.real, a.client).udp(5353, 40000).data('answer'),
        verdict: 'REDIRECT',
        reason: 'FORWARD_OUT',
        out: toClient().ip(a.vip, a.client, { ttl: 63 }).udp(53, 40000).data('answer'),
        counts: { outPackets: 1, outBytes: header(family) + 8 + 6 },
        connections: 2,
      },
      {
        name: `IPv${family}: of two connections with one reply tuple the newer one gets the answers`,
        given: [
          service('udp', a.vip2, 53, 'rr', [masq(a.real, 5353)]),
          service('udp', a.vip, 53, 'rr', [masq(a.real, 5353)]),
        ],
        before: [ask, eth().ip(a.client, a.vip2).udp(40000, 53).data('newer')],
        packet: fromReal().ip(a.real, a.client).udp(5353, 40000).data('answer'),
        verdict: 'REDIRECT',
        reason: 'FORWARD_OUT',
        out: toClient().ip(a.vip2, a.client, { ttl: 63 }).udp(53, 40000).data('answer'),
        counts: { outPackets: 1, outBytes: header(family) + 8 + 6 },
        connections: 2,
      },
      {
        name: `IPv${family}: a reply of a connection that nobody opened is foreign`,
        given: dns,
        packet: fromReal().ip(a.real, a.client).udp(5353, 40000).data('answer'),
        verdict: 'PASS',
        reason: 'PASS_NOT_OURS',
        connections: 0,
      },
    ]
  }),
)

packetCases('masquerading, what one family has alone', [
  {
    name: 'a datagram without checksum gets a real one',
    given: [service('udp', ADDRESSES[4].vip, 53, 'rr', [masq(ADDRESSES[4].real, 5353)])],
    packet: eth().ipv4(ADDRESSES[4].client, ADDRESSES[4].vip).udp(40000, 53, { checksum: 0 }).data('odd'),
    verdict: 'REDIRECT',
    reason: 'FORWARD_NEW',
    xdp: 'DEFER_CHECKSUM',
    out: toReal().ipv4(ADDRESSES[4].client, ADDRESSES[4].real, { ttl: 63 }).udp(40000, 5353).data('odd'),
    counts: { conns: 1, inPackets: 1, inBytes: 31 },
  },
  {
    name: 'an answer without checksum gets a real one',
    given: [service('udp', ADDRESSES[4].vip, 53, 'rr', [masq(ADDRESSES[4].real, 5353)])],
    before: [eth().ipv4(ADDRESSES[4].client, ADDRESSES[4].vip).udp(40000, 53)],
    packet: fromReal()
      .ipv4(ADDRESSES[4].real, ADDRESSES[4].client)
      .udp(5353, 40000, { checksum: 0 })
      .data(1001),
    verdict: 'REDIRECT',
    reason: 'FORWARD_OUT',
    xdp: 'DEFER_CHECKSUM',
    out: toClient().ipv4(ADDRESSES[4].vip, ADDRESSES[4].client, { ttl: 63 }).udp(53, 40000).data(1001),
    counts: { outPackets: 1, outBytes: 1029 },
  },
  {
    name: 'IPv4 options are kept, by tc',
    given: [service('tcp', ADDRESSES[4].vip, 80, 'rr', [masq(ADDRESSES[4].real, 8080)])],
    packet: eth()
      .ipv4(ADDRESSES[4].client, ADDRESSES[4].vip, { options: Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 0) })
      .tcp(40000, 80),
    verdict: 'REDIRECT',
    reason: 'FORWARD_NEW',
    xdp: 'DEFER_HEADERS',
    out: toReal()
      .ipv4(ADDRESSES[4].client, ADDRESSES[4].real, {
        options: Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 0),
        ttl: 63,
      })
      .tcp(40000, 8080),
    counts: { conns: 1, inPackets: 1, inBytes: 48 },
  },
  {
    name: 'IPv6 extension headers are walked, by tc',
    given: [service('udp', ADDRESSES[6].vip, 53, 'rr', [masq(ADDRESSES[6].real, 5353)])],
    packet: eth()
      .ipv6(ADDRESSES[6].client, ADDRESSES[6].vip)
      .extension(0)
      .extension(60, 16)
      .udp(40000, 53)
      .data('far behind'),
    verdict: 'REDIRECT',
    reason: 'FORWARD_NEW',
    xdp: 'DEFER_HEADERS',
    out: toReal()
      .ipv6(ADDRESSES[6].client, ADDRESSES[6].real, { hops: 63 })
      .extension(0)
      .extension(60, 16)
      .udp(40000, 5353)
      .data('far behind'),
    counts: { conns: 1, inPackets: 1, inBytes: 40 + 24 + 18 },
  },
])

packetCases(
  'direct routing',
  FAMILIES.flatMap((family): PacketCase[] => {
    const a = ADDRESSES[family]
    const web = [service('tcp', a.vip, 80, 'rr', [route(a.real, 80)])]
    const dns = [service('udp', a.vip, 53, 'rr', [route(a.real, 53)])]
    const syn = eth().ip(a.client, a.vip).tcp(40000, 80, { flags: 'S' })
    return [
      {
        name: `IPv${family}: only the hop changes`,
        given: web,
        packet: syn,
        verdict: 'REDIRECT',
        reason: 'FORWARD_NEW',
        out: toReal().ip(a.client, a.vip, { ttl: 63 }).tcp(40000, 80, { flags: 'S' }),
        counts: { conns: 1, inPackets: 1, inBytes: header(family) + 20 },
        state: ['SYN_RECV', true],
      },
      {
        name: `IPv${family}: the client's acknowledgment alone establishes the connection`,
        given: web,
        before: [syn],
        packet: eth().ip(a.client, a.vip).tcp(40000, 80, { flags: 'A' }).data('GET'),
        verdict: 'REDIRECT',
        reason: 'FORWARD_IN',
        out: toReal().ip(a.client, a.vip, { ttl: 63 }).tcp(40000, 80, { flags: 'A' }).data('GET'),
        counts: { inPackets: 1, inBytes: header(family) + 23 },
        state: ['ESTABLISHED', true],
      },
      {
        name: `IPv${family}: the client's FIN ends it in FIN_WAIT`,
        given: web,
        before: [syn, eth().ip(a.client, a.vip).tcp(40000, 80, { flags: 'A' })],
        packet: eth().ip(a.client, a.vip).tcp(40000, 80, { flags: 'FA' }),
        verdict: 'REDIRECT',
        reason: 'FORWARD_IN',
        out: toReal().ip(a.client, a.vip, { ttl: 63 }).tcp(40000, 80, { flags: 'FA' }),
        counts: { inPackets: 1, inBytes: header(family) + 20 },
        state: ['FIN_WAIT', false],
      },
      {
        name: `IPv${family}: a wrong checksum goes on as it came`,
        given: dns,
        packet: eth().ip(a.client, a.vip).udp(40000, 53, { checksum: 0x1234 }).data('x'),
        verdict: 'REDIRECT',
        reason: 'FORWARD_NEW',
        out: toReal().ip(a.client, a.vip, { ttl: 63 }).udp(40000, 53, { checksum: 0x1234 }).data('x'),
        counts: { conns: 1, inPackets: 1, inBytes: header(family) + 9 },
        faults: ['UDP: checksum is wrong'],
      },
      {
        name: `IPv${family}: padding of a short frame is cut off`,
        given: dns,
        packet: eth().ip(a.client, a.vip).udp(40000, 53).data('x').padding(17),
        verdict: 'REDIRECT',
        reason: 'FORWARD_NEW',
        out: toReal().ip(a.client, a.vip, { ttl: 63 }).udp(40000, 53).data('x'),
        counts: { conns: 1, inPackets: 1, inBytes: header(family) + 9 },
      },
    ]
  }),
)

/** Outer header by outer family: the director's address on the way, the dest's, one hop less. */
const outer = (family: 4 | 6, n: number, tos: number, options: { df: boolean; ttl?: number }): Frame => {
  const a = ADDRESSES[family]
  const { ttl = 63, df } = options
  return family === 4
    ? toReal(n).ipv4(a.director, a.real, { ttl, tos, df, id: df ? 0 : 'any' })
    : toReal(n).ipv6(a.director, a.real, { hops: ttl, tclass: tos })
}

packetCases(
  'tunnels',
  FAMILIES.flatMap((inner) =>
    FAMILIES.flatMap((outside): PacketCase[] => {
      const a = ADDRESSES[inner]
      const name = `IPv${inner} in IPv${outside}`
      // Don't Fragment is copied from IPv4; an IPv4 header around IPv6 goes without.
      const df = inner === 4
      const web = [service('tcp', a.vip, 80, 'rr', [tunnel(ADDRESSES[outside].real, 80)])]
      const dns = [service('udp', a.vip, 53, 'rr', [tunnel(ADDRESSES[outside].real, 53)])]
      const syn = eth().ip(a.client, a.vip).tcp(40000, 80, { flags: 'S' })
      const tos = (before: number, after: number): PacketCase => ({
        name: `${name}: class 0x${before.toString(16)} outside is 0x${after.toString(16)}`,
        given: dns,
        packet: eth().ip(a.client, a.vip, { tos: before }).udp(40000, 53).data('x'),
        verdict: 'REDIRECT',
        reason: 'FORWARD_NEW',
        out: outer(outside, 7, after, { df })
          .ip(a.client, a.vip, { ttl: 63, tos: before })
          .udp(40000, 53)
          .data('x'),
        counts: { conns: 1, inPackets: 1, inBytes: header(inner) + 9 },
      })
      return [
        {
          name: `${name}: an opener is wrapped, one hop less inside and outside`,
          given: web,
          packet: syn,
          verdict: 'REDIRECT',
          reason: 'FORWARD_NEW',
          out: outer(outside, 7, 0, { df }).ip(a.client, a.vip, { ttl: 63 }).tcp(40000, 80, { flags: 'S' }),
          counts: { conns: 1, inPackets: 1, inBytes: header(inner) + 20 },
          state: ['SYN_RECV', true],
        },
        {
          name: `${name}: so is what follows`,
          given: web,
          before: [syn],
          packet: eth().ip(a.client, a.vip, { ttl: 9 }).tcp(40000, 80, { flags: 'A' }).data(500),
          verdict: 'REDIRECT',
          reason: 'FORWARD_IN',
          out: outer(outside, 7, 0, { df, ttl: 8 })
            .ip(a.client, a.vip, { ttl: 8 })
            .tcp(40000, 80, { flags: 'A' })
            .data(500),
          counts: { inPackets: 1, inBytes: header(inner) + 520 },
          state: ['ESTABLISHED', true],
        },
        {
          name: `${name}: padding of a short frame does not travel`,
          given: dns,
          packet: eth().ip(a.client, a.vip).udp(40000, 53).padding(18),
          verdict: 'REDIRECT',
          reason: 'FORWARD_NEW',
          out: outer(outside, 7, 0, { df }).ip(a.client, a.vip, { ttl: 63 }).udp(40000, 53),
          counts: { conns: 1, inPackets: 1, inBytes: header(inner) + 8 },
        },
        // DSCP and ECN are copied, but "congestion experienced" becomes "capable".
        tos(0xb8, 0xb8),
        tos(0xb9, 0xb9),
        tos(0x02, 0x02),
        tos(0xbb, 0xba),
      ]
    }),
  ),
)

/** Payload of two bytes that makes the checksum towards the dest zero. */
function bytesForZero(family: 4 | 6): Uint8Array {
  const a = ADDRESSES[family]
  const frame = eth().ip(a.client, a.real).udp(40000, 5353).data(new Uint8Array(2)).bytes()
  const at = 14 + header(family) + 6
  // The checksum is the complement of the sum: adding it makes the sum all ones.
  return frame.slice(at, at + 2)
}
