// SPDX-License-Identifier: MIT
/* A bit of everything, for the tests of src/libbpf. */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_helpers.h>

struct slot {
	__u64 word;
	__u64 packets;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct slot);
} slots_with_a_rather_long_name SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} hits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

const volatile __u32 cfg_retval = XDP_PASS;
const volatile __u8 cfg_flag = 0;
const volatile __u64 cfg_big = 0;
const volatile __u8 cfg_mac[6] = { 0 };
const volatile __s16 cfg_signed = -1;

/* Counts, stamps the packet with the configured address, returns what was configured. */
SEC("xdp")
int count(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u32 zero = 0;
	__u32 *hit = bpf_map_lookup_elem(&hits, &zero);
	struct slot *slot = bpf_map_lookup_elem(&slots_with_a_rather_long_name, &zero);

	if (hit)
		*hit += 1;
	if (slot) {
		__sync_fetch_and_add(&slot->packets, 1);
		if (cfg_flag)
			slot->word = cfg_big;
	}
	if (data + 14 <= end)
		for (int i = 0; i < 6; i++)
			((__u8 *)data)[i] = cfg_mac[i];
	return cfg_retval;
}

/* Pushes 20 bytes in front. */
SEC("xdp")
int grow(struct xdp_md *ctx)
{
	void *data, *end;

	if (bpf_xdp_adjust_head(ctx, -20))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + 20 > end)
		return XDP_ABORTED;
	__builtin_memset(data, 0x5a, 20);
	return XDP_TX;
}

SEC("xdp")
int where(struct xdp_md *ctx)
{
	return ctx->ingress_ifindex;
}

SEC("tc")
int mark_passed(struct __sk_buff *skb)
{
	__u32 key = skb->ifindex;
	__u64 one = 1;
	__u64 *seen = bpf_map_lookup_elem(&flows, &key);

	if (seen)
		__sync_fetch_and_add(seen, 1);
	else
		bpf_map_update_elem(&flows, &key, &one, BPF_ANY);
	skb->mark += 1;
	return TC_ACT_OK;
}

SEC("tc")
int drop_all(struct __sk_buff *skb)
{
	return TC_ACT_SHOT;
}

struct sum {
	__u64 a;
	__u64 b;
	__u64 result;
};

SEC("syscall")
int add(struct sum *sum)
{
	sum->result = sum->a + sum->b;
	return 7;
}

struct flood {
	__u32 count;
	__u32 first;
};

/* Sends `count` records of growing content; the length varies with the number. */
SEC("syscall")
int flood(struct flood *flood)
{
	__u32 record[4];
	__u32 sent = 0;

	for (__u32 i = 0; i < 4096; i++) {
		if (i >= flood->count)
			break;
		record[0] = flood->first + i;
		record[1] = record[2] = record[3] = ~record[0];
		if (bpf_ringbuf_output(&events, record, i & 1 ? 16 : 8, 0))
			break;
		sent++;
	}
	return sent;
}

char _license[] SEC("license") = "GPL";
