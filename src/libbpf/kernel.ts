// SPDX-License-Identifier: MIT
/** What the running kernel offers. */

import { existsSync } from 'node:fs'
import { release } from 'node:os'

import { native } from './addon.js'
import { PROGRAM_TYPES, type ProgramType } from './constants.js'
import { missingCapabilities } from './errors.js'
import { hasTcx } from './link.js'

export interface KernelInfo {
  /** As `uname -r`: `6.1.0-30-amd64`. */
  readonly release: string
  readonly version: readonly [major: number, minor: number]
  readonly possibleCpus: number
  /** Whether the kernel publishes its own types (/sys/kernel/btf/vmlinux). */
  readonly btf: boolean
  readonly libbpf: string
}

export function kernel(): KernelInfo {
  const [major = 0, minor = 0] = release().split('.').map(Number.parseFloat)
  return {
    release: release(),
    version: [major, minor],
    possibleCpus: native().possibleCpus,
    btf: existsSync('/sys/kernel/btf/vmlinux'),
    libbpf: native().libbpfVersion,
  }
}

/** Values in a per-CPU element. */
export function possibleCpus(): number {
  return native().possibleCpus
}

/** Features worth asking for, and the Linux version that brings each. */
export const FEATURES = {
  tcx: '6.6',
  'helper:redirect_neigh': '5.10',
  'helper:ktime_get_coarse_ns': '5.11',
  'program:syscall': '5.14',
  'helper:timer_init': '5.15',
  'helper:loop': '5.17',
  'helper:xdp_load_bytes': '5.18',
} as const

export type Feature = keyof typeof FEATURES

const HELPERS: Partial<Record<Feature, readonly [ProgramType, number]>> = {
  'helper:redirect_neigh': ['sched-cls', 152],
  'helper:ktime_get_coarse_ns': ['xdp', 160],
  'helper:timer_init': ['xdp', 169],
  'helper:loop': ['xdp', 181],
  'helper:xdp_load_bytes': ['xdp', 189],
}

/**
 * Tries a feature out, as distributions backport. undefined: could not be tried,
 * for lack of privileges.
 */
export function hasFeature(feature: Feature): boolean | undefined {
  if (missingCapabilities(['CAP_BPF', 'CAP_NET_ADMIN']).length > 0) return undefined
  if (feature === 'tcx') return hasTcx()
  const helper = HELPERS[feature]
  const answer = helper
    ? native().probeHelper(PROGRAM_TYPES[helper[0]], helper[1])
    : native().probeProgramType(PROGRAM_TYPES.syscall)
  return answer < 0 ? undefined : answer === 1
}
