// SPDX-License-Identifier: MIT
/**
 * Nothing stays behind: worlds are removed on exit and on signals, and what a killed
 * process left is removed by the next one that looks.
 *
 * Names carry the pid of their maker: `xlvs-4711-1-director`.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, rmSync, statSync } from 'node:fs'

const NETNS_FOLDER = '/run/netns'
const BPFFS = '/sys/fs/bpf'

let lastWorld = 0

/** A prefix no other world on this machine has. */
export function uniquePrefix(): string {
  return `xlvs-${process.pid}-${++lastWorld}-`
}

interface Removable {
  removeNow(): void
}

const alive = new Set<Removable>()
const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Removes `world` should the process end before `release`. */
export function guard(world: Removable): void {
  if (alive.size === 0) {
    process.on('exit', removeAll)
    for (const signal of ENDING_SIGNALS) process.on(signal, onSignal)
  }
  alive.add(world)
}

export function release(world: Removable): void {
  alive.delete(world)
  if (alive.size > 0) return
  process.off('exit', removeAll)
  for (const signal of ENDING_SIGNALS) process.off(signal, onSignal)
}

function removeAll(): void {
  for (const world of alive) world.removeNow()
}

function onSignal(signal: NodeJS.Signals): void {
  removeAll()
  for (const world of [...alive]) release(world)
  // We were only cleaning up: unless somebody else handles the signal, it ends the process.
  if (process.listenerCount(signal) === 0) process.kill(process.pid, signal)
}

/** Deletes namespaces, whatever still runs in them, and the BPF pins made in them. */
export function removeNamespaces(names: readonly string[]): void {
  const present = new Set(namespaces())
  for (const name of names.filter((name) => present.has(name))) {
    for (const pid of pidsIn(name)) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It ended by itself meanwhile.
      }
    }
    removePins(name)
    spawnSync('ip', ['netns', 'delete', name])
  }
}

/** Removes worlds whose maker is dead. */
export function removeLeftovers(): void {
  const abandoned = namespaces().filter((name) => {
    const pid = /^xlvs-(\d+)-\d+-/.exec(name)?.[1]
    return pid !== undefined && !isAlive(Number(pid))
  })
  removeNamespaces(abandoned)
}

/** Namespace names that exist now. */
export function namespaces(): string[] {
  try {
    return readdirSync(NETNS_FOLDER)
  } catch {
    return [] // No namespace was ever made here.
  }
}

function pidsIn(netns: string): number[] {
  try {
    return execFileSync('ip', ['netns', 'pids', netns], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
      .split('\n')
      .filter(Boolean)
      .map(Number)
  } catch {
    return []
  }
}

/** The data plane pins by the namespace's inode number, which the kernel gives out again. */
function removePins(netns: string): void {
  try {
    const { ino } = statSync(`${NETNS_FOLDER}/${netns}`)
    rmSync(`${BPFFS}/xlvs/${ino}`, { recursive: true, force: true })
  } catch {
    // Never made, or no bpffs.
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
