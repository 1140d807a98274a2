// SPDX-License-Identifier: MIT
/** What is none of ours, or not ours to handle: it goes on byte for byte and uncounted. */
import { eth, type Frame } from '../support/packet/frame.js'
import { ADDRESSES, BACK_MAC, masq, realMac, route, service, type Lab } from '../support/packet/lab.js'
import { packetCases, type PacketCase } from '../support/packet/table.js'

const FAMILIES = [4, 6] as const

/** Both hooks let it go, each for the same reason. */
const passes = (
  name: string,
  reason: string,
  given: PacketCase['given'],
  packet: Frame,
  more: Partial<PacketCase> = {},
): PacketCase => ({ name, given, packet, verdict: 'PASS', reason, ...more })

packetCases(
  'left to the stack',
  FAMILIES.flatMap((family): PacketCase[] => {
    const a = ADDRESSES[family]
    const name = `IPv${family}`
    const dns = service('udp', a.vip, 53, 'rr', [masq(a.real, 5353)])
    const web = service('tcp', a.vip, 80, 'rr', [masq(a.real, 8080)])
    const both = [web, dns]
    const syn = eth().ip(a.client, a.vip).tcp(40000, 80)
    const tcp = (flags: string) => eth().ip(a.client, a.vip).tcp(40000, 80, { flags })
    const fragment = (offset: number, mf: boolean) =>
      family === 4
        ? eth().ipv4(a.client, a.vip, { df: false, mf, offset, protocol: 17 }).data(64)
        : eth().ipv6(a.client, a.vip, { next: 44 }).data(fragmentHeader(offset, mf))
    return [
      passes(
        `${name}: strangers among themselves`,
        'PASS_NOT_OURS',
        both,
        eth().ip(a.stranger, a.other).tcp(1, 2),
      ),
      passes(
        `${name}: strangers with a wrong checksum`,
        'PASS_NOT_OURS',
        both,
        eth().ip(a.stranger, a.other).udp(1, 2, { checksum: 1 }),
        { faults: ['UDP: checksum is wrong'] },
      ),
      passes(
        `${name}: a client of a virtual address that talks to somebody else`,
        'PASS_NOT_OURS',
        both,
        eth().ip(a.client, a.stranger).tcp(40000, 80),
        { before: [syn] },
      ),
      passes(
        `${name}: what a real server sends on its own account`,
        'PASS_NOT_OURS',
        both,
        eth({ to: BACK_MAC, from: realMac(7) })
          .ip(a.real, a.stranger)
          .tcp(8080, 40000),
        { before: [syn] },
      ),
      passes(
        `${name}: another port of the virtual address`,
        'PASS_NO_SERVICE',
        both,
        eth().ip(a.client, a.vip).tcp(40000, 81),
      ),
      passes(
        `${name}: the right port of another protocol`,
        'PASS_NO_SERVICE',
        both,
        eth().ip(a.client, a.vip).udp(40000, 80),
      ),
      passes(
        `${name}: ICMP`,
        'PASS_PROTOCOL',
        both,
        eth()
          .ip(a.client, a.vip)
          .icmp(family === 4 ? 8 : 128, 0)
          .data('ping'),
      ),
      passes(
        `${name}: another MAC address`,
        'PASS_OTHER_HOST',
        both,
        eth({ to: '02:00:00:00:77:77' }).ip(a.client, a.vip).tcp(40000, 80),
      ),
      passes(
        `${name}: a broadcast frame`,
        'PASS_OTHER_HOST',
        both,
        eth({ to: 'ff:ff:ff:ff:ff:ff' }).ip(a.client, a.vip).tcp(40000, 80),
      ),
      passes(
        `${name}: client port 20, which FTP servers call from`,
        'PASS_CLIENT_PORT_20',
        both,
        eth().ip(a.client, a.vip).tcp(20, 80),
      ),
      ...['A', 'FA', 'R', 'RA', 'PA', 'SR', ''].map((flags) =>
        passes(
          `${name}: TCP ${flags || 'without flags'} without a connection`,
          'PASS_NOT_OPENER',
          both,
          tcp(flags),
        ),
      ),
      passes(
        `${name}: a virtual address that is not the director's`,
        'PASS_VIP_NOT_LOCAL',
        [service('udp', a.remoteVip, 53, 'rr', [masq(a.real, 53)])],
        eth().ip(a.client, a.remoteVip).udp(40000, 53),
      ),
      passes(`${name}: the first fragment`, 'PASS_FRAGMENT', both, fragment(0, true)),
      passes(`${name}: a later fragment`, 'PASS_FRAGMENT', both, fragment(8, false)),
      passes(
        `${name}: a reply whose last hop is here`,
        'PASS_REPLY_TTL',
        both,
        eth({ to: BACK_MAC, from: realMac(7) })
          .ip(a.real, a.client, { ttl: 1 })
          .tcp(8080, 40000, { flags: 'SA' }),
        { before: [syn] },
      ),
      passes(
        `${name}: a reply too big for its way`,
        'PASS_REPLY_TOO_BIG',
        both,
        eth({ to: BACK_MAC, from: realMac(7) })
          .ip(a.real, a.client)
          .tcp(8080, 40000, { flags: 'A' })
          .data(1600),
        { before: [syn] },
      ),
      passes(`${name}: a packet of a family without services`, 'PASS_DISABLED', [], syn),
      passes(
        `${name}: an address that is no longer virtual`,
        'PASS_NOT_OURS',
        // The other protocol keeps the family in use.
        [service('udp', a.vip2, 53, 'rr', [masq(a.real, 53)])],
        syn,
        {
          before: [
            (lab: Lab) => {
              lab.given(web)
              lab.plane.datapath.deleteService(web.key)
            },
          ],
          // Bits of removed services stay until the last one goes, so it is looked up in vain.
          reason: 'PASS_NO_SERVICE',
        },
      ),
      passes(
        `${name}: a length beyond the frame's end`,
        'PASS_MALFORMED',
        both,
        family === 4
          ? eth().ipv4(a.client, a.vip, { length: 999 }).udp(40000, 53)
          : eth().ipv6(a.client, a.vip, { length: 999 }).udp(40000, 53),
        {
          faults: family === 4 ? ['IPv4: says 999 bytes, has 28'] : ['IPv6: says 999 bytes, has 8'],
        },
      ),
    ]
  }),
)

