// SPDX-License-Identifier: MIT
/**
 * Where this package lies on disk.
 *
 * The same code runs from src/ (tests), build/js (library) and bundled in build/bin
 * (programs), so files that belong to the package are found from its root, never
 * from the current directory.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

let root: string | undefined

/** The folder that holds package.json, bpf/ and build/. */
export function packageRoot(): string {
  if (root !== undefined) return root
  let folder = dirname(fileURLToPath(import.meta.url))
  // build/bin has a package.json too (it only says how to read the programs), so look for bpf/ as well.
  while (!(existsSync(join(folder, 'package.json')) && existsSync(join(folder, 'bpf')))) {
    const parent = dirname(folder)
    if (parent === folder) throw new Error(`no xlvs package around ${fileURLToPath(import.meta.url)}`)
    folder = parent
  }
  root = folder
  return folder
}

/** A file of the package, given from its root: `packageFile('build', 'bpf', 'tc.o')`. */
export function packageFile(...path: string[]): string {
  return join(packageRoot(), ...path)
}

/** The version in package.json. */
export function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as { version: string }
  return version
}
