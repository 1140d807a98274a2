/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A packet as the core sees it: family, addresses, ports, what must be known of
 * the headers. Parsing never changes the packet.
 */
#ifndef NET_PACKET_H
#define NET_PACKET_H

#include "bpf.h"
#include "csum.h"

#define IP_MF 0x2000
#define IP_DF 0x4000
#define IP_OFFSET 0x1fff

struct packet {
	union addr src, dst;
	__u32 ports; /* source | destination << 16, both in network order */
	__u32 len; /* from the IP header to the end of the packet, padding excluded */
	__u32 trailer; /* bytes of padding behind it */
	__u16 l3, l4; /* offsets from the start of the frame */
	__u8 family;
	__u8 protocol;
	__u8 ttl;
	__u8 tos;
	__u8 tcp_flags;
	__u8 df; /* never to be fragmented on the way: IPv4 DF, every IPv6 packet */
	__u8 zero_check; /* UDP without checksum */
	__u8 short_header; /* the transport header is cut off */
	__u8 l4_len; /* of the transport header */
};

/* Both ports with one of them replaced. */
static __always_inline __u32 ports_with(__u32 ports, const int source, __be16 port)
{
	return source ? (ports & 0xffff0000) | port : (ports & 0xffff) | (__u32)port << 16;
}

