/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Connection table: creation without locks.
 *
 * Claim a free line, fill it, publish it as PENDING, look through the chain for a
 * twin, then make it LIVE. Two CPUs that create the same connection both see the
 * other's published line; the lower line number wins, and takes the higher one's
 * chance away by moving it to ABORT before it can become LIVE. Only its owner
 * frees a line that lost. Tried without the ABORT step, duplicates are left.
 *
 * A full bucket gets a spare one linked behind it; when there are no spares the
 * bucket itself gives up an entry by the kernel's drop_entry rules, or refuses.
 * The sweeper takes empty spare buckets out again: it marks the link to them
 * CLOSING and looks once more, and who claims a line looks at the links once more.
 * One of the two sees the other.
 */
#ifndef IPVS_CONN_NEW_H
#define IPVS_CONN_NEW_H

#include "conn.h"

/* Free spare buckets: those never used (`used` counts up), then a stack whose head
 * carries a tag against reuse between load and swap. Entry 0: IPv4, 1: IPv6.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct spares);
} spare_buckets SEC(".maps");

/* A connection to be. Filled by the scheduler, changed to the winner's data when a
 * twin was faster.
 */
struct conn_new {
	union addr caddr, vaddr, daddr;
	__be16 cport, vport, dport;
	__u8 protocol;
	__u8 fwd;
	__u8 state;
	__u8 flags; /* CONN_F_* */
	__u32 dest;
	__u32 fwmark;
	__u32 now;
	__u32 timeout;
};

enum created {
	CREATED,
	CREATED_TWIN, /* another CPU did; use its dest */
	CREATED_FULL,
	CREATED_BUSY, /* lost a race that the next packet will win */
};

struct claim {
	__u32 family;
	__u32 bucket;
	__u32 home;
	__u32 line; /* claimed line + 1 */
	__u32 tail; /* last bucket of the chain + 1, when all lines are taken */
	__u32 dead;
	__u32 longest; /* the chain may not grow */
};

static long claim_step(__u32 round, struct claim *claim)
{
	__u32 slot = (claim->home ^ round) & 7; /* eight rounds a bucket */
	struct conn *lines = conn_bucket(claim->family, claim->bucket);
	__u64 word, link;

	if (!lines)
		return 1;
	word = READ_ONCE(lines[slot].word);
	if (word_life(word) == LIFE_FREE &&
	    cmpxchg(&lines[slot].word, word, WORD(word_gen(word) + 1, 0, 0, LIFE_INIT)) == word) {
		claim->line = claim->bucket * BUCKET_LINES + slot + 1;
		return 1;
	}
	if ((round & 7) != 7)
		return 0;
	link = READ_ONCE(lines->link);
	if (!link_bucket(link)) {
		claim->tail = claim->bucket + 1;
		claim->dead = !!(link & LINK_DEAD);
		claim->longest = round >= MAX_CHAIN * BUCKET_LINES;
		return 1;
	}
	claim->bucket = conn_buckets(claim->family) + link_bucket(link) - 1;
	return 0;
}

static __always_inline struct spares *spares_get(__u32 family)
{
	__u32 key = family == 4 ? 0 : 1;

	return bpf_map_lookup_elem(&spare_buckets, &key);
}

/* Gives a bucket back. Its link holds the next free one, as bucket + 1, and stays
 * DEAD: whoever still stands in the bucket must not append to it.
 */
__noinline int spare_push(__u32 family, __u32 spare)
{
	struct conn *lines = conn_bucket(family, conn_buckets(family) + spare);
	struct spares *spares = spares_get(family);
	__u64 head, next;
	int i;

	if (!lines || !spares)
		return 0;
	for (i = 0; i < 16; i++) {
		head = READ_ONCE(spares->head);
		WRITE_ONCE(lines->link, LINK_DEAD | (__u32)head);
		next = ((head >> 32) + 1) << 32 | (spare + 1);
		CONN_EVENT(PUSHING);
		if (cmpxchg(&spares->head, head, next) == head)
			return 1;
	}
	return 0; /* lost until the table is empty and rebuilt; 16 lost races in a row */
}

/* Returns a spare bucket + 1, or 0 when there is none. */
__noinline __u32 spare_pop(__u32 family)
{
	struct spares *spares = spares_get(family);
	struct conn *lines;
	__u64 head, next;
	__u32 spare;
	int i;

	if (!spares)
		return 0;
	for (i = 0; i < 16; i++) {
		head = READ_ONCE(spares->head);
		spare = (__u32)head;
		if (!spare)
			break;
		lines = conn_bucket(family, conn_buckets(family) + spare - 1);
		if (!lines)
			return 0;
		next = ((head >> 32) + 1) << 32 | (__u32)READ_ONCE(lines->link);
		CONN_EVENT(POPPING);
		if (cmpxchg(&spares->head, head, next) == head) {
			WRITE_ONCE(lines->link, 0);
			return spare;
		}
	}
	if (READ_ONCE(spares->used) >= conn_spares(family))
		return 0;
	spare = fetch_add(&spares->used, 1);
	return spare < conn_spares(family) ? spare + 1 : 0;
}

