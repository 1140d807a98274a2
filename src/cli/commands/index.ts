// SPDX-License-Identifier: MIT
/** Every command of `xlvs`, in the order its help lists them. */
import type { Command } from '../command.js'
import { clock } from './clock.js'
import { compile } from './compile.js'
import { conn } from './conn.js'
import { down } from './down.js'
import { explain } from './explain.js'
import { stats } from './stats.js'
import { status } from './status.js'
import { sysctl } from './sysctl.js'
import { up } from './up.js'

// Each command knows its own options; the list need not.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export const COMMANDS: readonly Command<any>[] = [
  up,
  down,
  status,
  explain,
  stats,
  conn,
  sysctl,
  compile,
  clock,
]
