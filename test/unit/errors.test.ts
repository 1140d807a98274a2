// SPDX-License-Identifier: MIT
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { FAILURE_CODES, Failure } from '../../src/util/errors.js'

describe('Failure', () => {
  it('carries code, hint, errno and cause', () => {
    const cause = new Error('below')

    const failure = new Failure('DEST_EXISTS', 'dest 10.0.0.2:80 exists', {
      hint: 'edit it',
      errno: 'EEXIST',
      cause,
    })

    expect(failure).toBeInstanceOf(Error)
    expect(failure).toMatchObject({ code: 'DEST_EXISTS', hint: 'edit it', errno: 'EEXIST', cause })
    expect(failure.message).toBe('dest 10.0.0.2:80 exists')
  })

  it('has every code explained in docs/errors.md, and the page explains no other', () => {
    const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8')

    const explained = [...page.matchAll(/^\| `([A-Z_]+)` \|/gm)].map((match) => match[1])

    expect(explained.sort()).toEqual([...FAILURE_CODES].sort())
  })
})
