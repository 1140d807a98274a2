// SPDX-License-Identifier: MIT
/** What the director answers itself: ICMP errors, with the packet quoted as it came. */
import { eth, type Frame } from '../support/packet/frame.js'
import {
  ADDRESSES,
  BACK_MAC,
  masq,
  realMac,
  route,
  service,
  THIN_MTU,
  tunnel,
} from '../support/packet/lab.js'
import { packetCases, type PacketCase } from '../support/packet/table.js'

const FAMILIES = [4, 6] as const

/** ICMP type and code of an error, by family. */
const ERRORS = {
  ttl: { 4: [11, 0], 6: [3, 0] },
  tooBig: { 4: [3, 4], 6: [2, 0] },
  hostUnreachable: { 4: [3, 1], 6: [1, 3] },
  portUnreachable: { 4: [3, 3], 6: [1, 4] },
} as const

/** How much of a packet an error quotes: 576 and 1280 bytes in all. */
const QUOTE = { 4: 576 - 28, 6: 1280 - 48 } as const

function answer(family: 4 | 6, error: keyof typeof ERRORS, about: Frame, info = 0, tos = 0): Frame {
  const a = ADDRESSES[family]
  const [type, code] = ERRORS[error][family]
  const quote = about.bytes().subarray(14, 14 + QUOTE[family])
  // Errors are internetwork control, and keep the type of service (RFC 1812).
  const ip =
    family === 4
      ? eth().ipv4(a.vip, a.client, { tos: (tos & 0x1e) | 0xc0, df: false, id: 'any' })
      : eth().ipv6(a.vip, a.client)
  return ip.icmp(type, code, info).data(quote)
}

const lengthOf = (frame: Frame) => frame.bytes().length - 14

