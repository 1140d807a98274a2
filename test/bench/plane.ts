// SPDX-License-Identifier: MIT
/**
 * A data plane to be measured: loaded and configured as `xlvs up` and ipvsadm do it,
 * with the bench's own programs on the same maps.
 */
import { mkdir } from 'node:fs/promises'
import { reasonNames } from '../../src/abi/generated.js'
import { compileObject } from '../../src/compile/compile.js'
import { KernelDatapath } from '../../src/datapath/kernel/datapath.js'
import { Home } from '../../src/datapath/kernel/home.js'
import { at } from '../../src/datapath/kernel/layout.js'
import { Lifecycle, settingsOf } from '../../src/datapath/kernel/lifecycle.js'
import { Tables } from '../../src/datapath/kernel/tables.js'
import type { DestSpec, FwdMethod } from '../../src/ipvs/dest.js'
import { fullMask, NO_FLAGS, type ServiceKey } from '../../src/ipvs/service.js'
import type { BpfMap, BpfObject } from '../../src/libbpf/index.js'
import { packageFile } from '../../src/util/package.js'
import { server, vip, type Family, type Road } from './road.js'

export type Hook = 'xdp' | 'tc'

const HOOK_NAMES: Readonly<Record<Hook, string>> = { xdp: 'xdp', tc: 'tc_ingress' }

/** Port of every service of the bench. */
export const SERVICE_PORT = 80
/** Port behind masquerading; the other methods cannot change it. */
export const MASQ_PORT = 8080

export interface ServiceOptions {
  readonly family?: Family
  /** Which virtual address. */
  readonly vip: number
  readonly fwd: FwdMethod
  readonly scheduler?: string
  readonly dests?: number
  readonly weight?: (dest: number) => number
}

/** Compiles a program of test/bench/bpf; answers the object's path. */
export async function compileBench(source: string, object: string): Promise<string> {
  const folder = packageFile('build', 'bench')
  await mkdir(folder, { recursive: true })
  const path = `${folder}/${object}.o`
  await compileObject(packageFile('test', 'bench', 'bpf', `${source}.bpf.c`), path)
  return path
}

export class Plane implements Disposable {
  readonly datapath: KernelDatapath
  readonly tables: Tables
  readonly #home: Home
  readonly #shared = new Map<string, BpfMap>()
  readonly #objects: BpfObject[] = []

  private constructor(datapath: KernelDatapath, home: Home) {
    this.datapath = datapath
    this.#home = home
    this.tables = new Tables(home.fs, home.room('maps'))
  }

  /** Loads and attaches on the balancer of a road. */
  static up(
    netns: string,
    options: { readonly conns: number; readonly xdp: 'native' | 'off'; readonly devices?: string[] },
  ): Plane {
    const datapath = KernelDatapath.open({ netns, load: 'never' })
    datapath.up({ conns: options.conns, xdp: options.xdp, devices: options.devices ?? ['eth0', 'eth1'] })
    return new Plane(datapath, Home.open(netns))
  }

  static onRoad(road: Road, options: { readonly conns: number; readonly xdp: 'native' | 'off' }): Plane {
    return Plane.up(road.netns('balancer'), options)
  }

  addService({
    family = 4,
    vip: number,
    fwd,
    scheduler = 'rr',
    dests = 1,
    weight,
  }: ServiceOptions): ServiceKey {
    const key: ServiceKey = {
      kind: 'address',
      protocol: 'tcp',
      address: vip(family, number),
      family,
      port: SERVICE_PORT,
    }
    this.datapath.addService({
      key,
      scheduler,
      flags: NO_FLAGS,
      persistentTimeout: 0,
      netmask: fullMask(family),
      pe: '',
    })
    for (let i = 0; i < dests; i++) this.datapath.addDest(key, destSpec(family, i, fwd, weight?.(i) ?? 1))
    return key
  }

