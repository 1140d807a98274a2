// SPDX-License-Identifier: MIT
/** Commands inside network namespaces: run to the end, or started and tracked. */
import { spawn, type ChildProcess } from 'node:child_process'
import { Failure } from '../util/errors.js'

/**
 * How a command gets into the namespace. `nsenter` changes the network only;
 * `ip-netns` also mounts a fresh /sys, which hides bpffs, as `ip netns exec` does.
 */
export type Entrance = 'nsenter' | 'ip-netns'

export interface ExecOptions {
  /** Standard input; empty when left out. */
  readonly input?: string
  /** false: a non-zero status is returned instead of thrown. */
  readonly check?: boolean
  /** Killed after this long; 60 s when left out. */
  readonly timeoutMs?: number
  readonly via?: Entrance
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

export interface ExecResult {
  /** Exit status; 128 + number for a signal, as in a shell. */
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

const SIGNALS: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 }

/** The command line that runs `command` inside namespace `netns`. */
export function inNamespace(
  netns: string,
  via: Entrance,
  command: string,
  args: readonly string[],
): string[] {
  return via === 'nsenter'
    ? ['nsenter', `--net=/run/netns/${netns}`, '--', command, ...args]
    : ['ip', 'netns', 'exec', netns, command, ...args]
}

/** Runs a command line to its end. */
export async function runCommand(line: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
  const [command, ...args] = line as [string, ...string[]]
  const { input = '', check = true, timeoutMs = 60_000 } = options
  const child = spawn(command, args, {
    stdio: 'pipe',
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
  })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  // A command that does not read its input closes it; that is its business.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)

  let late = false
  const timer = setTimeout(() => {
    late = true
    child.kill('SIGKILL')
    letGo(child)
  }, timeoutMs)
  const status = await exitStatus(child, command).finally(() => clearTimeout(timer))

  if (late)
    throw new Failure('SYSTEM', `'${args.join(' ')}' did not end within ${timeoutMs} ms\n${output.stderr}`)
  if (check && status !== 0) {
    throw new Failure(
      'SYSTEM',
      `'${line.join(' ')}' ended with ${status}: ${output.stderr || output.stdout}`.trim(),
    )
  }
  return { status, ...output }
}

/** A started command; killed when its world ends, at the latest. */
export class RunningProcess implements AsyncDisposable {
  readonly child: ChildProcess
  readonly #ended: Promise<number>
  #stdout = ''
  #stderr = ''

  constructor(line: readonly string[], options: Pick<ExecOptions, 'env' | 'cwd'> = {}) {
    const [command, ...args] = line as [string, ...string[]]
    this.child = spawn(command, args, {
      stdio: 'pipe',
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { ...process.env, ...options.env },
    })
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text))
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text))
    this.child.stdin?.on('error', () => undefined)
    this.#ended = exitStatus(this.child, command)
    // Whoever waits hears of it; nobody waiting is no reason to crash.
    this.#ended.catch(() => undefined)
  }

  get pid(): number | undefined {
    return this.child.pid
  }

  /** What it printed so far. */
  get stdout(): string {
    return this.#stdout
  }

  get stderr(): string {
    return this.#stderr
  }

  /** Resolves with the exit status. */
  get ended(): Promise<number> {
    return this.#ended
  }

  /** Waits until its standard output or error matches, and fails if it ends before. */
  async printed(pattern: RegExp, timeoutMs = 10_000): Promise<RegExpExecArray> {
    const found = () => pattern.exec(this.#stdout) ?? pattern.exec(this.#stderr)
    const at = found()
    if (at !== null) return at
    return new Promise((resolve, reject) => {
      const look = () => {
        const match = found()
        if (match !== null) settle(() => resolve(match))
      }
      const settle = (act: () => void) => {
        clearTimeout(timer)
        this.child.stdout?.off('data', look)
        this.child.stderr?.off('data', look)
        act()
      }
      const fail = (what: string) =>
        settle(() =>
          reject(
            new Failure('SYSTEM', `${what} before printing ${pattern}:\n${this.#stdout}${this.#stderr}`),
          ),
        )
      const timer = setTimeout(() => fail(`${timeoutMs} ms passed`), timeoutMs)
      this.child.stdout?.on('data', look)
      this.child.stderr?.on('data', look)
      this.#ended.then(
        (status) => fail(`the command ended with ${status}`),
        (error: unknown) => settle(() => reject(error instanceof Error ? error : new Error(String(error)))),
      )
    })
  }

  /** Ends it and waits until it is gone. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal)
    // One that ignores the polite signal does not keep the world alive, nor do children it left.
    const impatience = setTimeout(() => {
      this.child.kill('SIGKILL')
      letGo(this.child)
    }, 3_000)
    return this.#ended.finally(() => clearTimeout(impatience))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => undefined)
  }
}

/** A command counts as ended when its output is closed: stop listening to what its children say. */
function letGo(child: ChildProcess): void {
  child.stdout?.destroy()
  child.stderr?.destroy()
}

function exitStatus(child: ChildProcess, command: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on('error', (cause: NodeJS.ErrnoException) =>
      reject(
        cause.code === 'ENOENT'
          ? new Failure('TOOL_MISSING', `${command} is not installed`, { cause })
          : new Failure('SYSTEM', `${command} could not be started: ${cause.message}`, { cause }),
      ),
    )
    child.on('close', (code, signal) => resolve(code ?? 128 + (SIGNALS[signal ?? ''] ?? 0)))
  })
}
