// SPDX-License-Identifier: MIT
/** Usage: gen-abi [--check]: writes src/abi/generated.ts, or says whether it is up to date. */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { ABI_HEADER, GENERATED, generateAbi } from '../src/abi/generate.js'
import { Failure } from '../src/util/errors.js'
import { packageRoot } from '../src/util/package.js'

const target = join(packageRoot(), GENERATED)

try {
  const text = await generateAbi()
  const current = await readFile(target, 'utf8').catch(() => undefined)
  if (text === current) {
    console.log(`${GENERATED} is up to date`)
  } else if (process.argv.includes('--check')) {
    console.error(`${GENERATED} does not match ${ABI_HEADER}: run \`make gen\` and commit both`)
    process.exitCode = 1
  } else {
    await writeFile(`${target}.tmp`, text)
    await rename(`${target}.tmp`, target)
    console.log(`${GENERATED} written`)
  }
} catch (error) {
  if (!(error instanceof Error)) throw error
  console.error(`gen-abi: ${error.message}`)
  if (error instanceof Failure && error.hint !== undefined) console.error(`hint: ${error.hint}`)
  process.exitCode = 1
}
