/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The sweeper: ends expired connections and takes empty spare buckets out, also
 * with no process alive.
 *
 * A timer in a pinned map ticks every 4 ms and looks at a 250th of both tables. What
 * it has not come to yet is expired all the same: packets test on every hit. Twin:
 * none.
 */
#ifndef IPVS_SWEEP_H
#define IPVS_SWEEP_H

#include "conn_new.h"

#define CLOCK_MONOTONIC 1
#define SWEEP_KILLS 4096 /* in one tick; the rest wait for the next */

struct sweeper {
	struct bpf_timer timer;
};

/* Pinning this map is what keeps the timer alive without a process. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sweeper);
} sweeper SEC(".maps");

struct sweep {
	__u64 tick;
	__u32 base; /* first line of this slice */
	__u32 family;
	__u32 now;
	__u32 killed;
	__u32 drained;
	__u32 nodest; /* end connections without a usable dest */
};

/* What a sweep knows, for its steps: 0 and 1 the timer's for IPv4 and IPv6, 2 and 3
 * those of a sweep on request. In a map and not on the stack, because what a step
 * changes there would be a new state for the verifier in every round.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct sweep);
} sweeps SEC(".maps");

struct sweep_ctx {
	__u32 key;
};

struct chain_end {
	__u32 family;
	__u32 prev; /* bucket before the last */
	__u32 last;
};

static long chain_end_step(__u32 round, struct chain_end *end)
{
	struct conn *lines = conn_bucket(end->family, end->last);
	__u32 next;

	if (!lines)
		return 1;
	next = link_bucket(READ_ONCE(lines->link));
	if (!next)
		return 1;
	end->prev = end->last;
	end->last = conn_buckets(end->family) + next - 1;
	return 0;
}

static __always_inline int bucket_is_free(struct conn *lines)
{
	__u64 words = 0;
	int i;

	for (i = 0; i < BUCKET_LINES; i++)
		words |= word_life(READ_ONCE(lines[i].word));
	return !words;
}

/* Takes the last bucket of a chain out if it is empty. DEAD on it keeps others from
 * appending and other sweepers out; CLOSING before it tells who has just claimed a
 * line in it to look again. They claim, then look at the links; we mark the link,
 * then look at the lines: one of us sees the other.
 */
static __noinline int sweep_drain(__u32 family, __u32 bucket)
{
	struct chain_end end = { .family = family, .prev = bucket, .last = bucket };
	struct conn *last, *prev;
	__u64 link, mine;

	bpf_loop(MAX_CHAIN, chain_end_step, &end, 0);
	if (end.last == bucket)
		return 0;
	last = conn_bucket(family, end.last);
	prev = conn_bucket(family, end.prev);
	if (!last || !prev || !bucket_is_free(last))
		return 0;
	mine = LINK_DEAD | (__u64)bpf_get_prandom_u32() << LINK_MARK_SHIFT;
	if (cmpxchg(&last->link, 0, mine) != 0)
		return 0;
	CONN_EVENT(DRAIN_DEAD);
	link = end.last - conn_buckets(family) + 1;
	if (cmpxchg(&prev->link, link, link | LINK_CLOSING) != link) {
		/* Taken out and given back since we came by: then it is no longer ours. */
		cmpxchg(&last->link, mine, 0);
		CONN_EVENT(DRAIN_MISLED);
		return 0;
	}
	CONN_EVENT(DRAIN_CLOSING);
	if (!bucket_is_free(last)) {
		xchg(&prev->link, link);
		xchg(&last->link, 0);
		CONN_EVENT(DRAIN_REVERTED);
		return 0;
	}
	CONN_EVENT(DRAINED);
	xchg(&prev->link, 0);
	spare_push(family, end.last - conn_buckets(family));
	return 1;
}

static long sweep_step(__u32 i, struct sweep_ctx *ctx)
{
	__u32 key = ctx->key;
	struct sweep *sweep = bpf_map_lookup_elem(&sweeps, &key);
	struct conn *lines, *conn;
	__u32 bucket, slot, index;
	struct dest *dest;
	__u64 word;

	if (!sweep || (key < 2 && sweep->killed >= SWEEP_KILLS))
		return 1;
	bucket = (sweep->base + i) / BUCKET_LINES;
	slot = (sweep->base + i) % BUCKET_LINES;
	lines = conn_bucket(sweep->family, bucket);
	if (!lines)
		return 1;
	if (!slot && bucket < conn_buckets(sweep->family) && link_bucket(READ_ONCE(lines->link)))
		sweep->drained += sweep_drain(sweep->family, bucket);
	opaque(lines);
	conn = &lines[slot & 7];
	word = READ_ONCE(conn->word);
	if (word_life(word) != LIFE_LIVE)
		return 0;
	conn = ordered_after(conn, word);
	if (conn_is_expired(READ_ONCE(conn->when), sweep->now)) {
		sweep->killed += conn_kill(conn, word);
		return 0;
	}
	if (!sweep->nodest)
		return 0;
	index = READ_ONCE(conn->dest);
	dest = dest_get(index);
	if (dest && !dest_is_available(dest))
		sweep->killed += conn_kill(conn, word);
	return 0;
}

/* Looks at `count` lines of a table from `base` on. Returns how many it ended. */
static __noinline __u32 sweep_lines(__u32 key, __u32 family, __u32 base, __u32 count)
{
	struct sweep *sweep = bpf_map_lookup_elem(&sweeps, &key);
	struct config *cfg = config_get();
	struct sweep_ctx ctx = { .key = key };

	if (!sweep || !cfg)
		return 0;
	sweep->family = family;
	sweep->base = base;
	sweep->now = clock_now(cfg);
	sweep->killed = 0;
	sweep->nodest = READ_ONCE(cfg->expire_nodest_conn);
	bpf_loop(count, sweep_step, &ctx, 0);
	return sweep->killed;
}

static __always_inline __u32 sweep_total(const __u8 family)
{
	return (conn_buckets(family) + conn_spares(family)) * BUCKET_LINES;
}

static __always_inline void sweep_slice(const __u8 family, __u64 tick)
{
	__u32 slice = (sweep_total(family) + SWEEP_TICKS - 1) / SWEEP_TICKS;

	sweep_lines(family == 4 ? 0 : 1, family, tick % SWEEP_TICKS * slice, slice);
}

static int sweep_tick(void *map, __u32 *key, struct sweeper *value)
{
	__u32 zero = 0;
	struct sweep *sweep = bpf_map_lookup_elem(&sweeps, &zero);

	if (sweep) {
		sweep->tick++;
		sweep_slice(4, sweep->tick);
		sweep_slice(6, sweep->tick);
	}
	bpf_timer_start(&value->timer, SWEEP_TICK_MS * 1000000ull, 0);
	return 0;
}

#endif
