// SPDX-License-Identifier: MIT
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import fc from 'fast-check'
import { transform } from 'esbuild'
import { beforeAll, describe, expect, it } from 'vitest'

import {
  ABI_HEADER,
  compileAbi,
  definitionsOf,
  GENERATED,
  generateAbi,
  type Abi,
} from '../../src/abi/generate.js'
import * as generated from '../../src/abi/generated.js'
import { checkFingerprint, checkObjectLayout, checkPinnedMap } from '../../src/abi/guard.js'
import {
  camelCase,
  fingerprintOf,
  generateCodecs,
  layoutOf,
  type Shape,
  type StructLayout,
} from '../../src/btf/index.js'
import { findClang } from '../../src/compile/clang.js'
import { Failure } from '../../src/util/errors.js'
import { packageFile } from '../../src/util/package.js'

/** Any of the generated codec objects. */
interface Codec {
  readonly size: number
  readonly at: Readonly<Record<string, number>>
  read(view: DataView, base: number): Record<string, unknown>
  write(view: DataView, base: number, value: Record<string, unknown>): void
}

type Accessors = Record<string, (view: DataView, base: number, value?: unknown) => unknown>

let abi: Abi
let shapes: Abi

beforeAll(async () => {
  ;[abi, shapes] = await Promise.all([compileAbi(), compileAbi('test/support/abi/shapes.h')])
})

const codecOf = (module: object, struct: string): Codec =>
  (module as Record<string, unknown>)[camelCase(struct)] as Codec

