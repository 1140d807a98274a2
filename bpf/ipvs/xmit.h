/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Transmitters: bring a packet to its dest by masquerading, direct routing or a
 * tunnel, and what is tested before.
 *
 * Twin: none, user space does not forward. Rules: ip_vs_xmit.c
 */
#ifndef IPVS_XMIT_H
#define IPVS_XMIT_H

#include "dest.h"
#include "hop.h"
#include "verdict.h"

#define ECN_MASK 3
#define ECN_CE 3
#define ECN_ECT0 2

/* What is to become of a packet: decided by the core, done by xmit_packet. */
struct way {
	union addr addr; /* masquerading: the new address */
	__be16 port; /* and port */
	__u8 fwd;
	__u8 reply : 1; /* the source is rewritten, not the destination */
	__u8 cut : 1; /* too big, and may be fragmented */
	__u32 dest; /* index */
	__u32 route; /* number of the hop or ROUTE_* */
	__u32 mtu; /* what fits, the tunnel's header taken off */
};

/* Looks up the way to the dest. */
static __always_inline struct hop *xmit_route(ctx_t *ctx, struct dest *dest, struct way *way,
					      __u32 now)
{
	union addr source = {};
	struct hop *hop;

	way->route = hop_cached(ctx, dest->family, (void *)dest->addr, &dest->hop, now, &source);
	hop = way->route < ROUTE_LOCAL ? hop_get(way->route) : NULL;
	/* The route names the source of the outer header, where the kernel can tell. */
	if (cfg_fib_src && !cfg_dry && way->fwd == FWD_TUNNEL && unlikely(source.w[0]) && hop &&
	    !addr_equal(6, &source, (void *)dest->tun_source))
		__builtin_memcpy(dest->tun_source, &source, 16);
	if (!hop)
		return NULL;
	way->mtu = hop->mtu;
	if (way->fwd == FWD_TUNNEL)
		way->mtu -= dest->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	return hop;
}

/* The tests of ip_vs_xmit.c in its order: route, local, TTL, MTU. REASON_NONE: send.
 * Nothing has been changed or counted yet, so XDP can still leave the packet: it
 * does so for every other answer, and for what it cannot finish although nothing
 * is wrong.
 */
static __always_inline enum reason xmit_check(ctx_t *ctx, const __u8 family,
					      const struct config *cfg, const struct packet *p,
					      const struct dest *dest, const struct hop *hop,
					      struct way *way)
{
	__u32 segment = ctx_segment(ctx, p);

	if (way->route == ROUTE_LOCAL && dest->flags & DEST_F_LOCAL)
		return CTX_IS_XDP ? DEFER_DEVICE : PASS_LOCAL_DEST;
	if (!hop)
		return CTX_IS_XDP ? DEFER_HOP : ANSWER_HOST_UNREACHABLE;
	if (p->ttl <= 1)
		return CTX_IS_XDP ? DEFER_TTL : ANSWER_TTL;
	if (way->fwd == FWD_TUNNEL && (__s32)way->mtu < (dest->family == 4 ? 68 : 1280))
		return CTX_IS_XDP ? DEFER_TOO_BIG : DROP_TUNNEL_MTU;
	if (CTX_IS_XDP) {
		if (segment > way->mtu)
			return DEFER_TOO_BIG;
		if ((hop->flags & (HOP_F_MAC | HOP_F_XDP)) != (HOP_F_MAC | HOP_F_XDP))
			return DEFER_HOP;
		if (p->zero_check && way->fwd == FWD_MASQ)
			return DEFER_CHECKSUM;
		return p->short_header ? DEFER_HEADERS : REASON_NONE;
	}
	if (likely(segment <= way->mtu))
		return REASON_NONE;
	if (p->df && !(way->fwd == FWD_TUNNEL && family == 4 && !READ_ONCE(cfg->pmtu_disc)))
		return ANSWER_TOO_BIG;
	/* Pieces need a MAC address; the whole packet at least makes the neighbour known. */
	way->cut = !!(hop->flags & HOP_F_MAC);
	return REASON_NONE;
}

/* Outer DSCP is the inner one; ECN is copied, but "congestion experienced" becomes
 * "capable" (RFC 6040 4.1 compatibility, as INET_ECN_encapsulate).
 */