/* Appends a spare bucket to the chain that ends at `tail`. */
__noinline int conn_extend(__u32 family, __u32 tail)
{
	__u32 spare = spare_pop(family);
	struct conn *lines;

	if (!spare)
		return 0;
	lines = conn_bucket(family, tail);
	CONN_EVENT(EXTENDING);
	if (lines && cmpxchg(&lines->link, 0, spare) == 0)
		return 1;
	/* Another CPU appended one; ours goes back, and there is room all the same. */
	CONN_EVENT(EXTEND_LOST);
	spare_push(family, spare - 1);
	return 1;
}

struct eviction {
	__u32 family;
	__u32 bucket;
	__u32 now, idle;
	__u32 slot; /* best so far + 1 */
	__u32 score;
	__u64 word;
};

/* ip_vs_random_dropentry's choice, within one bucket: half-open and closing TCP
 * first, then whoever said nothing for a minute. Established connections that are
 * in use stay, and the newcomer is refused.
 */
static long eviction_step(__u32 slot, struct eviction *e)
{
	struct conn *lines = conn_bucket(e->family, e->bucket);
	struct conn *conn;
	__u32 idle, score;
	__u64 word;

	if (!lines)
		return 1;
	conn = &lines[slot & 7];
	word = READ_ONCE(conn->word);
	if (word_life(word) != LIFE_LIVE)
		return 0;
	idle = e->now - (__u32)READ_ONCE(conn->when);
	if ((__s32)idle < 0)
		idle = 0;
	score = idle < 0x7ffffffe ? idle + 1 : 0x7fffffff;
	if (conn->protocol == IPPROTO_TCP && word_state(word) != TCP_S_ESTABLISHED)
		score |= 0x80000000;
	else if (idle < e->idle)
		return 0;
	if (score <= e->score)
		return 0;
	e->score = score;
	e->slot = slot + 1;
	e->word = word;
	return 0;
}

#define EVICTION_LOST (~0u)

/* Takes a line of the main bucket over in place. Returns line + 1, 0 when none may
 * be taken, EVICTION_LOST when the chosen one changed meanwhile.
 */
__noinline __u32 conn_evict(__u32 family, __u32 bucket, __u32 now, __u32 idle)
{
	struct eviction e = {
		.family = family,
		.bucket = bucket,
		.now = now,
		.idle = idle,
		.score = unknown_zero(),
	};
	struct dest *dest;
	struct conn *conn;

	bpf_loop(BUCKET_LINES, eviction_step, &e, 0);
	if (!e.slot)
		return 0;
	conn = conn_bucket(family, bucket);
	if (!conn)
		return 0;
	opaque(conn);
	conn = &conn[(e.slot - 1) & 7];
	dest = dest_get(READ_ONCE(conn->dest));
	CONN_EVENT(EVICTING);
	if (cmpxchg(&conn->word, e.word, WORD(word_gen(e.word) + 1, 0, 0, LIFE_INIT)) != e.word)
		return EVICTION_LOST;
	CONN_EVENT(EVICTED);
	if (dest)
		dest_unbind(dest, !(word_flags(e.word) & CONN_F_INACTIVE));
	return bucket * BUCKET_LINES + (e.slot - 1) % BUCKET_LINES + 1;
}

struct rescan {
	const struct conn_new *new;
	__u32 bucket;
	__u32 mine; /* my line */
	__u32 reached; /* my bucket is on the chain and no link to it is closing */
	__u32 closing;
	__u32 twin; /* line of the one that won + 1 */
	__u32 twin_gen;
};

static __always_inline int rescan_same_client(const __u8 family, const struct rescan *scan,
					      struct conn *lines, __u32 slot)
{
	const struct conn_new *new = scan->new;
	struct conn *conn = &lines[slot & 7];

	if (conn->cport != new->cport || conn->protocol != new->protocol)
		return 0;
	if (family == 4)
		return conn->caddr == new->caddr.v4;
	return addr_equal(6, (void *)conn_addrs(lines, slot)->caddr, &new->caddr);
}

static __always_inline int rescan_same_vip(const __u8 family, const struct rescan *scan,
					   struct conn *lines, __u32 slot)
{
	const struct conn_new *new = scan->new;
	struct conn *conn = &lines[slot & 7];

