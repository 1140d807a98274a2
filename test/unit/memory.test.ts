// SPDX-License-Identifier: MIT
/**
 * The model's own rules, where no recording tells them: dests that come and go, limits,
 * counters, time, and the order in which a request is checked.
 */
import { describe, expect, test } from 'vitest'
import { MemoryDatapath, type Delivery, type MemoryOptions } from '../../src/datapath/memory/memory.js'
import type { DestSpec } from '../../src/ipvs/dest.js'
import { MAX_TIMEOUT_S } from '../../src/ipvs/proto/timeouts.js'
import type { TcpFlags } from '../../src/ipvs/proto/tcp.js'
import { fullMask, NO_FLAGS, type AddressKey, type ServiceSpec } from '../../src/ipvs/service.js'
import { Failure } from '../../src/util/errors.js'

const tcp = (port: number, address = '10.0.0.1'): AddressKey => ({
  kind: 'address',
  protocol: 'tcp',
  address,
  family: address.includes(':') ? 6 : 4,
  port,
})

const service = (key: AddressKey, changes: Partial<ServiceSpec> = {}): ServiceSpec => ({
  key,
  scheduler: 'rr',
  flags: NO_FLAGS,
  persistentTimeout: 0,
  netmask: fullMask(key.family),
  pe: '',
  ...changes,
})

const dest = (last: number, changes: Partial<DestSpec> = {}): DestSpec => ({
  address: `10.2.0.${last}`,
  family: 4,
  port: 8080,
  fwd: 'masq',
  weight: 1,
  upperThreshold: 0,
  lowerThreshold: 0,
  tunType: 'ipip',
  tunPort: 0,
  tunFlags: 'nocsum',
  ...changes,
})

const HTTP = tcp(80)

/** A director with one rr service and these dests. */
function director(dests: readonly DestSpec[], options: MemoryOptions = {}): MemoryDatapath {
  const datapath = new MemoryDatapath(options)
  datapath.addService(service(HTTP))
  for (const spec of dests) datapath.addDest(HTTP, spec)
  return datapath
}

/** A segment of the client with this port. */
const send = (datapath: MemoryDatapath, port: number, flags: TcpFlags, to = 80): Delivery =>
  datapath.deliver({
    family: 4,
    protocol: 'tcp',
    source: { address: '192.0.2.9', port },
    destination: { address: '10.0.0.1', port: to },
    flags,
  })

const SYN: TcpFlags = { syn: true }
const ACK: TcpFlags = { ack: true }
const FIN: TcpFlags = { fin: true, ack: true }

const chosen = ({ verdict, dest: end }: Delivery): string => (verdict === 'forward' ? end!.address : verdict)
const loads = (datapath: MemoryDatapath): string[] =>
  datapath
    .service(HTTP)!
    .dests.map(
      ({ address, activeConns, inactiveConns, overloaded }) =>
        `${address} ${activeConns}+${inactiveConns}${overloaded ? ' overloaded' : ''}`,
    )

/** The errno a refused change carries. */
function errno(change: () => void): string {
  try {
    change()
  } catch (error) {
    if (error instanceof Failure) return error.errno ?? error.code
    throw error
  }
  return 'none'
}

