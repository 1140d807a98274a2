// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Both ends of the road for packets per second over veth: a generator that runs on
 * live frames, a counter at the end, and the plain programs that xlvs is held against.
 */
#include "net/packet.h"

typedef struct xdp_md ctx_t;

#include "flows.h"

char _license[] SEC("license") = "Dual BSD/GPL";

/* Packets that came to the end of the road. Read by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} received SEC(".maps");

static __always_inline void receive(void)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&received, &zero);

	if (count)
		*count += 1;
}

/* The whole frame is written every time, because its page comes back as others left it. */
SEC("xdp")
int generate(struct xdp_md *ctx)
{
	struct bench *b = bench_get();
	__u32 flow;

	if (!b || !flow_make(ctx, b, &flow))
		return XDP_DROP;
	return bpf_redirect(b->ifindex, 0);
}

SEC("xdp")
int count_xdp(struct xdp_md *ctx)
{
	receive();
	return XDP_DROP;
}

SEC("tc")
int count_tc(struct __sk_buff *skb)
{
	receive();
	return 2; /* TC_ACT_SHOT */
}

SEC("xdp")
int send_back(struct xdp_md *ctx)
{
	return XDP_TX;
}

/* To the device behind the balancer, untouched: what any XDP forwarder pays at least. */
SEC("xdp")
int send_on(struct xdp_md *ctx)
{
	struct bench *b = bench_get();

	return b ? bpf_redirect(b->next, 0) : XDP_DROP;
}
