// SPDX-License-Identifier: MIT
/** `xlvs clock`: lets time jump, for tests of what takes minutes. */
import { defineCommand } from '../command.js'

export const clock = defineCommand({
  usage: 'clock',
  summary: 'let the clock of connections jump (after xlvs up --test-clock)',
  hidden: true,
  options: (parser) =>
    parser.option('advance', {
      type: 'number',
      requiresArg: true,
      demandOption: true,
      describe: 'by how many seconds',
    }),
  async run({ advance }) {
    const { KernelDatapath } = await import('../../datapath/kernel/datapath.js')
    using datapath = KernelDatapath.open({ load: 'never' })
    datapath.advanceClock(advance)
  },
})
