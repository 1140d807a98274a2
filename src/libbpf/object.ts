// SPDX-License-Identifier: MIT
/** BPF object files: open, set constants and sizes, load. */

import { basename } from 'node:path'

import { Btf, type GlobalVariable } from '../btf/btf.js'
import { native, type NativeFailure, type NativeMap, type NativeScope, type ObjectHandle } from './addon.js'
import type { BpfFs } from './bpffs.js'
import { nameOf, PROGRAM_TYPES, type ProgramType } from './constants.js'
import { check, errorOf, isFailure, loadError } from './errors.js'
import { BpfMap } from './map.js'
import { BpfProgram } from './program.js'

export interface OpenOptions {
  /** Prefix of its internal maps' names; the file's name when absent. */
  readonly name?: string
}

export interface LoadOptions {
  /** 1 or 2: the verifier's log, also of programs that load. */
  readonly logLevel?: 0 | 1 | 2
  /** Where the pin paths of its maps are resolved. */
  readonly fs?: BpfFs
}

/**
 * A compiled BPF object.
 *
 * @example
 * using object = BpfObject.open('build/bpf/xdp.o')
 * object.rodata.set('cfg_limit', 100)
 * object.map('flows').setMaxEntries(1 << 20)
 * object.load()
 * using link = object.program('xdp_in').attachXdp(ifindex, { mode: 'native' })
 */
export class BpfObject implements Disposable {
  readonly name: string
  /** Constants (`const volatile`) of the programs; set them before load. */
  readonly rodata: GlobalData
  /** Initialised global variables. */
  readonly data: GlobalData
  /** Zeroed global variables. */
  readonly bss: GlobalData
  readonly #maps: ReadonlyMap<string, ObjectMap>
  readonly #programs: ReadonlyMap<string, ObjectProgram>
  readonly #state: State
  #btf: Btf | undefined

