// SPDX-License-Identifier: MIT
/**
 * `-S`: every service and server as the command that makes it.
 *
 * Thresholds, timeouts and daemons are not saved; neither does ipvsadm.
 */
import type { Dest, FwdMethod } from '../../ipvs/dest.js'
import { fullMask, type Protocol, type Service, type ServiceKey } from '../../ipvs/service.js'
import {
  addressesOf,
  endpoint,
  hasSchedulerFlags,
  schedulerFlagsText,
  sortDests,
  sortServices,
  type Naming,
} from './listing.js'

export function* saveServices(services: readonly Service[], naming: Naming): Iterable<string> {
  naming.prepare(addressesOf(services))
  for (const service of sortServices(services)) {
    const name = serviceArguments(service.key, naming)
    yield `-A ${name}${serviceOptions(service)}`
    for (const dest of sortDests(service.dests)) yield `-a ${name}${destOptions(service.key, dest, naming)}`
  }
}

const SERVICE_OPTION: Readonly<Record<Protocol, string>> = { tcp: '-t', udp: '-u', sctp: '--sctp-service' }

function serviceArguments(key: ServiceKey, naming: Naming): string {
  if (key.kind === 'fwmark') return `-f ${key.fwmark | 0}${key.family === 6 ? ' -6' : ''}`
  return `${SERVICE_OPTION[key.protocol]} ${endpoint(key, key.protocol, naming)}`
}

function serviceOptions({ key, scheduler, persistentTimeout, netmask, pe, flags }: Service): string {
  const options = [` -s ${scheduler}`]
  if (persistentTimeout !== 0) {
    options.push(` -p ${persistentTimeout}`)
    if (netmask !== fullMask(key.family)) options.push(` -M ${netmask}`)
  }
  if (pe !== '') options.push(` --pe ${pe}`)
  if (flags.onePacket) options.push(' -o')
  if (hasSchedulerFlags(flags)) options.push(` -b ${schedulerFlagsText(scheduler, flags)}`)
  return options.join('')
}

/** A server that is the director itself is saved as direct routing, having no letter. */
const FWD_OPTION: Readonly<Record<FwdMethod, string>> = { masq: '-m', tunnel: '-i', route: '-g', local: '-g' }

function destOptions(key: ServiceKey, dest: Dest, naming: Naming): string {
  const protocol = key.kind === 'address' ? key.protocol : undefined
  const name = endpoint(dest, protocol, naming)
  return ` -r ${name} ${FWD_OPTION[dest.fwd]} -w ${dest.weight}${tunnelOptions(dest)}`
}

function tunnelOptions({ fwd, tunType, tunPort, tunFlags }: Dest): string {
  if (fwd !== 'tunnel') return ''
  const port = tunType === 'gue' ? ` --tun-port ${tunPort}` : ''
  const checksum = tunType === 'ipip' ? '' : ` --tun-${tunFlags}`
  return ` --tun-type ${tunType}${port}${checksum}`
}
