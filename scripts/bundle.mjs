// SPDX-License-Identifier: MIT
/**
 * Usage: bundle.mjs PROGRAM: src/cli/PROGRAM.ts becomes build/bin/PROGRAM, one
 * executable file that runs from any directory.
 *
 * One file, because resolving the modules of yargs and zod one by one costs twice
 * as long as running them. The addon stays outside and is found from the file's
 * real place, so symbolic links to the program work.
 */
import { chmodSync, renameSync } from 'node:fs'
import { build } from 'esbuild'

const [program = 'xlvs'] = process.argv.slice(2)
const output = `build/bin/${program}`
const unfinished = `${output}.${process.pid}.tmp`

await build({
  entryPoints: [`src/cli/${program}.ts`],
  outfile: unfinished,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  // Packages in the older module format call require() for Node's own modules.
  banner: {
    js: [
      '#!/usr/bin/env node',
      "import { createRequire as bundleRequire } from 'node:module'",
      'const require = bundleRequire(import.meta.url)',
    ].join('\n'),
  },
  external: ['*.node'],
  legalComments: 'none',
  logLevel: 'warning',
})
chmodSync(unfinished, 0o755)
renameSync(unfinished, output)