  private constructor(handle: ObjectHandle, name: string) {
    this.name = name
    this.#state = { handle, phase: 'open', name }
    this.#maps = new Map(
      native()
        .objectMaps(handle)
        .map((map) => [map.name, new ObjectMap(this.#state, map)]),
    )
    this.#programs = new Map(
      native()
        .objectPrograms(handle)
        .map((program) => [
          program.name,
          new ObjectProgram(this.#state, program.name, program.section, program.type),
        ]),
    )
    const variables = (section: string) => () => this.btf.variables(section)
    this.rodata = new GlobalData(this.#state, '.rodata', variables('.rodata'))
    this.data = new GlobalData(this.#state, '.data', variables('.data'))
    this.bss = new GlobalData(this.#state, '.bss', variables('.bss'))
  }

  /** Opens an object file, or the bytes of one. Nothing is in the kernel yet. */
  static open(source: string | Uint8Array, options: OpenOptions = {}): BpfObject {
    const name =
      options.name ?? (typeof source === 'string' ? basename(source).replace(/(\.bpf)?\.o$/, '') : 'object')
    const handle = native().objectOpen(source, name)
    if (isFailure(handle)) {
      throw openError(handle, typeof source === 'string' ? source : name)
    }
    return new BpfObject(handle, name)
  }

  /** Its type information. */
  get btf(): Btf {
    if (!this.#btf) {
      const bytes = native().objectBtf(open(this.#state))
      if (!bytes) throw new Error(`${this.name} has no BTF: compile it with clang -g`)
      this.#btf = Btf.parse(bytes)
    }
    return this.#btf
  }

  get maps(): Iterable<ObjectMap> {
    return this.#maps.values()
  }

  get programs(): Iterable<ObjectProgram> {
    return this.#programs.values()
  }

  /** A map by its name in the source. */
  map(name: string): ObjectMap {
    const map = this.#maps.get(name)
    if (!map) throw new Error(`${this.name} has no map ${name}; it has ${list(this.#maps.keys())}`)
    return map
  }

  hasMap(name: string): boolean {
    return this.#maps.has(name)
  }

  /** A program by the name of its function. */
  program(name: string): ObjectProgram {
    const program = this.#programs.get(name)
    if (!program)
      throw new Error(`${this.name} has no program ${name}; it has ${list(this.#programs.keys())}`)
    return program
  }

  hasProgram(name: string): boolean {
    return this.#programs.has(name)
  }

  get loaded(): boolean {
    return this.#state.phase === 'loaded'
  }

  /**
   * Creates the maps and loads the programs. Answers what the verifier and libbpf
   * said, empty unless a log level was asked for.
   *
   * @throws VerifierError when a program is rejected
   */
  load(options: LoadOptions = {}): string {
    const handle = this.#begin()
    const result = native().objectLoad(handle, options.logLevel ?? 0, options.fs?.scope) as
      string | NativeFailure
    return this.#loaded(result)
  }

  /** The same off the event loop: verifying large programs takes a second. */
  async loadAsync(options: LoadOptions = {}): Promise<string> {
    const handle = this.#begin()
    const scope: NativeScope = { ...options.fs?.scope, async: true }
    return this.#loaded(await native().objectLoad(handle, options.logLevel ?? 0, scope))
  }

  /** Frees what the object holds. Pinned maps and attached programs live on. */
  close(): void {
    if (this.#state.phase === 'loading') throw new Error(`${this.name} is being loaded: close it afterwards`)
    if (this.#state.phase === 'closed') return
    this.#state.phase = 'closed'
    native().objectClose(this.#state.handle)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #begin(): ObjectHandle {
    if (this.#state.phase !== 'open')
      throw new Error(`${this.name} cannot be loaded: it is ${this.#state.phase}`)
    this.#state.phase = 'loading'
    return this.#state.handle
  }

  #loaded(result: string | NativeFailure): string {
    if (isFailure(result)) {
      this.#state.phase = 'failed'
      throw loadError(result, this.name)
    }
    this.#state.phase = 'loaded'
    return result
  }
}

/** Shared by an object and its parts, so that nobody touches freed memory. */
interface State {
  readonly handle: ObjectHandle
  readonly name: string
  phase: 'open' | 'loading' | 'loaded' | 'failed' | 'closed'
}

function open(state: State): ObjectHandle {
  if (state.phase === 'closed') throw new Error(`${state.name} is closed`)
  return state.handle
}

function beforeLoad(state: State, what: string): ObjectHandle {
  if (state.phase !== 'open') throw new Error(`${what} must be set before ${state.name} is loaded`)
  return state.handle
}

function loadedFd(state: State, what: string, fd: (handle: ObjectHandle) => number): number {
  if (state.phase !== 'loaded')
    throw new Error(`${what} is not in the kernel: ${state.name} is ${state.phase}`)
  const number = fd(state.handle)
  if (number < 0) throw new Error(`${what} was not loaded with ${state.name}`)
  return number
}

/**
 * A map of an object: adjust it before load, use it afterwards as any BpfMap. Its
 * descriptor belongs to the object; `clone()` gives one that outlives it.
 */
export class ObjectMap extends BpfMap {
  readonly #state: State
  readonly #declared: NativeMap

  /** @internal */
  constructor(state: State, declared: NativeMap) {
    super(0, false)
    this.#state = state
    this.#declared = declared
  }

  override get fd(): number {
    return loadedFd(this.#state, `map ${this.#declared.name}`, (handle) =>
      native().objectMapFd(handle, this.#declared.name),
    )
  }

  override get closed(): boolean {
    return this.#state.phase === 'closed'
  }

  /** The name in the source, uncut. */
  override get name(): string {
    return this.#declared.name
  }

  /** Made by the compiler: .rodata, .data, .bss. */
  get internal(): boolean {
    return this.#declared.internal
  }

  /** Uses this map instead of creating one; its layout must be the same. */
  reuseFd(map: BpfMap): void {
    this.#configure({ reuseFd: map.fd }, 'a map to reuse')
  }

  setMaxEntries(maxEntries: number): void {
    this.#configure({ maxEntries }, 'the size')
  }

  /** load() opens what is pinned there, or pins the new map there. null: no pin. */
  setPinPath(pinPath: string | null): void {
    this.#configure({ pinPath }, 'the pin path')
  }

  setFlags(flags: number): void {
    this.#configure({ flags }, 'the flags')
  }

  setValueSize(valueSize: number): void {
    this.#configure({ valueSize }, 'the value size')
  }

  /** Maps that no loaded program uses need not be created. */
  setAutocreate(autocreate: boolean): void {
    this.#configure({ autocreate }, 'whether it is created')
  }

  setInnerMap(map: BpfMap): void {
    this.#configure({ innerMapFd: map.fd }, 'the inner map')
  }

  #configure(change: object, what: string): void {
    const handle = beforeLoad(this.#state, `${what} of map ${this.name}`)
    const rc = native().objectConfigureMap(handle, this.name, change)
    if (rc < 0) throw errorOf(-rc, { operation: `set ${what} of map ${this.name}`, needs: ['CAP_BPF'] })
  }
}

/** A program of an object; its descriptor belongs to the object, see ObjectMap. */
export class ObjectProgram extends BpfProgram {
  readonly #state: State
  readonly #name: string
  /** `xdp`, `tc`, `syscall`, … as in SEC(). */
  readonly section: string
  #type: number

  /** @internal */
  constructor(state: State, name: string, section: string, type: number) {
    super(0, false)
    this.#state = state
    this.#name = name
    this.section = section
    this.#type = type
  }

  override get fd(): number {
    return loadedFd(this.#state, `program ${this.#name}`, (handle) =>
      native().objectProgramFd(handle, this.#name),
    )
  }

  override get closed(): boolean {
    return this.#state.phase === 'closed'
  }

  override get name(): string {
    return this.#name
  }

  override get type(): ProgramType | `type-${number}` {
    return nameOf(PROGRAM_TYPES, this.#type)
  }

  /** Whether load() loads it. */
  setAutoload(autoload: boolean): void {
    this.#configure({ autoload }, 'whether it is loaded')
  }

  setType(type: ProgramType): void {
    this.#configure({ type: PROGRAM_TYPES[type] }, 'the type')
    this.#type = PROGRAM_TYPES[type]
  }

  setExpectedAttachType(expectedAttachType: number): void {
    this.#configure({ expectedAttachType }, 'the attach type')
  }

  /** BPF_F_XDP_HAS_FRAGS and its like. */
  setFlags(flags: number): void {
    this.#configure({ flags }, 'the flags')
  }

  #configure(change: object, what: string): void {
    const handle = beforeLoad(this.#state, `${what} of program ${this.#name}`)
    check(native().objectConfigureProgram(handle, this.#name, change), () => ({
      operation: `set ${what} of program ${this.#name}`,
    }))
  }
}

/** What a global variable can be set to: a number by its type, or its bytes. */
export type GlobalValue = number | bigint | boolean | Uint8Array

/** The initial values of one data section, by variable name. */
export class GlobalData {
  readonly #state: State
  readonly #section: string
  readonly #find: () => GlobalVariable[]
  #variables: Map<string, GlobalVariable> | undefined

  /** @internal */
  constructor(state: State, section: string, find: () => GlobalVariable[]) {
    this.#state = state
    this.#section = section
    this.#find = find
  }

  has(name: string): boolean {
    return this.#all().has(name)
  }

  names(): string[] {
    return [...this.#all().keys()]
  }

  /** Sets a variable: integers of 1 to 8 bytes as number or bigint, anything else as its bytes. */
  set(name: string, value: GlobalValue): void {
    const variable = this.#variable(name)
    const handle = beforeLoad(this.#state, `${this.#section} variable ${name}`)
    const bytes = value instanceof Uint8Array ? value : encode(name, value, variable.size)
    if (bytes.length > variable.size) {
      throw new RangeError(`${name} has ${variable.size} bytes, not ${bytes.length}`)
    }
    check(native().objectWriteMapData(handle, this.#section, variable.offset, bytes), () => ({
      operation: `set ${name} in ${this.#section}`,
    }))
  }

  /** The bytes of a variable as they would be loaded now. */
  get(name: string): Uint8Array {
    const variable = this.#variable(name)
    const all = native().objectMapData(open(this.#state), this.#section)
    if (!all) throw new Error(`${this.#state.name} has no ${this.#section}`)
    return all.subarray(variable.offset, variable.offset + variable.size)
  }

  #all(): Map<string, GlobalVariable> {
    return (this.#variables ??= new Map(this.#find().map((variable) => [variable.name, variable])))
  }

  #variable(name: string): GlobalVariable {
    const variable = this.#all().get(name)
    if (!variable) {
      throw new Error(
        `${this.#state.name} has no variable ${name} in ${this.#section}; it has ${list(this.#all().keys())}`,
      )
    }
    return variable
  }
}

function encode(name: string, value: number | bigint | boolean, size: number): Uint8Array {
  if (![1, 2, 4, 8].includes(size)) throw new TypeError(`${name} is no integer: give its ${size} bytes`)
  const number = BigInt(value)
  const bits = size * 8
  if (BigInt.asUintN(bits, number) !== number && BigInt.asIntN(bits, number) !== number) {
    throw new RangeError(`${name} has ${size} bytes: ${number} does not fit`)
  }
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, number), true)
  return bytes.subarray(0, size)
}

function openError(failure: NativeFailure, file: string): Error {
  const said = /libbpf: (.*)/.exec(failure.log ?? '')?.[1]
  return errorOf(
    failure.errno,
    { operation: `open the BPF object ${file}`, ...(said === undefined ? {} : { hint: said }) },
    failure,
  )
}

function list(names: Iterable<string>): string {
  return [...names].join(', ') || 'none'
}
