// SPDX-License-Identifier: MIT
/**
 * Opens a ring buffer and comes to its end without closing it.
 *
 * Usage: libbpf-ring OBJECT idle|throw: does not hold the process, or throws on the
 * first batch.
 */
import { BpfObject, RingBuffer } from '../../src/libbpf/index.js'

const [path, mode] = process.argv.slice(2)
const object = BpfObject.open(path as string)
object.load()
RingBuffer.open(
  object.map('events'),
  () => {
    if (mode === 'throw') throw new Error('the batch is not to my liking')
  },
  { ref: mode === 'throw' },
)
object.program('flood').testRun({ ctxIn: new Uint8Array(Uint32Array.of(100, 0).buffer) })
process.stdout.write('done\n')
