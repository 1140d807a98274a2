// SPDX-License-Identifier: MIT
/** The map through which the bench tells its programs what to send. Twin: bpf/flows.h */
import type { BpfMap } from '../../src/libbpf/index.js'

/** Bytes of a frame that are restored for every packet. */
export const HEADERS = 80

/** Flows that differ in their port only; the next ones have the next client address. */
const FLOWS_PER_CLIENT = 1024
const FIRST_PORT = 1024

const FIELDS = [
  'length',
  'family',
  'side',
  'state',
  'mul',
  'add',
  'shift',
  'mask',
  'keep',
  'misses',
  'read',
  'ifindex',
  'next',
] as const

type Field = (typeof FIELDS)[number]

/** The client of flow number 0; frames are built for this one. */
export const FIRST_CLIENT_PORT = FIRST_PORT

export interface Flow {
  readonly clientOffset: number
  readonly port: number
}

export function flow(number: number): Flow {
  return {
    clientOffset: Math.floor(number / FLOWS_PER_CLIENT),
    port: FIRST_PORT + (number % FLOWS_PER_CLIENT),
  }
}

/** What the programs make packets from. */
export interface Stencil {
  /** For flow 0, with right checksums. */
  readonly frame: Uint8Array
  readonly family: 4 | 6
  /** Where the client stands in it. */
  readonly client: 'source' | 'destination'
}

export class BenchMap implements Disposable {
  readonly #view: DataView
  readonly #bytes: Uint8Array
  readonly #memory: { dispose(): void }

  constructor(map: BpfMap) {
    const memory = map.mmap({ writable: true })
    this.#memory = memory
    this.#view = new DataView(memory.buffer)
    this.#bytes = new Uint8Array(memory.buffer)
  }

  get(field: Field): number {
    return this.#view.getUint32(offset(field), true)
  }

  set(field: Field, value: number): void {
    this.#view.setUint32(offset(field), value >>> 0, true)
  }

  use({ frame, family, client }: Stencil): void {
    if (frame.length < HEADERS) throw new RangeError(`a frame needs ${HEADERS} bytes, not ${frame.length}`)
    this.#bytes.set(frame.subarray(0, HEADERS), 0)
    this.set('length', frame.length)
    this.set('family', family)
    this.set('side', client === 'source' ? 0 : 1)
    this.set('keep', 0)
  }

  /** `count` flows in no order a cache could guess; a power of two. */
  random(count: number): void {
    if (!Number.isInteger(Math.log2(count))) throw new RangeError(`${count} is no power of two`)
    this.set('mul', 1664525)
    this.set('add', 1013904223)
    // The upper bits: the lower ones of such a generator are not random.
    this.set('shift', 32 - Math.max(1, Math.log2(count)))
    this.set('mask', count - 1)
  }

  /** One flow after the other, from number `first` on. */
  sequential(first?: number): void {
    this.set('mul', 1)
    this.set('add', 1)
    this.set('shift', 0)
    this.set('mask', 0xffff_ffff)
    if (first !== undefined) this.set('state', first - 1)
  }

  /** Misses since the last call. */
  takeMisses(): number {
    const misses = this.get('misses')
    this.set('misses', 0)
    return misses
  }

  [Symbol.dispose](): void {
    this.#memory.dispose()
  }
}

function offset(field: Field): number {
  return HEADERS + FIELDS.indexOf(field) * 4
}
