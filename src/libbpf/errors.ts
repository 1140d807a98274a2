// SPDX-License-Identifier: MIT
/**
 * What the kernel refused, in words.
 *
 * A BpfError has the errno by number and name, the operation, and a hint. It is a
 * Failure, so a program prints it like all its other errors; `errno` of Failure
 * stays empty, as it is about another kernel interface.
 */

import { readFileSync } from 'node:fs'
import { constants } from 'node:os'

import { Failure, type FailureCode } from '../util/errors.js'
import type { NativeFailure } from './addon.js'

/** Capabilities this package may need, with their bit in CapEff. */
const CAPABILITIES = {
  CAP_NET_ADMIN: 12,
  CAP_SYS_CHROOT: 18,
  CAP_SYS_PTRACE: 19,
  CAP_SYS_ADMIN: 21,
  CAP_BPF: 39,
} as const

export type Capability = keyof typeof CAPABILITIES

/** What was being done, told only when it went wrong. */
export interface Context {
  /** A phrase that reads well after "cannot": `load prog.o`. */
  readonly operation: string
  readonly needs?: readonly Capability[]
  readonly hint?: string
  readonly code?: FailureCode
}

export interface BpfErrorOptions {
  readonly errno: number
  readonly operation: string
  readonly code?: FailureCode
  readonly hint?: string
  readonly log?: string
  readonly detail?: string
}

/** The kernel, or libbpf, answered with an errno. */
export class BpfError extends Failure {
  override readonly name: string = 'BpfError'
  /** For example 22. */
  readonly errnoNumber: number
  /** For example 'EINVAL'. */
  readonly errnoName: string
  /** What was tried, a phrase that follows "cannot". */
  readonly operation: string
  /** Everything libbpf and the kernel had to say; often empty. */
  readonly log: string

  constructor(options: BpfErrorOptions) {
    const errnoName = nameOfErrno(options.errno)
    const detail = options.detail ?? describe(options.errno)
    super(options.code ?? 'SYSTEM', `cannot ${options.operation}: ${detail} (${errnoName})`, {
      hint: options.hint,
    })
    this.errnoNumber = options.errno
    this.errnoName = errnoName
    this.operation = options.operation
    this.log = options.log ?? ''
  }
}

/** The verifier rejected a program. `message` ends with its telling lines, `log` has all of them. */
export class VerifierError extends BpfError {
  override readonly name = 'VerifierError'
  /** The program that was rejected. */
  readonly program: string
  /** The last lines of the log that say why. */
  readonly telling: readonly string[]

  constructor(options: BpfErrorOptions & { program: string; telling: readonly string[] }) {
    super({
      ...options,
      code: 'VERIFIER_REJECTED',
      detail: `the verifier rejects program ${options.program}\n${options.telling.map((line) => `  ${line}`).join('\n')}\n`,
    })
    this.program = options.program
    this.telling = options.telling
  }
}

/** The kernel or the device lacks a feature. */
export class NotSupportedError extends BpfError {
  override readonly name = 'NotSupportedError'
  /** For example 'tcx'. */
  readonly feature: string
  /** The kernel version that brings it, for example '6.6'; undefined when a driver is at fault. */
  readonly since: string | undefined

  constructor(options: BpfErrorOptions & { feature: string; since?: string }) {
    super({
      ...options,
      code: options.since === undefined ? 'ATTACH_REFUSED' : 'KERNEL_TOO_OLD',
      detail:
        options.since === undefined
          ? `${options.feature} is not supported here`
          : `${options.feature} is not supported, Linux ${options.since} brings it`,
    })
    this.feature = options.feature
    this.since = options.since
  }
}

/** Errnos the kernel uses inside and lets out now and then. */
const ENOTSUPP = 524

const EXTRA_NAMES: Readonly<Record<number, string>> = {
  [ENOTSUPP]: 'ENOTSUPP',
  130: 'EOWNERDEAD',
  140: 'ENOPARAM',
}

const SENTENCES: Readonly<Record<string, string>> = {
  E2BIG: 'it is full, or a size is beyond the limit',
  EACCES: 'permission denied',
  EAGAIN: 'try again',
  EBADF: 'bad file descriptor',
  EBUSY: 'it is in use',
  EEXIST: 'it exists already',
  EFAULT: 'bad address',
  EINVAL: 'invalid argument',
  EIO: 'input/output error',
  EISDIR: 'is a directory',
  ENODEV: 'no such device',
  ENOENT: 'no such thing',
  ENOMEM: 'out of memory',
  ENOSPC: 'no space left',
  ENOTDIR: 'not a directory',
  ENOTEMPTY: 'directory is not empty',
  ENOTSUPP: 'operation not supported',
  EOPNOTSUPP: 'operation not supported',
  EPERM: 'operation not permitted',
  ERANGE: 'out of range',
  ESTALE: 'stale',
  ETIMEDOUT: 'timed out',
}

let names: Map<number, string> | undefined

/** The name of an errno: 22 is 'EINVAL'. */
export function nameOfErrno(errno: number): string {
  if (!names) {
    names = new Map()
    for (const [name, value] of Object.entries(constants.errno)) if (!names.has(value)) names.set(value, name)
    // One number with two names: this one is what the kernel means.
    names.set(constants.errno.EOPNOTSUPP, 'EOPNOTSUPP')
    names.set(constants.errno.EAGAIN, 'EAGAIN')
  }
  return names.get(errno) ?? EXTRA_NAMES[errno] ?? `errno ${errno}`
}

function describe(errno: number): string {
  return SENTENCES[nameOfErrno(errno)] ?? 'the kernel refuses'
}

