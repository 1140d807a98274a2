// SPDX-License-Identifier: MIT
/** `xlvs stats`: how often each verdict was given, and the totals. */
import { defineCommand } from '../command.js'
import { columns, toJson } from '../text.js'

export const stats = defineCommand({
  usage: 'stats',
  summary: 'show how often packets got which verdict, and the totals',
  options: (parser) => parser.option('json', { type: 'boolean', default: false, describe: 'print JSON' }),
  async run({ json }, out) {
    const { KernelDatapath } = await import('../../datapath/kernel/datapath.js')
    const { verdictOf } = await import('../../datapath/kernel/reasons.js')
    using datapath = KernelDatapath.open({ load: 'never' })
    datapath.requireLoaded()
    const { rates: _, ...totals } = datapath.totals()
    const reasons = datapath.reasons()
    if (json) {
      out.line(
        toJson({ totals, reasons: reasons.map((entry) => ({ ...entry, ...verdictOf(entry.number) })) }),
      )
      return
    }
    const { conns, inPackets, outPackets, inBytes, outBytes } = totals
    const head = ['CONNS', 'IN PACKETS', 'OUT PACKETS', 'IN BYTES', 'OUT BYTES']
    const sums = [conns, inPackets, outPackets, inBytes, outBytes].map(String)
    for (const line of columns(head, [sums], [0, 1, 2, 3, 4])) out.line(line)
    out.line('')
    const rows = reasons.map(({ hook, reason, number, count }) => [
      hook.replace('_', ' '),
      String(count),
      reason,
      verdictOf(number).text,
    ])
    for (const line of columns(['HOOK', 'PACKETS', 'VERDICT', 'MEANING'], rows, [1])) out.line(line)
  },
})
