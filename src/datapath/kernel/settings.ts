// SPDX-License-Identifier: MIT
/**
 * Settings of a namespace: what net.ipv4.vs.* is to kernel IPVS, one word of
 * `config` each, read by every packet. Twin: bpf/ipvs/config.h
 */
import { Failure } from '../../util/errors.js'
import { at } from './layout.js'

/** An integer setting, by its sysctl name. */
export interface Setting {
  readonly name: string
  readonly field: number
  readonly least: number
  readonly most: number
  readonly default: number
  readonly describe: string
}

const INT = { least: -0x8000_0000, most: 0x7fff_ffff } as const

export const SETTINGS: readonly Setting[] = [
  {
    name: 'conn_reuse_mode',
    field: at.config.connReuseMode,
    ...INT,
    default: 1,
    describe:
      'an opener ends the old connection of its port: 0 never, 1 when it is closing, 2 also in FIN_WAIT',
  },
  {
    name: 'expire_nodest_conn',
    field: at.config.expireNodestConn,
    ...INT,
    default: 0,
    describe: 'end connections of removed dests at once instead of dropping their packets',
  },
  {
    name: 'pmtu_disc',
    field: at.config.pmtuDisc,
    ...INT,
    default: 1,
    describe: 'tunnels copy Don’t Fragment and answer with frag-needed; 0: they fragment',
  },
  {
    name: 'snat_reroute',
    field: at.config.snatReroute,
    ...INT,
    default: 1,
    describe: 'replies are routed anew after masquerading',
  },
  {
    name: 'sloppy_tcp',
    field: at.config.sloppyTcp,
    ...INT,
    default: 0,
    describe: 'schedule on any TCP packet but RST, not on SYN alone',
  },
  {
    name: 'secure_tcp',
    field: at.config.secureTcp,
    least: 0,
    most: 3,
    default: 0,
    describe: 'the stricter TCP state table; 1 and 2 wait for the daemon, 3 is always',
  },
]

export function findSetting(name: string): Setting | undefined {
  return SETTINGS.find((setting) => setting.name === name)
}

/** The setting, if the value is one it takes. */
export function checkSetting(name: string, value: number): Setting {
  const setting = findSetting(name)
  if (setting === undefined) {
    throw new Failure('INVALID_ARGUMENT', `there is no setting '${name}'`, {
      errno: 'ENOENT',
      hint: `there are ${SETTINGS.map((other) => other.name).join(', ')}`,
    })
  }
  if (!Number.isInteger(value) || value < setting.least || value > setting.most) {
    const range = `an integer between ${setting.least} and ${setting.most}`
    throw new Failure('INVALID_ARGUMENT', `${name} is ${range}, not ${value}`, { errno: 'EINVAL' })
  }
  return setting
}
