// SPDX-License-Identifier: MIT
/** The built program, as a shell sees it: build/bin/xlvs. */
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { packageFile, packageVersion } from '../../src/util/package.js'

let folder: string
let program: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'xlvs-program-'))
  // Through a link, from elsewhere: so the program must find its package by itself.
  program = join(folder, 'link-to-xlvs')
  await symlink(packageFile('build', 'bin', 'xlvs'), program)
})

afterAll(() => rm(folder, { recursive: true, force: true }))

interface Ended {
  readonly status: unknown
  readonly stdout: string
  readonly stderr: string
}

function xlvs(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(program, args, { cwd: folder, env: { ...process.env, ...env } }, (error, stdout, stderr) =>
      resolve({ status: error === null ? 0 : error.code, stdout, stderr }),
    )
  })
}

describe('xlvs', () => {
  it('says its version', async () => {
    expect(await xlvs(['--version'])).toEqual({ status: 0, stdout: `${packageVersion()}\n`, stderr: '' })
  })

  it('lists its commands', async () => {
    const { status, stdout } = await xlvs(['--help'])

    expect(status).toBe(0)
    expect(stdout).toMatch(/^ {2}xlvs compile +compile the BPF programs/m)
  })

  it.each([
    { args: [], complaint: 'which command?' },
    { args: ['dance'], complaint: 'Unknown argument: dance' },
    { args: ['compile', '--fast'], complaint: 'Unknown argument: fast' },
    { args: ['compile', '--out'], complaint: 'Not enough arguments following: out' },
  ])('calls $args a mistake in usage', async ({ args, complaint }) => {
    const { status, stdout, stderr } = await xlvs(args)

    expect(status).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).toBe(`xlvs: ${complaint}\nhint: xlvs --help lists commands and options\n`)
  })
})

describe('xlvs compile', () => {
  it('compiles every program into a folder', { timeout: 120_000 }, async () => {
    const out = join(folder, 'objects')

    const { status, stdout, stderr } = await xlvs(['compile', '--out', out])

    expect(stderr).toMatch(/^compiling with \/\S+ \(\d+\.\d+\.\d+\S*\)\n$/)
    expect(status).toBe(0)
    const sources = (await readdir(packageFile('bpf'))).filter((name) => name.endsWith('.bpf.c'))
    expect((await readdir(out)).sort()).toEqual(sources.map((name) => name.replace('.bpf.c', '.o')).sort())
    expect(stdout.trim().split('\n').map(dirname)).toEqual(sources.map(() => out))
    for (const object of stdout.trim().split('\n')) {
      expect((await readFile(object)).subarray(0, 4).toString('latin1')).toBe('\x7fELF')
    }
  })

  it('names the missing compiler and its package', async () => {
    const { status, stderr } = await xlvs(['compile', '--out', folder], {
      PATH: await pathWithNodeOnly(),
    })

    expect(status).toBe(69)
    expect(stderr).toBe('xlvs: no clang found: it compiles the BPF programs\nhint: apt-get install clang\n')
  })
})

async function pathWithNodeOnly(): Promise<string> {
  const bin = await mkdtemp(join(folder, 'bin-'))
  await symlink(process.execPath, join(bin, 'node'))
  return bin
}
