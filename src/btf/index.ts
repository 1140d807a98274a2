// SPDX-License-Identifier: MIT
/** Type information of BPF objects. Useful to any project; imports nothing. */
export * from './btf.js'
export { Elf, type ElfSection, type ElfSymbol } from './elf.js'
