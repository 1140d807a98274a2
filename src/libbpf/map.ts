// SPDX-License-Identifier: MIT
/**
 * Maps: keys and values as bytes. What the bytes mean is the caller's business;
 * see src/btf for layouts.
 */

import { constants } from 'node:os'

import { native, type NativeMapInfo, type NativeMapping } from './addon.js'
import { BpfFs } from './bpffs.js'
import { MAP_F_MMAPABLE, MAP_TYPES, nameOf, type MapType } from './constants.js'
import { BpfError, check, errorOf, type Context } from './errors.js'
import { KernelObject } from './fd.js'

export interface MapInfo {
  readonly id: number
  /** The kernel keeps 15 characters. */
  readonly name: string
  readonly type: MapType | `type-${number}`
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
}

export interface CreateOptions {
  readonly type: MapType
  readonly name?: string
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  /** MAP_F_MMAPABLE and its like. */
  readonly flags?: number
  /** For maps of maps: what the inner ones look like. */
  readonly inner?: BpfMap
}

/** Where pins are looked up; the default suits nearly everybody. */
export interface FsOption {
  readonly fs?: BpfFs
}

/** Elements next to each other: element i has `keySize` bytes of `keys` at `i * keySize`. */
export interface Elements {
  readonly count: number
  readonly keys: Uint8Array
  readonly values: Uint8Array
}

export interface ElementBatch extends Elements {
  /** Pass it to the next call; undefined when that was all. */
  readonly cursor: Uint8Array | undefined
}

/** A bulk change: how many elements were done before the error, if there was one. */
export interface BatchOutcome {
  readonly done: number
  readonly error?: BpfError
}

const PER_CPU: readonly number[] = [
  MAP_TYPES['percpu-hash'],
  MAP_TYPES['percpu-array'],
  MAP_TYPES['lru-percpu-hash'],
]

const DUMP_BATCH = 4096

export class BpfMap extends KernelObject {
  #info: NativeMapInfo | undefined

  protected constructor(fd: number, owned: boolean) {
    super(fd, owned)
  }

  /** Takes over an open descriptor. */
  static fromFd(fd: number): BpfMap {
    return new BpfMap(fd, true)
  }

  static fromId(id: number): BpfMap {
    const context = (): Context => ({ operation: `open map ${id}`, needs: ['CAP_SYS_ADMIN'] })
    return new BpfMap(check<number>(native().mapFdById(id), context), true)
  }

  static openPinned(path: string, options: FsOption = {}): BpfMap {
    return new BpfMap((options.fs ?? BpfFs.default()).get(path, 'map'), true)
  }

  static create(options: CreateOptions): BpfMap {
    const { type, name = '', keySize, valueSize, maxEntries, flags = 0, inner } = options
    const fd = native().mapCreate(MAP_TYPES[type], name.slice(0, 15), keySize, valueSize, maxEntries, {
      flags,
      ...(inner ? { innerMapFd: inner.fd } : {}),
    })
    return new BpfMap(
      check<number>(fd, () => ({ operation: `create the ${type} map ${name}`, needs: ['CAP_BPF'] })),
      true,
    )
  }

  /** Ids of all maps of the system. */
  static *ids(): Generator<number> {
    for (let id = 0; ;) {
      id = native().mapNextId(id)
      if (id === -constants.errno.ENOENT) return
      yield check<number>(id, () => ({ operation: 'list maps', needs: ['CAP_SYS_ADMIN'] }))
    }
  }

  /** The same map behind a descriptor of its own, to outlive the object it came from. */
  clone(): BpfMap {
    return new BpfMap(this.duplicate(), true)
  }

  get info(): MapInfo {
    const raw = this.raw
    return { ...raw, type: nameOf(MAP_TYPES, raw.type) }
  }

  get id(): number {
    return this.raw.id
  }

  get name(): string {
    return this.raw.name
  }

  get type(): MapType | `type-${number}` {
    return nameOf(MAP_TYPES, this.raw.type)
  }

  get keySize(): number {
    return this.raw.keySize
  }

  get valueSize(): number {
    return this.raw.valueSize
  }

  get maxEntries(): number {
    return this.raw.maxEntries
  }

  get isPerCpu(): boolean {
    return PER_CPU.includes(this.raw.type)
  }

  /** Bytes one element takes in calls: for per-CPU maps a slot per possible CPU. */
  get elementSize(): number {
    return this.isPerCpu ? this.#cpuStride * native().possibleCpus : this.raw.valueSize
  }

