// SPDX-License-Identifier: MIT
/**
 * Listings, column by column as ipvsadm prints them.
 *
 * Columns are cut and padded at places only ipvsadm could know; the recordings in
 * test/fixtures hold every one of them.
 */
import type { Conn, Endpoint } from '../../ipvs/conn.js'
import { addressBytes, ipv4Number } from '../../ipvs/address.js'
import type { Dest, DestKey, FwdMethod } from '../../ipvs/dest.js'
import {
  fullMask,
  PROTOCOL_NUMBERS,
  type Protocol,
  type Service,
  type ServiceFlags,
  type ServiceKey,
} from '../../ipvs/service.js'
import type { Timeouts } from '../../datapath/datapath.js'
import type { ListFormat, View } from './grammar.js'
import type { Names } from './names.js'

/** What of Names a listing needs; none of it for numbers only. */
export type Naming = Pick<Names, 'prepare' | 'hostName' | 'serviceName'>

export const NUMERIC: Naming = { prepare: () => {}, hostName: () => undefined, serviceName: () => undefined }

/** `size` is what kernel IPVS says of its table by default; scripts have seen no other line. */
const VERSION_LINE = 'IP Virtual Server version 1.2.1 (size=4096)'

const TITLES: Readonly<Record<View, readonly [string, string]>> = {
  plain: [
    'Prot LocalAddress:Port Scheduler Flags',
    '  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn',
  ],
  stats: [
    'Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes',
    '  -> RemoteAddress:Port',
  ],
  rate: [
    'Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS',
    '  -> RemoteAddress:Port',
  ],
  thresholds: [
    'Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn ',
    '  -> RemoteAddress:Port',
  ],
  'persistent-conn': [
    'Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn ',
    '  -> RemoteAddress:Port',
  ],
  'tun-info': [
    'Prot LocalAddress:Port Scheduler Flags',
    '  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn',
  ],
}

/** Lines of `-L`; a listing of one service has no version line. */
export function* listServices(
  services: readonly Service[],
  format: ListFormat,
  naming: Naming,
  single: boolean,
): Iterable<string> {
  naming.prepare(addressesOf(services))
  if (!single) yield VERSION_LINE
  yield* TITLES[format.view]
  for (const service of format.sorted ? sortServices(services) : services) {
    yield serviceLine(service, format, naming)
    const dests = format.sorted ? sortDests(service.dests) : service.dests
    for (const dest of dests) yield destLine(service, dest, format, naming)
  }
}

export function addressesOf(services: readonly Service[]): string[] {
  return services.flatMap(({ key, dests }) => [
    ...(key.kind === 'address' ? [key.address] : []),
    ...dests.map(({ address }) => address),
  ])
}

function serviceLine(service: Service, { view, exact }: ListFormat, naming: Naming): string {
  const { key, stats } = service
  const name = serviceName(key, naming)
  if (view === 'stats') {
    const { conns, inPackets, outPackets, inBytes, outBytes } = stats
    return name.padEnd(33) + largeNumbers([conns, inPackets, outPackets, inBytes, outBytes], exact)
  }
  if (view === 'rate') {
    const { conns, inPackets, outPackets, inBytes, outBytes } = stats.rates
    return name.padEnd(33) + largeNumbers([conns, inPackets, outPackets, inBytes, outBytes], exact)
  }
  return `${name} ${service.scheduler}${flagsText(service)}${persistenceText(service)}${service.flags.onePacket ? ' ops' : ''}`
}

function serviceName(key: ServiceKey, naming: Naming): string {
  // The mark is printed as a signed number, whatever was typed.
  if (key.kind === 'fwmark') return `FWM  ${key.fwmark | 0}${key.family === 6 ? ' IPv6' : ''}`
  const name = `${key.protocol.toUpperCase().padEnd(4)} ${endpoint(key, key.protocol, naming)}`
  return key.family === 6 ? name : name.slice(0, 33)
}

function flagsText({ flags, scheduler }: Service): string {
  return hasSchedulerFlags(flags) ? ` (${schedulerFlagsText(scheduler, flags)})` : ''
}

export function hasSchedulerFlags({ sched1, sched2, sched3 }: ServiceFlags): boolean {
  return sched1 || sched2 || sched3
}