static __always_inline __u8 tunnel_tos(__u8 tos)
{
	return (tos & ECN_MASK) == ECN_CE ? (tos & ~ECN_MASK) | ECN_ECT0 : tos;
}

static __always_inline int xmit_encap(ctx_t *ctx, const __u8 outer_family, const struct packet *p,
				      const void *outer, int cut)
{
#if !CTX_IS_XDP
	if (unlikely(cut))
		return ctx_encap_cut(outer_family, outer);
#endif
	return ctx_encap(ctx, outer_family, p, outer);
}

/* IP in IP: ipip, 6in4, 4in6, 6in6. The inner packet has lost its hop already. */
static __always_inline int xmit_tunnel(ctx_t *ctx, const __u8 family, const struct packet *p,
				       const struct dest *dest, int cut)
{
	const struct config *cfg = config_get();
	const __u8 protocol = family == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;

	if (!cfg || ctx_forward_hop(ctx, family, p))
		return -1;
	if (dest->family == 4) {
		struct iphdr outer = {
			.version = 4,
			.ihl = 5,
			.tos = tunnel_tos(p->tos),
			.tot_len = bpf_htons(p->len + sizeof(outer)),
			.ttl = p->ttl - 1,
			.protocol = protocol,
		};

		/* Inner DF is copied; without it the outer packet may be cut and needs an id. */
		if (family == 4 && p->df)
			outer.frag_off = READ_ONCE(cfg->pmtu_disc) ? bpf_htons(IP_DF) : 0;
		if (!outer.frag_off)
			outer.id = bpf_get_prandom_u32();
		__builtin_memcpy(&outer.saddr, dest->tun_source, 4);
		__builtin_memcpy(&outer.daddr, dest->addr, 4);
		outer.check = ~csum_ip4(&outer);
		return xmit_encap(ctx, 4, p, &outer, cut);
	} else {
		struct ipv6hdr outer = {
			.version = 6,
			.payload_len = bpf_htons(p->len),
			.nexthdr = protocol,
			.hop_limit = p->ttl - 1,
		};
		__u8 tos = tunnel_tos(p->tos);

		outer.priority = tos >> 4;
		outer.flow_lbl[0] = tos << 4;
		__builtin_memcpy(&outer.saddr, dest->tun_source, 16);
		__builtin_memcpy(&outer.daddr, dest->addr, 16);
		return xmit_encap(ctx, 6, p, &outer, cut);
	}
}

/* Rewrites and sends. A failure leaves a packet that must be dropped. */
static __always_inline int xmit_rewrite(ctx_t *ctx, const __u8 family, const struct packet *p,
					const struct way *way)
{
	const struct dest *dest;

	if (ctx_trim(ctx, p))
		return -1;
	if (way->fwd == FWD_MASQ)
		return ctx_nat(ctx, family, p, way->reply, &way->addr, way->port);
	if (way->fwd != FWD_TUNNEL)
		return ctx_forward_hop(ctx, family, p);
	dest = dest_get(way->dest);
	return dest ? xmit_tunnel(ctx, family, p, dest, way->cut) : -1;
}

/* Returns the program's answer, or -1. */
static __always_inline int xmit_packet(ctx_t *ctx, const __u8 family, const struct packet *p,
				       const struct way *way)
{
	const struct dest *dest;
	const struct hop *hop;
	__u32 outer = family;

	if (xmit_rewrite(ctx, family, p, way))
		return -1;
	if (way->fwd == FWD_TUNNEL) {
		dest = dest_get(way->dest);
		if (!dest)
			return -1;
		outer = dest->family;
	}
	hop = hop_get(way->route);
	if (!hop)
		return -1;
#if !CTX_IS_XDP
	if (unlikely(way->cut))
		return ctx_send_cut(ctx, outer, p, hop, way->fwd == FWD_TUNNEL);
#endif
	return ctx_send(ctx, outer, hop);
}

__noinline int xmit_packet4(ctx_t *ctx, const struct packet *p, const struct way *way)
{
	return p && way ? xmit_packet(ctx, 4, p, way) : -1;
}

__noinline int xmit_packet6(ctx_t *ctx, const struct packet *p, const struct way *way)
{
	return p && way ? xmit_packet(ctx, 6, p, way) : -1;
}

#endif
