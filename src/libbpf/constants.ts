// SPDX-License-Identifier: MIT
/** Numbers of the kernel's bpf(2) interface, by the names people use for them. */

/** `enum bpf_map_type` by name. */
export const MAP_TYPES = {
  hash: 1,
  array: 2,
  'prog-array': 3,
  'perf-event-array': 4,
  'percpu-hash': 5,
  'percpu-array': 6,
  'stack-trace': 7,
  'cgroup-array': 8,
  'lru-hash': 9,
  'lru-percpu-hash': 10,
  'lpm-trie': 11,
  'array-of-maps': 12,
  'hash-of-maps': 13,
  devmap: 14,
  sockmap: 15,
  cpumap: 16,
  xskmap: 17,
  sockhash: 18,
  queue: 22,
  stack: 23,
  'devmap-hash': 25,
  ringbuf: 27,
  'bloom-filter': 30,
} as const

export type MapType = keyof typeof MAP_TYPES

/** `enum bpf_prog_type` by name, those a packet program meets. */
export const PROGRAM_TYPES = {
  unspec: 0,
  'socket-filter': 1,
  kprobe: 2,
  'sched-cls': 3,
  'sched-act': 4,
  tracepoint: 5,
  xdp: 6,
  'perf-event': 7,
  'cgroup-skb': 8,
  'cgroup-sock': 9,
  'raw-tracepoint': 17,
  'cgroup-sock-addr': 18,
  tracing: 26,
  'struct-ops': 27,
  ext: 28,
  lsm: 29,
  'sk-lookup': 30,
  syscall: 31,
} as const

export type ProgramType = keyof typeof PROGRAM_TYPES

/** `enum bpf_link_type` by name. */
export const LINK_TYPES = {
  unspec: 0,
  'raw-tracepoint': 1,
  tracing: 2,
  cgroup: 3,
  iter: 4,
  netns: 5,
  xdp: 6,
  'perf-event': 7,
  'kprobe-multi': 8,
  'struct-ops': 9,
  netfilter: 10,
  tcx: 11,
  'uprobe-multi': 12,
  netkit: 13,
} as const

export type LinkType = keyof typeof LINK_TYPES

export const ATTACH_XDP = 37
export const ATTACH_TCX_INGRESS = 46
export const ATTACH_TCX_EGRESS = 47

export const XDP_FLAGS_GENERIC = 1 << 1
export const XDP_FLAGS_NATIVE = 1 << 2

/** Without a neighbour named, BPF_F_BEFORE is the head of a tcx chain and BPF_F_AFTER its tail. */
export const BPF_F_BEFORE = 1 << 3
export const BPF_F_AFTER = 1 << 4

/** `BPF_F_TEST_XDP_LIVE_FRAMES`: what the program redirects or sends really leaves. */
export const TEST_RUN_LIVE_FRAMES = 1 << 1

/** Flags of map updates. */
export const MAP_ANY = 0
export const MAP_NOEXIST = 1
export const MAP_EXIST = 2
export const MAP_LOCK = 4

/** Flags of map creation. */
export const MAP_F_NO_PREALLOC = 1 << 0
export const MAP_F_RDONLY_PROG = 1 << 7
export const MAP_F_MMAPABLE = 1 << 10

/** Turns a kernel number into its name, and an unknown one into `type-<number>`. */
export function nameOf<T extends string>(
  table: Readonly<Record<T, number>>,
  value: number,
): T | `type-${number}` {
  for (const name in table) if (table[name] === value) return name
  return `type-${value}`
}
