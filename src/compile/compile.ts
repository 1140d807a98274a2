// SPDX-License-Identifier: MIT
/**
 * Compiling the BPF programs.
 *
 * `make` uses it to fill build/bpf; `xlvs compile` on hosts that want their own
 * build. Nothing at run time needs it: objects are portable, the compiler's version
 * and the kernel's headers leave no trace in them.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path'
import { promisify } from 'node:util'
import { Failure } from '../util/errors.js'
import { packageRoot } from '../util/package.js'
import { findClang, type Clang } from './clang.js'

const run = promisify(execFile)

export interface CompileOptions {
  /** The compiler; found on the search path when left out. */
  readonly clang?: Clang
  /** Also write `OUTPUT` with `.d` for `.o`: what the object depends on, for make. */
  readonly dependencies?: boolean
}

/**
 * Compiles one BPF source into one object.
 *
 * The object appears whole or not at all: a failure keeps the old one.
 *
 * @throws Failure TOOL_MISSING without a compiler, COMPILE_FAILED with the lines of
 * clang's answer that tell what is wrong.
 */
export async function compileObject(
  source: string,
  output: string,
  options: CompileOptions = {},
): Promise<void> {
  const clang = options.clang ?? findClang()
  const root = packageRoot()
  const from = resolve(source)
  const to = resolve(output)
  const unfinished = `${to}.${process.pid}.tmp`
  const dependencies = options.dependencies
    ? ['-MMD', '-MP', '-MT', relativeTo(root, to), '-MF', to.replace(/\.o$/, '.d')]
    : []

  await mkdir(dirname(to), { recursive: true })
  try {
    // From the package's root with relative names, so that no path of the building
    // machine ends up in the object's line information.
    await run(clang.path, [...flags(), ...dependencies, '-c', relativeTo(root, from), '-o', unfinished], {
      cwd: root,
      maxBuffer: 16 << 20,
    })
    await rename(unfinished, to)
  } catch (error) {
    await rm(unfinished, { force: true })
    throw asFailure(error, relativeTo(root, from))
  }
}

/** The entry programs of the package: every `bpf/*.bpf.c`. */
export async function entrySources(): Promise<string[]> {
  const folder = join(packageRoot(), 'bpf')
  const names = await readdir(folder)
  return names
    .filter((name) => name.endsWith('.bpf.c'))
    .sort()
    .map((name) => join(folder, name))
}

/**
 * Compiles every entry program into `folder` and returns the objects' paths.
 *
 * All succeed or nothing in `folder` changes, because objects of two versions do not
 * fit each other.
 */
export async function compileAll(folder: string, options: CompileOptions = {}): Promise<string[]> {
  const clang = options.clang ?? findClang()
  const staging = join(resolve(folder), `.compile-${process.pid}`)
  try {
    const sources = await entrySources()
    const names = sources.map((source) => basename(source).replace(/\.bpf\.c$/, '.o'))
    const results = await Promise.allSettled(
      sources.map((source, i) =>
        compileObject(source, join(staging, names[i] as string), { ...options, clang }),
      ),
    )
    const failed = results.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    for (const name of names) await rename(join(staging, name), join(folder, name))
    return names.map((name) => join(folder, name))
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
}

function flags(): string[] {
  const multiarch = `/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`
  return [
    ...['-O2', '-g', '-Wall', '-Werror', '-target', 'bpf', '-mcpu=v3', '-Ibpf'],
    // Debian keeps <asm/types.h> in a folder per architecture; others do not.
    ...(existsSync(multiarch) ? ['-I', multiarch] : []),
  ]
}

/** Which Debian package brings a header clang did not find. */
const PACKAGE_OF_HEADER: readonly (readonly [RegExp, string])[] = [
  [/^bpf\//, 'libbpf-dev'],
  [/^(linux|asm|asm-generic)\//, 'linux-libc-dev'],
]

function asFailure(error: unknown, source: string): Failure {
  const { code, stderr } = error as { code?: unknown; stderr?: string }
  if (typeof stderr !== 'string' || code === 'ENOENT') {
    return new Failure('COMPILE_FAILED', `clang could not be run for ${source}`, { cause: error })
  }
  const header = /fatal error: '([^']+)' file not found/.exec(stderr)?.[1]
  const debianPackage = PACKAGE_OF_HEADER.find(
    ([pattern]) => header !== undefined && pattern.test(header),
  )?.[1]
  return new Failure('COMPILE_FAILED', `clang refused ${source}:\n${tellingLines(stderr)}`, {
    ...(debianPackage === undefined ? {} : { hint: `apt-get install ${debianPackage}` }),
    cause: error,
  })
}

const MAX_ERRORS = 3
const MAX_LINES_PER_ERROR = 3

/**
 * The first errors of a compiler's answer, each with the source lines below it.
 *
 * Warnings, include chains and "12 errors generated" only hide what is wrong.
 */
export function tellingLines(stderr: string): string {
  const telling: string[] = []
  let errors = 0
  let room = 0
  for (const line of stderr.trimEnd().split('\n')) {
    if (/(^|\s)(fatal )?error: /.test(line)) {
      errors++
      room = MAX_LINES_PER_ERROR
    } else if (/(warning|note): |^In file included from|^\d+ (error|warning)s? /.test(line)) {
      room = 0
    }
    if (room === 0) continue
    room--
    if (errors <= MAX_ERRORS) telling.push(line)
  }
  if (errors > MAX_ERRORS) telling.push(`and ${errors - MAX_ERRORS} more`)
  return telling.length > 0 ? telling.join('\n') : stderr.trim()
}

function relativeTo(root: string, path: string): string {
  const shorter = relative(root, path)
  return shorter.startsWith('..') || isAbsolute(shorter) ? path : shorter
}
