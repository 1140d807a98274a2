// SPDX-License-Identifier: MIT
/** src/libbpf on the oldest kernel it is meant for. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { expect, it } from 'vitest'

import { packageFile } from '../../src/util/package.js'
import { compileSupport } from '../support/bpf.js'

it('attaches to clsact where the kernel has no tcx, and says which version brings it', async () => {
  await using compiled = await compileSupport('basics')
  const folder = mkdtempSync(join(tmpdir(), 'xlvs-test-vm-'))
  try {
    const child = join(folder, 'child.mjs')
    await build({
      entryPoints: [packageFile('test', 'support', 'libbpf-child.ts')],
      outfile: child,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      logLevel: 'warning',
    })
    const addon = packageFile('build', 'Release', 'libbpf_ts.node')
    const command = ['env', `LIBBPF_TS_ADDON=${addon}`, process.execPath, child, 'tc', compiled.path]

    const out = execFileSync(packageFile('scripts', 'vm-run'), ['--kernel', '6.1', '--', ...command], {
      encoding: 'utf8',
    })

    expect(JSON.parse(out)).toEqual({
      kernel: [6, 1],
      refusal: { feature: 'tcx', since: '6.6', code: 'KERNEL_TOO_OLD' },
      kind: 'filter',
      replaced: true,
      tcx: 0,
      feature: false,
      loop: true,
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