  pin(path: string, options: FsOption = {}): void {
    ;(options.fs ?? BpfFs.default()).pin(this, path)
  }

  /** The value of a key, or undefined. `into` saves the allocation. */
  get(key: Uint8Array, into?: Uint8Array): Uint8Array | undefined {
    if (this.isPerCpu) throw new TypeError(`map ${this.name} has a value per CPU: use getPerCpu()`)
    return this.#lookup(key, into)
  }

  /** The values of a key, one per possible CPU, or undefined. They share one buffer. */
  getPerCpu(key: Uint8Array): Uint8Array[] | undefined {
    if (!this.isPerCpu) throw new TypeError(`map ${this.name} has one value per key: use get()`)
    const all = this.#lookup(key, undefined)
    return all && this.splitPerCpu(all)
  }

  /** Cuts the bytes of one per-CPU element into its values. */
  splitPerCpu(element: Uint8Array): Uint8Array[] {
    const stride = this.#cpuStride
    return Array.from({ length: native().possibleCpus }, (_, cpu) =>
      element.subarray(cpu * stride, cpu * stride + this.valueSize),
    )
  }

  /** Sets a value; for per-CPU maps `elementSize` bytes, or one value for every CPU. */
  set(key: Uint8Array | null, value: Uint8Array, flags = 0): void {
    this.#checkKey(key)
    const element = this.isPerCpu && value.length === this.valueSize ? this.#repeat(value) : value
    this.#checkSize('value', element, this.elementSize)
    const rc = native().mapUpdate(this.fd, key, element, flags)
    if (rc < 0) throw this.#updateError(-rc)
  }

