// SPDX-License-Identifier: MIT
/**
 * Every listing of reference text/, as whole bytes.
 *
 * The services come from setup.txt through the front end itself. Counts come from what
 * the kernel said elsewhere (/proc/net/ip_vs, /proc/net/ip_vs_conn, the exchanges), or
 * are read from the very table that is compared, where nothing else knew them: then it
 * is its layout that is tested.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { MemoryDatapath } from '../../src/datapath/memory/memory.js'
import type { Datapath } from '../../src/datapath/datapath.js'
import { formatAddress, parseAddress } from '../../src/ipvs/address.js'
import type { Conn, Endpoint } from '../../src/ipvs/conn.js'
import { destKeyOf } from '../../src/ipvs/dest.js'
import type { SchedState, Scheduler } from '../../src/ipvs/sched.js'
import { keyOf, PROTOCOL_NUMBERS, type Protocol, type Service } from '../../src/ipvs/service.js'
import type { Counters } from '../../src/ipvs/stats.js'
import { ipvsadm, ipvsadmLine } from '../support/ipvsadm.js'

const text = (path: string): string =>
  readFileSync(new URL(`../fixtures/ipvs-6.1/text/${path}`, import.meta.url), 'utf8')

/** The commands of setup.txt, up to a line. */
function setUp(datapath: Datapath, folder: string, until?: string): void {
  for (const line of text(`${folder}/setup.txt`).split('\n')) {
    if (line === until) return
    if (!line.startsWith('ipvsadm ') || line.includes('-daemon')) continue
    expect({ line, ...ipvsadmLine(datapath, line) }).toEqual({ line, status: 0, stdout: '', stderr: '' })
  }
}

const everything = (scheduler?: (name: string) => Scheduler<SchedState>): MemoryDatapath =>
  new MemoryDatapath({ acceptUnsupported: true, scheduler })

