// SPDX-License-Identifier: MIT
/**
 * `xlvs`: everything about the data plane that ipvsadm has no words for.
 *
 * Commands live in commands/, one file each; this file only finds the one meant.
 */
import yargs from 'yargs'
import { packageVersion } from '../util/package.js'
import type { Output } from './command.js'
import { COMMANDS } from './commands/index.js'
import { describeError, EXIT, exitCodeOf } from './exit.js'

/** A mistake in the command line itself. */
class UsageError extends Error {}

const out: Output = {
  line: (text) => process.stdout.write(`${text}\n`),
  note: (text) => process.stderr.write(`${text}\n`),
}

const argv = process.argv.slice(2)
let parser = yargs(argv)
  .scriptName('xlvs')
  .usage('xlvs COMMAND [OPTION]...\n\nLinux Virtual Server on XDP. Services and real servers: see ipvsadm.')
  .version(packageVersion())
  .option('verbose', {
    alias: 'v',
    type: 'boolean',
    default: false,
    describe: 'tell everything about a failure',
  })
  .help()
  .strict()
  .demandCommand(1, 'which command?')
  .exitProcess(false)
  .fail((message, error) => {
    // yargs names its own complaints YError, and gives some no message of their own.
    throw error === undefined || error.name === 'YError' ? new UsageError(error?.message ?? message) : error
  })
  .wrap(Math.min(100, process.stdout.columns || 80))

for (const { usage, summary, hidden, options, run } of COMMANDS) {
  const handle = async (given: Parameters<typeof run>[0]) => {
    process.exitCode = (await run(given, out)) ?? EXIT.ok
  }
  // yargs takes `false` for "not in the help", but its types have no union of both.
  if (hidden === true) parser = parser.command(usage, false, options, handle)
  else parser = parser.command(usage, summary, options, handle)
}

// A reader that has seen enough (`| head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(EXIT.ok)
})

/** A mistake is thrown at once, what goes wrong later rejects. */
async function main(): Promise<void> {
  try {
    await parser.parseAsync()
  } catch (error) {
    if (error instanceof UsageError) {
      out.note(`xlvs: ${error.message}\nhint: xlvs --help lists commands and options`)
      process.exitCode = EXIT.usage
    } else {
      out.note(describeError('xlvs', error, argv.includes('-v') || argv.includes('--verbose')))
      process.exitCode = exitCodeOf(error)
    }
  }
}

void main()
