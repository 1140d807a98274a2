// SPDX-License-Identifier: MIT
/** Tables of what was found: for the terminal and for docs/benchmarks.md. */
import type { Budget, Finding, Ratio, Row, Section } from './result.js'
import type { Figure } from './statistics.js'

const HEADER = ['what', 'variant', 'median', 'half of the runs', 'ratio', 'half', 'of', 'budget'] as const

/** One line per ratio; what belongs to the row is told once. */
function cells(section: Section, row: Row): string[][] {
  const amount = [`${number(row.amount.median)} ${section.unit}`, range(row.amount)]
  const first = [row.what, row.variant ?? '', ...amount]
  if (row.ratios.length === 0) return [[...first, '', '', '', '']]
  return row.ratios.map((ratio, i) => [
    ...(i === 0 ? first : ['', '', '', '']),
    number(ratio.figure.median),
    range(ratio.figure),
    ratio.of,
    ratio.budget === undefined ? '' : verdict(ratio.budget),
  ])
}

function verdict({ relation, limit, met }: Budget): string {
  return `${relation} ${limit}: ${met ? 'met' : 'NOT met'}`
}

/** Three digits are more than such a machine can hold. */
export function number(value: number): string {
  if (Math.abs(value) >= 100) return value.toFixed(0)
  return Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2)
}

function range({ low, high }: Figure): string {
  return `${number(low)}–${number(high)}`
}

/** A section as aligned text. */
export function textTable(section: Section): string {
  const lines = [[...HEADER], ...section.rows.flatMap((row) => cells(section, row))]
  const widths = HEADER.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)))
  const numeric = [2, 3, 4, 5]
  const draw = (line: readonly string[]) =>
    line
      .map((cell, i) => (numeric.includes(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd()
  const rule = widths.map((width) => '─'.repeat(width)).join('  ')
  return [section.title, '', draw(lines[0]!), rule, ...lines.slice(1).map(draw), '', ...section.notes].join(
    '\n',
  )
}

function markdownTable(section: Section): string {
  const draw = (line: readonly string[]) => `| ${line.join(' | ')} |`
  return [
    `### ${section.title}`,
    '',
    draw(HEADER),
    '|---|---|--:|--:|--:|--:|---|---|',
    ...section.rows.flatMap((row) => cells(section, row)).map(draw),
    '',
    ...section.notes.flatMap((note) => [note, '']),
  ].join('\n')
}

/** Every budget with what was found; for the summary. */
export function judged(
  findings: readonly Finding[],
): { readonly section: Section; readonly row: Row; readonly ratio: Ratio & { readonly budget: Budget } }[] {
  return findings.flatMap(({ sections }) =>
    sections.flatMap((section) =>
      section.rows.flatMap((row) =>
        row.ratios.flatMap((ratio) =>
          ratio.budget === undefined ? [] : [{ section, row, ratio: { ...ratio, budget: ratio.budget } }],
        ),
      ),
    ),
  )
}

/** docs/benchmarks.md as a whole. */
export function markdown(findings: readonly Finding[]): string {
  const all = judged(findings)
  const met = all.filter(({ ratio }) => ratio.budget.met).length
  return [
    '# Benchmarks',
    '',
    'Written by `make bench`; do not edit. The same figures with every quartile are in `benchmarks.json`.',
    '',
    'Machines differ and so do moments, so read the ratios: each is taken between candidates that ran in turns ' +
      'in the same run, round by round, and the median of the rounds is shown with its quartiles. The budgets are ' +
      'aims of the design, judged by the median, met or not.',
    '',
    `**${met} of ${all.length} budgets met.**`,
    '',
    ...findings.flatMap((finding) => [
      `## ${finding.title}`,
      '',
      finding.about,
      '',
      `| machine | kernel | date | command | took | runnable tasks per CPU |`,
      '|---|---|---|---|---|---|',
      `| ${finding.machine} | ${finding.kernel} | ${finding.date} | \`${finding.command}\` | ${finding.seconds.toFixed(0)} s | ${finding.load} |`,
      '',
      ...finding.sections.map(markdownTable),
    ]),
  ].join('\n')
}
