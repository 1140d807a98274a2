/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Changing and sending packets from tc, right in every offload state: partial,
 * complete or no checksum, segments to be cut later.
 *
 * IP headers are written directly: their checksum makes them sum up to nothing, so
 * a device's sum of the whole packet stays true. Transport checksums go through
 * the helpers, which know what the sum in the packet means. Twin: xdp.h
 */
#ifndef NET_TC_H
#define NET_TC_H

#include <linux/pkt_cls.h>
#include "packet.h"
#include "../ipvs/abi.h"

typedef struct __sk_buff ctx_t;

#define CTX_IS_XDP 0

#define MAX_L4_OFFSET 256

static __always_inline __u32 ctx_ifindex(const ctx_t *ctx)
{
	return ctx->ingress_ifindex;
}

/* What one packet on the wire will measure: a segment of it, if it is to be cut. */
static __always_inline __u32 ctx_segment(const ctx_t *ctx, const struct packet *p)
{
	__u32 segment = p->l4 - p->l3 + p->l4_len + ctx->gso_size;

	return ctx->gso_size && segment < p->len ? segment : p->len;
}

static __always_inline int ctx_trim(ctx_t *ctx, const struct packet *p)
{
	if (likely(!p->trailer))
		return 0;
	return bpf_skb_change_tail(ctx, p->l3 + p->len, 0);
}

static __always_inline int ctx_forward_hop(ctx_t *ctx, const __u8 family, const struct packet *p)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;

	if (family == 4) {
		struct iphdr *iph = data + ETH_HLEN;
		__u16 old;

		if ((void *)(iph + 1) > data_end)
			return -1;
		old = *(__u16 *)&iph->ttl;
		iph->ttl--;
		iph->check = csum_apply(iph->check, csum_change(old, *(__u16 *)&iph->ttl));
	} else {
		struct ipv6hdr *ip6 = data + ETH_HLEN;

		if ((void *)(ip6 + 1) > data_end)
			return -1;
		ip6->hop_limit--;
	}
	return 0;
}

struct sum {
	ctx_t *ctx;
	__u32 offset, left;
	__s64 sum;
};

#define SUM_CHUNK 256

/* Room to read packet bytes into; one per CPU, used between two instructions of
 * one program, so nothing else gets at it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8[SUM_CHUNK]);
} sum_buffer SEC(".maps");

static long sum_step(__u32 round, struct sum *sum)
{
	__u32 zero = 0, last;
	__u8 *buffer = bpf_map_lookup_elem(&sum_buffer, &zero);

	if (!buffer || !sum->left)
		return 1;
	/* "R3 min value is outside": the verifier of 6.1 believes 1..256 only so. */
	last = sum->left < SUM_CHUNK ? sum->left - 1 : SUM_CHUNK - 1;
	opaque(last);
	last &= SUM_CHUNK - 1;
	if (last != SUM_CHUNK - 1)
		__builtin_memset(buffer, 0, SUM_CHUNK);
	if (bpf_skb_load_bytes(sum->ctx, sum->offset, buffer, last + 1))
		return 1;
	/* The rest of the buffer is zero, so the whole of it may be summed. */
	sum->sum = bpf_csum_diff(NULL, 0, (void *)buffer, SUM_CHUNK, sum->sum);
	sum->offset += last + 1;
	sum->left -= last + 1;
	return 0;
}

/* Sum of a part of the frame; -1 when it cannot be read. */
static __noinline __s64 ctx_sum(ctx_t *ctx, __u32 offset, __u32 bytes)
{
	struct sum sum = { .ctx = ctx, .offset = offset, .left = bytes };

	bpf_loop(65536 / SUM_CHUNK + 1, sum_step, &sum, 0);
	return sum.left ? -1 : csum_fold((__u32)sum.sum);
}

static __always_inline __u64 pseudo_sum(const __u8 family, const union addr *src,
					const union addr *dst, __u8 protocol, __u32 bytes)
{
	__u64 sum = (__u64)src->w[0] + dst->w[0] + bpf_htonl(bytes) + bpf_htonl(protocol);

	if (family == 6) {
		sum += (__u64)src->w[1] + dst->w[1];
		sum += (__u64)src->w[2] + dst->w[2];
		sum += (__u64)src->w[3] + dst->w[3];
	}
	return sum;
}

/* Gives a UDP datagram without checksum a real one, as IPVS does when it
 * translates (udp_dnat_handler, udp_snat_handler).
 */
