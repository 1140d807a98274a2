// SPDX-License-Identifier: MIT
/**
 * The measure of the measure: the replay against the kernel's own IPVS.
 *
 * If a recording cannot be replayed on the kernel it was taken from, a difference found
 * on xlvs would say nothing. Guest time counts instructions here, so that the recorded
 * waits cost nothing and timers are exact.
 */
import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { packageFile, packageRoot } from '../../src/util/package.js'

/** A few of each group; `scripts/vm-run --icount -- scripts/replay --target ipvs all` plays every one. */
const SAMPLE = [
  'nat-tcp4-whole-connection',
  'nat-udp6-checksum-zero',
  'dr-tcp6-whole-connection',
  'tun-ipip-6in4',
  'tcp-nat-trace-simultaneous-close',
  'mtu-nat-v4',
  'dest-removed-within-trash-counters',
  'time-udp-default-expires',
  'stats-dr',
  'local-socket-tcp-ipip',
  'wlc-change',
  'wrr-gcd',
]

function inGuest(kernel: string, ...command: string[]): { status: number | null; output: string } {
  const done = spawnSync(
    packageFile('scripts', 'vm-run'),
    ['--kernel', kernel, '--icount', '--memory', '2048', '--timeout', '500', '--', ...command],
    { cwd: packageRoot(), encoding: 'utf8' },
  )
  return { status: done.status, output: done.stdout + done.stderr }
}

/** What 6.12 does otherwise, and something it does not. */
const SAMPLE_LATER = ['local-socket-tcp-gue-nocsum', 'local-socket-tcp-ipip', 'nat-tcp4-whole-connection']

describe('the recordings, replayed on the IPVS of', () => {
  it.each([
    ['6.1', SAMPLE],
    ['6.12', SAMPLE_LATER],
  ])('Debian %s, come out as recorded', (kernel, names) => {
    const bundled = spawnSync(packageFile('scripts', 'replay'), ['--list', 'ground'], {
      encoding: 'utf8',
    })
    expect(bundled.stderr).toBe('')

    const { status, output } = inGuest(
      kernel,
      'scripts/replay',
      ...['--target', 'ipvs', '--kernel', kernel, '--jobs', '1', '--quiet'],
      ...names,
    )

    expect(output).toContain(`${names.length} of ${names.length} as recorded on ipvs`)
    expect(status).toBe(0)
  })
})
