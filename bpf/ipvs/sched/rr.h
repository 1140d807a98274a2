/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Round robin: the next eligible dest after the one used last.
 *
 * The word is that one's position plus one, 0 = the list's head. The dest used
 * last is tried last. Twin: src/ipvs/sched/rr.ts. Rules: ip_vs_rr.c
 */
#ifndef IPVS_SCHED_RR_H
#define IPVS_SCHED_RR_H

static long rr_step(__u32 round, struct sched_walk *walk)
{
	__u32 at = walk->at + round;
	struct dest_ref *ref;

	if (at >= walk->len)
		at -= walk->len;
	ref = sched_ref(walk, at);
	if (ref && sched_may_use(ref)) {
		walk->dest = ref->dest;
		walk->weight = ref->weight;
		walk->found = at + 1;
		return 1;
	}
	return 0;
}

static __always_inline void rr_pick(struct pick *pick, struct sched_walk *walk)
{
	walk->at = pick->from;
	if (walk->at >= walk->len)
		walk->at = 0;
	/* Nearly always the first one is eligible: no loop then. */
	if (!rr_step(0, walk))
		bpf_loop(walk->len, rr_step, walk, 0);
	if (!walk->found)
		return;
	pick->dest = walk->dest;
	pick->weight = walk->weight;
	pick->to = walk->found;
}

#endif
