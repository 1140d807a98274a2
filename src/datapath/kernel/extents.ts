// SPDX-License-Identifier: MIT
/**
 * Room for dest sets inside the `dest_refs` array: extents of 2^n entries.
 *
 * Nothing here is stored; the heads in `dest_sets` say which extents are taken,
 * and the allocator is built from them when a process first changes something.
 */

/** An extent somebody owns. */
export interface Extent {
  readonly start: number
  readonly capacity: number
}

/** The smallest extent is one cache line of dest_ref. */
const SMALLEST = 8

/** The size of the extent that holds `count` entries. */
export function extentSize(count: number): number {
  let size = SMALLEST
  while (size < count) size *= 2
  return size
}

/**
 * Buddies: an extent of 2^n starts at a multiple of 2^n, is split to serve a
 * smaller request and merged with its other half when both are free.
 */
export class ExtentAllocator {
  readonly #capacity: number
  /** Free extents by size. */
  readonly #free = new Map<number, Set<number>>()

  /** `taken` are the extents in use, in any order and without overlap. */
  constructor(capacity: number, taken: readonly Extent[]) {
    this.#capacity = capacity
    const sorted = [...taken].sort((a, b) => a.start - b.start)
    let at = 0
    for (const extent of sorted) {
      this.#addRange(at, extent.start)
      at = Math.max(at, extent.start + extent.capacity)
    }
    this.#addRange(at, capacity)
  }

  /** Undefined when nothing that large is left. */
  take(count: number): Extent | undefined {
    const capacity = extentSize(count)
    let size = capacity
    while (size <= this.#capacity && !this.#has(size)) size *= 2
    if (size > this.#capacity) return undefined
    const starts = this.#free.get(size)!
    const start = starts.values().next().value!
    starts.delete(start)
    while (size > capacity) {
      size /= 2
      this.#put(start + size, size)
    }
    return { start, capacity }
  }

  give(extent: Extent): void {
    let { start, capacity } = extent
    while (capacity < this.#capacity) {
      const buddy = start % (capacity * 2) === 0 ? start + capacity : start - capacity
      if (!this.#free.get(capacity)?.delete(buddy)) break
      start = Math.min(start, buddy)
      capacity *= 2
    }
    this.#put(start, capacity)
  }

  #has(size: number): boolean {
    return (this.#free.get(size)?.size ?? 0) > 0
  }

  #put(start: number, size: number): void {
    const starts = this.#free.get(size)
    if (starts === undefined) this.#free.set(size, new Set([start]))
    else starts.add(start)
  }

  /** Cuts [from, to) into the largest aligned extents. */
  #addRange(from: number, to: number): void {
    while (to - from >= SMALLEST) {
      let size = SMALLEST
      while (from % (size * 2) === 0 && from + size * 2 <= to) size *= 2
      this.#put(from, size)
      from += size
    }
  }
}
