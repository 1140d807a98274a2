/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The core: from a parsed packet to a verdict, the same for XDP and tc.
 *
 * A packet whose addresses are foreign is none of our business. One that comes from
 * a real server may be a reply: its connection turns it back into an answer of the
 * VIP. One to a VIP belongs to a connection, or opens one: then its service picks a
 * dest. Whatever it is, first everything is found out, then the packet is counted
 * and moves its connection on; rewriting and sending (xmit.h) come last. XDP stops
 * before the counting when it cannot do the rest, and tc starts afresh with an
 * untouched packet.
 *
 * Rules: ip_vs_core.c, ip_vs_in_hook and ip_vs_out_hook.
 */
#ifndef IPVS_CORE_H
#define IPVS_CORE_H

#include "conn_new.h"
#include "filter.h"
#include "sched.h"
#include "xmit.h"

/* Verdicts between the parts of the core, never seen outside. */
enum core_next { CORE_SCHEDULE = MAX_REASONS, CORE_CREATE };

/* What to do when another CPU was faster: XDP lets tc have the packet. */
#define REASON_RACE (CTX_IS_XDP ? DEFER_BUSY : DROP_CONTENDED)

/* A SYN for a connection that is over, or whose dest takes no new ones, starts anew
 * (ip_vs_in_hook: is_new_conn, is_new_conn_expected).
 */
static __always_inline int core_starts_anew(const struct config *cfg, const struct packet *p,
					    const struct conn_ref *ref, const struct dest *dest)
{
	__u32 state = word_state(ref->word), mode = READ_ONCE(cfg->conn_reuse_mode);

	if (p->protocol != IPPROTO_TCP || !tcp_is_opener(p->tcp_flags))
		return 0;
	if (READ_ONCE(cfg->expire_nodest_conn) && !READ_ONCE(dest->weight))
		return 1;
	if (!mode || ref->conn->control)
		return 0;
	return state == TCP_S_TIME_WAIT || state == TCP_S_CLOSE ||
	       (mode & 2 && state == TCP_S_FIN_WAIT && word_flags(ref->word) & CONN_F_NOOUTPUT);
}

/* From a client to a VIP, for a connection that exists. */
static __always_inline int core_in(ctx_t *ctx, const __u8 family, const struct packet *p,
				   struct way *way)
{
	struct config *cfg = config_get();
	struct conn_key key = {};
	struct conn_ref ref = {};
	struct dest *dest;
	struct hop *hop;
	int reason;
	__u32 now;

	if (!cfg)
		return PASS_DISABLED;
	now = clock_now(cfg);
	conn_key_of(family, p, DIR_IN, &key);
	if (!conn_lookup(family, DIR_IN, &key, &ref)) {
		trace(TRACE_CONN_MISS, DIR_IN, 0, 0);
		return CORE_SCHEDULE;
	}
	if (unlikely(conn_is_expired(READ_ONCE(ref.conn->when), now))) {
		trace(TRACE_CONN_EXPIRED, 0, ref.line, 0);
		goto anew;
	}
	trace(TRACE_CONN_HIT, DIR_IN, ref.line, ref.word);
	way->dest = ref.conn->dest;
	way->fwd = ref.conn->fwd;
	way->port = ref.conn->dport;
	if (family == 4)
		way->addr.v4 = ref.conn->daddr;
	else
		__builtin_memcpy(&way->addr, ref.addrs->daddr, 16);
	if (unlikely(!conn_is_same(&ref)))
		return REASON_RACE;
	dest = dest_get(way->dest);
	if (!dest)
		return DROP_DEST_GONE;
	if (unlikely(core_starts_anew(cfg, p, &ref, dest))) {
		trace(TRACE_CONN_REUSED, 0, ref.line, ref.word);
		goto anew;
	}
	if (unlikely(!dest_is_available(dest))) {
		trace(TRACE_DEST_GONE, way->dest, 0, 0);
		if (!READ_ONCE(cfg->expire_nodest_conn))
			return DROP_DEST_GONE;
		goto anew;
	}

