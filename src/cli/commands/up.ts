// SPDX-License-Identifier: MIT
/** `xlvs up`: load and attach; once more, replace the programs and keep everything else. */
import { defineCommand } from '../command.js'
import { toJson } from '../text.js'
import { statusLines } from './status.js'

export const up = defineCommand({
  usage: 'up',
  summary: 'load the data plane and attach it; when loaded, upgrade it in place',
  options: (parser) =>
    parser
      .option('dev', {
        type: 'string',
        array: true,
        requiresArg: true,
        describe: 'attach to this device (may be repeated); without it, to every Ethernet device that is up',
      })
      .option('xdp', {
        choices: ['auto', 'native', 'generic', 'off'] as const,
        requiresArg: true,
        describe: 'auto: in the driver of physical devices, off on virtual ones; as last time when not given',
      })
      .option('conns', { type: 'number', requiresArg: true, describe: 'IPv4 connections there is room for' })
      .option('services', { type: 'number', requiresArg: true, describe: 'services there is room for' })
      .option('dests', { type: 'number', requiresArg: true, describe: 'real servers there is room for' })
      .option('test-clock', { type: 'boolean', hidden: true, describe: 'let `xlvs clock` move the clock' })
      .option('json', { type: 'boolean', default: false, describe: 'print JSON' }),
  async run(options, out) {
    const { KernelDatapath } = await import('../../datapath/kernel/datapath.js')
    using datapath = KernelDatapath.open({ load: 'never' })
    const { dev, xdp, conns, services, dests, 'test-clock': testClock } = options
    const warnings = datapath.up({ devices: dev, xdp, conns, services, dests, testClock })
    for (const warning of warnings) out.note(`warning: ${warning}`)
    const status = datapath.status()
    if (options.json) out.line(toJson({ ...status, warnings }))
    else for (const line of statusLines(status)) out.line(line)
  },
})
