// SPDX-License-Identifier: MIT
/**
 * Who balances in a lab: the kernel's IPVS, or xlvs on one of its hooks.
 *
 * The replay only ever says what the recording says (`ipvsadm …`, `sysctl …`); how that
 * reaches the one or the other is known here.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lab } from './lab.js'
import { projectRoot } from './recording.js'
import type { CommandResult } from './wire.js'

export type { CommandResult } from './wire.js'

/** Counters of the namespace as the first line of numbers in /proc/net/ip_vs_stats: hexadecimal. */
export type Totals = readonly string[]

export interface Director {
  /** Runs a recorded command. */
  run(command: string): Promise<CommandResult>
  /** The rows of `ipvsadm -Lnc`, headings included or not. */
  connections(): Promise<readonly string[]>
  /** Connections, packets in and out, bytes in and out. */
  totals(): Promise<Totals>
  /** Lets time pass; answers how much more passed than was asked for. */
  wait(seconds: number): Promise<number>
  /** Takes down what this director set up, except what vanishes with the namespace. */
  close(): Promise<void>
}

/** Makes the director of a freshly built lab. */
export interface DirectorKind {
  readonly name: string
  /** Whether frames reach the ends of the lab by XDP, which needs GRO there. */
  readonly gro: boolean
  /** Whether long waits are short, because there is a clock to set ahead. */
  readonly clock: boolean
  create(lab: Lab): Promise<Director>
}

async function reallyWait(seconds: number): Promise<number> {
  const before = performance.now()
  await sleep(seconds * 1000)
  return (performance.now() - before) / 1000 - seconds
}

function lines(text: string): string[] {
  return text.split('\n').slice(0, text.endsWith('\n') ? -1 : undefined)
}

/** The kernel's own IPVS: modules, ipvsadm and /proc. */
export const ipvs: DirectorKind = {
  name: 'ipvs',
  gro: false,
  clock: false,
  async create(lab) {
    // With sctp, as in the recorded guest: its stack answers packets that IPVS leaves alone.
    const done = await lab.wire.run('modprobe -a ip_vs sctp')
    if (done.status !== 0) throw new Error(`this kernel has no IPVS: ${done.stderr.trim()}`)
    return {
      run: (command) => lab.wire.run(command),
      connections: async () => lines(await lab.wire.read('/proc/net/ip_vs_conn')).flatMap(procConn),
      totals: async () => {
        const text = lines(await lab.wire.read('/proc/net/ip_vs_stats'))
        return (text[2] ?? '').trim().split(/\s+/)
      },
      wait: reallyWait,
      close: async () => undefined,
    }
  },
}

/**
 * A row of /proc/net/ip_vs_conn as ipvsadm prints it; reading the file is ten times
 * quicker than starting ipvsadm for it in an emulated machine.
 */
function procConn(line: string): string[] {
  const columns = line.trim().split(/\s+/)
  const [protocol, caddr, cport, vaddr, vport, daddr, dport, state, expires, peName, peData] = columns
  if (protocol === undefined || protocol === 'Pro' || expires === undefined) return []
  const endpoint = (address: string | undefined, port: string | undefined) =>
    `${procAddress(address ?? '')}:${parseInt(port ?? '0', 16)}`
  const seconds = Number(expires)
  const time = `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`
  const pe = peName === undefined ? '' : ` ${peName} ${peData ?? ''}`
  return [
    `${protocol} ${time} ${state ?? ''} ${endpoint(caddr, cport)} ${endpoint(vaddr, vport)} ${endpoint(daddr, dport)}${pe}`,
  ]
}

function procAddress(text: string): string {
  if (text.includes(':') || text.startsWith('[')) {
    const groups = text.replace(/[[\]]/g, '').split(':')
    return `[${new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)}]`
  }
  const value = parseInt(text, 16)
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.')
}

/** Moves the clock of the balancer in a lab ahead. */
export type ClockAdvance = (lab: Lab, seconds: number) => Promise<void>

export interface XlvsOptions {
  readonly mode: 'tc' | 'xdp'
  /** Longer waits use it instead of the wall clock. */
  readonly advance?: ClockAdvance
  /** The folder with the programs `ipvsadm` and `xlvs`. */
  readonly bin?: string
}

/** Waits up to this long are really waited. */
const REAL_WAIT_LIMIT_S = 3

/** xlvs, through the programs that a user has. */
export function xlvs(options: XlvsOptions): DirectorKind {
  const bin = options.bin ?? join(projectRoot(), 'build', 'bin')
  return {
    name: `xlvs on ${options.mode}`,
    gro: options.mode === 'xdp',
    clock: options.advance !== undefined,
    async create(lab) {
      for (const program of ['ipvsadm', 'xlvs']) {
        if (!existsSync(join(bin, program)))
          throw new Error(`${join(bin, program)} is missing: run make first`)
      }
      const run = (command: string) => lab.wire.run(translate(command, bin))
      const must = async (command: string) => {
        const { status, stdout, stderr } = await run(command)
        if (status !== 0) throw new Error(`${command}: ${(stderr || stdout).trim()}`)
        return stdout
      }
      await must(`xlvs up --dev d0 --dev d1 --xdp ${options.mode === 'xdp' ? 'native' : 'off'}`)
      return {
        run,
        connections: async () => lines(await must('ipvsadm -Lnc')),
        totals: async () => parseTotals(await must('xlvs stats --json')),
        async wait(seconds) {
          if (seconds <= REAL_WAIT_LIMIT_S || options.advance === undefined) return reallyWait(seconds)
          const before = performance.now()
          await options.advance(lab, seconds)
          return (performance.now() - before) / 1000
        },
        // Pins go with the lab; see wire.py.
        close: async () => undefined,
      }
    },
  }
}

/** The kernel's sysctls are options of xlvs, and the two programs are those of the build. */
export function translate(command: string, bin: string): string {
  const set = /^sysctl -q?w (net\.ipv4\.vs\..*)$/.exec(command)
  if (set) return `${bin}/xlvs sysctl ${(set[1] ?? '').replaceAll('net.ipv4.vs.', '')}`
  const get = /^sysctl (net\.ipv4\.vs\..*)$/.exec(command)
  if (get) return `${bin}/xlvs sysctl ${(get[1] ?? '').replaceAll('net.ipv4.vs.', '')}`
  if (/^(ipvsadm|xlvs) /.test(command)) return `${bin}/${command}`
  return command
}

/** The totals out of `xlvs stats --json`, where 64-bit values are strings. */
function parseTotals(text: string): Totals {
  const { totals } = JSON.parse(text) as { totals: Record<string, string | number> }
  return ['conns', 'inPkts', 'outPkts', 'inBytes', 'outBytes'].map((name) =>
    BigInt(totals[name] ?? 0)
      .toString(16)
      .toUpperCase(),
  )
}
