// SPDX-License-Identifier: MIT
/**
 * Services and dests from short descriptions, for programs: what is not said is as
 * `ipvsadm` has it.
 */
import { Failure } from '../util/errors.js'
import { parseAddress } from './address.js'
import type { DestSpec } from './dest.js'
import { fullMask, NO_FLAGS, type AddressKey, type Protocol, type ServiceSpec } from './service.js'

/**
 * The key of a service.
 *
 * @example
 * serviceKey('tcp', '10.0.0.1:80')
 * serviceKey('udp', '[2001:db8::1]:53')
 */
export function serviceKey(protocol: Protocol, address: string): AddressKey {
  const endpoint = parseEndpoint(address)
  if (endpoint.port === undefined) throw notAnEndpoint(address)
  return {
    kind: 'address',
    protocol,
    address: endpoint.address,
    family: endpoint.family,
    port: endpoint.port,
  }
}

/**
 * A service, by default with scheduler wlc.
 *
 * @example
 * const web = service('tcp', '10.0.0.1:80', { scheduler: 'rr' })
 * datapath.addService(web)
 */
export function service(
  protocol: Protocol,
  address: string,
  options: Partial<Omit<ServiceSpec, 'key'>> = {},
): ServiceSpec {
  const key = serviceKey(protocol, address)
  return {
    key,
    scheduler: 'wlc',
    flags: NO_FLAGS,
    persistentTimeout: 0,
    netmask: fullMask(key.family),
    pe: '',
    ...options,
  }
}

/**
 * A real server, by default of weight 1 and reached by direct routing. Without a port
 * it gets the port of the request.
 *
 * @example
 * datapath.addDest(web.key, dest('10.1.0.11:8080', { fwd: 'masq' }))
 */
export function dest(
  address: string,
  options: Partial<Omit<DestSpec, 'address' | 'family' | 'port'>> = {},
): DestSpec {
  const { address: text, family, port = 0 } = parseEndpoint(address)
  return {
    address: text,
    family,
    port,
    fwd: 'route',
    weight: 1,
    upperThreshold: 0,
    lowerThreshold: 0,
    tunType: 'ipip',
    tunPort: 0,
    tunFlags: 'nocsum',
    ...options,
  }
}

/** `10.0.0.1:80`, `10.0.0.1`, `[2001:db8::1]:80`, `2001:db8::1`. */
function parseEndpoint(text: string): { address: string; family: 4 | 6; port: number | undefined } {
  const bare = parseAddress(text)
  if (bare !== undefined) return { address: bare.text, family: bare.family, port: undefined }
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text)
  const address = parseAddress(match?.[1] ?? match?.[2] ?? '')
  const port = Number(match?.[3])
  if (address === undefined || (address.family === 6) !== (match?.[1] !== undefined) || port > 65535) {
    throw notAnEndpoint(text)
  }
  return { address: address.text, family: address.family, port }
}

function notAnEndpoint(text: string): Failure {
  return new Failure('INVALID_ARGUMENT', `'${text}' is not an address and port`, {
    errno: 'EINVAL',
    hint: 'write 10.0.0.1:80 or [2001:db8::1]:80',
  })
}
