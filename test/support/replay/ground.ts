// SPDX-License-Identifier: MIT
/**
 * Which recordings this project claims to match by now, and why the others wait.
 *
 * The claim is made by what a recording uses, not by its name, so that a new recording
 * falls on the right side by itself. `EARLY` lists what would wait by that rule and
 * matches already.
 */
import {
  packetRecording,
  packetScenarios,
  schedulerCases,
  schedulerRecording,
  setupCommand,
  type PacketRecording,
  type ScheduleRecording,
} from './recording.js'

/** Schedulers that choose inside the kernel today. */
const SCHEDULERS = ['rr', 'wrr', 'lc', 'wlc']

/** Sysctls with an effect today. */
const SYSCTLS = [
  'conn_reuse_mode',
  'expire_nodest_conn',
  'pmtu_disc',
  'snat_reroute',
  'sloppy_tcp',
  'secure_tcp',
]

/** What a recording needs, reduced to what the rules ask for. */
interface Uses {
  readonly commands: readonly string[]
  readonly frames: readonly FrameTraits[]
  readonly local: boolean
}

interface FrameTraits {
  readonly protocol: number
  readonly fragment: boolean
  readonly extended: boolean
  /** A truncated or contradictory network header. */
  readonly broken: boolean
}

/** A reason to wait, with the topic under which it will come. */
interface Rule {
  readonly reason: string
  readonly applies: (uses: Uses) => boolean
}

const mentions = (pattern: RegExp) => (uses: Uses) => uses.commands.some((command) => pattern.test(command))
const carries = (test: (frame: FrameTraits) => boolean) => (uses: Uses) => uses.frames.some(test)

const RULES: readonly Rule[] = [
  { reason: 'persistence', applies: mentions(/^ipvsadm -[AE] .* -p\b/) },
  { reason: 'firewall marks', applies: mentions(/^ipvsadm -[AEae] -f\b/) },
  { reason: 'one-packet scheduling', applies: mentions(/^ipvsadm -[AE] .* -o\b/) },
  {
    reason: `schedulers other than ${SCHEDULERS.join(', ')}`,
    applies: (uses) =>
      uses.commands.some((command) => {
        const scheduler = /^ipvsadm -[AE] .*-s (\S+)/.exec(command)?.[1]
        return scheduler !== undefined && !SCHEDULERS.includes(scheduler)
      }),
  },
  { reason: 'GRE and GUE tunnels', applies: mentions(/--tun-type/) },
  {
    reason: 'SCTP',
    applies: (uses) => mentions(/--sctp-service/)(uses) || carries((f) => f.protocol === 132)(uses),
  },
  { reason: 'AH and ESP', applies: carries((f) => f.protocol === 50 || f.protocol === 51) },
  { reason: 'handling of ICMP messages', applies: carries((f) => f.protocol === 1 || f.protocol === 58) },
  { reason: 'fragments', applies: carries((f) => f.fragment) },
  { reason: 'IP options and extension headers', applies: carries((f) => f.extended) },
  { reason: 'broken network headers', applies: carries((f) => f.broken) },
  { reason: 'clients and servers on the director', applies: (uses) => uses.local },
  { reason: 'connection synchronisation', applies: mentions(/--start-daemon|\bbackup_only\b/) },
  {
    reason: 'defence against floods',
    applies: mentions(/\b(drop_entry|drop_packet|am_droprate)\b/),
  },
  { reason: 'application helpers', applies: mentions(/^modprobe ip_vs_ftp/) },
  { reason: 'netfilter and its connection tracking next to IPVS', applies: mentions(/^nft /) },
  {
    reason: `sysctls other than ${SYSCTLS.join(', ')}`,
    applies: (uses) =>
      uses.commands.some((command) => {
        const name = /net\.ipv4\.vs\.(\w+)/.exec(command)?.[1]
        return name !== undefined && !SYSCTLS.includes(name)
      }),
  },
]

/** Scenarios whose rule is not visible in what they use. */
const LATER: Readonly<Record<string, string>> = {
  // Its stack has the tunnel modules that kernel IPVS brings; without them the code of the error is another.
  'tun-ipip-arrives-at-director': 'answered by the stack alone, which differs between kernels',
  // docs/differences.md: forwarding, and so bpf_fib_lookup, obeys only an MTU that is locked.
  'mtu-tun-below-minimum': 'an MTU set on a route without lock',
  'hairpin-client-is-real-server': 'real servers that are clients',
  'edge-dest-no-neighbour6': 'odd routes',
  'edge-odd-addresses': 'odd addresses',
}

