/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Scheduling: which dest of a service gets a new connection.
 *
 * A scheduler picks from a dest set that never changes under it; what it must
 * remember is one 64-bit word in the set. It proposes (`struct pick`), and the
 * proposal is committed with a compare-and-swap once the packet is known to be
 * deliverable: two CPUs never take the same turn, and a packet that XDP leaves to
 * tc takes none.
 *
 * Dests stand newest first, as in the kernel's lists. Twin: src/ipvs/sched.ts
 */
#ifndef IPVS_SCHED_H
#define IPVS_SCHED_H

#include "dest.h"
#include "service.h"

/* Two per service: the one in force and the one user space prepares. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 32768);
	__type(key, __u32);
	__type(value, struct dest_set);
} dest_sets SEC(".maps");

/* Entries of all sets, each set a run of them. Written by user space only. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 524288);
	__type(key, __u32);
	__type(value, struct dest_ref);
} dest_refs SEC(".maps");

struct pick {
	__u64 from, to; /* the set's word before and after */
	__u32 set;
	__u32 dest; /* 0 = none */
	__u32 weight;
};

/* Walk over a set, one entry per bpf_loop round. */
struct sched_walk {
	__u32 start, len;
	__u32 at; /* entry to look at next */
	__u32 dest, weight; /* the best so far */
	__u32 load;
	__u32 found;
};

static __always_inline struct dest_ref *sched_ref(const struct sched_walk *walk, __u32 i)
{
	__u32 key = walk->start + i;

	return bpf_map_lookup_elem(&dest_refs, &key);
}

/* The kernel's "eligible": has weight and is not overloaded. */
static __always_inline int sched_may_use(const struct dest_ref *ref)
{
	struct dest *dest;

	if (!ref->weight)
		return 0;
	dest = dest_get(ref->dest);
	return dest && !READ_ONCE(dest->overload);
}

#include "sched/rr.h"
#include "sched/wrr.h"
#include "sched/lc.h"
#include "sched/wlc.h"

static __always_inline void sched_pick_from(__u8 sched, struct pick *pick, struct dest_set *set)
{
	const __u32 zero = unknown_zero();
	struct sched_walk walk = {
		.start = READ_ONCE(set->start),
		.len = READ_ONCE(set->len),
		.weight = zero,
		.load = zero,
		.found = zero,
	};

	pick->from = READ_ONCE(set->state);
	pick->to = pick->from;
	pick->dest = 0;
	if (!walk.len)
		return;
	switch (sched) {
	case SCHED_RR:
		rr_pick(pick, &walk);
		break;
	case SCHED_WRR:
		wrr_pick(pick, &walk, set);
		break;
	case SCHED_LC:
		lc_pick(pick, &walk);
		break;
	case SCHED_WLC:
		wlc_pick(pick, &walk);
		break;
	}
}

/* Proposes a dest; pick->dest is 0 when there is none. User space may swap sets
 * twice while we read, and then rewrite the one we read: the version tells, and we
 * start over with the set now in force.
 */
__noinline int sched_pick(const struct service *service, struct pick *pick)
{
	__u32 version, index;
	struct dest_set *set;
	__u8 sched;
	int i;

	if (!service || !pick)
		return 0;
	sched = service->sched;
	for (i = 0; i < 3; i++) {
		index = READ_ONCE(service->set);
		set = bpf_map_lookup_elem(&dest_sets, &index);
		if (!set)
			break;
		version = READ_ONCE(set->version);
		pick->set = index;
		trace(TRACE_SCHED, sched, set->len, set->state);
		sched_pick_from(sched, pick, set);
		if (!(version & 1) && READ_ONCE(set->version) == version) {
			trace(TRACE_PICK, pick->dest, pick->weight, pick->to);
			return pick->dest != 0;
		}
	}
	pick->dest = 0;
	return 0;
}

/* Takes the turn; 0 when another CPU was faster and the pick must be made again. */
static __always_inline int sched_commit(const struct pick *pick)
{
	__u32 index = pick->set;
	struct dest_set *set;

	if (cfg_dry || pick->from == pick->to)
		return 1;
	set = bpf_map_lookup_elem(&dest_sets, &index);
	return !set || cmpxchg(&set->state, pick->from, pick->to) == pick->from;
}

#endif