const a4 = ADDRESSES[4]
const web4 = [service('tcp', a4.vip, 80, 'rr', [masq(a4.real, 8080)])]
const a6 = ADDRESSES[6]

packetCases('left to the stack, what one family or hook has alone', [
  passes(
    'an IPv4 header with a wrong checksum',
    'PASS_MALFORMED',
    web4,
    eth().ipv4(a4.client, a4.vip, { checksum: 1 }).tcp(40000, 80),
    {
      faults: ['IPv4: header checksum is wrong'],
    },
  ),
  passes(
    'an IPv4 header with options and a wrong checksum',
    'PASS_MALFORMED',
    web4,
    eth()
      .ipv4(a4.client, a4.vip, { checksum: 1, options: new Uint8Array(4).fill(1) })
      .tcp(40000, 80),
    {
      xdp: 'DEFER_HEADERS',
      faults: ['IPv4: header checksum is wrong'],
    },
  ),
  passes('an ARP request', 'PASS_NOT_IP', web4, eth({ type: 0x0806 }).data(28), {
    faults: ['ethertype 0x806'],
  }),
  passes('a frame of a length of 802.3', 'PASS_NOT_IP', web4, eth({ type: 0x0040 }).data(64), {
    faults: ['ethertype 0x40'],
  }),
  passes(
    'an own IPv4 address, which the stack takes for a martian',
    'PASS_NOT_OURS',
    [service('tcp', a4.vip, 80, 'rr', [route(a4.real, 80)])],
    eth({ to: BACK_MAC, from: realMac(7) })
      .ipv4(a4.vip, a4.client)
      .tcp(80, 40000, { flags: 'SA' }),
    { before: [eth().ipv4(a4.client, a4.vip).tcp(40000, 80)], connections: 1 },
  ),
  {
    name: 'IPv6: the reply of a directly routed dest passes through and counts, by tc',
    given: [service('tcp', a6.vip, 80, 'rr', [route(a6.real, 80)])],
    before: [eth().ipv6(a6.client, a6.vip).tcp(40000, 80)],
    packet: eth({ to: BACK_MAC, from: realMac(7) })
      .ipv6(a6.vip, a6.client)
      .tcp(80, 40000, { flags: 'SA' }),
    verdict: 'PASS',
    reason: 'PASS_REPLY_UNTOUCHED',
    xdp: 'DEFER_DEVICE',
    counts: { outPackets: 1, outBytes: 60 },
    connections: 1,
  },
  passes(
    'IPv6: a chain of headers that leads nowhere',
    'PASS_PROTOCOL',
    [service('udp', a6.vip, 53, 'rr', [masq(a6.real, 53)])],
    eth().ipv6(a6.client, a6.vip).extension(0).extension(60),
    { xdp: 'DEFER_HEADERS' },
  ),
  passes(
    'IPv6: more headers than anybody needs',
    'PASS_MALFORMED',
    [service('udp', a6.vip, 53, 'rr', [masq(a6.real, 53)])],
    eth()
      .ipv6(a6.client, a6.vip)
      .extension(60)
      .extension(60)
      .extension(60)
      .extension(60)
      .extension(60)
      .extension(60)
      .extension(60)
      .udp(40000, 53),
    { xdp: 'DEFER_HEADERS' },
  ),
])

