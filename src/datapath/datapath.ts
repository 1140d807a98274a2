// SPDX-License-Identifier: MIT
/**
 * The one port between the control plane and whatever forwards packets.
 *
 * `kernel/` drives the eBPF maps of one network namespace, `memory/` is the model
 * that property tests hold it against. Every method that changes something either
 * does all of it or throws a Failure and leaves the old state; the errno on the
 * Failure is the one kernel IPVS gives for the same request
 * (ip_vs_ctl.c: ip_vs_add_service and its neighbours).
 */
import type { Conn } from '../ipvs/conn.js'
import type { DestKey, DestSpec } from '../ipvs/dest.js'
import type { Service, ServiceKey, ServiceSpec } from '../ipvs/service.js'
import type { Stats } from '../ipvs/stats.js'

/** Timeouts a user can set with `ipvsadm --set`, in seconds. */
export interface Timeouts {
  readonly tcp: number
  readonly tcpFin: number
  readonly udp: number
}

export interface Datapath extends Disposable {
  /** EEXIST when present, ENOENT for an unknown scheduler or engine. */
  addService(spec: ServiceSpec): void
  /** Replaces everything but the key and the dests; ESRCH when missing. */
  editService(spec: ServiceSpec): void
  /** Its connections stay, their dests become unavailable; ESRCH when missing. */
  deleteService(key: ServiceKey): void
  /** Deletes every service; connections, timeouts and totals stay. */
  flush(): void

  /** EEXIST when present, ESRCH without service, ERANGE/EINVAL for bad values. */
  addDest(service: ServiceKey, dest: DestSpec): void
  /** ENOENT when missing. Keeps position, counters and connections. */
  editDest(service: ServiceKey, dest: DestSpec): void
  deleteDest(service: ServiceKey, dest: DestKey): void

  /** All services, in no particular order; dests newest first. */
  services(): Service[]
  /** One service, or undefined. */
  service(key: ServiceKey): Service | undefined
  /** Counters of the whole namespace. */
  totals(): Stats
  /** Zeroes one service with its dests, or everything with the totals. */
  zero(service?: ServiceKey): void

  timeouts(): Timeouts
  /** A value of 0 keeps the old one; all are checked before any is applied. */
  setTimeouts(timeouts: Timeouts): void

  /** A lazy walk over the connection table; memory stays bounded. */
  connections(): Iterable<Conn>

  /** Runs `change` with the namespace's configuration locked against other processes. */
  locked<T>(change: () => T): T

  [Symbol.dispose](): void
}
