// SPDX-License-Identifier: MIT
/**
 * The recordings' lab: a director between a client side and a server side.
 *
 *     c0 -- d0 director d1 -- s0
 *
 * Built by the recorded commands, with namespace names of its own, so that many labs
 * stand side by side. Only the process that holds a lab's raw sockets knows how to
 * remove it, and does so when this one dies.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import type { LabRecord } from './recording.js'
import type { LabNames, Wire } from './wire.js'

/** Where a balancer of this project pins its maps, by the inode of the namespace. */
const PINS = '/sys/fs/bpf/xlvs'

let count = 0

export interface LabOptions {
  /** Switch GRO on at the ends: a veth drops frames sent to it by XDP otherwise. */
  readonly gro: boolean
  /** More lines for `ip -batch` in the director, e.g. neighbours. */
  readonly extra?: readonly string[]
}

export class Lab {
  private constructor(
    readonly names: LabNames,
    readonly wire: Wire,
    /** Inode of the director's namespace. */
    readonly inode: number,
  ) {}

  static async build(wire: Wire, record: LabRecord, options: LabOptions): Promise<Lab> {
    const stem = `replay-${process.pid}-${++count}`
    const names: LabNames = { c: `${stem}-c`, d: `${stem}-d`, s: `${stem}-s` }
    const isLink = (command: string) => /^ip (netns|link) add /.test(command)
    const links = record.commands.filter(isLink).map((command) =>
      command
        .slice('ip '.length)
        .replace(/\bnetns( add)? ([cds])\b/g, (_all, add: string | undefined, side) => {
          return `netns${add ?? ''} ${names[side as keyof LabNames]}`
        }),
    )
    const inode = await wire.open(names, links.join('\n') + '\n', { gro: options.gro, pins: PINS })
    const lab = new Lab(names, wire, inode)
    try {
      await lab.#furnish([
        ...record.commands.filter((command) => !isLink(command)),
        ...(options.extra ?? []).map((line) => 'ip ' + line),
      ])
    } catch (problem) {
      await wire.close()
      throw problem
    }
    return lab
  }

  /** Runs the director's commands; neighbours of one kind share a process, because starts cost most. */
  async #furnish(commands: readonly string[]): Promise<void> {
    for (let next = 0; next < commands.length;) {
      const kind = batchKind(commands[next])
      let end = next + 1
      while (kind !== undefined && end < commands.length && batchKind(commands[end]) === kind) end++
      const group = commands.slice(next, end)
      next = end
      if (kind === 'ip') {
        // In a batch the family comes from the addresses.
        await this.#must(
          ['ip', '-batch', '-'],
          group.map((line) => line.replace(/^ip (-6 )?/, '') + '\n').join(''),
        )
      } else if (kind === 'sysctl') {
        await this.#must(['sysctl', '-qw', ...group.map((line) => line.replace(/^sysctl -w /, ''))])
      } else {
        for (const line of group) await this.#must(line)
      }
    }
  }

  async #must(command: string | readonly string[], stdin?: string): Promise<void> {
    const { status, stdout, stderr } = await this.wire.run(command, stdin)
    if (status !== 0) {
      const shown = typeof command === 'string' ? command : command.join(' ')
      throw new Error(`building the lab: ${shown}: ${(stderr || stdout).trim()}`)
    }
  }

  async remove(): Promise<void> {
    await this.wire.close()
  }
}

function batchKind(command: string | undefined): 'ip' | 'sysctl' | undefined {
  if (command?.startsWith('ip ')) return 'ip'
  if (command?.startsWith('sysctl -w ')) return 'sysctl'
  return undefined
}

/** Removes labs whose makers were killed together with their helpers. */
export function removeAbandonedLabs(): void {
  if (!existsSync('/run/netns')) return
  for (const name of readdirSync('/run/netns')) {
    const owner = /^replay-(\d+)-\d+-[cds]$/.exec(name)?.[1]
    if (owner !== undefined && !existsSync(`/proc/${owner}`)) execFileSync('ip', ['netns', 'del', name])
  }
}
