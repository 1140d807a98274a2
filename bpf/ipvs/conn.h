/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Connection table: find, refresh, kill. Creation is in conn_new.h.
 *
 * One entry serves both directions, because the bucket is chosen by the client's
 * address and port alone: a packet to a VIP looks under its source, one from a real
 * server under its destination. A bucket is eight cache lines; when they are full,
 * `link` in the first names a spare bucket of the same array. Entries never move.
 *
 * One 64-bit word rules an entry's life: generation, flags, state, life. Whoever
 * changes the word by compare-and-swap, and only that one, accounts for the change,
 * so counters never drift. A reader takes the word, then the key, then what it
 * needs, then the word again: another generation means the line was recycled and
 * nothing of it counts.
 *
 * Twin: src/ipvs/conn.ts. Rules: ip_vs_conn.c
 */
#ifndef IPVS_CONN_H
#define IPVS_CONN_H

#include "../net/hash.h"
#include "../net/packet.h"
#include "dest.h"
#include "proto.h"

/* Tests look here into the windows between two steps: they count how often each was
 * entered and make it last longer. Nothing in the programs that forward.
 */
#ifndef CONN_EVENT
#define CONN_EVENT(event)
#endif

/* Main buckets first, spare ones behind. Written by packets and the sweeper, read
 * by listings through the mapping. Sized at load: 1.5 lines per connection.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bucket4);
} conns4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bucket6);
} conns6 SEC(".maps");

#define WORD(gen, flags, state, life)                                         \
	((__u64)(gen) << WORD_GEN_SHIFT | (__u64)(flags) << WORD_FLAG_SHIFT | \
	 (state) << WORD_STATE_SHIFT | (life))

static __always_inline __u32 word_gen(__u64 word)
{
	return word >> WORD_GEN_SHIFT;
}

static __always_inline __u32 word_flags(__u64 word)
{
	return (__u32)word >> WORD_FLAG_SHIFT;
}

static __always_inline __u32 word_state(__u64 word)
{
	return (__u32)word >> WORD_STATE_SHIFT & 15;
}

static __always_inline __u32 word_life(__u64 word)
{
	return (__u32)word & 15;
}

/* Links: low half = spare bucket + 1, 0 = none. */
#define LINK_CLOSING (1ull << 32) /* the sweeper is about to take the bucket out */
#define LINK_DEAD (1ull << 33) /* on the bucket being taken out: append nothing */
#define LINK_MARK_SHIFT 34 /* with DEAD, until the bucket is on the stack: whose mark it is */

static __always_inline __u32 link_bucket(__u64 link)
{
	return (__u32)link;
}

static __always_inline __u32 conn_buckets(const __u8 family)
{
	return family == 4 ? cfg_buckets4 : cfg_buckets6;
}

static __always_inline __u32 conn_spares(const __u8 family)
{
	return family == 4 ? cfg_spares4 : cfg_spares6;
}

/* The first of a bucket's eight lines. */
static __always_inline struct conn *conn_bucket(const __u8 family, __u32 bucket)
{
	if (family == 4) {
		struct conn *lines = bpf_map_lookup_elem(&conns4, &bucket);

		/* Or clang makes one call of both, with a map chosen at run time, and
		 * the kernel cannot put the look-up in line.
		 */
		opaque(lines);
		return lines;
	}
	return bpf_map_lookup_elem(&conns6, &bucket);
}

/* The whole addresses of an IPv6 entry; `slot` is its line in the bucket. */
static __always_inline struct conn_addrs *conn_addrs(struct conn *lines, __u32 slot)
{
	return &((struct bucket6 *)lines)->addrs[slot & 7];
}

static __always_inline __u32 conn_hash(const __u8 family, const union addr *client, __be16 port,
				       __u8 protocol)
{
	return hash_conn(addr_fold(family, client), port | (__u32)protocol << 16, cfg_hash_seed);
}

static __always_inline __u32 conn_main_bucket(const __u8 family, __u32 hash)
{
	return (__u64)hash * conn_buckets(family) >> 32;
}

