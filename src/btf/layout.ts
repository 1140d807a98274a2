// SPDX-License-Identifier: MIT
/**
 * What a C struct looks like in memory, reduced to what a codec needs.
 *
 * Made from BTF, so a compiler has computed every offset. Only what has the same
 * layout on every architecture is accepted: fixed-width integers, byte arrays,
 * structs, unions taken as bytes, and arrays of those.
 */

import { createHash } from 'node:crypto'

import type { Btf, BtfComposite } from './btf.js'

/** How the bytes of one value are to be read. */
export type Shape =
  | {
      readonly kind: 'int'
      readonly size: 1 | 2 | 4 | 8
      readonly signed: boolean
      readonly network: boolean
    }
  | { readonly kind: 'bytes'; readonly size: number }
  | { readonly kind: 'text'; readonly size: number }
  | { readonly kind: 'struct'; readonly name: string; readonly size: number }
  | { readonly kind: 'array'; readonly of: Shape; readonly count: number; readonly size: number }

export interface Field {
  readonly name: string
  readonly offset: number
  readonly shape: Shape
  /** Names from `__attribute__((btf_decl_tag(...)))`. */
  readonly tags: readonly string[]
  /** A named gap: not part of the value, written as zero. */
  readonly padding: boolean
}

export interface StructLayout {
  readonly name: string
  readonly size: number
  readonly fields: readonly Field[]
}

const PADDING = /^_*pad\d*$/
const NETWORK_ORDER = /^__be(16|32|64)$/

/**
 * The layout of a struct.
 *
 * @throws Error when it has a hole the source does not name, a bit-field, a pointer,
 * or anything else whose layout is the compiler's choice
 */
export function layoutOf(btf: Btf, name: string): StructLayout {
  return layoutOfType(btf, btf.struct(name))
}

function layoutOfType(btf: Btf, type: BtfComposite): StructLayout {
  const fields: Field[] = []
  let end = 0
  for (const [index, member] of type.members.entries()) {
    const where = `struct ${type.name}, field ${member.name || index}`
    if (member.bitSize !== 0 || member.bitOffset % 8 !== 0)
      throw new Error(`${where}: bit-fields have no fixed layout`)
    if (member.name === '') throw new Error(`${where}: give the inner struct or union a name`)
    const offset = member.bitOffset / 8
    if (offset !== end) throw new Error(`${where}: ${offset - end} bytes of padding before it have no name`)
    const tags = btf.tagsOf(type.id, index)
    const shape = shapeOf(btf, member.type, tags, where)
    fields.push({ name: member.name, offset, shape, tags, padding: PADDING.test(member.name) })
    end = offset + shape.size
  }
  if (end !== type.size)
    throw new Error(`struct ${type.name}: ${type.size - end} bytes of padding at its end have no name`)
  return { name: type.name, size: type.size, fields }
}

function shapeOf(btf: Btf, id: number, tags: readonly string[], where: string): Shape {
  const type = btf.resolve(id)
  switch (type.kind) {
    case 'int': {
      const network = btf.typedefsOf(id).some((name) => NETWORK_ORDER.test(name))
      const { size, signed } = type
      if (size !== 1 && size !== 2 && size !== 4 && size !== 8)
        throw new Error(`${where}: integer of ${size} bytes`)
      return { kind: 'int', size, signed, network }
    }
    case 'enum':
    case 'enum64':
      return { kind: 'int', size: type.size as 4 | 8, signed: type.signed, network: false }
    case 'union':
      return { kind: 'bytes', size: type.size }
    case 'struct':
      if (type.name === '') throw new Error(`${where}: give the inner struct a name`)
      return { kind: 'struct', name: type.name, size: type.size }
    case 'array': {
      const of = shapeOf(btf, type.type, [], where)
      if (of.kind === 'int' && of.size === 1) {
        return { kind: tags.includes('text') ? 'text' : 'bytes', size: type.count }
      }
      return { kind: 'array', of, count: type.count, size: type.count * of.size }
    }
    default:
      throw new Error(`${where}: a ${type.kind} has no fixed layout`)
  }
}

/** A layout as text: the same text, the same bytes with the same meaning. */
export function describeLayout(layout: StructLayout): string {
  const fields = layout.fields.map(
    (field) => `${field.offset} ${field.padding ? 'pad' : field.name} ${describeShape(field.shape)}`,
  )
  return `struct ${layout.name} ${layout.size}\n${fields.map((field) => `  ${field}\n`).join('')}`
}

function describeShape(shape: Shape): string {
  switch (shape.kind) {
    case 'int':
      return `${shape.network ? 'be' : shape.signed ? 's' : 'u'}${shape.size * 8}`
    case 'bytes':
    case 'text':
      return `${shape.kind}[${shape.size}]`
    case 'struct':
      return shape.name
    case 'array':
      return `${describeShape(shape.of)}[${shape.count}]`
  }
}

/**
 * 16 hexadecimal digits that change with any name, offset, size or type of any of
 * the structs, but not with their order or their comments.
 */
export function fingerprintOf(layouts: readonly StructLayout[]): string {
  const text = layouts.map(describeLayout).sort().join('')
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}