/** Flags under the names their scheduler has for them; sh and mh have none for the third. */
export function schedulerFlagsText(scheduler: string, { sched1, sched2, sched3 }: ServiceFlags): string {
  const own = scheduler === 'sh' || scheduler === 'mh'
  const names = own ? [`${scheduler}-fallback`, `${scheduler}-port`] : ['flag-1', 'flag-2', 'flag-3']
  return names.filter((_, i) => [sched1, sched2, sched3][i]).join(',')
}

function persistenceText(service: Service): string {
  if (service.persistentTimeout === 0) return ''
  const mask = service.netmask === fullMask(service.key.family) ? '' : ` mask ${service.netmask}`
  return ` persistent ${service.persistentTimeout}${mask}${service.pe === '' ? '' : ` pe ${service.pe}`}`
}

const METHODS: Readonly<Record<FwdMethod, string>> = {
  masq: 'Masq',
  local: 'Local',
  tunnel: 'Tunnel',
  route: 'Route',
}

function destLine({ key }: Service, dest: Dest, { view, exact }: ListFormat, naming: Naming): string {
  const protocol = key.kind === 'address' ? key.protocol : undefined
  const name = endpoint(dest, protocol, naming)
  const start = `  -> ${(dest.family === 6 ? name : name.slice(0, 28)).padEnd(28)}`
  const load = ` ${left(dest.activeConns, 10)} ${left(dest.inactiveConns, 10)}`
  const { stats } = dest
  switch (view) {
    case 'stats': {
      const counts = [stats.conns, stats.inPackets, stats.outPackets].map(low32)
      return start + largeNumbers([...counts, stats.inBytes, stats.outBytes], exact)
    }
    case 'rate': {
      const { conns, inPackets, outPackets, inBytes, outBytes } = stats.rates
      const plain = [conns, inPackets, outPackets].map((rate) => ` ${low32(rate).toString().padStart(8)}`)
      return start + plain.join('') + largeNumbers([inBytes, outBytes].map(low32), exact)
    }
    case 'thresholds':
      return `${start} ${left(dest.upperThreshold, 10)} ${left(dest.lowerThreshold, 10)}${load}`
    case 'persistent-conn':
      return `${start} ${left(dest.weight, 9)} ${left(dest.persistentConns, 11)}${load}`
    case 'tun-info':
      return `${start} ${METHODS[dest.fwd].padEnd(7)} ${tunnelText(dest).padEnd(13)} ${left(dest.weight, 6)}${load}`
    case 'plain':
      return `${start} ${METHODS[dest.fwd].padEnd(7)} ${left(dest.weight, 6)}${load}`
  }
}

const left = (value: number, width: number): string => String(value).padEnd(width)

/** ipvsadm reads all of a dest's counters but its bytes into 32 bits. */
const low32 = (value: bigint): bigint => BigInt.asUintN(32, value)

const CHECKSUMS = { nocsum: '-c', csum: '+c', remcsum: 'r+c' } as const

function tunnelText(dest: Dest): string {
  if (dest.fwd !== 'tunnel') return 'n/a'
  if (dest.tunType === 'ipip') return 'ipip'
  const port = dest.tunType === 'gue' ? `:${dest.tunPort}` : ''
  return `${dest.tunType}${port}:${CHECKSUMS[dest.tunFlags]}`
}

const largeNumbers = (values: readonly bigint[], exact: boolean): string =>
  values.map((value) => largeNumber(value, exact)).join('')

/** Nine columns, with K, M, G and T where the number itself needs more. */
function largeNumber(value: bigint, exact: boolean): string {
  const digits = value.toString()
  if (exact) return digits.padStart(digits.length <= 8 ? 9 : digits.length + 1)
  if (value < 10n ** 8n) return digits.padStart(9)
  const [unit, letter] =
    value < 10n ** 9n
      ? [3n, 'K']
      : value < 10n ** 11n
        ? [6n, 'M']
        : value < 10n ** 14n
          ? [9n, 'G']
          : [12n, 'T']
  return (value / 10n ** unit).toString().padStart(8) + String(letter)
}

