// SPDX-License-Identifier: MIT
/**
 * The one catalogue of failures.
 *
 * A Failure says what happened to which thing (`message`), what to do about it
 * (`hint`) and keeps the original (`cause`). Each code has a line in
 * docs/errors.md. Failures that stand for a kernel answer carry the errno name
 * that kernel IPVS would give, so that front ends can print its text.
 */

/** Every code a caller may meet; see docs/errors.md. */
export const FAILURE_CODES = [
  'SERVICE_EXISTS',
  'SERVICE_NOT_FOUND',
  'SCHEDULER_NOT_FOUND',
  'DEST_EXISTS',
  'DEST_NOT_FOUND',
  'OUT_OF_RANGE',
  'INVALID_ARGUMENT',
  'FAMILY_NOT_SUPPORTED',
  'NOT_SUPPORTED',
  'NOT_LOADED',
  'NOT_PERMITTED',
  'KERNEL_TOO_OLD',
  'DEVICE_NOT_FOUND',
  'ATTACH_REFUSED',
  'LAYOUT_MISMATCH',
  'TABLE_FULL',
  'VERIFIER_REJECTED',
  'COMPILE_FAILED',
  'TOOL_MISSING',
  'SYSTEM',
] as const

export type FailureCode = (typeof FAILURE_CODES)[number]

/** The errno names kernel IPVS answers with. */
export type Errno =
  | 'EEXIST'
  | 'ENOENT'
  | 'ESRCH'
  | 'EINVAL'
  | 'ERANGE'
  | 'EPERM'
  | 'ENOMEM'
  | 'ENODEV'
  | 'EAFNOSUPPORT'
  | 'EOPNOTSUPP'

export interface FailureOptions {
  readonly hint?: string
  readonly errno?: Errno
  readonly cause?: unknown
}

export class Failure extends Error {
  override readonly name: string = 'Failure'
  readonly code: FailureCode
  readonly hint: string | undefined
  readonly errno: Errno | undefined

  constructor(code: FailureCode, message: string, options: FailureOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.hint = options.hint
    this.errno = options.errno
  }
}
