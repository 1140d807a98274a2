// SPDX-License-Identifier: MIT
/** The runner itself: one boot that looks at everything a caller relies on. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { packageFile } from '../../src/util/package.js'

const runner = packageFile('scripts', 'vm-run')

it('runs a command under the other kernel and hands back all it did', () => {
  const out = mkdtempSync(join(tmpdir(), 'vm-run-test-'))
  try {
    const script =
      'uname -r; pwd; echo aside >&2; echo kept >"$OUT/file"; touch lost; modprobe ip_vs && ipvsadm -Ln; exit 7'

    const done = spawnSync(runner, ['--kernel', '6.1', '--out', out, '--', 'sh', '-c', script], {
      cwd: out,
      encoding: 'utf8',
    })

    const [kernel, folder, listing] = done.stdout.split('\n')
    expect(done.status).toBe(7)
    expect(kernel).toMatch(/^6\.1\..*-amd64$/)
    expect(folder).toBe(out)
    expect(listing).toMatch(/^IP Virtual Server version/)
    expect(done.stderr).toContain('aside')
    expect(readFileSync(join(out, 'file'), 'utf8')).toBe('kept\n')
  } finally {
    rmSync(out, { recursive: true })
  }
})

it('says so when the time is over', () => {
  const done = spawnSync(runner, ['--kernel', '6.1', '--timeout', '1', '--', 'sleep', '60'], {
    encoding: 'utf8',
  })

  expect(done.status).toBe(124)
  expect(done.stderr).toContain('stopped after 1 s')
})

it('refuses a kernel that is not to be had', () => {
  const done = spawnSync(runner, ['--kernel', '1.0', '--', 'true'], { encoding: 'utf8' })

  expect(done.status).toBe(125)
  expect(done.stderr).toContain('apt knows no kernel 1.0')
})
