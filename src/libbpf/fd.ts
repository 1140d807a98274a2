// SPDX-License-Identifier: MIT
/** Owning file descriptors of kernel objects. */

import { native } from './addon.js'
import { check } from './errors.js'

/**
 * Something behind a file descriptor. Closing it never removes what the kernel
 * keeps alive for other reasons: a pin, an attachment, another descriptor.
 */
export abstract class KernelObject implements Disposable {
  #fd: number
  readonly #owned: boolean

  /** @param owned whether close() closes the descriptor, or somebody else does */
  protected constructor(fd: number, owned: boolean) {
    this.#fd = fd
    this.#owned = owned
  }

  /** The open descriptor. */
  get fd(): number {
    if (this.#fd < 0) throw new Error('used after close()')
    return this.#fd
  }

  get closed(): boolean {
    return this.#fd < 0
  }

  /** Closes the descriptor; harmless when done twice. */
  close(): void {
    if (this.#fd >= 0 && this.#owned) native().fdClose(this.#fd)
    this.#fd = -1
  }

  [Symbol.dispose](): void {
    this.close()
  }

  /** A descriptor of its own for the same kernel object. */
  protected duplicate(): number {
    return check<number>(native().fdDup(this.fd), () => ({ operation: 'duplicate a file descriptor' }))
  }
}
