// SPDX-License-Identifier: MIT
/** The lab in which recordings are replayed: there when asked for, gone whatever happens. */
import { existsSync, readdirSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { Lab } from '../support/replay/lab.js'
import { packetRecording, packetScenarios } from '../support/replay/recording.js'
import { Wire, type LabNames } from '../support/replay/wire.js'

const { lab: record } = packetRecording(packetScenarios()[0]!)

/** An echo request of 10.1.0.2 to the director; the stack answers it without any balancer. */
const PING = '02000000010102000000010208004500001c00014000400126dc0a0100020a0100010800f7fd00010001'

const present = (names: LabNames) =>
  [names.c, names.d, names.s].filter((name) => existsSync(`/run/netns/${name}`))

describe('a lab', () => {
  const wires: Wire[] = []
  const start = () => {
    const wire = Wire.start()
    wires.push(wire)
    return wire
  }
  afterEach(async () => {
    await Promise.all(wires.splice(0).map((wire) => wire.stop()))
  })

  it('answers at the end where it was asked, and in no other lab', async () => {
    const [one, other] = await Promise.all([
      Lab.build(start(), record, { gro: false }),
      Lab.build(start(), record, { gro: false }),
    ])

    await one.wire.send('c', PING, { frames: 1, received: 0, limit: 2000 })

    const caught = await one.wire.take(30)
    expect(caught.frames.map(({ at }) => at)).toEqual(['c'])
    expect((await other.wire.take(30)).frames).toEqual([])
    expect(one.inode).not.toBe(other.inode)
  })

  it('is removed when it is no longer needed', async () => {
    const lab = await Lab.build(start(), record, { gro: true })
    expect(present(lab.names)).toHaveLength(3)

    await lab.remove()

    expect(present(lab.names)).toEqual([])
  })

  it('is removed when its holder ends without a word', async () => {
    const wire = start()
    const lab = await Lab.build(wire, record, { gro: false })

    await wire.stop()

    expect(present(lab.names)).toEqual([])
  })

  it('leaves nothing behind when it cannot be built', async () => {
    const wire = start()
    const broken = { ...record, commands: [...record.commands, 'ip route add 10.9.0.0/24 via 192.0.2.1'] }

    await expect(Lab.build(wire, broken, { gro: false })).rejects.toThrow('building the lab: ip -batch -')

    const left = readdirSync('/run/netns').filter((name) => name.startsWith(`replay-${process.pid}-`))
    expect(left).toEqual([])
  })
})