  /**
   * Loads the bench's programs for a hook, with the constants and on the maps of the
   * plane. Maps they bring themselves are shared between the hooks.
   */
  async load(hook: Hook): Promise<BpfObject> {
    await compileBench(`run-${hook}`, hook)
    const lifecycle = new Lifecycle(this.#home, packageFile('build', 'bench'))
    const object = lifecycle.openObject(hook, settingsOf(this.tables.config), this.#shared)
    this.#objects.push(object)
    return object
  }

  /** How often each verdict was given on a hook. */
  verdicts(hook: Hook): Verdicts {
    const counts = new Map<string, number>()
    for (const { hook: where, reason, count } of this.datapath.reasons()) {
      if (where === HOOK_NAMES[hook]) counts.set(reason, Number(count))
    }
    return new Verdicts(counts)
  }

  /** Lines in the table of a family. */
  lines(family: Family): number {
    const { buckets4, spares4, buckets6, spares6 } = settingsOf(this.tables.config).buckets
    return (family === 4 ? buckets4 + spares4 : buckets6 + spares6) * 8
  }

  /** Ends every connection: their timers run out now, and the kernel's own sweep finds them. */
  expireAll(family: Family): void {
    const table = this.tables.table(family === 4 ? 'conns4' : 'conns6')
    const { words } = table
    const [bucketWords, lineWords, timeout] = [table.stride / 4, at.conn.size / 4, at.conn.when / 4 + 1]
    for (let bucket = 0; bucket < table.length; bucket++) {
      const from = bucket * bucketWords + timeout
      for (let line = 0; line < 8; line++) {
        const word = from + line * lineWords
        if (words[word] !== 0) words[word] = 0
      }
    }
    this.datapath.sweep()
    const left = this.connections()
    if (left > 0) throw new Error(`${left} connections are left after a sweep that should have ended all`)
  }

  /** Connections as the dests count them. */
  connections(): number {
    let sum = 0
    for (const service of this.datapath.services()) {
      for (const { activeConns, inactiveConns } of service.dests) sum += activeConns + inactiveConns
    }
    return sum
  }

  [Symbol.dispose](): void {
    for (const object of this.#objects) object.close()
    for (const map of this.#shared.values()) map.close()
    this.tables[Symbol.dispose]()
    this.#home[Symbol.dispose]()
    if (this.datapath.loaded) this.datapath.down()
    this.datapath[Symbol.dispose]()
  }
}

function destSpec(family: Family, number: number, fwd: FwdMethod, weight: number): DestSpec {
  return {
    address: server(family, number),
    family,
    port: fwd === 'masq' ? MASQ_PORT : SERVICE_PORT,
    fwd,
    weight,
    upperThreshold: 0,
    lowerThreshold: 0,
    tunType: 'ipip',
    tunPort: 0,
    tunFlags: 'nocsum',
  }
}

/** Counts of verdicts at one moment. */
export class Verdicts {
  readonly #counts: ReadonlyMap<string, number>

  constructor(counts: ReadonlyMap<string, number>) {
    this.#counts = counts
  }

  get(reason: string): number {
    return this.#counts.get(reason) ?? 0
  }

  /**
   * Throws unless since `before` there were `packets` verdicts, all of them `reason`.
   * Nothing that was measured may have been something else.
   */
  expectOnly(reason: string, packets: number, before: Verdicts, tolerated = 0): void {
    if (![...reasonNames.values()].includes(reason)) throw new Error(`there is no verdict ${reason}`)
    const given = [...this.#counts].map(([name, count]) => [name, count - before.get(name)] as const)
    const found = given.filter(([, count]) => count !== 0)
    const right = found.find(([name]) => name === reason)?.[1] ?? 0
    const sum = found.reduce((total, [, count]) => total + count, 0)
    if (right >= packets - tolerated && sum === packets) return
    const what = found.map(([name, count]) => `${count} ${name}`).join(', ') || 'nothing'
    throw new Error(`${packets} packets should have been ${reason}, but were: ${what}`)
  }
}
