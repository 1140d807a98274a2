// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* XDP: the fast path. Finishes what it can alone and leaves everything else to tc,
 * untouched and uncounted.
 */
#include "net/xdp.h"
#include "ipvs/core.h"

char _license[] SEC("license") = "Dual BSD/GPL";

static __always_inline enum reason xdp_parse(struct xdp_md *ctx, struct packet *p)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct device *device;
	enum parsed parsed;

	if ((void *)(eth + 1) > data_end)
		return PASS_NOT_IP;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		parsed = parse_ip4(p, 1, data, data_end, data_end - data);
	else if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		parsed = parse_ip6(p, data, data_end, data_end - data);
	else
		return PASS_NOT_IP;
	if (parsed == PARSED_FRAGMENT)
		return PASS_FRAGMENT;
	if (parsed == PARSED_PROTOCOL)
		return PASS_PROTOCOL;
	if (parsed == PARSED_HEADERS)
		return DEFER_HEADERS;
	if (parsed != PARSED_OK)
		return PASS_MALFORMED;
	/* Only tc knows for whom a frame is; here its address must be the device's. */
	device = device_get(ctx->ingress_ifindex);
	if (!device || !mac_equal(device->mac, eth->h_dest))
		return PASS_OTHER_HOST;
	return REASON_NONE;
}

SEC("xdp")
int xdp_in(struct xdp_md *ctx)
{
	struct config *cfg = config_get();
	struct packet p = {};
	struct way way = {};
	enum reason reason;
	int action;

	if (!cfg)
		return XDP_PASS;
	reason = xdp_parse(ctx, &p);
	trace(TRACE_PACKET, p.family, p.protocol, p.len);
	if (!reason) {
		if (!(READ_ONCE(cfg->families) & (p.family == 4 ? 1 : 2)))
			reason = PASS_DISABLED;
		else if (p.family == 4)
			reason = core_handle(ctx, 4, &p, &way);
		else
			reason = core_handle(ctx, 6, &p, &way);
	}
	if (verdict_is_forward(reason)) {
		action = p.family == 4 ? xmit_packet4(ctx, &p, &way) : xmit_packet6(ctx, &p, &way);
		if (action >= 0) {
			verdict_count(reason);
			return action;
		}
		reason = DROP_REWRITE;
	}
	verdict_count(reason);
	return verdict_is_drop(reason) ? XDP_DROP : XDP_PASS;
}
