// SPDX-License-Identifier: MIT
/**
 * The native addon: finds and loads it, and says what it offers.
 *
 * Its functions never throw for an errno; they answer a NativeFailure (or, for
 * the single-element map calls, a negative number). src/libbpf/errors.ts makes
 * errors of those.
 */

import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { Failure } from '../util/errors.js'

export interface NativeFailure {
  readonly errno: number
  readonly stage?: 'cpu' | 'netns' | 'mntns' | 'clsact'
  readonly log?: string
}

/** Where a call runs; see Scope in native/task.h. */
export interface NativeScope {
  readonly netns?: number
  readonly mntns?: number
  readonly cpu?: number
  readonly async?: boolean
}

export type ObjectHandle = { readonly __object: unique symbol }
export type RingHandle = { readonly __ring: unique symbol }
type Result<T> = T | NativeFailure
/** A promise when the scope says async, else the value. */
export type Eventually<T> = T | Promise<T>

export interface NativeMap {
  readonly name: string
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
  readonly internal: boolean
  readonly pinPath: string | null
  readonly fd: number
}

export interface NativeProgram {
  readonly name: string
  readonly section: string
  readonly type: number
  readonly autoload: boolean
  readonly fd: number
}

export interface NativeMapInfo {
  readonly id: number
  readonly type: number
  readonly name: string
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
}

export interface NativeProgramInfo {
  readonly id: number
  readonly type: number
  readonly name: string
  readonly tag: string
  readonly instructions: number
  readonly verifiedInstructions: number
  readonly jitedSize: number
  readonly loadedAtNs: bigint
  readonly runTimeNs: bigint
  readonly runCount: bigint
  readonly mapCount: number
}

export interface NativeTestRun {
  readonly dataIn?: Uint8Array | undefined
  readonly dataOut?: Uint8Array | undefined
  readonly ctxIn?: Uint8Array | undefined
  readonly ctxOut?: Uint8Array | undefined
  readonly repeat?: number | undefined
  readonly flags?: number | undefined
  readonly batchSize?: number | undefined
  readonly onCpu?: number | undefined
}

export interface NativeTestRunResult {
  readonly retval: number
  readonly duration: number
  readonly dataSize: number
  readonly ctxSize: number
}

export interface NativeMapping {
  readonly buffer: ArrayBuffer
  readonly handle: object
}

export interface NativeTcCall {
  readonly ifindex: number
  readonly egress: boolean
  readonly handle: number
  readonly priority: number
  readonly programFd?: number
  readonly replace?: boolean
}

export interface NativeTcResult {
  readonly handle: number
  readonly priority: number
  readonly programId: number
}

export interface NativeInterface {
  readonly ifindex: number
  readonly name: string
  readonly mac: string
  readonly mtu: number
  readonly flags: number
  readonly type: number
  readonly master?: number
  readonly kind?: string
}

export interface NativeBatch {
  readonly bytes: Buffer
  readonly offsets: Uint32Array
}

type MapBytes = ArrayBufferView | ArrayBuffer
type OptionalBytes = MapBytes | null | undefined
type BatchOperation = 'lookup' | 'take' | 'update' | 'delete'

export interface Addon {
  readonly libbpfVersion: string
  readonly possibleCpus: number

  objectOpen(source: string | Uint8Array, name?: string): Result<ObjectHandle>
  objectBtf(object: ObjectHandle): Buffer | null
  objectMaps(object: ObjectHandle): NativeMap[]
  objectPrograms(object: ObjectHandle): NativeProgram[]
  objectMapFd(object: ObjectHandle, name: string): number
  objectProgramFd(object: ObjectHandle, name: string): number
  objectConfigureMap(object: ObjectHandle, name: string, change: object): number
  objectConfigureProgram(object: ObjectHandle, name: string, change: object): number
  objectMapData(object: ObjectHandle, name: string): Buffer | null
  objectWriteMapData(object: ObjectHandle, name: string, offset: number, bytes: MapBytes): number
  objectLoad(object: ObjectHandle, logLevel: number, scope?: NativeScope): Eventually<Result<string>>
  objectClose(object: ObjectHandle): void

  mapCreate(
    type: number,
    name: string,
    keySize: number,
    valueSize: number,
    maxEntries: number,
    options?: object,
  ): number
  mapInfo(fd: number): NativeMapInfo | number
  mapFdById(id: number): number
  mapNextId(id: number): number
  mapLookup(fd: number, key: OptionalBytes, value: MapBytes, flags?: number): number
  mapLookupAndDelete(fd: number, key: OptionalBytes, value: MapBytes, flags?: number): number
  mapUpdate(fd: number, key: OptionalBytes, value: MapBytes, flags?: number): number
  mapDelete(fd: number, key: MapBytes): number
  mapNextKey(fd: number, key: OptionalBytes, next: MapBytes): number
  mapFreeze(fd: number): number
  mapBatch(
    operation: BatchOperation,
    fd: number,
    inBatch: OptionalBytes,
    outBatch: OptionalBytes,
    keys: OptionalBytes,
    values: OptionalBytes,
    count: number,
    elementFlags: number,
    scope?: NativeScope,
  ): Eventually<{ readonly rc: number; readonly count: number }>
  mapMmap(fd: number, length: number, writable: boolean): NativeMapping | number
  mapMunmap(mapping: NativeMapping): void

