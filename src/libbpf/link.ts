// SPDX-License-Identifier: MIT
/**
 * Attachments of programs to network devices.
 *
 * A link (XDP, tcx) is a kernel object of its own: it lasts while a descriptor or a
 * pin refers to it, and its program can be replaced without losing a packet. A
 * filter on the clsact qdisc, for kernels before tcx, lasts until it is removed.
 */

import { constants } from 'node:os'

import { native, type NativeFailure, type NativeScope, type NativeTcCall } from './addon.js'
import { BpfFs } from './bpffs.js'
import {
  ATTACH_TCX_EGRESS,
  ATTACH_TCX_INGRESS,
  ATTACH_XDP,
  BPF_F_AFTER,
  BPF_F_BEFORE,
  LINK_TYPES,
  nameOf,
  XDP_FLAGS_GENERIC,
  XDP_FLAGS_NATIVE,
  type LinkType,
} from './constants.js'
import {
  check,
  errorOf,
  isFailure,
  isNotSupported,
  NotSupportedError,
  unwrap,
  type BpfError,
  type Context,
} from './errors.js'
import { KernelObject } from './fd.js'
import type { FsOption } from './map.js'
import { inNetns, type NetnsOption } from './netns.js'
import type { BpfProgram } from './program.js'

export type XdpMode = 'native' | 'generic'
export type TcDirection = 'ingress' | 'egress'

export interface AttachXdpOptions extends NetnsOption {
  /** `native`: in the driver. `generic`: in the stack, after the skb was made. */
  readonly mode: XdpMode
}

export interface AttachTcOptions extends NetnsOption {
  /** tcx only: before or behind the programs that are there. Behind, when absent. */
  readonly position?: 'first' | 'last'
  /** `auto`, the default of attachTc: tcx where the kernel has it. */
  readonly via?: 'auto' | 'tcx' | 'clsact'
  /** clsact only: which filter; they make it replaceable and easy to find again. */
  readonly handle?: number
  readonly priority?: number
}

/** What links and clsact filters have in common. */
export interface Attachment extends Disposable {
  readonly kind: 'link' | 'filter'
  /** Replaces the program atomically. */
  update(program: BpfProgram): void
  detach(): void
}

/** A tcx link is pinned to outlive its process, a filter kept. */
export type TcAttachment = BpfLink | TcFilter

export interface LinkInfo {
  readonly id: number
  readonly type: LinkType | `type-${number}`
  readonly programId: number
  /** 0 after the device is gone, or after detach(). */
  readonly ifindex: number
  /** tcx only. */
  readonly direction?: TcDirection
}

export class BpfLink extends KernelObject implements Attachment {
  readonly kind = 'link'

  private constructor(fd: number) {
    super(fd, true)
  }

  static fromFd(fd: number): BpfLink {
    return new BpfLink(fd)
  }

  static fromId(id: number): BpfLink {
    const context = (): Context => ({ operation: `open link ${id}`, needs: ['CAP_SYS_ADMIN'] })
    return new BpfLink(check<number>(native().linkFdById(id), context))
  }

  static openPinned(path: string, options: FsOption = {}): BpfLink {
    return new BpfLink((options.fs ?? BpfFs.default()).get(path, 'link'))
  }

  /** Ids of all links of the system. */
  static *ids(): Generator<number> {
    for (let id = 0; ;) {
      id = native().linkNextId(id)
      if (id === -constants.errno.ENOENT) return
      yield check<number>(id, () => ({ operation: 'list links', needs: ['CAP_SYS_ADMIN'] }))
    }
  }

  /** What it attaches where; read anew each time. */
  info(): LinkInfo {
    const raw = check(native().linkInfo(this.fd), () => ({ operation: 'ask about a link' }))
    const type = nameOf(LINK_TYPES, raw.type)
    return {
      id: raw.id,
      type,
      programId: raw.programId,
      ifindex: raw.ifindex,
      ...(type === 'tcx' ? { direction: raw.attachType === ATTACH_TCX_EGRESS ? 'egress' : 'ingress' } : {}),
    }
  }

  pin(path: string, options: FsOption = {}): void {
    ;(options.fs ?? BpfFs.default()).pin(this, path)
  }

  /** Replaces the program; every packet sees the old one or the new one. */
  update(program: BpfProgram, expected?: BpfProgram): void {
    check(native().linkUpdate(this.fd, program.fd, expected?.fd), () => ({
      operation: `replace the program of a link by ${program.name}`,
      needs: ['CAP_BPF', 'CAP_NET_ADMIN'],
    }))
  }

  /** Detaches at once, also when the link is pinned. The pin stays, and means nothing. */
  detach(): void {
    check(native().linkDetach(this.fd), () => ({ operation: 'detach a link', needs: ['CAP_NET_ADMIN'] }))
  }
}

