// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tc: the complete data plane, behind XDP or alone. All offloads may be on. */
#include "net/tc.h"
#include "net/icmp.h"
#include "net/frag.h"
#include "ipvs/core.h"

char _license[] SEC("license") = "Dual BSD/GPL";

/* Headers that parsing needs to have in the linear part. */
#define LINEAR_BYTES (ETH_HLEN + 60 + sizeof(struct tcphdr))
#define LINEAR_BYTES_IP6 (ETH_HLEN + IP6_HEADERS_MAX + sizeof(struct tcphdr))

static __always_inline enum reason tc_parse(struct __sk_buff *skb, struct packet *p)
{
	void *data, *data_end;
	enum parsed parsed;

	/* A tagged frame is for the VLAN device above, where it comes again. */
	if (skb->vlan_present)
		return PASS_NOT_IP;
	if (skb->pkt_type != 0)
		return PASS_OTHER_HOST;
	if ((long)skb->data_end - (long)skb->data < LINEAR_BYTES &&
	    skb->len > skb->data_end - skb->data)
		bpf_skb_pull_data(skb, skb->len < LINEAR_BYTES ? skb->len : LINEAR_BYTES);
	data = (void *)(long)skb->data;
	data_end = (void *)(long)skb->data_end;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		parsed = parse_ip4(p, 0, data, data_end, skb->len);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		parsed = parse_ip6(p, data, data_end, skb->len);
	else
		return PASS_NOT_IP;
	if (parsed == PARSED_HEADERS) {
		bpf_skb_pull_data(skb, skb->len < LINEAR_BYTES_IP6 ? skb->len : LINEAR_BYTES_IP6);
		data = (void *)(long)skb->data;
		data_end = (void *)(long)skb->data_end;
		parsed = parse_ip6_headers(p, data, data_end);
	}
	if (parsed == PARSED_FRAGMENT)
		return PASS_FRAGMENT;
	if (parsed == PARSED_PROTOCOL)
		return PASS_PROTOCOL;
	return parsed == PARSED_OK ? REASON_NONE : PASS_MALFORMED;
}

/* The error that stands for a verdict. "Too big" quotes the packet one hop further
 * than it came, as the kernel does, because it has been counted down by then.
 */
static __always_inline int answer_choose(struct __sk_buff *skb, const __u8 family,
					 const struct packet *p, enum reason reason,
					 const struct way *way, struct icmp_error *error)
{
	switch (reason) {
	case ANSWER_TOO_BIG:
		error->type = family == 4 ? 3 : 2;
		error->code = family == 4 ? 4 : 0;
		error->info = way->mtu;
		return ctx_forward_hop(skb, family, p);
	case ANSWER_TTL:
		error->type = family == 4 ? 11 : 3;
		error->code = 0;
		return 0;
	case ANSWER_HOST_UNREACHABLE:
		error->type = family == 4 ? 3 : 1;
		error->code = family == 4 ? 1 : 3;
		return 0;
	default:
		error->type = family == 4 ? 3 : 1;
		error->code = family == 4 ? 3 : 4;
		return 0;
	}
}

/* The kernel's own error passes its out handler, which finds the connection by the
 * packet quoted unless that is to be translated, and counts it (spec: 7.2).
 */
static __always_inline void answer_count(const __u8 family, const struct packet *p, __u32 reason,
					 const struct way *way)
{
	struct dest *dest = dest_get(way->dest);

	if (reason == ANSWER_PORT_UNREACHABLE || way->fwd == FWD_MASQ || !dest ||
	    !dest_is_available(dest))
		return;
	dest_count_out(way->dest, icmp_length(family, p));
}

static __always_inline int answer(struct __sk_buff *skb, const __u8 family, const struct packet *p,
				  __u32 reason, const struct way *way)
{
	struct icmp_error error = {};
	union addr source = p->dst;
	struct hop *hop;
	__u32 route;

	answer_count(family, p, reason, way);
	route = hop_route(skb, family, &p->src, &source);
	hop = route < ROUTE_LOCAL ? hop_get(route) : NULL;
	if (!hop || answer_choose(skb, family, p, reason, way, &error) ||
	    icmp_make(skb, family, p, &error))
		return -1;
	return ctx_send(skb, family, hop);
}

__noinline int answer4(struct __sk_buff *skb, const struct packet *p, __u32 reason,
		       const struct way *way)
{
	return p && way ? answer(skb, 4, p, reason, way) : -1;
}

__noinline int answer6(struct __sk_buff *skb, const struct packet *p, __u32 reason,
		       const struct way *way)
{
	return p && way ? answer(skb, 6, p, reason, way) : -1;
}

static __always_inline int tc_finish(struct __sk_buff *skb, const struct packet *p,
				     const struct way *way, enum reason reason)
{
	int action;

	if (!verdict_is_forward(reason)) {
		verdict_count(reason);
		return verdict_is_drop(reason) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
	}
	if (reason >= ANSWER_TOO_BIG)
		action = p->family == 4 ? answer4(skb, p, reason, way)
					: answer6(skb, p, reason, way);
	else
		action = p->family == 4 ? xmit_packet4(skb, p, way) : xmit_packet6(skb, p, way);
	if (action < 0)
		reason = reason >= ANSWER_TOO_BIG ? DROP_NO_ANSWER : DROP_REWRITE;
	verdict_count(reason);
	return action < 0 ? TC_ACT_SHOT : action;
}

SEC("tc")
int tc_ingress(struct __sk_buff *skb)
{
	struct config *cfg = config_get();
	struct packet p = {};
	struct way way = {};
	enum reason reason;

	if (!cfg)
		return TC_ACT_UNSPEC;
	reason = tc_parse(skb, &p);
	trace(TRACE_PACKET, p.family, p.protocol, p.len);
	if (!reason) {
		if (!(READ_ONCE(cfg->families) & (p.family == 4 ? 1 : 2)))
			reason = PASS_DISABLED;
		else if (p.family == 4)
			reason = core_handle(skb, 4, &p, &way);
		else
			reason = core_handle(skb, 6, &p, &way);
	}
	return tc_finish(skb, &p, &way, reason);
}