	hop = xmit_route(ctx, dest, way, now);
	reason = xmit_check(ctx, family, cfg, p, dest, hop, way);
	if (CTX_IS_XDP && reason)
		return reason;
	if (!conn_advance(cfg, p, DIR_IN, &ref, dest, now))
		return REASON_RACE;
	if (!cfg_dry)
		ref.conn->in_pkts++;
	dest_count_in(way->dest, p->len, 0);
	return reason ? reason : FORWARD_IN;

anew:
	conn_end(&ref);
	return CORE_SCHEDULE;
}

/* The connection to be, out of the way of the stack. By hook, because tc egress runs
 * in process context and a packet that comes in may interrupt it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOOK_LAST);
	__type(key, __u32);
	__type(value, struct conn_new);
} conn_scratch SEC(".maps");

static __always_inline struct conn_new *conn_scratch_get(void)
{
	__u32 hook = cfg_hook;

	return bpf_map_lookup_elem(&conn_scratch, &hook);
}

/* The connection that the packet and its dest make, in the state after the packet. */
static __always_inline void core_prepare(const __u8 family, const struct config *cfg,
					 const struct packet *p, const struct way *way,
					 const struct dest *dest, __u32 now)
{
	struct conn_new *new = conn_scratch_get();
	struct step step;

	if (!new)
		return;
	proto_step(cfg, p, DIR_IN, 0,
		   CONN_F_INACTIVE | (way->fwd == FWD_MASQ ? 0 : CONN_F_NOOUTPUT), &step);
	trace(TRACE_STATE, 0, step.state, step.timeout);
	new->caddr = p->src;
	new->vaddr = p->dst;
	/* A tunnel's other end may be of the other family; the dest knows it. */
	if (dest->family == family)
		new->daddr = way->addr;
	else
		__builtin_memset(&new->daddr, 0, sizeof(new->daddr));
	new->cport = p->ports;
	new->vport = p->ports >> 16;
	new->dport = way->port;
	new->protocol = p->protocol;
	new->fwd = way->fwd;
	new->state = step.state;
	new->flags = step.flags;
	new->dest = way->dest;
	new->fwmark = 0;
	new->now = now;
	new->timeout = step.timeout;
}

/* No connection: find the service and pick a dest. The order of the tests is that
 * of ip_vs_try_to_schedule and ip_vs_schedule.
 */
static __always_inline int core_schedule(ctx_t *ctx, const __u8 family, const struct packet *p,
					 struct way *way)
{
	struct config *cfg = config_get();
	struct service *service;
	struct pick pick = {};
	union addr source = {};
	struct dest *dest;
	struct hop *hop;
	__u32 index = 0, now;
	int reason, i;

	if (!cfg)
		return PASS_DISABLED;
	now = clock_now(cfg);
	if (p->short_header)
		return CTX_IS_XDP ? DEFER_HEADERS : DROP_SHORT_HEADER;
	if (p->protocol == IPPROTO_TCP &&
	    (p->tcp_flags & TCP_RST ||
	     !(tcp_is_opener(p->tcp_flags) || READ_ONCE(cfg->sloppy_tcp))))
		return PASS_NOT_OPENER;
	service = service_lookup(family, &p->dst, p->ports >> 16, p->protocol, &index);
	if (!service) {
		trace(TRACE_SERVICE_MISS, 0, 0, 0);
		return PASS_NO_SERVICE;
	}
	trace(TRACE_SERVICE_HIT, index, 0, 0);
	if ((__be16)p->ports == bpf_htons(20))
		return PASS_CLIENT_PORT_20;
	/* The kernel sees a packet only when its address is the director's. */
	if (hop_route(ctx, family, &p->dst, &source) != ROUTE_LOCAL)
		return PASS_VIP_NOT_LOCAL;

