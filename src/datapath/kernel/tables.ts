// SPDX-License-Identifier: MIT
/**
 * The pinned maps of one namespace, opened when first used.
 *
 * Arrays are mapped into memory: reading and writing them is no system call, and a
 * store is seen by the next packet. Everything is little-endian, as the machines
 * BPF runs XDP on are.
 */
import { BpfMap, type BpfFs, type MappedMap } from '../../libbpf/index.js'

/** An mmapped array of records. */
export class Table implements Disposable {
  readonly length: number
  readonly stride: number
  readonly bytes: Uint8Array
  readonly words: Uint32Array
  readonly view: DataView
  readonly #memory: MappedMap

  constructor(map: BpfMap) {
    this.#memory = map.mmap({ writable: true })
    this.length = map.maxEntries
    this.stride = this.#memory.stride
    const { buffer } = this.#memory
    this.bytes = new Uint8Array(buffer)
    this.words = new Uint32Array(buffer)
    this.view = new DataView(buffer)
  }

  /** Byte offset of a field. */
  at(index: number, field = 0): number {
    return index * this.stride + field
  }

  u32(index: number, field: number): number {
    return this.words[(index * this.stride + field) >>> 2]!
  }

  setU32(index: number, field: number, value: number): void {
    this.words[(index * this.stride + field) >>> 2] = value
  }

  u8(index: number, field: number): number {
    return this.bytes[index * this.stride + field]!
  }

  setU8(index: number, field: number, value: number): void {
    this.bytes[index * this.stride + field] = value
  }

  u64(index: number, field: number): bigint {
    return this.view.getBigUint64(index * this.stride + field, true)
  }

  setU64(index: number, field: number, value: bigint): void {
    this.view.setBigUint64(index * this.stride + field, value, true)
  }

  /** The bytes of one record, or of a part of it, in place. */
  slice(index: number, field = 0, size = this.stride - field): Uint8Array {
    const from = index * this.stride + field
    return this.bytes.subarray(from, from + size)
  }

  [Symbol.dispose](): void {
    this.#memory.dispose()
  }
}

/** Arrays that are mapped into memory. */
export type TableName =
  | 'config'
  | 'services'
  | 'dests'
  | 'dest_sets'
  | 'dest_refs'
  | 'conns4'
  | 'conns6'
  | 'spare_buckets'
  | 'devices'
  | 'hops'
  | 'address_filter'

export type MapName = TableName | 'service_keys' | 'dest_stats' | 'reasons'

/** Opens what is pinned below `dir`; closing it leaves the pins alone. */
export class Tables implements Disposable {
  readonly #fs: BpfFs
  readonly #dir: string
  readonly #maps = new Map<MapName, BpfMap>()
  readonly #tables = new Map<TableName, Table>()

  constructor(fs: BpfFs, dir: string) {
    this.#fs = fs
    this.#dir = dir
  }

  map(name: MapName): BpfMap {
    let map = this.#maps.get(name)
    if (map === undefined) {
      map = BpfMap.openPinned(`${this.#dir}/${name}`, { fs: this.#fs })
      this.#maps.set(name, map)
    }
    return map
  }

  table(name: TableName): Table {
    let table = this.#tables.get(name)
    if (table === undefined) {
      table = new Table(this.map(name))
      this.#tables.set(name, table)
    }
    return table
  }

  get config(): Table {
    return this.table('config')
  }

  get services(): Table {
    return this.table('services')
  }

  get dests(): Table {
    return this.table('dests')
  }

  get sets(): Table {
    return this.table('dest_sets')
  }

  get refs(): Table {
    return this.table('dest_refs')
  }

  [Symbol.dispose](): void {
    for (const table of this.#tables.values()) table[Symbol.dispose]()
    for (const map of this.#maps.values()) map.close()
    this.#tables.clear()
    this.#maps.clear()
  }
}
