// SPDX-License-Identifier: MIT
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { findClang } from '../../src/compile/clang.js'
import { compileObject, tellingLines } from '../../src/compile/compile.js'
import { Failure } from '../../src/util/errors.js'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'xlvs-compile-'))
})

afterEach(() => rm(folder, { recursive: true, force: true }))

/** A stand-in compiler that only knows its version. */
async function installClang(name: string, version: string): Promise<string> {
  const path = join(folder, name)
  await mkdir(join(path, '..'), { recursive: true })
  await writeFile(path, `#!/bin/sh\necho "Debian clang version ${version}"\n`)
  await chmod(path, 0o755)
  return path
}

function failureOf(run: () => unknown): Failure {
  try {
    run()
  } catch (error) {
    if (error instanceof Failure) return error
    throw error
  }
  throw new Error('nothing failed')
}

describe('findClang', () => {
  it('names the missing package when there is no compiler', () => {
    const failure = failureOf(() => findClang(folder))

    expect(failure).toMatchObject({ code: 'TOOL_MISSING', hint: 'apt-get install clang' })
    expect(failure.message).toContain('no clang found')
  })

  it('says which compilers it found too old', async () => {
    const path = await installClang('clang', '11.0.1')

    const failure = failureOf(() => findClang(folder))

    expect(failure.code).toBe('TOOL_MISSING')
    expect(failure.message).toContain(`${path} is version 11.0.1, 14 is needed`)
  })

  it('prefers plain clang, the choice of the administrator', async () => {
    const plain = await installClang('clang', '14.0.6')
    await installClang('clang-19', '19.1.7')

    expect(findClang(folder)).toEqual({ path: plain, version: '14.0.6' })
  })

  it('takes the newest numbered one when plain clang is too old or cannot run', async () => {
    await installClang('clang', '13.0.0')
    await installClang('clang-9', '9.0.0')
    await installClang('clang-16', '16.0.6')
    const broken = await installClang('clang-21', '21.0.0')
    await writeFile(broken, '#!/does/not/exist\n')

    expect(findClang(folder)).toEqual({ path: join(folder, 'clang-16'), version: '16.0.6' })
  })
})

const GOOD = `// SPDX-License-Identifier: MIT
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp") int pass(struct xdp_md *ctx) { return XDP_PASS; }
char _license[] SEC("license") = "GPL";
`

async function source(text: string): Promise<string> {
  const path = join(folder, 'program.bpf.c')
  await writeFile(path, text)
  return path
}

describe('compileObject', () => {
  it('makes an object with BTF, and what make needs to know when to make it again', async () => {
    const object = join(folder, 'out', 'program.o')

    await compileObject(await source(GOOD), object, { dependencies: true })

    const bytes = await readFile(object)
    expect(bytes.subarray(0, 4).toString('latin1')).toBe('\x7fELF')
    expect(bytes.readUInt16LE(18)).toBe(247) // EM_BPF
    expect(bytes.includes('.BTF')).toBe(true)
    expect(await readFile(join(folder, 'out', 'program.d'), 'utf8')).toContain('program.bpf.c')
    expect((await readdir(join(folder, 'out'))).sort()).toEqual(['program.d', 'program.o'])
  })

  it('shows the telling lines of an error and keeps the old object', async () => {
    const object = join(folder, 'program.o')
    await compileObject(await source(GOOD), object)
    const before = await readFile(object)
    const broken = await source(GOOD.replace('return XDP_PASS', 'return XDP_PASSED'))

    const failure = await compileObject(broken, object).catch((error: unknown) => error)

    expect(failure).toBeInstanceOf(Failure)
    const { code, message } = failure as Failure
    expect(code).toBe('COMPILE_FAILED')
    expect(message).toMatch(/program\.bpf\.c:4:\d+: error: .*'XDP_PASSED'/)
    expect(message).toContain('int pass(struct xdp_md *ctx)')
    expect(message).not.toContain('generated')
    expect(await readFile(object)).toEqual(before)
    expect((await readdir(folder)).sort()).toEqual(['program.bpf.c', 'program.o'])
  })

  it('names the Debian package that brings a missing header', async () => {
    const broken = await source(GOOD.replace('bpf/bpf_helpers.h', 'bpf/no_such_header.h'))

    const failure = await compileObject(broken, join(folder, 'program.o')).catch((error: unknown) => error)

    expect(failure).toMatchObject({ code: 'COMPILE_FAILED', hint: 'apt-get install libbpf-dev' })
  })

  it('says so when the compiler cannot be started', async () => {
    const clang = { path: join(folder, 'no-such-clang'), version: '14.0.6' }

    const failure = await compileObject(await source(GOOD), join(folder, 'program.o'), { clang }).catch(
      (error: unknown) => error,
    )

    expect(failure).toMatchObject({ code: 'COMPILE_FAILED' })
    expect((failure as Failure).message).toContain('could not be run')
  })
})

describe('tellingLines', () => {
  it('keeps errors with their source lines, drops warnings, notes and counts', () => {
    const answer = [
      'In file included from bpf/tc.bpf.c:3:',
      "bpf/ipvs/conn.h:7:6: warning: unused variable 'x'",
      '        int x;',
      "bpf/ipvs/conn.h:9:2: error: expected ';'",
      '        return 0',
      '                ^',
      'bpf/ipvs/conn.h:1:1: note: declared here',
      'struct conn;',
      '1 warning and 1 error generated.',
    ].join('\n')

    expect(tellingLines(answer).split('\n')).toEqual([
      "bpf/ipvs/conn.h:9:2: error: expected ';'",
      '        return 0',
      '                ^',
    ])
  })

  it('shows the first three of many and counts the rest', () => {
    const answer = [1, 2, 3, 4, 5].map((n) => `a.c:${n}:1: error: number ${n}`).join('\n')

    expect(tellingLines(answer).split('\n').at(-1)).toBe('and 2 more')
    expect(tellingLines(answer)).not.toContain('number 4')
  })

  it('gives everything when nothing looks like an error', () => {
    expect(tellingLines('clang: Segmentation fault\n')).toBe('clang: Segmentation fault')
  })
})
