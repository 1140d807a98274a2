/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Next hops: where a packet leaves and to which MAC address.
 *
 * The kernel's routes and neighbours answer (bpf_fib_lookup); nothing is configured
 * here. An answer becomes a hop that never changes and gets a number; dests and
 * connections keep the number and the half second in which they got it, and ask
 * again in the next one. So a route or neighbour that changes takes effect within a
 * second, without any process, and a packet usually pays two loads.
 */
#ifndef IPVS_HOP_H
#define IPVS_HOP_H

#include "../net/packet.h"
#include "config.h"
#include "trace.h"

#define AF_INET 2
#define AF_INET6 10
#define LOOPBACK_IFINDEX 1
#define FIB_LOOKUP_SRC (1u << 4) /* Linux 6.7 */

/* Hops by number, each written once before its number is given out. The last one
 * is not shared: it serves packets when all numbers are taken.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_HOPS);
	__type(key, __u32);
	__type(value, struct hop);
} hops SEC(".maps");

/* Number by content. Packets add, nobody deletes. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_HOPS);
	__type(key, struct hop);
	__type(value, __u32);
} hop_ids SEC(".maps");

/* When the neighbour layer last heard of a hop's use, by the hop's number; see
 * hop_wants_check. Packets write.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_HOPS);
	__type(key, __u32);
	__type(value, __u32);
} hop_checks SEC(".maps");

/* Where an answer is put together, and the hop of a packet for which no number is
 * left. On the stack it would be too much for 6.1, which adds up all frames.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hop);
} hop_scratch SEC(".maps");

/* Devices by interface index: MAC address, what XDP may do there. Written by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_DEVICES);
	__type(key, __u32);
	__type(value, struct device);
} devices SEC(".maps");

/* Answers of hop_route that are not a hop's number. */
enum route {
	ROUTE_UNCACHED = 0, /* the hop is in hop_scratch */
	ROUTE_LOCAL = 1 << 16, /* an own address, or no route at all */
	ROUTE_NONE = 2 << 16,
};

static __always_inline struct device *device_get(__u32 ifindex)
{
	return bpf_map_lookup_elem(&devices, &ifindex);
}

static __always_inline __u32 hop_second(__u32 now)
{
	return now >> cfg_hop_shift & 0xffff;
}

/* The number of a hop, made on first sight. Two CPUs that make the same one both
 * find the first's afterwards; a number is lost then, no more.
 */
static __always_inline __u32 hop_number(struct config *cfg, const struct hop *hop)
{
	__u32 *found = bpf_map_lookup_elem(&hop_ids, hop);
	struct hop *slot;
	__u32 number;

	if (found)
		return *found;
	if (READ_ONCE(cfg->hops) >= MAX_HOPS - 2)
		return 0;
	number = fetch_add(&cfg->hops, 1) + 1;
	if (number >= MAX_HOPS - 1)
		return 0;
	slot = bpf_map_lookup_elem(&hops, &number);
	if (!slot)
		return 0;
	*slot = *hop;
	if (bpf_map_update_elem(&hop_ids, hop, &number, BPF_NOEXIST)) {
		found = bpf_map_lookup_elem(&hop_ids, hop);
		return found ? *found : 0;
	}
	return number;
}

/* Asks the kernel for the way to `to`. As if from the loopback device: that is how
 * locally generated traffic is routed, which is what IPVS does, and it works with
 * ip_forward off on the other devices. `source` is the source address to route by,
 * or zero, and gets the one the kernel would send from where it can tell.
 */