describe('a request', () => {
  test('to add or edit a service is refused for the first thing the kernel finds', () => {
    const datapath = director([])
    const add = (spec: ServiceSpec): string => errno(() => datapath.addService(spec))
    const edit = (spec: ServiceSpec): string => errno(() => datapath.editService(spec))
    const wrong = { scheduler: 'nosuch', pe: 'nosuch' }

    expect(add(service(HTTP, wrong))).toBe('EEXIST')
    expect(add(service(tcp(81), wrong))).toBe('ENOENT')
    expect(add(service(tcp(81), { pe: 'nosuch' }))).toBe('ENOENT')
    expect(add(service(tcp(81, 'fd00::1'), { ...wrong, netmask: '0' }))).toBe('ENOENT')
    expect(add(service(tcp(81, 'fd00::1'), { netmask: '0' }))).toBe('EINVAL')
    expect(add(service(tcp(81, 'fd00::1'), { netmask: '129' }))).toBe('EINVAL')
    expect(add(service(tcp(81), { scheduler: 'mh' }))).toBe('NOT_SUPPORTED')
    expect(edit(service(tcp(81), wrong))).toBe('ESRCH')
    expect(edit(service(HTTP, wrong))).toBe('ENOENT')
    expect(datapath.services().map(({ key }) => key)).toEqual([HTTP])
  })

  test('to add or edit a dest likewise', () => {
    const datapath = director([dest(11)], { isBroadcast: (address) => address === '10.2.0.255' })
    const add = (changes: Partial<DestSpec>, key = HTTP): string =>
      errno(() => datapath.addDest(key, dest(11, changes)))
    const edit = (changes: Partial<DestSpec>, key = HTTP): string =>
      errno(() => datapath.editDest(key, dest(11, changes)))
    const mixed = { address: 'fd00::1', family: 6 } as const

    expect(add({ ...mixed, weight: -1 }, tcp(81))).toBe('ESRCH')
    expect(add({ ...mixed, weight: -1 })).toBe('EINVAL')
    expect(add({ weight: -1, upperThreshold: 2 ** 31 })).toBe('ERANGE')
    expect(add({ lowerThreshold: 6, upperThreshold: 5 })).toBe('ERANGE')
    expect(add({ lowerThreshold: 1 })).toBe('ERANGE')
    expect(add({ upperThreshold: 2 ** 31, tunType: 'gue' })).toBe('EINVAL')
    expect(add({ tunType: 'gue', tunPort: 0 })).toBe('EINVAL')
    expect(add({})).toBe('EEXIST')
    expect(add({ address: '224.0.0.9' })).toBe('EINVAL')
    expect(add({ address: '10.2.0.255' })).toBe('EINVAL')
    expect(add({ address: '10.2.0.12', tunType: 'gre' })).toBe('NOT_SUPPORTED')
    expect(edit({ weight: -1 }, tcp(81))).toBe('ESRCH')
    expect(edit({ weight: -1, address: '10.2.0.99' })).toBe('ERANGE')
    expect(edit({ address: '10.2.0.99' })).toBe('ENOENT')
    expect(errno(() => datapath.deleteDest(tcp(81), dest(11)))).toBe('ESRCH')
    expect(errno(() => datapath.deleteDest(HTTP, dest(99)))).toBe('ENOENT')
    expect(errno(() => datapath.deleteService(tcp(81)))).toBe('ESRCH')
    expect(errno(() => datapath.zero(tcp(81)))).toBe('ESRCH')
    expect(loads(datapath)).toEqual(['10.2.0.11 0+0'])
  })

  test('for timeouts is taken whole or not at all', () => {
    const datapath = director([])

    expect(errno(() => datapath.setTimeouts({ tcp: 1, tcpFin: 2, udp: MAX_TIMEOUT_S + 1 }))).toBe('EINVAL')
    expect(errno(() => datapath.setTimeouts({ tcp: -1, tcpFin: 2, udp: 3 }))).toBe('EINVAL')
    expect(datapath.timeouts()).toEqual({ tcp: 900, tcpFin: 120, udp: 300 })

    datapath.setTimeouts({ tcp: 0, tcpFin: 7, udp: MAX_TIMEOUT_S })
    expect(datapath.timeouts()).toEqual({ tcp: 900, tcpFin: 7, udp: MAX_TIMEOUT_S })
  })

  test('an edited service keeps the memory of its scheduler, and a new scheduler starts anew', () => {
    const datapath = director([dest(11), dest(12), dest(13)])
    expect(chosen(send(datapath, 1, SYN))).toBe('10.2.0.13')
    datapath.editService(service(HTTP))
    expect(chosen(send(datapath, 2, SYN))).toBe('10.2.0.12')
    datapath.editService(service(HTTP, { scheduler: 'wlc' }))
    datapath.editService(service(HTTP, { scheduler: 'rr' }))
    expect(chosen(send(datapath, 3, SYN))).toBe('10.2.0.13')
  })
})

