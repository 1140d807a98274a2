/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Protocols: what a packet does to the state of its connection.
 *
 * A step runs for every handled packet, never for ICMP. Twin: src/ipvs/proto.ts
 */
#ifndef IPVS_PROTO_H
#define IPVS_PROTO_H

#include "../net/packet.h"
#include "config.h"

/* Which packets a connection has seen decides the table: with NOOUTPUT set only
 * the client's are expected to pass here.
 */
enum direction { DIR_IN = 0, DIR_OUT = 1, DIR_IN_ONLY = 2 };

#include "proto/tcp.h"

/* Where a packet takes a connection. */
struct step {
	__u32 state;
	__u32 flags; /* CONN_F_* after the step */
	__u32 timeout; /* jiffies */
};

/* The step of `p` on a connection in `state` with `flags`. The first reply clears
 * NOOUTPUT, and with it the choice of the table for the client's packets. Bit
 * operations, because every branch here doubles what the verifier must follow.
 */
static __always_inline void proto_step(const struct config *cfg, const struct packet *p,
				       enum direction dir, __u32 state, __u32 flags,
				       struct step *step)
{
	__u32 table = dir;

	if (p->protocol != IPPROTO_TCP) {
		step->state = 0;
		step->flags = flags;
		step->timeout = READ_ONCE(cfg->timeouts[PROTO_UDP][0]);
		return;
	}
	if (dir == DIR_OUT)
		flags &= ~CONN_F_NOOUTPUT;
	else
		table = flags & CONN_F_NOOUTPUT; /* 0 is DIR_IN, 2 is DIR_IN_ONLY */
	_Static_assert((int)CONN_F_NOOUTPUT == (int)DIR_IN_ONLY, "the flag is the table");
	_Static_assert(CONN_F_INACTIVE == 1, "tcp_is_active gives the flag");
	step->state = tcp_next(table, p->tcp_flags, state, READ_ONCE(cfg->secure_tcp) >> 1);
	step->flags = (flags & ~CONN_F_INACTIVE) | (tcp_is_active(step->state) ^ 1);
	step->timeout = READ_ONCE(cfg->timeouts[PROTO_TCP][step->state & 15]);
}

#endif