/** What a datapath says, with counts put in. */
function withCounts(
  datapath: Datapath,
  edit: (service: Service) => Service,
  conns: readonly Conn[] = [],
): Datapath {
  return new Proxy(datapath, {
    get(target, property) {
      if (property === 'services') return () => target.services().map(edit)
      if (property === 'connections') return () => conns
      const value: unknown = Reflect.get(target, property, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

/** Active and inactive connections of every dest, from /proc/net/ip_vs. */
function procLoads(path: string): Map<string, { activeConns: number; inactiveConns: number }> {
  const loads = new Map<string, { activeConns: number; inactiveConns: number }>()
  let service = ''
  for (const line of text(path).split('\n').slice(3)) {
    const [first = '', second = '', third = '', ...rest] = line.trim().split(/\s+/)
    if (first === '->') {
      const [, active, inactive] = [third, ...rest].slice(1)
      loads.set(`${service} ${hexEndpoint(second)}`, {
        activeConns: Number(active),
        inactiveConns: Number(inactive),
      })
    } else if (first === 'FWM') service = `fwmark ${Number.parseInt(second, 16)}`
    else if (first !== '') service = `${first.toLowerCase()} ${hexEndpoint(second)}`
  }
  return loads
}

/** `0A000001:0050`, `[fd00:…:0001]:1F41`: as text. */
function hexEndpoint(hex: string): string {
  const [, address = '', port = ''] = /^\[?([^\]]+?)\]?:([0-9A-F]{4})$/.exec(hex) ?? []
  const host = hexAddress(address)
  return `${host.includes(':') ? `[${host}]` : host}:${Number.parseInt(port, 16)}`
}

function hexAddress(hex: string): string {
  return hex.includes(':') ? parseAddress(hex)!.text : formatAddress(Uint8Array.from(Buffer.from(hex, 'hex')))
}

const serviceId = ({ key }: Service): string => (key.kind === 'fwmark' ? `fwmark ${key.fwmark}` : keyOf(key))

/** Puts the loads of /proc/net/ip_vs in. */
function loaded(path: string): (service: Service) => Service {
  const loads = procLoads(path)
  return (service) => ({
    ...service,
    dests: service.dests.map((dest) => {
      const load = loads.get(`${serviceId(service)} ${destKeyOf(dest)}`)
      if (load === undefined) throw new Error(`${path} has no ${serviceId(service)} ${destKeyOf(dest)}`)
      return { ...dest, ...load }
    }),
  })
}

/** Rates or totals read from a table, in the order of its rows. */
function rows(path: string): bigint[][] {
  return text(path)
    .split('\n')
    .slice(3)
    .filter((line) => line !== '')
    .map((line) => line.trim().split(/\s+/).slice(-5).map(BigInt))
}

const counters = ([
  conns = 0n,
  inPackets = 0n,
  outPackets = 0n,
  inBytes = 0n,
  outBytes = 0n,
]: bigint[]): Counters => ({
  conns,
  inPackets,
  outPackets,
  inBytes,
  outBytes,
})

/** Gives services and dests, in the order of a listing, what the rows of a table say. */
function tabled(datapath: Datapath, path: string): Datapath {
  const numbers = rows(path)
  const order = ipvsadm(datapath, ['-Sn'])
    .stdout.split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replace(/^-[Aa] /, '').replace(/ -[sm igw].*$/, ''))
  const name = (service: Service): string => {
    const { key } = service
    if (key.kind === 'fwmark') return `-f ${key.fwmark}${key.family === 6 ? ' -6' : ''}`
    const option = { tcp: '-t', udp: '-u', sctp: '--sctp-service' }[key.protocol]
    return `${option} ${keyOf(key).slice(key.protocol.length + 1)}`
  }
  const find = (row: string): Counters => {
    const index = order.indexOf(row)
    if (index === -1) throw new Error(`no row for ${row} in ${order.join('; ')}`)
    return counters(numbers[index]!)
  }
  const edit = (service: Service): Service => {
    const own = find(name(service))
    return {
      ...service,
      stats: { ...own, rates: own },
      dests: service.dests.map((dest) => {
        const its = find(`${name(service)} -r ${destKeyOf(dest)}`)
        return { ...dest, stats: { ...its, rates: its } }
      }),
    }
  }
  return withCounts(datapath, edit)
}

/** Connections as /proc/net/ip_vs_conn has them. */
function procConns(path: string): Conn[] {
  return text(path)
    .split('\n')
    .slice(1)
    .filter((line) => line !== '')
    .map((line): Conn => {
      const [protocol = '', ca = '', cp = '', va = '', vp = '', da = '', dp = '', state = '', expires = ''] =
        line.trim().split(/\s+/)
      const endpoint = (address: string, port: string): Endpoint => ({
        address: hexAddress(address),
        port: Number.parseInt(port, 16),
      })
      return {
        family: ca.includes(':') ? 6 : 4,
        protocol: PROTOCOL_NUMBERS[protocol.toLowerCase() as Protocol] ?? 0,
        client: endpoint(ca, cp),
        virtual: endpoint(va, vp),
        dest: endpoint(da, dp),
        destFamily: da.includes(':') ? 6 : 4,
        fwd: 'masq',
        state,
        expiresMs: Number(expires) * 1000,
        active: false,
        inPackets: 0,
        fwmark: 0,
        template: false,
      }
    })
}

/** The file and the listing were read one after the other: seconds may differ. */
const sparingTimes = (listing: string): string => listing.replace(/^(\S+ +)\d\d:\d\d/gm, '$1mm:ss')

describe('without services', () => {
  const commands = text('empty/MANIFEST.tsv')
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
    .filter(([, , command = '']) => command.startsWith('ipvsadm'))

  test.each(commands)('%s', (file = '', status, command = '') => {
    const ended = ipvsadmLine(new MemoryDatapath(), command)

    expect(ended).toEqual({ status: Number(status), stdout: text(`empty/${file}`), stderr: '' })
  })

  test('there are as many commands as were recorded', () => {
    expect(commands.length).toBe(16)
  })
})

describe('methods: rr, wrr, wlc, sh and mh by NAT, DR and TUN, IPv4 and IPv6', () => {
  const { exchanges } = JSON.parse(text('methods/exchanges.json')) as {
    exchanges: {
      what: string
      address: string
      port: number
      protocol: Protocol
      answered_by: readonly (string | null)[]
    }[]
  }

  /** The recorded traffic again, on the model. sh and mh, which it lacks, choose as recorded. */
  function afterTraffic(): MemoryDatapath {
    let answeredBy: string | undefined
    const recorded: Scheduler<SchedState> = {
      name: 'recorded',
      initial: () => ({}),
      afterAdd: (state) => state,
      afterDelete: (state) => state,
      afterEdit: (state) => state,
      // Real server n was added as number n; the newest is first.
      pick: (state, dests) => ({ index: dests.length - Number(answeredBy!.slice(1)), state }),
    }
    const datapath = everything((name) => (['sh', 'mh'].includes(name) ? recorded : undefined)!)
    setUp(datapath, 'methods')

    for (const [number, exchange] of exchanges.entries()) {
      for (const [turn, server] of exchange.answered_by.entries()) {
        answeredBy = server ?? undefined
        const client: Endpoint = {
          address: exchange.address.includes(':') ? 'fd01::2' : '10.1.0.2',
          port: 32768 + number * 10 + turn,
        }
        exchangeTraffic(datapath, exchange, client, exchange.what.startsWith('NAT'))
      }
    }
    return datapath
  }

  /** One connection: five bytes asked, eight answered, closed by the client. */
  function exchangeTraffic(
    datapath: MemoryDatapath,
    { address, port, protocol }: { address: string; port: number; protocol: Protocol },
    client: Endpoint,
    nat: boolean,
  ): void {
    const family = address.includes(':') ? 6 : 4
    const header = family === 6 ? 40 : 20
    const service: Endpoint = { address, port }
    if (protocol === 'sctp') throw new Error('not recorded')
    const inward = (flags: object, length: number) =>
      datapath.deliver({
        family,
        protocol,
        source: client,
        destination: service,
        flags,
        bytes: header + length,
      })

    const { dest } = inward({ syn: true }, protocol === 'udp' ? 13 : 40)
    // Only under NAT do replies pass the director.
    const outward = (flags: object, length: number) => {
      if (!nat) return
      datapath.deliver({
        family,
        protocol,
        source: dest!,
        destination: client,
        flags,
        bytes: header + length,
      })
    }
    if (protocol === 'udp') return outward({}, 16)
    const ack = { ack: true }
    const fin = { fin: true, ack: true }
    outward({ syn: true, ack: true }, 40)
    inward(ack, 32)
    inward(ack, 37)
    outward(ack, 32)
    outward(ack, 40)
    inward(ack, 32)
    inward(fin, 32)
    outward(fin, 32)
    inward(ack, 32)
  }

  const datapath = afterTraffic()

  test('rr, wrr and wlc choose the servers that answered', () => {
    const wanted = new Map<string, number[]>()
    for (const { what, address, port, protocol, answered_by } of exchanges) {
      if (protocol !== 'tcp' || /(sh|mh)$/.test(what)) continue
      wanted.set(
        `${address} ${port}`,
        answered_by.map((server) => Number(server!.slice(1))),
      )
    }

    const chosen = new Map<string, number[]>()
    for (const { virtual, dest, client, protocol } of sortedByPort(datapath.connections())) {
      const key = `${virtual.address} ${virtual.port}`
      if (protocol !== 6 || !wanted.has(key)) continue
      const octet = Number(/(\d+)$/.exec(dest.address)![1])
      chosen.set(key, [...(chosen.get(key) ?? []), octet - 10])
      expect(client.port).toBeGreaterThan(0)
    }
    expect(chosen).toEqual(wanted)
  })

  const sortedByPort = (conns: Iterable<Conn>): Conn[] =>
    [...conns].sort((a, b) => a.client.port - b.client.port)

  test.each([
    ['ipvsadm-Ln.txt', '-Ln'],
    ['ipvsadm-L-names.txt', '-L'],
    ['ipvsadm-Ln-sort.txt', '-Ln --sort'],
    ['ipvsadm-Ln-thresholds.txt', '-Ln --thresholds'],
    ['ipvsadm-Ln-persistent-conn.txt', '-Ln --persistent-conn'],
    ['ipvsadm-Ln-timeout.txt', '-Ln --timeout'],
    ['ipvsadm-Ln-daemon.txt', '-Ln --daemon'],
    ['ipvsadm-Ln-tun-info.txt', '-Ln --tun-info'],
    ['ipvsadm-Sn.txt', '-Sn'],
  ])('%s', (file, line) => {
    expect(ipvsadm(datapath, line.split(' '))).toEqual({
      status: 0,
      stdout: text(`methods/${file}`),
      stderr: '',
    })
  })

  test.each([
    ['ipvsadm-Ln-stats.txt', '-Ln --stats'],
    ['ipvsadm-Ln-stats-exact.txt', '-Ln --stats --exact'],
  ])('%s, counted by the model packet by packet and byte by byte', (file, line) => {
    const counting = afterTraffic()
    // One server repeated an ACK in the recording.
    const repeated = [...counting.connections()].find(
      ({ virtual, dest }) =>
        virtual.address === 'fd00::1' && virtual.port === 8003 && dest.address === 'fd02::13',
    )!
    const { dest: source, client: destination } = repeated
    counting.deliver({ family: 6, protocol: 'tcp', source, destination, flags: { ack: true }, bytes: 72 })
    // The last datagrams came after the kernel's last look at its counters.
    for (const late of ['10.0.0.2:8001', '10.0.0.3:8001']) ipvsadm(counting, ['-Z', '-u', late])

    expect(ipvsadm(counting, line.split(' ')).stdout).toBe(text(`methods/${file}`))
  })

  test.each([
    ['ipvsadm-Ln-rate.txt', '-Ln --rate'],
    ['ipvsadm-Ln-rate-exact.txt', '-Ln --rate --exact'],
  ])('%s (layout)', (file, line) => {
    const counted = tabled(datapath, `methods/${file}`)

    expect(ipvsadm(counted, line.split(' ')).stdout).toBe(text(`methods/${file}`))
  })

  test.each([
    ['ipvsadm-Lnc.txt', '-Lnc'],
    ['ipvsadm-Lnc-persistent-conn.txt', '-Lnc --persistent-conn'],
  ])('%s', (file, line) => {
    const conns = procConns('methods/proc-net-ip_vs_conn.txt')

    const { stdout } = ipvsadm(
      withCounts(datapath, (service) => service, conns),
      line.split(' '),
    )

    expect(sparingTimes(stdout)).toBe(sparingTimes(text(`methods/${file}`)))
  })

  test('the model ends with the connections of the kernel, ports and times aside', () => {
    const shape = (conns: Iterable<Conn>) =>
      [...conns]
        .map(({ protocol, state, client, virtual, dest }) =>
          [protocol, state, client.address, virtual.address, virtual.port, dest.address, dest.port].join(' '),
        )
        .sort()

    expect(shape(datapath.connections())).toEqual(shape(procConns('methods/proc-net-ip_vs_conn.txt')))
  })
})

describe('states: every kind of service, held and changed connections', () => {
  const ZERO = 'ipvsadm -Z -t 10.0.0.1:8001'

  test.each([
    ['ipvsadm-Ln.txt', '-Ln'],
    ['ipvsadm-L-names.txt', '-L'],
    ['ipvsadm-Ln-sort.txt', '-Ln --sort'],
    ['ipvsadm-Ln-thresholds.txt', '-Ln --thresholds'],
    ['ipvsadm-Ln-timeout.txt', '-Ln --timeout'],
    ['ipvsadm-Ln-daemon.txt', '-Ln --daemon'],
    ['ipvsadm-Ln-tun-info.txt', '-Ln --tun-info'],
    ['ipvsadm-Sn.txt', '-Sn'],
  ])('%s', (file, line) => {
    const datapath = everything()
    setUp(datapath, 'states', ZERO)
    const counted = withCounts(datapath, loaded('states/proc-net-ip_vs.txt'))

    expect(ipvsadm(counted, line.split(' '))).toEqual({
      status: 0,
      stdout: text(`states/${file}`),
      stderr: '',
    })
  })

  test('ipvsadm-Ln-persistent-conn.txt', () => {
    const datapath = everything()
    setUp(datapath, 'states', ZERO)
    const load = loaded('states/proc-net-ip_vs.txt')
    // Templates, which /proc/net/ip_vs does not count: the connection list has them.
    const templates = procConns('states/proc-net-ip_vs_conn.txt').filter(({ client }) => client.port === 0)
    const counted = withCounts(datapath, (service) => {
      const { key, dests } = load(service)
      const its = ({ virtual }: Conn): boolean =>
        key.kind === 'address' && virtual.address === key.address && virtual.port === key.port
      return {
        ...service,
        dests: dests.map((dest) => ({
          ...dest,
          persistentConns: templates.filter((conn) => its(conn) && conn.dest.address === dest.address).length,
        })),
      }
    })

    expect(ipvsadm(counted, ['-Ln', '--persistent-conn']).stdout).toBe(
      text('states/ipvsadm-Ln-persistent-conn.txt'),
    )
  })

  test.each([
    ['ipvsadm-Ln-stats.txt', '-Ln --stats'],
    ['ipvsadm-Ln-stats-exact.txt', '-Ln --stats --exact'],
    ['ipvsadm-Ln-rate.txt', '-Ln --rate'],
    ['ipvsadm-Ln-rate-exact.txt', '-Ln --rate --exact'],
    ['after-zero-one-service-ipvsadm-Ln-stats.txt', '-Ln --stats'],
    ['after-zero-all-ipvsadm-Ln-stats.txt', '-Ln --stats'],
  ])('%s (layout)', (file, line) => {
    const datapath = everything()
    setUp(datapath, 'states', ZERO)

    expect(ipvsadm(tabled(datapath, `states/${file}`), line.split(' ')).stdout).toBe(text(`states/${file}`))
  })

  test.each([
    ['ipvsadm-Lnc.txt', '-Lnc'],
    ['ipvsadm-Lnc-persistent-conn.txt', '-Lnc --persistent-conn'],
    ['after-delete-dest-ipvsadm-Lnc.txt', '-Lnc'],
  ])('%s', (file, line) => {
    const conns = procConns('states/proc-net-ip_vs_conn.txt')
    const counted = withCounts(everything(), (service) => service, conns)

    expect(sparingTimes(ipvsadm(counted, line.split(' ')).stdout)).toBe(sparingTimes(text(`states/${file}`)))
  })

  test('idle-ipvsadm-Ln.txt', () => {
    const datapath = everything()
    setUp(datapath, 'states', ZERO)

    expect(ipvsadm(datapath, ['-Ln']).stdout).toBe(text('states/idle-ipvsadm-Ln.txt'))
  })

  test('after-set-ipvsadm-Ln-timeout.txt, and -R of what -Sn saved', () => {
    const datapath = everything()
    setUp(datapath, 'states')

    expect(ipvsadm(datapath, ['-Ln', '--timeout']).stdout).toBe(
      text('states/after-set-ipvsadm-Ln-timeout.txt'),
    )
    const saved = ipvsadm(datapath, ['-Sn']).stdout
    expect(saved).toBe(text('states/restore-input.txt'))
    ipvsadm(datapath, ['-C'])
    expect(ipvsadm(datapath, ['-R'], saved)).toEqual({ status: 0, stdout: '', stderr: '' })
    expect(ipvsadm(datapath, ['-Sn']).stdout).toBe(text('states/after-restore-ipvsadm-Sn.txt'))
  })

  /**
   * The service of this issue among them, from the traffic of setup.txt on the model
   * through every change made: its lines of each listing.
   */
  test('10.0.0.1:8001 keeps its connections through edits, removal, addition and restoring', () => {
    const datapath = everything()
    setUp(datapath, 'states', ZERO)
    const service: Endpoint = { address: '10.0.0.1', port: 8001 }
    const segment = (source: Endpoint, destination: Endpoint, flags: object) =>
      datapath.deliver({ family: 4, protocol: 'tcp', source, destination, flags }).dest!
    const opened = (port: number): [Endpoint, Endpoint] => {
      const client = { address: '10.1.0.2', port }
      const server = segment(client, service, { syn: true })
      segment(server, client, { syn: true, ack: true })
      segment(client, service, { ack: true })
      return [client, server]
    }
    const fin = { fin: true, ack: true }
    for (const port of [20001, 20002, 20003]) opened(port)
    const [half] = opened(20004)
    segment(half, service, fin)
    const [closed, server] = opened(20005)
    segment(closed, service, fin)
    segment(server, closed, fin)
    segment(closed, service, { ack: true })
    const [reset] = opened(20006)
    segment(reset, service, { rst: true })
    segment({ address: '10.1.0.77', port: 20007 }, service, { syn: true })

    const part = (listing: string): string =>
      /^TCP {2}10\.0\.0\.1:8001 .*\n(?: {2}->.*\n)*/m.exec(listing)![0]
    const now = (): string => part(ipvsadm(datapath, ['-Ln']).stdout)
    const recorded = (file: string): string => part(text(`states/${file}`))
    const does = (line: string): void =>
      expect(ipvsadmLine(datapath, `ipvsadm ${line}`)).toEqual({ status: 0, stdout: '', stderr: '' })

    expect(now()).toBe(recorded('ipvsadm-Ln.txt'))
    does('-e -t 10.0.0.1:8001 -r 10.2.0.11:8001 -m -w 0')
    expect(now()).toBe(recorded('after-weight-0-ipvsadm-Ln.txt'))
    does('-d -t 10.0.0.1:8001 -r 10.2.0.12:8001')
    expect(now()).toBe(recorded('after-delete-dest-ipvsadm-Ln.txt'))
    does('-a -t 10.0.0.1:8001 -r 10.2.0.12:8001 -m -w 5')
    expect(now()).toBe(recorded('after-readd-dest-ipvsadm-Ln.txt'))
    does('-C')
    ipvsadm(datapath, ['-R'], text('states/restore-input.txt'))
    expect(now()).toBe(recorded('after-restore-ipvsadm-Ln.txt'))

    const its = (conns: Iterable<Conn>) =>
      [...conns]
        .filter(({ virtual }) => virtual.address === '10.0.0.1' && virtual.port === 8001)
        .map(({ state, client, dest }) => `${state} ${client.address}:${client.port} ${dest.address}`)
        .sort()
    expect(its(datapath.connections())).toEqual(its(procConns('states/proc-net-ip_vs_conn.txt')))
  })

  test('every recorded text has its test, sparing what needs more than listings of this issue', () => {
    const left = new Set([
      // Counts after changes of services this issue does not schedule; the part of its own
      // service is compared above.
      ...['weight-0', 'delete-dest', 'readd-dest', 'edit-service', 'restore'].map(
        (step) => `after-${step}-ipvsadm-Ln.txt`,
      ),
      // Synchronisation daemons.
      'with-daemons-ipvsadm-Ln-daemon.txt',
      // Not ipvsadm's, or not output.
      ...[
        'proc-net-ip_vs.txt',
        'proc-net-ip_vs_conn.txt',
        'proc-net-ip_vs_stats.txt',
        'setup.txt',
        'MANIFEST.tsv',
      ],
    ])
    const here = readFileSync(new URL(import.meta.url), 'utf8')
    const folder = new URL('../fixtures/ipvs-6.1/text/states', import.meta.url)

    expect(readdirSync(folder).filter((file) => !left.has(file) && !here.includes(file))).toEqual([])
  })
})
