// SPDX-License-Identifier: MIT
/**
 * Writes TypeScript for C structs and enums: one codec object per struct.
 *
 * @example
 * // struct dest_ref { __u32 dest; __be16 port; } becomes
 * export interface DestRef { dest: number; port: number }
 * export const destRef = {
 *   size: 6,
 *   at: { dest: 0, port: 4 },
 *   read(view, base): DestRef,
 *   write(view, base, value: DestRef): void,
 *   getDest(view, base): number,
 *   setDest(view, base, value: number): void, ...
 * }
 */

import type { Btf, BtfEnum } from './btf.js'
import {
  describeLayout,
  fingerprintOf,
  layoutOf,
  type Field,
  type Shape,
  type StructLayout,
} from './layout.js'

export interface CodegenOptions {
  readonly structs: readonly string[]
  readonly enums: readonly string[]
  /** Lines of the comment at the top. */
  readonly banner: readonly string[]
}

/** The source of a module with everything asked for. */
export function generateCodecs(btf: Btf, options: CodegenOptions): string {
  const layouts = options.structs.map((name) => layoutOf(btf, name))
  const body = [
    ...options.enums.map((name) => enumSource(btf.enum(name))),
    ...layouts.map(structSource),
    fingerprintSource(layouts),
  ].join('\n')
  return [
    '// SPDX-License-Identifier: MIT',
    '/**',
    ...options.banner.map((line) => ` * ${line}`.trimEnd()),
    ' */',
    '',
    ...HELPERS.filter(({ name }) => new RegExp(`\\b${name}\\(`).test(body)).map(
      ({ source }) => `${source}\n`,
    ),
    body,
  ].join('\n')
}

