/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Weighted least connection: least load in proportion to weight, first wins.
 *
 * Compared as products in 64 bits, so nothing is divided.
 * Twin: src/ipvs/sched/wlc.ts. Rules: ip_vs_wlc.c
 */
#ifndef IPVS_SCHED_WLC_H
#define IPVS_SCHED_WLC_H

static long wlc_step(__u32 at, struct sched_walk *walk)
{
	struct dest_ref *ref = sched_ref(walk, at);
	struct dest *dest;
	__u32 load;

	if (!ref || !ref->weight)
		return 0;
	dest = dest_get(ref->dest);
	if (!dest || READ_ONCE(dest->overload))
		return 0;
	load = sched_load(dest);
	if (walk->found && (__u64)walk->load * ref->weight <= (__u64)load * walk->weight)
		return 0;
	walk->found = 1;
	walk->load = load;
	walk->dest = ref->dest;
	walk->weight = ref->weight;
	return 0;
}

static __always_inline void wlc_pick(struct pick *pick, struct sched_walk *walk)
{
	bpf_loop(walk->len, wlc_step, walk, 0);
	if (!walk->found)
		return;
	pick->dest = walk->dest;
	pick->weight = walk->weight;
}

#endif