/* What is looked for: both sides of the packet as the entry holds them. For DIR_IN
 * `far` is the VIP, for DIR_OUT it is the packet's source, which must be the real
 * server for masquerading and the VIP for everything else.
 */
struct conn_key {
	union addr client, far;
	__u32 ports; /* the client's | the other's << 16, network order */
	__u8 protocol;
	__u8 pad[3];
};

static __always_inline void conn_key_of(const __u8 family, const struct packet *p,
					const enum direction dir, struct conn_key *key)
{
	key->client = dir == DIR_IN ? p->src : p->dst;
	key->far = dir == DIR_IN ? p->dst : p->src;
	key->ports = dir == DIR_IN ? p->ports : p->ports << 16 | p->ports >> 16;
	key->protocol = p->protocol;
}

/* Does the line hold what the key asks for? Says nothing of its life. Differences
 * are collected and tested once, so that a line costs one branch. Of an IPv6
 * address the last word stands in the line, the rest is compared on a match.
 */
static __always_inline int conn_matches(const __u8 family, const enum direction dir,
					struct conn *lines, __u32 slot, const struct conn_key *key)
{
	struct conn *conn = &lines[slot & 7];
	const __u32 last = family == 4 ? 0 : 3;
	__u64 differ = conn->caddr ^ key->client.w[last];
	__u32 masq, far, port;

	differ |= conn->protocol ^ key->protocol;
	if (dir == DIR_IN) {
		differ |= conn->vaddr ^ key->far.w[last];
		differ |= *(__u32 *)&conn->cport ^ key->ports;
	} else {
		masq = (__u32)conn->fwd - 1; /* all ones for FWD_MASQ, which is 0 */
		masq = (__s32)masq >> 31;
		opaque(masq); /* or clang would branch on it */
		far = conn->vaddr ^ ((conn->vaddr ^ conn->daddr) & masq);
		port = conn->vport ^ ((conn->vport ^ conn->dport) & masq);
		differ |= far ^ key->far.w[last];
		differ |= (conn->cport | port << 16) ^ key->ports;
	}
	opaque(differ);
	if (differ)
		return 0;
	if (family == 6) {
		struct conn_addrs *addrs = conn_addrs(lines, slot);
		__u32 at = dir == DIR_OUT && !conn->fwd ? offsetof(struct conn_addrs, daddr)
							: offsetof(struct conn_addrs, vaddr);

		opaque(at);
		return addr_equal(6, (void *)addrs->caddr, &key->client) &&
		       addr_equal(6, (void *)addrs + (at & 32 ? 32 : 16), &key->far);
	}
	return 1;
}

struct conn_walk {
	const struct conn_key *key;
	__u32 bucket;
	__u32 found; /* line + 1 */
	__u32 flags; /* what the flags must be, as far as SHADOW goes */
};

/* One bucket of a chain. The loop only leaves: with anything to remember from line
 * to line the verifier would follow every combination.
 */
static __always_inline long conn_walk_bucket(const __u8 family, const enum direction dir,
					     struct conn_walk *walk)
{
	struct conn *lines = conn_bucket(family, walk->bucket);
	__u64 word;
	__u32 next;
	int i;

	if (!lines)
		return 1;
	for (i = 0; i < BUCKET_LINES; i++) {
		word = READ_ONCE(lines[i].word);
		if (word_life(word) != LIFE_LIVE ||
		    (dir == DIR_OUT && (word_flags(word) ^ walk->flags) & CONN_F_SHADOW) ||
		    !conn_matches(family, dir, ordered_after(lines, word), i, walk->key))
			continue;
		walk->found = walk->bucket * BUCKET_LINES + i + 1;
		return 1;
	}
	next = link_bucket(READ_ONCE(lines->link));
	if (!next)
		return 1;
	walk->bucket = conn_buckets(family) + next - 1;
	return 0;
}

/* Looks through a whole chain. Returns line + 1, or 0. A reply prefers the entry
 * that no newer one hides, and takes a hidden one when the newer is gone.
 */