  programInfo(fd: number): NativeProgramInfo | number
  programMapIds(fd: number): number[] | number
  programTranslated(fd: number): Buffer | number
  programFdById(id: number): number
  programNextId(id: number): number
  programTestRun(fd: number, run: NativeTestRun, scope?: NativeScope): Eventually<Result<NativeTestRunResult>>
  probeHelper(programType: number, helper: number): number
  probeMapType(type: number): number
  probeProgramType(type: number): number

  linkCreate(
    programFd: number,
    ifindex: number,
    attachType: number,
    flags: number,
    scope?: NativeScope,
  ): Result<number>
  linkUpdate(linkFd: number, programFd: number, oldProgramFd?: number): number
  linkDetach(linkFd: number): number
  linkInfo(
    fd: number,
  ): { id: number; type: number; programId: number; ifindex: number; attachType: number } | number
  linkFdById(id: number): number
  linkNextId(id: number): number
  xdpQuery(
    ifindex: number,
    scope?: NativeScope,
  ): Result<{ mode: number; programId: number; nativeId: number; genericId: number; offloadId: number }>
  xdpDetach(ifindex: number, flags: number, scope?: NativeScope): Result<undefined>
  programQuery(ifindex: number, attachType: number, scope?: NativeScope): Result<number[]>
  tcAttach(call: NativeTcCall, scope?: NativeScope): Result<NativeTcResult>
  tcDetach(call: NativeTcCall, scope?: NativeScope): Result<undefined>
  tcQuery(call: NativeTcCall, scope?: NativeScope): Result<NativeTcResult>
  tcHookDestroy(call: NativeTcCall, scope?: NativeScope): Result<undefined>

  listInterfaces(scope?: NativeScope): Result<NativeInterface[]>
  ifindexOf(name: string, scope?: NativeScope): Result<number>
  sourceAddress(address: string, scope?: NativeScope): Result<string>
  netnsCookie(scope?: NativeScope): Result<bigint>
  sysctlGet(path: string, scope?: NativeScope): Result<string>
  sysctlSet(path: string, value: string, scope?: NativeScope): Result<undefined>

  objectPin(fd: number, path: string, scope?: NativeScope): Result<undefined>
  objectGet(path: string, fileFlags: number, scope?: NativeScope): Result<number>
  fsList(path: string, scope?: NativeScope): Result<{ name: string; directory: boolean }[]>
  fsMkdir(path: string, scope?: NativeScope): Result<undefined>
  fsRemove(path: string, recursive: boolean, scope?: NativeScope): Result<boolean>
  fsRename(from: string, to: string, scope?: NativeScope): Result<undefined>
  fsIsBpf(path: string, scope?: NativeScope): Result<boolean>
  fsMountBpf(path: string, scope?: NativeScope): Result<undefined>
  fsOpen(path: string, scope?: NativeScope): Result<number>
  flock(fd: number, wait: boolean): number
  funlock(fd: number): number
  sleep(milliseconds: number): void
  fdDup(fd: number): number
  fdClose(fd: number): number

  casU64(buffer: MapBytes, byteOffset: number, expected: bigint, desired: bigint): bigint
  loadU64(buffer: MapBytes, byteOffset: number): bigint
  storeU64(buffer: MapBytes, byteOffset: number, value: bigint): void
  addU64(buffer: MapBytes, byteOffset: number, value: bigint): bigint
  casU32(buffer: MapBytes, byteOffset: number, expected: number, desired: number): number
  loadU32(buffer: MapBytes, byteOffset: number): number
  storeU32(buffer: MapBytes, byteOffset: number, value: number): void
  addU32(buffer: MapBytes, byteOffset: number, value: number): number
  fence(): void

  ringOpen(mapFd: number, options: object, onBatch?: (batch: NativeBatch) => void): RingHandle | number
  ringDrain(ring: RingHandle): NativeBatch | number
  ringClose(ring: RingHandle): void
}

const FILE = 'libbpf_ts.node'

let loaded: Addon | undefined

/** The addon, loaded on first use: importing this package costs nothing. */
export function native(): Addon {
  return (loaded ??= load())
}

function load(): Addon {
  const here = fileURLToPath(import.meta.url)
  const path = process.env['LIBBPF_TS_ADDON'] ?? find(dirname(here))
  if (path === undefined) {
    throw new Failure('SYSTEM', `the native addon ${FILE} is not built`, {
      hint: 'run `make addon`, or name the file in LIBBPF_TS_ADDON',
    })
  }
  try {
    return createRequire(here)(path) as Addon
  } catch (cause) {
    throw new Failure('SYSTEM', `the native addon ${path} cannot be loaded`, {
      hint: 'it needs libbpf 1 (Debian: libbpf1) and the architecture it was built for',
      cause,
    })
  }
}

/** Upwards from this file: it may run from src/, from build/js/ or from a bundle in build/bin/. */
function find(start: string): string | undefined {
  for (let directory = start; ; directory = dirname(directory)) {
    for (const candidate of [join(directory, 'Release', FILE), join(directory, 'build', 'Release', FILE)]) {
      if (existsSync(candidate)) return candidate
    }
    if (directory === dirname(directory)) return undefined
  }
}
