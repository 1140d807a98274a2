// SPDX-License-Identifier: MIT
/**
 * BTF, the type information of BPF objects, as plain data.
 *
 * Types refer to each other by number; 0 is void. Read one from an object file
 * (`Btf.fromElf`) or from the bytes the kernel or libbpf hand out (`Btf.parse`).
 * Format: Documentation/bpf/btf.rst of the kernel.
 *
 * @example
 * const btf = Btf.fromElf(readFileSync('prog.bpf.o'))
 * const conn = btf.struct('conn')
 * for (const member of conn.members) console.log(member.name, member.bitOffset / 8)
 */

import { Elf, stringAt } from './elf.js'

export interface BtfInt {
  readonly kind: 'int'
  readonly id: number
  readonly name: string
  readonly size: number
  readonly signed: boolean
  readonly bool: boolean
  readonly bits: number
}

/** What only points at another type: qualifiers, typedefs, pointers, tags on types. */
export interface BtfReference {
  readonly kind: 'ptr' | 'typedef' | 'volatile' | 'const' | 'restrict' | 'type_tag' | 'func'
  readonly id: number
  readonly name: string
  readonly type: number
}

export interface BtfArray {
  readonly kind: 'array'
  readonly id: number
  readonly name: string
  readonly type: number
  readonly count: number
}

export interface BtfMember {
  readonly name: string
  readonly type: number
  readonly bitOffset: number
  /** 0 unless it is a bit-field. */
  readonly bitSize: number
}

export interface BtfComposite {
  readonly kind: 'struct' | 'union'
  readonly id: number
  readonly name: string
  readonly size: number
  readonly members: readonly BtfMember[]
}

export interface BtfEnum {
  readonly kind: 'enum' | 'enum64'
  readonly id: number
  readonly name: string
  readonly size: number
  readonly signed: boolean
  readonly values: readonly { readonly name: string; readonly value: bigint }[]
}

export interface BtfFunctionType {
  readonly kind: 'func_proto'
  readonly id: number
  readonly name: string
  readonly type: number
  readonly parameters: readonly { readonly name: string; readonly type: number }[]
}

export interface BtfVariable {
  readonly kind: 'var'
  readonly id: number
  readonly name: string
  readonly type: number
  readonly global: boolean
}

export interface BtfDataSection {
  readonly kind: 'datasec'
  readonly id: number
  readonly name: string
  readonly size: number
  readonly variables: readonly BtfSectionVariable[]
}

export interface BtfSectionVariable {
  readonly type: number
  readonly offset: number
  readonly size: number
}

/** `__attribute__((btf_decl_tag("name")))` on a struct, a member, a variable or a function. */
export interface BtfDeclTag {
  readonly kind: 'decl_tag'
  readonly id: number
  readonly name: string
  readonly type: number
  /** Index of the tagged member or parameter; -1 for the thing itself. */
  readonly component: number
}

export interface BtfOther {
  readonly kind: 'void' | 'fwd' | 'float'
  readonly id: number
  readonly name: string
  readonly size: number
}

export type BtfType =
  | BtfInt
  | BtfReference
  | BtfArray
  | BtfComposite
  | BtfEnum
  | BtfFunctionType
  | BtfVariable
  | BtfDataSection
  | BtfDeclTag
  | BtfOther

/** A variable of .rodata, .data or .bss. */
export interface GlobalVariable {
  readonly name: string
  readonly section: string
  readonly type: number
  readonly offset: number
  readonly size: number
}

export class Btf {
  readonly types: readonly BtfType[]
  #tags: Map<string, string[]> | undefined

  private constructor(types: readonly BtfType[]) {
    this.types = types
  }

  /** Reads raw BTF: the contents of a .BTF section. */
  static parse(bytes: Uint8Array): Btf {
    return new Btf(new Parser(bytes).parse())
  }

