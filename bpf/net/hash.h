/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Hashes that are computed inline, because a helper call costs more than they do.
 *
 * The constants are the golden ratio and the finalizer of MurmurHash3 (public
 * domain). Twin: src/datapath/kernel/filter.ts mirrors hash_filter.
 */
#ifndef NET_HASH_H
#define NET_HASH_H

#include "bpf.h"

/* An address as one word. */
static __always_inline __u32 addr_fold(const __u8 family, const union addr *a)
{
	if (family == 4)
		return a->v4;
	return a->w[0] ^ a->w[1] ^ a->w[2] ^ a->w[3];
}

/* 16 bits for the address filter. */
static __always_inline __u32 hash_filter(__u32 word)
{
	__u32 h = word * 0x9E3779B1u;

	h ^= h >> 15;
	h *= 0x85EBCA77u;
	return h >> 16;
}

/* 32 bits for the connection table; the seed differs per namespace, so that a
 * client cannot aim its ports at one bucket.
 */
static __always_inline __u32 hash_conn(__u32 address, __u32 port_and_protocol, __u32 seed)
{
	__u32 h = (address ^ seed) * 0x9E3779B1u;

	h ^= h >> 15;
	h += port_and_protocol;
	h *= 0x85EBCA77u;
	h ^= h >> 13;
	h *= 0xC2B2AE3Du;
	h ^= h >> 16;
	return h;
}

#endif
