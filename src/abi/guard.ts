// SPDX-License-Identifier: MIT
/**
 * Keeps the codecs and the kernel side from drifting apart: objects are compared
 * before they are loaded, pinned maps before they are used again.
 */

import type { Btf } from '../btf/btf.js'
import { describeLayout, layoutOf } from '../btf/layout.js'
import { Failure } from '../util/errors.js'
import { ABI_FINGERPRINT_U64, LAYOUTS } from './generated.js'

const HINT = 'build everything together: `make`'

/**
 * Refuses an object file whose shared structs are not those of the codecs.
 *
 * @param name how the message calls the object
 */
export function checkObjectLayout(btf: Btf, name: string): void {
  const structs = btf.types.filter((type) => type.kind === 'struct' && type.name in LAYOUTS)
  for (const struct of structs) {
    const expected = LAYOUTS[struct.name] as string
    const found = describeLayout(layoutOf(btf, struct.name))
    if (found === expected) continue
    throw new Failure(
      'LAYOUT_MISMATCH',
      `${name} was built from another version of struct ${struct.name}: ${difference(expected, found)}`,
      { hint: HINT },
    )
  }
}

/** What is compared of a map; BpfMap and its info have these. */
export interface MapShape {
  readonly type: string
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
}

/**
 * Refuses a pinned map that the programs could not use: another type or another
 * layout. Its number of entries is its own affair unless `sameSize` is asked for.
 */
export function checkPinnedMap(
  name: string,
  pinned: MapShape,
  wanted: MapShape,
  options: { readonly sameSize?: boolean; readonly hint?: string } = {},
): void {
  const properties = [
    'type',
    'keySize',
    'valueSize',
    ...(options.sameSize ? (['maxEntries'] as const) : []),
  ] as const
  for (const property of properties) {
    if (pinned[property] === wanted[property]) continue
    throw new Failure(
      'LAYOUT_MISMATCH',
      `the pinned map ${name} has ${property} ${pinned[property]}, these programs need ${wanted[property]}`,
      options.hint === undefined ? {} : { hint: options.hint },
    )
  }
}

/** Refuses tables whose fingerprint, read from their configuration, is another one. */
export function checkFingerprint(found: bigint, hint?: string): void {
  if (found === ABI_FINGERPRINT_U64) return
  throw new Failure(
    'LAYOUT_MISMATCH',
    `the pinned maps have layout ${hex(found)}, this version has ${hex(ABI_FINGERPRINT_U64)}`,
    hint === undefined ? {} : { hint },
  )
}

function hex(value: bigint): string {
  return value.toString(16).padStart(16, '0')
}

/** The first line in which two layouts differ. */
function difference(expected: string, found: string): string {
  const wanted = expected.trimEnd().split('\n')
  const lines = found.trimEnd().split('\n')
  const at = wanted.findIndex((line, index) => line !== lines[index])
  const line = (list: readonly string[]) => list[at < 0 ? wanted.length : at]?.trim() ?? 'nothing'
  return `'${line(lines)}' instead of '${line(wanted)}'`
}