static __noinline int ctx_udp_checksum(ctx_t *ctx, const struct packet *p, const union addr *src,
				       const union addr *dst)
{
	__u32 bytes = p->l3 + p->len - p->l4;
	__s64 sum;
	__u16 check;

	if (!ctx || !p || !src || !dst)
		return -1;
	sum = ctx_sum(ctx, p->l4, bytes);
	if (sum < 0)
		return -1;
	if (p->family == 4)
		check = ~csum_fold(pseudo_sum(4, src, dst, IPPROTO_UDP, bytes) + sum);
	else
		check = ~csum_fold(pseudo_sum(6, src, dst, IPPROTO_UDP, bytes) + sum);
	if (!check)
		check = 0xffff;
	return bpf_skb_store_bytes(ctx, p->l4 + offsetof(struct udphdr, check), &check,
				   sizeof(check), BPF_F_RECOMPUTE_CSUM);
}

static __always_inline int ctx_nat(ctx_t *ctx, const __u8 family, const struct packet *p,
				   const int source, const union addr *addr, __be16 port)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	const union addr *old = source ? &p->src : &p->dst;
	__be16 old_port = source ? p->ports : p->ports >> 16;
	__u32 l4 = p->l4, check_at, flags = 0;
	void *ports;

	if (l4 > MAX_L4_OFFSET)
		return -1;
	opaque(l4);
	if (l4 > MAX_L4_OFFSET)
		return -1;
	ports = data + l4;
	if (ports + 8 > data_end || p->short_header)
		return -1;
	if (family == 4) {
		struct iphdr *iph = data + ETH_HLEN;
		__u64 change = csum_change(old->v4, addr->v4);
		__u16 word;

		if ((void *)(iph + 1) > data_end)
			return -1;
		word = *(__u16 *)&iph->ttl;
		iph->saddr = source ? addr->v4 : p->src.v4;
		iph->daddr = source ? p->dst.v4 : addr->v4;
		iph->ttl--;
		change += csum_change(word, *(__u16 *)&iph->ttl);
		iph->check = csum_apply(iph->check, change);
	} else {
		struct ipv6hdr *ip6 = data + ETH_HLEN;

		if ((void *)(ip6 + 1) > data_end)
			return -1;
		__builtin_memcpy(&ip6->saddr, source ? addr : &p->src, 16);
		__builtin_memcpy(&ip6->daddr, source ? &p->dst : addr, 16);
		ip6->hop_limit--;
	}
	*(__u32 *)ports = ports_with(p->ports, source, port);

	if (p->protocol == IPPROTO_TCP) {
		check_at = l4 + offsetof(struct tcphdr, check);
	} else {
		struct packet now = *p;

		if (p->zero_check) {
			if (source)
				now.src = *addr;
			else
				now.dst = *addr;
			return ctx_udp_checksum(ctx, p, &now.src, &now.dst);
		}
		check_at = l4 + offsetof(struct udphdr, check);
		flags = BPF_F_MARK_MANGLED_0;
	}
	if (family == 4) {
		if (bpf_l4_csum_replace(ctx, check_at, old->v4, addr->v4,
					BPF_F_PSEUDO_HDR | flags | 4))
			return -1;
	} else {
		__s64 change = bpf_csum_diff((void *)old, 16, (void *)addr, 16, 0);

		if (bpf_l4_csum_replace(ctx, check_at, 0, change, BPF_F_PSEUDO_HDR | flags))
			return -1;
	}
	if (old_port == port)
		return 0;
	return bpf_l4_csum_replace(ctx, check_at, old_port, port, flags | 2);
}

static __always_inline int ctx_encap(ctx_t *ctx, const __u8 outer_family, const struct packet *p,
				     const void *outer)
{
	const int bytes = outer_family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	__u64 flags =
		outer_family == 4 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV6;

	if (bpf_skb_adjust_room(ctx, bytes, BPF_ADJ_ROOM_MAC, flags))
		return -1;
	return bpf_skb_store_bytes(ctx, ETH_HLEN, outer, bytes, BPF_F_INVALIDATE_HASH);
}

/* Hands the packet to the neighbour layer of the way out: it resolves what is not
 * resolved and keeps what is fresh.
 */
static __always_inline int ctx_send(ctx_t *ctx, __u32 family, const struct hop *hop)
{
	struct bpf_redir_neigh nh = { .nh_family = hop->family == 4 ? 2 : 10 };

	__builtin_memcpy(&nh.ipv6_nh, hop->via, 16);
	return bpf_redirect_neigh(hop->ifindex, &nh, sizeof(nh), 0);
}

#endif