/** A program as a filter on the clsact qdisc of a device. */
export class TcFilter implements Attachment {
  readonly kind = 'filter'
  readonly ifindex: number
  readonly direction: TcDirection
  readonly handle: number
  readonly priority: number
  readonly #netns: NetnsOption['netns']
  #kept: boolean

  private constructor(call: NativeTcCall, netns: NetnsOption['netns'], kept: boolean) {
    this.ifindex = call.ifindex
    this.direction = call.egress ? 'egress' : 'ingress'
    this.handle = call.handle
    this.priority = call.priority
    this.#netns = netns
    this.#kept = kept
  }

  /** Attaches; makes the qdisc when it is not there. Replaces a filter of the same handle and priority. */
  static attach(
    program: BpfProgram,
    ifindex: number,
    direction: TcDirection,
    options: AttachTcOptions = {},
  ): TcFilter {
    const { handle = 1, priority = 1, netns } = options
    const call: NativeTcCall = {
      ifindex,
      egress: direction === 'egress',
      handle,
      priority,
      programFd: program.fd,
      replace: true,
    }
    const result = inNetns(netns, (scope) => native().tcAttach(call, scope))
    unwrap(result, () => attachContext(program, ifindex, `tc ${direction}`))
    return new TcFilter(call, netns, false)
  }

  /** A filter attached earlier; undefined when there is none of this handle and priority. */
  static find(
    ifindex: number,
    direction: TcDirection,
    options: Pick<AttachTcOptions, 'netns' | 'handle' | 'priority'> = {},
  ): TcFilter | undefined {
    const { handle = 1, priority = 1, netns } = options
    const call = { ifindex, egress: direction === 'egress', handle, priority }
    const filter = new TcFilter(call, netns, true)
    return filter.programId() === undefined ? undefined : filter
  }

  /** Leaves the filter in place when this handle is disposed of: what a pin is to a link. */
  keep(): void {
    this.#kept = true
  }

  /** The id of the program it runs, or undefined when the filter is gone. */
  programId(): number | undefined {
    const found = this.#in((scope) => native().tcQuery(this.#call(), scope))
    if (isFailure(found) && found.stage === undefined) {
      // Without the qdisc the kernel says EINVAL, without the filter ENOENT.
      const { ENOENT, EINVAL } = constants.errno
      if (found.errno === ENOENT || found.errno === EINVAL) return undefined
    }
    return unwrap(found, () => ({ operation: 'ask about a tc filter', needs: ['CAP_NET_ADMIN'] })).programId
  }