  /**
   * Reads the BTF of a compiled BPF object. The compiler leaves the places of
   * global variables to the symbol table, so they are filled in from there.
   */
  static fromElf(file: Uint8Array): Btf {
    const elf = Elf.parse(file)
    const section = elf.section('.BTF')
    if (!section) throw new Error('the object has no BTF: compile it with clang -g')
    const raw = Btf.parse(section.bytes)
    const symbols = elf.symbols()
    return new Btf(
      raw.types.map((type) => {
        const home = type.kind === 'datasec' ? elf.section(type.name) : undefined
        if (type.kind !== 'datasec' || !home) return type
        const variables = type.variables.map((variable) => {
          const name = raw.type(variable.type).name
          const symbol = symbols.find((entry) => entry.name === name && entry.section === home.index)
          return symbol ? { ...variable, offset: symbol.value } : variable
        })
        return { ...type, size: home.size, variables }
      }),
    )
  }

  type(id: number): BtfType {
    const type = this.types[id]
    if (!type) throw new Error(`BTF has no type ${id}`)
    return type
  }

  /** The type behind typedefs, qualifiers and type tags. */
  resolve(id: number): BtfType {
    let type = this.type(id)
    while (
      type.kind === 'typedef' ||
      type.kind === 'const' ||
      type.kind === 'volatile' ||
      type.kind === 'restrict' ||
      type.kind === 'type_tag' ||
      type.kind === 'var'
    ) {
      type = this.type(type.type)
    }
    return type
  }

  /** Names of the typedefs passed on the way to the type itself, outermost first. */
  typedefsOf(id: number): string[] {
    const names: string[] = []
    for (let type = this.type(id); 'type' in type && type.kind !== 'array'; type = this.type(type.type)) {
      if (type.kind === 'typedef') names.push(type.name)
      if (type.kind === 'ptr' || type.kind === 'func' || type.kind === 'func_proto') break
    }
    return names
  }

  sizeOf(id: number): number {
    const type = this.resolve(id)
    if (type.kind === 'ptr') return 8
    if (type.kind === 'array') return type.count * this.sizeOf(type.type)
    if ('size' in type) return type.size
    throw new Error(`a ${type.kind} has no size`)
  }

  struct(name: string): BtfComposite {
    const found = this.types.find((type) => type.kind === 'struct' && type.name === name)
    if (!found) throw new Error(`BTF has no struct ${name}`)
    return found as BtfComposite
  }

  enum(name: string): BtfEnum {
    const found = this.types.find(
      (type) => (type.kind === 'enum' || type.kind === 'enum64') && type.name === name,
    )
    if (!found) throw new Error(`BTF has no enum ${name}`)
    return found as BtfEnum
  }

  /** Tags put on a type, or on one of its members. */
  tagsOf(id: number, component = -1): readonly string[] {
    if (!this.#tags) {
      this.#tags = new Map()
      for (const type of this.types) {
        if (type.kind !== 'decl_tag') continue
        const key = `${type.type}/${type.component}`
        const tags = this.#tags.get(key)
        if (tags) tags.push(type.name)
        else this.#tags.set(key, [type.name])
      }
    }
    return this.#tags.get(`${id}/${component}`) ?? []
  }

  /** The global variables of one data section, such as '.rodata'. */
  variables(section: string): GlobalVariable[] {
    const found = this.types.find((type) => type.kind === 'datasec' && type.name === section)
    if (found?.kind !== 'datasec') return []
    return found.variables.map((variable) => ({
      name: this.type(variable.type).name,
      section,
      type: variable.type,
      offset: variable.offset,
      size: variable.size,
    }))
  }
}

const MAGIC = 0xeb9f
const KINDS = [
  'void',
  'int',
  'ptr',
  'array',
  'struct',
  'union',
  'enum',
  'fwd',
  'typedef',
  'volatile',
  'const',
  'restrict',
  'func',
  'func_proto',
  'var',
  'datasec',
  'float',
  'decl_tag',
  'type_tag',
  'enum64',
] as const

