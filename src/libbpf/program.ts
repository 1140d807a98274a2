// SPDX-License-Identifier: MIT
/** Loaded programs: what they are, running them on a test packet, attaching them. */

import { constants } from 'node:os'

import { native, type NativeFailure, type NativeTestRun, type NativeTestRunResult } from './addon.js'
import { BpfFs } from './bpffs.js'
import { nameOf, PROGRAM_TYPES, TEST_RUN_LIVE_FRAMES, type ProgramType } from './constants.js'
import { BpfError, check, errorOf, isFailure, type Context } from './errors.js'
import { KernelObject } from './fd.js'
import { attachTc, attachTcx, attachXdp } from './link.js'
import type { AttachTcOptions, AttachXdpOptions, BpfLink, TcAttachment, TcDirection } from './link.js'
import type { FsOption } from './map.js'
import { inNetns, inNetnsAsync, type Netns } from './netns.js'

export interface ProgramInfo {
  readonly id: number
  /** The kernel keeps 15 characters. */
  readonly name: string
  readonly type: ProgramType | `type-${number}`
  /** SHA of the instructions, 16 hexadecimal digits. */
  readonly tag: string
  /** After verification, dead code removed. */
  readonly instructions: number
  /** How many the verifier had to walk. */
  readonly verifiedInstructions: number
  readonly jitedSize: number
  /** On the monotonic clock. */
  readonly loadedAtNs: bigint
  /** Counted only while kernel.bpf_stats_enabled is set. */
  readonly runTimeNs: bigint
  readonly runCount: bigint
}

export interface TestRunOptions {
  /** The packet, from its Ethernet header on. */
  readonly dataIn?: Uint8Array
  /** Room for the packet that comes out; by default the input plus 256 bytes. */
  readonly dataOut?: number
  /** A struct xdp_md or __sk_buff (see xdpContext, skbContext), or a syscall program's argument. */
  readonly ctxIn?: Uint8Array
  readonly ctxOut?: number
  /** Runs in one call; the duration is their average. */
  readonly repeat?: number
  /** XDP only: frames the program redirects or transmits really go out. No output comes back. */
  readonly liveFrames?: boolean
  /** Live frames per NAPI batch; 64 when absent. */
  readonly batchSize?: number
  /** Run on this CPU. */
  readonly cpu?: number
  /** In which network namespace routes and devices are looked up. */
  readonly netns?: Netns
  readonly flags?: number
}

export interface TestRunResult {
  /** What the program returned. */
  readonly retval: number
  /** Nanoseconds per run. */
  readonly durationNs: number
  /** The packet after the last run. */
  readonly data: Uint8Array
  /** The context after it; for syscall programs their argument. */
  readonly ctx: Uint8Array
}

/** Growth of the packet that the default output buffer allows for: XDP's headroom. */
const GROWTH = 256

export class BpfProgram extends KernelObject {
  #info: ProgramInfo | undefined

  protected constructor(fd: number, owned: boolean) {
    super(fd, owned)
  }

  static fromFd(fd: number): BpfProgram {
    return new BpfProgram(fd, true)
  }

  static fromId(id: number): BpfProgram {
    const context = (): Context => ({ operation: `open program ${id}`, needs: ['CAP_SYS_ADMIN'] })
    return new BpfProgram(check<number>(native().programFdById(id), context), true)
  }

  static openPinned(path: string, options: FsOption = {}): BpfProgram {
    return new BpfProgram((options.fs ?? BpfFs.default()).get(path, 'program'), true)
  }

  /** Ids of all programs of the system. */
  static *ids(): Generator<number> {
    for (let id = 0; ;) {
      id = native().programNextId(id)
      if (id === -constants.errno.ENOENT) return
      yield check<number>(id, () => ({ operation: 'list programs', needs: ['CAP_SYS_ADMIN'] }))
    }
  }

  clone(): BpfProgram {
    return new BpfProgram(this.duplicate(), true)
  }

