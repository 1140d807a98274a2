/* SPDX-License-Identifier: MIT */
/* What the stress programs share: packets of random connections, and eyes in the
 * windows between the steps of the connection table.
 *
 * To be included before bpf/ipvs/conn.h, so that CONN_EVENT is defined.
 */
#ifndef STRESS_H
#define STRESS_H

#include "net/bpf.h"

/* Names and order: STRESS_EVENTS in test/support/stress.ts. */
enum stress_event {
	EVENT_MATCHED,
	EVENT_WALKED,
	EVENT_KILLING,
	EVENT_KILLED,
	EVENT_STEPPING,
	EVENT_PUSHING,
	EVENT_POPPING,
	EVENT_EXTENDING,
	EVENT_EXTEND_LOST,
	EVENT_EVICTING,
	EVENT_EVICTED,
	EVENT_CLAIMED,
	EVENT_FILLED,
	EVENT_PUBLISHED,
	EVENT_SCANNED,
	EVENT_LOST,
	EVENT_ABORTED,
	EVENT_CUT_OFF,
	EVENT_COPYING,
	EVENT_DRAIN_DEAD,
	EVENT_DRAIN_CLOSING,
	EVENT_DRAIN_MISLED,
	EVENT_DRAIN_REVERTED,
	EVENT_DRAINED,
	/* Of the drivers themselves. */
	EVENT_PACKETS,
	EVENT_CREATED,
	EVENT_ENDED,
	EVENT_MISDIRECTED,
	EVENT_LAST,
};

/* Counted with atomics although per CPU: programs in process context are interrupted. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EVENT_LAST);
	__type(key, __u32);
	__type(value, __u64);
} stress_events SEC(".maps");

/* Of so many visits of a window one stays for a while; 0 = none. A power of two. */
const volatile __u32 cfg_linger = 0;
const volatile __u32 cfg_clients = 64;
const volatile __u32 cfg_vips = 2;
const volatile __u32 cfg_reals = 4;

static __always_inline void stress_count(__u32 event)
{
	__u64 *count = bpf_map_lookup_elem(&stress_events, &event);

	if (count)
		fetch_add(count, 1);
}

#define STRESS_BUFFER 65536

/* Copied onto itself to pass the time: a callback would take more stack than 6.1 has. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8[STRESS_BUFFER]);
} stress_buffer SEC(".maps");

static __noinline int stress_event(__u32 event)
{
	__u32 zero = 0;
	__u8 *buffer;

	stress_count(event);
	if (cfg_linger && !(bpf_get_prandom_u32() & (cfg_linger - 1))) {
		buffer = bpf_map_lookup_elem(&stress_buffer, &zero);
		if (buffer)
			bpf_probe_read_kernel(buffer, bpf_get_prandom_u32() & (STRESS_BUFFER - 1), buffer);
	}
	return 0;
}

#define CONN_EVENT(name) stress_event(EVENT_##name)

#endif
