// SPDX-License-Identifier: MIT
/** `xlvs explain`: what would happen to a packet, and why. */
import type { Explanation, HookExplanation } from '../../datapath/kernel/explain.js'
import type { PacketDescription, TcpFlag } from '../../datapath/kernel/frame.js'
import { endpointText, parseAddress } from '../../ipvs/address.js'
import { serviceText } from '../../ipvs/service.js'
import { Failure } from '../../util/errors.js'
import { defineCommand } from '../command.js'
import { toJson } from '../text.js'

const FLAGS = ['fin', 'syn', 'rst', 'psh', 'ack', 'urg'] as const satisfies readonly TcpFlag[]

export const explain = defineCommand({
  usage: 'explain <proto> <from> <to>',
  summary: 'tell what would happen to a packet, and why, without sending one',
  options: (parser) =>
    parser
      .positional('proto', { choices: ['tcp', 'udp'] as const, demandOption: true, describe: 'its protocol' })
      .positional('from', { type: 'string', demandOption: true, describe: 'client, 192.0.2.9:40000' })
      .positional('to', { type: 'string', demandOption: true, describe: 'service, 10.0.0.1:80' })
      .option('syn', { type: 'boolean', default: false, describe: 'with SYN: it opens a connection' })
      .option('ack', {
        type: 'boolean',
        default: false,
        describe: 'with ACK: the only flag, when none is given',
      })
      .option('fin', { type: 'boolean', default: false, describe: 'with FIN' })
      .option('rst', { type: 'boolean', default: false, describe: 'with RST' })
      .option('psh', { type: 'boolean', default: false, describe: 'with PSH' })
      .option('urg', { type: 'boolean', default: false, describe: 'with URG' })
      .option('ttl', { type: 'number', requiresArg: true, describe: 'its hop limit', default: 64 })
      .option('tos', { type: 'number', requiresArg: true, describe: 'its DSCP and ECN byte', default: 0 })
      .option('df', { type: 'boolean', default: true, describe: 'Don’t Fragment; --no-df without' })
      .option('payload', { type: 'number', requiresArg: true, describe: 'bytes of payload', default: 0 })
      .option('dev', { type: 'string', requiresArg: true, describe: 'the device it comes in on' })
      .option('hook', { choices: ['xdp', 'tc'] as const, requiresArg: true, describe: 'ask this hook alone' })
      .option('json', { type: 'boolean', default: false, describe: 'print JSON' })
      .example('$0 explain tcp 192.0.2.9:40000 10.0.0.1:80 --syn', 'who would get this connection?'),
  async run(options, out) {
    const packet: PacketDescription = {
      protocol: options.proto,
      source: parseEndpoint(options.from),
      destination: parseEndpoint(options.to),
      flags: flagsOf(options),
      ttl: inRange('ttl', options.ttl, 1, 255),
      tos: inRange('tos', options.tos, 0, 255),
      df: options.df,
      payload: inRange('payload', options.payload, 0, 9000),
    }
    const { KernelDatapath } = await import('../../datapath/kernel/datapath.js')
    using datapath = KernelDatapath.open({ load: 'never' })
    const explanation = datapath.explain({ packet, device: options.dev, hook: options.hook })
    if (options.json) out.line(toJson(explanation))
    else for (const line of explanationLines(explanation)) out.line(line)
  },
})

function flagsOf(
  options: Record<(typeof FLAGS)[number], boolean> & { proto: string },
): TcpFlag[] | undefined {
  const flags = FLAGS.filter((flag) => options[flag])
  if (options.proto === 'udp' && flags.length > 0) {
    throw new Failure('INVALID_ARGUMENT', `UDP has no flags: --${flags.join(', --')}`)
  }
  return flags.length === 0 ? undefined : flags
}

/** `192.0.2.9:40000`, `[2001:db8::1]:80`. */
function parseEndpoint(text: string): { address: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text)
  const address = parseAddress(match?.[1] ?? match?.[2] ?? '')
  const bracketed = match?.[1] !== undefined
  const port = Number(match?.[3])
  if (address !== undefined && (address.family === 6) === bracketed && port <= 65535) {
    return { address: address.text, port }
  }
  throw new Failure('INVALID_ARGUMENT', `'${text}' is not an address and port`, {
    hint: 'write 192.0.2.9:40000 or [2001:db8::1]:40000',
  })
}

function inRange(name: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new Failure('INVALID_ARGUMENT', `--${name} is between ${least} and ${most}, not ${value}`)
}

/** The explanation in lines for a person. */
export function explanationLines(explanation: Explanation): string[] {
  const { device, before, hooks } = explanation
  return [`packet   ${before.text}, ${before.length} bytes, on ${device}`, ...hooks.flatMap(hookLines)]
}

function hookLines({ hook, steps, verdict, dest, nextHop, after }: HookExplanation): string[] {
  const lines = ['', `at ${hook}`]
  steps.forEach(({ text }, i) => lines.push(`  ${String(i + 1).padStart(2)}. ${text}`))
  lines.push('', `verdict  ${verdict.text}  (${verdict.reason}, ${verdict.number})`)
  if (dest !== null) {
    const service = dest.service === null ? '' : ` of service ${serviceText(dest.service)}`
    lines.push(
      `dest     ${endpointText(dest.address, dest.port)} by ${dest.fwd}, weight ${dest.weight}${service}`,
    )
  }
  if (nextHop !== null) {
    const mac = nextHop.mac ?? 'MAC address not known yet, the kernel will ask'
    lines.push(`leaves   by ${nextHop.device} to ${nextHop.address} (${mac}), MTU ${nextHop.mtu}`)
  }
  if (verdict.kind === 'forwarded' || verdict.kind === 'answered') lines.push(`after    ${after?.text ?? ''}`)
  return lines
}