/** `10.0.0.1:80`, `web:http`, `[fd00::1]:80`. Ports of unknown protocols have no names; 59 characters fit. */
export function endpoint(
  { address, port }: Endpoint,
  protocol: Protocol | undefined,
  naming: Naming,
): string {
  const host = naming.hostName(address) ?? address
  const service = (protocol === undefined ? undefined : naming.serviceName(port, protocol)) ?? port
  return (address.includes(':') ? `[${host}]:${service}` : `${host}:${service}`).slice(0, 59)
}

/** Lines of `-L --timeout`. */
export function listTimeouts({ tcp, tcpFin, udp }: Timeouts): string {
  return `Timeout (tcp tcpfin udp): ${tcp} ${tcpFin} ${udp}`
}

const CONN_TITLE = 'pro expire state       source             virtual            destination'

/** Lines of `-L -c`, one at a time: there may be a million. */
export function* listConnections(
  conns: Iterable<Conn>,
  format: ListFormat,
  naming: Naming,
): Iterable<string> {
  yield 'IPVS connection entries'
  yield format.engineData ? `${CONN_TITLE}        pe name          pe_data` : CONN_TITLE
  for (const conn of conns) yield connLine(conn, naming)
}

function connLine(conn: Conn, naming: Naming): string {
  const protocol = protocolOf(conn.protocol)
  const seconds = Math.floor(conn.expiresMs / 1000)
  const expires = `${two(Math.floor(seconds / 60))}:${two(seconds % 60)}`
  const client = endpoint(conn.client, protocol, naming)
  const virtual = endpoint(conn.virtual, protocol, naming)
  const dest = endpoint(conn.dest, protocol, naming)
  const name = (protocol ?? 'ip').toUpperCase().padEnd(3)
  return `${name} ${expires.padEnd(6)} ${conn.state.padEnd(11)} ${client.padEnd(18)} ${virtual.padEnd(18)} ${dest}`
}

const two = (value: number): string => String(value).padStart(2, '0')

function protocolOf(number: number): Protocol | undefined {
  return (Object.keys(PROTOCOL_NUMBERS) as Protocol[]).find((name) => PROTOCOL_NUMBERS[name] === number)
}

/** By mark, family, protocol, address and port. */
export function sortServices(services: readonly Service[]): Service[] {
  return mergeSort(services.map((service) => ({ service, sort: serviceSortKey(service.key) }))).map(
    ({ service }) => service,
  )
}

function serviceSortKey(key: ServiceKey): number[] {
  if (key.kind === 'fwmark') return [key.fwmark, key.family]
  return [0, key.family, PROTOCOL_NUMBERS[key.protocol], ...addressWords(key.address), key.port]
}

/** By address and port. */
export function sortDests(dests: readonly Dest[]): Dest[] {
  return mergeSort(dests.map((dest) => ({ dest, sort: destSortKey(dest) }))).map(({ dest }) => dest)
}

function destSortKey({ address, port }: DestKey): number[] {
  // Four words whichever family, so that dests of both compare as ipvsadm's unions do.
  const words = addressWords(address)
  return [...words, ...Array<number>(4 - words.length).fill(0), port]
}

function addressWords(address: string): number[] {
  if (!address.includes(':')) return [ipv4Number(address)]
  const bytes = new DataView(addressBytes(address).buffer)
  return [0, 4, 8, 12].map((offset) => bytes.getUint32(offset))
}

/**
 * The C library's qsort with ipvsadm's comparison: signed 32-bit differences, which make
 * circles where keys are 2^31 apart (192.168.0.1 before 10.0.0.1 before 100.64.0.1 before
 * 192.168.0.1), so the result depends on how the sorting is done.
 */
function mergeSort<T extends { readonly sort: readonly number[] }>(items: T[]): T[] {
  if (items.length < 2) return items
  const middle = items.length >> 1
  const first = mergeSort(items.slice(0, middle))
  const second = mergeSort(items.slice(middle))
  const merged: T[] = []
  let i = 0
  let j = 0
  while (i < first.length && j < second.length) {
    merged.push(difference(first[i]!.sort, second[j]!.sort) <= 0 ? first[i++]! : second[j++]!)
  }
  return [...merged, ...first.slice(i), ...second.slice(j)]
}

function difference(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < a.length; i++) {
    const delta = (a[i]! - (b[i] ?? 0)) | 0
    if (delta !== 0) return delta
  }
  return 0
}