  update(program: BpfProgram): void {
    const call = { ...this.#call(), programFd: program.fd, replace: true }
    unwrap(
      this.#in((scope) => native().tcAttach(call, scope)),
      () => attachContext(program, this.ifindex, `tc ${this.direction}`),
    )
  }

  detach(): void {
    this.#kept = true
    unwrap(
      this.#in((scope) => native().tcDetach(this.#call(), scope)),
      () => ({ operation: `remove the tc filter of device ${this.ifindex}`, needs: ['CAP_NET_ADMIN'] }),
    )
  }

  [Symbol.dispose](): void {
    if (!this.#kept && this.programId() !== undefined) this.detach()
  }

  #call(): NativeTcCall {
    const { ifindex, handle, priority } = this
    return { ifindex, egress: this.direction === 'egress', handle, priority }
  }

  #in<T>(call: (scope: NativeScope) => T): T {
    return inNetns(this.#netns, call)
  }
}

/** Removes the clsact qdisc of a device, with every filter on it. */
export function removeClsact(ifindex: number, options: NetnsOption = {}): void {
  const call = { ifindex, egress: false, handle: 0, priority: 0 }
  unwrap(
    inNetns(options.netns, (scope) => native().tcHookDestroy(call, scope)),
    () => ({ operation: `remove the clsact qdisc of device ${ifindex}`, needs: ['CAP_NET_ADMIN'] }),
  )
}

export function attachXdp(program: BpfProgram, ifindex: number, options: AttachXdpOptions): BpfLink {
  const flags = options.mode === 'native' ? XDP_FLAGS_NATIVE : XDP_FLAGS_GENERIC
  const result = inNetns(options.netns, (scope) =>
    native().linkCreate(program.fd, ifindex, ATTACH_XDP, flags, scope),
  )
  if (isFailure(result)) throw xdpError(program, ifindex, options.mode, result)
  return BpfLink.fromFd(result)
}

function xdpError(program: BpfProgram, ifindex: number, mode: XdpMode, failure: NativeFailure): BpfError {
  const { errno } = failure
  const context = attachContext(program, ifindex, `${mode} XDP`)
  if (failure.stage === undefined && isNotSupported(errno)) {
    return new NotSupportedError({
      errno,
      operation: context.operation,
      feature: `${mode} XDP`,
      hint:
        mode === 'native'
          ? "the device's driver lacks it or its features forbid it; generic XDP works everywhere"
          : undefined,
    })
  }
  const { EBUSY, EEXIST, EINVAL, ERANGE, EMSGSIZE } = constants.errno
  const hint =
    errno === EBUSY || errno === EEXIST
      ? 'another XDP program is attached: `ip link` shows it'
      : [EINVAL, ERANGE, EMSGSIZE].includes(errno)
        ? 'the driver refuses: the MTU may be too large for XDP, or an offload (LRO, header split) on'
        : undefined
  return errorOf(errno, hint === undefined ? context : { ...context, hint }, failure)
}

export function attachTcx(
  program: BpfProgram,
  ifindex: number,
  direction: TcDirection,
  options: AttachTcOptions = {},
): BpfLink {
  const type = direction === 'egress' ? ATTACH_TCX_EGRESS : ATTACH_TCX_INGRESS
  const flags = options.position === undefined ? 0 : options.position === 'first' ? BPF_F_BEFORE : BPF_F_AFTER
  const result = inNetns(options.netns, (scope) =>
    native().linkCreate(program.fd, ifindex, type, flags, scope),
  )
  if (!isFailure(result)) return BpfLink.fromFd(result)
  const context = attachContext(program, ifindex, `tcx ${direction}`)
  // Before tcx the attach type itself is what is invalid; a query tells that
  // from other mistakes.
  if (
    result.stage === undefined &&
    (isNotSupported(result.errno) || (result.errno === constants.errno.EINVAL && !hasTcx()))
  ) {
    throw new NotSupportedError({
      errno: result.errno,
      operation: context.operation,
      feature: 'tcx',
      since: '6.6',
      hint: 'attach to the clsact qdisc instead (attachTc does by itself)',
    })
  }
  throw errorOf(result.errno, context, result)
}

export function attachTc(
  program: BpfProgram,
  ifindex: number,
  direction: TcDirection,
  options: AttachTcOptions = {},
): TcAttachment {
  if (options.via === 'clsact') return TcFilter.attach(program, ifindex, direction, options)
  try {
    return attachTcx(program, ifindex, direction, options)
  } catch (error) {
    if (options.via === 'tcx' || !(error instanceof NotSupportedError)) throw error
    return TcFilter.attach(program, ifindex, direction, options)
  }
}

function attachContext(program: BpfProgram, ifindex: number, where: string): Context {
  return {
    operation: `attach program ${program.name} to ${where} of device ${ifindex}`,
    needs: ['CAP_NET_ADMIN', 'CAP_BPF'],
    code: 'ATTACH_REFUSED',
  }
}

let tcx: boolean | undefined

/** Whether this kernel has tcx (Linux 6.6). */
export function hasTcx(): boolean {
  if (tcx === undefined) {
    // Every namespace has lo, and its number is 1.
    const found = native().programQuery(1, ATTACH_TCX_INGRESS)
    tcx = !isFailure(found) || found.errno === constants.errno.EPERM
  }
  return tcx
}

export interface XdpState {
  readonly mode: XdpMode | 'offload' | 'several'
  /** The only program; 0 when there are several. */
  readonly programId: number
  readonly nativeId: number
  readonly genericId: number
}

const XDP_MODES = ['none', 'native', 'generic', 'offload', 'several'] as const

/** Which XDP program runs on a device, or null. */
export function queryXdp(ifindex: number, options: NetnsOption = {}): XdpState | null {
  const state = unwrap(
    inNetns(options.netns, (scope) => native().xdpQuery(ifindex, scope)),
    () => ({ operation: `ask device ${ifindex} about XDP` }),
  )
  const mode = XDP_MODES[state.mode] ?? 'none'
  if (mode === 'none') return null
  return { mode, programId: state.programId, nativeId: state.nativeId, genericId: state.genericId }
}

/** Detaches an XDP program that was attached without a link (by `ip link`, for one). */
export function detachXdp(ifindex: number, options: NetnsOption & { readonly mode: XdpMode }): void {
  const flags = options.mode === 'native' ? XDP_FLAGS_NATIVE : XDP_FLAGS_GENERIC
  unwrap(
    inNetns(options.netns, (scope) => native().xdpDetach(ifindex, flags, scope)),
    () => ({
      operation: `detach XDP from device ${ifindex}`,
      needs: ['CAP_NET_ADMIN'],
      code: 'ATTACH_REFUSED',
    }),
  )
}

/** Ids of the tcx programs of a device in the order they run; none where the kernel lacks tcx. */
export function queryTcx(ifindex: number, direction: TcDirection, options: NetnsOption = {}): number[] {
  const type = direction === 'egress' ? ATTACH_TCX_EGRESS : ATTACH_TCX_INGRESS
  const ids = inNetns(options.netns, (scope) => native().programQuery(ifindex, type, scope))
  if (isFailure(ids) && ids.stage === undefined && ids.errno === constants.errno.EINVAL && !hasTcx())
    return []
  return unwrap(ids, () => ({ operation: `ask device ${ifindex} about tcx`, needs: ['CAP_NET_ADMIN'] }))
}
