/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Least connection: the eligible dest with the least load, first wins.
 *
 * Load is 256 times the active connections plus all connections, the rule of
 * 6.1.183 and later. Twin: src/ipvs/sched/lc.ts. Rules: ip_vs_lc.c
 */
#ifndef IPVS_SCHED_LC_H
#define IPVS_SCHED_LC_H

/* ip_vs_dest_conn_overhead */
static __always_inline __u32 sched_load(const struct dest *dest)
{
	return (READ_ONCE(dest->active) << 8) + READ_ONCE(dest->total);
}

static long lc_step(__u32 at, struct sched_walk *walk)
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
	if (walk->found && load >= walk->load)
		return 0;
	walk->found = 1;
	walk->load = load;
	walk->dest = ref->dest;
	walk->weight = ref->weight;
	return 0;
}

static __always_inline void lc_pick(struct pick *pick, struct sched_walk *walk)
{
	bpf_loop(walk->len, lc_step, walk, 0);
	if (!walk->found)
		return;
	pick->dest = walk->dest;
	pick->weight = walk->weight;
}

#endif
