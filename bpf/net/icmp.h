/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors made from the packet they are about (tc only).
 *
 * The packet is cut to what may be quoted (RFC 792 and 1812 4.3.2.3: 576 bytes in
 * all; RFC 4443 2.4: 1280) and headers are put in front of it.
 */
#ifndef NET_ICMP_H
#define NET_ICMP_H

#include "tc.h"

#define ICMP4_LIMIT 576
#define ICMP6_LIMIT 1280
#define ICMP_HEADER 8

struct icmp_error {
	__u8 type;
	__u8 code;
	__u32 info; /* second word of the header, host order: the MTU, or 0 */
};

struct icmp4_packet {
	struct iphdr ip;
	__u8 type, code;
	__u16 check;
	__be32 info;
};

struct icmp6_packet {
	struct ipv6hdr ip;
	__u8 type, code;
	__u16 check;
	__be32 info;
};

/* Sum of the quote. A packet of a local sender may still wait for its checksum: the
 * field holds the sum of the pseudo header then, and whoever fills it in later
 * makes the transport part sum up to that one's complement.
 */
static __always_inline __s64 icmp_quote_sum(ctx_t *ctx, const __u8 family, const struct packet *p,
					    __u32 quote)
{
	__u32 at = p->l4 + (p->protocol == IPPROTO_TCP ? offsetof(struct tcphdr, check)
						       : offsetof(struct udphdr, check));
	__u32 header = p->l4 - p->l3;
	__s64 head, rest;
	__u16 field = 0;

	if (header <= quote && at + 2 <= p->l3 + quote && !bpf_skb_load_bytes(ctx, at, &field, 2) &&
	    field ==
		    csum_fold(pseudo_sum(family, &p->src, &p->dst, p->protocol, p->len - header)) &&
	    (p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP)) {
		head = ctx_sum(ctx, p->l3, header);
		rest = (__u16)~field;
		return head < 0 ? head : head + rest;
	}
	return ctx_sum(ctx, p->l3, quote);
}

static __always_inline __u32 icmp_header(const __u8 family)
{
	return (family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + ICMP_HEADER;
}

/* Bytes of the packet that are quoted. */
static __always_inline __u32 icmp_quote(const __u8 family, const struct packet *p)
{
	__u32 limit = (family == 4 ? ICMP4_LIMIT : ICMP6_LIMIT) - icmp_header(family);

	return p->len < limit ? p->len : limit;
}

/* Length of the error about a packet, from its IP header on. */
static __always_inline __u32 icmp_length(const __u8 family, const struct packet *p)
{
	return icmp_header(family) + icmp_quote(family, p);
}

/* Turns the packet into an error about itself, from `p->dst` to `p->src`. */
static __always_inline int icmp_make(ctx_t *ctx, const __u8 family, const struct packet *p,
				     const struct icmp_error *error)
{
	const __u32 header = family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	__u32 quote = icmp_quote(family, p);
	__s64 sum;

	if (bpf_skb_change_tail(ctx, p->l3 + quote, 0))
		return -1;
	sum = icmp_quote_sum(ctx, family, p, quote);
	if (sum < 0)
		return -1;
	if (bpf_skb_adjust_room(ctx, header + ICMP_HEADER, BPF_ADJ_ROOM_MAC, 0))
		return -1;
	sum += error->type | error->code << 8;
	sum += bpf_htonl(error->info);
	if (family == 4) {
		struct icmp4_packet out = {};

		out.ip.version = 4;
		out.ip.ihl = 5;
		/* RFC 1812 4.3.2.5: precedence of internetwork control, service kept. */
		out.ip.tos = (p->tos & 0x1e) | 0xc0;
		out.ip.tot_len = bpf_htons(header + ICMP_HEADER + quote);
		out.ip.id = bpf_get_prandom_u32();
		out.ip.ttl = 64;
		out.ip.protocol = IPPROTO_ICMP;
		out.ip.saddr = p->dst.v4;
		out.ip.daddr = p->src.v4;
		out.ip.check = ~csum_ip4(&out.ip);
		out.type = error->type;
		out.code = error->code;
		out.info = bpf_htonl(error->info);
		out.check = ~csum_fold(sum);
		return bpf_skb_store_bytes(ctx, ETH_HLEN, &out, sizeof(out), BPF_F_INVALIDATE_HASH);
	} else {
		struct icmp6_packet out = {};

		out.ip.version = 6;
		out.ip.payload_len = bpf_htons(ICMP_HEADER + quote);
		out.ip.nexthdr = IPPROTO_ICMPV6;
		out.ip.hop_limit = 64;
		__builtin_memcpy(&out.ip.saddr, &p->dst, 16);
		__builtin_memcpy(&out.ip.daddr, &p->src, 16);
		out.type = error->type;
		out.code = error->code;
		out.info = bpf_htonl(error->info);
		sum += pseudo_sum(6, &p->dst, &p->src, IPPROTO_ICMPV6, ICMP_HEADER + quote);
		out.check = ~csum_fold(sum);
		return bpf_skb_store_bytes(ctx, ETH_HLEN, &out, sizeof(out), BPF_F_INVALIDATE_HASH);
	}
}

#endif