__noinline __u32 hop_route(ctx_t *ctx, __u32 family, const union addr *to, union addr *source)
{
	struct bpf_fib_lookup fib = {};
	struct config *cfg = config_get();
	struct device *device;
	__u32 zero = 0, number, told[4];
	struct hop *hop = bpf_map_lookup_elem(&hop_scratch, &zero);
	long result;

	if (!cfg || !to || !source || !hop)
		return ROUTE_NONE;
	__builtin_memset(hop, 0, sizeof(*hop));
	fib.family = family == 4 ? AF_INET : AF_INET6;
	fib.tot_len = 1; /* not 0: asks for the MTU of the route */
	fib.ifindex = LOOPBACK_IFINDEX;
	__builtin_memcpy(fib.ipv6_src, source, 16);
	__builtin_memcpy(fib.ipv6_dst, to, 16);
	result = bpf_fib_lookup(ctx, &fib, sizeof(fib), cfg_fib_src ? FIB_LOOKUP_SRC : 0);
	hop->ifindex = fib.ifindex;
	hop->family = fib.family == AF_INET ? 4 : 6;
	if (hop->family == 4)
		__builtin_memcpy(hop->via, &fib.ipv4_dst, 4);
	else
		__builtin_memcpy(hop->via, fib.ipv6_dst, 16);
	__builtin_memcpy(told, fib.ipv6_src, 16);
	if (result == BPF_FIB_LKUP_RET_SUCCESS) {
		hop->mtu = fib.mtu_result;
		__builtin_memcpy(hop->dmac, fib.dmac, 6);
		__builtin_memcpy(hop->smac, fib.smac, 6);
		hop->flags = HOP_F_MAC;
	} else if (result == BPF_FIB_LKUP_RET_NO_NEIGH) {
		/* Before 6.3 the MTU is not told without a neighbour; a packet too
		 * big for any device gets it.
		 */
		__builtin_memset(&fib, 0, sizeof(fib));
		__builtin_memcpy(fib.ipv6_src, source, 16);
		fib.family = family == 4 ? AF_INET : AF_INET6;
		fib.tot_len = 0xffff;
		fib.ifindex = LOOPBACK_IFINDEX;
		__builtin_memcpy(fib.ipv6_dst, to, 16);
		hop->mtu = 0xffff;
		if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) == BPF_FIB_LKUP_RET_FRAG_NEEDED)
			hop->mtu = fib.mtu_result;
	} else {
		trace(TRACE_HOP, 0, result, 0);
		return result == BPF_FIB_LKUP_RET_NOT_FWDED ? ROUTE_LOCAL : ROUTE_NONE;
	}
	if (cfg_fib_src)
		__builtin_memcpy(source, told, 16);
	device = device_get(hop->ifindex);
	if (device && device->flags & DEVICE_F_XDP_TX)
		hop->flags |= HOP_F_XDP;
	if (cfg_dry) {
		struct explanation *e = explanation_get();

		if (e)
			e->way = *hop;
		trace(TRACE_HOP, hop->ifindex, result, hop->mtu);
		return ROUTE_UNCACHED;
	}
	number = hop_number(cfg, hop);
	return number ? number : ROUTE_UNCACHED;
}

/* A hop by what hop_route or a cache said. */
static __always_inline struct hop *hop_get(__u32 number)
{
	__u32 zero = 0;

	if (likely(number)) {
		struct hop *hop = bpf_map_lookup_elem(&hops, &number);

		opaque(hop); /* keeps the look-ups apart, as in conn_bucket */
		return hop;
	}
	if (cfg_dry) {
		struct explanation *e = explanation_get();

		return e ? &e->way : NULL;
	}
	return bpf_map_lookup_elem(&hop_scratch, &zero);
}

/* Half seconds or seconds between two packets that XDP leaves to tc for the sake of
 * their neighbour: about as long as the kernel believes one without a check.
 */
#define HOP_CHECK_EVERY 32

/* XDP sends without the neighbour layer, which checks neighbours in use only: one that
 * got another MAC address without saying so would be missed for ever. So now and then
 * a packet goes by tc. Not where a test sets the clock: it wants to know who forwards.
 */
static __always_inline int hop_wants_check(__u32 number)
{
	__u32 *checked = bpf_map_lookup_elem(&hop_checks, &number);
	__u32 now = bpf_jiffies64() >> cfg_hop_shift, last;

	if (!checked || cfg_test_clock)
		return 0;
	last = READ_ONCE(*checked);
	if (likely(last && now - last < HOP_CHECK_EVERY))
		return 0;
	/* One packet is enough; a new hop was just looked up. */
	return cmpxchg(checked, last, now ? now : 1) == last && last;
}

/* The same through a cache word: number << 16 | second. Returns a number or a ROUTE_*. */
static __always_inline __u32 hop_cached(ctx_t *ctx, const __u8 family, const union addr *to,
					__u32 *cache, __u32 now, union addr *source)
{
	__u32 word = READ_ONCE(*cache);
	__u32 number;

	if (likely(!cfg_dry && word >> 16 && (word & 0xffff) == hop_second(now)))
		return word >> 16;
	number = hop_route(ctx, family, to, source);
	if (CTX_IS_XDP && !cfg_dry && number && number < ROUTE_LOCAL && hop_wants_check(number))
		return ROUTE_NONE;
	if (!cfg_dry && number < ROUTE_LOCAL)
		WRITE_ONCE(*cache, number << 16 | hop_second(now));
	return number;
}

#endif