packetCases(
  'answers',
  FAMILIES.flatMap((family): PacketCase[] => {
    const a = ADDRESSES[family]
    const overhead = family === 4 ? 20 : 40
    const tcp = (dest = masq(a.real, 8080)) => [service('tcp', a.vip, 80, 'rr', [dest])]
    const udp = (dest = masq(a.real, 5353)) => [service('udp', a.vip, 53, 'rr', [dest])]
    const big = (bytes: number) => eth().ip(a.client, a.vip).udp(40000, 53).data(bytes)
    const hopped = (bytes: number) => eth().ip(a.client, a.vip, { ttl: 63 }).udp(40000, 53).data(bytes)
    const dying = eth().ip(a.client, a.vip, { ttl: 1 }).tcp(40000, 80)
    /** An error about what is not translated is seen as coming out. */
    const counted = (packet: Frame, error: Frame, isNew = 1) => ({
      conns: isNew,
      inPackets: 1,
      inBytes: lengthOf(packet),
      outPackets: 1,
      outBytes: lengthOf(error),
    })
    return [
      {
        name: `IPv${family}: the last hop ends here, a connection is made all the same`,
        given: tcp(),
        packet: dying,
        verdict: 'REDIRECT',
        reason: 'ANSWER_TTL',
        xdp: 'DEFER_TTL',
        out: answer(family, 'ttl', dying),
        counts: { conns: 1, inPackets: 1, inBytes: lengthOf(dying) },
        state: ['SYN_RECV', true],
      },
      {
        name: `IPv${family}: the last hop of an open connection counts for it`,
        given: tcp(),
        before: [eth().ip(a.client, a.vip).tcp(40000, 80)],
        packet: eth().ip(a.client, a.vip, { ttl: 1 }).tcp(40000, 80, { flags: 'A' }),
        verdict: 'REDIRECT',
        reason: 'ANSWER_TTL',
        xdp: 'DEFER_TTL',
        out: answer(family, 'ttl', eth().ip(a.client, a.vip, { ttl: 1 }).tcp(40000, 80, { flags: 'A' })),
        counts: { inPackets: 1, inBytes: overhead + 20 },
        state: ['ESTABLISHED', true],
      },
      {
        name: `IPv${family}: the last hop towards a directly routed dest`,
        given: tcp(route(a.real, 80)),
        packet: dying,
        verdict: 'REDIRECT',
        reason: 'ANSWER_TTL',
        xdp: 'DEFER_TTL',
        out: answer(family, 'ttl', dying),
        counts: counted(dying, answer(family, 'ttl', dying)),
      },
      {
        name: `IPv${family}: too big for the way to a masqueraded dest`,
        given: udp(masq(a.thin, 53)),
        packet: big(1400),
        verdict: 'REDIRECT',
        reason: 'ANSWER_TOO_BIG',
        xdp: 'DEFER_TOO_BIG',
        // Quoted one hop on, as the kernel does.
        out: answer(family, 'tooBig', hopped(1400), THIN_MTU),
        counts: { conns: 1, inPackets: 1, inBytes: overhead + 1408 },
      },
      {
        name: `IPv${family}: too big for the way to a directly routed dest`,
        given: udp(route(a.thin, 53)),
        packet: big(1400),
        verdict: 'REDIRECT',
        reason: 'ANSWER_TOO_BIG',
        xdp: 'DEFER_TOO_BIG',
        out: answer(family, 'tooBig', hopped(1400), THIN_MTU),
        counts: counted(big(1400), answer(family, 'tooBig', hopped(1400))),
      },
      {
        name: `IPv${family}: exactly as big as the way allows`,
        given: udp(masq(a.thin, 53)),
        packet: big(THIN_MTU - overhead - 8),
        verdict: 'REDIRECT',
        reason: 'FORWARD_NEW',
        out: eth({ to: '02:00:00:00:03:07', from: '02:00:00:00:03:01' })
          .ip(a.client, a.thin, { ttl: 63 })
          .udp(40000, 53)
          .data(THIN_MTU - overhead - 8),
        counts: { conns: 1, inPackets: 1, inBytes: THIN_MTU },
      },
      {
        name: `IPv${family}: one byte more than the way allows, quoting an odd number of bytes`,
        given: udp(masq(a.thin, 53)),
        packet: big(THIN_MTU - overhead - 7),
        verdict: 'REDIRECT',
        reason: 'ANSWER_TOO_BIG',
        xdp: 'DEFER_TOO_BIG',
        out: answer(family, 'tooBig', hopped(THIN_MTU - overhead - 7), THIN_MTU),
        counts: { conns: 1, inPackets: 1, inBytes: THIN_MTU + 1 },
      },
      ...FAMILIES.map((outside): PacketCase => {
        const room = 1500 - (outside === 4 ? 20 : 40)
        const tooBig = room - overhead - 8 + 1
        return {
          name: `IPv${family} in IPv${outside}: the tunnel's header counts against the MTU`,
          given: udp(tunnel(ADDRESSES[outside].real, 53)),
          packet: big(tooBig),
          verdict: 'REDIRECT',
          reason: 'ANSWER_TOO_BIG',
          xdp: 'DEFER_TOO_BIG',
          out: answer(family, 'tooBig', hopped(tooBig), room),
          counts: counted(big(tooBig), answer(family, 'tooBig', hopped(tooBig))),
        }
      }),
      {
        name: `IPv${family}: segments that will be cut are measured one by one`,
        given: tcp(),
        before: [eth().ip(a.client, a.vip).tcp(40000, 80)],
        packet: eth().ip(a.client, a.vip).tcp(40000, 80, { flags: 'A' }).data(2800),
        from: { gso: { size: 1400, segments: 2 } },
        verdict: 'REDIRECT',
        reason: 'FORWARD_IN',
        // XDP sees a frame of that size only where nothing will cut it.
        xdp: 'DEFER_TOO_BIG',
        out: eth({ to: realMac(7), from: BACK_MAC })
          .ip(a.client, a.real, { ttl: 63 })
          .tcp(40000, 8080, { flags: 'A' })
          .data(2800),
        counts: { inPackets: 1, inBytes: overhead + 2820 },
      },
      {
        name: `IPv${family}: no route to the dest`,
        given: udp(masq(a.nowhere, 53)),
        packet: big(3),
        verdict: 'REDIRECT',
        reason: 'ANSWER_HOST_UNREACHABLE',
        xdp: 'DEFER_HOP',
        out: answer(family, 'hostUnreachable', big(3)),
        counts: { conns: 1, inPackets: 1, inBytes: overhead + 11 },
      },
      {
        name: `IPv${family}: a service without dests`,
        given: [service('udp', a.vip, 53, 'rr', [])],
        packet: big(700),
        verdict: 'REDIRECT',
        reason: 'ANSWER_PORT_UNREACHABLE',
        xdp: 'DEFER_NO_DEST',
        out: answer(family, 'portUnreachable', big(700)),
        connections: 0,
      },
      {
        name: `IPv${family}: a service whose dests all have weight 0`,
        given: [
          service('tcp', a.vip, 80, 'wlc', [
            masq(a.real, 80, { weight: 0 }),
            route(a.real2, 80, { weight: 0 }),
          ]),
        ],
        packet: eth().ip(a.client, a.vip).tcp(40000, 80),
        verdict: 'REDIRECT',
        reason: 'ANSWER_PORT_UNREACHABLE',
        xdp: 'DEFER_NO_DEST',
        out: answer(family, 'portUnreachable', eth().ip(a.client, a.vip).tcp(40000, 80)),
        connections: 0,
      },
      {
        name: `IPv${family}: no dest takes padding for a part of the packet`,
        given: [service('udp', a.vip, 53, 'rr', [])],
        packet: eth().ip(a.client, a.vip).udp(40000, 53).data('x').padding(9),
        verdict: 'REDIRECT',
        reason: 'ANSWER_PORT_UNREACHABLE',
        xdp: 'DEFER_NO_DEST',
        out: answer(family, 'portUnreachable', eth().ip(a.client, a.vip).udp(40000, 53).data('x')),
        connections: 0,
      },
      {
        name: `IPv${family}: a neighbour nobody knows is left to the stack's resolving`,
        given: udp(masq(a.silent, 5353)),
        packet: big(3),
        verdict: 'REDIRECT',
        reason: 'FORWARD_NEW',
        xdp: 'DEFER_HOP',
        out: eth({ to: realMac(66), from: BACK_MAC })
          .ip(a.client, a.silent, { ttl: 63 })
          .udp(40000, 5353)
          .data(3),
        counts: { conns: 1, inPackets: 1, inBytes: overhead + 11 },
      },
    ]
  }),
)