	for (i = 0; i < 3; i++) {
		if (!sched_pick(service, &pick)) {
			if (CTX_IS_XDP)
				return DEFER_NO_DEST;
			sched_commit(&pick);
			return ANSWER_PORT_UNREACHABLE;
		}
		dest = dest_get(pick.dest);
		if (!dest)
			return REASON_RACE;
		way->dest = pick.dest;
		way->fwd = dest->fwd;
		way->port = dest->port ? dest->port : p->ports >> 16;
		__builtin_memcpy(&way->addr, dest->addr, 16);
		hop = xmit_route(ctx, dest, way, now);
		reason = xmit_check(ctx, family, cfg, p, dest, hop, way);
		if (CTX_IS_XDP && reason)
			return reason;
		if (sched_commit(&pick))
			break;
	}
	trace(TRACE_CREATE, way->dest, 0, 0);
	core_prepare(family, cfg, p, way, dest, now);
	return CORE_CREATE;
}

/* Makes the entry and counts its first packet. */
static __always_inline int core_create(ctx_t *ctx, const __u8 family, const struct packet *p,
				       struct way *way)
{
	struct conn_new *new = conn_scratch_get();
	struct config *cfg = config_get();
	struct dest *dest;
	struct hop *hop;
	int created, reason;

	if (!new || !cfg)
		return PASS_DISABLED;
	created = cfg_dry ? CREATED : conn_create(family, new);
	if (created == CREATED_FULL)
		return DROP_TABLE_FULL;
	if (created == CREATED_BUSY)
		return REASON_RACE;
	if (CTX_IS_XDP && created == CREATED) {
		/* Nothing is left to find out: what XDP cannot do was left before. */
		dest_count_in(way->dest, p->len, 1);
		return FORWARD_NEW;
	}
	/* Unless another CPU made the same connection, nothing changes here. */
	way->dest = new->dest;
	way->fwd = new->fwd;
	way->port = new->dport;
	way->addr = new->daddr;
	dest = dest_get(way->dest);
	if (!dest)
		return REASON_RACE;
	hop = xmit_route(ctx, dest, way, new->now);
	reason = xmit_check(ctx, family, cfg, p, dest, hop, way);
	if (CTX_IS_XDP && reason)
		return DEFER_BUSY;
	dest_count_in(way->dest, p->len, created == CREATED);
	return reason ? reason : FORWARD_NEW;
}

static __always_inline int core_accepts_local(const ctx_t *ctx)
{
	struct device *device = device_get(ctx_ifindex(ctx));

	return device && device->flags & DEVICE_F_ACCEPT_LOCAL;
}

/* From a real server, or from a VIP, to a client. REASON_NONE: it is no reply. What
 * forwarding would refuse is left to the stack before anything is counted, because
 * in the kernel forwarding comes first.
 */
static __always_inline int core_out(ctx_t *ctx, const __u8 family, const struct packet *p,
				    struct way *way)
{
	struct config *cfg = config_get();
	struct conn_key key = {};
	struct conn_ref ref = {};
	union addr source = {};
	struct dest *dest;
	struct hop *hop;
	__u32 now, tries = 0;

	if (!cfg)
		return PASS_DISABLED;
	now = clock_now(cfg);
	conn_key_of(family, p, DIR_OUT, &key);
again:
	if (!conn_lookup(family, DIR_OUT, &key, &ref)) {
		trace(TRACE_CONN_MISS, DIR_OUT, 0, 0);
		return REASON_NONE;
	}
	if (unlikely(conn_is_expired(READ_ONCE(ref.conn->when), now))) {
		trace(TRACE_CONN_EXPIRED, 0, ref.line, 0);
		conn_end(&ref);
		/* It may have hidden an older one that is still alive. */
		if (!cfg_dry && !tries++)
			goto again;
		return REASON_NONE;
	}
	trace(TRACE_CONN_HIT, DIR_OUT, ref.line, ref.word);
	way->fwd = ref.conn->fwd;
	way->dest = ref.conn->dest;
	way->port = ref.conn->vport;
	way->reply = 1;
	if (family == 4)
		way->addr.v4 = ref.conn->vaddr;
	else
		__builtin_memcpy(&way->addr, ref.addrs->vaddr, 16);
	if (unlikely(!conn_is_same(&ref)))
		return REASON_RACE;
	if (p->short_header)
		return CTX_IS_XDP ? DEFER_HEADERS : DROP_SHORT_HEADER;
	if (p->ttl <= 1)
		return PASS_REPLY_TTL;
	dest = dest_get(way->dest);