  /** What the kernel says about it; counters are read anew by `readInfo`. */
  get info(): ProgramInfo {
    return (this.#info ??= this.readInfo())
  }

  readInfo(): ProgramInfo {
    const { mapCount: _, ...raw } = check(native().programInfo(this.fd), () => this.#context('ask about'))
    return { ...raw, type: nameOf(PROGRAM_TYPES, raw.type) }
  }

  get id(): number {
    return this.info.id
  }

  get name(): string {
    return this.info.name
  }

  get type(): ProgramType | `type-${number}` {
    return this.info.type
  }

  /** Ids of the maps it uses. */
  mapIds(): number[] {
    return check<number[]>(native().programMapIds(this.fd), () => this.#context('ask about'))
  }

  /**
   * The instructions as they run, 8 bytes each, without what the verifier found
   * unreachable. Shows what a program cannot do, whatever its source says.
   */
  translated(): Uint8Array {
    return check<Uint8Array>(native().programTranslated(this.fd), () => ({
      ...this.#context('read the instructions of'),
      needs: ['CAP_SYS_ADMIN'],
    }))
  }

  pin(path: string, options: FsOption = {}): void {
    ;(options.fs ?? BpfFs.default()).pin(this, path)
  }

  /**
   * Runs the program on a packet without any device.
   *
   * @example
   * const { retval, data } = program.testRun({ dataIn: packet })
   */
  testRun(options: TestRunOptions = {}): TestRunResult {
    const run = this.#prepare(options)
    const result = inNetns(options.netns, (scope) =>
      native().programTestRun(this.fd, run, { ...scope, ...cpuScope(options) }),
    )
    return this.#finish(run, result as Exclude<typeof result, Promise<unknown>>)
  }

  /** The same off the event loop, for many repeats. */
  async testRunAsync(options: TestRunOptions = {}): Promise<TestRunResult> {
    const run = this.#prepare(options)
    const result = await inNetnsAsync(options.netns, (scope) =>
      native().programTestRun(this.fd, run, { ...scope, ...cpuScope(options) }),
    )
    return this.#finish(run, result)
  }

  /** Attaches to the XDP hook of a device. The link ends with its last descriptor or pin. */
  attachXdp(ifindex: number, options: AttachXdpOptions): BpfLink {
    return attachXdp(this, ifindex, options)
  }

  /** Attaches by tcx; throws NotSupportedError before Linux 6.6. */
  attachTcx(ifindex: number, direction: TcDirection, options: AttachTcOptions = {}): BpfLink {
    return attachTcx(this, ifindex, direction, options)
  }

  /** Attaches by tcx where the kernel has it, else as a filter on the clsact qdisc. */
  attachTc(ifindex: number, direction: TcDirection, options: AttachTcOptions = {}): TcAttachment {
    return attachTc(this, ifindex, direction, options)
  }

  #context(verb: string): Context {
    return { operation: `${verb} program ${this.#info?.name ?? ''}`.trimEnd(), needs: ['CAP_BPF'] }
  }

  #prepare(options: TestRunOptions): NativeTestRun {
    const live = options.liveFrames === true
    const syscall = this.type === 'syscall'
    const dataOut =
      live || syscall ? 0 : (options.dataOut ?? (options.dataIn ? options.dataIn.length + GROWTH : 0))
    const ctxOut = live || syscall ? 0 : (options.ctxOut ?? options.ctxIn?.length ?? 0)
    return {
      dataIn: options.dataIn,
      dataOut: dataOut > 0 ? new Uint8Array(dataOut) : undefined,
      // A syscall program writes into its argument: a copy, not the caller's.
      ctxIn: syscall ? options.ctxIn?.slice() : options.ctxIn,
      ctxOut: ctxOut > 0 ? new Uint8Array(ctxOut) : undefined,
      repeat: syscall ? 0 : (options.repeat ?? 1),
      batchSize: options.batchSize,
      flags: (options.flags ?? 0) | (live ? TEST_RUN_LIVE_FRAMES : 0),
    }
  }

  #finish(run: NativeTestRun, result: NativeTestRunResult | NativeFailure): TestRunResult {
    if (isFailure(result)) throw this.#testRunError(result.errno, run, result)
    const { retval, duration, dataSize, ctxSize } = result
    const argument = this.type === 'syscall' ? run.ctxIn : undefined
    return {
      retval,
      durationNs: duration,
      data: run.dataOut?.subarray(0, dataSize) ?? new Uint8Array(),
      ctx: run.ctxOut?.subarray(0, ctxSize) ?? argument ?? new Uint8Array(),
    }
  }

  #testRunError(errno: number, run: NativeTestRun, failure: NativeFailure): BpfError {
    const context: Context = {
      operation: `run program ${this.name} on a test packet`,
      needs: ['CAP_NET_ADMIN', 'CAP_BPF'],
    }
    if (errno === constants.errno.ENOSPC) {
      return new BpfError({
        errno,
        operation: context.operation,
        detail: `what came out is longer than ${run.dataOut?.length ?? 0} bytes`,
        hint: 'raise dataOut',
      })
    }
    const short = errno === constants.errno.EINVAL && run.dataIn !== undefined && run.dataIn.length < 14
    return errorOf(errno, short ? { ...context, hint: 'a packet has at least 14 bytes' } : context, failure)
  }
}

function cpuScope(options: TestRunOptions): { cpu?: number } {
  return options.cpu === undefined ? {} : { cpu: options.cpu }
}

/** A struct xdp_md for testRun: a packet of `length` bytes that came in on a device. */
export function xdpContext(fields: {
  readonly length: number
  readonly ingressIfindex?: number
  readonly rxQueueIndex?: number
}): Uint8Array {
  const view = new DataView(new ArrayBuffer(24))
  view.setUint32(4, fields.length, true)
  view.setUint32(12, fields.ingressIfindex ?? 0, true)
  view.setUint32(16, fields.rxQueueIndex ?? 0, true)
  return new Uint8Array(view.buffer)
}

/** A struct __sk_buff for testRun; only the fields the kernel lets a test set. */
export function skbContext(fields: {
  readonly mark?: number
  readonly priority?: number
  readonly ingressIfindex?: number
  readonly ifindex?: number
  readonly gsoSegments?: number
  readonly gsoSize?: number
  /** Length on the wire; the packet's when absent. */
  readonly wireLength?: number
  /** Five words that programs may pass on. */
  readonly cb?: readonly number[]
}): Uint8Array {
  const view = new DataView(new ArrayBuffer(192))
  view.setUint32(8, fields.mark ?? 0, true)
  view.setUint32(32, fields.priority ?? 0, true)
  view.setUint32(36, fields.ingressIfindex ?? 0, true)
  view.setUint32(40, fields.ifindex ?? 0, true)
  fields.cb?.slice(0, 5).forEach((word, index) => view.setUint32(48 + index * 4, word, true))
  view.setUint32(160, fields.wireLength ?? 0, true)
  view.setUint32(164, fields.gsoSegments ?? 0, true)
  view.setUint32(176, fields.gsoSize ?? 0, true)
  return new Uint8Array(view.buffer)
}
