// SPDX-License-Identifier: MIT
/**
 * Where one network namespace keeps its data plane: `<bpffs>/xlvs/<netns inode>`
 * with `maps`, `progs` and `links`, and the lock on that directory that serialises
 * everybody who changes something.
 */
import { closeSync, fstatSync, readdirSync, statSync } from 'node:fs'
import {
  BpfError,
  BpfFs,
  BpfLink,
  missingCapabilities,
  netnsCookie,
  netnsInode,
  openNetns,
  type FsLock,
  type KernelObject,
} from '../../libbpf/index.js'
import { Failure } from '../../util/errors.js'

export type PinRoom = 'maps' | 'progs' | 'links'

/** Inode numbers of the network namespaces that a process or a name holds. */
function visibleNamespaces(): Set<string> {
  const places = [
    ...entries('/proc', /^[0-9]+$/).map((pid) => `/proc/${pid}/ns/net`),
    ...entries('/run/netns', /./).map((name) => `/run/netns/${name}`),
  ]
  return new Set(places.flatMap((path) => inodeOf(path) ?? []))
}

/** Undefined for what is gone meanwhile and for what a sandbox hides from root. */
function inodeOf(path: string): string | undefined {
  try {
    return String(statSync(path, { bigint: true }).ino)
  } catch {
    return undefined
  }
}

function entries(dir: string, pattern: RegExp): string[] {
  try {
    return readdirSync(dir).filter((name) => pattern.test(name))
  } catch {
    return [] // no such directory: no names
  }
}

export class Home implements Disposable {
  readonly fs: BpfFs
  /** As `lsns` shows it. */
  readonly inode: bigint
  /** Tells this namespace from a dead one that had the same inode number. */
  readonly cookie: bigint
  /** An open descriptor, or undefined for the namespace of this process. */
  readonly netns: number | undefined
  readonly #dir: string
  #lock: FsLock | undefined

  private constructor(fs: BpfFs, netns: number | undefined, inode: bigint) {
    this.fs = fs
    this.netns = netns
    this.inode = inode
    this.cookie = netnsCookie(netns)
    this.#dir = `xlvs/${inode}`
  }

  /**
   * @param netns a path such as `/run/netns/blue`; the process's own when absent
   * @throws Failure NOT_PERMITTED
   */
  static open(netns?: string): Home {
    const missing = missingCapabilities(['CAP_BPF', 'CAP_NET_ADMIN'])
    if (missing.length > 0) {
      throw new Failure('NOT_PERMITTED', `the data plane needs ${missing.join(' and ')}`, {
        errno: 'EPERM',
        hint: 'run as root',
      })
    }
    const fd = netns === undefined ? undefined : openNetns(netns)
    try {
      return new Home(BpfFs.open(), fd, netnsInode(fd))
    } catch (error) {
      if (fd !== undefined) closeSync(fd)
      throw error
    }
  }

  /** The directory of a room, as BpfFs wants it. */
  room(room: PinRoom): string {
    return `${this.#dir}/${room}`
  }

  pin(room: PinRoom, name: string): string {
    return `${this.#dir}/${room}/${name}`
  }

  /** Where it all is, as a person would look for it. */
  get path(): string {
    return this.fs.path(this.#dir)
  }

  names(room: PinRoom): string[] {
    return this.fs.list(this.room(room)).map((entry) => entry.name)
  }

  /** Pins an object under a name, atomically taking the place of another one. */
  replacePin(room: PinRoom, name: string, object: KernelObject): void {
    // bpffs refuses names with dots.
    const next = this.pin(room, `${name}-next`)
    this.fs.remove(next)
    this.fs.pin(object, next)
    this.fs.rename(next, this.pin(room, name))
  }

  /** Makes the directories; mounts a bpf file system where there is none. */
  make(): void {
    this.fs.mount()
    for (const room of ['maps', 'progs', 'links'] as const) this.fs.mkdir(this.room(room))
  }

  /**
   * Removes what namespaces left that died without `xlvs down`: their maps would stay
   * in memory, and be swept, for good. Dead is one whose attached devices are all gone
   * and that no process and no name in /run/netns holds.
   */
  removeDead(): void {
    let alive: Set<string> | undefined
    for (const { name } of this.fs.list('xlvs')) {
      if (name === String(this.inode) || !this.#hasLostAllDevices(name)) continue
      alive ??= visibleNamespaces()
      if (!alive.has(name)) this.fs.removeTree(`xlvs/${name}`)
    }
  }

  #hasLostAllDevices(inode: string): boolean {
    try {
      const links = this.fs.list(`xlvs/${inode}/links`)
      return (
        links.length > 0 &&
        links.every(({ name }) => {
          using link = BpfLink.openPinned(`xlvs/${inode}/links/${name}`, { fs: this.fs })
          return link.info().ifindex === 0
        })
      )
    } catch (error) {
      // Removed under our eyes by its own namespace.
      if (isMissing(error)) return false
      throw error
    }
  }

  /** Removes every pin. What hangs on them alone ends. */
  clear(): void {
    for (const room of ['links', 'progs', 'maps'] as const) this.fs.removeTree(this.room(room))
  }

  /** Removes the directory, and the one above with the last namespace. Call it with the lock held. */
  remove(): void {
    this.fs.removeTree(this.#dir)
  }

  /**
   * Waits for the namespace's lock; unlock() gives it back. The kernel does so when
   * the process ends, however it ends.
   *
   * @param isThere a quick answer to whether the directory was not removed meanwhile
   */
  lock(isThere: () => boolean = () => false): void {
    for (;;) {
      if (this.#lock === undefined) this.#lock = this.#openLock()
      else this.#lock.resume()
      // Whoever had it before may have been removing the directory: then ours is a
      // lock on nothing, and others already use a new one.
      if (isThere() || fstatSync(this.#lock.fd).nlink > 0) return
      this.#lock.release()
      this.#lock = undefined
    }
  }

  unlock(): void {
    this.#lock?.pause()
  }

  #openLock(): FsLock {
    for (;;) {
      try {
        return this.fs.lock(this.#dir)
      } catch (error) {
        if (!isMissing(error)) throw error
        this.fs.mount()
        this.fs.mkdir(this.#dir)
      }
    }
  }

  [Symbol.dispose](): void {
    this.#lock?.release()
    this.fs.close()
    if (this.netns !== undefined) closeSync(this.netns)
  }
}

/** Whether an error says that a path does not exist. */
export function isMissing(error: unknown): boolean {
  return error instanceof BpfError && error.errnoName === 'ENOENT'
}
