// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Test-run bench of the tc data path: the program itself, called as a function. */
#include "net/tc.h"
#include "net/icmp.h"
#include "net/frag.h"
#include "ipvs/core.h"

/* As in run-xdp.bpf.c. */
#pragma push_macro("SEC")
#undef SEC
#define SEC(name)
#define _license path_license
#include "tc.bpf.c"
#undef _license
#pragma pop_macro("SEC")

char _license[] SEC("license") = "Dual BSD/GPL";

#define HOOK "tc"
#define DATA_PATH(ctx) tc_ingress(ctx)
#define ctx_grow(ctx, bytes) bpf_skb_adjust_room(ctx, (int)(bytes), BPF_ADJ_ROOM_MAC, 0)
#define ctx_length(ctx) ((ctx)->len)

#include "candidates.h"

SEC("tc")
int run_empty(struct __sk_buff *skb)
{
	return TC_ACT_UNSPEC;
}