  /** Deletes a key; answers whether it was there. */
  delete(key: Uint8Array): boolean {
    this.#checkKey(key)
    const rc = native().mapDelete(this.fd, key)
    if (rc === -constants.errno.ENOENT) return false
    check(rc, () => this.#context('delete from'))
    return true
  }

  /** Takes an element out: of a hash by key, of a queue or stack (key null) the next one. */
  take(key: Uint8Array | null = null): Uint8Array | undefined {
    this.#checkKey(key)
    const value = new Uint8Array(this.elementSize)
    const rc = native().mapLookupAndDelete(this.fd, key, value)
    if (rc === -constants.errno.ENOENT) return undefined
    check(rc, () => this.#context('take from'))
    return value
  }

  /** Appends to a queue or stack. */
  push(value: Uint8Array, flags = 0): void {
    this.set(null, value, flags)
  }

  /** The key after `key`, in no particular order; the first one for null. */
  nextKey(key: Uint8Array | null): Uint8Array | undefined {
    if (key !== null) this.#checkKey(key)
    const next = new Uint8Array(this.keySize)
    const rc = native().mapNextKey(this.fd, key, next)
    if (rc === -constants.errno.ENOENT) return undefined
    check(rc, () => this.#context('walk'))
    return next
  }

  /**
   * Walks the keys. Deleting the key just seen is safe: its successor was asked for
   * before it was handed out. When another deletes that successor meanwhile, the
   * kernel starts over, and keys may come twice.
   */
  *keys(): Generator<Uint8Array> {
    let next = this.nextKey(null)
    while (next) {
      const key = next
      next = this.nextKey(key)
      yield key
    }
  }

  /** Walks keys and values, in batches where the map type has them. */
  *entries(): Generator<[key: Uint8Array, value: Uint8Array]> {
    const { keySize, elementSize } = this
    let cursor: Uint8Array | undefined
    do {
      let batch: ElementBatch
      try {
        batch = this.lookupBatch(cursor, Math.min(DUMP_BATCH, Math.max(this.maxEntries, 1)))
      } catch (error) {
        if (cursor !== undefined || !isBatchUnsupported(error)) throw error
        yield* this.#entriesOneByOne()
        return
      }
      for (let i = 0; i < batch.count; i++) {
        yield [
          batch.keys.subarray(i * keySize, (i + 1) * keySize),
          batch.values.subarray(i * elementSize, (i + 1) * elementSize),
        ]
      }
      cursor = batch.cursor
    } while (cursor)
  }

  *#entriesOneByOne(): Generator<[key: Uint8Array, value: Uint8Array]> {
    for (const key of this.keys()) {
      const value = this.#lookup(key, undefined)
      if (value) yield [key, value]
    }
  }

  /**
   * Reads up to `count` elements, from the start or from where `cursor` points.
   * A hash map may need room for a whole bucket: the batch grows by itself then.
   */
  lookupBatch(cursor?: Uint8Array, count = DUMP_BATCH): ElementBatch {
    for (let room = count; ; room *= 2) {
      const batch = this.#batch(room)
      const { rc, count: done } = native().mapBatch(
        'lookup',
        this.fd,
        cursor,
        batch.out,
        batch.keys,
        batch.values,
        room,
        0,
      ) as { rc: number; count: number }
      if (rc === -constants.errno.ENOSPC) continue
      return this.#batchOf(batch, rc, done)
    }
  }

  /** The same off the event loop. */
  async lookupBatchAsync(cursor?: Uint8Array, count = DUMP_BATCH): Promise<ElementBatch> {
    for (let room = count; ; room *= 2) {
      const batch = this.#batch(room)
      const { rc, count: done } = await native().mapBatch(
        'lookup',
        this.fd,
        cursor,
        batch.out,
        batch.keys,
        batch.values,
        room,
        0,
        { async: true },
      )
      if (rc === -constants.errno.ENOSPC) continue
      return this.#batchOf(batch, rc, done)
    }
  }

  /** Reads everything, off the event loop. */
  async dumpAsync(): Promise<Elements> {
    const parts: ElementBatch[] = []
    let cursor: Uint8Array | undefined
    do {
      const batch = await this.lookupBatchAsync(cursor)
      parts.push(batch)
      cursor = batch.cursor
    } while (cursor)
    return {
      count: parts.reduce((sum, part) => sum + part.count, 0),
      keys: Buffer.concat(parts.map((part) => part.keys)),
      values: Buffer.concat(parts.map((part) => part.values)),
    }
  }

  /** Sets many elements, laid out as in {@link Elements}. Not atomic as a whole. */
  updateBatch(keys: Uint8Array, values: Uint8Array, flags = 0): BatchOutcome {
    const count = this.#countOf(keys, values)
    const outcome = native().mapBatch('update', this.fd, null, null, keys, values, count, flags)
    return this.#outcome(outcome as { rc: number; count: number }, count, 'update')
  }

  async updateBatchAsync(keys: Uint8Array, values: Uint8Array, flags = 0): Promise<BatchOutcome> {
    const count = this.#countOf(keys, values)
    const scope = { async: true }
    const outcome = await native().mapBatch('update', this.fd, null, null, keys, values, count, flags, scope)
    return this.#outcome(outcome, count, 'update')
  }

  /** Deletes many keys; the kernel stops at the first one that is not there. */
  deleteBatch(keys: Uint8Array): BatchOutcome {
    const count = this.#countOf(keys)
    const outcome = native().mapBatch('delete', this.fd, null, null, keys, null, count, 0)
    return this.#outcome(outcome as { rc: number; count: number }, count, 'delete from')
  }

  async deleteBatchAsync(keys: Uint8Array): Promise<BatchOutcome> {
    const count = this.#countOf(keys)
    const scope = { async: true }
    const outcome = await native().mapBatch('delete', this.fd, null, null, keys, null, count, 0, scope)
    return this.#outcome(outcome, count, 'delete from')
  }

  /** Makes the map read-only for user space, for good. */
  freeze(): void {
    check(native().mapFreeze(this.fd), () => this.#context('freeze'))
  }

  /**
   * Maps an array (created with MAP_F_MMAPABLE) into memory: what programs write
   * is seen at once, without a system call.
   *
   * @example
   * using table = map.mmap()
   * const slots = new DataView(table.buffer)
   */
  mmap(options: { readonly writable?: boolean } = {}): MappedMap {
    const { valueSize, maxEntries } = this
    const stride = roundUp(valueSize, 8)
    const mapping = check(native().mapMmap(this.fd, stride * maxEntries, options.writable === true), () => ({
      ...this.#context('map into memory'),
      hint: (this.raw.flags & MAP_F_MMAPABLE) === 0 ? 'create the map with MAP_F_MMAPABLE' : undefined,
    }))
    return new MappedMap(mapping, stride)
  }

  protected get raw(): NativeMapInfo {
    return (this.#info ??= check<NativeMapInfo>(native().mapInfo(this.fd), () => ({
      operation: 'ask for the properties of a map',
    })))
  }