enum tcp_flag { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

enum parsed {
	PARSED_OK,
	PARSED_NOT_IP,
	PARSED_BROKEN,
	PARSED_FRAGMENT,
	PARSED_PROTOCOL,
	PARSED_HEADERS
};

/* Ports and what the state machine needs. A header that is cut off is the
 * scheduler's to refuse (spec: 5.1), so it is only noted here. Padding completes
 * no header: the stack takes it off before IPVS looks.
 */
static __always_inline enum parsed parse_transport(struct packet *p, void *l4, void *data_end)
{
	__u32 room = p->l3 + p->len - p->l4;

	if (p->protocol == IPPROTO_TCP) {
		struct tcphdr *th = l4;

		if (l4 + sizeof(*th) > data_end || room < sizeof(*th))
			goto cut;
		p->ports = *(__u32 *)l4;
		p->tcp_flags = ((__u8 *)l4)[13];
		p->l4_len = (((__u8 *)l4)[12] >> 4) * 4;
		return PARSED_OK;
	}
	if (p->protocol == IPPROTO_UDP) {
		struct udphdr *uh = l4;

		if (l4 + sizeof(*uh) > data_end || room < sizeof(*uh))
			goto cut;
		p->ports = *(__u32 *)l4;
		p->zero_check = uh->check == 0;
		p->l4_len = sizeof(*uh);
		return PARSED_OK;
	}
	return PARSED_PROTOCOL;
cut:
	p->short_header = 1;
	if (l4 + 4 > data_end || room < 4)
		return PARSED_BROKEN;
	p->ports = *(__u32 *)l4;
	return PARSED_OK;
}

/* Whether the header sums up, options included. */
static __always_inline int ip4_is_right(const struct iphdr *iph, void *data_end)
{
	const __u32 *words = (const void *)iph;
	__u64 sum = 0;
	int i;

#pragma unroll
	for (i = 0; i < 15; i++) {
		if (i >= iph->ihl)
			break;
		if ((void *)(words + i + 1) > data_end)
			return 0;
		sum += words[i];
	}
	return csum_fold(sum) == 0xffff;
}

/* `simple`: refuse options with PARSED_HEADERS, so that all offsets are constant. */
static __always_inline enum parsed parse_ip4(struct packet *p, const int simple, void *data,
					     void *data_end, __u32 frame)
{
	struct iphdr *iph = data + ETH_HLEN;
	__u32 header, total;
	__u16 frag;

	if ((void *)(iph + 1) > data_end)
		return PARSED_BROKEN;
	header = iph->ihl * 4;
	total = bpf_ntohs(iph->tot_len);
	if (iph->version != 4 || header < sizeof(*iph) || total < header ||
	    total > frame - ETH_HLEN)
		return PARSED_BROKEN;
	if (header == sizeof(*iph)) {
		if (csum_ip4(iph) != 0xffff)
			return PARSED_BROKEN;
	} else if (simple) {
		return PARSED_HEADERS;
	} else if (!ip4_is_right(iph, data_end)) {
		return PARSED_BROKEN;
	}
	p->family = 4;
	p->protocol = iph->protocol;
	p->ttl = iph->ttl;
	p->tos = iph->tos;
	p->len = total;
	p->trailer = frame - ETH_HLEN - total;
	p->l3 = ETH_HLEN;
	p->src.v4 = iph->saddr;
	p->dst.v4 = iph->daddr;
	frag = bpf_ntohs(iph->frag_off);
	if (frag & (IP_MF | IP_OFFSET))
		return PARSED_FRAGMENT;
	p->df = !!(frag & IP_DF);
	if (simple) {
		p->l4 = ETH_HLEN + sizeof(*iph);
		return parse_transport(p, (void *)(iph + 1), data_end);
	}
	p->l4 = ETH_HLEN + header;
	if (total < header + 8)
		p->short_header = 1;
	return parse_transport(p, (void *)iph + header, data_end);
}

#define IP6_HEADERS 6
#define IP6_HEADERS_MAX 220

/* What may stand between the IPv6 header and the transport (RFC 8200, 4302). */
static __always_inline int ip6_is_extension(__u32 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
	       protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_AH;
}

static __always_inline enum parsed parse_ip6(struct packet *p, void *data, void *data_end,
					     __u32 frame)
{
	struct ipv6hdr *ip6 = data + ETH_HLEN;
	__u32 total;

	if ((void *)(ip6 + 1) > data_end)
		return PARSED_BROKEN;
	total = sizeof(*ip6) + bpf_ntohs(ip6->payload_len);
	if (ip6->version != 6 || total == sizeof(*ip6) || total > frame - ETH_HLEN)
		return PARSED_BROKEN;
	p->family = 6;
	p->protocol = ip6->nexthdr;
	p->ttl = ip6->hop_limit;
	p->tos = ip6->priority << 4 | ip6->flow_lbl[0] >> 4;
	p->len = total;
	p->trailer = frame - ETH_HLEN - total;
	p->l3 = ETH_HLEN;
	p->l4 = ETH_HLEN + sizeof(*ip6);
	p->df = 1;
	__builtin_memcpy(&p->src, &ip6->saddr, sizeof(p->src));
	__builtin_memcpy(&p->dst, &ip6->daddr, sizeof(p->dst));
	if (p->protocol == IPPROTO_FRAGMENT)
		return PARSED_FRAGMENT;
	if (ip6_is_extension(p->protocol))
		return PARSED_HEADERS;
	return parse_transport(p, (void *)(ip6 + 1), data_end);
}

/* The rest of parse_ip6 for a packet with extension headers, as many as fit in
 * IP6_HEADERS_MAX bytes. A chain that is broken or longer is not handled, as a broken
 * one is not by the kernel.
 */
static __always_inline enum parsed parse_ip6_headers(struct packet *p, void *data, void *data_end)
{
	__u32 at = ETH_HLEN + sizeof(struct ipv6hdr), next = p->protocol;
	__u8 *header;
	int i;

	for (i = 0; i < IP6_HEADERS; i++) {
		if (!ip6_is_extension(next))
			break;
		if (at > ETH_HLEN + IP6_HEADERS_MAX)
			return PARSED_BROKEN;
		header = data + at;
		if ((void *)header + 8 > data_end)
			return PARSED_BROKEN;
		at += next == IPPROTO_AH ? (header[1] + 2) * 4 : (header[1] + 1) * 8;
		next = header[0];
		if (next == IPPROTO_FRAGMENT)
			return PARSED_FRAGMENT;
	}
	if (ip6_is_extension(next) || at > ETH_HLEN + IP6_HEADERS_MAX || at > p->l3 + p->len)
		return PARSED_BROKEN;
	p->protocol = next;
	p->l4 = at;
	opaque(at);
	if (at > ETH_HLEN + IP6_HEADERS_MAX)
		return PARSED_BROKEN;
	return parse_transport(p, data + at, data_end);
}

#endif
