// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Programs that user space runs: start the sweeper, sweep now, read the clocks. */
#include "net/bpf.h"
#include "ipvs/sweep.h"

char _license[] SEC("license") = "Dual BSD/GPL";

/* Starts the timer, or moves a running one to this program's code: a new version
 * initialises in vain (-EBUSY) and takes over with its own callback.
 */
SEC("syscall")
int sweep_start(struct sweep_request *request)
{
	__u32 zero = 0;
	struct sweeper *value = bpf_map_lookup_elem(&sweeper, &zero);
	long error;

	if (!value)
		return 1;
	bpf_timer_init(&value->timer, &sweeper, CLOCK_MONOTONIC);
	error = bpf_timer_set_callback(&value->timer, sweep_tick);
	if (!error)
		error = bpf_timer_start(&value->timer, SWEEP_TICK_MS * 1000000ull, 0);
	request->error = error;
	return error != 0;
}

/* Reads the clocks; with `full`, ends everything that is expired before it returns. */
SEC("syscall")
int sweep_now(struct sweep_request *request)
{
	if (request->full) {
		request->killed = sweep_lines(2, 4, 0, sweep_total(4));
		request->killed += sweep_lines(3, 6, 0, sweep_total(6));
	}
	request->jiffies = bpf_jiffies64();
	request->nanoseconds = bpf_ktime_get_ns();
	return 0;
}
