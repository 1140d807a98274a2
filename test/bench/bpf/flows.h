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

/* Writes the frame of a flow, each word once and as wide as the headers are read.
 * From a narrower or a crossing store the CPU cannot forward to a load, and a packet
 * from a device is in no store buffer: the stall would be the bench's, not the path's.
 */
static __always_inline void flow_write(struct bench *b, void *data, const int family,
				       const int side, __u32 flow)
{
	const int l3 = ETH_HLEN, l4 = l3 + (family == 4 ? 20 : 40);
	const int address = family == 4 ? l3 + 12 + side * 4 : l3 + 8 + side * 16 + 12;
	const void *from = b->frame;
	__u32 old, new, ports, check;
	__u64 change;
	int i;

	/* Both checksums are right for flow 0, and follow. */
	old = *(__u32 *)(from + address);
	new = bpf_htonl(bpf_ntohl(old) + flow / FLOWS_PER_CLIENT);
	change = csum_change(old, new);
	*(__u64 *)data = *(__u64 *)from;
	*(__u32 *)(data + 8) = *(__u32 *)(from + 8);
	*(__u16 *)(data + 12) = *(__u16 *)(from + 12);
#pragma unroll
	for (i = l3; i + 4 <= HEADERS; i += 4) {
		__u32 word = *(__u32 *)(from + i);

		if (i == address) {
			word = new;
		} else if (family == 4 && i == l3 + 8) {
			check = csum_apply(word >> 16, change);
			word = (word & 0xffff) | check << 16;
		} else if (i == l4) {
			ports = word;
			word = side ? (word & 0xffff) | (__u32)bpf_htons(FIRST_PORT +
									 flow % FLOWS_PER_CLIENT)
								<< 16
				    : (word & 0xffff0000) |
					       bpf_htons(FIRST_PORT + flow % FLOWS_PER_CLIENT);
			change += csum_change(ports, word);
		} else if (i == l4 + 16) {
			check = csum_apply(word, change);
			word = (word & 0xffff0000) | check;
		}
		*(__u32 *)(data + i) = word;
	}
}

/* Makes the frame of the next flow in place. Returns 0 when there is no room. */
static __always_inline int flow_make(ctx_t *ctx, struct bench *b, __u32 *flow)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;

	if (data + HEADERS > data_end)
		return 0;
	*flow = flow_next(b);
	if (b->family == 4) {
		if (!b->side)
			flow_write(b, data, 4, 0, *flow);
		else
			flow_write(b, data, 4, 1, *flow);
	} else {
		if (!b->side)
			flow_write(b, data, 6, 0, *flow);
		else
			flow_write(b, data, 6, 1, *flow);
	}
	return 1;
}

#endif
