// SPDX-License-Identifier: MIT
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import fc from 'fast-check'

import { compileAbi } from '../../src/abi/generate.js'
import { Btf, Elf } from '../../src/btf/index.js'
import { compileSupport, type Compiled } from '../support/bpf.js'

let compiled: Compiled
let file: Buffer
let btf: Btf

beforeAll(async () => {
  compiled = await compileSupport('basics')
  file = readFileSync(compiled.path)
  btf = Btf.fromElf(file)
})

afterAll(() => compiled[Symbol.asyncDispose]())

describe('Btf', () => {
  it('reads structs with the offsets and types of their members', () => {
    const slot = btf.struct('slot')

    expect(slot.size).toBe(16)
    expect(slot.members.map(({ name, bitOffset, bitSize }) => [name, bitOffset, bitSize])).toEqual([
      ['word', 0, 0],
      ['packets', 64, 0],
    ])
    expect(btf.typedefsOf(slot.members[0]!.type)).toEqual(['__u64'])
    expect(btf.resolve(slot.members[0]!.type)).toMatchObject({ kind: 'int', size: 8, signed: false })
  })

  it('reads enums with their values, and tags on members', async () => {
    const { btf: shapes } = await compileAbi('test/support/abi/shapes.h')
    const everything = shapes.struct('everything')
    const tagged = everything.members.map(({ name }, index) => [name, shapes.tagsOf(everything.id, index)])

    expect(shapes.enum('fruit').values.map(({ name, value }) => [name, value])).toEqual([
      ['FRUIT_APPLE', 1n],
      ['FRUIT_PEAR', 2n],
      ['FRUIT_LAST', 2n],
      ['FRUIT_BIG', 0x7fffffffn],
    ])
    expect(tagged.filter(([, tags]) => tags!.length > 0)).toEqual([
      ['mac', ['mac']],
      ['name', ['text']],
    ])
    expect(shapes.struct('bitfield').members.map(({ bitOffset, bitSize }) => [bitOffset, bitSize])).toEqual([
      [0, 4],
      [4, 28],
    ])
  })

  it('places global variables where the symbol table has them', () => {
    const variables = new Map(btf.variables('.rodata').map((variable) => [variable.name, variable]))
    const symbols = execFileSync('readelf', ['-sW', compiled.path], { encoding: 'utf8' })

    expect([...variables.keys()].sort()).toEqual([
      'cfg_big',
      'cfg_flag',
      'cfg_mac',
      'cfg_retval',
      'cfg_signed',
    ])
    for (const [name, { offset, size }] of variables) {
      const line = symbols.split('\n').find((text) => text.trimEnd().endsWith(` ${name}`))!
      const [, value, bytes] = /:\s+([0-9a-f]+)\s+(\d+)/.exec(line)!
      expect([name, offset, size]).toEqual([name, Number.parseInt(value!, 16), Number(bytes)])
    }
    expect(new Set([...variables.values()].map(({ offset }) => offset)).size).toBe(variables.size)
  })

  it('knows the size of every type that has one', () => {
    const mac = btf.variables('.rodata').find(({ name }) => name === 'cfg_mac')!

    expect(btf.sizeOf(mac.type)).toBe(6)
    expect(btf.sizeOf(btf.struct('slot').id)).toBe(16)
    expect(() => btf.sizeOf(0)).not.toThrow()
    expect(() => btf.type(1_000_000)).toThrow(/no type 1000000/)
    expect(() => btf.struct('nothing')).toThrow(/no struct nothing/)
  })

  it('agrees with bpftool on every type', () => {
    const dump = JSON.parse(
      execFileSync('bpftool', ['-j', 'btf', 'dump', 'file', compiled.path], {
        encoding: 'utf8',
        maxBuffer: 1 << 26,
      }),
    ) as { types: { id: number; kind: string; name: string; size?: number; vlen?: number }[] }

    expect(btf.types.length - 1).toBe(dump.types.length)
    for (const theirs of dump.types) {
      const ours = btf.type(theirs.id)
      expect(ours.kind).toBe(theirs.kind.toLowerCase())
      if (theirs.name !== '(anon)') expect(ours.name).toBe(theirs.name)
      if (theirs.size !== undefined && 'size' in ours && ours.kind !== 'datasec')
        expect(ours.size).toBe(theirs.size)
      if (ours.kind === 'struct' || ours.kind === 'union') expect(ours.members.length).toBe(theirs.vlen)
    }
  })

  it('refuses what is no object with BTF', () => {
    expect(() => Btf.fromElf(new Uint8Array(10))).toThrow(/not an ELF file/)
    expect(() => Btf.fromElf(new Uint8Array(100))).toThrow(/not an ELF file/)
    expect(() => Btf.parse(new Uint8Array(100))).toThrow(/not little-endian BTF/)
    expect(() => Elf.parse(file.subarray(0, 200))).toThrow(/truncated/)
  })

  it('ends with an error or an answer, whatever the bytes', () => {
    const section = Elf.parse(file).section('.BTF')!.bytes

    fc.assert(
      fc.property(
        fc.nat(section.length - 1),
        fc.array(fc.tuple(fc.nat(section.length - 1), fc.nat(255)), { maxLength: 8 }),
        (cut, changes) => {
          const bytes = section.slice()
          for (const [at, value] of changes) bytes[at] = value
          try {
            expect(Btf.parse(bytes).types.length).toBeGreaterThan(0)
          } catch (error) {
            expect(error).toBeInstanceOf(Error)
          }
          expect(() => Btf.parse(section.subarray(0, cut))).toThrow()
        },
      ),
      { numRuns: 50 },
    )
  })
})
