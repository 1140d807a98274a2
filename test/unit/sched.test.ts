// SPDX-License-Identifier: MIT
/**
 * Schedulers: recorded choices of the kernel, choice by choice, and what happens to a
 * scheduler's memory when the list of dests changes.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MemoryDatapath } from '../../src/datapath/memory/memory.js'
import type { Endpoint } from '../../src/ipvs/conn.js'
import { destKeyOf } from '../../src/ipvs/dest.js'
import { findScheduler, type Candidate, type SchedState } from '../../src/ipvs/sched.js'
import type { WrrState } from '../../src/ipvs/sched/wrr.js'
import { ipvsadmLine } from '../support/ipvsadm.js'
import { groundSchedulers } from '../support/replay/ground.js'
import { schedulerRecording } from '../support/replay/recording.js'

describe('the recorded sequences of the kernel', () => {
  test.each(groundSchedulers())('%s', (name) => {
    const recording = schedulerRecording(name)
    const { family, protocol } = recording.service
    const datapath = new MemoryDatapath()
    const command = (line: string): void =>
      expect({ line, ...ipvsadmLine(datapath, line) }).toEqual({ line, status: 0, stdout: '', stderr: '' })
    const send = (client: string, to: string, flags: object) =>
      datapath.deliver({ family, protocol, source: endpoint(client), destination: endpoint(to), flags })
    recording.ipvsadm.forEach(command)

    for (const [number, step] of recording.steps.entries()) {
      if (step.op === 'connect') {
        const { dest } = send(step.client, step.to, { syn: true })
        const chosen = dest === undefined ? null : destKeyOf({ ...dest, family })
        expect({ number, chosen }).toEqual({ number, chosen: step.dest })
      } else if (step.op === 'fin') send(step.client, step.to, { fin: true, ack: true })
      else command(step.command)
    }

    const [service] = datapath.services()
    expect(
      service!.dests.map((dest) => ({
        dest: destKeyOf(dest),
        weight: dest.weight,
        active: dest.activeConns,
        inactive: dest.inactiveConns,
      })),
    ).toEqual(recording.final_in_proc_order)
  })

  test('all that use only these schedulers are among them', () => {
    for (const name of [
      'rr-equal',
      'rr-v6',
      'wrr-change',
      'wrr-thresholds',
      'lc-change',
      'lc-thresholds',
      'wlc-v6',
    ]) {
      expect(groundSchedulers()).toContain(name)
    }
  })

  function endpoint(text: string): Endpoint {
    const [, v6, v4, port] = /^(?:\[(.+)\]|(.+)):(\d+)$/.exec(text)!
    return { address: v6 ?? v4!, port: Number(port) }
  }
})

/** Dests with a letter, added one by one to a list that is newest first. */
class List {
  dests: (Candidate & { readonly name: string })[] = []
  state: SchedState
  readonly #scheduler

  constructor(scheduler: string) {
    this.#scheduler = findScheduler(scheduler)!
    this.state = this.#scheduler.initial([])
  }

  add(name: string, weight = 1): this {
    this.dests = [{ name, weight, activeConns: 0, inactiveConns: 0, overloaded: false }, ...this.dests]
    this.state = this.#scheduler.afterAdd(this.state, this.dests, 0)
    return this
  }

  delete(name: string): this {
    const index = this.dests.findIndex((dest) => dest.name === name)
    this.dests = this.dests.filter((dest) => dest.name !== name)
    this.state = this.#scheduler.afterDelete(this.state, this.dests, index)
    return this
  }

  edit(name: string, change: Partial<Candidate>): this {
    const index = this.dests.findIndex((dest) => dest.name === name)
    this.dests = this.dests.map((dest) => (dest.name === name ? { ...dest, ...change } : dest))
    this.state = this.#scheduler.afterEdit(this.state, this.dests, index)
    return this
  }

  pick(): string {
    const { index, state } = this.#scheduler.pick(this.state, this.dests)
    this.state = state
    return index === undefined ? '-' : this.dests[index]!.name
  }

  picks(count: number): string {
    return Array.from({ length: count }, () => this.pick()).join('')
  }
}

