// SPDX-License-Identifier: MIT
/* The stress in XDP. */
#include "stress.h"
#include "net/xdp.h"
#include "stress-core.h"

char _license[] SEC("license") = "GPL";

SEC("xdp")
int drive(struct xdp_md *ctx)
{
	if (bpf_get_prandom_u32() & 3)
		stress_run(ctx, 4);
	else
		stress_run(ctx, 6);
	return XDP_DROP;
}
