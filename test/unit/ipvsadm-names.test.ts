// SPDX-License-Identifier: MIT
/** Names in listings without -n: files first, then the resolver, once and not for long. */
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { SystemNames, type Getent } from '../../src/cli/ipvsadm/names.js'

const root = fileURLToPath(new URL('../fixtures/names', import.meta.url))

/** A resolver that writes down what it was asked. */
function resolver(answer: Getent): { asked: string[][]; names: SystemNames } {
  const asked: string[][] = []
  const names = new SystemNames(root, (database, keys, limit) => {
    asked.push([database, ...keys])
    return answer(database, keys, limit)
  })
  return { asked, names }
}

describe('hosts', () => {
  test('are looked up in the file, the first name of the first line that fits', () => {
    const { names, asked } = resolver(() => '')

    expect(names.hostName('10.9.0.2')).toBe('r2.example.com')
    expect(names.hostName('fd00::9')).toBe('another-rather-long-real-server-name.example.com')
    expect(names.hostAddress('R2')).toBe('10.9.0.2')
    expect(names.hostAddress('localhost')).toBe('127.0.0.1')
    expect(asked).toEqual([])
  })

  test('the file does not have are asked of the resolver, all at once and only once', () => {
    const { names, asked } = resolver(() => '192.0.2.1       one.example alias\nFD00:0::77  six.example\n')

    names.prepare(['10.9.0.2', '192.0.2.1', 'fd00::77', '192.0.2.2', '192.0.2.1'])

    expect(
      ['10.9.0.2', '192.0.2.1', 'fd00::77', '192.0.2.2'].map((address) => names.hostName(address)),
    ).toEqual(['r2.example.com', 'one.example', 'six.example', undefined])
    expect(asked).toEqual([['hosts', '192.0.2.1', 'fd00::77', '192.0.2.2']])
  })

  test('are asked in pieces that share one time limit', () => {
    const limits: number[] = []
    const { names, asked } = resolver((_database, _keys, limit) => {
      limits.push(limit)
      // As long as the limit allows, as with a name server that does not answer.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, limits.length === 1 ? 1900 : limit)
      return ''
    })

    names.prepare(Array.from({ length: 2000 }, (_, i) => `10.77.${i >> 8}.${i & 255}`))

    expect(limits[0]).toBeLessThanOrEqual(2000)
    expect(limits[1] ?? 0).toBeLessThanOrEqual(100)
    expect(asked.length).toBeLessThan(4)
    expect(names.hostName('10.77.7.207')).toBeUndefined()
  })

  test('that cannot be names are not asked for', () => {
    const { names, asked } = resolver(() => '1.2.3.4 STREAM x\n')

    expect(['', '10.0.0.1/8', '[fd00', 'a b'].map((name) => names.hostAddress(name))).toEqual(
      Array(4).fill(undefined),
    )
    expect(names.hostAddress('www.example.com')).toBe('1.2.3.4')
    expect(asked).toEqual([['ahostsv4', 'www.example.com']])
  })
})

describe('services', () => {
  const names = new SystemNames(root, () => '')

  test('have a name per protocol, and aliases for who types', () => {
    expect(names.serviceName(21, 'tcp')).toBe('ftp')
    expect(names.serviceName(21, 'udp')).toBe('fsp')
    expect(names.serviceName(80, 'sctp')).toBeUndefined()
    expect(names.servicePort('www', 'tcp')).toBe(80)
    expect(names.servicePort('http', 'udp')).toBeUndefined()
    expect(names.servicePort('HTTP', 'tcp')).toBeUndefined()
  })

  test('are numbers where there is no file', () => {
    const none = new SystemNames('/nowhere', () => '')

    expect(none.serviceName(80, 'tcp')).toBeUndefined()
    expect(none.hostName('127.0.0.1')).toBeUndefined()
  })
})

test('the system’s own resolver is asked and heard', () => {
  // Through nsswitch.conf, which has the file on every system.
  const names = new SystemNames('/nowhere')

  expect(names.hostAddress('localhost')).toBe('127.0.0.1')
})