	if (conn->vport != new->vport)
		return 0;
	if (family == 4)
		return conn->vaddr == new->vaddr.v4;
	return addr_equal(6, (void *)conn_addrs(lines, slot)->vaddr, &new->vaddr);
}

static __always_inline int rescan_same_reply(const __u8 family, const struct rescan *scan,
					     struct conn *lines, __u32 slot)
{
	const struct conn_new *new = scan->new;
	struct conn *conn = &lines[slot & 7];

	if (new->fwd != FWD_MASQ || conn->fwd != FWD_MASQ || conn->dport != new->dport)
		return 0;
	if (family == 4)
		return conn->daddr == new->daddr.v4;
	return addr_equal(6, (void *)conn_addrs(lines, slot)->daddr, &new->daddr);
}

/* One line of the chain: a twin decides who wins, an entry with the same reply
 * tuple under another VIP is hidden, because the newer one gets the replies.
 */
static __always_inline long rescan_line(const __u8 family, __u32 round, struct rescan *scan)
{
	__u32 slot = round & 7;
	__u32 line = scan->bucket * BUCKET_LINES + slot;
	struct conn *lines = conn_bucket(family, scan->bucket);
	__u64 word, link;
	__u32 life, gen;

	if (!lines)
		return 1;
	if (line == scan->mine) {
		scan->reached = 1;
		goto next;
	}
	word = READ_ONCE(lines[slot].word);
	life = word_life(word);
	if ((life != LIFE_LIVE && life != LIFE_PENDING) ||
	    !rescan_same_client(family, scan, ordered_after(lines, word), slot))
		goto next;
	if (rescan_same_vip(family, scan, lines, slot)) {
		if (word_gen(READ_ONCE(lines[slot].word)) != word_gen(word))
			goto next;
		if (life == LIFE_PENDING && line > scan->mine &&
		    cmpxchg(&lines[slot].word, word, word - LIFE_PENDING + LIFE_ABORT) == word)
			goto next;
		gen = word_gen(word);
		word = READ_ONCE(lines[slot].word);
		life = word_life(word);
		if (word_gen(word) == gen &&
		    (life == LIFE_LIVE || (life == LIFE_PENDING && line < scan->mine))) {
			scan->twin = line + 1;
			scan->twin_gen = gen;
			return 1;
		}
		goto next;
	}
	if (life == LIFE_LIVE && rescan_same_reply(family, scan, lines, slot))
		cmpxchg(&lines[slot].word, word, word | (__u64)CONN_F_SHADOW << WORD_FLAG_SHIFT);
next:
	if (slot != 7)
		return 0;
	link = READ_ONCE(lines->link);
	if (!link_bucket(link))
		return 1;
	/* A closing link before my own bucket may cut it off. */
	if (link & LINK_CLOSING && !scan->reached)
		scan->closing = 1;
	scan->bucket = conn_buckets(family) + link_bucket(link) - 1;
	return 0;
}

static long rescan_step4(__u32 round, struct rescan *scan)
{
	return rescan_line(4, round, scan);
}

static long rescan_step6(__u32 round, struct rescan *scan)
{
	return rescan_line(6, round, scan);
}

static __always_inline void conn_fill(const __u8 family, struct conn *lines, __u32 slot,
				      const struct conn_new *new)
{
	struct conn *conn = &lines[slot & 7];
	const __u32 last = family == 4 ? 0 : 3;

	conn->caddr = new->caddr.w[last];
	conn->vaddr = new->vaddr.w[last];
	conn->daddr = new->daddr.w[last];
	conn->cport = new->cport;
	conn->vport = new->vport;
	conn->dport = new->dport;
	conn->protocol = new->protocol;
	conn->fwd = new->fwd;
	conn->dest = new->dest;
	conn->when = conn_when(new->now, new->timeout);
	conn->in_pkts = 1;
	conn->fwmark = new->fwmark;
	conn->hop = 0;
	conn->control = 0;
	if (family == 6) {
		struct conn_addrs *addrs = conn_addrs(lines, slot);

		__builtin_memcpy(addrs->caddr, &new->caddr, 16);
		__builtin_memcpy(addrs->vaddr, &new->vaddr, 16);
		__builtin_memcpy(addrs->daddr, &new->daddr, 16);
	}
}

/* Takes over what the twin decided. 0 when it is gone again: its line may hold
 * another client's connection by now.
 */
static __always_inline int conn_copy_twin(const __u8 family, struct conn_new *new, __u32 line,
					  __u32 gen)
{
	__u32 slot = line % BUCKET_LINES;
	struct conn *lines = conn_bucket(family, line / BUCKET_LINES);
	struct conn *conn;
	__u64 word;
	__u32 life;

	if (!lines)
		return 0;
	CONN_EVENT(COPYING);
	conn = &lines[slot & 7];
	new->dest = conn->dest;
	new->dport = conn->dport;
	new->fwd = conn->fwd;
	if (family == 4)
		new->daddr.v4 = conn->daddr;
	else
		__builtin_memcpy(&new->daddr, conn_addrs(lines, slot)->daddr, 16);
	word = READ_ONCE(conn->word);
	life = word_life(word);
	return word_gen(word) == gen && (life == LIFE_LIVE || life == LIFE_PENDING);
}

