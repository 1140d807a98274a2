// SPDX-License-Identifier: MIT
/** The replay's own judgement: what it takes for equal, and how it names what is not. */
import { describe, expect, it } from 'vitest'
import { compareConns, compareFrames } from '../support/replay/compare.js'
import { recordedSetting } from '../support/replay/director.js'
import { decode } from '../support/replay/frame.js'
import { deferred, groundPackets, groundSchedulers } from '../support/replay/ground.js'
import { packetRecording, packetScenarios, schedulerCases } from '../support/replay/recording.js'

const SYN =
  '020000000101020000000102080045000028123440004006148a0a0100020a0000019c400050000003e80000000050024000f8530000'

/** The same frame with one byte changed. */
function changed(frame: string, offset: number, value: number): string {
  const data = Buffer.from(frame, 'hex')
  data[offset] = value
  return data.toString('hex')
}

describe('a frame', () => {
  it('is as recorded when every byte is', () => {
    expect(compareFrames([{ at: 's', frame: SYN }], [{ at: 's', frame: SYN }])).toEqual([])
  })

  it('differs by the name of the field', () => {
    const [difference] = compareFrames([{ at: 's', frame: SYN }], [{ at: 's', frame: changed(SYN, 22, 63) }])

    expect(difference?.what).toBe('frame 1 at s: ip.ttl at 22 is 3f, not 40')
    expect(difference?.detail[1]).toContain('BAD-IP-CHECKSUM')
  })

  it('may vary where the recording says so, and only there', () => {
    const expected = { at: 's', frame: SYN, varies: [[18, 2, 'ip.id']] } as const

    expect(compareFrames([expected], [{ at: 's', frame: changed(SYN, 19, 1) }])).toEqual([])
    expect(compareFrames([expected], [{ at: 's', frame: changed(SYN, 20, 1) }])).toHaveLength(1)
  })

  it('must leave at its side, in its order and alone', () => {
    const other = changed(SYN, 47, 0x10)

    expect(compareFrames([{ at: 's', frame: SYN }], [{ at: 'c', frame: SYN }])).toHaveLength(1)
    expect(
      compareFrames(
        [
          { at: 's', frame: SYN },
          { at: 's', frame: other },
        ],
        [
          { at: 's', frame: other },
          { at: 's', frame: SYN },
        ],
      ),
    ).toHaveLength(2)
    expect(
      compareFrames(
        [{ at: 's', frame: SYN }],
        [
          { at: 's', frame: other },
          { at: 's', frame: SYN },
        ],
      ),
    ).toMatchObject([{ what: 'a frame left at s that should not' }])
    expect(compareFrames([{ at: 's', frame: SYN }], [])).toMatchObject([
      { what: 'a frame did not leave at s' },
    ])
  })

  it('is judged as in the recordings: the same frames have wrong checksums', () => {
    const wrong: string[] = []
    let judged = 0
    for (const name of packetScenarios()) {
      for (const step of packetRecording(name).steps) {
        if (!('out' in step)) continue
        for (const { frame, is } of [...step.out, ...('frame' in step ? [step] : [])]) {
          // Inside quotes and tunnels the two notations differ in what they look at.
          if (is === undefined || /SCTP|\[|:.*>.*>|ICMP|frag|GRE|GUE/.test(is)) continue
          judged++
          if (is.includes('BAD-CHECKSUM') !== decode(frame).summary.includes('BAD-CHECKSUM')) {
            wrong.push(`${name}: ${is} / ${decode(frame).summary}`)
          }
        }
      }
    }

    expect(wrong).toEqual([])
    expect(judged).toBeGreaterThan(1000)
  })
})

describe('a connection list', () => {
  const row = 'TCP  01:00 SYN_RECV    10.1.0.2:40000 10.0.0.1:80 10.2.0.11:8080'
  const listed = (time: string) => [
    'IPVS connection entries',
    'pro expire state       source             virtual            destination',
    `TCP ${time}  SYN_RECV    10.1.0.2:40000 10.0.0.1:80 10.2.0.11:8080`,
  ]

  it('shows the whole seconds that are left', () => {
    expect(compareConns([row], [], listed('00:59'), 0.2)).toEqual([])
    expect(compareConns([row], [], listed('01:00'), 0)).toEqual([])
    expect(compareConns([row], [], listed('00:58'), 0.2)).toHaveLength(1)
    expect(compareConns([row], [], listed('01:01'), 0.2)).toHaveLength(1)
    expect(compareConns([row], [], listed('00:57'), 2.1)).toEqual([])
  })

  it('is loose about the rows that are recorded as loose', () => {
    expect(compareConns([row], [row], listed('00:57'), 0)).toEqual([])
    expect(compareConns([row], [row], listed('00:55'), 0)).toHaveLength(1)
  })

  it('has every row once, in the recorded state', () => {
    expect(compareConns([], [], listed('01:00'), 0)).toHaveLength(1)
    expect(compareConns([row, row], [], listed('01:00'), 0)).toHaveLength(1)
    expect(compareConns([row.replace('SYN_RECV', 'ESTABLISHED')], [], listed('01:00'), 0)).toHaveLength(1)
  })
})

describe('a recorded sysctl', () => {
  it('of kernel IPVS is a setting of xlvs, any other is not', () => {
    expect(recordedSetting("sysctl -qw net.ipv4.vs.conn_reuse_mode='0'")).toEqual({
      name: 'conn_reuse_mode',
      value: 0,
    })
    expect(recordedSetting('sysctl -qw net.ipv4.tcp_timestamps=0')).toBeUndefined()
    expect(recordedSetting('ipvsadm -Ln')).toBeUndefined()
  })
})

describe('the recordings', () => {
  it('are all either claimed or left to later for a reason', () => {
    const claimed = [...groundPackets(), ...groundSchedulers()]
    const later = deferred()

    expect(claimed.length + later.length).toBe(packetScenarios().length + schedulerCases().length)
    expect(claimed.length).toBeGreaterThan(70)
    expect(later.every(({ reason }) => reason.length > 3)).toBe(true)
  })
})
