/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The namespace's settings, and what is fixed when the programs are loaded.
 *
 * Twin: src/ipvs/sysctl.ts for the names and ranges.
 */
#ifndef IPVS_CONFIG_H
#define IPVS_CONFIG_H

#include "../net/bpf.h"
#include "abi.h"

/* Written by user space with one store per value; read for every packet. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct config);
} config SEC(".maps");

/* Set before load; the verifier removes what they switch off. */
const volatile __u32 cfg_buckets4 = 1;
const volatile __u32 cfg_spares4 = 0;
const volatile __u32 cfg_buckets6 = 1;
const volatile __u32 cfg_spares6 = 0;
const volatile __u32 cfg_hash_seed = 0;
const volatile __u32 cfg_hz = 250;
const volatile __u32 cfg_hop_shift =
	7; /* jiffies >> this: a second at most, at HZ 250 half of one */
const volatile __u8 cfg_hook = HOOK_TC_INGRESS;
const volatile __u8 cfg_dry = 0; /* the twin that explains: changes nothing */
const volatile __u8 cfg_fib_src = 0; /* the kernel tells the source address of a route */
const volatile __u8 cfg_test_clock = 0; /* config.clock_skew counts */

static __always_inline struct config *config_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&config, &zero);
}

/* Jiffies, as 32 bits: entries live for days at most, the sweeper sees to that. */
static __always_inline __u32 clock_now(const struct config *cfg)
{
	__u32 now = bpf_jiffies64();

	if (cfg_test_clock)
		now += READ_ONCE(cfg->clock_skew);
	return now;
}

#endif
