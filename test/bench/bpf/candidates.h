/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is measured by test run, on either hook: the data path itself, and next to it
 * the operations it is compared with. Each program does LOOP packets per run, because
 * the kernel tells the duration of a run in whole nanoseconds.
 *
 * The includer defines DATA_PATH(ctx), ctx_grow(ctx, bytes) and HOOK, the section.
 */
#ifndef BENCH_CANDIDATES_H
#define BENCH_CANDIDATES_H

#include "flows.h"

#define LOOP 16

struct flow_key {
	__be32 client, vip;
	__u32 ports;
	__u32 protocol;
};

/* Small values, so that a lookup costs as little as a hash map can ask. */
#define FLOW_HASH(name, entries)                 \
	struct {                                 \
		__uint(type, BPF_MAP_TYPE_HASH); \
		__uint(max_entries, entries);    \
		__type(key, struct flow_key);    \
		__type(value, __u64);            \
	} name SEC(".maps")

FLOW_HASH(hash_1k, 1 << 10);
FLOW_HASH(hash_64k, 1 << 16);
FLOW_HASH(hash_1m, 1 << 20);
FLOW_HASH(hash_pairs, 1 << 20);
FLOW_HASH(hash_turns, 1 << 20);

static __always_inline int flow_key_of(ctx_t *ctx, struct flow_key *key)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct iphdr *iph = data + ETH_HLEN;

	if ((void *)(iph + 1) + 4 > data_end)
		return 0;
	key->client = iph->saddr;
	key->vip = iph->daddr;
	key->ports = *(__u32 *)(iph + 1);
	key->protocol = iph->protocol;
	return 1;
}

/* Nothing at all: what the packets themselves cost. */
static __noinline int do_nothing(ctx_t *ctx, struct bench *b)
{
	opaque(b);
	return 0;
}

/* Room in front of the packet, which the frame loses again like an encapsulated one. */
static __noinline int do_grow(ctx_t *ctx, struct bench *b)
{
	if (ctx_grow(ctx, sizeof(struct iphdr)))
		b->misses++;
	return 0;
}

#define HASH_CANDIDATES(name)                                              \
	static __noinline int lookup_##name(ctx_t *ctx, struct bench *b)   \
	{                                                                  \
		struct flow_key key;                                       \
		__u64 *value;                                              \
                                                                           \
		if (!flow_key_of(ctx, &key))                               \
			return 0;                                          \
		value = bpf_map_lookup_elem(&name, &key);                  \
		if (value)                                                 \
			b->read = *value;                                  \
		else                                                       \
			b->misses++;                                       \
		return 0;                                                  \
	}                                                                  \
	static __noinline int fill_##name(ctx_t *ctx, struct bench *b)     \
	{                                                                  \
		struct flow_key key;                                       \
		__u64 value = 1;                                           \
                                                                           \
		if (!flow_key_of(ctx, &key))                               \
			return 0;                                          \
		if (bpf_map_update_elem(&name, &key, &value, BPF_NOEXIST)) \
			b->misses++;                                       \
		return 0;                                                  \
	}

HASH_CANDIDATES(hash_1k)
HASH_CANDIDATES(hash_64k)
HASH_CANDIDATES(hash_1m)

static __noinline int insert_and_delete(ctx_t *ctx, struct bench *b)
{
	struct flow_key key;
	__u64 value = 1;

	if (!flow_key_of(ctx, &key))
		return 0;
	if (bpf_map_update_elem(&hash_pairs, &key, &value, BPF_NOEXIST) ||
	    bpf_map_delete_elem(&hash_pairs, &key))
		b->misses++;
	return 0;
}

/* Inserts the flow and deletes the one half a table earlier: a hash map that is in
 * use, and half full.
 */
static __noinline int turn_over(ctx_t *ctx, struct bench *b)
{
	struct flow_key key;
	__u64 value = 1;

	if (!flow_key_of(ctx, &key))
		return 0;
	if (bpf_map_update_elem(&hash_turns, &key, &value, BPF_NOEXIST))
		b->misses++;
	key.client = bpf_htonl(bpf_ntohl(key.client) - (1 << 19) / FLOWS_PER_CLIENT);
	bpf_map_delete_elem(&hash_turns, &key);
	return 0;
}

/* The line of the connection table where the flow's search begins. */
static __noinline int read_line(ctx_t *ctx, struct bench *b)
{
	union addr client = {};
	struct flow_key key;
	struct conn *lines;
	__u32 hash;

	if (!flow_key_of(ctx, &key))
		return 0;
	client.v4 = key.client;
	hash = conn_hash(4, &client, key.ports, key.protocol);
	lines = conn_bucket(4, conn_main_bucket(4, hash));
	if (lines)
		b->read = READ_ONCE(lines[hash & 7].word);
	return 0;
}

static __always_inline int path(ctx_t *ctx, struct bench *b)
{
	return DATA_PATH(ctx);
}

#define CANDIDATE(name, candidate)                                                    \
	SEC(HOOK)                                                                     \
	int name(ctx_t *ctx)                                                          \
	{                                                                             \
		struct bench *b = bench_get();                                        \
		int i, action = -1;                                                   \
		__u32 flow, length;                                                   \
                                                                                      \
		if (!b)                                                               \
			return -1;                                                    \
		for (i = 0; i < LOOP; i++) {                                          \
			if (!flow_make(ctx, b, &flow))                                \
				return -1;                                            \
			action = candidate(ctx, b);                                   \
			if (b->keep)                                                  \
				break;                                                \
			length = ctx_length(ctx);                                     \
			if (length != b->length && ctx_grow(ctx, b->length - length)) \
				return -1;                                            \
		}                                                                     \
		return action;                                                        \
	}

CANDIDATE(run_path, path)
CANDIDATE(run_nothing, do_nothing)
CANDIDATE(run_grow, do_grow)
CANDIDATE(run_hash_1k, lookup_hash_1k)
CANDIDATE(run_hash_64k, lookup_hash_64k)
CANDIDATE(run_hash_1m, lookup_hash_1m)
CANDIDATE(fill_1k, fill_hash_1k)
CANDIDATE(fill_64k, fill_hash_64k)
CANDIDATE(fill_1m, fill_hash_1m)
CANDIDATE(run_pair, insert_and_delete)
CANDIDATE(run_turnover, turn_over)
CANDIDATE(run_line, read_line)

#endif
