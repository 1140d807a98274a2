// SPDX-License-Identifier: MIT
/**
 * Tests in layers, from fast and anywhere to slow and privileged.
 *
 * A layer that cannot run on this machine says why and is left out. That is about
 * the machine (root, QEMU) only: a kernel feature or a tool that should be there and
 * is not makes its test fail.
 */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

interface Layer {
  readonly name: string
  /** Test files at once. Traffic tests share two cores with what they measure. */
  readonly workers: number
  readonly testTimeoutMs: number
  /** Why the layer cannot run here, or undefined. */
  readonly obstacle?: string | undefined
}

const needsRoot = process.getuid?.() === 0 ? undefined : 'needs root: it loads BPF programs'
const needsQemu = existsSync('/usr/bin/qemu-system-x86_64')
  ? undefined
  : 'needs qemu-system-x86 (scripts/bootstrap test installs it)'

const LAYERS: readonly Layer[] = [
  { name: 'unit', workers: 2, testTimeoutMs: 20_000 },
  { name: 'packet', workers: 2, testTimeoutMs: 120_000, obstacle: needsRoot },
  { name: 'netns', workers: 2, testTimeoutMs: 120_000, obstacle: needsRoot },
  { name: 'vm', workers: 1, testTimeoutMs: 600_000, obstacle: needsRoot ?? needsQemu },
]

// Vitest reads this file more than once; one announcement is enough.
const told = 'XLVS_LAYERS_TOLD'
for (const { name, obstacle } of process.env[told] === undefined ? LAYERS : []) {
  if (obstacle !== undefined) console.log(`test/${name} does not run: ${obstacle}`)
}
process.env[told] = 'yes'

const src = (path: string) => fileURLToPath(new URL(`./src/${path}`, import.meta.url))

export default defineConfig({
  resolve: {
    alias: [
      { find: /^xlvs$/, replacement: src('index.ts') },
      { find: /^xlvs\/(libbpf|testing)$/, replacement: src('$1/index.ts') },
    ],
  },
  test: {
    reporters: ['default', ['json', { outputFile: 'build/test-results.json' }]],
    // A test that leaves something running must not hold up the whole run.
    teardownTimeout: 30_000,
    projects: LAYERS.filter((layer) => layer.obstacle === undefined).map((layer, order) => ({
      extends: true as const,
      test: {
        name: layer.name,
        include: [`test/${layer.name}/**/*.test.ts`],
        // Real processes: namespaces, signals and native code do not mix with threads.
        pool: 'forks' as const,
        maxWorkers: layer.workers,
        sequence: { groupOrder: order },
        testTimeout: layer.testTimeoutMs,
        hookTimeout: 60_000,
      },
    })),
  },
})