describe('rr', () => {
  test('takes turns from the newest on', () => {
    expect(new List('rr').add('A').add('B').add('C').picks(6)).toBe('CBACBA')
  })

  test('reaches a new dest after the wrap', () => {
    const list = new List('rr').add('A').add('B').add('C')
    expect(list.picks(2)).toBe('CB')
    expect(list.add('D').picks(4)).toBe('ADCB')
  })

  test('goes on from the predecessor when the last used dest is deleted', () => {
    const list = new List('rr').add('A').add('B').add('C')
    expect(list.picks(2)).toBe('CB')
    expect(list.delete('B').picks(3)).toBe('ACA')
  })

  test('leaves out overloaded dests and those of weight 0, and gives up when there is nobody', () => {
    const list = new List('rr').add('A').add('B', 0).add('C')
    expect(list.picks(4)).toBe('CACA')
    expect(list.edit('C', { overloaded: true }).picks(3)).toBe('AAA')
    expect(list.edit('A', { weight: 0 }).picks(2)).toBe('--')
    expect(new List('rr').pick()).toBe('-')
  })
})

describe('wrr', () => {
  test.each([
    [{ A: 4, B: 3, C: 2 }, 'CBAABACBACBAABACBACBA'],
    [{ A: 100, B: 50 }, 'BAABAABAA'],
    [{ A: 1, B: 2 }, 'BABBABBABBAB'],
    [{ A: 5, B: 1, C: 1 }, 'CBAAAAACBAAAAACBAAAAA'],
  ])('dests added one by one, %o, start with the bar the first one left', (weights, picks) => {
    const list = new List('wrr')
    for (const [name, weight] of Object.entries(weights)) list.add(name, weight)
    expect(list.picks(picks.length)).toBe(picks)
  })

  test('starts with the highest bar on a service that has its dests already', () => {
    const wrr = findScheduler('wrr')!
    const list = new List('wrr').add('A', 4).add('B', 3).add('C', 2)
    list.state = wrr.initial(list.dests)
    expect(list.state as WrrState).toEqual({ cl: 0, cw: 4, mw: 4, di: 1 })
    expect(list.picks(9)).toBe('ABACBACBA')
  })

  test('fails where all are overloaded, and recovers', () => {
    const list = new List('wrr').add('A', 4).add('B', 2)
    list.edit('A', { overloaded: true }).edit('B', { overloaded: true })
    expect(list.picks(3)).toBe('---')
    list.edit('B', { overloaded: false })
    expect(list.picks(3)).toBe('BBB')
  })
})

describe('lc and wlc', () => {
  const loaded = (scheduler: string) =>
    new List(scheduler)
      .add('A', 1)
      .add('B', 4)
      .edit('A', { activeConns: 1, inactiveConns: 10 })
      .edit('B', { activeConns: 2, inactiveConns: 0 })

  test('lc looks at the load alone, an active connection counting for 257', () => {
    expect(loaded('lc').pick()).toBe('A')
    expect(loaded('lc').edit('A', { inactiveConns: 257 }).pick()).toBe('B')
  })

  test('wlc divides the load by the weight', () => {
    expect(loaded('wlc').pick()).toBe('B')
    expect(loaded('wlc').edit('B', { weight: 1 }).pick()).toBe('A')
  })

  test.each(['lc', 'wlc'])(
    '%s gives ties to the newest, and nothing to weight 0 or overloaded',
    (scheduler) => {
      const list = new List(scheduler).add('A', 2).add('B', 2).add('C', 2)
      expect(list.pick()).toBe('C')
      expect(list.edit('C', { weight: 0 }).pick()).toBe('B')
      expect(list.edit('B', { overloaded: true }).pick()).toBe('A')
      expect(list.edit('A', { weight: 0 }).pick()).toBe('-')
    },
  )

  test('wlc compares in 64 bits', () => {
    const list = new List('wlc').add('A', 0x7fff_ffff).add('B', 0x7fff_fffe)
    list.edit('A', { activeConns: 0x7fff_ffff }).edit('B', { activeConns: 0x7fff_ffff })
    expect(list.pick()).toBe('A')
  })
})

/**
 * The kernel's own way to remember, pointers into a linked list, against places in an
 * array that are translated: the same choices whatever happens to the list.
 */
