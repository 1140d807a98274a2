// SPDX-License-Identifier: MIT
/**
 * Atomic access to mapped memory, for words that programs in the kernel change at
 * the same time. All offsets are in bytes and must be naturally aligned.
 *
 * JavaScript's own Atomics make promises only about agents sharing a
 * SharedArrayBuffer; these are the CPU's instructions.
 */

import { native } from './addon.js'

type Memory = ArrayBuffer | ArrayBufferView

/** Compare and swap; answers what was there, which is `expected` if it was swapped. */
export function casU64(memory: Memory, byteOffset: number, expected: bigint, desired: bigint): bigint {
  return native().casU64(memory, byteOffset, expected, desired)
}

/** Reads with acquire order: what was written before the word was is visible. */
export function loadU64(memory: Memory, byteOffset: number): bigint {
  return native().loadU64(memory, byteOffset)
}

/** Writes with release order: whoever reads the new word sees what was written before. */
export function storeU64(memory: Memory, byteOffset: number, value: bigint): void {
  native().storeU64(memory, byteOffset, value)
}

/** Adds, wrapping around; answers the value before. */
export function addU64(memory: Memory, byteOffset: number, value: bigint): bigint {
  return native().addU64(memory, byteOffset, BigInt.asUintN(64, value))
}

/** Compare and swap; answers what was there. */
export function casU32(memory: Memory, byteOffset: number, expected: number, desired: number): number {
  return native().casU32(memory, byteOffset, expected, desired)
}

/** Reads with acquire order. */
export function loadU32(memory: Memory, byteOffset: number): number {
  return native().loadU32(memory, byteOffset)
}

/** Writes with release order. */
export function storeU32(memory: Memory, byteOffset: number, value: number): void {
  native().storeU32(memory, byteOffset, value)
}

/** Adds, wrapping around; answers the value before. */
export function addU32(memory: Memory, byteOffset: number, value: number): number {
  return native().addU32(memory, byteOffset, value)
}

/** Orders plain reads before it against plain reads after it. */
export function fence(): void {
  native().fence()
}