describe('a connection', () => {
  test('ends to the second when its state has been left alone for as long as the state lasts', () => {
    const datapath = director([dest(11)])
    send(datapath, 1, SYN)
    datapath.advance(59_999)
    expect(loads(datapath)).toEqual(['10.2.0.11 1+0'])
    send(datapath, 1, SYN)
    datapath.advance(59_999)
    expect(loads(datapath)).toEqual(['10.2.0.11 1+0'])
    datapath.advance(1)
    expect(loads(datapath)).toEqual(['10.2.0.11 0+0'])
    expect([...datapath.connections()]).toEqual([])
  })

  test('is new for every packet from port 0', () => {
    const datapath = director([dest(11), dest(12)])

    expect([0, 0, 0].map((port) => chosen(send(datapath, port, SYN)))).toEqual([
      '10.2.0.12',
      '10.2.0.11',
      '10.2.0.12',
    ])
    expect(loads(datapath)).toEqual(['10.2.0.12 2+0', '10.2.0.11 1+0'])
  })

  test.each([
    [0, ['10.2.0.12', '10.2.0.12']],
    [1, ['10.2.0.12', '10.2.0.11']],
    [2, ['10.2.0.12', '10.2.0.11']],
  ])('in CLOSE meets a new SYN under conn_reuse_mode %d', (connReuseMode, servers) => {
    const datapath = director([dest(11), dest(12)], { connReuseMode })
    const first = chosen(send(datapath, 1, SYN))
    send(datapath, 1, ACK)
    send(datapath, 1, { rst: true })

    expect([first, chosen(send(datapath, 1, SYN))]).toEqual(servers)
  })

  test('of a service on every port goes to the port of the request, but only with a port of its own', () => {
    const datapath = director([])
    datapath.addService(service(tcp(0)))
    datapath.addDest(tcp(0), dest(11, { port: 0 }))
    datapath.addService(service(tcp(443)))
    datapath.addDest(tcp(443), dest(12, { port: 0 }))

    expect(send(datapath, 1, SYN, 443).dest).toEqual({ address: '10.2.0.12', port: 443 })
    expect(send(datapath, 1, SYN, 8443).verdict).toBe('unreachable')
    expect(send(datapath, 20, SYN, 443).verdict).toBe('accept')
  })

  test('to a data port next to an FTP service is left to the stack', () => {
    const datapath = director([])
    datapath.addService(service(tcp(21)))
    datapath.addDest(tcp(21), dest(11))

    expect([send(datapath, 1, SYN, 2000), send(datapath, 1, SYN, 20), send(datapath, 1, SYN, 22)]).toEqual(
      Array(3).fill({ verdict: 'accept' }),
    )
  })
})

describe('a limit', () => {
  test.each([
    { upper: 4, lower: 2, reopens: 1 },
    { upper: 4, lower: 0, reopens: 2 },
    { upper: 1, lower: 0, reopens: 0 },
    { upper: 4, lower: 4, reopens: 3 },
  ])('of $upper/$lower closes at $upper and opens again at $reopens', ({ upper, lower, reopens }) => {
    const datapath = director([dest(11, { upperThreshold: upper, lowerThreshold: lower })])
    const total = (): number => [...datapath.connections()].length
    for (let port = 1; port <= upper; port++) {
      expect(chosen(send(datapath, port, SYN))).toBe('10.2.0.11')
      datapath.advance(1000)
    }
    expect(chosen(send(datapath, 99, SYN))).toBe('unreachable')

    let opened: number | undefined
    for (let waited = 0; waited < 70 && opened === undefined; waited++) {
      datapath.advance(1000)
      if (chosen(send(datapath, 100, SYN)) === '10.2.0.11') opened = total() - 1
    }

    expect(opened).toBe(reopens)
  })

  test('that is edited counts at once: closed at or above, untouched between, open below or without', () => {
    const datapath = director([dest(11)])
    const limit = (upperThreshold: number, lowerThreshold = 0): string => {
      datapath.editDest(HTTP, dest(11, { upperThreshold, lowerThreshold }))
      return loads(datapath)[0]!
    }
    for (const port of [1, 2, 3]) send(datapath, port, SYN)

    expect(limit(3)).toBe('10.2.0.11 3+0 overloaded')
    expect(limit(10, 1)).toBe('10.2.0.11 3+0 overloaded')
    expect(limit(10, 4)).toBe('10.2.0.11 3+0')
    expect(limit(10, 1)).toBe('10.2.0.11 3+0')
    expect(limit(2)).toBe('10.2.0.11 3+0 overloaded')
    expect(limit(0)).toBe('10.2.0.11 3+0')
  })
})

