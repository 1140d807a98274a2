/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Internet checksums (RFC 1071) and their incremental update (RFC 1624, eqn. 3). */
#ifndef NET_CSUM_H
#define NET_CSUM_H

#include "bpf.h"

static __always_inline __u16 csum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* What replacing `old` by `new` adds to a sum. */
static __always_inline __u64 csum_change(__u32 old, __u32 new)
{
	return (__u64)(__u32)~old + new;
}

static __always_inline __u64 csum_change_addr(const __u8 family, const union addr *old,
					      const union addr *new)
{
	__u64 sum = csum_change(old->w[0], new->w[0]);

	if (family == 6) {
		sum += csum_change(old->w[1], new->w[1]);
		sum += csum_change(old->w[2], new->w[2]);
		sum += csum_change(old->w[3], new->w[3]);
	}
	return sum;
}

/* The checksum after a change. */
static __always_inline __u16 csum_apply(__u16 check, __u64 change)
{
	return ~csum_fold((__u64)(__u16)~check + change);
}

/* Sum of an IPv4 header without options, its checksum field included; a right
 * header gives 0xffff.
 */
static __always_inline __u16 csum_ip4(const struct iphdr *iph)
{
	const __u32 *words = (const void *)iph;

	return csum_fold((__u64)words[0] + words[1] + words[2] + words[3] + words[4]);
}

#endif