#define CONN_WALK(name, family, dir)                                           \
	static long name##_step(__u32 round, struct conn_walk *walk)           \
	{                                                                      \
		return conn_walk_bucket(family, dir, walk);                    \
	}                                                                      \
	static __noinline __u32 name(const struct conn_key *key, __u32 bucket) \
	{                                                                      \
		struct conn_walk walk = { .key = key, .bucket = bucket };      \
                                                                               \
		bpf_loop(1 + MAX_CHAIN, name##_step, &walk, 0);                \
		if (dir == DIR_IN || walk.found)                               \
			return walk.found;                                     \
		walk.bucket = bucket;                                          \
		walk.flags = CONN_F_SHADOW;                                    \
		bpf_loop(1 + MAX_CHAIN, name##_step, &walk, 0);                \
		return walk.found;                                             \
	}

CONN_WALK(conn_walk_in4, 4, DIR_IN)
CONN_WALK(conn_walk_out4, 4, DIR_OUT)
CONN_WALK(conn_walk_in6, 6, DIR_IN)
CONN_WALK(conn_walk_out6, 6, DIR_OUT)

static __always_inline __u32 conn_walk(const __u8 family, const enum direction dir,
				       const struct conn_key *key, __u32 bucket)
{
	if (family == 4)
		return dir == DIR_IN ? conn_walk_in4(key, bucket) : conn_walk_out4(key, bucket);
	return dir == DIR_IN ? conn_walk_in6(key, bucket) : conn_walk_out6(key, bucket);
}

/* An entry that was found: where it is, and its word at that moment. */
struct conn_ref {
	struct conn *conn;
	struct conn_addrs *addrs; /* IPv6 only */
	__u64 word;
	__u32 line;
};

/* The live entry for a key, or 0. Nearly always it is in the first lines looked at:
 * the loop only ever leaves, everything rare is conn_walk's.
 */
static __always_inline int conn_lookup(const __u8 family, const enum direction dir,
				       const struct conn_key *key, struct conn_ref *ref)
{
	__u32 hash = conn_hash(family, &key->client, key->ports, key->protocol);
	__u32 bucket = conn_main_bucket(family, hash);
	__u32 home = hash & 7, slot, line;
	struct conn *lines = conn_bucket(family, bucket);
	__u64 word;
	int i;

	if (!lines)
		return 0;
#pragma unroll
	for (i = 0; i < BUCKET_LINES; i++) {
		slot = (home ^ i) & 7;
		if (conn_matches(family, dir, lines, slot, key))
			goto candidate;
	}
	if (likely(!READ_ONCE(lines->link)))
		return 0;
	goto walk;

candidate:
	CONN_EVENT(MATCHED);
	/* The key may have been read from a line that is being filled or that died:
	 * take the word now and compare once more behind it.
	 */
	word = READ_ONCE(lines[slot].word);
	if (word_life(word) == LIFE_LIVE && !(dir == DIR_OUT && word_flags(word) & CONN_F_SHADOW) &&
	    conn_matches(family, dir, ordered_after(lines, word), slot, key)) {
		line = bucket * BUCKET_LINES + slot;
		goto found;
	}
walk:
	CONN_EVENT(WALKED);
	line = conn_walk(family, dir, key, bucket);
	if (!line)
		return 0;
	line--;
	bucket = line / BUCKET_LINES;
	slot = line % BUCKET_LINES;
	lines = conn_bucket(family, bucket);
	if (!lines)
		return 0;
	word = READ_ONCE(lines[slot].word);
	if (word_life(word) != LIFE_LIVE ||
	    !conn_matches(family, dir, ordered_after(lines, word), slot, key))
		return 0;
found:
	ref->conn = &lines[slot];
	ref->addrs = family == 6 ? conn_addrs(lines, slot) : NULL;
	ref->word = word;
	ref->line = line;
	return 1;
}

/* True while the line still holds the entry that was found. */
static __always_inline int conn_is_same(const struct conn_ref *ref)
{
	return word_gen(READ_ONCE(ref->conn->word)) == word_gen(ref->word);
}

static __always_inline __u64 conn_when(__u32 now, __u32 timeout)
{
	return (__u64)timeout << 32 | now;
}

static __always_inline int conn_is_expired(__u64 when, __u32 now)
{
	return now - (__u32)when >= (__u32)(when >> 32) && (__s32)(now - (__u32)when) >= 0;
}

/* Ends an entry. Of several that try, one wins and takes it off its dest. */
static __always_inline int conn_kill(struct conn *conn, __u64 word)
{
	struct dest *dest;

	if (cfg_dry)
		return 1;
	dest = dest_get(READ_ONCE(conn->dest));
	CONN_EVENT(KILLING);
	if (cmpxchg(&conn->word, word, WORD(word_gen(word), 0, 0, LIFE_FREE)) != word)
		return 0;
	CONN_EVENT(KILLED);
	if (dest)
		dest_unbind(dest, !(word_flags(word) & CONN_F_INACTIVE));
	return 1;
}

/* Ends the entry that was found, whatever other packets do to its state meanwhile. */
static __always_inline void conn_end(struct conn_ref *ref)
{
	__u64 word = ref->word;
	int i;

	for (i = 0; i < 4; i++) {
		if (conn_kill(ref->conn, word))
			return;
		word = READ_ONCE(ref->conn->word);
		if (word_gen(word) != word_gen(ref->word) || word_life(word) != LIFE_LIVE)
			return;
	}
}

/* One try to move an entry on. Returns the word found instead, or `word` when it was
 * still that. A dest gains its active connection before the word says so and loses
 * it after: it may look busier than it is for an instant, never idler.
 */
static __always_inline __u64 conn_step(struct conn *conn, __u64 word, __u64 next, struct dest *dest)
{
	const __u64 inactive = (__u64)CONN_F_INACTIVE << WORD_FLAG_SHIFT;
	const __s32 gain = dest && word & ~next & inactive, loss = dest && next & ~word & inactive;
	__u64 seen;

	if (gain)
		fetch_add(&dest->active, 1);
	CONN_EVENT(STEPPING);
	seen = cmpxchg(&conn->word, word, next);
	if (seen == word ? loss : gain)
		fetch_add(&dest->active, -1);
	return seen;
}

static __always_inline void conn_stamp(struct conn *conn, __u32 now, __u32 timeout)
{
	__u64 when = conn_when(now, timeout);

	if (READ_ONCE(conn->when) != when)
		WRITE_ONCE(conn->when, when);
}

/* The packet's step on an existing entry, and its timer. Returns 0 when the entry
 * died under us. Another packet may change the state between our look and our swap;
 * then ours starts from there, four times at most.
 */
static __always_inline int conn_advance(const struct config *cfg, const struct packet *p,
					enum direction dir, struct conn_ref *ref, struct dest *dest,
					__u32 now)
{
	__u64 word = ref->word, next, seen;
	struct step step;
	int i;

	if (unlikely(p->short_header)) {
		/* No step without a whole header; the timer starts again all the same. */
		if (!cfg_dry)
			conn_stamp(ref->conn, now, READ_ONCE(ref->conn->when) >> 32);
		return 1;
	}
	proto_step(cfg, p, dir, word_state(word), word_flags(word), &step);
	next = WORD(word_gen(word), step.flags, step.state, LIFE_LIVE);
	trace(TRACE_STATE, word_state(word), step.state, step.timeout);
	if (cfg_dry)
		return 1;
	for (i = 0; unlikely(next != word) && i < 4; i++) {
		seen = conn_step(ref->conn, word, next, dest);
		if (seen == word)
			break;
		if (word_gen(seen) != word_gen(word) || word_life(seen) != LIFE_LIVE)
			return 0;
		word = seen;
		proto_step(cfg, p, dir, word_state(word), word_flags(word), &step);
		next = WORD(word_gen(word), step.flags, step.state, LIFE_LIVE);
	}
	conn_stamp(ref->conn, now, step.timeout);
	return 1;
}

#endif
