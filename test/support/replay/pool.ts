// SPDX-License-Identifier: MIT
/**
 * Several labs side by side: most of a replay's time is waiting.
 *
 * Each worker keeps one frame helper and uses it for one lab after the other.
 */
import { Wire } from './wire.js'

export class WirePool {
  readonly #idle: Wire[] = []
  readonly #all: Wire[] = []
  readonly #queue: ((wire: Wire) => void)[] = []
  #free: number

  constructor(size: number) {
    this.#free = size
  }

  async #borrow(): Promise<Wire> {
    const idle = this.#idle.pop()
    if (idle) return idle
    if (this.#free > 0) {
      this.#free--
      const wire = Wire.start()
      this.#all.push(wire)
      return wire
    }
    return new Promise((resolve) => this.#queue.push(resolve))
  }

  /** Runs a job with a helper of its own, as soon as one is free. */
  async use<T>(job: (wire: Wire) => Promise<T>): Promise<T> {
    const wire = await this.#borrow()
    let healthy = false
    try {
      const result = await job(wire)
      healthy = true
      return result
    } finally {
      this.#giveBack(healthy ? wire : await this.#replace(wire))
    }
  }

  /** A helper whose job failed may hold half a lab; ending it removes that. */
  async #replace(wire: Wire): Promise<Wire> {
    await wire.stop()
    const fresh = Wire.start()
    this.#all.push(fresh)
    return fresh
  }

  #giveBack(wire: Wire): void {
    const next = this.#queue.shift()
    if (next) next(wire)
    else this.#idle.push(wire)
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((wire) => wire.stop()))
  }
}
