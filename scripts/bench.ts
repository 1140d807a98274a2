// SPDX-License-Identifier: MIT
/**
 * `make bench`: measures and writes docs/benchmarks.md and benchmarks.json next to it.
 *
 * `make bench GROUP=run` measures one group and keeps what was found of the others;
 * `ROUNDS=15` takes more runs per candidate. Ends with 0 when everything was measured,
 * whatever came out.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, totalmem } from 'node:os'
import { describeError, EXIT, exitCodeOf } from '../src/cli/exit.js'
import { kernel } from '../src/libbpf/index.js'
import { Failure } from '../src/util/errors.js'
import { packageFile } from '../src/util/package.js'
import { measureBulk } from '../test/bench/group-bulk.js'
import { measureRuns } from '../test/bench/group-run.js'
import { measureVeth } from '../test/bench/group-veth.js'
import { judged, markdown, number, textTable } from '../test/bench/report.js'
import {
  GROUPS,
  type BenchContext,
  type Finding,
  type GroupName,
  type GroupResult,
} from '../test/bench/result.js'

const MEASURES: Readonly<Record<GroupName, (context: BenchContext) => Promise<GroupResult>>> = {
  run: measureRuns,
  veth: measureVeth,
  bulk: measureBulk,
}

const JSON_FILE = packageFile('docs', 'benchmarks.json')
const MARKDOWN_FILE = packageFile('docs', 'benchmarks.md')

async function main(): Promise<void> {
  if (process.geteuid?.() !== 0) {
    throw new Failure('NOT_PERMITTED', 'the bench needs CAP_SYS_ADMIN: it makes network namespaces', {
      hint: 'run as root',
    })
  }
  const groups = chosenGroups()
  const rounds = chosenRounds()
  const findings = new Map(earlier().map((finding) => [finding.group, finding]))
  for (const group of groups) {
    const finding = await measure(group, rounds)
    findings.set(group, finding)
    for (const section of finding.sections) console.log(`\n${textTable(section)}`)
    // After each group, so that a later one that fails takes nothing away.
    const ordered = GROUPS.flatMap((name) => findings.get(name) ?? [])
    writeFileSync(JSON_FILE, `${JSON.stringify(ordered, rounded, 1)}\n`)
    writeFileSync(MARKDOWN_FILE, markdown(ordered))
  }
  summarize(groups.flatMap((group) => findings.get(group) ?? []))
}

function chosenGroups(): readonly GroupName[] {
  const wanted = process.env['GROUP'] ?? ''
  if (wanted === '') return GROUPS
  return wanted.split(/[\s,]+/).map((name) => {
    const group = GROUPS.find((group) => group === name)
    if (group !== undefined) return group
    throw new Failure('INVALID_ARGUMENT', `there is no group '${name}'`, {
      hint: `GROUP is one or more of ${GROUPS.join(', ')}`,
    })
  })
}

function chosenRounds(): number {
  const rounds = Number(process.env['ROUNDS'] ?? '9')
  if (Number.isInteger(rounds) && rounds >= 7 && rounds <= 101) return rounds
  throw new Failure('INVALID_ARGUMENT', `ROUNDS must be 7 to 101, not '${process.env['ROUNDS'] ?? ''}'`)
}

async function measure(group: GroupName, rounds: number): Promise<Finding> {
  const started = performance.now()
  const context: BenchContext = {
    rounds,
    cpu: cpus().length - 1,
    progress: (text) => process.stderr.write(`${group}: ${text}\n`),
  }
  const result = await MEASURES[group](context)
  const seconds = (performance.now() - started) / 1000
  return {
    ...result,
    machine: machine(),
    kernel: kernel().release,
    date: new Date().toISOString().slice(0, 16).replace('T', ' ') + ' UTC',
    command: `make bench GROUP=${group}${rounds === 9 ? '' : ` ROUNDS=${rounds}`}`,
    seconds,
    load: (loadavg()[0]! / cpus().length).toFixed(1),
  }
}

function machine(): string {
  const processors = cpus()
  const model = processors[0]?.model.replace(/\s+/g, ' ').trim() ?? process.arch
  return `${processors.length} × ${model}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB`
}

/** What earlier runs found; nothing when there were none or the file is another version's. */
function earlier(): Finding[] {
  try {
    const findings = JSON.parse(readFileSync(JSON_FILE, 'utf8')) as Finding[]
    return findings.filter(({ group }) => GROUPS.includes(group))
  } catch {
    return []
  }
}

function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(5)) : value
}

function summarize(findings: readonly Finding[]): void {
  const all = judged(findings)
  const missed = all.filter(({ ratio }) => !ratio.budget.met)
  console.log(`\n${all.length - missed.length} of ${all.length} budgets met.`)
  for (const { section, row, ratio } of missed) {
    const { relation, limit } = ratio.budget
    console.log(
      `  not met: ${section.title}: ${[row.what, row.variant].filter(Boolean).join(', ')}: ` +
        `${number(ratio.figure.median)} of ${ratio.of}, aim ${relation} ${limit}`,
    )
  }
  console.log(`Written to docs/benchmarks.md and docs/benchmarks.json.`)
}

try {
  await main()
} catch (error) {
  console.error(describeError('bench', error))
  process.exitCode = error instanceof Failure ? exitCodeOf(error) : EXIT.failed
}
