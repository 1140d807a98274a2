/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Address filter: tells in two loads that a packet is none of our business, and
 * which way the others go.
 *
 * A bit may be set for an address that is not ours (hashes collide, bits of
 * removed services stay until the last one goes), never the other way round. So
 * a hit is a hint: both directions are tried before a packet is called foreign.
 * Twin: src/datapath/kernel/filter.ts
 */
#ifndef IPVS_FILTER_H
#define IPVS_FILTER_H

#include "../net/hash.h"
#include "abi.h"

enum filter_side { FILTER_VIPS = 0, FILTER_REALS = 1 };

struct filter_bits {
	__u64 words[FILTER_BITS / 64];
};

/* 0: addresses of services, 1: addresses of dests. Written by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct filter_bits);
} address_filter SEC(".maps");

static __always_inline int filter_has(const struct filter_bits *filter, __u32 bit)
{
	return READ_ONCE(filter->words[(bit >> 6) & (FILTER_BITS / 64 - 1)]) >> (bit & 63) & 1;
}

#endif
