// SPDX-License-Identifier: MIT
/** The parts of the kernel datapath that need no kernel. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { ExtentAllocator, extentSize, type Extent } from '../../src/datapath/kernel/extents.js'
import { AddressFilter, filterBit, foldAddress } from '../../src/datapath/kernel/filter.js'
import { buildFrame, summarize, type PacketDescription } from '../../src/datapath/kernel/frame.js'
import { bucketsFor, checkSizes, mapSizes } from '../../src/datapath/kernel/sizes.js'
import { decodeKey, encodeKey } from '../../src/datapath/kernel/registry.js'
import { addressBytes } from '../../src/ipvs/address.js'
import { serviceKey } from '../../src/ipvs/spec.js'

describe('room for dest lists', () => {
  const requests = fc.array(fc.record({ count: fc.integer({ min: 1, max: 300 }), free: fc.boolean() }), {
    maxLength: 60,
    size: 'max',
  })

  it('never gives the same entry twice, and gets all of it back', () => {
    fc.assert(
      fc.property(requests, (list) => {
        const capacity = 1024
        const allocator = new ExtentAllocator(capacity, [])
        const held: Extent[] = []
        for (const { count, free } of list) {
          const extent = allocator.take(count)
          if (extent !== undefined) {
            expect(extent.capacity).toBe(extentSize(count))
            expect(extent.start + extent.capacity).toBeLessThanOrEqual(capacity)
            for (const other of held) {
              const apart =
                extent.start >= other.start + other.capacity || other.start >= extent.start + extent.capacity
              expect(apart).toBe(true)
            }
            held.push(extent)
          }
          if (free && held.length > 0) allocator.give(held.shift()!)
        }
        // Another process sees the same room from the heads alone.
        const again = new ExtentAllocator(capacity, held)
        for (const extent of held) {
          allocator.give(extent)
          again.give(extent)
        }
        expect(allocator.take(capacity)).toEqual({ start: 0, capacity })
        expect(again.take(capacity)).toEqual({ start: 0, capacity })
      }),
    )
  })

  it('says so when nothing that large is left', () => {
    const allocator = new ExtentAllocator(64, [{ start: 0, capacity: 32 }])
    expect(allocator.take(33)).toBeUndefined()
    expect(allocator.take(32)).toEqual({ start: 32, capacity: 32 })
    expect(allocator.take(1)).toBeUndefined()
  })
})

describe('the address filter', () => {
  it('finds every address it was given, also when an IPv6 one is folded', () => {
    const filter = new AddressFilter(new Uint32Array(2048))
    const given = ['10.0.0.1', '192.0.2.255', '2001:db8::1', '::1']
    const bytes = (text: string) => {
      const all = new Uint8Array(16)
      all.set(addressBytes(text))
      return all
    }
    const family = (text: string) => (text.includes(':') ? 6 : 4)
    for (const text of given) filter.add(bytes(text), family(text))

    for (const text of given) expect(filter.has(bytes(text), family(text))).toBe(true)
    expect(filter.has(bytes('10.0.0.2'), 4)).toBe(false)
  })

  it('hashes as the programs do', () => {
    // By hand, in arithmetic without 32-bit tricks: h = v * A; h ^= h >> 15; h *= B; h >> 16.
    const reference = (value: bigint) => {
      let hash = (value * 0x9e3779b1n) % 2n ** 32n
      hash ^= hash >> 15n
      return Number(((hash * 0x85ebca77n) % 2n ** 32n) >> 16n)
    }
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        for (const family of [4, 6] as const) {
          const folded = foldAddress(bytes, family)
          expect(filterBit(folded)).toBe(reference(BigInt(folded >>> 0)))
        }
      }),
    )
  })
})

describe('frames for explain', () => {
  const endpoint = (family: 4 | 6) =>
    fc.record({
      address:
        family === 4
          ? fc.ipV4()
          : fc.integer({ min: 1, max: 0xffff }).map((word) => `2001:db8::${word.toString(16)}`),
      port: fc.integer({ min: 0, max: 65535 }),
    })
  const packets: fc.Arbitrary<PacketDescription> = fc.constantFrom(4 as const, 6 as const).chain((family) =>
    fc.record({
      protocol: fc.constantFrom('tcp' as const, 'udp' as const),
      source: endpoint(family),
      destination: endpoint(family),
      flags: fc.subarray(['fin', 'syn', 'rst', 'psh', 'ack', 'urg'] as const),
      ttl: fc.integer({ min: 1, max: 255 }),
      tos: fc.integer({ min: 0, max: 255 }),
      df: fc.boolean(),
      payload: fc.integer({ min: 0, max: 64 }),
    }),
  )
  const link = { sourceMac: '02:00:00:00:00:01', destinationMac: '02:00:00:00:00:02' }

  it('are read as they were described', () => {
    fc.assert(
      fc.property(packets, (packet) => {
        const { headers } = summarize(buildFrame(packet, link))

        const [ip, transport] = headers
        const six = packet.source.address.includes(':')
        expect(ip).toMatchObject({
          kind: six ? 'ipv6' : 'ipv4',
          source: packet.source.address,
          destination: packet.destination.address,
          ttl: packet.ttl,
          tos: packet.tos,
          df: six || packet.df,
        })
        expect(transport).toMatchObject({
          kind: packet.protocol,
          source: packet.source.port,
          destination: packet.destination.port,
          ...(packet.protocol === 'tcp' ? { flags: packet.flags } : {}),
        })
      }),
    )
  })

  it('have the checksum that a sum over everything proves', () => {
    fc.assert(
      fc.property(packets, (packet) => {
        const frame = buildFrame(packet, link)
        const six = packet.source.address.includes(':')
        const l4 = six ? 54 : 34
        const padded = Buffer.concat([frame, Buffer.alloc(frame.length % 2)])
        const words = (from: number, to: number) => {
          let total = 0
          for (let at = from; at < to; at += 2) total += padded.readUInt16BE(at)
          return total
        }
        const fold = (total: number) => {
          while (total > 0xffff) total = (total & 0xffff) + (total >>> 16)
          return total
        }
        const pseudo = words(six ? 22 : 26, l4) + (packet.protocol === 'tcp' ? 6 : 17) + frame.length - l4
        expect(fold(pseudo + words(l4, padded.length))).toBe(0xffff)
        if (!six) expect(fold(words(14, 34))).toBe(0xffff)
      }),
    )
  })

  it('are refused with addresses of two families', () => {
    const source = { address: '10.0.0.1', port: 1 }
    const destination = { address: 'fd00::1', port: 1 }
    expect(() => buildFrame({ protocol: 'tcp', source, destination }, link)).toThrow(/different families/)
  })

  it('are never too short or too odd to be told', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        expect(summarize(bytes).length).toBe(bytes.length)
      }),
    )
  })
})

describe('sizes', () => {
  it('leave half a line to spare for each connection', () => {
    const { buckets4, spares4, buckets6 } = bucketsFor(262_144)
    expect(buckets4 * 8).toBe(262_144 * 1.5)
    expect(spares4).toBe(buckets4 / 8)
    expect(buckets6).toBe(buckets4 / 2)
  })

  it('are refused when they cannot be made', () => {
    for (const wrong of [
      { conns: 0 },
      { services: -1 },
      { dests: 1.5 },
      { dests: Number.NaN },
      { conns: 1e9 },
    ]) {
      expect(() => checkSizes(wrong)).toThrow(/must be between/)
    }
  })

  it('have room for two lists of every dest, each in twice its length', () => {
    const sizes = checkSizes({ services: 10, dests: 1000 })
    const { dest_refs: refs, dest_sets: sets, dests } = mapSizes(sizes, bucketsFor(sizes.conns))
    expect(refs).toBeGreaterThanOrEqual(4000)
    expect(sets).toBe(22)
    expect(dests).toBe(1001)
  })
})

describe('keys of services', () => {
  it('are the same after a trip through the map', () => {
    const keys = [
      serviceKey('tcp', '10.0.0.1:80'),
      serviceKey('udp', '[2001:db8::1]:53'),
      { kind: 'fwmark', fwmark: 0xdeadbeef, family: 6 } as const,
    ]
    for (const key of keys) expect(decodeKey(encodeKey(key))).toEqual(key)
  })
})
