// SPDX-License-Identifier: MIT
/**
 * Ring buffers: records that programs send to user space.
 *
 * A thread of the addon waits and collects; JavaScript gets one call for many
 * records. When it cannot keep up the thread stops reading, the ring fills, and
 * the programs see that their records do not fit.
 */

import { native, type NativeBatch, type RingHandle } from './addon.js'
import { check } from './errors.js'
import type { BpfMap } from './map.js'

export interface RingOptions {
  /** Bytes collected before a batch is handed over at the latest. */
  readonly batchBytes?: number
  /** Look every so often, for programs that submit with BPF_RB_NO_WAKEUP. */
  readonly intervalMs?: number
  /** Whether an open ring keeps the process alive; true when absent. */
  readonly ref?: boolean
}

/** Records one after the other in a single buffer. */
export class RecordBatch implements Iterable<Uint8Array> {
  readonly bytes: Uint8Array
  /** Where each record starts, and at last where the last one ends. */
  readonly offsets: Uint32Array

  constructor(batch: NativeBatch) {
    this.bytes = batch.bytes
    this.offsets = batch.offsets
  }

  get count(): number {
    return Math.max(0, this.offsets.length - 1)
  }

  /** One record, a view into the batch. */
  record(index: number): Uint8Array {
    return this.bytes.subarray(this.offsets[index], this.offsets[index + 1])
  }

  *[Symbol.iterator](): Generator<Uint8Array> {
    for (let index = 0; index < this.count; index++) yield this.record(index)
  }
}

export class RingBuffer implements Disposable {
  #handle: RingHandle | undefined

  private constructor(handle: RingHandle) {
    this.#handle = handle
  }

  /**
   * Starts to consume. Without `onBatch` nothing is read but by drain().
   *
   * @example
   * using ring = RingBuffer.open(object.map('events'), (batch) => {
   *   for (const record of batch) console.log(record)
   * })
   */
  static open(map: BpfMap, onBatch?: (batch: RecordBatch) => void, options: RingOptions = {}): RingBuffer {
    const handle = native().ringOpen(
      map.fd,
      {
        ...(options.batchBytes === undefined ? {} : { batchBytes: options.batchBytes }),
        ...(options.intervalMs === undefined ? {} : { intervalMs: options.intervalMs }),
        ref: options.ref ?? true,
      },
      onBatch && ((batch) => deliver(onBatch, batch)),
    )
    const context = () => ({
      operation: `consume the ring buffer ${map.name}`,
      hint: 'the map must be of type ringbuf',
    })
    return new RingBuffer(check<RingHandle>(handle, context))
  }

  /** Takes what is there right now; batches already on their way come to `onBatch` still. */
  drain(): RecordBatch {
    if (!this.#handle) throw new Error('the ring buffer is closed')
    const batch = check<NativeBatch>(native().ringDrain(this.#handle), () => ({
      operation: 'read a ring buffer',
    }))
    return new RecordBatch(batch)
  }

  /** Stops; records not yet delivered are lost to this reader. */
  close(): void {
    if (this.#handle) native().ringClose(this.#handle)
    this.#handle = undefined
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** An error in a callback of the addon would only be a warning: let it be uncaught as any other. */
function deliver(onBatch: (batch: RecordBatch) => void, batch: NativeBatch): void {
  try {
    onBatch(new RecordBatch(batch))
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