describe('a remembered place', () => {
  interface Entry extends Candidate {
    readonly id: number
  }

  /** ip_vs_rr.c and ip_vs_wrr.c with the list head as null. */
  class Pointers {
    list: Entry[] = []
    at: Entry | null = null
    cw = 0
    mw = 0
    di = 1

    next(entry: Entry | null): Entry | null {
      return this.list[entry === null ? 0 : this.list.indexOf(entry) + 1] ?? null
    }

    marks(): void {
      const weights = this.list.map(({ weight }) => weight).filter((weight) => weight > 0)
      const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b))
      this.di = weights.reduce(gcd, 0) || 1
      this.mw = Math.max(0, ...weights) - (this.di - 1)
      this.at = null
      if (this.cw > this.mw || this.cw === 0) this.cw = this.mw
      else if (this.di > 1) this.cw = Math.floor(this.cw / this.di) * this.di + 1
    }

    rr(): Entry | undefined {
      const last = this.at
      for (let pass = 0; pass < 2; pass++) {
        let entry = pass === 0 ? this.next(last) : this.next(null)
        for (; entry !== null; entry = this.next(entry)) {
          if (!entry.overloaded && entry.weight > 0) return (this.at = entry)
          if (entry === last) return undefined
        }
        if (last === null) return undefined
      }
      return undefined
    }

    wrr(): Entry | undefined {
      if (this.mw === 0) return undefined
      const last = this.at
      let stop: Entry | null = null
      let [restarted, lastPass] = [false, false]
      let entry = last
      for (;;) {
        for (entry = this.next(entry); entry !== null; entry = this.next(entry)) {
          if (!entry.overloaded && entry.weight >= this.cw) return (this.at = entry)
          if (entry === stop) {
            this.at = entry
            return undefined
          }
        }
        this.cw -= this.di
        if (this.cw <= 0) {
          this.cw = this.mw
          if (lastPass || last === null) {
            this.at = null
            return undefined
          }
          restarted = true
        }
        lastPass = this.cw <= this.di
        if (lastPass && restarted && last !== null) stop = last
      }
    }
  }

  const weight = fc.constantFrom(0, 1, 1, 2, 3, 4, 6, 100)
  const operation = fc.oneof(
    { weight: 2, arbitrary: fc.record({ op: fc.constant('add' as const), weight }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('delete' as const), at: fc.nat(20) }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('edit' as const), at: fc.nat(20), weight }) },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('overload' as const), at: fc.nat(20) }) },
    { weight: 8, arbitrary: fc.record({ op: fc.constant('pick' as const) }) },
  )

  test.each(['rr', 'wrr'] as const)('of %s leads to the same choices as the kernel’s pointer', (name) => {
    const scheduler = findScheduler(name)!
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
        const kernel = new Pointers()
        let state = scheduler.initial([])
        let ids = 0
        for (const operation of operations) {
          const { list } = kernel
          if (operation.op === 'pick') {
            const { index, state: next } = scheduler.pick(state, list)
            state = next
            expect(index === undefined ? undefined : list[index]).toBe(kernel[name]())
            continue
          }
          if (operation.op === 'add') {
            kernel.list = [
              { id: ids++, weight: operation.weight, activeConns: 0, inactiveConns: 0, overloaded: false },
              ...list,
            ]
            if (name === 'wrr') kernel.marks()
            state = scheduler.afterAdd(state, kernel.list, 0)
            continue
          }
          if (list.length === 0) continue
          const index = operation.at % list.length
          const entry = list[index]!
          if (operation.op === 'delete') {
            const before = list[index - 1] ?? null
            kernel.list = list.filter((other) => other !== entry)
            if (kernel.at === entry) kernel.at = before
            if (name === 'wrr') kernel.marks()
            state = scheduler.afterDelete(state, kernel.list, index)
          } else if (operation.op === 'edit') {
            // Entries are objects with an identity: changed in place, as the kernel's.
            Object.assign(entry, { weight: operation.weight })
            if (name === 'wrr') kernel.marks()
            state = scheduler.afterEdit(state, kernel.list, index)
          } else Object.assign(entry, { overloaded: !entry.overloaded })
        }
      }),
      { numRuns: 2000 },
    )
  })
})

test('names the kernel does not know are nobody’s', () => {
  expect(findScheduler('nosuch')).toBeUndefined()
  expect(new List('none').add('A').pick()).toBe('-')
})
