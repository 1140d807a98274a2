/* SPDX-License-Identifier: MIT */
/* A random packet, given to the real core, and whether it was sent to the right place. */
#ifndef STRESS_CORE_H
#define STRESS_CORE_H

#include "ipvs/core.h"
#include "stress-packet.h"

/* Is the dest one of the service that the packet was for, and what the way says? */
static __always_inline int stress_is_right(const __u8 family, const struct packet *p, const struct way *way)
{
	const struct dest *dest = dest_get(way->dest);
	const union addr *vip = way->reply ? &way->addr : &p->dst;

	if (!dest || dest->service_key.protocol != p->protocol ||
	    !addr_equal(family, (void *)dest->service_key.addr, vip))
		return 0;
	if (way->reply)
		return addr_equal(family, (void *)dest->addr, &p->src);
	return addr_equal(family, (void *)dest->addr, &way->addr) || dest->family != family;
}

static __always_inline void stress_run(ctx_t *ctx, const __u8 family)
{
	struct packet p = {};
	struct way way = {};
	enum reason reason;

	stress_packet(family, &p);
	stress_count(EVENT_PACKETS);
	reason = core_handle(ctx, family, &p, &way);
	verdict_count(reason);
	if ((reason == FORWARD_IN || reason == FORWARD_NEW || reason == FORWARD_OUT) &&
	    !stress_is_right(family, &p, &way))
		stress_count(EVENT_MISDIRECTED);
}

#endif
