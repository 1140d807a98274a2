// SPDX-License-Identifier: MIT
/**
 * What a command of `xlvs` is: one file in commands/, listed in commands/index.ts.
 *
 * A command parses its arguments through yargs and imports what it runs on lazily,
 * in `run`, so that `xlvs --help` stays quick. It prints to `out`, and fails by
 * throwing a Failure; src/cli/xlvs.ts turns that into a message and an exit code.
 */
import type { Argv } from 'yargs'
import type { ExitCode } from './exit.js'

export interface Output {
  /** Writes a line to standard output. */
  line(text: string): void
  /** Writes a line to standard error. */
  note(text: string): void
}

export interface Command<Options> {
  /** As yargs wants it: `explain <proto> <from> <to>`. */
  readonly usage: string
  readonly summary: string
  /** Left out of the help. */
  readonly hidden?: boolean
  readonly options: (parser: Argv) => Argv<Options>
  /** An exit code, when the command ends neither well (0) nor with a Failure. */
  readonly run: (options: Options, out: Output) => Promise<ExitCode | void>
}

/** Names the option types of a command by its own `options`. */
export function defineCommand<Options>(command: Command<Options>): Command<Options> {
  return command
}
