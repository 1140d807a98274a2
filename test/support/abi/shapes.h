/* SPDX-License-Identifier: MIT */
/* Every shape the generator knows, and every one it must refuse. */
#include <linux/types.h>

#define __tag(name) __attribute__((btf_decl_tag(name)))

enum fruit {
	FRUIT_APPLE = 1,
	FRUIT_PEAR = 2,
	FRUIT_LAST = 2,
	FRUIT_BIG = 0x7fffffff,
};

enum negative { BELOW = -5, ABOVE = 5 };

typedef __be16 port_t;

struct inner {
	port_t port;
	__u8 flag;
	__s8 sign;
};

struct everything {
	__u64 counter;
	__be64 big;
	__s64 balance;
	__be32 address;
	__u32 word;
	__s32 difference;
	enum fruit fruit;
	struct inner one;
	struct inner many[3];
	__u16 grid[2][3];
	__u8 mac[6] __tag("mac");
	__u8 pad[2];
	__u8 name[16] __tag("text");
	const volatile __u16 qualified;
	__s16 small;
	union {
		__u32 number;
		__u8 bytes[4];
	} either;
	__u8 pad2[4];
};

/* The names of the second one are the first one's, the layout is not. */
struct moved {
	__u32 a;
	__u32 b;
};

struct hole {
	__u8 small;
	__u32 wide;
};

struct hole_at_end {
	__u32 wide;
	__u8 small;
};

struct bitfield {
	__u32 low : 4;
	__u32 high : 28;
};

struct pointer {
	void *at;
};

struct nameless {
	struct {
		__u32 x;
	};
};
