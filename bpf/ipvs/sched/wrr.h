/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Weighted round robin: passes over the list with a falling threshold; in each,
 * the dests whose weight reaches it get a turn.
 *
 * The word is threshold << 32 | position of the last dest plus one (0 = head).
 * Step (gcd) and highest threshold come with the set. Twin: src/ipvs/sched/wrr.ts.
 * Rules: ip_vs_wrr.c, which also moves its mark when nobody can be found.
 */
#ifndef IPVS_SCHED_WRR_H
#define IPVS_SCHED_WRR_H

struct wrr_walk {
	struct sched_walk set;
	__s32 cw, mw, di;
	__u32 began; /* position plus one where the call started, 0 = head */
	__u32 stop; /* position plus one at which it gives up, 0 = not yet */
	__u8 last_pass, restarted, whole, failed;
	__u32 heaviest; /* usable weight seen in a pass from the head */
};

/* A whole pass without a hit: thresholds that no usable dest reaches need no pass
 * of their own. Thresholds up to one step are left to the rules of the last pass.
 */
static __always_inline void wrr_skip(struct wrr_walk *walk)
{
	__u32 di = walk->di, cw = walk->cw, floor;

	if (!di)
		return;
	floor = walk->heaviest > di ? walk->heaviest : di;
	if (cw > floor + di)
		walk->cw = cw - (cw - floor - 1) / di * di;
}

static long wrr_step(__u32 round, struct wrr_walk *walk)
{
	struct dest_ref *ref;
	/* Not a cursor in the walk: a counter that starts as a known constant would
	 * be a new state in every round ("8193 jumps is too complex").
	 */
	__u32 at = (walk->began + round) % (walk->set.len + 1);

	if (at < walk->set.len) {
		ref = sched_ref(&walk->set, at);
		if (ref && sched_may_use(ref)) {
			if (ref->weight >= (__u32)walk->cw) {
				walk->set.dest = ref->dest;
				walk->set.weight = ref->weight;
				walk->set.at = at + 1;
				walk->set.found = 1;
				return 1;
			}
			if (ref->weight > walk->heaviest)
				walk->heaviest = ref->weight;
		}
		walk->set.at = at + 1;
		if (walk->stop == at + 1) {
			walk->failed = 1;
			return 1;
		}
		return 0;
	}

	walk->set.at = 0;
	if (walk->whole)
		wrr_skip(walk);
	walk->cw -= walk->di;
	if (walk->cw <= 0) {
		walk->cw = walk->mw;
		if (walk->last_pass || !walk->began) {
			walk->failed = 1;
			return 1;
		}
		walk->restarted = 1;
	}
	walk->last_pass = walk->cw <= walk->di;
	if (walk->last_pass && walk->restarted && walk->began)
		walk->stop = walk->began;
	walk->whole = 1;
	walk->heaviest = 0;
	return 0;
}

static __always_inline void wrr_pick(struct pick *pick, struct sched_walk *set_walk,
				     struct dest_set *set)
{
	const __u32 zero = unknown_zero();
	struct wrr_walk walk = {
		.set = *set_walk,
		.cw = pick->from >> 32,
		.mw = READ_ONCE(set->max_weight),
		.di = READ_ONCE(set->gcd),
		.began = (__u32)pick->from,
		.stop = zero,
		.last_pass = zero,
		.restarted = zero,
		.whole = zero,
		.heaviest = zero,
	};

	if (walk.mw <= 0)
		return;
	walk.set.at = walk.began;
	/* Two passes find a usable dest wherever the mark stands; overloaded ones can
	 * make it a few more, which wrr_skip bounds.
	 */
	bpf_loop((walk.set.len + 1) * 8, wrr_step, &walk, 0);
	pick->to = (__u64)(__u32)walk.cw << 32 | walk.set.at;
	if (!walk.set.found)
		return;
	pick->dest = walk.set.dest;
	pick->weight = walk.set.weight;
}

#endif
