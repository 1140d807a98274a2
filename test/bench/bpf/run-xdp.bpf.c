// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Test-run bench of the XDP data path: the program itself, called as a function. */
#include "net/xdp.h"
#include "ipvs/core.h"

/* Turns the program into a function and its licence into a variable nobody reads:
 * libbpf calls functions, not programs.
 */
#pragma push_macro("SEC")
#undef SEC
#define SEC(name)
#define _license path_license
#include "xdp.bpf.c"
#undef _license
#pragma pop_macro("SEC")

char _license[] SEC("license") = "Dual BSD/GPL";

#define HOOK "xdp"
#define DATA_PATH(ctx) xdp_in(ctx)
#define ctx_grow(ctx, bytes) bpf_xdp_adjust_head(ctx, -(int)(bytes))
#define ctx_length(ctx) ((__u32)((ctx)->data_end - (ctx)->data))

#include "candidates.h"

/* The least a test run can take. */
SEC("xdp")
int run_empty(struct xdp_md *ctx)
{
	return XDP_PASS;
}
