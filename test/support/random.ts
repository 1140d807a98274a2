// SPDX-License-Identifier: MIT
/** Random numbers that a failing test can have again. */

/** xorshift128: the same packets for the same seed, on every machine. */
export class Random {
  readonly #state: Uint32Array

  constructor(seed: number) {
    this.#state = Uint32Array.of(seed, 0x9e3779b9, 0x243f6a88, 0xb7e15162)
    for (let i = 0; i < 16; i++) this.next()
  }

  next(): number {
    const s = this.#state
    let t = s[3]!
    s[3] = s[2]!
    s[2] = s[1]!
    s[1] = s[0]!
    t ^= t << 11
    t ^= t >>> 8
    s[0] = t ^ s[0]! ^ (s[0]! >>> 19)
    return s[0]
  }

  below(limit: number): number {
    return this.next() % limit
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }
}
