/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A real server's end of a tunnel, for tests: takes the outer header off IP-in-IP.
 *
 * Stands in for the ipip and ip6_tunnel modules, which not every kernel has. Goes to
 * tc ingress of the server's device, so segments of any size pass (GSO included).
 * Twin: src/testing/host.ts
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* After an outer header the ethertype must name the inner family. */
static int name_family(struct __sk_buff *skb, __be16 family)
{
	return bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &family, sizeof(family),
				   0);
}

/* adjust_room() takes bytes away but keeps the protocol of the packet, and
 * change_proto() changes the protocol and makes or takes the 20 bytes that the
 * headers differ by, which is just what the outer header may lose or get.
 */
static int decap_v4(struct __sk_buff *skb, __u8 inner)
{
	if (inner == IPPROTO_IPIP)
		return bpf_skb_adjust_room(skb, -(int)sizeof(struct iphdr), BPF_ADJ_ROOM_MAC, 0);
	if (bpf_skb_change_proto(skb, bpf_htons(ETH_P_IPV6), 0) ||
	    bpf_skb_adjust_room(skb, -(int)sizeof(struct ipv6hdr), BPF_ADJ_ROOM_MAC, 0))
		return -1;
	return name_family(skb, bpf_htons(ETH_P_IPV6));
}

static int decap_v6(struct __sk_buff *skb, __u8 inner)
{
	if (inner == IPPROTO_IPV6)
		return bpf_skb_adjust_room(skb, -(int)sizeof(struct ipv6hdr), BPF_ADJ_ROOM_MAC, 0);
	if (bpf_skb_change_proto(skb, bpf_htons(ETH_P_IP), 0) ||
	    bpf_skb_adjust_room(skb, -(int)sizeof(struct iphdr), BPF_ADJ_ROOM_MAC, 0))
		return -1;
	return name_family(skb, bpf_htons(ETH_P_IP));
}

SEC("tc")
int decap(struct __sk_buff *skb)
{
	__u8 inner = 0;
	int refused = 0;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		/* Tunnel heads carry no options; any other length is not ours. */
		__u8 version;

		if (bpf_skb_load_bytes(skb, ETH_HLEN, &version, 1) || version != 0x45)
			return TC_ACT_OK;
		bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct iphdr, protocol), &inner, 1);
		if (inner == IPPROTO_IPIP || inner == IPPROTO_IPV6)
			refused = decap_v4(skb, inner);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, nexthdr), &inner, 1);
		if (inner == IPPROTO_IPIP || inner == IPPROTO_IPV6)
			refused = decap_v6(skb, inner);
	}
	return refused ? TC_ACT_SHOT : TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
