// SPDX-License-Identifier: MIT
/**
 * Runs the ipvsadm front end inside the test, on any datapath.
 */
import { fileURLToPath } from 'node:url'
import { run, type OpenDatapath } from '../../src/cli/ipvsadm/main.js'
import { SystemNames } from '../../src/cli/ipvsadm/names.js'
import type { Datapath } from '../../src/datapath/datapath.js'

export interface Ended {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** Hosts and services the recordings were made with; nobody is asked beyond these files. */
export function recordedNames(): SystemNames {
  return new SystemNames(fileURLToPath(new URL('../fixtures/names', import.meta.url)), () => '')
}

/** Runs `ipvsadm <words>` on a datapath that outlives the command. */
export function ipvsadm(datapath: Datapath, words: readonly string[], stdin = ''): Ended {
  return ipvsadmWith(() => keepOpen(datapath), words, stdin)
}

/** The same with an opener of its own. */
export function ipvsadmWith(open: OpenDatapath, words: readonly string[], stdin = ''): Ended {
  let stdout = ''
  let stderr = ''
  const lines = stdin.split('\n')
  if (lines.at(-1) === '') lines.pop()
  const io = {
    stdin: () => lines,
    stdout: (text: string) => void (stdout += text),
    stderr: (text: string) => void (stderr += text),
    argv0: 'ipvsadm',
    names: recordedNames(),
  }
  const status = run(words, io, open)
  return { status, stdout, stderr }
}

/** Runs a recorded line like `ipvsadm -A -t 10.0.0.1:80`, split at blanks. */
export function ipvsadmLine(datapath: Datapath, line: string): Ended {
  const [program, ...words] = line.split(' ')
  if (program !== 'ipvsadm') throw new Error(`not a call of ipvsadm: ${line}`)
  return ipvsadm(datapath, words)
}

function keepOpen(datapath: Datapath): Datapath {
  return new Proxy(datapath, {
    get(target, property) {
      if (property === Symbol.dispose) return () => undefined
      const value: unknown = Reflect.get(target, property, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}
