/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Virtual services: found by address, port and protocol when no connection is.
 *
 * Twin: src/ipvs/service.ts. Rules: ip_vs_service_find.
 */
#ifndef IPVS_SERVICE_H
#define IPVS_SERVICE_H

#include "../net/packet.h"
#include "config.h"

/* Key to index. Written by user space only; a hash, not LRU: a service must never
 * vanish under load.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct service_key);
	__type(value, __u32);
} service_keys SEC(".maps");

/* The services themselves, in an array so that user space can change one word of
 * one of them while packets read it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct service);
} services SEC(".maps");

static __always_inline struct service *service_find(const struct service_key *key, __u32 *index)
{
	__u32 *found = bpf_map_lookup_elem(&service_keys, key);

	if (!found)
		return NULL;
	*index = *found;
	return bpf_map_lookup_elem(&services, index);
}

/* The service a packet is for, or NULL. */
static __always_inline struct service *service_lookup(const __u8 family, const union addr *address,
						      __be16 port, __u8 protocol, __u32 *index)
{
	struct service_key key = {};

	__builtin_memcpy(key.addr, address, family == 4 ? 4 : 16);
	key.port = port;
	key.protocol = protocol;
	key.family = family;
	return service_find(&key, index);
}

#endif
