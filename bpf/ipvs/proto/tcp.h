/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* TCP: the state machine that a balancer can run on what it sees.
 *
 * Three tables, because a balancer for direct routing never sees the replies; and
 * a second set for secure_tcp, in which the client alone cannot establish a
 * connection. Twin: src/ipvs/proto/tcp.ts. Rules: ip_vs_proto_tcp.c
 */
#ifndef IPVS_PROTO_TCP_H
#define IPVS_PROTO_TCP_H

enum tcp_event { TCP_E_NONE = 0, TCP_E_RST = 1, TCP_E_SYN = 2, TCP_E_FIN = 3, TCP_E_ACK = 4 };

#define NO TCP_S_NONE
#define ES TCP_S_ESTABLISHED
#define SS TCP_S_SYN_SENT
#define SR TCP_S_SYN_RECV
#define FW TCP_S_FIN_WAIT
#define TW TCP_S_TIME_WAIT
#define CL TCP_S_CLOSE
#define CW TCP_S_CLOSE_WAIT
#define LA TCP_S_LAST_ACK
#define LI TCP_S_LISTEN
#define SA TCP_S_SYNACK

/* clang-format off: columns are states, as in the kernel's tables */
const __u8 tcp_table[2][4][8][16] = {
	{ /* normal */
		[DIR_IN] = {
			/*     NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA */
			[TCP_E_RST] = { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR },
			[TCP_E_SYN] = { SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR },
			[TCP_E_FIN] = { CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW },
			[TCP_E_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES },
			[TCP_E_NONE] = { CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL },
		},
		[DIR_OUT] = {
			/*     NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA */
			[TCP_E_RST] = { CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL },
			[TCP_E_SYN] = { SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR },
			[TCP_E_FIN] = { TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW },
			[TCP_E_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES },
			[TCP_E_NONE] = { CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL },
		},
		[DIR_IN_ONLY] = {
			/*     NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA */
			[TCP_E_RST] = { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL },
			[TCP_E_SYN] = { SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR },
			[TCP_E_FIN] = { CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW },
			[TCP_E_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES },
			[TCP_E_NONE] = { CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL },
		},
	},
	{ /* secure_tcp */
		[DIR_IN] = {
			/*     NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA */
			[TCP_E_RST] = { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL },
			[TCP_E_SYN] = { SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SA },
			[TCP_E_FIN] = { CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, SA },
			[TCP_E_ACK] = { ES, ES, SS, SR, FW, TW, CL, CW, CL, LI, SA },
			[TCP_E_NONE] = { CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL },
		},
		[DIR_OUT] = {
			/*     NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA */
			[TCP_E_RST] = { CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL },
			[TCP_E_SYN] = { SS, ES, SS, SA, SS, SS, SS, SS, SS, LI, SA },
			[TCP_E_FIN] = { TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW },
			[TCP_E_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES },
			[TCP_E_NONE] = { CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL },
		},
		[DIR_IN_ONLY] = {
			/*     NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA */
			[TCP_E_RST] = { CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL },
			[TCP_E_SYN] = { SA, ES, ES, SR, SA, SA, SA, SA, SA, SA, SA },
			[TCP_E_FIN] = { CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW },
			[TCP_E_ACK] = { ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES },
			[TCP_E_NONE] = { CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL },
		},
	},
};
/* clang-format on */

#undef NO
#undef ES
#undef SS
#undef SR
#undef FW
#undef TW
#undef CL
#undef CW
#undef LA
#undef LI
#undef SA

/* Of these the first that is set counts: RST, SYN, FIN, ACK. By flags & 31, without
 * branches. A segment with none of them is nothing TCP sends, and closes.
 */
#define NO TCP_E_NONE
#define FI TCP_E_FIN
#define SY TCP_E_SYN
#define RS TCP_E_RST
#define AC TCP_E_ACK
const __u8 tcp_events[32] = {
	/* none FIN SYN both, then with RST */
	NO, FI, SY, SY, RS, RS, RS, RS, NO, FI, SY, SY, RS, RS, RS, RS, /* with PSH */
	AC, FI, SY, SY, RS, RS, RS, RS, /* with ACK */
	AC, FI, SY, SY, RS, RS, RS, RS, /* with both */
};
#undef NO
#undef FI
#undef SY
#undef RS
#undef AC

static __always_inline __u32 tcp_next(__u32 dir, __u8 flags, __u32 state, __u32 secure)
{
	return tcp_table[secure & 1][dir & 3][tcp_events[flags & 31] & 7][state & 15];
}

/* The states that ipvsadm counts as active. */
static __always_inline int tcp_is_active(__u32 state)
{
	const __u32 active = 1 << TCP_S_ESTABLISHED | 1 << TCP_S_SYN_SENT | 1 << TCP_S_SYN_RECV |
			     1 << TCP_S_SYNACK;

	return active >> (state & 15) & 1;
}

/* A SYN, with ACK or without: it may end an old connection and start a new one. */
static __always_inline int tcp_is_opener(__u8 flags)
{
	return flags & TCP_SYN;
}

#endif
