// SPDX-License-Identifier: MIT
/** `xlvs status`: what is attached where, in which mode and why not otherwise; how full the tables are. */
import type { Fill, Status } from '../../datapath/kernel/datapath.js'
import { defineCommand } from '../command.js'
import { EXIT } from '../exit.js'
import { columns, toJson } from '../text.js'

export const status = defineCommand({
  usage: 'status',
  summary: 'show what is attached where, and how full the tables are',
  options: (parser) => parser.option('json', { type: 'boolean', default: false, describe: 'print JSON' }),
  async run({ json }, out) {
    const { KernelDatapath } = await import('../../datapath/kernel/datapath.js')
    using datapath = KernelDatapath.open({ load: 'never' })
    const found = datapath.status()
    if (json) out.line(toJson(found))
    else for (const line of statusLines(found)) out.line(line)
    return found.loaded ? EXIT.ok : EXIT.unavailable
  },
})

const TABLES: Readonly<Record<string, string>> = {
  services: 'services',
  dests: 'real servers',
  conns4: 'IPv4 connections',
  spares4: '  overflow buckets',
  conns6: 'IPv6 connections',
  spares6: '  overflow buckets',
}

/** The status in lines for a person. */
export function statusLines(status: Status): string[] {
  if (!status.loaded)
    return ['not loaded: `xlvs up` loads the data plane, and so does the first `ipvsadm -A`']
  const devices = status.devices.map(({ name, tc, xdp, why }) => [name, tc ?? '-', xdp ?? '-', why ?? ''])
  const tables = status.tables as unknown as Record<string, Fill>
  const fills = Object.entries(TABLES).map(([name, label]) => {
    const { used, size } = tables[name]!
    return [label, String(used), String(size), `${size === 0 ? 0 : Math.floor((100 * used) / size)} %`]
  })
  return [
    `loaded in network namespace ${status.netns}, pinned in ${status.path}`,
    ...(status.testClock ? ['its clock is adjustable: for tests only'] : []),
    '',
    ...columns(['DEVICE', 'TC', 'XDP', 'WHY NOT'], devices),
    '',
    ...columns(['TABLE', 'USED', 'SIZE', 'FULL'], fills, [1, 2, 3]),
  ]
}
