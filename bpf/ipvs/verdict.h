/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Verdicts are reasons; only the entry programs turn them into XDP or tc codes. */
#ifndef IPVS_VERDICT_H
#define IPVS_VERDICT_H

#include "trace.h"

/* How often each reason was given, by hook. Read and summed by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOOK_LAST *MAX_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} reasons SEC(".maps");

static __always_inline void verdict_count(enum reason reason)
{
	__u32 key = cfg_hook * MAX_REASONS + reason;
	__u64 *count;

	if (cfg_dry) {
		struct explanation *e = explanation_get();

		if (e)
			e->reason = reason;
		return;
	}
	count = bpf_map_lookup_elem(&reasons, &key);
	if (count)
		*count += 1;
}

static __always_inline int verdict_is_forward(enum reason reason)
{
	return reason > REASON_NONE && reason < PASS_NOT_OURS;
}

static __always_inline int verdict_is_drop(enum reason reason)
{
	return reason >= DROP_DEST_GONE;
}

#endif
