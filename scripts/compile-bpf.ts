// SPDX-License-Identifier: MIT
/** Usage: compile-bpf SOURCE OBJECT: one step of `make`, see src/compile/compile.ts. */
import { compileObject } from '../src/compile/compile.js'
import { Failure } from '../src/util/errors.js'

const [source, object] = process.argv.slice(2)
if (source === undefined || object === undefined) {
  console.error('usage: compile-bpf SOURCE OBJECT')
  process.exit(2)
}

try {
  await compileObject(source, object, { dependencies: true })
} catch (error) {
  if (!(error instanceof Failure)) throw error
  console.error(error.message)
  if (error.hint !== undefined) console.error(`hint: ${error.hint}`)
  process.exit(1)
}
