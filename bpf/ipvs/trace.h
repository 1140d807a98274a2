/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the dry twin writes down for `xlvs explain`.
 *
 * In the programs that forward, cfg_dry is a constant 0 and none of this is left.
 */
#ifndef IPVS_TRACE_H
#define IPVS_TRACE_H

#include "config.h"

/* One explanation; the dry twin has a map of its own and is run by one caller. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct explanation);
} explanations SEC(".maps");

static __always_inline struct explanation *explanation_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&explanations, &zero);
}

static __noinline void trace_add(__u32 event, __u32 a, __u32 b, __u64 c)
{
	struct explanation *e = explanation_get();
	struct trace_step *step;
	__u32 n;

	if (!e)
		return;
	n = e->steps;
	if (n >= MAX_TRACE)
		return;
	step = &e->trace[n];
	step->event = event;
	step->a = a;
	step->b = b;
	step->c = c;
	e->steps = n + 1;
}

#define trace(event, a, b, c)                      \
	do {                                       \
		if (cfg_dry)                       \
			trace_add(event, a, b, c); \
	} while (0)

#endif
