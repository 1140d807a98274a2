// SPDX-License-Identifier: MIT
/**
 * Speaks with wire.py, which has the raw sockets that Node lacks.
 *
 * One Wire is one helper process; it serves one lab at a time and can be used for one
 * after the other, because starting Python costs more than building a lab. Requests
 * are answered in order.
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { createInterface } from 'node:readline'
import { packageFile } from '../../../src/util/package.js'
import type { ReceivedDatagram, Side } from './recording.js'

export interface LabNames {
  readonly c: string
  readonly d: string
  readonly s: string
}

export interface CaughtFrame {
  readonly at: Side
  readonly frame: string
}

/** What left since the last `take`, in the order in which it was caught. */
export interface Catch {
  readonly frames: readonly CaughtFrame[]
  readonly received: readonly ReceivedDatagram[]
}

export interface CommandResult {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** So many frames and datagrams are waited for, for at most `limit` milliseconds. */
export interface Expectation {
  readonly frames: number
  readonly received: number
  readonly limit: number
}

type Answer = Record<string, unknown> & { error?: string }

export class Wire {
  readonly #process: ChildProcessWithoutNullStreams
  readonly #waiting: { resolve: (answer: Answer) => void; reject: (reason: Error) => void }[] = []
  #complaints = ''
  #ended: Error | undefined

  private constructor(process: ChildProcessWithoutNullStreams) {
    this.#process = process
    createInterface({ input: process.stdout }).on('line', (line) => {
      this.#waiting.shift()?.resolve(JSON.parse(line) as Answer)
    })
    process.stderr.setEncoding('utf8').on('data', (text: string) => (this.#complaints += text))
    process.stdin.on('error', () => undefined) // told by 'close'
    process.on('error', (problem) => this.#end(problem))
    process.on('close', (status) =>
      this.#end(new Error(`the frame helper ended with ${status}: ${this.#complaints.trim()}`)),
    )
  }

  static start(): Wire {
    const script = packageFile('test', 'support', 'replay', 'wire.py')
    return new Wire(spawn('python3', ['-S', '-E', script], { stdio: 'pipe' }))
  }

  #end(reason: Error): void {
    this.#ended ??= reason
    for (const { reject } of this.#waiting.splice(0)) reject(this.#ended)
  }

  async #ask(request: Record<string, unknown>): Promise<Answer> {
    if (this.#ended) throw this.#ended
    const answer = await new Promise<Answer>((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#process.stdin.write(JSON.stringify(request) + '\n')
    })
    if (answer.error !== undefined) throw new Error(answer.error)
    return answer
  }

  /** Builds the three namespaces; `links` are lines for `ip -batch`. Answers the director's inode. */
  async open(names: LabNames, links: string, options: { gro: boolean; pins: string }): Promise<number> {
    return (await this.#ask({ op: 'open', names, links, ...options }))['inode'] as number
  }

  /** Removes the lab with all that is in it. */
  async close(): Promise<void> {
    await this.#ask({ op: 'close' })
  }

  /** Runs a command in the director's namespace; a string is split as a shell would, without being one. */
  async run(command: string | readonly string[], stdin = ''): Promise<CommandResult> {
    const what = typeof command === 'string' ? { command } : { argv: command }
    return (await this.#ask({ op: 'run', stdin, ...what })) as unknown as CommandResult
  }

  /** The text of a file as the director's namespace has it, e.g. under /proc/net. */
  async read(path: string): Promise<string> {
    return (await this.#ask({ op: 'read', path }))['text'] as string
  }

  /** Injects an Ethernet frame at an end, or an IP packet by a raw socket of the director. */
  async send(at: Side | 'director', frame: string, expectation: Expectation): Promise<void> {
    await this.#ask({ op: 'send', at, frame, ...expectation })
  }

  async socket(
    kind: 'tcp' | 'udp',
    from: readonly [string, number],
    to: readonly [string, number],
    payload: string | undefined,
    expectation: Expectation,
  ): Promise<void> {
    await this.#ask({ op: 'socket', kind, from, to, payload, ...expectation })
  }

  /** Closes the director's sockets that are still connecting. */
  async giveUp(): Promise<void> {
    await this.#ask({ op: 'give up' })
  }

  /** Waits for what leaves without an injection. */
  async expect(expectation: Expectation): Promise<void> {
    await this.#ask({ op: 'expect', ...expectation })
  }

  async listen(address: string, port: number): Promise<void> {
    await this.#ask({ op: 'listen', address, port })
  }

  /** Everything that left, looked at no earlier than `grace` milliseconds after the last injection. */
  async take(grace: number): Promise<Catch> {
    return (await this.#ask({ op: 'take', grace })) as unknown as Catch
  }

  /** Many frames one after the other; each answer holds the frames that followed it. */
  async exchange(
    steps: readonly (readonly [Side, string, number])[],
    options: { limit: number; grace: number },
  ): Promise<CaughtFrame[][]> {
    const { answers } = (await this.#ask({ op: 'exchange', steps, ...options })) as unknown as {
      answers: [Side, string][][]
    }
    return answers.map((frames) => frames.map(([at, frame]) => ({ at, frame })))
  }

  /** Ends the process; a lab that is still open is removed by it. */
  async stop(): Promise<void> {
    if (this.#process.exitCode !== null) return
    const closed = new Promise((resolve) => this.#process.once('close', resolve))
    this.#process.stdin.end()
    await closed
  }
}
