// SPDX-License-Identifier: MIT
/** What a group of measurements found, as data; report.ts makes tables of it. */
import type { Figure } from './statistics.js'

export const GROUPS = ['run', 'veth', 'bulk'] as const
export type GroupName = (typeof GROUPS)[number]

/** A target of the design, and whether it was met. */
export interface Budget {
  readonly relation: '≤' | '≥'
  readonly limit: number
  readonly met: boolean
}

export interface Ratio {
  /** What it is a multiple of. */
  readonly of: string
  readonly figure: Figure
  readonly budget?: Budget
}

export interface Row {
  readonly what: string
  /** Flows, dests, direction: what tells it from its neighbours. */
  readonly variant?: string
  readonly amount: Figure
  readonly ratios: readonly Ratio[]
}

export interface Section {
  readonly title: string
  /** Of `amount`: `ns`, `Gbit/s`. */
  readonly unit: string
  readonly rows: readonly Row[]
  /** Sentences that a reader of the table needs. */
  readonly notes: readonly string[]
}

export interface GroupResult {
  readonly group: GroupName
  readonly title: string
  readonly about: string
  readonly sections: readonly Section[]
}

/** One group's result, and where and when it was found. */
export interface Finding extends GroupResult {
  readonly machine: string
  readonly kernel: string
  readonly date: string
  readonly command: string
  readonly seconds: number
  /** Runnable tasks per CPU while it ran: above 1 others took their share. */
  readonly load: string
}

export function budget(figure: Figure, relation: '≤' | '≥', limit: number): Budget {
  const met = relation === '≤' ? figure.median <= limit : figure.median >= limit
  return { relation, limit, met }
}

/** What a group is given. */
export interface BenchContext {
  /** Runs per candidate; 7 at least. */
  readonly rounds: number
  /** The CPU that everything measured runs on. */
  readonly cpu: number
  /** Tells a person how far it is. */
  readonly progress: (text: string) => void
}
