/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Packets of many flows, made from one frame: its headers are restored, then the
 * client's address and port become those of the next flow and the checksums follow.
 *
 * Needs net/packet.h and ctx_t. Twin of struct bench: ../bench-map.ts
 */
#ifndef BENCH_FLOWS_H
#define BENCH_FLOWS_H

#define HEADERS 80 /* Ethernet, IPv6 and TCP, rounded up to words */
#define FLOWS_PER_CLIENT 1024
#define FIRST_PORT 1024

struct bench {
	__u64 frame[HEADERS / 8];
	__u32 length; /* of the frame */
	__u32 family;
	__u32 side; /* where the client stands: 0 source, 1 destination */
	/* The next flow: state = state * mul + add, (state >> shift) & mask. */
	__u32 state, mul, add, shift, mask;
	__u32 keep; /* stop after one packet and leave it as it came out */
	__u32 misses; /* what a table should have had and had not */
	__u32 read; /* what a candidate read, so that it is not optimised away */
	__u32 ifindex; /* where the generator sends */
	__u32 next; /* and where send_on does */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bench);
} bench SEC(".maps");

static __always_inline struct bench *bench_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&bench, &zero);
}

static __always_inline __u32 flow_next(struct bench *b)
{
	b->state = b->state * b->mul + b->add;
	return (b->state >> b->shift) & b->mask;
}

/* Both checksums of the frame are right for the client in it, and stay so. */
static __always_inline void flow_patch(void *data, const int family, const int side, __u32 flow)
{
	const int l4 = ETH_HLEN + (family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	const int address = family == 4 ? ETH_HLEN + 12 + side * 4 : ETH_HLEN + 8 + side * 16 + 12;
	__be32 *word = data + address, old = *word;
	__be16 *port = data + l4 + side * 2, old_port = *port;
	__u16 *check = data + l4 + offsetof(struct tcphdr, check);
	__u64 change;

	*word = bpf_htonl(bpf_ntohl(old) + flow / FLOWS_PER_CLIENT);
	*port = bpf_htons(FIRST_PORT + flow % FLOWS_PER_CLIENT);
	change = csum_change(old, *word);
	if (family == 4) {
		struct iphdr *iph = data + ETH_HLEN;

		iph->check = csum_apply(iph->check, change);
	}
	*check = csum_apply(*check, change + csum_change(old_port, *port));
}

/* Makes the frame of the next flow in place. Returns 0 when there is no room. */
static __always_inline int flow_make(ctx_t *ctx, struct bench *b, __u32 *flow)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	int i;

	if (data + HEADERS > data_end)
		return 0;
#pragma unroll
	for (i = 0; i < HEADERS / 8; i++)
		((__u64 *)data)[i] = b->frame[i];
	*flow = flow_next(b);
	if (b->family == 4) {
		if (!b->side)
			flow_patch(data, 4, 0, *flow);
		else
			flow_patch(data, 4, 1, *flow);
	} else {
		if (!b->side)
			flow_patch(data, 6, 0, *flow);
		else
			flow_patch(data, 6, 1, *flow);
	}
	return 1;
}

#endif
