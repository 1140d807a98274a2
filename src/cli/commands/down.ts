// SPDX-License-Identifier: MIT
/** `xlvs down`: detach and forget. */
import { defineCommand } from '../command.js'

export const down = defineCommand({
  usage: 'down',
  summary: 'detach and unload; services, counters and connections are gone',
  options: (parser) => parser,
  async run(_options, out) {
    const { KernelDatapath } = await import('../../datapath/kernel/datapath.js')
    using datapath = KernelDatapath.open({ load: 'never' })
    if (!datapath.down()) out.note('nothing was loaded')
  },
})
