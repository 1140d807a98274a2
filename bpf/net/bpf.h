/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every program here starts from: kernel headers, helpers, the few macros
 * that C lacks.
 */
#ifndef NET_BPF_H
#define NET_BPF_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define READ_ONCE(x) (*(volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile typeof(x) *)&(x) = (value))

/* Makes the compiler forget what it knows of x. Used where clang would move
 * pointer arithmetic above the check that makes it safe.
 */
#define opaque(x) asm volatile("" : "+r"(x))

/* Orders loads through `pointer` after the load that gave `value`: the address
 * depends on the value, which every CPU respects without a barrier.
 */
#define ordered_after(pointer, value)                         \
	({                                                    \
		__u64 zero_ = (value);                        \
		asm volatile("%0 &= 0" : "+r"(zero_));        \
		(typeof(pointer))((void *)(pointer) + zero_); \
	})

/* Zero, which the verifier must not know. Before Linux 6.8 it walks the function of a
 * bpf_loop once, with what the context holds before the first round, and takes out the
 * branches that this makes look dead: a `found` that starts as 0 stays 0 for good. So
 * whatever a round reads of what earlier ones wrote starts as this.
 */
static __always_inline __u32 unknown_zero(void)
{
	return (__s32)bpf_get_smp_processor_id() >> 31;
}

#define cmpxchg(target, old, new) __sync_val_compare_and_swap((target), (old), (new))
#define xchg(target, value) __sync_lock_test_and_set((target), (value))
#define fetch_add(target, value) __sync_fetch_and_add((target), (value))

/* Both families in one shape; an IPv4 address uses the first word. */
union addr {
	__be32 v4;
	__be32 w[4];
};

static __always_inline int addr_equal(const __u8 family, const union addr *a, const union addr *b)
{
	if (family == 4)
		return a->v4 == b->v4;
	return a->w[0] == b->w[0] && a->w[1] == b->w[1] && a->w[2] == b->w[2] && a->w[3] == b->w[3];
}

static __always_inline int mac_equal(const void *a, const void *b)
{
	return *(const __u32 *)a == *(const __u32 *)b &&
	       ((const __u16 *)a)[2] == ((const __u16 *)b)[2];
}

#endif
