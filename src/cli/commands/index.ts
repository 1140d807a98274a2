// SPDX-License-Identifier: MIT
/** Every command of `xlvs`, in the order its help lists them. */
import type { Command } from '../command.js'
import { compile } from './compile.js'

// Each command knows its own options; the list need not.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export const COMMANDS: readonly Command<any>[] = [compile]
