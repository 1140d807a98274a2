// SPDX-License-Identifier: MIT
/**
 * ipvsadm: one command from the command line, or many from standard input.
 *
 * Everything is synchronous and everything heavy stays out: a listing should cost
 * little more than starting Node. The datapath is opened when a command needs it, and
 * once for a whole `-R`; every command of it takes the lock for itself, as ipvsadm's
 * commands do.
 */
import type { Datapath } from '../../datapath/datapath.js'
import { serviceNotFound } from '../../ipvs/service.js'
import { requireSupportedSync } from '../../ipvs/supported.js'
import { Failure } from '../../util/errors.js'
import { parseCommand, tryHelp, UsageError, type Command, type ListFormat } from './grammar.js'
import { HELP, VERSION } from './help.js'
import { listConnections, listServices, listTimeouts, NUMERIC, type Naming } from './listing.js'
import { refusalText } from './messages.js'
import type { Names } from './names.js'
import { saveServices } from './save.js'

export interface Io {
  /** Lines of standard input, read as they are asked for. */
  stdin(): Iterable<string>
  stdout(text: string): void
  stderr(text: string): void
  /** How the program was called. */
  readonly argv0: string
  readonly names: Names
}

/**
 * Opens the data plane of this network namespace. Whoever only reads is content with one
 * that is not loaded; whoever writes wants it loaded.
 */
export type OpenDatapath = (purpose: 'read' | 'write') => Datapath

/** Runs `ipvsadm <words>`; returns the exit status. */
export function run(words: readonly string[], io: Io, open: OpenDatapath): number {
  const session = new Session(io, open)
  try {
    return words.length === 0 ? session.listEverything() : session.execute(words, false).status
  } finally {
    session.close()
  }
}

/** How a command ended; `ends`: a `-R` around it ends, too. */
interface Outcome {
  readonly status: number
  readonly ends: boolean
}

const OK: Outcome = { status: 0, ends: false }

const READING: readonly Command['kind'][] = [
  ...(['list-services', 'list-connections', 'list-timeouts', 'list-daemons', 'save'] as const),
]

const PLAIN_LIST: ListFormat = {
  view: 'plain',
  numeric: false,
  exact: false,
  sorted: true,
  engineData: false,
}

class Session {
  readonly #io: Io
  readonly #open: OpenDatapath
  #datapath: Datapath | undefined

  constructor(io: Io, open: OpenDatapath) {
    this.#io = io
    this.#open = open
  }

  close(): void {
    this.#datapath?.[Symbol.dispose]()
    this.#datapath = undefined
  }

  /** `ipvsadm` alone. */
  listEverything(): number {
    return this.#run({ kind: 'list-services', service: undefined, format: PLAIN_LIST }).status
  }

  execute(words: readonly string[], restoring: boolean): Outcome {
    const { argv0, names } = this.#io
    let command: Command
    try {
      command = parseCommand(words, argv0, names)
      if (command.kind === 'restore' && restoring) throw tryHelp(argv0)
    } catch (error) {
      if (!(error instanceof UsageError)) throw error
      this.#io.stderr(`${error.message}\n`)
      return { status: error.status, ends: error.ends }
    }
    switch (command.kind) {
      case 'help':
        this.#io.stdout(HELP)
        return { status: 0, ends: true }
      case 'version':
        this.#io.stdout(`${VERSION}\n`)
        return { status: 0, ends: true }
      case 'restore':
        return { status: this.#restore(), ends: true }
      default:
        return this.#run(command)
    }
  }

  /** Every line is a command of its own; the last one's status counts. */
  #restore(): number {
    // Opened here, so that a file of nothing but listings does not end up with two.
    const opened = this.#openOr('write')
    if (typeof opened === 'number') return opened
    let status = 0
    for (const line of this.#io.stdin()) {
      const words = line.split(/\s+/).filter((word) => word !== '' && word !== 'ipvsadm')
      if (words.length === 0) continue
      const outcome = this.execute(words, true)
      status = outcome.status
      if (outcome.ends) break
    }
    return status
  }

  #run(command: Command): Outcome {
    const datapath = this.#openOr(READING.includes(command.kind) ? 'read' : 'write')
    if (typeof datapath === 'number') return { status: datapath, ends: true }
    const listing = command.kind.startsWith('list-') || command.kind === 'save'
    try {
      if (listing) this.#list(datapath, command)
      else change(datapath, command)
      return OK
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      this.#io.stderr(`${refusalText(error, command.kind)}\n`)
      return listing ? { status: 1, ends: true } : { status: 255, ends: false }
    }
  }

  #list(datapath: Datapath, command: Command): void {
    switch (command.kind) {
      case 'list-services': {
        const { service: key, format } = command
        const service = key && datapath.service(key)
        if (key !== undefined && service === undefined) throw serviceNotFound(key)
        const services = service === undefined ? datapath.services() : [service]
        return this.#print(
          listServices(services, format, this.#naming(format.numeric), service !== undefined),
        )
      }
      case 'list-connections': {
        const { format } = command
        return this.#print(listConnections(datapath.connections(), format, this.#naming(format.numeric)))
      }
      case 'list-timeouts':
        return this.#print([listTimeouts(datapath.timeouts())])
      case 'save':
        return this.#print(saveServices(datapath.services(), this.#naming(command.numeric)))
      default:
        // list-daemons: there are none yet, and then nothing is printed.
        return
    }
  }

  #naming(numeric: boolean): Naming {
    return numeric ? NUMERIC : this.#io.names
  }

  /** Writes lines in large pieces, holding only one of them. */
  #print(lines: Iterable<string>): void {
    let text = ''
    for (const line of lines) {
      text += `${line}\n`
      if (text.length < 65536) continue
      this.#io.stdout(text)
      text = ''
    }
    if (text !== '') this.#io.stdout(text)
  }

  /** The datapath, or the exit status when there is none to be had. */
  #openOr(purpose: 'read' | 'write'): Datapath | number {
    try {
      return (this.#datapath ??= this.#open(purpose))
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      const text = refusalText(error)
      this.#io.stderr(`Can't initialize ipvs: ${text}\n`)
      // What ipvsadm says of an errno is short; say what it was that failed.
      if (error.errno !== undefined)
        this.#io.stderr(`${[error.message, error.hint].filter(Boolean).join('\n')}\n`)
      return 2
    }
  }
}

function change(datapath: Datapath, command: Command): void {
  datapath.locked(() => {
    switch (command.kind) {
      case 'add-service':
        return datapath.addService(command.spec)
      case 'edit-service':
        return datapath.editService(command.spec)
      case 'delete-service':
        return datapath.deleteService(command.service)
      case 'flush':
        return datapath.flush()
      case 'add-server':
        return datapath.addDest(command.service, command.dest)
      case 'edit-server':
        return datapath.editDest(command.service, command.dest)
      case 'delete-server':
        return datapath.deleteDest(command.service, command.dest)
      case 'zero':
        return datapath.zero(command.service)
      case 'set':
        return datapath.setTimeouts(command.timeouts)
      case 'start-daemon':
        return requireSupportedSync()
      case 'stop-daemon':
        // As long as none can be started, none is running.
        throw new Failure('SYSTEM', `no ${command.daemon.role} daemon is running`, { errno: 'ESRCH' })
      default:
        throw new Error(`${command.kind} changes nothing`)
    }
  })
}
