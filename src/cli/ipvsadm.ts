// SPDX-License-Identifier: MIT
/**
 * `ipvsadm`: the program. What it does is in ipvsadm/main.ts; here it meets the
 * process it runs in.
 *
 * Reads and writes descriptors itself: making process.stdin and process.stdout costs
 * more than a listing.
 */
import { readSync, writeSync } from 'node:fs'
import { KernelDatapath } from '../datapath/kernel/datapath.js'
import { run } from './ipvsadm/main.js'
import { SystemNames } from './ipvsadm/names.js'

/** 128 + SIGPIPE: what a shell reports of the original, which dies of it. */
const READER_GONE = 141

process.exitCode = run(
  process.argv.slice(2),
  {
    stdin: linesOf,
    stdout: (text) => write(1, text),
    stderr: (text) => write(2, text),
    argv0: 'ipvsadm',
    names: new SystemNames(),
  },
  () => KernelDatapath.open(),
)

function* linesOf(): Generator<string> {
  const chunk = Buffer.allocUnsafe(65536)
  const decoder = new TextDecoder()
  let rest = ''
  for (let length = -1; length !== 0;) {
    length = retry(() => readSync(0, chunk))
    const lines = (rest + decoder.decode(chunk.subarray(0, length), { stream: length > 0 })).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
  if (rest !== '') yield rest
}

function write(descriptor: number, text: string): void {
  const bytes = Buffer.from(text)
  try {
    for (let done = 0; done < bytes.length;) {
      done += retry(() => writeSync(descriptor, bytes, done))
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
    process.exit(READER_GONE)
  }
}

/** Somebody else may have made our end of a pipe or terminal non-blocking. */
function retry(transfer: () => number): number {
  for (;;) {
    try {
      return transfer()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
}
