// SPDX-License-Identifier: MIT
/** How the bench counts: medians, turns, budgets, tables. */
import { describe, expect, it } from 'vitest'
import { judged, markdown } from '../bench/report.js'
import { budget, type Finding } from '../bench/result.js'
import { combine, figure, interleave } from '../bench/statistics.js'

describe('figures', () => {
  it('are the median and the quartiles, whatever the order', () => {
    expect(figure([5, 1, 4, 2, 3])).toEqual({ median: 3, low: 2, high: 4, runs: 5 })
    expect(figure([4, 1, 3, 2])).toEqual({ median: 2.5, low: 1.75, high: 3.25, runs: 4 })
  })

  it('are not made of nothing', () => {
    expect(() => figure([])).toThrow('no runs')
  })
})

describe('interleaved runs', () => {
  it('come in turns, forwards and backwards, and the first round does not count', async () => {
    const order: string[] = []
    const runner = (name: string) => ({
      name,
      run: () => {
        order.push(name)
        return order.length
      },
    })

    const samples = await interleave([runner('a'), runner('b')], 3)

    expect(order.join('')).toBe('baabbaab')
    expect(samples.get('a')).toEqual([3, 6, 7])
    expect(samples.get('b')).toEqual([4, 5, 8])
  })

  it('are set against each other round by round', () => {
    const samples = new Map([
      ['path', [30, 40, 50]],
      ['wrapper', [10, 10, 20]],
    ])
    expect(combine(samples, ['path', 'wrapper'], (path, wrapper) => path - wrapper)).toEqual([20, 30, 30])
    expect(() => combine(samples, ['path', 'other'], () => 0)).toThrow('nothing was measured')
  })

  it('refuse two candidates of one name', async () => {
    const one = { name: 'a', run: () => 1 }
    await expect(interleave([one, one], 7)).rejects.toThrow('the same name')
  })
})

describe('the report', () => {
  const finding = (median: number): Finding => {
    const ratio = figure([median, median, median])
    return {
      group: 'run',
      title: 'Runs',
      about: 'About.',
      machine: '2 × CPU',
      kernel: '6.1.0',
      date: '2025-01-01 00:00 UTC',
      command: 'make bench GROUP=run',
      seconds: 1,
      load: '0.5',
      sections: [
        {
          title: 'Section',
          unit: 'ns',
          notes: [],
          rows: [
            {
              what: 'NAT',
              variant: '1 flow',
              amount: figure([20, 21, 22]),
              ratios: [{ of: 'HASH lookup', figure: ratio, budget: budget(ratio, '≤', 1.4) }],
            },
          ],
        },
      ],
    }
  }

  it('says of every budget whether it was met', () => {
    expect(markdown([finding(1.4)])).toContain(
      '| NAT | 1 flow | 21.0 ns | 20.5–21.5 | 1.40 | 1.40–1.40 | HASH lookup | ≤ 1.4: met |',
    )
    expect(markdown([finding(1.41)])).toContain('≤ 1.4: NOT met')
    expect(markdown([finding(1.41)])).toContain('**0 of 1 budgets met.**')
  })

  it('names machine, kernel, date and command with each group', () => {
    expect(markdown([finding(1)])).toContain(
      '| 2 × CPU | 6.1.0 | 2025-01-01 00:00 UTC | `make bench GROUP=run` | 1 s | 0.5 |',
    )
    expect(judged([finding(1), finding(2)]).map(({ ratio }) => ratio.budget.met)).toEqual([true, false])
  })
})
