// SPDX-License-Identifier: MIT
/**
 * `scripts/replay`: play recordings and read what went otherwise.
 *
 *     scripts/replay --target xlvs --mode tc nat-tcp4-whole-connection 'mtu-*'
 *     scripts/vm-run -- scripts/replay --target ipvs all
 *
 * Names are those of packet scenarios and scheduler cases; `*` stands for anything,
 * `ground` for what this project already claims, `all` for everything.
 */
import { parseArgs } from 'node:util'
import { ipvs, xlvs, type DirectorKind } from './director.js'
import { groundPackets, groundSchedulers } from './ground.js'
import { removeAbandonedLabs } from './lab.js'
import {
  packetRecording,
  packetScenarios,
  RECORDED_KERNELS,
  schedulerCases,
  schedulerRecording,
} from './recording.js'
import type { RecordedKernel } from './recording.js'
import { EMULATED, PATIENCE, stageScenario } from './replay.js'
import { playAll } from './rounds.js'
import { stageSequence } from './sequence.js'
import type { Wire } from './wire.js'

const USAGE = `usage: replay [--target xlvs|ipvs] [--mode tc|xdp] [--kernel 6.1|6.12] [--jobs N]
              [--bin DIR] [--real-time] [--list] [--quiet] NAME...
NAME: a scenario or scheduler case, a pattern with *, 'ground' or 'all'`

function say(text: string): void {
  process.stdout.write(text + '\n')
}

/** Names that a pattern stands for. */
function select(patterns: readonly string[], names: readonly string[], ground: readonly string[]): string[] {
  const chosen = new Set<string>()
  for (const pattern of patterns) {
    if (pattern === 'all') for (const name of names) chosen.add(name)
    else if (pattern === 'ground') for (const name of ground) chosen.add(name)
    else {
      const expression = new RegExp(
        `^${pattern
          .split('*')
          .map((part) => part.replace(/[^\w-]/g, '\\$&'))
          .join('.*')}$`,
      )
      for (const name of names) if (expression.test(name)) chosen.add(name)
    }
  }
  return [...chosen].sort()
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      target: { type: 'string', default: 'xlvs' },
      mode: { type: 'string', default: 'tc' },
      kernel: { type: 'string', default: '6.1' },
      jobs: { type: 'string' },
      bin: { type: 'string' },
      'real-time': { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      quiet: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const { target, mode } = values
  const kernel = RECORDED_KERNELS.find((known): known is RecordedKernel => known === values.kernel)
  if (
    values.help ||
    positionals.length === 0 ||
    kernel === undefined ||
    (target !== 'xlvs' && target !== 'ipvs') ||
    (mode !== 'tc' && mode !== 'xdp')
  ) {
    say(USAGE)
    return values.help ? 0 : 2
  }
  const packets = select(positionals, packetScenarios(), groundPackets())
  const sequences = select(positionals, schedulerCases(), groundSchedulers())
  if (packets.length + sequences.length === 0) {
    say(`nothing is called ${positionals.join(' or ')}`)
    return 2
  }
  if (values.list) {
    for (const name of [...packets, ...sequences]) say(name)
    return 0
  }

  removeAbandonedLabs()
  const emulated = process.env['VM_RUN'] === '1'
  const kind: DirectorKind =
    target === 'ipvs'
      ? ipvs
      : xlvs({
          mode,
          realTime: values['real-time'],
          inProcess: emulated,
          ...(values.bin ? { bin: values.bin } : {}),
        })
  const patience = emulated ? EMULATED : PATIENCE
  const began = performance.now()
  let failed = 0
  await playAll(
    [
      ...packets.map((name) => ({
        name,
        build: (wire: Wire) => stageScenario(packetRecording(name, kernel), kind, wire, patience),
      })),
      ...sequences.map((name) => ({
        name,
        build: (wire: Wire) => stageSequence(schedulerRecording(name), kind, wire, patience),
      })),
    ],
    Number(values.jobs ?? 12),
    (name, outcome) => {
      if (outcome !== '') failed++
      if (outcome instanceof Error) say(`${name}: ${outcome.stack ?? outcome.message}`)
      else if (outcome !== '') say(outcome)
      else if (!values.quiet) say(`${name}: as recorded`)
    },
  )
  const total = packets.length + sequences.length
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  say(`${total - failed} of ${total} as recorded on ${kind.name}, ${seconds} s`)
  return failed === 0 ? 0 : 1
}

process.exitCode = await main()
