/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Everything the kernel side and user space both read: the layout of every map.
 *
 * This is the only place a shared layout is written. The generator reads its BTF
 * and writes src/abi/generated.ts; the loader compares fingerprints, so the two
 * sides cannot drift apart. Fixed-width types only, padding is a named field, and
 * every struct states its size.
 */
#ifndef IPVS_ABI_H
#define IPVS_ABI_H

#include <linux/types.h>

#define __tag(name) __attribute__((btf_decl_tag(name)))
#define ABI_SIZE(type, bytes) \
	_Static_assert(sizeof(type) == (bytes), #type " is not " #bytes " bytes")

/* Table sizes that are not settable at load time. */
enum limits {
	MAX_DEVICES = 4096, /* interface indexes above are served by tc alone */
	MAX_HOPS = 65536,
	BUCKET_LINES = 8,
	MAX_CHAIN = 63, /* spare buckets behind one bucket */
	FILTER_BITS = 65536,
	MAX_REASONS = 128,
	MAX_TRACE = 48,
	SWEEP_TICKS = 250, /* ticks in which the whole table is swept once */
	SWEEP_TICK_MS = 4,
};

/* Families as numbers that read well in a listing, not AF_INET and AF_INET6. */
enum family { FAMILY_V4 = 4, FAMILY_V6 = 6 };

/* Forwarding methods: IP_VS_CONN_F_FWD_MASK. */
enum fwd_method {
	FWD_MASQ = 0,
	FWD_LOCAL = 1,
	FWD_TUNNEL = 2,
	FWD_ROUTE = 3,
	FWD_BYPASS = 4,
};

enum tun_type { TUN_IPIP = 0, TUN_GUE = 1, TUN_GRE = 2 };

/* Schedulers by number; SCHED_NONE never schedules. Numbers are for life. */
enum sched_id {
	SCHED_NONE = 0,
	SCHED_RR = 1,
	SCHED_WRR = 2,
	SCHED_LC = 3,
	SCHED_WLC = 4,
};

/* IP_VS_TCP_S_* */
enum tcp_state {
	TCP_S_NONE = 0,
	TCP_S_ESTABLISHED = 1,
	TCP_S_SYN_SENT = 2,
	TCP_S_SYN_RECV = 3,
	TCP_S_FIN_WAIT = 4,
	TCP_S_TIME_WAIT = 5,
	TCP_S_CLOSE = 6,
	TCP_S_CLOSE_WAIT = 7,
	TCP_S_LAST_ACK = 8,
	TCP_S_LISTEN = 9,
	TCP_S_SYNACK = 10,
	TCP_S_LAST = 11,
};

/* Rows of config.timeouts. */
enum proto_index { PROTO_TCP = 0, PROTO_UDP = 1, PROTO_SCTP = 2, PROTO_LAST = 3 };

/* Life of a connection line, the low 4 bits of its word. */
enum conn_life {
	LIFE_FREE = 0,
	LIFE_INIT = 1, /* claimed, its owner fills it */
	LIFE_PENDING = 2, /* filled, its owner looks for a twin */
	LIFE_LIVE = 3,
	LIFE_ABORT = 4, /* lost to a twin, its owner frees it */
};

/* The word: generation << 32 | flags << 8 | state << 4 | life. */
enum conn_word {
	WORD_STATE_SHIFT = 4,
	WORD_FLAG_SHIFT = 8,
	WORD_GEN_SHIFT = 32,
};

/* Flags within the word. */
enum conn_flag {
	CONN_F_INACTIVE = 1, /* counted as inactive */
	CONN_F_NOOUTPUT = 2, /* replies are not expected to pass here */
	CONN_F_SHADOW = 4, /* a newer connection has the same reply tuple */
	CONN_F_TEMPLATE = 8, /* persistence template */
};

/* One connection: one cache line. IPv6 keeps the last word of each address here
 * and the whole ones in a second line, so that both families share their code.
 * `link` is used in line 0 of a bucket only: the spare bucket behind it.
 */
struct conn {
	__u64 word;
	__be32 caddr;
	__be32 vaddr;
	__be32 daddr; /* 0 when the dest is of the other family */
	__be16 cport;
	__be16 vport;
	__be16 dport;
	__u8 protocol;
	__u8 fwd;
	__u32 dest; /* index into dests, 0 = none */
	__u64 when; /* timeout << 32 | jiffies of the last packet, one store */
	__u32 in_pkts;
	__u32 fwmark;
	__u32 hop; /* way back to the client: hop id << 16 | second */
	__u32 control; /* template + 1, 0 = none */
	__u64 link;
};
ABI_SIZE(struct conn, 64);

struct conn_addrs {
	__u8 caddr[16] __tag("ip6");
	__u8 vaddr[16] __tag("ip6");
	__u8 daddr[16] __tag("ip6");
	__u8 pad[16];
};
ABI_SIZE(struct conn_addrs, 64);

struct bucket4 {
	struct conn lines[8];
};
ABI_SIZE(struct bucket4, 512);

struct bucket6 {
	struct conn lines[8];
	struct conn_addrs addrs[8];
};
ABI_SIZE(struct bucket6, 1024);

/* Head of the stack of free spare buckets, one per table: tag << 32 | bucket. */
struct spares {
	__u64 head;
	__u64 used;
	__u8 pad[48];
};
ABI_SIZE(struct spares, 64);

struct counters {
	__u64 conns;
	__u64 in_packets;
	__u64 out_packets;
	__u64 in_bytes;
	__u64 out_bytes;
};
ABI_SIZE(struct counters, 40);

/* A fwmark service has family, protocol 0 and the mark in the first word of addr. */
struct service_key {
	__u8 addr[16] __tag("ip");
	__be16 port;
	__u8 protocol;
	__u8 family;
};
ABI_SIZE(struct service_key, 20);

/* Kernel's IP_VS_SVC_F_*. */
enum service_flag {
	SVC_F_PERSISTENT = 1,
	SVC_F_HASHED = 2,
	SVC_F_ONEPACKET = 4,
	SVC_F_SCHED1 = 8,
	SVC_F_SCHED2 = 16,
	SVC_F_SCHED3 = 32,
};

enum service_state { SERVICE_FREE = 0, SERVICE_LIVE = 1 };

struct service {
	struct service_key key;
	__u8 state;
	__u8 sched; /* enum sched_id */
	__u16 flags; /* enum service_flag */
	__u32 set; /* the dest set in force: one store swaps it */
	__u32 fwmark;
	__u32 timeout; /* persistence, seconds */
	__u32 netmask; /* IPv4 mask or IPv6 prefix length */
	__u32 epoch; /* which service object this is, for dests in the trash */
	__u8 sched_name[16] __tag("text");
	__u8 pe_name[16] __tag("text");
	__u32 pad1;
	/* For user space: counters of dests that left, and values at the last zeroing. */
	struct counters removed;
	struct counters zero;
	__u8 pad[32];
};
ABI_SIZE(struct service, 192);

/* A dest set never changes once it is in force; a service has two and swaps. What
 * the scheduler remembers lives here, so a new set comes with a new memory.
 */
struct dest_set {
	__u64 state; /* rr: position; wrr: cw << 32 | position */
	__u32 version; /* odd while user space rewrites an old set */
	__u32 start; /* first of its entries in dest_refs */
	__u32 len;
	__u32 capacity;
	__u32 gcd; /* wrr: di */
	__u32 max_weight; /* wrr: mw */
	__u8 pad[32];
};
ABI_SIZE(struct dest_set, 64);

struct dest_ref {
	__u32 dest;
	__u32 weight;
};
ABI_SIZE(struct dest_ref, 8);

enum dest_state { DEST_FREE = 0, DEST_LIVE = 1, DEST_TRASH = 2 };

enum dest_flag {
	DEST_F_LOCAL = 1, /* its address is one of the director's */
};

/* First line: read for every packet. Second: written with every connection.
 * Third: user space only.
 */
struct dest {
	__u8 addr[16] __tag("ip");
	__be16 port;
	__u8 family;
	__u8 fwd;
	__u8 state; /* enum dest_state; LIVE is the kernel's AVAILABLE */
	__u8 tun_type;
	__u16 tun_flags;
	__be16 tun_port;
	__u8 overload;
	__u8 flags; /* enum dest_flag */
	__u32 weight;
	__u32 hop; /* hop id << 16 | second it was looked up */
	__u8 tun_source[16] __tag("ip"); /* outer source address */
	__u32 service;
	__u8 pad1[8];

	__u32 active;
	__u32 total; /* all but templates */
	__u32 persistent;
	__u32 upper;
	__u32 lower;
	__u32 removed_at; /* seconds of CLOCK_BOOTTIME, for the trash */
	__u32 service_epoch;
	__u32 fwmark;
	__u8 pad2[32];

	struct service_key service_key;
	__u32 pad3;
	struct counters zero;
};
ABI_SIZE(struct dest, 192);

enum hop_flag {
	HOP_F_MAC = 1, /* the MAC addresses are known: XDP may send */
	HOP_F_XDP = 2, /* the device takes frames from XDP */
};

/* A next hop: device, gateway, MAC addresses. Never changes once it has an id. */
struct hop {
	__u32 ifindex;
	__u32 mtu;
	__u8 dmac[6];
	__u8 smac[6];
	__u8 family; /* of `via` */
	__u8 flags;
	__u8 pad[2];
	__u8 via[16] __tag("ip");
	__u8 pad2[24];
};
ABI_SIZE(struct hop, 64);

enum device_flag {
	DEVICE_F_XDP_TX = 1, /* XDP may redirect frames to it */
	DEVICE_F_ATTACHED = 2,
	DEVICE_F_ACCEPT_LOCAL = 4, /* the stack takes packets from own addresses there */
};

struct device {
	__u8 mac[6];
	__u8 flags;
	__u8 xdp; /* enum xdp_why */
};
ABI_SIZE(struct device, 8);

/* `xlvs up --xdp`, kept so that a later `up` without it means the same. */
enum xdp_mode { XDP_MODE_AUTO = 0, XDP_MODE_NATIVE = 1, XDP_MODE_GENERIC = 2, XDP_MODE_OFF = 3 };

/* Why a device has no XDP program of ours, for `xlvs status`. */
enum xdp_why {
	XDP_ATTACHED_NATIVE = 1,
	XDP_ATTACHED_GENERIC = 2,
	XDP_WHY_OFF = 3, /* `--xdp off` */
	XDP_WHY_VIRTUAL = 4, /* auto leaves virtual devices to tc */
	XDP_WHY_REFUSED = 5, /* the driver has no native XDP, or not at this MTU */
	XDP_WHY_TAKEN = 6, /* another program is attached */
};

/* What a change of counters will be, written before the one store that makes the
 * change: whoever comes after a killed writer finishes its sums, or drops them.
 */
struct journal {
	__u32 service; /* 0 = nothing */
	__u32 set; /* dest change: the set it puts in force; 0 = the service goes */
	struct counters removed; /* of the service, or of config when it goes */
};
ABI_SIZE(struct journal, 48);

/* The namespace's settings and what the tables were made with. */
struct config {
	/* These two never move: they tell whose maps these are, and of which version. */
	__u64 fingerprint; /* of this file */
	__u64 netns_cookie; /* inode numbers of namespaces are used again, cookies are not */
	__u32 hz;
	__u32 hash_seed;
	__u32 buckets4;
	__u32 spares4;
	__u32 buckets6;
	__u32 spares6;
	__u32 families; /* bit 0: IPv4 has services, bit 1: IPv6 */
	__u32 clock_skew; /* jiffies added to the clock; tests only */
	__u32 timeouts[3][16] __tag("jiffies"); /* [enum proto_index][state] */
	__u32 conn_reuse_mode;
	__u32 expire_nodest_conn;
	__u32 pmtu_disc;
	__u32 snat_reroute;
	__u32 sloppy_tcp;
	__u32 secure_tcp;
	__u32 hops; /* ids given out */
	__u32 service_epoch;
	struct counters removed; /* of services and dests that left */
	struct counters zero;
	__u32 services;
	__u32 dests; /* live ones */
	/* For user space. Odd while a change is under way, so a reader knows to look
	 * again and the next writer knows that the last one was killed.
	 */
	__u64 changes;
	__u32 service_top; /* indexes from here on were never used */
	__u32 dest_top;
	__u32 test_clock; /* the programs were loaded to obey clock_skew */
	__u32 xdp_mode; /* what `up` was asked for: enum xdp_mode */
	struct journal journal;
	__u8 pad[80];
};
ABI_SIZE(struct config, 512);

/* Why a packet got its verdict. Numbers are for life; 1-31 forwarded, 32-63 passed
 * to the stack, 64-79 left by XDP to tc, 80-127 dropped.
 */
enum reason {
	REASON_NONE = 0,
	FORWARD_IN = 1,
	FORWARD_NEW = 2,
	FORWARD_OUT = 3,
	ANSWER_TOO_BIG = 4,
	ANSWER_TTL = 5,
	ANSWER_HOST_UNREACHABLE = 6,
	ANSWER_PORT_UNREACHABLE = 7,

	PASS_NOT_OURS = 32,
	PASS_NO_SERVICE = 33,
	PASS_NOT_IP = 34,
	PASS_OTHER_HOST = 35,
	PASS_FRAGMENT = 36,
	PASS_PROTOCOL = 37,
	PASS_NOT_OPENER = 38,
	PASS_CLIENT_PORT_20 = 39,
	PASS_VIP_NOT_LOCAL = 40,
	PASS_LOCAL_DEST = 41,
	PASS_REPLY_TTL = 42,
	PASS_REPLY_TOO_BIG = 43,
	PASS_REPLY_NO_ROUTE = 44,
	PASS_MALFORMED = 45,
	PASS_DISABLED = 46,
	PASS_OPTIONS = 47,
	PASS_SEEN = 48,
	PASS_REPLY_UNTOUCHED = 49,

	DEFER_HOP = 64,
	DEFER_DEVICE = 65,
	DEFER_TOO_BIG = 66,
	DEFER_TTL = 67,
	DEFER_CHECKSUM = 68,
	DEFER_BUSY = 69,
	DEFER_NO_DEST = 70,
	DEFER_HEADERS = 71,
	DEFER_DEST_GONE = 72,
	DEFER_ROOM = 73,

	DROP_DEST_GONE = 80,
	DROP_TABLE_FULL = 81,
	DROP_SHORT_HEADER = 82,
	DROP_NO_ROOM = 83,
	DROP_REWRITE = 84,
	DROP_TUNNEL_MTU = 85,
	DROP_NO_ANSWER = 86,
	DROP_CONTENDED = 87,
	DROP_BAD_SOURCE = 88,
};

/* What `xlvs explain` tells, in order. a, b and c mean what each comment says. */
enum trace_event {
	TRACE_NONE = 0,
	TRACE_PACKET = 1, /* a = family, b = protocol, c = length */
	TRACE_FILTER = 2, /* a = destination may be a VIP, b = source may be a real server */
	TRACE_CONN_HIT = 3, /* a = direction, b = line, c = word */
	TRACE_CONN_MISS = 4, /* a = direction */
	TRACE_CONN_EXPIRED = 5, /* b = line */
	TRACE_CONN_REUSED = 6, /* b = line, c = word: an opener ends the old connection */
	TRACE_SERVICE_HIT = 7, /* a = service */
	TRACE_SERVICE_MISS = 8,
	TRACE_VIP_ROUTE = 9, /* a = 1 local, 0 not */
	TRACE_SCHED = 10, /* a = scheduler, b = dests in the set, c = state before */
	TRACE_PICK = 11, /* a = dest (0 none), b = weight, c = state after */
	TRACE_STATE = 12, /* a = before, b = after, c = timeout in jiffies */
	TRACE_HOP = 13, /* a = hop, b = result of the route lookup, c = mtu */
	TRACE_CREATE = 14, /* a = dest */
	TRACE_DEST_GONE = 15, /* a = dest */
};

struct trace_step {
	__u32 event;
	__u32 a;
	__u32 b;
	__u32 pad;
	__u64 c;
};
ABI_SIZE(struct trace_step, 24);

/* What the dry twin found. */
struct explanation {
	__u32 steps;
	__u32 reason;
	__u32 dest;
	__u32 hop;
	struct hop way;
	struct trace_step trace[48];
};
ABI_SIZE(struct explanation, 1232);

/* Hooks, as rows of the reasons map. */
enum hook { HOOK_XDP = 0, HOOK_TC_INGRESS = 1, HOOK_TC_EGRESS = 2, HOOK_LAST = 3 };

/* Argument of the control programs. */
struct sweep_request {
	__u32 full; /* 1: sweep the whole table now */
	__u32 killed;
	__s32 error;
	__u32 pad;
	__u64 jiffies;
	__u64 nanoseconds;
};
ABI_SIZE(struct sweep_request, 32);

#endif