#define CLAIM_BUSY 0
#define CLAIM_FULL 0xffffffff

/* Takes a line in the chain of a bucket: a free one, one of a spare bucket, or one
 * that its entry gives up. Returns line + 1, its word is (next generation, INIT). A
 * global function, as conn_create below.
 */
__noinline __u32 conn_claim(__u32 family, __u32 hash, __u32 now)
{
	struct claim claim = { .family = family, .home = hash & 7 };
	__u32 line, main_bucket;
	int i;

	main_bucket = family == 4 ? conn_main_bucket(4, hash) : conn_main_bucket(6, hash);
	for (i = 0; i < 3; i++) {
		claim.bucket = main_bucket;
		bpf_loop((1 + MAX_CHAIN) * BUCKET_LINES, claim_step, &claim, 0);
		if (claim.line)
			return claim.line;
		if (!claim.tail || claim.dead)
			return CLAIM_BUSY;
		if (!claim.longest && conn_extend(family, claim.tail - 1))
			continue;
		line = conn_evict(family, main_bucket, now, 60 * cfg_hz);
		if (!line)
			return CLAIM_FULL;
		return line == EVICTION_LOST ? CLAIM_BUSY : line;
	}
	return CLAIM_BUSY;
}

static __always_inline int conn_create_in(const __u8 family, struct conn_new *new)
{
	struct rescan scan = {};
	struct dest *dest;
	struct conn *lines;
	__u32 slot, hash, line, gen;
	__u64 word;
	int active;

	hash = conn_hash(family, &new->caddr, new->cport, new->protocol);
	line = conn_claim(family, hash, new->now);
	if (line == CLAIM_BUSY || line == CLAIM_FULL)
		return line == CLAIM_FULL ? CREATED_FULL : CREATED_BUSY;
	line--;
	slot = line & 7;
	lines = conn_bucket(family, line / BUCKET_LINES);
	if (!lines)
		return CREATED_BUSY;
	gen = word_gen(READ_ONCE(lines[slot].word)); /* ours until we publish it */
	dest = dest_get(new->dest);
	active = !(new->flags &CONN_F_INACTIVE);
	if (dest)
		dest_bind(dest, active);
	CONN_EVENT(CLAIMED);
	conn_fill(family, lines, slot, new);
	CONN_EVENT(FILLED);
	word = WORD(gen, new->flags, new->state, LIFE_PENDING);
	xchg(&lines[slot].word, word);
	CONN_EVENT(PUBLISHED);

	scan.new = new;
	scan.bucket = conn_main_bucket(family, hash);
	scan.mine = line;
	scan.reached = unknown_zero();
	if (family == 4)
		bpf_loop((1 + MAX_CHAIN) * BUCKET_LINES, rescan_step4, &scan, 0);
	else
		bpf_loop((1 + MAX_CHAIN) * BUCKET_LINES, rescan_step6, &scan, 0);
	CONN_EVENT(SCANNED);
	if (!scan.twin && scan.reached && !scan.closing &&
	    cmpxchg(&lines[slot].word, word, word - LIFE_PENDING + LIFE_LIVE) == word)
		return CREATED;

	/* Lost, aborted, or cut off with a bucket that the sweeper takes out. */
	if (scan.twin)
		CONN_EVENT(LOST);
	else if (scan.reached && !scan.closing)
		CONN_EVENT(ABORTED);
	else
		CONN_EVENT(CUT_OFF);
	xchg(&lines[slot].word, WORD(gen, 0, 0, LIFE_FREE));
	if (dest)
		dest_unbind(dest, active);
	if (scan.twin && conn_copy_twin(family, new, scan.twin - 1, scan.twin_gen))
		return CREATED_TWIN;
	return CREATED_BUSY;
}

/* Global functions: the verifier looks at each once, apart from its callers. As a
 * part of them creation cost it hundreds of thousands of instructions.
 */
__noinline int conn_create4(struct conn_new *new)
{
	return new ? conn_create_in(4, new) : CREATED_FULL;
}

__noinline int conn_create6(struct conn_new *new)
{
	return new ? conn_create_in(6, new) : CREATED_FULL;
}

static __always_inline enum created conn_create(const __u8 family, struct conn_new *new)
{
	return family == 4 ? conn_create4(new) : conn_create6(new);
}

#endif