packetCases(
  'dropped, as the kernel drops it',
  FAMILIES.flatMap((family): PacketCase[] => {
    const a = ADDRESSES[family]
    const web = [service('tcp', a.vip, 80, 'rr', [masq(a.real, 8080)])]
    return [
      {
        name: `IPv${family}: a TCP header that is cut off opens nothing`,
        given: web,
        packet:
          family === 4
            ? eth()
                .ipv4(a.client, a.vip, { protocol: 6 })
                .data(Uint8Array.of(0x9c, 0x40, 0, 80, 0, 0, 0, 0, 0, 0))
            : eth()
                .ipv6(a.client, a.vip, { next: 6 })
                .data(Uint8Array.of(0x9c, 0x40, 0, 80, 0, 0, 0, 0, 0, 0)),
        verdict: 'DROP',
        reason: 'DROP_SHORT_HEADER',
        xdp: 'DEFER_HEADERS',
        connections: 0,
      },
      {
        name: `IPv${family}: nor does one that is completed by padding`,
        given: web,
        packet: (family === 4
          ? eth()
              .ipv4(a.client, a.vip, { protocol: 6 })
              .data(Uint8Array.of(0x9c, 0x40, 0, 80, 0, 0, 0, 0, 0, 0))
          : eth()
              .ipv6(a.client, a.vip, { next: 6 })
              .data(Uint8Array.of(0x9c, 0x40, 0, 80, 0, 0, 0, 0, 0, 0))
        ).padding(20),
        verdict: 'DROP',
        reason: 'DROP_SHORT_HEADER',
        xdp: 'DEFER_HEADERS',
        connections: 0,
      },
      {
        name: `IPv${family}: an open connection of a removed dest`,
        given: web,
        before: [
          eth().ip(a.client, a.vip).tcp(40000, 80),
          (lab) => lab.plane.datapath.deleteDest(web[0]!.key, { address: a.real, family, port: 8080 }),
        ],
        packet: eth().ip(a.client, a.vip).tcp(40000, 80, { flags: 'A' }),
        verdict: 'DROP',
        reason: 'DROP_DEST_GONE',
        connections: 1,
      },
      {
        name: `IPv${family}: an open connection of a removed service`,
        given: web,
        before: [
          eth().ip(a.client, a.vip).tcp(40000, 80),
          (lab) => {
            lab.given(service('tcp', a.vip2, 80, 'rr', [masq(a.real, 8080)]))
            lab.plane.datapath.deleteService(web[0]!.key)
          },
        ],
        packet: eth().ip(a.client, a.vip).tcp(40000, 80, { flags: 'A' }),
        verdict: 'DROP',
        reason: 'DROP_DEST_GONE',
        connections: 1,
      },
    ]
  }),
)

/** A fragment header and some payload. */
function fragmentHeader(offset: number, more: boolean): Uint8Array {
  const bytes = new Uint8Array(72)
  bytes[0] = 17
  new DataView(bytes.buffer).setUint16(2, (offset << 3) | (more ? 1 : 0))
  return bytes
}
