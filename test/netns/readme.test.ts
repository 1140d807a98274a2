// SPDX-License-Identifier: MIT
/** README.md keeps its word: what it tells readers to paste works. */
import { readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { runCommand } from '../../src/testing/process.js'
import { packageFile } from '../../src/util/package.js'

/** The blocks of a language below a heading. */
async function blocksBelow(heading: string, language: 'sh' | 'ts'): Promise<string[]> {
  const readme = await readFile(packageFile('README.md'), 'utf8')
  const section = readme.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? ''
  const blocks = section.matchAll(/^```(\w+)\n(.*?)^```/gms)
  return [...blocks].filter((block) => block[1] === language).map((block) => block[2] as string)
}

it('balances a curl over three servers by the quick start alone', async () => {
  const [build, ...others] = (await blocksBelow('Quick start', 'sh')).join('').split('\n')
  expect(build).toBe('make')

  // Names like `client` may be taken here: a place of our own for them. The server is
  // given the time that typing takes.
  const script = [
    'set -e',
    "trap 'kill $(jobs -p) 2>/dev/null || :' EXIT",
    'mount --make-rprivate /',
    'mkdir -p /run/netns',
    'mount -t tmpfs none /run/netns',
    ...others.map((line) =>
      line.startsWith('# the load balancer')
        ? 'until ip netns exec servers curl -so /dev/null http://203.0.113.13:8080/; do :; done'
        : line,
    ),
  ].join('\n')
  const { stdout } = await runCommand(['unshare', '--mount', 'bash'], {
    input: script,
    cwd: packageFile(),
    timeoutMs: 60_000,
  })

  expect(stdout.split('\n').map((line) => line.trimEnd())).toEqual([
    ...[13, 12, 11, 13, 12, 11].map((n) => `server ${n}`),
    'IP Virtual Server version 1.2.1 (size=4096)',
    'Prot LocalAddress:Port Scheduler Flags',
    '  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn',
    'TCP  192.0.2.1:80 rr',
    ...[11, 12, 13].map((n) => `  -> 203.0.113.${n}:8080            Masq    1      0          2`),
    '',
  ])
})

it('shows a test that is run with ours', async () => {
  const [shown] = await blocksBelow('As a library, and in tests', 'ts')

  const example = await readFile(packageFile('test', 'netns', 'example.test.ts'), 'utf8')
  expect(example.split('\n').slice(2).join('\n')).toBe(shown)
})
