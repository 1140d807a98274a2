// SPDX-License-Identifier: MIT
/**
 * UDP has one state, which is never active. Twin: bpf/ipvs/proto/udp.h.
 */

/** As /proc/net/ip_vs_conn prints it. */
export const UDP_STATE = 'UDP'

/** The kernel's default; changes with `ipvsadm --set`. */
export const UDP_TIMEOUT_S = 300
