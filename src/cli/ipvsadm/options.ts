// SPDX-License-Identifier: MIT
/**
 * Every command and option of ipvsadm, and which option goes with which command.
 */
import type { TunType } from '../../ipvs/dest.js'
import { OptionForms, type OptionForm } from './words.js'

/** Commands by the name they have in messages. */
export type CommandName =
  | 'add-service'
  | 'edit-service'
  | 'delete-service'
  | 'flush'
  | 'list'
  | 'add-server'
  | 'edit-server'
  | 'delete-server'
  | 'set'
  | 'start-daemon'
  | 'stop-daemon'
  | 'restore'
  | 'save'
  | 'zero'
  | 'help'
  | 'version'

/** Required, allowed, or one of a group of which only one may be given. */
type Legality = '+' | 'o' | '1'

const SERVICE_CHANGE = ['add-service', 'edit-service'] as const
const SERVER_CHANGE = ['add-server', 'edit-server'] as const

/**
 * Options in the order in which they are checked, with the commands they are legal
 * for; the first offender is the one that is reported.
 */
const RULES = {
  numeric: legal('o', 'list', 'save'),
  connection: legal('1', 'list'),
  'service-address': {
    ...legal('+', ...SERVICE_CHANGE, 'delete-service', ...SERVER_CHANGE, 'delete-server'),
    ...legal('1', 'list'),
    ...legal('o', 'zero'),
  },
  scheduler: legal('o', ...SERVICE_CHANGE),
  persistent: legal('o', ...SERVICE_CHANGE),
  netmask: legal('o', ...SERVICE_CHANGE),
  'real-server': legal('+', ...SERVER_CHANGE, 'delete-server'),
  'forwarding-method': legal('o', ...SERVER_CHANGE),
  weight: legal('o', ...SERVER_CHANGE),
  'u-threshold': legal('o', ...SERVER_CHANGE),
  'l-threshold': legal('o', ...SERVER_CHANGE),
  'mcast-interface': legal('o', 'start-daemon'),
  timeout: legal('1', 'list'),
  daemon: legal('1', 'list'),
  stats: legal('o', 'list'),
  rate: legal('o', 'list'),
  thresholds: legal('o', 'list'),
  'persistent-conn': legal('o', 'list'),
  nosort: legal('o', 'list'),
  syncid: legal('o', 'list', 'start-daemon', 'stop-daemon'),
  exact: legal('o', 'list'),
  ops: legal('o', ...SERVICE_CHANGE),
  pe: legal('o', ...SERVICE_CHANGE),
  'sched-flags': legal('o', ...SERVICE_CHANGE),
  'mcast-group': legal('o', 'start-daemon'),
  'mcast-port': legal('o', 'start-daemon'),
  'mcast-ttl': legal('o', 'start-daemon'),
  'sync-maxlen': legal('o', 'start-daemon'),
  'tun-info': legal('o', 'list'),
  'tun-type': legal('o', ...SERVER_CHANGE),
  'tun-port': legal('o', ...SERVER_CHANGE),
  'tun-nocsum': legal('o', ...SERVER_CHANGE),
  'tun-csum': legal('o', ...SERVER_CHANGE),
  'tun-remcsum': legal('o', ...SERVER_CHANGE),
} satisfies Record<string, Partial<Record<CommandName, Legality>>>

/** Options by the name they have in messages. */
export type OptionName = keyof typeof RULES

function legal(how: Legality, ...commands: CommandName[]): Partial<Record<CommandName, Legality>> {
  return Object.fromEntries(commands.map((command) => [command, how]))
}

export interface Form extends OptionForm {
  /** What it starts, when it is a command. */
  readonly command?: CommandName
  /** Under which name it is checked; several forms may share one. */
  readonly option?: OptionName
}

