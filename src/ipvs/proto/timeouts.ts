// SPDX-License-Identifier: MIT
/**
 * The three timeouts `ipvsadm --set` changes. All others are constants.
 */
import { Failure } from '../../util/errors.js'
import { TCP_TIMEOUTS_S } from './tcp.js'
import { UDP_TIMEOUT_S } from './udp.js'

export interface SettableTimeouts {
  readonly tcp: number
  readonly tcpFin: number
  readonly udp: number
}

export const DEFAULT_TIMEOUTS: SettableTimeouts = {
  tcp: TCP_TIMEOUTS_S.ESTABLISHED,
  tcpFin: TCP_TIMEOUTS_S.FIN_WAIT,
  udp: UDP_TIMEOUT_S,
}

/** The kernel keeps them in jiffies in an int; Debian's runs at 250 Hz. */
export const MAX_TIMEOUT_S = Math.floor(0x7fff_ffff / 250)

/** The timeouts in force after `--set`: 0 keeps the old one; EINVAL changes none. */
export function changeTimeouts(old: SettableTimeouts, wanted: SettableTimeouts): SettableTimeouts {
  for (const seconds of [wanted.tcp, wanted.tcpFin, wanted.udp]) {
    if (seconds >= 0 && seconds <= MAX_TIMEOUT_S) continue
    throw new Failure('INVALID_ARGUMENT', `a timeout of ${seconds} s is not between 0 and ${MAX_TIMEOUT_S}`, {
      errno: 'EINVAL',
    })
  }
  return {
    tcp: wanted.tcp || old.tcp,
    tcpFin: wanted.tcpFin || old.tcpFin,
    udp: wanted.udp || old.udp,
  }
}
