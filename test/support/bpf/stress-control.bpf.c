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
	__u32 family;
};

/* What core.h does with a packet to a virtual address, less the ways. Now and then an
 * operator ends the connection.
 */
static __always_inline int process_packet(const __u8 family, const struct config *cfg, const struct packet *p,
					  struct conn_new *new)
{
	struct conn_key key = {};
	struct conn_ref ref = {};
	struct service *service;
	struct pick pick = {};
	struct dest *dest;
	struct step step;
	__u32 index, now = clock_now(cfg);

	conn_key_of(family, p, DIR_IN, &key);
	if (conn_lookup(family, DIR_IN, &key, &ref)) {
		if (conn_is_expired(READ_ONCE(ref.conn->when), now) || !(bpf_get_prandom_u32() & 31)) {
			conn_end(&ref);
			stress_count(EVENT_ENDED);
			return 0;
		}
		dest = dest_get(ref.conn->dest);
		if (conn_is_same(&ref))
			conn_advance(cfg, p, DIR_IN, &ref, dest, now);
		return 0;
	}
	service = service_lookup(family, &p->dst, p->ports >> 16, p->protocol, &index);
	if (!service || !sched_pick(service, &pick))
		return 0;
	dest = dest_get(pick.dest);
	if (!dest || !sched_commit(&pick))
		return 0;
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
	new->now = now;
	new->timeout = step.timeout;
	if (conn_create(family, new) == CREATED)
		stress_count(EVENT_CREATED);
	return 0;
}

static __noinline int process4(void)
{
	struct config *cfg = config_get();
	struct packet p = {};
	struct conn_new new = {};

	stress_packet(4, &p);
	return cfg ? process_packet(4, cfg, &p, &new) : 0;
}

static __noinline int process6(void)
{
	struct config *cfg = config_get();
	struct packet p = {};
	struct conn_new new = {};

	stress_packet(6, &p);
	return cfg ? process_packet(6, cfg, &p, &new) : 0;
}

static long process_step(__u32 round, void *unused)
{
	stress_count(EVENT_PACKETS);
	if (bpf_get_prandom_u32() & 3)
		process4();
	else
		process6();
	return 0;
}

SEC("syscall")
int drive(struct stress_request *request)
{
	bpf_loop(request->rounds, process_step, NULL, 0);
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
