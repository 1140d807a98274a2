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
import type { ListFormat } from '../../../src/cli/ipvsadm/grammar.js'
import { listConnections, NUMERIC } from '../../../src/cli/ipvsadm/listing.js'
import { run } from '../../../src/cli/ipvsadm/main.js'
import { SystemNames } from '../../../src/cli/ipvsadm/names.js'
import { KernelDatapath } from '../../../src/datapath/kernel/datapath.js'
import { packageFile } from '../../../src/util/package.js'
import type { Lab } from './lab.js'
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
  /**
   * Lets time pass; answers how much more passed than was asked for. `really` when
   * something other than the balancer is to do something meanwhile.
   */
  wait(seconds: number, really: boolean): Promise<number>
  /** Lets the last seconds not count, where the clock allows it. */
  hold?(seconds: number): void
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

export interface XlvsOptions {
  readonly mode: 'tc' | 'xdp'
  /** Really wait, instead of setting the clock of connections ahead. */
  readonly realTime?: boolean
  /** The folder with the program `ipvsadm`. */
  readonly bin?: string
  /** Start no program at all, where starts are very slow: in an emulated machine. */
  readonly inProcess?: boolean
}

/** Room for what a scenario makes; making and walking the usual tables would cost seconds. */
const SMALL = { conns: 4096, services: 64, dests: 256 }

/** A next hop is kept for a second at most; that a change shows no sooner is by design. */
const NEXT_HOP_LIFE_MS = 1100

/**
 * xlvs, listed by the program a user has. Everything else goes through the same code in
 * this process, because a start of Node costs more than the rest of a step.
 */
export function xlvs(options: XlvsOptions): DirectorKind {
  const bin = options.bin ?? packageFile('build', 'bin')
  return {
    name: `xlvs on ${options.mode}`,
    gro: options.mode === 'xdp',
    clock: options.realTime !== true,
    create(lab) {
      if (!existsSync(join(bin, 'ipvsadm')))
        throw new Error(`${join(bin, 'ipvsadm')} is missing: run make first`)
      const datapath = KernelDatapath.open({ netns: `/run/netns/${lab.names.d}` })
      try {
        datapath.up({
          devices: ['d0', 'd1'],
          xdp: options.mode === 'xdp' ? 'native' : 'off',
          testClock: options.realTime !== true,
          ...SMALL,
        })
      } catch (problem) {
        datapath[Symbol.dispose]()
        throw problem
      }
      return Promise.resolve({
        async run(command) {
          const setting = recordedSetting(command)
          if (setting === undefined) {
            const [program, ...words] = command.split(' ')
            if (program !== 'ipvsadm') {
              const done = await lab.wire.run(command)
              if (/^ip (-6 )?(route|rule|neigh) /.test(command)) await sleep(NEXT_HOP_LIFE_MS)
              return done
            }
            return words[0]?.startsWith('-L') && options.inProcess !== true
              ? lab.wire.run(`${bin}/${command}`)
              : runHere(words, `/run/netns/${lab.names.d}`)
          }
          try {
            datapath.setSettings({ [setting.name]: setting.value })
            return { status: 0, stdout: '', stderr: '' }
          } catch (problem) {
            return {
              status: 1,
              stdout: '',
              stderr: problem instanceof Error ? problem.message : String(problem),
            }
          }
        },
        connections: () =>
          Promise.resolve([...listConnections(datapath.connections(), NUMERIC_FORMAT, NUMERIC)]),
        totals() {
          const { conns, inPackets, outPackets, inBytes, outBytes } = datapath.totals()
          return Promise.resolve([conns, inPackets, outPackets, inBytes, outBytes].map(hex))
        },
        async wait(seconds, really) {
          if (options.realTime || really) return reallyWait(seconds)
          const before = performance.now()
          datapath.advanceClock(seconds)
          return (performance.now() - before) / 1000
        },
        ...(options.realTime ? {} : { hold: (seconds: number) => datapath.holdClock(seconds) }),
        close() {
          datapath.down()
          datapath[Symbol.dispose]()
          return Promise.resolve()
        },
      })
    },
  }
}

/** Runs ipvsadm's own main in this process, on another namespace. */
function runHere(words: readonly string[], netns: string): CommandResult {
  let [stdout, stderr] = ['', '']
  const io = {
    stdin: () => [],
    stdout: (text: string) => void (stdout += text),
    stderr: (text: string) => void (stderr += text),
    argv0: 'ipvsadm',
    names: new SystemNames(),
  }
  const status = run(words, io, () => KernelDatapath.open({ netns }))
  return { status, stdout, stderr }
}

const NUMERIC_FORMAT: ListFormat = {
  view: 'plain',
  numeric: true,
  exact: true,
  sorted: true,
  engineData: false,
}

/** A sysctl of kernel IPVS is a setting of xlvs. */
export function recordedSetting(command: string): { name: string; value: number } | undefined {
  const found = /^sysctl -q?w net\.ipv4\.vs\.(\w+)='?(-?\d+)'?$/.exec(command)
  return found ? { name: found[1] ?? '', value: Number(found[2]) } : undefined
}

/** As /proc/net/ip_vs_stats shows it. */
function hex(value: number | bigint): string {
  return value.toString(16).toUpperCase()
}
