// SPDX-License-Identifier: MIT
/** `xlvs sysctl`: what net.ipv4.vs.* is to kernel IPVS. */
import { Failure } from '../../util/errors.js'
import { defineCommand } from '../command.js'
import { toJson } from '../text.js'

export const sysctl = defineCommand({
  usage: 'sysctl [settings..]',
  summary: 'show or change settings: conn_reuse_mode, expire_nodest_conn, …',
  options: (parser) =>
    parser
      .positional('settings', {
        type: 'string',
        array: true,
        describe: 'NAME shows one, NAME=VALUE changes it; without any, all are shown',
      })
      .option('json', { type: 'boolean', default: false, describe: 'print JSON' })
      .example('$0 sysctl expire_nodest_conn=1', 'end connections of removed servers at once'),
  async run({ settings = [], json }, out) {
    const { KernelDatapath } = await import('../../datapath/kernel/datapath.js')
    const { findSetting, SETTINGS } = await import('../../datapath/kernel/settings.js')
    const wanted = settings.map((text) => {
      const [name = '', ...rest] = text.replace(/^net\.ipv4\.vs\./, '').split('=')
      if (findSetting(name) === undefined) {
        throw new Failure('INVALID_ARGUMENT', `there is no setting '${name}'`, {
          hint: `there are ${SETTINGS.map((setting) => setting.name).join(', ')}`,
        })
      }
      return { name, value: rest.length === 0 ? undefined : parseValue(name, rest.join('=')) }
    })

    using datapath = KernelDatapath.open()
    datapath.setSettings(
      Object.fromEntries(wanted.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]]))),
    )
    const now = datapath.settings()
    const shown = wanted.length === 0 ? SETTINGS.map(({ name }) => name) : wanted.map(({ name }) => name)
    if (json) out.line(toJson(Object.fromEntries(shown.map((name) => [name, now[name]]))))
    else for (const name of shown) out.line(`${name} = ${String(now[name])}`)
  },
})

function parseValue(name: string, text: string): number {
  if (/^[+-]?[0-9]+$/.test(text)) return Number(text)
  throw new Failure('INVALID_ARGUMENT', `${name} is an integer, not '${text}'`)
}
