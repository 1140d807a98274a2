/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fragmenting what is too big for the way out and may be cut (tc only).
 *
 * The stack would do it, but a packet that leaves by redirect never meets that part
 * of it. The payload is read into a buffer once; each piece is then written over
 * the packet's beginning and a clone of it sent. The MAC addresses must be known.
 */
#ifndef NET_FRAG_H
#define NET_FRAG_H

#include "tc.h"

#define FRAG_BUFFER 16384 /* half of what a per-CPU value may measure; a jumbo frame fits */

/* One packet's payload; twice the room, so that the verifier believes every piece
 * to lie inside.
 */
struct frag_buffer {
	__u8 bytes[2 * FRAG_BUFFER];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct frag_buffer);
} frag_buffer SEC(".maps");

struct frag {
	ctx_t *ctx;
	const struct hop *hop;
	__u32 family;
	__u32 header; /* bytes of the IP header, and of the fragment header for IPv6 */
	__u32 total; /* bytes of payload */
	__u32 piece; /* bytes of it in each fragment but the last */
	__u32 id;
	__u8 protocol; /* IPv6: what the fragment header names */
	__u8 failed;
	__u16 pad;
};

struct ip6_frag {
	__u8 next;
	__u8 reserved;
	__be16 offset;
	__be32 id;
};

static __always_inline int frag_headers(struct frag *frag, __u32 offset, __u32 bytes, int more)
{
	void *data = (void *)(long)frag->ctx->data, *data_end = (void *)(long)frag->ctx->data_end;
	struct ethhdr *eth = data;
	struct ip6_frag *fh;
	struct ipv6hdr *ip6;
	struct iphdr *iph;
	__u16 field;
	__u64 change;

	if (frag->family == 4) {
		iph = data + ETH_HLEN;
		if ((void *)(iph + 1) > data_end)
			return -1;
		field = bpf_htons(offset >> 3 | (more ? IP_MF : 0));
		change = csum_change(iph->frag_off, field);
		iph->frag_off = field;
		field = bpf_htons(frag->header + bytes);
		change += csum_change(iph->tot_len, field);
		iph->tot_len = field;
		iph->check = csum_apply(iph->check, change);
		eth->h_proto = bpf_htons(ETH_P_IP);
	} else {
		ip6 = data + ETH_HLEN;
		fh = (void *)(ip6 + 1);
		if ((void *)(fh + 1) > data_end)
			return -1;
		ip6->payload_len = bpf_htons(sizeof(*fh) + bytes);
		ip6->nexthdr = IPPROTO_FRAGMENT;
		fh->next = frag->protocol;
		fh->reserved = 0;
		fh->offset = bpf_htons(offset | !!more);
		fh->id = frag->id;
		eth->h_proto = bpf_htons(ETH_P_IPV6);
	}
	__builtin_memcpy(eth->h_dest, frag->hop->dmac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, frag->hop->smac, ETH_ALEN);
	return 0;
}

static long frag_step(__u32 round, struct frag *frag)
{
	__u32 zero = 0, offset = round * frag->piece, bytes, start = ETH_HLEN + frag->header;
	struct frag_buffer *buffer = bpf_map_lookup_elem(&frag_buffer, &zero);
	int more;

	if (!buffer || offset >= frag->total)
		return 1;
	bytes = frag->total - offset;
	more = bytes > frag->piece;
	if (more)
		bytes = frag->piece;
	frag->failed = 1;
	if (bpf_skb_change_tail(frag->ctx, start + bytes, 0) ||
	    frag_headers(frag, offset, bytes, more))
		return 1;
	offset &= FRAG_BUFFER - 1;
	bytes -= 1;
	opaque(bytes);
	bytes &= FRAG_BUFFER - 1;
	if (bpf_skb_store_bytes(frag->ctx, start, &buffer->bytes[offset], bytes + 1, 0))
		return 1;
	if (bpf_clone_redirect(frag->ctx, frag->hop->ifindex, 0))
		return 1;
	frag->failed = 0;
	return !more;
}

/* Sends the packet in pieces. `tunnel`: the kernel makes no packet shorter than where
 * it believes the transport header to be, which is within the inner packet; a last
 * piece that would be, gets some of the ones before it. A packet whose checksum is still to be filled in by
 * the device cannot be cut here: the sum would be taken over one piece.
 */
static __noinline int ctx_send_cut(ctx_t *ctx, __u32 family, const struct hop *hop, int tunnel)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct frag frag = { .ctx = ctx, .hop = hop, .family = family };
	struct frag_buffer *buffer;
	__u32 zero = 0, last;

	if (!hop)
		return -1;
	buffer = bpf_map_lookup_elem(&frag_buffer, &zero);
	if (!buffer || ctx->gso_size)
		return -1;
	if (family == 4) {
		struct iphdr *iph = data + ETH_HLEN;

		if ((void *)(iph + 1) > data_end)
			return -1;
		frag.header = iph->ihl * 4;
		frag.total = bpf_ntohs(iph->tot_len) - frag.header;
		frag.piece = (hop->mtu - frag.header) & ~7;
		last = ETH_HLEN + frag.header;
	} else {
		struct ipv6hdr *ip6 = data + ETH_HLEN;

		if ((void *)(ip6 + 1) > data_end)
			return -1;
		frag.header = sizeof(*ip6) + sizeof(struct ip6_frag);
		frag.total = bpf_ntohs(ip6->payload_len);
		frag.piece = (hop->mtu - frag.header) & ~7;
		frag.protocol = ip6->nexthdr;
		frag.id = bpf_get_prandom_u32();
		last = ETH_HLEN + sizeof(*ip6);
	}
	if (hop->mtu < 68 || !frag.piece || !frag.total || frag.total > FRAG_BUFFER - 1)
		return -1;
	if (tunnel && frag.piece > 48 && frag.total % frag.piece < 24)
		frag.piece -= 24;
	zero = frag.total - 1;
	opaque(zero);
	zero &= FRAG_BUFFER - 1;
	if (bpf_skb_load_bytes(ctx, last, buffer->bytes, zero + 1))
		return -1;
	bpf_loop(FRAG_BUFFER / 8, frag_step, &frag, 0);
	return frag.failed ? -1 : TC_ACT_SHOT; /* all of it has left in clones */
}

#endif