describe('a removed dest', () => {
  test('drops its connections’ packets, lets replies through, counts nothing, and goes on when added again', () => {
    const datapath = director([dest(11)])
    const reply = () =>
      datapath.deliver({
        family: 4,
        protocol: 'tcp',
        source: { address: '10.2.0.11', port: 8080 },
        destination: { address: '192.0.2.9', port: 1 },
        flags: { syn: true, ack: true },
      })
    send(datapath, 1, SYN)
    const before = datapath.totals()
    datapath.deleteDest(HTTP, dest(11))

    expect(chosen(send(datapath, 1, ACK))).toBe('drop')
    expect(reply()).toMatchObject({ verdict: 'forward', direction: 'out' })
    expect(datapath.totals()).toEqual(before)

    datapath.addDest(HTTP, dest(11, { weight: 7 }))
    expect(loads(datapath)).toEqual(['10.2.0.11 1+0'])
    expect(chosen(send(datapath, 1, ACK))).toBe('10.2.0.11')
    expect(datapath.service(HTTP)!.dests[0]!.stats).toMatchObject({
      conns: 1n,
      inPackets: 2n,
      outPackets: 0n,
    })
  })

  test('starts its counters anew under a service that was deleted, but keeps its connections', () => {
    const datapath = director([dest(11)])
    send(datapath, 1, SYN)
    datapath.deleteService(HTTP)
    datapath.addService(service(HTTP))
    datapath.addDest(HTTP, dest(11))

    expect(loads(datapath)).toEqual(['10.2.0.11 1+0'])
    expect(datapath.service(HTTP)!.dests[0]!.stats).toMatchObject({ conns: 0n, inPackets: 0n })
  })

  test('is forgotten by a sweep two minutes after one found it unused, never while it is used', () => {
    const datapath = director([dest(11, { address: '127.0.0.1' }), dest(12)])
    const refusesAddress = () => errno(() => datapath.addDest(HTTP, dest(13, { address: '224.0.0.9' })))
    send(datapath, 1, SYN)
    send(datapath, 2, SYN)
    datapath.deleteDest(HTTP, dest(11, { address: '127.0.0.1' }))
    const stats = () =>
      datapath.service(HTTP)!.dests.find(({ address }) => address === '127.0.0.1')!.stats.conns

    // The connection ends after 60 s, the sweep of that moment stamps, the one at 180 s frees.
    datapath.advance(179_000)
    datapath.addDest(HTTP, dest(11, { address: '127.0.0.1' }))
    expect(stats()).toBe(1n)
    datapath.deleteDest(HTTP, dest(11, { address: '127.0.0.1' }))
    datapath.advance(181_000)
    datapath.addDest(HTTP, dest(11, { address: '127.0.0.1' }))
    expect(stats()).toBe(0n)
    expect(refusesAddress()).toBe('EINVAL')
  })

  test('takes its connections with it under expire_nodest_conn', () => {
    const datapath = director([dest(11), dest(12)], { expireNodestConn: true })
    const first = chosen(send(datapath, 1, SYN))
    datapath.deleteDest(HTTP, dest(12))

    expect(first).toBe('10.2.0.12')
    expect([...datapath.connections()]).toEqual([])
    expect(chosen(send(datapath, 1, ACK))).toBe('accept')
    expect(chosen(send(datapath, 1, SYN))).toBe('10.2.0.11')
  })

  test('at weight 0 keeps its connections, but gives openers away under expire_nodest_conn', () => {
    for (const expireNodestConn of [false, true]) {
      const datapath = director([dest(11), dest(12)], { expireNodestConn })
      send(datapath, 1, SYN)
      datapath.editDest(HTTP, dest(12, { weight: 0 }))

      expect(chosen(send(datapath, 1, ACK))).toBe('10.2.0.12')
      expect(chosen(send(datapath, 1, SYN))).toBe(expireNodestConn ? '10.2.0.11' : '10.2.0.12')
    }
  })
})

describe('counters', () => {
  test('of a service and the namespace keep what removed dests counted', () => {
    const datapath = director([dest(11), dest(12)])
    send(datapath, 1, SYN)
    send(datapath, 2, SYN)
    datapath.deleteDest(HTTP, dest(12))

    expect(datapath.service(HTTP)!.stats).toMatchObject({ conns: 2n, inPackets: 2n, inBytes: 80n })
    datapath.deleteService(HTTP)
    expect(datapath.totals()).toMatchObject({ conns: 2n, inPackets: 2n, inBytes: 80n })
  })

  test('of one service can be zeroed without the totals, and of all with them', () => {
    const datapath = director([dest(11)])
    send(datapath, 1, SYN)
    datapath.zero(HTTP)

    expect(datapath.service(HTTP)!.stats.conns).toBe(0n)
    expect(datapath.service(HTTP)!.dests[0]!.stats.conns).toBe(0n)
    expect(datapath.totals().conns).toBe(1n)
    send(datapath, 2, FIN)
    send(datapath, 2, SYN)
    expect(datapath.service(HTTP)!.stats.conns).toBe(1n)
    datapath.zero()
    expect(datapath.totals()).toMatchObject({ conns: 0n, inPackets: 0n, inBytes: 0n })
  })
})
