// SPDX-License-Identifier: MIT
import fc from 'fast-check'
import { isIPv4, isIPv6 } from 'node:net'
import { describe, expect, test } from 'vitest'
import {
  addressBytes,
  addressKind,
  formatAddress,
  ipv4Number,
  parseAddress,
  parseInetAton,
} from '../../src/ipvs/address.js'

describe('parseAddress', () => {
  // Right-hand sides are what glibc's inet_ntop prints.
  test.each([
    ['10.0.0.1', '10.0.0.1'],
    ['::', '::'],
    ['::1', '::1'],
    ['::ffff', '::ffff'],
    ['::1:2', '::0.1.0.2'],
    ['::1.2.3.4', '::1.2.3.4'],
    ['::FFFF:1.2.3.4', '::ffff:1.2.3.4'],
    ['::ffff:0:1', '::ffff:0.0.0.1'],
    ['::fffe:1:2', '::fffe:1:2'],
    ['1::', '1::'],
    ['1:0:0:2::', '1:0:0:2::'],
    ['1:2:3:4:5:6:7:0', '1:2:3:4:5:6:7:0'],
    ['::a:b:c:d:e:f:1', '0:a:b:c:d:e:f:1'],
    ['2001:0db8:0:0:1::1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ])('%s is %s', (typed, canonical) => {
    expect(parseAddress(typed)?.text).toBe(canonical)
  })

  test.each([
    ...[
      '',
      '1',
      '10.1',
      '010.0.0.1',
      '1.2.3.4.',
      '1.2.3',
      '256.0.0.1',
      '1.2.3.4.5',
      '0x7f.0.0.1',
      ' 1.2.3.4',
    ],
    ...[
      ':',
      ':::',
      '1::2::3',
      '1:2:3:4:5:6:7',
      '1:2:3:4:5:6:7:8:9',
      '::00001',
      '::g',
      'fe80::1%eth0',
      '[::1]',
    ],
    ...['::1.2.3', '::1.2.3.256', '::01.2.3.4', '::1.2.3.4:5', '1:2:3:4:5:6:7:1.2.3.4', '::1/64', '1:'],
  ])('refuses %j', (text) => {
    expect(parseAddress(text)).toBeUndefined()
  })

  test('accepts what inet_pton accepts and nothing else', () => {
    const words = fc.stringMatching(/^[0-9a-f]{0,5}$/)
    const almost = fc
      .array(fc.oneof(words, fc.constant(''), fc.ipV4()), { minLength: 1, maxLength: 9 })
      .map((parts) => parts.join(':'))
    fc.assert(
      fc.property(fc.oneof(fc.ipV6(), fc.ipV4(), almost), (text) => {
        expect(parseAddress(text)?.family).toBe(isIPv6(text) ? 6 : isIPv4(text) ? 4 : undefined)
      }),
      { numRuns: 2000 },
    )
  })

  test('canonical text survives another round of parsing, byte for byte', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      // Many zero words, where the shortening has something to decide.
      fc
        .array(fc.constantFrom(0, 0, 0, 1, 0xff), { minLength: 16, maxLength: 16 })
        .map((a) => Uint8Array.from(a)),
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
    )
    fc.assert(
      fc.property(bytes, (address) => {
        const text = formatAddress(address)
        expect(parseAddress(text)).toEqual({ family: address.length === 4 ? 4 : 6, text })
        expect(addressBytes(text)).toEqual(address)
      }),
    )
  })
})

describe('parseInetAton', () => {
  test.each([
    ['10.0.0.1', '10.0.0.1'],
    ['10.1', '10.0.0.1'],
    ['10.1.2', '10.1.0.2'],
    ['10.1.65535', '10.1.255.255'],
    ['24', '0.0.0.24'],
    ['0x7f.1', '127.0.0.1'],
    ['0x0a000001', '10.0.0.1'],
    ['010.0.0.1', '8.0.0.1'],
    ['4294967295', '255.255.255.255'],
  ])('%s is %s', (typed, address) => {
    expect(parseInetAton(typed)).toBe(address)
  })

  test.each([
    '',
    '10.',
    '.1',
    '256.1',
    '10.16777216',
    '1.2.3.256',
    '4294967296',
    '0x',
    '08.1',
    '1.2.3.4.5',
    '10.a',
  ])('refuses %j', (text) => {
    expect(parseInetAton(text)).toBeUndefined()
  })
})

test('tells which addresses a real server may have', () => {
  expect(
    ['10.2.0.11', '127.0.0.1', '0.1.2.3', '240.0.0.1', 'fd02::11', '::1', '2001:db8::1'].map(addressKind),
  ).toEqual(Array(7).fill('unicast'))
  expect(['0.0.0.0', '224.0.0.9', '239.255.255.255', '255.255.255.255'].map(addressKind)).toEqual(
    Array(4).fill('other'),
  )
  expect(['::', 'ff02::1', '::ffff:10.0.0.1'].map(addressKind)).toEqual(Array(3).fill('other'))
  expect(['fe80::1', 'febf::1'].map(addressKind)).toEqual(['link-local', 'link-local'])
})

test('an IPv4 address is also a number', () => {
  expect(ipv4Number('192.168.100.200')).toBe(0xc0a864c8)
})
