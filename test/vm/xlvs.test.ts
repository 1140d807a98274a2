// SPDX-License-Identifier: MIT
/**
 * xlvs under the kernels it is promised for: the same recordings, on the oldest one and
 * on Debian's backport. Verifiers differ, and so does what they make of a program.
 */
import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { packageFile, packageRoot } from '../../src/util/package.js'

/** One of each kind; every one would take an emulated machine too long. */
const SAMPLE = [
  'nat-tcp4-whole-connection',
  'tun-ipip-4in4',
  'mtu-ipip-v6',
  'dest-removed-within-trash-counters',
  'wrr-change',
  'lc-thresholds',
  'wlc-v6',
]

describe('xlvs does as recorded', () => {
  it.each(['6.1', '6.12'])('on Linux %s, by tc and by XDP', (kernel) => {
    // Bundled here, because the guest's copy of the files is thrown away.
    expect(spawnSync(packageFile('scripts', 'replay'), ['--list', 'ground']).status).toBe(0)
    const play = (mode: string) => `scripts/replay --mode ${mode} --jobs 7 --quiet ${SAMPLE.join(' ')}`

    const done = spawnSync(
      packageFile('scripts', 'vm-run'),
      [
        ...['--kernel', kernel, '--memory', '2048', '--timeout', '550', '--'],
        ...['sh', '-c', `${play('tc')}; ${play('xdp')}`],
      ],
      { cwd: packageRoot(), encoding: 'utf8' },
    )

    const all = `${SAMPLE.length} of ${SAMPLE.length} as recorded`
    expect(done.stdout).toContain(`${all} on xlvs on tc`)
    expect(done.stdout).toContain(`${all} on xlvs on xdp`)
    expect(done.status).toBe(0)
  })
})