  get #cpuStride(): number {
    return roundUp(this.valueSize, 8)
  }

  #context(verb: string): Context {
    return { operation: `${verb} map ${this.name}`, needs: ['CAP_BPF'] }
  }

  #lookup(key: Uint8Array, into: Uint8Array | undefined): Uint8Array | undefined {
    this.#checkKey(key)
    const value = into ?? new Uint8Array(this.elementSize)
    this.#checkSize('buffer', value, this.elementSize)
    const rc = native().mapLookup(this.fd, key, value)
    if (rc === -constants.errno.ENOENT) return undefined
    check(rc, () => this.#context('read'))
    return value
  }

  // The kernel reads and writes as many bytes as the map says: too short a
  // buffer must never reach it.
  #checkKey(key: Uint8Array | null): void {
    if (key === null) {
      if (this.keySize !== 0) throw new RangeError(`map ${this.name} needs a key of ${this.keySize} bytes`)
      return
    }
    this.#checkSize('key', key, this.keySize)
  }

  #checkSize(what: string, bytes: Uint8Array, size: number): void {
    if (bytes.length !== size)
      throw new RangeError(`map ${this.name} needs a ${what} of ${size} bytes, not ${bytes.length}`)
  }

  #repeat(value: Uint8Array): Uint8Array {
    const element = new Uint8Array(this.elementSize)
    for (let at = 0; at < element.length; at += this.#cpuStride) element.set(value, at)
    return element
  }

  #updateError(errno: number): BpfError {
    const full = errno === constants.errno.E2BIG || errno === constants.errno.ENOSPC
    if (!full) return errorOf(errno, this.#context('update'))
    return new BpfError({
      errno,
      operation: `add to map ${this.name}`,
      code: 'TABLE_FULL',
      detail:
        this.raw.type === MAP_TYPES.array || this.raw.type === MAP_TYPES['percpu-array']
          ? `the index is beyond its ${this.maxEntries} elements`
          : `it holds ${this.maxEntries} elements and is full`,
    })
  }

  #batch(count: number): { out: Uint8Array; keys: Uint8Array; values: Uint8Array } {
    return {
      // Hash maps keep a bucket number there, all others a key.
      out: new Uint8Array(Math.max(this.keySize, 8)),
      keys: new Uint8Array(count * this.keySize),
      values: new Uint8Array(count * this.elementSize),
    }
  }

  #batchOf(
    batch: { out: Uint8Array; keys: Uint8Array; values: Uint8Array },
    rc: number,
    count: number,
  ): ElementBatch {
    const last = rc === -constants.errno.ENOENT
    if (!last) check(rc, () => this.#context('read in batches from'))
    return {
      count,
      keys: batch.keys.subarray(0, count * this.keySize),
      values: batch.values.subarray(0, count * this.elementSize),
      cursor: last ? undefined : batch.out,
    }
  }

  #countOf(keys: Uint8Array, values?: Uint8Array): number {
    const count = keys.length / this.keySize
    if (!Number.isInteger(count)) throw new RangeError(`keys must be a multiple of ${this.keySize} bytes`)
    if (values) this.#checkSize('block of values', values, count * this.elementSize)
    return count
  }

  #outcome(result: { rc: number; count: number }, asked: number, verb: string): BatchOutcome {
    if (result.rc === 0) return { done: result.count }
    const errno = -result.rc
    // The kernel leaves the count alone when it refuses the call as a whole.
    const done = result.count < asked ? result.count : 0
    const error = verb === 'update' ? this.#updateError(errno) : errorOf(errno, this.#context(verb))
    return { done, error }
  }
}

function isBatchUnsupported(error: unknown): boolean {
  return error instanceof BpfError && ['ENOTSUPP', 'EOPNOTSUPP', 'EINVAL'].includes(error.errnoName)
}

function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to
}

/** A map in memory. After dispose() its buffer, and every view of it, has length 0. */
export class MappedMap implements Disposable {
  /** Bytes from one element to the next. */
  readonly stride: number
  readonly buffer: ArrayBuffer
  #mapping: NativeMapping | undefined

  constructor(mapping: NativeMapping, stride: number) {
    this.#mapping = mapping
    this.stride = stride
    this.buffer = mapping.buffer
  }

  dispose(): void {
    if (this.#mapping) native().mapMunmap(this.#mapping)
    this.#mapping = undefined
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}
