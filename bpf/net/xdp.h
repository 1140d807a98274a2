/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Changing and sending packets from XDP: direct writes, checksums by hand.
 *
 * Twin: tc.h has the same functions for tc. XDP leaves to tc what needs the stack's
 * help, so nothing here can fail half way. The packet has no IPv4 options and no
 * IPv6 extension headers: offsets are constant.
 */
#ifndef NET_XDP_H
#define NET_XDP_H

#include "packet.h"
#include "../ipvs/abi.h"

typedef struct xdp_md ctx_t;

#define CTX_IS_XDP 1

static __always_inline __u32 ctx_ifindex(const ctx_t *ctx)
{
	return ctx->ingress_ifindex;
}

/* An MTU test needs the size of what leaves; here it is the packet's. */
static __always_inline __u32 ctx_segment(const ctx_t *ctx, const struct packet *p)
{
	return p->len;
}

#define L4_OFFSET(family) \
	(ETH_HLEN + ((family) == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)))

/* Cuts padding off, as the stack does before it forwards. */
static __always_inline int ctx_trim(ctx_t *ctx, const struct packet *p)
{
	if (likely(!p->trailer))
		return 0;
	return bpf_xdp_adjust_tail(ctx, -(int)p->trailer);
}

static __always_inline void ip4_set_ttl(struct iphdr *iph, __u64 *change)
{
	__u16 old = *(__u16 *)&iph->ttl;

	iph->ttl--;
	*change += csum_change(old, *(__u16 *)&iph->ttl);
}

/* One hop less. */
static __always_inline int ctx_forward_hop(ctx_t *ctx, const __u8 family, const struct packet *p)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u64 change = 0;

	if (family == 4) {
		struct iphdr *iph = data + ETH_HLEN;

		if ((void *)(iph + 1) > data_end)
			return -1;
		ip4_set_ttl(iph, &change);
		iph->check = csum_apply(iph->check, change);
	} else {
		struct ipv6hdr *ip6 = data + ETH_HLEN;

		if ((void *)(ip6 + 1) > data_end)
			return -1;
		ip6->hop_limit--;
	}
	return 0;
}

/* Replaces source or destination, address and port, and takes one hop off. Both
 * sides are written, because a pointer to either of two places is none that the
 * verifier can follow.
 */
static __always_inline int ctx_nat(ctx_t *ctx, const __u8 family, const struct packet *p,
				   const int source, const union addr *addr, __be16 port)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	void *l4 = data + L4_OFFSET(family);
	__be16 old_port = source ? p->ports : p->ports >> 16;
	__u64 change = csum_change_addr(family, source ? &p->src : &p->dst, addr);
	__u16 *check, sum;

	if (p->protocol == IPPROTO_TCP) {
		check = &((struct tcphdr *)l4)->check;
		if (l4 + sizeof(struct tcphdr) > data_end)
			return -1;
	} else {
		check = &((struct udphdr *)l4)->check;
		if (l4 + sizeof(struct udphdr) > data_end)
			return -1;
	}
	opaque(check); /* or clang would test the protocol again, behind the bounds */
	if (family == 4) {
		struct iphdr *iph = data + ETH_HLEN;
		__u64 header = change;

		iph->saddr = source ? addr->v4 : p->src.v4;
		iph->daddr = source ? p->dst.v4 : addr->v4;
		ip4_set_ttl(iph, &header);
		iph->check = csum_apply(iph->check, header);
	} else {
		struct ipv6hdr *ip6 = data + ETH_HLEN;

		__builtin_memcpy(&ip6->saddr, source ? addr : &p->src, 16);
		__builtin_memcpy(&ip6->daddr, source ? &p->dst : addr, 16);
		ip6->hop_limit--;
	}
	change += csum_change(old_port, port);
	*(__u32 *)l4 = ports_with(p->ports, source, port);
	sum = csum_apply(*check, change);
	/* RFC 768: a sum of zero is sent as all ones; TCP has no such rule. */
	*check = sum || p->protocol == IPPROTO_TCP ? sum : 0xffff;
	return 0;
}

/* Puts `outer` (20 or 40 bytes) in front of the packet. */
static __always_inline int ctx_encap(ctx_t *ctx, const __u8 outer_family, const struct packet *p,
				     const void *outer)
{
	const int bytes = outer_family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	void *data, *data_end;

	if (bpf_xdp_adjust_head(ctx, -bytes))
		return -1;
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	if (data + ETH_HLEN + bytes > data_end)
		return -1;
	__builtin_memcpy(data + ETH_HLEN, outer, bytes);
	return 0;
}

/* Sends the frame to the next hop: XDP_TX would need a program on a veth's peer. */
static __always_inline int ctx_send(ctx_t *ctx, __u32 family, const struct hop *hop)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > data_end)
		return XDP_DROP;
	__builtin_memcpy(eth->h_dest, hop->dmac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, hop->smac, ETH_ALEN);
	eth->h_proto = bpf_htons(family == 4 ? ETH_P_IP : ETH_P_IPV6);
	return bpf_redirect(hop->ifindex, 0);
}

#endif
