// SPDX-License-Identifier: MIT
/* The stress in process context, where everything may interrupt it, and sweepers. The
 * real control programs come along, with eyes in their windows.
 */
#include "stress.h"
#include "control.bpf.c"
#include "ipvs/filter.h"
#include "ipvs/sched.h"
#include "stress-packet.h"

struct stress_request {
	__u32 rounds;
	__u32 slot;
};

/* What a running driver works on. Each has a slot of its own: nothing here is per CPU,
 * because these programs are preempted. Not on the stack, where 6.1 adds up all frames.
 */
struct stress_slot {
	struct packet packet;
	struct conn_new new;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct stress_slot);
} stress_slots SEC(".maps");

/* What core.h does with a packet to a virtual address, less the ways, in two parts
 * whose frames do not pile up. Now and then an operator ends the connection.
 */
static __always_inline int process_old(const __u8 family, const struct config *cfg, const struct packet *p)
{
	struct conn_key key = {};
	struct conn_ref ref = {};
	struct dest *dest;
	__u32 now = clock_now(cfg);

	conn_key_of(family, p, DIR_IN, &key);
	if (!conn_lookup(family, DIR_IN, &key, &ref))
		return 0;
	if (conn_is_expired(READ_ONCE(ref.conn->when), now) || !(bpf_get_prandom_u32() & 31)) {
		conn_end(&ref);
		stress_count(EVENT_ENDED);
		return 1;
	}
	dest = dest_get(ref.conn->dest);
	if (conn_is_same(&ref))
		conn_advance(cfg, p, DIR_IN, &ref, dest, now);
	return 1;
}

static __always_inline int process_new(const __u8 family, const struct config *cfg, const struct packet *p,
				       struct conn_new *new)
{
	struct service *service;
	struct pick pick = {};
	struct dest *dest;
	struct step step;
	__u32 index;

	service = service_lookup(family, &p->dst, p->ports >> 16, p->protocol, &index);
	if (!service || !sched_pick(service, &pick))
		return 0;
	dest = dest_get(pick.dest);
	if (!dest || !sched_commit(&pick))
		return 0;
	new->now = clock_now(cfg);
	proto_step(cfg, p, DIR_IN, 0, CONN_F_INACTIVE | (dest->fwd == FWD_MASQ ? 0 : CONN_F_NOOUTPUT), &step);
	new->caddr = p->src;
	new->vaddr = p->dst;
	if (dest->family == family)
		__builtin_memcpy(&new->daddr, dest->addr, 16);
	new->cport = p->ports;
	new->vport = p->ports >> 16;
	new->dport = dest->port;
	new->protocol = p->protocol;
	new->fwd = dest->fwd;
	new->state = step.state;
	new->flags = step.flags;
	new->dest = pick.dest;
	new->timeout = step.timeout;
	return 1;
}

#define PROCESS(family)                                                                              \
	static __noinline int process_old##family(struct stress_slot *slot)                          \
	{                                                                                            \
		struct config *cfg = config_get();                                                   \
                                                                                                     \
		stress_packet(family, &slot->packet);                                                \
		return cfg ? process_old(family, cfg, &slot->packet) : 1;                            \
	}                                                                                            \
	static __noinline int process_new##family(struct stress_slot *slot)                          \
	{                                                                                            \
		struct config *cfg = config_get();                                                   \
                                                                                                     \
		return cfg ? process_new(family, cfg, &slot->packet, &slot->new) : 0;                \
	}

PROCESS(4)
PROCESS(6)

static long process_step(__u32 round, __u32 *number)
{
	__u32 key = *number;
	struct stress_slot *slot = bpf_map_lookup_elem(&stress_slots, &key);
	int created;

	if (!slot)
		return 1;
	stress_count(EVENT_PACKETS);
	__builtin_memset(slot, 0, sizeof(*slot));
	if (bpf_get_prandom_u32() & 3) {
		if (process_old4(slot) || !process_new4(slot))
			return 0;
		created = conn_create4(&slot->new);
	} else {
		if (process_old6(slot) || !process_new6(slot))
			return 0;
		created = conn_create6(&slot->new);
	}
	if (created == CREATED)
		stress_count(EVENT_CREATED);
	return 0;
}

SEC("syscall")
int drive(struct stress_request *request)
{
	__u32 slot = request->slot;

	bpf_loop(request->rounds, process_step, &slot, 0);
	return 0;
}

static long sweep_again(__u32 round, void *unused)
{
	sweep_lines(2, 4, 0, sweep_total(4));
	sweep_lines(3, 6, 0, sweep_total(6));
	return 0;
}

/* A second sweeper that does nothing else. */
SEC("syscall")
int sweep_often(struct stress_request *request)
{
	bpf_loop(request->rounds, sweep_again, NULL, 0);
	return 0;
}

/* Stops the timer, so that the table can be looked at in peace. */
SEC("syscall")
int sweep_stop(struct stress_request *request)
{
	__u32 zero = 0;
	struct sweeper *value = bpf_map_lookup_elem(&sweeper, &zero);

	return value ? bpf_timer_cancel(&value->timer) : -1;
}
