// SPDX-License-Identifier: MIT
/**
 * Usage: bundle.mjs PROGRAM: makes build/bin/PROGRAM from src/cli/PROGRAM.ts.
 *
 * Starting is what a short command mostly does, so it is made cheap twice: one file
 * instead of many modules to resolve, and V8's compiled code beside it, which halves
 * what we add to the start of bare Node. A cache of another V8 is ignored by V8
 * itself; then the program only starts slower.
 *
 * The addon stays outside and is found from the bundle's real place, so symbolic
 * links to the program work.
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { build } from 'esbuild'

const [program = 'xlvs'] = process.argv.slice(2)
const bundle = `build/lib/${program}.cjs`
const cache = `build/lib/${program}.cache`

// V8 tells code caches by the source's length alone: an old one must not meet a new bundle.
rmSync(cache, { force: true })
await build({
  entryPoints: [`src/cli/${program}.ts`],
  outfile: bundle,
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  // CommonJS, because only scripts have a code cache in Node 20; so what ES modules offer is made up for.
  define: { 'import.meta.url': 'bundleUrl' },
  banner: { js: "const bundleUrl = require('node:url').pathToFileURL(__filename).href" },
  supported: { 'dynamic-import': false },
  external: ['*.node'],
  legalComments: 'none',
  logLevel: 'warning',
})

/** Runs the bundle, with its code cache where there is one. */
const load = `
const { existsSync, readFileSync } = require('node:fs')
const { createRequire, wrap } = require('node:module')
const { dirname, join } = require('node:path')
const { Script } = require('node:vm')

const filename = join(__dirname, '..', 'lib', '${program}.cjs')
const cache = join(__dirname, '..', 'lib', '${program}.cache')
// The bundler writes ASCII only, which is read fastest as what it is a part of.
const script = new Script(wrap(readFileSync(filename, 'latin1')), {
  filename,
  cachedData: existsSync(cache) ? readFileSync(cache) : undefined,
})
const main = script.runInThisContext()
main({}, createRequire(filename), {}, filename, dirname(filename))
`

const unfinished = `build/bin/${program}.${process.pid}.tmp`
mkdirSync('build/bin', { recursive: true })
// Programs have no .cjs to their names, and the package around them is of ES modules.
writeFileSync('build/bin/package.json', '{ "type": "commonjs" }\n')
writeFileSync(unfinished, `#!/usr/bin/env node\n// Made by scripts/bundle.mjs.\n'use strict'${load}`)
chmodSync(unfinished, 0o755)

// What help needs is compiled by then: all that runs at start, and no privilege needed.
const keep = `process.on('exit', () => require('node:fs').writeFileSync('${cache}', script.createCachedData()))`
execFileSync('node', ['-', '--help'], {
  input: `__dirname = '${process.cwd()}/build/bin';${load.replace('main({}', `${keep}\nmain({}`)}`,
  stdio: ['pipe', 'ignore', 'inherit'],
})
renameSync(unfinished, `build/bin/${program}`)