class Parser {
  readonly #view: DataView
  readonly #strings: Uint8Array
  readonly #end: number
  #at: number

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (bytes.byteLength < 24 || this.#view.getUint16(0, true) !== MAGIC)
      throw new Error('not little-endian BTF')
    const header = this.#view.getUint32(4, true)
    const typesOffset = header + this.#view.getUint32(8, true)
    const typesLength = this.#view.getUint32(12, true)
    const stringsOffset = header + this.#view.getUint32(16, true)
    const stringsLength = this.#view.getUint32(20, true)
    if (Math.max(typesOffset + typesLength, stringsOffset + stringsLength) > bytes.byteLength)
      throw new Error('truncated BTF')
    this.#at = typesOffset
    this.#end = typesOffset + typesLength
    this.#strings = bytes.subarray(stringsOffset, stringsOffset + stringsLength)
  }

  parse(): BtfType[] {
    const types: BtfType[] = [{ kind: 'void', id: 0, name: 'void', size: 0 }]
    while (this.#at < this.#end) types.push(this.#next(types.length))
    return types
  }

  #u32(): number {
    const value = this.#view.getUint32(this.#at, true)
    this.#at += 4
    return value
  }

  #string(offset: number): string {
    return stringAt(this.#strings, offset)
  }

  #list<T>(count: number, read: () => T): T[] {
    return Array.from({ length: count }, read)
  }

  #next(id: number): BtfType {
    const name = this.#string(this.#u32())
    const info = this.#u32()
    const sizeOrType = this.#u32()
    const vlen = info & 0xffff
    const flag = info >>> 31 === 1
    const kind = KINDS[(info >>> 24) & 0x1f]
    switch (kind) {
      case 'int': {
        const encoding = this.#u32()
        return {
          kind,
          id,
          name,
          size: sizeOrType,
          signed: ((encoding >>> 24) & 1) === 1,
          bool: ((encoding >>> 24) & 4) === 4,
          bits: encoding & 0xff,
        }
      }
      case 'ptr':
      case 'typedef':
      case 'volatile':
      case 'const':
      case 'restrict':
      case 'type_tag':
      case 'func':
        return { kind, id, name, type: sizeOrType }
      case 'array': {
        const type = this.#u32()
        this.#u32()
        return { kind, id, name, type, count: this.#u32() }
      }
      case 'struct':
      case 'union':
        return {
          kind,
          id,
          name,
          size: sizeOrType,
          members: this.#list(vlen, () => {
            const member = this.#string(this.#u32())
            const type = this.#u32()
            const offset = this.#u32()
            return flag
              ? { name: member, type, bitOffset: offset & 0xffffff, bitSize: offset >>> 24 }
              : { name: member, type, bitOffset: offset, bitSize: 0 }
          }),
        }
      case 'enum':
        return {
          kind,
          id,
          name,
          size: sizeOrType,
          signed: flag,
          values: this.#list(vlen, () => {
            const value = this.#string(this.#u32())
            const raw = this.#u32()
            return { name: value, value: BigInt(flag ? raw | 0 : raw) }
          }),
        }
      case 'enum64':
        return {
          kind,
          id,
          name,
          size: sizeOrType,
          signed: flag,
          values: this.#list(vlen, () => {
            const value = this.#string(this.#u32())
            const low = BigInt(this.#u32())
            const high = BigInt(this.#u32())
            const raw = (high << 32n) | low
            return { name: value, value: flag ? BigInt.asIntN(64, raw) : raw }
          }),
        }
      case 'func_proto':
        return {
          kind,
          id,
          name,
          type: sizeOrType,
          parameters: this.#list(vlen, () => ({ name: this.#string(this.#u32()), type: this.#u32() })),
        }
      case 'var':
        return { kind, id, name, type: sizeOrType, global: this.#u32() === 1 }
      case 'datasec':
        return {
          kind,
          id,
          name,
          size: sizeOrType,
          variables: this.#list(vlen, () => ({ type: this.#u32(), offset: this.#u32(), size: this.#u32() })),
        }
      case 'decl_tag':
        return { kind, id, name, type: sizeOrType, component: this.#u32() | 0 }
      case 'fwd':
      case 'float':
        return { kind, id, name, size: kind === 'float' ? sizeOrType : 0 }
      default:
        throw new Error(`BTF type ${id} is of an unknown kind ${(info >>> 24) & 0x1f}`)
    }
  }
}
