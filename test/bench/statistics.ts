// SPDX-License-Identifier: MIT
/** Medians with their spread, from runs that were interleaved. */

export interface Figure {
  readonly median: number
  /** Quartiles: half of the runs lie between them. */
  readonly low: number
  readonly high: number
  readonly runs: number
}

export function quantile(sorted: readonly number[], q: number): number {
  const at = (sorted.length - 1) * q
  const below = sorted[Math.floor(at)]!
  const above = sorted[Math.ceil(at)]!
  return below + (above - below) * (at - Math.floor(at))
}

export function figure(values: readonly number[]): Figure {
  if (values.length === 0) throw new RangeError('no runs')
  const sorted = [...values].sort((a, b) => a - b)
  return {
    median: quantile(sorted, 0.5),
    low: quantile(sorted, 0.25),
    high: quantile(sorted, 0.75),
    runs: values.length,
  }
}

/** One thing to be measured; answers nanoseconds per packet, or any other amount. */
export interface Runner {
  readonly name: string
  run(): number | Promise<number>
}

/** Amounts by runner, in the order of the rounds. */
export type Samples = ReadonlyMap<string, readonly number[]>

/**
 * Runs everything once per round, so that whatever else the machine does falls upon
 * all candidates alike. Every other round goes backwards, so that no candidate always
 * runs behind the same one. One more round comes first and does not count.
 */
export async function interleave(runners: readonly Runner[], rounds: number): Promise<Samples> {
  const samples = new Map<string, number[]>(runners.map(({ name }) => [name, []]))
  if (samples.size !== runners.length) throw new Error('two candidates have the same name')
  for (let round = -1; round < rounds; round++) {
    const order = round % 2 === 0 ? runners : [...runners].reverse()
    for (const runner of order) {
      const amount = await runner.run()
      if (round >= 0) samples.get(runner.name)!.push(amount)
    }
  }
  return samples
}

/** Combines the samples of several runners round by round. */
export function combine(
  samples: Samples,
  names: readonly string[],
  how: (...amounts: number[]) => number,
): number[] {
  const columns = names.map((name) => {
    const column = samples.get(name)
    if (column === undefined) throw new Error(`nothing was measured under the name ${name}`)
    return column
  })
  return columns[0]!.map((_, round) => how(...columns.map((column) => column[round]!)))
}
