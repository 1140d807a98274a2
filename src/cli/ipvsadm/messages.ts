// SPDX-License-Identifier: MIT
/**
 * The kernel's refusals in ipvsadm's words.
 */
import type { Failure } from '../../util/errors.js'
import type { Errno } from '../../util/errors.js'
import type { Command } from './grammar.js'

type Kind = Command['kind']

/** Where ipvsadm knows better than the C library what happened. */
const SPECIFIC: readonly (readonly [kinds: readonly Kind[], errno: Errno, text: string])[] = [
  [['add-service'], 'EEXIST', 'Service already exists'],
  [['add-service', 'edit-service'], 'ENOENT', 'Scheduler or persistence engine not found'],
  [['edit-service', 'delete-service', 'zero', 'list-services'], 'ESRCH', 'No such service'],
  [['add-server', 'edit-server', 'delete-server'], 'ESRCH', 'Service not defined'],
  [['add-server'], 'EEXIST', 'Destination already exists'],
  [['edit-server', 'delete-server'], 'ENOENT', 'No such destination'],
  [['start-daemon'], 'EEXIST', 'Daemon has already run'],
  [['stop-daemon'], 'ESRCH', 'No daemon is running'],
]

const GENERAL: Readonly<Record<Errno, string>> = {
  EPERM: 'Permission denied (you must be root)',
  EINVAL: 'Invalid operation.  Possibly wrong module version, address not unicast, ...',
  ENOMEM: 'Memory allocation problem',
  EOPNOTSUPP: 'Operation not supported with IPv6',
  EAFNOSUPPORT: 'Operation not supported with specified address family',
  // What is left has the C library's text.
  EEXIST: 'File exists',
  ENOENT: 'No such file or directory',
  ESRCH: 'No such process',
  ERANGE: 'Numerical result out of range',
  ENODEV: 'No such device',
}

/** One line for a refusal. Failures the kernel does not know speak for themselves. */
export function refusalText(failure: Failure, kind?: Kind): string {
  const { errno } = failure
  if (errno === undefined) return [failure.message, failure.hint].filter(Boolean).join('\n')
  const specific = SPECIFIC.find(
    ([kinds, code]) => code === errno && kind !== undefined && kinds.includes(kind),
  )
  return specific?.[2] ?? GENERAL[errno]
}
