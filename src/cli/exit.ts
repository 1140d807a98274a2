// SPDX-License-Identifier: MIT
/** How programs end: exit codes, and how a failure is told to a person. */
import { inspect } from 'node:util'
import { Failure, type FailureCode } from '../util/errors.js'

/** sysexits.h, as far as we use it; docs/errors.md explains them. */
export const EXIT = { ok: 0, failed: 1, usage: 2, unavailable: 69, notPermitted: 77, badConfig: 78 } as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

const CODES: Partial<Record<FailureCode, ExitCode>> = {
  INVALID_ARGUMENT: EXIT.usage,
  NOT_LOADED: EXIT.unavailable,
  NOT_SUPPORTED: EXIT.unavailable,
  KERNEL_TOO_OLD: EXIT.unavailable,
  TOOL_MISSING: EXIT.unavailable,
  NOT_PERMITTED: EXIT.notPermitted,
}

export function exitCodeOf(error: unknown): ExitCode {
  return (error instanceof Failure ? CODES[error.code] : undefined) ?? EXIT.failed
}

/** What a person reads; with `verbose` everything known, an unexpected error always. */
export function describeError(program: string, error: unknown, verbose = false): string {
  if (!(error instanceof Failure)) return `${program}: ${inspect(error)}`
  const lines = [`${program}: ${error.message}`]
  if (error.hint !== undefined) lines.push(`hint: ${error.hint}`)
  if (verbose) lines.push(error.stack ?? '', ...causes(error))
  return lines.join('\n')
}

function causes(error: Error): string[] {
  const { cause } = error
  if (cause === undefined) return []
  if (!(cause instanceof Error)) return [`caused by: ${inspect(cause)}`]
  return [`caused by: ${cause.stack ?? cause.message}`, ...causes(cause)]
}
