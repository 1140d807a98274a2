// SPDX-License-Identifier: MIT
/**
 * The address filter: one bit per hash of an address, so that a program knows
 * foreign traffic after two loads.
 *
 * Bits are only ever added while services exist, because two addresses may share
 * one; they are made anew when the last service goes. Twin: bpf/ipvs/filter.h
 */

/** Rows of the `address_filter` map. */
export const FILTER_VIPS = 0
export const FILTER_REALS = 1

/** hash_filter of bpf/net/hash.h: 16 bits of a folded address. */
export function filterBit(folded: number): number {
  let hash = Math.imul(folded, 0x9e3779b1)
  hash ^= hash >>> 15
  hash = Math.imul(hash, 0x85ebca77)
  return hash >>> 16
}

/**
 * addr_fold of bpf/net/hash.h: an address as one word, loaded from memory as the
 * CPU does. `bytes` are the 16 bytes of an ABI address.
 */
export function foldAddress(bytes: Uint8Array, family: 4 | 6): number {
  const word = (at: number) =>
    bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
  return family === 4 ? word(0) : word(0) ^ word(4) ^ word(8) ^ word(12)
}

/** Sets and tests bits in one row of the map. */
export class AddressFilter {
  readonly #words: Uint32Array

  constructor(row: Uint32Array) {
    this.#words = row
  }

  add(bytes: Uint8Array, family: 4 | 6): void {
    const bit = filterBit(foldAddress(bytes, family))
    const at = bit >>> 5
    const mask = 1 << (bit & 31)
    // Programs read 64-bit words; on the little-endian machines BPF runs on, the
    // halves lie in order. One writer at a time, so no read-modify-write races.
    if ((this.#words[at]! & mask) === 0) this.#words[at] = this.#words[at]! | mask
  }

  has(bytes: Uint8Array, family: 4 | 6): boolean {
    const bit = filterBit(foldAddress(bytes, family))
    return (this.#words[bit >>> 5]! & (1 << (bit & 31))) !== 0
  }

  /** Replaces every bit by those of `next`, never clearing one that stays. */
  replace(next: Uint32Array): void {
    for (let i = 0; i < this.#words.length; i++) if (this.#words[i] !== next[i]) this.#words[i] = next[i]!
  }
}
