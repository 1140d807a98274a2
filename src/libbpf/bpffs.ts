// SPDX-License-Identifier: MIT
/**
 * The bpf file system: pins, their directories, and locks.
 *
 * `ip netns exec` gives its command a mount namespace of its own with a fresh
 * /sys, without /sys/fs/bpf, and throws it away afterwards. So pins are opened
 * and made through the mount namespace of process 1 whenever the caller's is
 * another one: on a scratch thread, as namespaces belong to threads.
 */

import { closeSync, openSync, readFileSync, readlinkSync } from 'node:fs'
import { constants } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

import { native, type NativeFailure, type NativeScope } from './addon.js'
import { BpfError, check, errorOf, isFailure, unwrap } from './errors.js'
import type { KernelObject } from './fd.js'

export interface BpfFsOptions {
  /** Where the bpf file system is, or should be, mounted. */
  readonly root?: string
  /** Mount it when it is not there. */
  readonly mount?: boolean
  /**
   * `init`: the mount namespace of process 1. `own`: the caller's. `auto` (the
   * default): that of process 1; where process 1 may not be looked at, the nearest
   * one with a bpf file system, from the caller's to those of its ancestors.
   */
  readonly namespace?: 'auto' | 'init' | 'own'
}

export interface FsEntry {
  readonly name: string
  readonly directory: boolean
}

export interface LockOptions {
  /** Give up after this long with ETIMEDOUT; wait for ever when absent. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

const DEFAULT_ROOT = '/sys/fs/bpf'

let shared: BpfFs | undefined

export class BpfFs implements Disposable {
  readonly root: string
  #mntns: number | undefined

  private constructor(root: string, mntns: number | undefined) {
    this.root = root
    this.#mntns = mntns
  }

  /**
   * @example
   * using fs = BpfFs.open({ mount: true })
   * fs.mkdir('demo')
   * fs.pin(map, 'demo/counters')
   */
  static open(options: BpfFsOptions = {}): BpfFs {
    const root = options.root ?? DEFAULT_ROOT
    const fs = new BpfFs(root, openMountNamespace(root, options.namespace ?? 'auto'))
    try {
      if (options.mount === true) fs.mount()
    } catch (error) {
      fs.close()
      throw error
    }
    return fs
  }

  /** The one that pin() and openPinned() use when none is given. */
  static default(): BpfFs {
    return (shared ??= BpfFs.open())
  }

  /** Whether paths are resolved in another mount namespace than the caller's. */
  get foreign(): boolean {
    return this.#mntns !== undefined
  }

  /** For native calls that resolve a path of this file system. */
  get scope(): NativeScope {
    return this.#mntns === undefined ? {} : { mntns: this.#mntns }
  }

  /** A path below the root; absolute paths stay as they are. */
  path(...parts: string[]): string {
    const path = join(...parts)
    return isAbsolute(path) ? path : join(this.root, path)
  }

  /** Whether a bpf file system is mounted at the root. */
  get mounted(): boolean {
    const found = native().fsIsBpf(this.root, this.scope)
    if (isFailure(found) && found.errno === constants.errno.ENOENT && found.stage === undefined) return false
    return unwrap<boolean>(found, () => ({ operation: `look at ${this.root}` }))
  }

  /** Mounts a bpf file system at the root unless there is one. */
  mount(): void {
    if (this.mounted) return
    // Two processes may both find it missing, and the later mount would hide the
    // pins of the earlier one: look again with the mount point locked.
    using _lock = this.lock(this.root)
    if (this.mounted) return
    this.#do(native().fsMountBpf(this.root, this.scope), `mount the bpf file system at ${this.root}`)
  }

  pin(object: KernelObject, path: string): void {
    const target = this.path(path)
    this.#do(native().objectPin(object.fd, target, this.scope), `pin at ${target}`, pinHint)
  }

  /** Opens what is pinned at a path; answers a descriptor. Prefer BpfMap.openPinned and its like. */
  get(path: string, expected?: PinKind): number {
    const target = this.path(path)
    const what = expected === undefined ? 'object' : expected
    const fd = unwrap<number>(native().objectGet(target, 0, this.scope), () => ({
      operation: `open the pinned ${what} ${target}`,
      needs: ['CAP_BPF'],
    }))
    const kind = kindOf(fd)
    if (expected !== undefined && kind !== expected) {
      native().fdClose(fd)
      throw new BpfError({
        errno: constants.errno.EINVAL,
        operation: `open the pinned ${expected} ${target}`,
        detail: `it is a ${kind}`,
      })
    }
    return fd
  }