/** `dest_ref` as a value: `destRef`. */
export function camelCase(name: string): string {
  return name.replace(/_+([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}

/** `dest_ref` as a type: `DestRef`. */
export function pascalCase(name: string): string {
  const camel = camelCase(name)
  return camel.charAt(0).toUpperCase() + camel.slice(1)
}

function enumSource(type: BtfEnum): string {
  const doubtful =
    type.kind === 'enum' && !type.signed && type.values.find(({ value }) => value > 0x7fffffffn)
  // BTF of compilers before clang 15 does not tell negative from large.
  if (doubtful) throw new Error(`enum ${type.name}: ${doubtful.name} must be between 0 and 2^31 - 1`)
  const literal = (value: bigint) => (type.kind === 'enum64' ? `${value}n` : `${value}`)
  const constants = type.values.map(({ name, value }) => `export const ${name} = ${literal(value)}`)
  // Two names for one number: the first is the one to show.
  const first = new Map<bigint, string>()
  for (const { name, value } of type.values) if (!first.has(value)) first.set(value, name)
  const names = [...first].map(([value, name]) => `  [${literal(value)}, '${name}'],`)
  const table = `${camelCase(type.name)}Names`
  return [
    `// enum ${type.name}`,
    ...constants,
    `/** Names of \`enum ${type.name}\` by value. */`,
    `export const ${table}: ReadonlyMap<${type.kind === 'enum64' ? 'bigint' : 'number'}, string> = /* @__PURE__ */ new Map([`,
    ...names,
    '])',
    '',
  ].join('\n')
}

function structSource(layout: StructLayout): string {
  const fields = layout.fields.filter((field) => !field.padding)
  const type = pascalCase(layout.name)
  return [
    `/** \`struct ${layout.name}\`, ${layout.size} bytes. */`,
    `export interface ${type} {`,
    ...fields.map((field) => `  ${camelCase(field.name)}: ${typeOf(field.shape)}`),
    '}',
    '',
    `export const ${camelCase(layout.name)} = {`,
    `  size: ${layout.size},`,
    '  /** Offset of each field. */',
    '  at: {',
    ...fields.map((field) => `    ${camelCase(field.name)}: ${field.offset},`),
    '  },',
    `  read(view: DataView, base: number): ${type} {`,
    '    return {',
    ...fields.map(
      (field) => `      ${camelCase(field.name)}: ${readSource(field.shape, position(field.offset))},`,
    ),
    '    }',
    '  },',
    `  write(view: DataView, base: number, value: ${type}): void {`,
    ...layout.fields.map((field) =>
      field.padding
        ? `    putZero(view, ${position(field.offset)}, ${field.shape.size})`
        : `    ${writeSource(field.shape, position(field.offset), `value.${camelCase(field.name)}`, 0)}`,
    ),
    '  },',
    ...fields.filter(hasAccessor).flatMap(accessorSource),
    '} as const',
    '',
  ].join('\n')
}

/** Composite fields are reached by their offset and their own codec. */
function hasAccessor(field: Field): boolean {
  return field.shape.kind !== 'struct' && field.shape.kind !== 'array'
}

function accessorSource(field: Field): string[] {
  const name = pascalCase(field.name)
  const type = typeOf(field.shape)
  const at = position(field.offset)
  return [
    `  get${name}(view: DataView, base: number): ${type} {`,
    `    return ${readSource(field.shape, at)}`,
    '  },',
    `  set${name}(view: DataView, base: number, value: ${type}): void {`,
    `    ${writeSource(field.shape, at, 'value', 0)}`,
    '  },',
  ]
}

function position(offset: number): string {
  return offset === 0 ? 'base' : `base + ${offset}`
}

function typeOf(shape: Shape): string {
  switch (shape.kind) {
    case 'int':
      return shape.size === 8 ? 'bigint' : 'number'
    case 'bytes':
      return 'Uint8Array'
    case 'text':
      return 'string'
    case 'struct':
      return pascalCase(shape.name)
    case 'array':
      return `readonly ${elementType(shape.of)}[]`
  }
}

function elementType(shape: Shape): string {
  return shape.kind === 'array' ? `(${typeOf(shape)})` : typeOf(shape)
}

function method(shape: Shape & { kind: 'int' }): string {
  const big = shape.size === 8 ? 'Big' : ''
  return `${big}${shape.signed ? 'Int' : 'Uint'}${shape.size * 8}`
}

function order(shape: Shape & { kind: 'int' }): string {
  return shape.size === 1 ? '' : shape.network ? ', false' : ', true'
}

function readSource(shape: Shape, at: string): string {
  switch (shape.kind) {
    case 'int':
      return `view.get${method(shape)}(${at}${order(shape)})`
    case 'bytes':
      return `takeBytes(view, ${at}, ${shape.size})`
    case 'text':
      return `takeText(view, ${at}, ${shape.size})`
    case 'struct':
      return `${camelCase(shape.name)}.read(view, ${at})`
    case 'array':
      return `list(${at}, ${shape.count}, ${shape.of.size}, (at) => ${readSource(shape.of, 'at')})`
  }
}

function writeSource(shape: Shape, at: string, value: string, depth: number): string {
  switch (shape.kind) {
    case 'int':
      return `view.set${method(shape)}(${at}, ${value}${order(shape)})`
    case 'bytes':
      return `putBytes(view, ${at}, ${shape.size}, ${value})`
    case 'text':
      return `putText(view, ${at}, ${shape.size}, ${value})`
    case 'struct':
      return `${camelCase(shape.name)}.write(view, ${at}, ${value})`
    case 'array': {
      const item = `item${depth || ''}`
      const inner = `at${depth || ''}`
      return `putList(${at}, ${shape.count}, ${shape.of.size}, ${value}, (${inner}, ${item}) => ${writeSource(shape.of, inner, item, depth + 1)})`
    }
  }
}

function fingerprintSource(layouts: readonly StructLayout[]): string {
  const fingerprint = fingerprintOf(layouts)
  return [
    '/** Changes with the layout of any struct above. */',
    `export const ABI_FINGERPRINT = '${fingerprint}'`,
    '/** The same as the number that pinned maps carry. */',
    `export const ABI_FINGERPRINT_U64 = 0x${fingerprint}n`,
    '',
    '/** Layout of each struct as text, to say what differs. */',
    'export const LAYOUTS: Readonly<Record<string, string>> = {',
    ...layouts.map((layout) => `  ${layout.name}: ${quote(describeLayout(layout))},`),
    '}',
    '',
  ].join('\n')
}

function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('\n', '\\n')}'`
}

/** Functions the codecs call; only those needed are written. */
const HELPERS = [
  {
    name: 'takeBytes',
    source: `function takeBytes(view: DataView, at: number, size: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + at, size).slice()
}`,
  },
  {
    name: 'putBytes',
    source: `function putBytes(view: DataView, at: number, size: number, value: Uint8Array): void {
  if (value.length > size) throw new RangeError(\`\${value.length} bytes do not fit into \${size}\`)
  const target = new Uint8Array(view.buffer, view.byteOffset + at, size)
  target.set(value)
  target.fill(0, value.length)
}`,
  },
  {
    name: 'takeText',
    source: `/** Up to the first NUL. */
function takeText(view: DataView, at: number, size: number): string {
  let text = ''
  for (let i = 0; i < size; i++) {
    const code = view.getUint8(at + i)
    if (code === 0) break
    text += String.fromCharCode(code)
  }
  return text
}`,
  },
  {
    name: 'putText',
    source: `/** Latin letters and at least one NUL behind them. */
function putText(view: DataView, at: number, size: number, value: string): void {
  if (value.length >= size) throw new RangeError(\`'\${value}' is longer than \${size - 1} characters\`)
  for (let i = 0; i < size; i++) {
    const code = i < value.length ? value.charCodeAt(i) : 0
    if (code > 255 || (code === 0 && i < value.length)) throw new RangeError(\`'\${value}' is not plain text\`)
    view.setUint8(at + i, code)
  }
}`,
  },
  {
    name: 'putZero',
    source: `function putZero(view: DataView, at: number, size: number): void {
  for (let i = 0; i < size; i++) view.setUint8(at + i, 0)
}`,
  },
  {
    name: 'list',
    source: `function list<T>(base: number, count: number, stride: number, read: (at: number) => T): T[] {
  const items: T[] = []
  for (let i = 0; i < count; i++) items.push(read(base + i * stride))
  return items
}`,
  },
  {
    name: 'putList',
    source: `function putList<T>(
  base: number,
  count: number,
  stride: number,
  items: readonly T[],
  write: (at: number, item: T) => void,
): void {
  if (items.length !== count) throw new RangeError(\`\${items.length} items instead of \${count}\`)
  items.forEach((item, i) => write(base + i * stride, item))
}`,
  },
] as const
