// SPDX-License-Identifier: MIT
import { packageFile } from '../../util/package.js'
import { defineCommand } from '../command.js'

export const compile = defineCommand({
  usage: 'compile',
  summary: 'compile the BPF programs on this host',
  options: (parser) =>
    parser.option('out', {
      type: 'string',
      requiresArg: true,
      describe: 'folder for the objects; without it, the ones in use are replaced',
    }),
  async run({ out: folder }, out) {
    const { compileAll } = await import('../../compile/compile.js')
    const { findClang } = await import('../../compile/clang.js')
    const clang = findClang()
    out.note(`compiling with ${clang.path} (${clang.version})`)
    for (const object of await compileAll(folder ?? packageFile('build', 'bpf'), { clang })) out.line(object)
  },
})
