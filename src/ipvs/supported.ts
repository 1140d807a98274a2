// SPDX-License-Identifier: MIT
/**
 * What kernel IPVS can do and this data plane cannot yet.
 *
 * The only place that says so: both datapaths ask here, after every check the kernel
 * makes and before they change anything. Building a feature means deleting its line.
 */
import { Failure } from '../util/errors.js'
import type { DestSpec } from './dest.js'
import { findScheduler } from './sched.js'
import type { ServiceSpec } from './service.js'

/** Throws NOT_SUPPORTED for a service that would need something not built yet. */
export function requireSupportedService(spec: ServiceSpec): void {
  const { key, flags } = spec
  if (key.kind === 'fwmark') refuse('a firewall-mark service')
  if (key.kind === 'address' && key.protocol === 'sctp') refuse('an SCTP service')
  if (findScheduler(spec.scheduler) === undefined) refuse(`scheduler '${spec.scheduler}'`)
  if (spec.pe !== '') refuse(`persistence engine '${spec.pe}'`)
  if (spec.persistentTimeout !== 0) refuse('a persistent service')
  if (flags.onePacket) refuse('one-packet scheduling')
}

/** Throws NOT_SUPPORTED for a dest that would need something not built yet. */
export function requireSupportedDest(dest: DestSpec): void {
  if (dest.tunType !== 'ipip') refuse(`tunnel type '${dest.tunType}'`)
}

/** Throws NOT_SUPPORTED: connection synchronisation has no daemons yet. */
export function requireSupportedSync(): void {
  refuse('connection synchronisation')
}

function refuse(what: string): void {
  throw new Failure('NOT_SUPPORTED', `${what} is not supported yet`)
}