describe('the generated codecs', () => {
  it('are what the header makes them today', async () => {
    expect(await generateAbi()).toBe(readFileSync(packageFile(GENERATED), 'utf8'))
  })

  it('have every struct and enum of the header', () => {
    const header = readFileSync(packageFile(ABI_HEADER), 'utf8')
    const { structs, enums } = definitionsOf(header)

    expect(structs.length).toBe(header.match(/^ABI_SIZE\(struct/gm)?.length)
    for (const struct of structs) expect(codecOf(generated, struct).size).toBeGreaterThan(0)
    for (const name of enums) {
      const names = (generated as Record<string, unknown>)[`${camelCase(name)}Names`] as Map<number, string>
      for (const { name: member, value } of abi.btf.enum(name).values) {
        expect((generated as Record<string, unknown>)[member]).toBe(Number(value))
      }
      expect(names.size).toBeGreaterThan(0)
    }
  })

  it('have the offsets that clang computes', () => {
    const header = readFileSync(packageFile(ABI_HEADER), 'utf8')
    const asserts = abi.structs.flatMap((struct) => {
      const codec = codecOf(generated, struct)
      const fields = layoutOf(abi.btf, struct).fields.filter((field) => !field.padding)
      expect(Object.keys(codec.at)).toEqual(fields.map((field) => camelCase(field.name)))
      return [
        `_Static_assert(sizeof(struct ${struct}) == ${codec.size}, "${struct}");`,
        ...fields.map(
          ({ name }) =>
            `_Static_assert(__builtin_offsetof(struct ${struct}, ${name}) == ${codec.at[camelCase(name)]}, "${struct}.${name}");`,
        ),
      ]
    })

    expect(asserts.length).toBeGreaterThan(100)
    const check = (source: string) =>
      execFileSync(findClang().path, ['-x', 'c', '-fsyntax-only', '-'], {
        input: source,
        stdio: ['pipe', 'pipe', 'pipe'],
      })
    expect(() => check(`${header}\n${asserts.join('\n')}`)).not.toThrow()
    expect(() => check(`${header}\n${asserts[1]!.replace('== ', '== 1 + ')}`)).toThrow(
      /static assertion|static_assert/i,
    )
  })

  it('read what they wrote, in the middle of other bytes, and zero the padding', () => {
    for (const struct of abi.structs) roundTrips(generated, layoutOf(abi.btf, struct), abi)
  })

  it('agree field by field with the whole', () => {
    for (const struct of abi.structs) accessorsAgree(generated, layoutOf(abi.btf, struct), abi)
  })
})

describe('the generator', () => {
  let module: object

  beforeAll(async () => {
    const source = generateCodecs(shapes.btf, {
      structs: ['inner', 'everything', 'moved'],
      enums: ['fruit'],
      banner: ['Test.'],
    })
    const folder = await mkdtemp(join(tmpdir(), 'xlvs-test-abi-'))
    try {
      const path = join(folder, 'shapes.mjs')
      await writeFile(path, (await transform(source, { loader: 'ts' })).code)
      module = (await import(pathToFileURL(path).href)) as object
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })

  it('writes each shape as the C side reads it', () => {
    const codec = codecOf(module, 'everything')
    const bytes = new Uint8Array(codec.size).fill(0xff)
    const inner = (port: number) => ({ port, flag: 1, sign: -1 })

    codec.write(new DataView(bytes.buffer), 0, {
      counter: 0x0102_0304_0506_0708n,
      big: 0x0102_0304_0506_0708n,
      balance: -2n,
      address: 0xc000_0201,
      word: 0xc000_0201,
      difference: -1,
      fruit: 2,
      one: inner(0x1234),
      many: [inner(1), inner(2), inner(3)],
      grid: [
        [1, 2, 3],
        [4, 5, 0x0600],
      ],
      mac: Uint8Array.of(1, 2, 3),
      name: 'wlc',
      qualified: 7,
      small: -2,
      either: Uint8Array.of(9),
    })

    expect(
      Buffer.from(bytes)
        .toString('hex')
        .match(/.{1,8}/g)!
        .join(' '),
    ).toBe(
      [
        '08070605 04030201', // counter
        '01020304 05060708', // big
        'feffffff ffffffff', // balance
        'c0000201', // address
        '010200c0', // word
        'ffffffff', // difference
        '02000000', // fruit
        '123401ff', // one
        '000101ff 000201ff 000301ff', // many
        '01000200 03000400 05000006', // grid
        '01020300 00000000', // mac, pad
        '776c6300 00000000 00000000 00000000', // name
        '0700feff', // qualified, small
        '09000000', // either
        '00000000', // pad2
      ].join(' '),
    )
  })

  it('round-trips every shape', () => {
    roundTrips(module, layoutOf(shapes.btf, 'everything'), shapes)
    accessorsAgree(module, layoutOf(shapes.btf, 'everything'), shapes)
  })

  it('refuses values that do not fit', () => {
    const codec = codecOf(module, 'everything')
    const view = new DataView(new ArrayBuffer(codec.size))
    const value = codec.read(view, 0)

    expect(() => codec.write(view, 0, { ...value, mac: new Uint8Array(7) })).toThrow(RangeError)
    expect(() => codec.write(view, 0, { ...value, many: [] })).toThrow(RangeError)
    expect(() => codec.write(view, 0, { ...value, name: 'sixteen letters!' })).toThrow(RangeError)
    expect(() => codec.write(view, 0, { ...value, name: '\u4e2d' })).toThrow(RangeError)
    expect(() => codec.read(view, 8)).toThrow(RangeError)
  })

  it('writes the constants of an enum and the first name of each number', () => {
    const { fruitNames, FRUIT_LAST } = module as Record<string, unknown>

    expect(FRUIT_LAST).toBe(2)
    expect([...(fruitNames as Map<number, string>)]).toEqual([
      [1, 'FRUIT_APPLE'],
      [2, 'FRUIT_PEAR'],
      [0x7fffffff, 'FRUIT_BIG'],
    ])
  })

  it.each([
    ['hole', /3 bytes of padding before it have no name/],
    ['hole_at_end', /3 bytes of padding at its end have no name/],
    ['bitfield', /bit-fields have no fixed layout/],
    ['pointer', /a ptr has no fixed layout/],
    ['nameless', /give the inner struct or union a name/],
  ])('refuses struct %s', (name, message) => {
    expect(() => layoutOf(shapes.btf, name)).toThrow(message)
  })

  it('refuses enums whose values depend on who reads them', () => {
    // Compilers that say that an enum is signed leave nothing to refuse.
    const { signed } = shapes.btf.enum('negative')
    const generate = () => generateCodecs(shapes.btf, { structs: [], enums: ['negative'], banner: [] })

    if (signed) expect(generate()).toMatch(/export const BELOW = -5/)
    else expect(generate).toThrow(/enum negative: BELOW must be between/)
  })

  it('changes the fingerprint with every change of layout, not with the order of structs', () => {
    const moved = layoutOf(shapes.btf, 'moved')
    const inner = layoutOf(shapes.btf, 'inner')
    const [a, b] = [moved.fields[0]!, moved.fields[1]!]
    const variants: StructLayout[] = [
      moved,
      { ...moved, name: 'renamed' },
      { ...moved, size: 16 },
      { ...moved, fields: [a] },
      { ...moved, fields: [{ ...a, name: 'c' }, b] },
      {
        ...moved,
        fields: [
          { ...a, offset: 4 },
          { ...b, offset: 0 },
        ],
      },
      { ...moved, fields: [{ ...a, shape: { ...a.shape, signed: true } as Shape }, b] },
      { ...moved, fields: [{ ...a, shape: { ...a.shape, network: true } as Shape }, b] },
    ]

    expect(new Set(variants.map((variant) => fingerprintOf([inner, variant]))).size).toBe(variants.length)
    expect(fingerprintOf([inner, moved])).toBe(fingerprintOf([moved, inner]))
    expect(generated.ABI_FINGERPRINT).toBe(fingerprintOf(abi.structs.map((name) => layoutOf(abi.btf, name))))
    expect(generated.ABI_FINGERPRINT_U64).toBe(BigInt(`0x${generated.ABI_FINGERPRINT}`))
  })
})

describe('the guards', () => {
  it('accept the object and the maps that belong to the codecs', () => {
    const shape = { type: 'array', keySize: 4, valueSize: 512, maxEntries: 8 }

    checkObjectLayout(abi.btf, 'abi.o')
    checkObjectLayout(shapes.btf, 'foreign.o')
    checkFingerprint(generated.ABI_FINGERPRINT_U64)
    checkPinnedMap('conns', shape, { ...shape, maxEntries: 16 })
  })

  it('name the struct and the field of an object from another version', () => {
    const conn = abi.btf.struct('conn')
    const members = conn.members.map((member) =>
      member.name === 'fwmark' ? { ...member, name: 'mark' } : member,
    )
    const types = abi.btf.types.map((type) => (type === conn ? { ...conn, members } : type))
    const other = Object.create(abi.btf, {
      types: { value: types },
      struct: { value: (name: string) => types.find((type) => type.kind === 'struct' && type.name === name) },
      resolve: { value: abi.btf.resolve.bind(abi.btf) },
      typedefsOf: { value: abi.btf.typedefsOf.bind(abi.btf) },
      tagsOf: { value: abi.btf.tagsOf.bind(abi.btf) },
    }) as typeof abi.btf

    expect(() => checkObjectLayout(other, 'tc.o')).toThrow(
      /tc\.o was built from another version of struct conn: '44 mark u32' instead of '44 fwmark u32'/,
    )
  })

  it('refuse pinned maps of another layout', () => {
    const shape = { type: 'array', keySize: 4, valueSize: 512, maxEntries: 8 }
    const refusal = (pinned: typeof shape, options = {}) => {
      try {
        checkPinnedMap('conns', pinned, shape, options)
      } catch (error) {
        expect(error).toBeInstanceOf(Failure)
        expect((error as Failure).code).toBe('LAYOUT_MISMATCH')
        return (error as Failure).message
      }
      return undefined
    }

    expect(refusal({ ...shape, valueSize: 256 })).toMatch(/conns has valueSize 256, these programs need 512/)
    expect(refusal({ ...shape, type: 'hash' })).toMatch(/type hash/)
    expect(refusal({ ...shape, keySize: 8 })).toMatch(/keySize 8/)
    expect(refusal({ ...shape, maxEntries: 9 })).toBeUndefined()
    expect(refusal({ ...shape, maxEntries: 9 }, { sameSize: true })).toMatch(/maxEntries 9/)
    expect(() => checkFingerprint(1n, 'a way out')).toThrow(/have layout 0000000000000001/)
  })
})

/** A value for every field of a struct. */
function valueOf(layout: StructLayout, from: Abi): fc.Arbitrary<Record<string, unknown>> {
  return fc.record(
    Object.fromEntries(
      layout.fields
        .filter((field) => !field.padding)
        .map((field) => [camelCase(field.name), shapeValue(field.shape, from)]),
    ),
  )
}

function shapeValue(shape: Shape, from: Abi): fc.Arbitrary<unknown> {
  switch (shape.kind) {
    case 'int': {
      const bits = shape.size * 8
      const big = shape.signed
        ? fc.bigInt(-(1n << BigInt(bits - 1)), (1n << BigInt(bits - 1)) - 1n)
        : fc.bigInt(0n, (1n << BigInt(bits)) - 1n)
      return shape.size === 8 ? big : big.map(Number)
    }
    case 'bytes':
      return fc.uint8Array({ minLength: shape.size, maxLength: shape.size })
    case 'text':
      return fc.string({ unit: 'grapheme-ascii', maxLength: shape.size - 1 })
    case 'struct':
      return valueOf(layoutOf(from.btf, shape.name), from)
    case 'array':
      return fc.array(shapeValue(shape.of, from), { minLength: shape.count, maxLength: shape.count })
  }
}

function roundTrips(module: object, layout: StructLayout, from: Abi): void {
  const codec = codecOf(module, layout.name)
  fc.assert(
    fc.property(valueOf(layout, from), fc.nat(32), (value, base) => {
      const bytes = new Uint8Array(base + codec.size + 8).fill(0xa5)
      const view = new DataView(bytes.buffer)

      codec.write(view, base, value)

      expect(codec.read(view, base)).toEqual(value)
      expect(bytes.subarray(0, base).every((byte) => byte === 0xa5)).toBe(true)
      expect(bytes.subarray(base + codec.size).every((byte) => byte === 0xa5)).toBe(true)
      for (const field of layout.fields.filter(({ padding }) => padding)) {
        const gap = bytes.subarray(base + field.offset, base + field.offset + field.shape.size)
        expect(gap.every((byte) => byte === 0)).toBe(true)
      }
    }),
    { numRuns: 20 },
  )
}

function accessorsAgree(module: object, layout: StructLayout, from: Abi): void {
  const codec = codecOf(module, layout.name)
  const accessors = codec as unknown as Accessors
  fc.assert(
    fc.property(valueOf(layout, from), fc.nat(32), (value, base) => {
      const whole = new DataView(new ArrayBuffer(base + codec.size))
      const single = new DataView(new ArrayBuffer(base + codec.size))
      codec.write(whole, base, value)
      single.setUint8(0, whole.getUint8(0))

      for (const field of layout.fields.filter(({ padding }) => !padding)) {
        const name = camelCase(field.name)
        const suffix = name.charAt(0).toUpperCase() + name.slice(1)
        if (field.shape.kind === 'struct' || field.shape.kind === 'array') {
          expect(accessors[`get${suffix}`]).toBeUndefined()
          // Copied as bytes: these are reached by offset.
          const from = new Uint8Array(whole.buffer, base + field.offset, field.shape.size)
          new Uint8Array(single.buffer).set(from, base + field.offset)
        } else {
          expect(accessors[`get${suffix}`]!(whole, base)).toEqual(value[name])
          accessors[`set${suffix}`]!(single, base, value[name])
        }
      }

      expect(codec.read(single, base)).toEqual(value)
    }),
    { numRuns: 10 },
  )
}