export const FORMS = new OptionForms<Form>([
  command('add-service', 'add-service', 'A'),
  command('edit-service', 'edit-service', 'E'),
  command('delete-service', 'delete-service', 'D'),
  command('flush', 'clear', 'C'),
  command('list', 'list', 'L'),
  command('list', 'list', 'l'),
  command('zero', 'zero', 'Z'),
  command('add-server', 'add-server', 'a'),
  command('edit-server', 'edit-server', 'e'),
  command('delete-server', 'delete-server', 'd'),
  command('set', 'set'),
  { ...command('start-daemon', 'start-daemon'), argument: 'required' },
  { ...command('stop-daemon', 'stop-daemon'), argument: 'required' },
  command('restore', 'restore', 'R'),
  command('save', 'save', 'S'),
  command('help', 'help', 'h'),
  command('version', 'version', 'v'),

  { option: 'service-address', long: 'tcp-service', short: 't', argument: 'required' },
  { option: 'service-address', long: 'udp-service', short: 'u', argument: 'required' },
  { option: 'service-address', long: 'sctp-service', argument: 'required' },
  { option: 'service-address', long: 'fwmark-service', short: 'f', argument: 'required' },
  { option: 'scheduler', long: 'scheduler', short: 's', argument: 'required' },
  { option: 'persistent', long: 'persistent', short: 'p', argument: 'optional' },
  { option: 'netmask', long: 'netmask', short: 'M', argument: 'required' },
  { option: 'real-server', long: 'real-server', short: 'r', argument: 'required' },
  { option: 'forwarding-method', long: 'masquerading', short: 'm', argument: 'none' },
  { option: 'forwarding-method', long: 'ipip', short: 'i', argument: 'none' },
  { option: 'forwarding-method', long: 'gatewaying', short: 'g', argument: 'none' },
  { option: 'weight', long: 'weight', short: 'w', argument: 'required' },
  { option: 'u-threshold', long: 'u-threshold', short: 'x', argument: 'required' },
  { option: 'l-threshold', long: 'l-threshold', short: 'y', argument: 'required' },
  { option: 'numeric', long: 'numeric', short: 'n', argument: 'none' },
  { option: 'connection', long: 'connection', short: 'c', argument: 'none' },
  { option: 'mcast-interface', long: 'mcast-interface', argument: 'required' },
  { option: 'mcast-group', long: 'mcast-group', argument: 'required' },
  { option: 'mcast-port', long: 'mcast-port', argument: 'required' },
  { option: 'mcast-ttl', long: 'mcast-ttl', argument: 'required' },
  { option: 'sync-maxlen', long: 'sync-maxlen', argument: 'required' },
  { option: 'syncid', long: 'syncid', argument: 'required' },
  { option: 'timeout', long: 'timeout', argument: 'none' },
  { option: 'daemon', long: 'daemon', argument: 'none' },
  { option: 'stats', long: 'stats', argument: 'none' },
  { option: 'rate', long: 'rate', argument: 'none' },
  { option: 'thresholds', long: 'thresholds', argument: 'none' },
  { option: 'persistent-conn', long: 'persistent-conn', argument: 'none' },
  { option: 'tun-info', long: 'tun-info', argument: 'none' },
  { option: 'nosort', long: 'nosort', argument: 'none' },
  { option: 'exact', long: 'exact', short: 'X', argument: 'none' },
  { option: 'ops', long: 'ops', short: 'o', argument: 'none' },
  { option: 'pe', long: 'pe', argument: 'required' },
  { option: 'sched-flags', long: 'sched-flags', short: 'b', argument: 'required' },
  { option: 'tun-type', long: 'tun-type', argument: 'required' },
  { option: 'tun-port', long: 'tun-port', argument: 'required' },
  { option: 'tun-nocsum', long: 'tun-nocsum', argument: 'none' },
  { option: 'tun-csum', long: 'tun-csum', argument: 'none' },
  { option: 'tun-remcsum', long: 'tun-remcsum', argument: 'none' },
  // Legal everywhere: the first does nothing, the second checks itself.
  { long: 'sort', argument: 'none' },
  { long: 'ipv6', short: '6', argument: 'none' },
])

function command(name: CommandName, long: string, short?: string): Form {
  return { command: name, long, short, argument: 'none' }
}

type Rule = readonly [name: OptionName, legality: Legality | undefined]

const rulesOf = new Map<CommandName, readonly Rule[]>()

/** What is wrong with these options for this command, in ipvsadm's words, or undefined. */
export function illegalOption(command: CommandName, given: ReadonlySet<OptionName>): string | undefined {
  let rules = rulesOf.get(command)
  if (rules === undefined) {
    rules = (Object.keys(RULES) as OptionName[]).map((name): Rule => {
      const rule: Partial<Record<CommandName, Legality>> = RULES[name]
      return [name, rule[command]]
    })
    rulesOf.set(command, rules)
  }
  return firstOffence(rules, given, command, 'command')
}

const TUN_RULES: Readonly<Record<TunType, readonly Rule[]>> = {
  ipip: tunnelRules(undefined, undefined, undefined),
  gue: tunnelRules('+', '1', '1'),
  gre: tunnelRules(undefined, '1', undefined),
}

function tunnelRules(port?: Legality, csum?: Legality, remcsum?: Legality): readonly Rule[] {
  return [
    ['tun-port', port],
    ['tun-nocsum', csum],
    ['tun-csum', csum],
    ['tun-remcsum', remcsum],
  ]
}

/** The same for the options of a tunnel type. */
export function illegalTunnelOption(type: TunType, given: ReadonlySet<OptionName>): string | undefined {
  return firstOffence(TUN_RULES[type], given, type, 'tunnel type')
}

/** Whether any option that describes a tunnel is given. */
export function hasTunnelOption(given: ReadonlySet<OptionName>): boolean {
  return given.has('tun-type') || TUN_RULES.ipip.some(([name]) => given.has(name))
}

function firstOffence(
  rules: readonly Rule[],
  given: ReadonlySet<OptionName>,
  name: string,
  what: 'command' | 'tunnel type',
): string | undefined {
  let chosen: OptionName | undefined
  for (const [option, legality] of rules) {
    if (!given.has(option)) {
      if (legality === '+') return `You need to supply the '${option}' option for the '${name}' ${what}`
      continue
    }
    if (legality === undefined) return `Illegal '${option}' option with the '${name}' ${what}`
    if (legality !== '1') continue
    if (chosen !== undefined) {
      return `The option '${option}' conflicts with the '${chosen}' option in the '${name}' ${what}`
    }
    chosen = option
  }
  return undefined
}
