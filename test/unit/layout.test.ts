// SPDX-License-Identifier: MIT
import { describe, expect, it } from 'vitest'
import { planCables, planLayout } from '../../src/testing/layout.js'

describe('planLayout', () => {
  it('gives every port in a segment its own address and MAC', () => {
    const { hosts } = planLayout({ clients: 3, servers: 12 })

    const ports = hosts.flatMap((host) => host.ports)

    for (const of of [
      (port: (typeof ports)[number]) => port.mac,
      (port: (typeof ports)[number]) => port.addresses[4],
      (port: (typeof ports)[number]) => port.addresses[6],
    ]) {
      expect(new Set(ports.map(of)).size).toBe(ports.length)
    }
    expect(hosts.map((host) => host.name)).toContain('server12')
    expect(hosts.find((host) => host.name === 'server12')?.ports[0]).toMatchObject({
      device: 'eth0',
      segment: 'back',
      addresses: { 4: '10.2.0.22', 6: 'fd02::22' },
    })
  })

  it('leaves out the families a world lacks', () => {
    const { hosts } = planLayout({ families: [6] })

    expect(hosts.flatMap((host) => host.ports).every((port) => port.addresses[4] === undefined)).toBe(true)
  })

  it.each([{ clients: 0 }, { clients: 10 }, { servers: 0 }, { servers: 1.5 }, { families: [] }])(
    'refuses a world of %o',
    (options) => {
      expect(() => planLayout(options)).toThrow(RangeError)
    },
  )
})

describe('planCables', () => {
  it('joins two hosts by one cable, and more by a bridge', () => {
    const two = planCables(planLayout({ clients: 1, servers: 1, router: false }))
    const more = planCables(planLayout({ clients: 1, servers: 2, router: false }))

    expect(two.map(({ to }) => 'bridge' in to)).toEqual([false, false])
    expect(more.map(({ to }) => 'bridge' in to)).toEqual([false, true, true, true])
  })
})