export function isNotSupported(errno: number): boolean {
  return errno === constants.errno.EOPNOTSUPP || errno === ENOTSUPP
}

/** Capabilities of this process that would be needed and are missing. */
export function missingCapabilities(needs: readonly Capability[]): Capability[] {
  let effective: bigint
  try {
    const status = readFileSync('/proc/self/status', 'utf8')
    effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`)
  } catch {
    return [...needs]
  }
  const has = (capability: Capability) => ((effective >> BigInt(CAPABILITIES[capability])) & 1n) === 1n
  return needs.filter(
    (capability) => !(has(capability) || (capability === 'CAP_BPF' && has('CAP_SYS_ADMIN'))),
  )
}

function hintFor(errno: number, needs: readonly Capability[], hint: string | undefined): string | undefined {
  if (errno !== constants.errno.EPERM && errno !== constants.errno.EACCES) return hint
  const missing = missingCapabilities(needs)
  if (missing.length > 0) return `needs ${missing.join(' and ')}: run as root or grant it`
  if (needs.length === 0) return hint
  return (
    hint ??
    `${needs.join(' and ')} granted, but perhaps only inside a user namespace, or a security module forbids it`
  )
}

const STAGES = {
  cpu: { operation: 'run on that CPU', needs: [] },
  netns: { operation: 'enter the network namespace', needs: ['CAP_SYS_ADMIN'] },
  mntns: { operation: 'enter the mount namespace of process 1', needs: ['CAP_SYS_ADMIN', 'CAP_SYS_CHROOT'] },
  clsact: { operation: 'create the clsact queueing discipline', needs: ['CAP_NET_ADMIN'] },
} as const satisfies Record<string, { operation: string; needs: readonly Capability[] }>

/** The error for an errno (positive). */
export function errorOf(errno: number, context: Context, failure?: NativeFailure): BpfError {
  const stage = failure?.stage ? STAGES[failure.stage] : undefined
  const needs = stage?.needs ?? context.needs ?? []
  const operation = stage ? `${stage.operation} (to ${context.operation})` : context.operation
  const denied =
    errno === constants.errno.EPERM ||
    (errno === constants.errno.EACCES && missingCapabilities(needs).length > 0)
  const said = tellingLine(failure?.log)
  return new BpfError({
    errno,
    operation,
    code: denied ? 'NOT_PERMITTED' : (codeFor(errno) ?? context.code ?? 'SYSTEM'),
    hint: hintFor(errno, needs, context.hint),
    log: failure?.log,
    detail: said === undefined ? undefined : `${said}`,
  })
}

function codeFor(errno: number): FailureCode | undefined {
  const { ENODEV, ENXIO } = constants.errno
  return errno === ENODEV || errno === ENXIO ? 'DEVICE_NOT_FOUND' : undefined
}

/** The kernel's own words, when netlink carried some. */
function tellingLine(log: string | undefined): string | undefined {
  return /Kernel error message: (.*)/.exec(log ?? '')?.[1]
}

export function isFailure(value: unknown): value is NativeFailure {
  return typeof value === 'object' && value !== null && 'errno' in value
}

/** The value, or throws what the failure stands for. */
export function unwrap<T>(result: T | NativeFailure, context: () => Context): T {
  if (isFailure(result)) throw errorOf(result.errno, context(), result)
  return result
}

/** The same for functions that answer a number or -errno. */
export function check<T>(result: T | number, context: () => Context): T {
  if (typeof result === 'number' && result < 0) throw errorOf(-result, context())
  return result as T
}

const LOG = /prog '([^']*)': -- BEGIN PROG LOAD LOG --\n([\s\S]*?)-- END PROG LOAD LOG --/g

/** The error for a load that failed: the verifier's, or whatever else stood in the way. */
export function loadError(failure: NativeFailure, file: string): BpfError {
  const log = failure.log ?? ''
  const context: Context = { operation: `load ${file}`, needs: ['CAP_BPF', 'CAP_NET_ADMIN'] }
  const rejected = [...log.matchAll(LOG)].at(-1)
  if (rejected && failure.errno !== constants.errno.EPERM && failure.stage === undefined) {
    const [, program = '', text = ''] = rejected
    return new VerifierError({
      errno: failure.errno,
      operation: context.operation,
      log: text,
      program,
      telling: tellingLines(text),
      hint: 'the whole log of the verifier is on the error (log)',
    })
  }
  const unsupported = /prog '([^']*)': .*(?:unknown|not supported)/.exec(log)?.[0]
  const said = log
    .split('\n')
    .filter((line) => /^libbpf: /.test(line))
    .map((line) => line.slice('libbpf: '.length))
    // The last lines only repeat that loading failed.
    .filter((line) => !/^failed to load object|^load bpf program failed/.test(line))
  const error = errorOf(failure.errno, context, failure)
  const detail = unsupported ?? said[0]
  if (error.code === 'NOT_PERMITTED' || detail === undefined) return error
  return new BpfError({
    errno: failure.errno,
    operation: context.operation,
    log,
    hint: error.hint,
    detail,
  })
}

/**
 * The lines of a verifier log that say why: the last instructions with their
 * source line, and the complaint; not the statistics behind it.
 */
export function tellingLines(log: string, count = 6): string[] {
  const lines = log.split('\n').filter((line) => line.trim() !== '')
  const end = lines.findIndex((line) => /^processed \d+ insns/.test(line))
  const upTo = end < 0 ? lines : lines.slice(0, end)
  const source = upTo.findLastIndex((line) => line.startsWith(';'))
  const from = source >= 0 && upTo.length - source < count ? source : upTo.length - count
  return upTo.slice(Math.max(0, from)).map((line) => line.trimEnd())
}
