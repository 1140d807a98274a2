// SPDX-License-Identifier: MIT
/**
 * bpf/ipvs/abi.h → BTF → the text of src/abi/generated.ts. Used by scripts/gen-abi
 * and by the test that regenerates; not at run time.
 *
 * clang computes the layout. It keeps only types that something uses, so the source
 * it is given has one variable of every struct and enum the header defines.
 */

import { mkdtemp, readFile, rm, writeFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import { Btf } from '../btf/btf.js'
import { generateCodecs } from '../btf/codegen.js'
import { compileObject } from '../compile/compile.js'
import { packageRoot } from '../util/package.js'

export const ABI_HEADER = 'bpf/ipvs/abi.h'
export const GENERATED = 'src/abi/generated.ts'

export interface Abi {
  readonly btf: Btf
  readonly structs: readonly string[]
  readonly enums: readonly string[]
}

/** Compiles a header's types; `header` is relative to the package's root. */
export async function compileAbi(header: string = ABI_HEADER): Promise<Abi> {
  const root = packageRoot()
  const { structs, enums } = definitionsOf(await readFile(join(root, header), 'utf8'))
  // Below the root, where compileObject's include paths lead from.
  await mkdir(join(root, 'build'), { recursive: true })
  const folder = await mkdtemp(join(root, 'build', 'abi-'))
  try {
    const source = join(folder, 'abi.bpf.c')
    const object = join(folder, 'abi.o')
    const variable = (kind: string) => (name: string) => `${kind} ${name} ${kind}_${name};`
    await writeFile(
      source,
      [
        `#include "../../${header}"`,
        ...structs.map(variable('struct')),
        ...enums.map(variable('enum')),
        '',
      ].join('\n'),
    )
    await compileObject(source, object)
    return { btf: Btf.fromElf(await readFile(object)), structs, enums }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The text of src/abi/generated.ts. */
export async function generateAbi(): Promise<string> {
  const { btf, structs, enums } = await compileAbi()
  return generateCodecs(btf, {
    structs,
    enums,
    banner: [
      `Made from ${ABI_HEADER} by \`make gen\`; do not edit.`,
      '',
      'Per struct: the interface of its value, `size`, `at` (offset of each field), `read` and',
      '`write` of the whole, `getX` and `setX` of single fields, for views on mapped memory.',
      'Network order becomes host order, 64-bit integers are bigint.',
    ],
  })
}

/** Names of the structs and enums a header defines, in their order. */
export function definitionsOf(header: string): { structs: string[]; enums: string[] } {
  const structs: string[] = []
  const enums: string[] = []
  for (const [, kind, name] of header.matchAll(/^(struct|enum)\s+(\w+)\s*\{/gm)) {
    ;(kind === 'struct' ? structs : enums).push(name as string)
  }
  return { structs, enums }
}