const a4 = ADDRESSES[4]

packetCases('answers, what IPv4 has alone', [
  {
    name: 'the type of service of the packet is kept in the error',
    given: [service('udp', a4.vip, 53, 'rr', [])],
    packet: eth().ipv4(a4.client, a4.vip, { tos: 0x1c }).udp(40000, 53),
    verdict: 'REDIRECT',
    reason: 'ANSWER_PORT_UNREACHABLE',
    xdp: 'DEFER_NO_DEST',
    out: answer(4, 'portUnreachable', eth().ipv4(a4.client, a4.vip, { tos: 0x1c }).udp(40000, 53), 0, 0x1c),
  },
  {
    name: 'with pmtu_disc=0 a tunnel does not copy Don’t Fragment',
    given: [service('udp', a4.vip, 53, 'rr', [tunnel(a4.real, 53)])],
    settings: { pmtu_disc: 0 },
    packet: eth().ipv4(a4.client, a4.vip).udp(40000, 53),
    verdict: 'REDIRECT',
    reason: 'FORWARD_NEW',
    out: eth({ to: realMac(7), from: BACK_MAC })
      .ipv4(a4.director, a4.real, { ttl: 63, df: false, id: 'any' })
      .ipv4(a4.client, a4.vip, { ttl: 63 })
      .udp(40000, 53),
    counts: { conns: 1, inPackets: 1, inBytes: 28 },
  },
  {
    name: 'IPv4 options are quoted whole',
    given: [service('udp', a4.vip, 53, 'rr', [])],
    packet: eth()
      .ipv4(a4.client, a4.vip, { options: new Uint8Array(12).fill(1) })
      .udp(40000, 53)
      .data('q'),
    verdict: 'REDIRECT',
    reason: 'ANSWER_PORT_UNREACHABLE',
    xdp: 'DEFER_HEADERS',
    out: answer(
      4,
      'portUnreachable',
      eth()
        .ipv4(a4.client, a4.vip, { options: new Uint8Array(12).fill(1) })
        .udp(40000, 53)
        .data('q'),
    ),
  },
])