	if (way->fwd == FWD_MASQ) {
		/* Routed anew as an answer of the VIP (ip_vs_route_me_harder). */
		if (READ_ONCE(cfg->snat_reroute))
			source = way->addr;
		way->route = hop_cached(ctx, family, &p->dst, &ref.conn->hop, now, &source);
		hop = way->route < ROUTE_LOCAL ? hop_get(way->route) : NULL;
		if (!hop) {
			if (CTX_IS_XDP)
				return DEFER_HOP;
			/* With a way as a packet of the real server but none as one
			 * of the VIP, forwarding lets it in and IPVS drops it.
			 */
			__builtin_memset(&source, 0, sizeof(source));
			return hop_route(ctx, family, &p->dst, &source) < ROUTE_LOCAL
				       ? DROP_NO_ANSWER
				       : PASS_REPLY_NO_ROUTE;
		}
		if (ctx_segment(ctx, p) > hop->mtu)
			return PASS_REPLY_TOO_BIG;
		if (CTX_IS_XDP && (hop->flags & (HOP_F_MAC | HOP_F_XDP)) != (HOP_F_MAC | HOP_F_XDP))
			return DEFER_HOP;
		if (CTX_IS_XDP && p->zero_check)
			return DEFER_CHECKSUM;
	} else if (family == 4 && !core_accepts_local(ctx)) {
		/* An IPv4 packet from an own address dies in the stack before IPVS
		 * would see it (martian source).
		 */
		return PASS_NOT_OURS;
	} else if (CTX_IS_XDP) {
		return DEFER_DEVICE;
	}
	if (!conn_advance(cfg, p, DIR_OUT, &ref, dest, now))
		return REASON_RACE;
	if (dest && dest_is_available(dest))
		dest_count_out(way->dest, p->len);
	return way->fwd == FWD_MASQ ? FORWARD_OUT : PASS_REPLY_UNTOUCHED;
}

/* Global functions: the verifier looks at each once, by itself, and their frames do
 * not pile up on one stack.
 */
#define CORE_PART(name)                                                              \
	__noinline int name##4(ctx_t * ctx, const struct packet *p, struct way *way) \
	{                                                                            \
		return p && way ? name(ctx, 4, p, way) : PASS_DISABLED;              \
	}                                                                            \
	__noinline int name##6(ctx_t * ctx, const struct packet *p, struct way *way) \
	{                                                                            \
		return p && way ? name(ctx, 6, p, way) : PASS_DISABLED;              \
	}

CORE_PART(core_in)
CORE_PART(core_out)
CORE_PART(core_schedule)
CORE_PART(core_create)

static __always_inline enum reason core_handle(ctx_t *ctx, const __u8 family,
					       const struct packet *p, struct way *way)
{
	__u32 to = hash_filter(addr_fold(family, &p->dst));
	__u32 from = hash_filter(addr_fold(family, &p->src));
	__u32 vips_key = FILTER_VIPS, reals_key = FILTER_REALS;
	struct filter_bits *vips = bpf_map_lookup_elem(&address_filter, &vips_key);
	struct filter_bits *reals = bpf_map_lookup_elem(&address_filter, &reals_key);
	int to_vip, is_reply, reason;

	if (!vips || !reals)
		return PASS_NOT_OURS;
	to_vip = filter_has(vips, to);
	is_reply = filter_has(reals, from) | filter_has(vips, from);
	if (likely(!(to_vip | is_reply)))
		return PASS_NOT_OURS;
	trace(TRACE_FILTER, to_vip, is_reply, 0);
	if (is_reply) {
		reason = family == 4 ? core_out4(ctx, p, way) : core_out6(ctx, p, way);
		if (reason)
			return reason;
	}
	if (!to_vip)
		return PASS_NOT_OURS;
	reason = family == 4 ? core_in4(ctx, p, way) : core_in6(ctx, p, way);
	if (reason == CORE_SCHEDULE)
		reason = family == 4 ? core_schedule4(ctx, p, way) : core_schedule6(ctx, p, way);
	if (reason == CORE_CREATE)
		reason = family == 4 ? core_create4(ctx, p, way) : core_create6(ctx, p, way);
	return reason;
}

#endif
