// SPDX-License-Identifier: MIT
/**
 * Offsets of the shared structs under one name: this folder is full of variables
 * called `dest`, `service` and `config`.
 */
import * as abi from '../../abi/generated.js'

/** `at.dest.weight` is where a dest's weight starts, `at.dest.size` its whole length. */
export const at = {
  config: { ...abi.config.at, size: abi.config.size },
  conn: { ...abi.conn.at, size: abi.conn.size },
  connAddrs: { ...abi.connAddrs.at, size: abi.connAddrs.size },
  bucket4: { ...abi.bucket4.at, size: abi.bucket4.size },
  bucket6: { ...abi.bucket6.at, size: abi.bucket6.size },
  spares: { ...abi.spares.at, size: abi.spares.size },
  serviceKey: { ...abi.serviceKey.at, size: abi.serviceKey.size },
  service: { ...abi.service.at, size: abi.service.size },
  dest: { ...abi.dest.at, size: abi.dest.size },
  destSet: { ...abi.destSet.at, size: abi.destSet.size },
  journal: { ...abi.journal.at, size: abi.journal.size },
  device: { ...abi.device.at, size: abi.device.size },
  sweepRequest: { ...abi.sweepRequest.at, size: abi.sweepRequest.size },
} as const
