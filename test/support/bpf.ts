// SPDX-License-Identifier: MIT
/** Compiles the small BPF programs of test/support/bpf, once per test process. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { compileObject } from '../../src/compile/compile.js'

export interface Compiled extends AsyncDisposable {
  readonly path: string
}

/** The object of `test/support/bpf/<stem>.bpf.c`, in a directory that goes with it. */
export async function compileSupport(stem: string): Promise<Compiled> {
  const source = fileURLToPath(new URL(`./bpf/${stem}.bpf.c`, import.meta.url))
  const folder = await mkdtemp(join(tmpdir(), 'xlvs-test-bpf-'))
  const path = join(folder, `${stem}.o`)
  await compileObject(source, path)
  return { path, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) }
}
