// SPDX-License-Identifier: MIT
/**
 * Network namespaces, without ever moving a thread that JavaScript runs on.
 *
 * Whatever takes a `netns` option is done on a scratch thread that enters the
 * namespace, does the one call and ends. Asynchronous code would otherwise wake
 * up in whichever namespace its thread happens to be in.
 */

import { closeSync, openSync, statSync } from 'node:fs'
import { constants } from 'node:os'
import { isIP } from 'node:net'

import { native, type NativeInterface, type NativeScope } from './addon.js'
import { errorOf, isFailure, unwrap, type Context } from './errors.js'

/** A network namespace: a path such as `/run/netns/blue` or `/proc/42/ns/net`, or an open descriptor. */
export type Netns = string | number

export interface NetnsOption {
  /** Where to do it; the caller's own namespace when absent. */
  readonly netns?: Netns | undefined
}

const OWN = '/proc/self/ns/net'

/** Identifies a namespace on this machine, as `lsns` shows it. */
export function netnsInode(netns: Netns = OWN): bigint {
  if (typeof netns === 'string') return statSync(netns, { bigint: true }).ino
  return statSync(`/proc/self/fd/${netns}`, { bigint: true }).ino
}

/**
 * A namespace's cookie (SO_NETNS_COOKIE): unlike its inode number, which the next
 * namespace may get, it is never used again while the machine is up.
 */
export function netnsCookie(netns?: Netns): bigint {
  const result = inNetns(netns, (scope) => native().netnsCookie(scope))
  return unwrap(result, () => ({ operation: 'read the cookie of a network namespace' }))
}

/** Runs `call` with the native scope for a namespace; synchronous. */
export function inNetns<T>(netns: Netns | undefined, call: (scope: NativeScope) => T): T {
  if (netns === undefined) return call({})
  if (typeof netns === 'number') return call({ netns })
  const fd = openNetns(netns)
  try {
    return call({ netns: fd })
  } finally {
    closeSync(fd)
  }
}

/** The same for calls off the event loop: the namespace stays open until they are done. */
export async function inNetnsAsync<T>(
  netns: Netns | undefined,
  call: (scope: NativeScope) => T | Promise<T>,
): Promise<T> {
  if (typeof netns !== 'string') return call({ async: true, ...(netns === undefined ? {} : { netns }) })
  const fd = openNetns(netns)
  try {
    return await call({ async: true, netns: fd })
  } finally {
    closeSync(fd)
  }
}

/** Opens a namespace to be passed on as a descriptor; the caller closes it (`closeSync`). */
export function openNetns(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (cause) {
    const { errno } = cause as NodeJS.ErrnoException
    throw errorOf(Math.abs(errno ?? constants.errno.EIO), {
      operation: `open the network namespace ${path}`,
      needs: path.startsWith('/proc/') ? ['CAP_SYS_PTRACE'] : [],
    })
  }
}

export interface Interface {
  readonly ifindex: number
  readonly name: string
  /** `02:00:00:00:00:01`, or '' for devices without link-layer addresses. */
  readonly mac: string
  readonly mtu: number
  /** IFF_UP and its friends, see {@link isUp}. */
  readonly flags: number
  /** ARPHRD_*: 1 Ethernet, 772 loopback, … */
  readonly type: number
  /** ifindex of the bridge or bond it belongs to. */
  readonly master?: number
  /** `veth`, `bridge`, `vlan`, … absent for physical devices and lo. */
  readonly kind?: string
}

/** Every network device of a namespace. */
export function listInterfaces(netns?: Netns): Interface[] {
  return inNetns(netns, (scope) =>
    unwrap<NativeInterface[]>(native().listInterfaces(scope), () => ({ operation: 'list network devices' })),
  )
}

export function isUp(device: Interface): boolean {
  return (device.flags & 1) === 1
}

export function isLoopback(device: Interface): boolean {
  return (device.flags & 8) === 8
}

/**
 * The ifindex of a device by name.
 *
 * @throws BpfError with code DEVICE_NOT_FOUND
 */
export function ifindexOf(name: string, netns?: Netns): number {
  const context: Context = {
    operation: `find the network device ${name}`,
    code: 'DEVICE_NOT_FOUND',
    hint: '`ip link` lists the devices of this network namespace',
  }
  return inNetns(netns, (scope) => unwrap<number>(native().ifindexOf(name, scope), () => context))
}

/**
 * The local address the kernel would send from to reach `address`, or null when
 * there is no route. Nothing is sent.
 */
export function sourceAddressFor(address: string, netns?: Netns): string | null {
  if (isIP(address) === 0) throw new TypeError(`not an IP address: ${address}`)
  const { ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, EACCES, EAFNOSUPPORT, EINVAL } = constants.errno
  return inNetns(netns, (scope) => {
    const source = native().sourceAddress(address, scope)
    if (isFailure(source) && source.stage === undefined) {
      // EACCES: a broadcast address. EINVAL: a route of type blackhole, or a
      // link-local address, which means nothing without its device.
      const routeless = [ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, EACCES, EAFNOSUPPORT, EINVAL]
      if (routeless.includes(source.errno)) return null
    }
    return unwrap<string>(source, () => ({ operation: `find the source address for ${address}` }))
  })
}

/** Whether it is a broadcast address of one of the namespace's IPv4 subnets. */
export function isBroadcastAddress(address: string, netns?: Netns): boolean {
  if (isIP(address) !== 4) return false
  return inNetns(netns, (scope) => {
    const source = native().sourceAddress(address, scope)
    // What connect() says to a socket that may not broadcast.
    return isFailure(source) && source.stage === undefined && source.errno === constants.errno.EACCES
  })
}

function sysctlPath(name: string): string {
  return `/proc/sys/${name.replace(/[./]/g, (sign) => (sign === '.' ? '/' : '.'))}`
}

/** Reads a sysctl of a namespace; undefined when there is none of that name. */
export function getSysctl(name: string, netns?: Netns): string | undefined {
  const result = inNetns(netns, (scope) => native().sysctlGet(sysctlPath(name), scope))
  if (isFailure(result) && result.stage === undefined && result.errno === constants.errno.ENOENT)
    return undefined
  return unwrap(result, () => ({ operation: `read the sysctl ${name}` }))
}

/**
 * Sets a sysctl of a namespace by its name with dots, `net.ipv4.ip_forward`. Dots
 * in a device's name are written as slashes, as sysctl(8) has it.
 */
export function setSysctl(name: string, value: string | number, netns?: Netns): void {
  const result = inNetns(netns, (scope) => native().sysctlSet(sysctlPath(name), String(value), scope))
  unwrap(result, () => ({ operation: `set the sysctl ${name}`, needs: ['CAP_NET_ADMIN'] }))
}
