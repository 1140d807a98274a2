// SPDX-License-Identifier: MIT
/* The stress in tc. */
#include "stress.h"
#include "net/tc.h"
#include "net/icmp.h"
#include "net/frag.h"
#include "stress-core.h"

char _license[] SEC("license") = "GPL";

SEC("tc")
int drive(struct __sk_buff *skb)
{
	if (bpf_get_prandom_u32() & 3)
		stress_run(skb, 4);
	else
		stress_run(skb, 6);
	return TC_ACT_SHOT;
}