  /** What is pinned at a path, or undefined when nothing is. */
  kind(path: string): PinKind | undefined {
    const fd = native().objectGet(this.path(path), 0, this.scope)
    if (isFailure(fd) && fd.errno === constants.errno.ENOENT && fd.stage === undefined) return undefined
    const opened = unwrap<number>(fd, () => ({ operation: `open ${this.path(path)}`, needs: ['CAP_BPF'] }))
    try {
      return kindOf(opened)
    } finally {
      native().fdClose(opened)
    }
  }

  /** The entries of a directory; none when it does not exist. */
  list(path = ''): FsEntry[] {
    const target = this.path(path)
    const entries = native().fsList(target, this.scope)
    if (isFailure(entries) && entries.errno === constants.errno.ENOENT && entries.stage === undefined)
      return []
    return unwrap<FsEntry[]>(entries, () => ({ operation: `list ${target}` }))
  }

  exists(path: string): boolean {
    const target = this.path(path)
    const slash = target.lastIndexOf('/')
    return this.list(target.slice(0, slash)).some((entry) => entry.name === target.slice(slash + 1))
  }

  /** Makes a directory and its parents. */
  mkdir(path: string): void {
    const target = this.path(path)
    this.#do(native().fsMkdir(target, this.scope), `make the directory ${target}`, pinHint)
  }

  /** Removes a pin or an empty directory; answers whether it was there. */
  remove(path: string): boolean {
    const target = this.path(path)
    return this.#do(native().fsRemove(target, false, this.scope), `remove ${target}`)
  }

  /** Removes a directory and everything below it; answers whether it was there. */
  removeTree(path: string): boolean {
    const target = this.path(path)
    return this.#do(native().fsRemove(target, true, this.scope), `remove ${target}`)
  }

  /** Renames atomically, replacing what had the name. */
  rename(from: string, to: string): void {
    const [source, target] = [this.path(from), this.path(to)]
    this.#do(native().fsRename(source, target, this.scope), `rename ${source} to ${target}`)
  }

  /**
   * Locks a directory against every other process that does the same, until the
   * lock is disposed of or the process ends. Blocks the thread meanwhile.
   */
  lock(path: string, options: { readonly timeoutMs?: number } = {}): FsLock {
    const target = this.path(path)
    const lock = this.#openLock(target)
    const deadline = options.timeoutMs === undefined ? undefined : performance.now() + options.timeoutMs
    try {
      if (deadline === undefined) {
        let rc: number
        do rc = native().flock(lock.fd, true)
        while (rc === -constants.errno.EINTR)
        check(rc, () => ({ operation: `lock ${target}` }))
        return lock
      }
      for (let pause = 1; !tryLock(lock.fd, target); pause = Math.min(pause * 2, 20)) {
        if (performance.now() >= deadline) throw lockTimeout(target)
        native().sleep(pause)
      }
      return lock
    } catch (error) {
      lock.release()
      throw error
    }
  }

  /** The same without blocking the thread. */
  async lockAsync(path: string, options: LockOptions = {}): Promise<FsLock> {
    const target = this.path(path)
    const lock = this.#openLock(target)
    const deadline = options.timeoutMs === undefined ? Infinity : performance.now() + options.timeoutMs
    try {
      for (let pause = 1; !tryLock(lock.fd, target); pause = Math.min(pause * 2, 20)) {
        if (performance.now() >= deadline) throw lockTimeout(target)
        await delay(pause, undefined, { signal: options.signal })
      }
      return lock
    } catch (error) {
      lock.release()
      throw error
    }
  }

