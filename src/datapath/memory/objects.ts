// SPDX-License-Identifier: MIT
/**
 * Services and dests as the model keeps them: what the kernel calls ip_vs_service and
 * ip_vs_dest, including what outlives their place in a list.
 */
import { destKeyOf, type Dest, type DestSpec } from '../../ipvs/dest.js'
import type { Scheduler, SchedState } from '../../ipvs/sched.js'
import { keyOf, type Service, type ServiceKey, type ServiceSpec } from '../../ipvs/service.js'
import { addCounters, countersSince, ZERO_RATES, type Counters, type Stats } from '../../ipvs/stats.js'

/** Counters that can be set to zero for who looks, while they go on. */
export class Meter {
  #now: Counters = ZERO_RATES
  #base: Counters = ZERO_RATES

  add(counters: Partial<Counters>): void {
    this.#now = addCounters(this.#now, { ...ZERO_RATES, ...counters })
  }

  zero(): void {
    this.#base = this.#now
  }

  get shown(): Stats {
    return { ...countersSince(this.#now, this.#base), rates: ZERO_RATES }
  }
}

export interface DestObject {
  spec: DestSpec
  /** The service it belongs, or last belonged, to. */
  service: ServiceObject
  /** False from its removal on: its connections stand still. */
  available: boolean
  active: number
  total: number
  overloaded: boolean
  readonly meter: Meter
  /** In the trash: when a sweep first found nothing that refers to it. */
  idleSinceMs: number | undefined
}

export interface ServiceObject {
  spec: ServiceSpec
  scheduler: Scheduler<SchedState>
  state: SchedState
  /** Newest first. */
  dests: readonly DestObject[]
  readonly meter: Meter
}

export function newDest(service: ServiceObject, spec: DestSpec): DestObject {
  return {
    spec,
    service,
    available: true,
    active: 0,
    total: 0,
    overloaded: false,
    meter: new Meter(),
    idleSinceMs: undefined,
  }
}

/** Whom the trash may give back: dests of the same address for a service of the same key. */
export function trashKey(service: ServiceKey, dest: DestSpec): string {
  return `${keyOf(service)} ${destKeyOf(dest)}`
}

export function showService({ spec, meter, dests }: ServiceObject): Service {
  return { ...spec, stats: meter.shown, dests: dests.map(showDest) }
}

function showDest({ spec, active, total, overloaded, meter }: DestObject): Dest {
  return {
    ...spec,
    activeConns: active,
    inactiveConns: Math.max(total - active, 0),
    persistentConns: 0,
    overloaded,
    stats: meter.shown,
  }
}

/** What schedulers see. */
export function candidate({ spec, active, total, overloaded }: DestObject): {
  weight: number
  activeConns: number
  inactiveConns: number
  overloaded: boolean
} {
  return { weight: spec.weight, activeConns: active, inactiveConns: Math.max(total - active, 0), overloaded }
}
