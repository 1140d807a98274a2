/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Destinations: real servers, their load and their counters.
 *
 * Twin: src/ipvs/dest.ts. Rules: ip_vs_bind_dest, ip_vs_unbind_dest of 6.1.192.
 */
#ifndef IPVS_DEST_H
#define IPVS_DEST_H

#include "config.h"
#include "trace.h"

/* All dests of the namespace; 0 is never used, so that it can mean "none". User
 * space adds and removes, packets change only the load. An array, because a
 * connection keeps the index and must find the dest without hashing.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 131072);
	__type(key, __u32);
	__type(value, struct dest);
} dests SEC(".maps");

/* Counters by dest and CPU; those of services and the total follow from them. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 131072);
	__type(key, __u32);
	__type(value, struct counters);
} dest_stats SEC(".maps");

static __always_inline struct dest *dest_get(__u32 index)
{
	return index ? bpf_map_lookup_elem(&dests, &index) : NULL;
}

static __always_inline int dest_is_available(const struct dest *dest)
{
	return READ_ONCE(dest->state) == DEST_LIVE;
}

/* An upper limit without a lower one ends at three quarters of it. */
static __always_inline __u32 dest_lower(const struct dest *dest)
{
	return dest->lower ? dest->lower : dest->upper - dest->upper / 4;
}

/* The flag is set when the total reaches the upper limit and cleared when it falls
 * below the lower one. Each looks at the total again, because another CPU may have
 * crossed the other limit in between; the last to look is right.
 */
static __always_inline void dest_bound(struct dest *dest, __u32 total)
{
	if (dest->upper && total == dest->upper)
		WRITE_ONCE(dest->overload, READ_ONCE(dest->total) >= dest_lower(dest));
}

static __always_inline void dest_unbound(struct dest *dest, __u32 before)
{
	if (dest->upper && before == dest_lower(dest))
		WRITE_ONCE(dest->overload, READ_ONCE(dest->total) >= dest->upper);
}

static __always_inline void dest_bind(struct dest *dest, int active)
{
	if (active)
		fetch_add(&dest->active, 1);
	dest_bound(dest, fetch_add(&dest->total, 1) + 1);
}

static __always_inline void dest_unbind(struct dest *dest, int active)
{
	if (active)
		fetch_add(&dest->active, -1);
	dest_unbound(dest, fetch_add(&dest->total, -1));
}

static __always_inline __u32 dest_inactive(const struct dest *dest)
{
	__s32 inactive = READ_ONCE(dest->total) - READ_ONCE(dest->active);

	return inactive > 0 ? inactive : 0;
}

static __always_inline struct counters *dest_counters(__u32 index)
{
	if (cfg_dry)
		return NULL;
	return bpf_map_lookup_elem(&dest_stats, &index);
}

static __always_inline void dest_count_in(__u32 index, __u32 bytes, int new_conn)
{
	struct counters *counters = dest_counters(index);

	if (!counters)
		return;
	if (new_conn)
		counters->conns++;
	counters->in_packets++;
	counters->in_bytes += bytes;
}

static __always_inline void dest_count_out(__u32 index, __u32 bytes)
{
	struct counters *counters = dest_counters(index);

	if (!counters)
		return;
	counters->out_packets++;
	counters->out_bytes += bytes;
}

#endif
