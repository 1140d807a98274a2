// SPDX-License-Identifier: MIT
/** Type information of BPF objects. Useful to any project; imports nothing. */
export * from './btf.js'
export { Elf, type ElfSection, type ElfSymbol } from './elf.js'
export { camelCase, generateCodecs, pascalCase, type CodegenOptions } from './codegen.js'
export {
  describeLayout,
  fingerprintOf,
  layoutOf,
  type Field,
  type Shape,
  type StructLayout,
} from './layout.js'
