// SPDX-License-Identifier: MIT
/* A program the verifier must reject: it reads beyond what it has checked. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

SEC("xdp")
int fine(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp")
int careless(struct xdp_md *ctx)
{
	__u8 *data = (void *)(long)ctx->data;

	return data[12] == 8 ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
