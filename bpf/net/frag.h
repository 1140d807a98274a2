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

struct ip6_frag {
	__u8 next;
	__u8 reserved;
	__be16 offset;
	__be32 id;
};

/* The headers that every piece begins with, as they are changed from piece to piece. */
union frag_headers {
	struct iphdr v4;
	struct {
		struct ipv6hdr ip;
		struct ip6_frag frag;
	} v6;
};

/* Outer header of a tunnel packet that is to be cut, from xmit_tunnel to here. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, union frag_headers);
} frag_outer SEC(".maps");

struct frag {
	ctx_t *ctx;
	const struct hop *hop;
	__u32 family;
	__u32 header; /* bytes of the headers, IPv4 options included */
	__u32 total; /* bytes of payload */
	__u32 piece; /* bytes of it in each fragment but the last */
	__u32 failed;
	union frag_headers headers;
};

/* Keeps the outer header for ctx_send_cut. It is not put in front of the packet: the
 * kernel makes no packet shorter that it knows to be encapsulated.
 */
static __always_inline int ctx_encap_cut(const __u8 family, const void *outer)
{
	__u32 zero = 0;
	union frag_headers *kept = bpf_map_lookup_elem(&frag_outer, &zero);

	if (!kept)
		return -1;
	if (family == 4)
		__builtin_memcpy(&kept->v4, outer, sizeof(kept->v4));
	else
		__builtin_memcpy(&kept->v6.ip, outer, sizeof(kept->v6.ip));
	return 0;
}

static __always_inline int frag_write_headers(struct frag *frag, __u32 offset, __u32 bytes,
					      int more)
{
	struct ethhdr eth;
	__u64 change;
	__u16 field;

	__builtin_memcpy(eth.h_dest, frag->hop->dmac, ETH_ALEN);
	__builtin_memcpy(eth.h_source, frag->hop->smac, ETH_ALEN);
	eth.h_proto = bpf_htons(frag->family == 4 ? ETH_P_IP : ETH_P_IPV6);
	if (bpf_skb_store_bytes(frag->ctx, 0, &eth, sizeof(eth), 0))
		return -1;
	if (frag->family == 4) {
		struct iphdr *iph = &frag->headers.v4;

		field = bpf_htons(offset >> 3 | (more ? IP_MF : 0));
		change = csum_change(iph->frag_off, field);
		iph->frag_off = field;
		field = bpf_htons(frag->header + bytes);
		change += csum_change(iph->tot_len, field);
		iph->tot_len = field;
		iph->check = csum_apply(iph->check, change);
		return bpf_skb_store_bytes(frag->ctx, ETH_HLEN, iph, sizeof(*iph), 0);
	}
	frag->headers.v6.ip.payload_len = bpf_htons(sizeof(struct ip6_frag) + bytes);
	frag->headers.v6.frag.offset = bpf_htons(offset | !!more);
	return bpf_skb_store_bytes(frag->ctx, ETH_HLEN, &frag->headers.v6, sizeof(frag->headers.v6),
				   0);
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
	    frag_write_headers(frag, offset, bytes, more))
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

/* Sends the packet in pieces; the payload of a tunnel packet is the whole of it. A
 * packet whose checksum is still to be filled in by the device cannot be cut here:
 * the sum would be taken over one piece.
 */
static __noinline int ctx_send_cut(ctx_t *ctx, __u32 family, const struct packet *p,
				   const struct hop *hop, int tunnel)
{
	struct frag frag = { .ctx = ctx, .hop = hop, .family = family };
	union frag_headers *outer;
	struct frag_buffer *buffer;
	__u32 zero = 0, from, last;

	if (!hop || !p)
		return -1;
	buffer = bpf_map_lookup_elem(&frag_buffer, &zero);
	outer = bpf_map_lookup_elem(&frag_outer, &zero);
	if (!buffer || !outer || ctx->gso_size)
		return -1;
	if (tunnel) {
		frag.headers = *outer;
		frag.header = family == 4 ? sizeof(struct iphdr) : sizeof(frag.headers.v6);
		if (family == 6) {
			frag.headers.v6.frag.next = frag.headers.v6.ip.nexthdr;
			frag.headers.v6.frag.reserved = 0;
			frag.headers.v6.frag.id = bpf_get_prandom_u32();
			frag.headers.v6.ip.nexthdr = IPPROTO_FRAGMENT;
		}
		from = p->l3;
	} else {
		if (bpf_skb_load_bytes(ctx, p->l3, &frag.headers.v4, sizeof(struct iphdr)))
			return -1;
		frag.header = p->l4 - p->l3;
		from = p->l4;
	}
	frag.total = p->l3 + p->len - from;
	frag.piece = (hop->mtu - frag.header) & ~7;
	if (hop->mtu < 68 || frag.header > hop->mtu - 8 || !frag.total ||
	    frag.total > FRAG_BUFFER - 1)
		return -1;
	last = frag.total - 1;
	opaque(last);
	last &= FRAG_BUFFER - 1;
	if (bpf_skb_load_bytes(ctx, from, buffer->bytes, last + 1))
		return -1;
	bpf_loop(FRAG_BUFFER / 8, frag_step, &frag, 0);
	return frag.failed ? -1 : TC_ACT_SHOT; /* all of it has left in clones */
}

#endif