  close(): void {
    if (this === shared) return
    if (this.#mntns !== undefined) closeSync(this.#mntns)
    this.#mntns = undefined
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #openLock(target: string): FsLock {
    return new FsLock(this.#do(native().fsOpen(target, this.scope), `open ${target} to lock it`))
  }

  #do<T>(result: T | NativeFailure, operation: string, hint?: (root: string) => string): T {
    return unwrap(result, () => ({ operation, needs: ['CAP_SYS_ADMIN'], hint: hint?.(this.root) }))
  }
}

/**
 * An exclusive lock; released when disposed of. `pause()` and `resume()` give it back
 * and take it again without opening the directory anew, which from another mount
 * namespace costs a thread.
 */
export class FsLock implements Disposable {
  #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  get fd(): number {
    return this.#fd
  }

  /** Lets others have the lock; the directory stays open. */
  pause(): void {
    check(native().funlock(this.#fd), () => ({ operation: 'give back a lock' }))
  }

  /** Waits for the lock again. The directory may have been removed meanwhile. */
  resume(): void {
    let rc: number
    do rc = native().flock(this.#fd, true)
    while (rc === -constants.errno.EINTR)
    check(rc, () => ({ operation: 'take a lock again' }))
  }

  release(): void {
    if (this.#fd >= 0) native().fdClose(this.#fd)
    this.#fd = -1
  }

  [Symbol.dispose](): void {
    this.release()
  }
}

export type PinKind = 'map' | 'program' | 'link' | 'unknown'

/** What kind of BPF object a descriptor stands for. */
export function kindOf(fd: number): PinKind {
  const name = readlinkSync(`/proc/self/fd/${fd}`)
  if (name.includes('bpf-map')) return 'map'
  if (name.includes('bpf-prog')) return 'program'
  if (name.includes('bpf_link') || name.includes('bpf-link')) return 'link'
  return 'unknown'
}

const pinHint = (root: string): string =>
  `pins need a bpf file system: mount -t bpf bpf ${root}, or BpfFs.open({ mount: true })`

function tryLock(fd: number, target: string): boolean {
  const rc = native().flock(fd, false)
  if (rc === -constants.errno.EAGAIN || rc === -constants.errno.EINTR) return false
  check(rc, () => ({ operation: `lock ${target}` }))
  return true
}

function lockTimeout(target: string): BpfError {
  return new BpfError({
    errno: constants.errno.ETIMEDOUT,
    operation: `lock ${target}`,
    detail: 'another process holds it',
    hint: `fuser ${target} names that process`,
  })
}

/** A descriptor of the mount namespace that paths belong to, unless it is the caller's. */
function openMountNamespace(root: string, choice: 'auto' | 'init' | 'own'): number | undefined {
  if (choice === 'own') return undefined
  const own = readlinkSync('/proc/self/ns/mnt')
  try {
    return openOther('1', own)
  } catch (cause) {
    // Services run with few capabilities, and some systems shield process 1.
    if (choice === 'auto') {
      if (native().fsIsBpf(root) === true) return undefined
      const found = openFromAncestors(root, own)
      if (found !== undefined) return found
    }
    const { errno } = cause as NodeJS.ErrnoException
    throw errorOf(Math.abs(errno ?? constants.errno.EACCES), {
      operation: 'reach the mount namespace of process 1',
      needs: ['CAP_SYS_PTRACE', 'CAP_SYS_ADMIN', 'CAP_SYS_CHROOT'],
      code: 'NOT_PERMITTED',
    })
  }
}

/** A process's mount namespace; undefined when it is `own`. */
function openOther(pid: string, own: string): number | undefined {
  const path = `/proc/${pid}/ns/mnt`
  return readlinkSync(path) === own ? undefined : openSync(path, 'r')
}

/** The nearest ancestor's with a bpf file system at `root`; else the outermost there is. */
function openFromAncestors(root: string, own: string): number | undefined {
  let outermost: number | undefined
  for (let pid = String(process.ppid); Number(pid) > 1; pid = parentOf(pid)) {
    let fd: number | undefined
    try {
      fd = openOther(pid, own)
    } catch {
      continue
    }
    if (fd === undefined) continue
    if (outermost !== undefined) closeSync(outermost)
    outermost = fd
    if (native().fsIsBpf(root, { mntns: fd }) === true) break
  }
  return outermost
}

function parentOf(pid: string): string {
  try {
    // The name in parentheses may contain anything, also parentheses.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? '0'
  } catch {
    return '0'
  }
}
