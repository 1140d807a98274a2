// SPDX-License-Identifier: MIT
/**
 * Finding a clang that can make our BPF objects.
 *
 * Debian ships it as `clang` and, beside it, as clang-14, clang-16 and so on. The
 * plain name is what the administrator chose, so it wins when it is new enough.
 */
import { execFileSync } from 'node:child_process'
import { accessSync, constants, readdirSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { Failure } from '../util/errors.js'

/** Older ones lack BTF tags, which abi.h needs, or emit code the 6.1 verifier refuses. */
export const OLDEST_CLANG = 14

export interface Clang {
  readonly path: string
  /** As the compiler states it: `14.0.6`. */
  readonly version: string
}

/**
 * The compiler to use: `clang` on the search path, else the newest clang-NN.
 *
 * @throws Failure TOOL_MISSING when there is none, or only older ones.
 */
export function findClang(searchPath: string = process.env['PATH'] ?? ''): Clang {
  const tooOld: Clang[] = []
  for (const path of candidates(searchPath)) {
    const version = versionOf(path)
    if (version === undefined) continue
    const clang = { path, version }
    if (Number.parseInt(version, 10) >= OLDEST_CLANG) return clang
    tooOld.push(clang)
  }
  const found = tooOld.map(({ path, version }) => `${path} is version ${version}`).join(', ')
  throw new Failure(
    'TOOL_MISSING',
    found === ''
      ? 'no clang found: it compiles the BPF programs'
      : `no clang new enough to compile the BPF programs: ${found}, ${OLDEST_CLANG} is needed`,
    { hint: 'apt-get install clang' },
  )
}

function candidates(searchPath: string): string[] {
  const folders = searchPath.split(delimiter).filter((folder) => folder !== '')
  const plain = folders.map((folder) => join(folder, 'clang')).filter(isExecutable)
  const numbered = folders
    .flatMap((folder) =>
      namesIn(folder).flatMap((name) => {
        const major = /^clang-(\d+)$/.exec(name)?.[1]
        return major === undefined ? [] : [{ path: join(folder, name), major: Number(major) }]
      }),
    )
    .sort((a, b) => b.major - a.major)
    .map(({ path }) => path)
    .filter(isExecutable)
  return [...plain, ...numbered]
}

function versionOf(clang: string): string | undefined {
  try {
    return /clang version (\d+\S*)/.exec(execFileSync(clang, ['--version'], { encoding: 'utf8' }))?.[1]
  } catch {
    return undefined // A dangling wrapper is as good as none.
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return [] // Search paths name folders that do not exist.
  }
}
