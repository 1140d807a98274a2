/* SPDX-License-Identifier: MIT */
/* Random packets of few connections.
 *
 * Clients, virtual addresses and real servers are few, so that they meet: a client
 * is one address and port, talks to all virtual addresses by TCP and UDP, and all
 * services have the same real servers. See test/support/stress.ts for the addresses.
 */
#ifndef STRESS_PACKET_H
#define STRESS_PACKET_H

#define CLIENTS4 0xc6120000 /* 198.18.0.0 */
#define VIPS4 0x0a000001 /* 10.0.0.1 */
#define REALS4 0x0a02000b /* 10.2.0.11 */

static __always_inline void stress_client(const __u8 family, union addr *addr, __u32 *port, __u32 number)
{
	__u32 host = number & 255;

	if (family == 4) {
		addr->v4 = bpf_htonl(CLIENTS4 + host);
	} else {
		addr->w[0] = bpf_htonl(0xfd010000);
		addr->w[3] = bpf_htonl(host);
	}
	*port = 1024 + (number >> 8);
}

static __always_inline void stress_vip(const __u8 family, union addr *addr, __u32 number)
{
	if (family == 4) {
		addr->v4 = bpf_htonl(VIPS4 + number);
	} else {
		addr->w[0] = bpf_htonl(0xfd000000);
		addr->w[3] = bpf_htonl(1 + number);
	}
}

static __always_inline void stress_real(const __u8 family, union addr *addr, __u32 number)
{
	if (family == 4) {
		addr->v4 = bpf_htonl(REALS4 + number);
	} else {
		addr->w[0] = bpf_htonl(0xfd020000);
		addr->w[3] = bpf_htonl(0x11 + number);
	}
}

/* Openers, data, ends, and one in four from a real server: it hits when the guess is right. */
static __always_inline void stress_packet(const __u8 family, struct packet *p)
{
	__u32 r = bpf_get_prandom_u32(), kind = bpf_get_prandom_u32();
	__u32 client = r % cfg_clients, port = 0;
	int reply = (kind & 3) == 3;

	p->family = family;
	p->protocol = (kind >> 2 & 3) == 3 ? IPPROTO_UDP : IPPROTO_TCP;
	p->ttl = 64;
	p->df = 1;
	p->l3 = ETH_HLEN;
	p->l4 = ETH_HLEN + (family == 4 ? 20 : 40);
	p->l4_len = p->protocol == IPPROTO_TCP ? 20 : 8;
	p->len = p->l4 - p->l3 + p->l4_len + (kind >> 24);
	switch (kind >> 4 & 15) {
	case 0 ... 5:
		p->tcp_flags = reply ? TCP_SYN | TCP_ACK : TCP_SYN;
		break;
	case 6 ... 12:
		p->tcp_flags = TCP_ACK;
		break;
	case 13 ... 14:
		p->tcp_flags = TCP_FIN | TCP_ACK;
		break;
	default:
		p->tcp_flags = TCP_RST;
	}
	if (reply) {
		stress_client(family, &p->dst, &port, client);
		stress_real(family, &p->src, (kind >> 8) % cfg_reals);
		p->ports = bpf_htons(80) | (__u32)bpf_htons(port) << 16;
	} else {
		stress_client(family, &p->src, &port, client);
		stress_vip(family, &p->dst, (kind >> 8) % cfg_vips);
		p->ports = bpf_htons(port) | (__u32)bpf_htons(80) << 16;
	}
}

#endif
