// SPDX-License-Identifier: MIT
/**
 * Packets cut off at every length and with garbage in every field. XLVS_HOSTILE sets
 * how many for each hook, XLVS_SEED which.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { packageRoot } from '../../src/util/package.js'
import { Netns } from '../support/netns.js'
import type { HostileAnswer } from '../support/packet/hostile.js'
import { buildLab } from '../support/packet/lab.js'

const count = Number(process.env['XLVS_HOSTILE'] ?? 120_000)
const seed = Number(process.env['XLVS_SEED'] ?? 1)

let netns: Netns
let folder: string
let program: string

beforeAll(async () => {
  netns = Netns.create('hostile')
  buildLab(netns)
  // Below the package, so that it finds the addon and the objects.
  folder = mkdtempSync(join(packageRoot(), 'build', 'hostile-'))
  program = join(folder, 'hostile.mjs')
  await build({
    entryPoints: [fileURLToPath(new URL('../support/packet/hostile.ts', import.meta.url))],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    logLevel: 'error',
  })
})

afterAll(() => {
  netns?.[Symbol.dispose]()
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
})

describe.each(['tc', 'xdp'] as const)('broken packets for %s', (hook) => {
  it(
    'get a counted verdict each, and what is foreign is never touched',
    { timeout: 60_000 + count * 10 },
    () => {
      const { status, stdout, stderr } = spawnSync(
        'nsenter',
        [`--net=${netns.path}`, process.execPath, program, hook, String(count), String(seed)],
        { encoding: 'utf8', maxBuffer: 1 << 24 },
      )
      expect(stderr).toBe('')
      expect(status).toBe(0)
      const answer = JSON.parse(stdout) as HostileAnswer

      expect(answer.faults).toEqual([])
      expect(answer.packets).toBeGreaterThanOrEqual(count)
      // Enough of them got through the parser to mean something.
      for (const reason of [
        'FORWARD_NEW',
        'FORWARD_IN',
        'PASS_MALFORMED',
        'PASS_NOT_OURS',
        'PASS_NO_SERVICE',
      ])
        expect(answer.reasons[reason], reason).toBeGreaterThan(20)
      expect(answer.connections).toBeGreaterThan(0)
    },
  )
})
