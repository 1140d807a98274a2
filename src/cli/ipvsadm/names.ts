// SPDX-License-Identifier: MIT
/**
 * Names of hosts and services, as a listing without `-n` shows them.
 *
 * Files first; what they do not know is asked from the system's resolver once for all
 * addresses, with a time limit, so that a dead name server costs two seconds and not
 * two per address.
 */
import { readFileSync } from 'node:fs'
import { parseAddress } from '../../ipvs/address.js'
import type { Protocol } from '../../ipvs/service.js'
import type { Lookup } from './grammar.js'

export interface Names extends Lookup {
  /** Looks up many addresses at once, before they are asked for one by one. */
  prepare(addresses: Iterable<string>): void
  hostName(address: string): string | undefined
  serviceName(port: number, protocol: Protocol): string | undefined
}

const RESOLVER_LIMIT_MS = 2000
const RESOLVER_KEYS = 500

/** Asks a database of the C library for keys; answers what it knows within the limit. */
export type Getent = (database: 'hosts' | 'ahostsv4', keys: readonly string[], limitMs: number) => string

/** Reads /etc below `root` and asks getent. Nothing is read before it is needed. */
export class SystemNames implements Names {
  readonly #root: string
  readonly #getent: Getent
  readonly #hostNames = new Map<string, string | undefined>()
  readonly #serviceNames = new Map<string, string | undefined>()
  #hosts: readonly (readonly string[])[] | undefined
  #services: readonly (readonly string[])[] | undefined

  constructor(root = '', getent: Getent = askGetent) {
    this.#root = root
    this.#getent = getent
  }

  prepare(addresses: Iterable<string>): void {
    const known = new Map<string, string | undefined>()
    for (const [key = '', name] of this.#hostLines()) {
      const address = parseAddress(key)?.text
      if (address !== undefined && !known.has(address)) known.set(address, name)
    }
    const unknown = [...new Set(addresses)].filter((address) => {
      this.#hostNames.set(address, known.get(address))
      return !known.has(address)
    })
    const deadline = Date.now() + RESOLVER_LIMIT_MS
    // In pieces, because the length of a command line is limited, too.
    for (let start = 0; start < unknown.length; start += RESOLVER_KEYS) {
      const limit = deadline - Date.now()
      if (limit <= 0) return
      const answer = this.#getent('hosts', unknown.slice(start, start + RESOLVER_KEYS), limit)
      for (const [key = '', name] of fields(answer)) this.#hostNames.set(parseAddress(key)?.text ?? key, name)
    }
  }

  hostName(address: string): string | undefined {
    if (!this.#hostNames.has(address)) this.prepare([address])
    return this.#hostNames.get(address)
  }

  hostAddress(name: string): string | undefined {
    // None of these is a host's name; do not bother a name server with them.
    if (name === '' || /[^\w.-]/.test(name)) return undefined
    const wanted = name.toLowerCase()
    for (const [address = '', ...names] of this.#hostLines()) {
      if (parseAddress(address)?.family !== 4) continue
      if (names.some((known) => known.toLowerCase() === wanted)) return address
    }
    return fields(this.#getent('ahostsv4', [name], RESOLVER_LIMIT_MS))[0]?.[0]
  }

  servicePort(name: string, protocol: Protocol): number | undefined {
    const line = this.#serviceLines().find(
      ([first, entry = '', ...aliases]) =>
        entry.endsWith(`/${protocol}`) && (first === name || aliases.includes(name)),
    )
    return line === undefined ? undefined : Number.parseInt(line[1]!, 10)
  }

  serviceName(port: number, protocol: Protocol): string | undefined {
    const wanted = `${port}/${protocol}`
    if (!this.#serviceNames.has(wanted)) {
      this.#serviceNames.set(wanted, this.#serviceLines().find(([, entry]) => entry === wanted)?.[0])
    }
    return this.#serviceNames.get(wanted)
  }

  #hostLines(): readonly (readonly string[])[] {
    return (this.#hosts ??= fields(read(`${this.#root}/etc/hosts`)))
  }

  #serviceLines(): readonly (readonly string[])[] {
    return (this.#services ??= fields(read(`${this.#root}/etc/services`)))
  }
}

/** Lines as fields, without comments and blank lines. */
function fields(text: string): readonly (readonly string[])[] {
  return text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').split(/\s+/).filter(Boolean))
    .filter((line) => line.length > 0)
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // A system without the file has no names, which is what numbers are for.
    return ''
  }
}

/** The resolver of the C library, with everything nsswitch.conf may say. */
function askGetent(database: string, keys: readonly string[], limitMs: number): string {
  // Loaded here, because hardly any command needs it and every command would wait for it.
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  const result = spawnSync('getent', [database, ...keys], {
    encoding: 'utf8',
    timeout: limitMs,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  // Without getent there are no names either.
  return result.error !== undefined && result.stdout === null ? '' : result.stdout
}