/** Recordings that match although their topic comes later. */
const EARLY: readonly string[] = ['edge-bad-ip6-headers', 'stats-nat', 'stats-v6-nat']

/** A recording that waits, and for what. */
export interface Deferred {
  readonly name: string
  readonly reason: string
}

function traits(packet: Buffer): FrameTraits {
  const plain = { fragment: false, extended: false, broken: false }
  if (packet.length < 20) return { ...plain, protocol: -1, broken: true }
  if (packet[0]! >> 4 === 4) {
    return {
      protocol: packet[9]!,
      fragment: (packet.readUInt16BE(6) & 0x3fff) !== 0,
      extended: (packet[0]! & 15) > 5,
      broken: packet.readUInt16BE(2) > packet.length,
    }
  }
  if (packet.length < 40) return { ...plain, protocol: -1, broken: true }
  const length = packet.readUInt16BE(4)
  let [protocol, offset, fragment, extended] = [packet[6]!, 40, false, false]
  while ([0, 43, 44, 51, 60].includes(protocol) && offset + 8 <= packet.length) {
    if (protocol === 44) fragment = true
    else extended = true
    if (protocol === 51) break
    const next = packet[offset]!
    offset += protocol === 44 ? 8 : 8 * (packet[offset + 1]! + 1)
    protocol = next
  }
  return { protocol, fragment, extended, broken: length === 0 || 40 + length > packet.length }
}

function uses(recording: PacketRecording): Uses {
  const commands = recording.setup.flatMap((entry) => setupCommand(entry) ?? [])
  const frames: FrameTraits[] = []
  let local = recording.setup.some((entry) => typeof entry === 'string' && entry.startsWith('# a UDP socket'))
  for (const step of recording.steps) {
    if ('do' in step) commands.push(step.do)
    else if ('frame' in step) frames.push(traits(Buffer.from(step.frame, 'hex').subarray(14)))
    else if ('packet' in step || 'socket' in step) local = true
  }
  return { commands, frames, local }
}

/** Why a packet scenario waits; undefined when it is claimed. */
export function packetDeferral(recording: PacketRecording): string | undefined {
  if (EARLY.includes(recording.scenario)) return undefined
  const needs = uses(recording)
  return LATER[recording.scenario] ?? RULES.find((rule) => rule.applies(needs))?.reason
}

/** Why a scheduler case waits; undefined when it is claimed. */
export function schedulerDeferral(recording: ScheduleRecording): string | undefined {
  const { service } = recording
  if (EARLY.includes(recording.case)) return undefined
  if (!SCHEDULERS.includes(service.scheduler)) return `scheduler ${service.scheduler}`
  if (service.persistent !== null) return 'persistence'
  if (service.one_packet) return 'one-packet scheduling'
  if (service.fwmark !== undefined) return 'firewall marks'
  return undefined
}

/** Packet scenarios that are to match. */
export function groundPackets(): string[] {
  return packetScenarios().filter((name) => packetDeferral(packetRecording(name)) === undefined)
}

/** Scheduler cases that are to match. */
export function groundSchedulers(): string[] {
  return schedulerCases().filter((name) => schedulerDeferral(schedulerRecording(name)) === undefined)
}

/** Everything that is recorded and not claimed, with the reason. */
export function deferred(): Deferred[] {
  return [
    ...packetScenarios().map((name) => ({ name, reason: packetDeferral(packetRecording(name)) })),
    ...schedulerCases().map((name) => ({ name, reason: schedulerDeferral(schedulerRecording(name)) })),
  ].flatMap(({ name, reason }) => (reason === undefined ? [] : [{ name, reason }]))
}

/** The deferred recordings by reason, one line each, for a test run to print. */
export function deferredSummary(entries: readonly Deferred[] = deferred()): string {
  const byReason = new Map<string, string[]>()
  for (const { name, reason } of entries) byReason.set(reason, [...(byReason.get(reason) ?? []), name])
  return [...byReason].map(([reason, names]) => `  ${reason}: ${names.join(', ')}`).join('\n')
}
