// SPDX-License-Identifier: MIT
/** `xlvs conn list`: the connection table, with what ipvsadm -Lc leaves out. */
import { endpointText } from '../../ipvs/address.js'
import type { Conn } from '../../ipvs/conn.js'
import { defineCommand } from '../command.js'
import { toJson } from '../text.js'

export const conn = defineCommand({
  usage: 'conn <action>',
  summary: 'list connections',
  options: (parser) =>
    parser
      .positional('action', { choices: ['list'] as const, demandOption: true, describe: 'what to do' })
      .option('json', { type: 'boolean', default: false, describe: 'print JSON, one object a line' }),
  async run({ json }, out) {
    const { KernelDatapath } = await import('../../datapath/kernel/datapath.js')
    using datapath = KernelDatapath.open({ load: 'never' })
    datapath.requireLoaded()
    if (!json)
      out.line(line(['PRO', 'EXPIRES', 'STATE', 'ACTIVE', 'METHOD', 'PACKETS', 'CLIENT', 'VIRTUAL', 'DEST']))
    for (const entry of datapath.connections()) out.line(json ? toJson(entry, 0) : line(cells(entry)))
  },
})

/** Widths that suit IPv4; a table may be too long to look at all of it first. */
const WIDTHS = [4, 8, 12, 7, 7, 8, 22, 22]

function line(parts: readonly string[]): string {
  return parts.map((part, i) => (i < WIDTHS.length ? part.padEnd(WIDTHS[i]! - 1) : part)).join(' ')
}

function cells({
  protocol,
  expiresMs,
  state,
  active,
  fwd,
  inPackets,
  client,
  virtual,
  dest,
}: Conn): string[] {
  return [
    protocol === 6 ? 'TCP' : protocol === 17 ? 'UDP' : String(protocol),
    `${(expiresMs / 1000).toFixed(1)}s`,
    state,
    active ? 'yes' : 'no',
    fwd,
    String(inPackets),
    ...[client, virtual, dest].map(({ address, port }) => endpointText(address, port)),
  ]
}
