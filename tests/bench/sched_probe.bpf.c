/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the scheduler kind is compared with: an empty program on every switch, the way wait times
 * are measured elsewhere (runqlat's shape: a hash of start times filled at each wake-up, a log2
 * histogram), and the kernel's last word on a thread that has ended. Loaded by sched_probe.c.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "sched_probe.h"

#define TASK_DEAD 0x80 /* include/linux/sched.h */

struct sched_info___probe {
	unsigned long pcount;
	unsigned long long run_delay;
} __attribute__((preserve_access_index));

struct task_struct___probe {
	unsigned int __state;
	int pid, tgid;
	__u64 start_time;
	char comm[16];
	struct sched_info___probe sched_info;
} __attribute__((preserve_access_index));

struct task_struct___old {
	volatile long state;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, __u64);
} probe_starts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, struct probe_histogram);
} probe_histograms SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} probe_ended SEC(".maps");

static const struct probe_histogram no_histogram;

SEC("?tp_btf/sched_switch")
int empty_switch(__u64 *ctx)
{
	return 0;
}

static __always_inline void start_wait(struct task_struct___probe *task)
{
	__u32 pid = task->pid;
	__u64 now;

	if (!pid)
		return;
	now = bpf_ktime_get_ns();
	bpf_map_update_elem(&probe_starts, &pid, &now, BPF_ANY);
}

SEC("?tp_btf/sched_wakeup")
int runqlat_wakeup(__u64 *ctx)
{
	start_wait((void *)ctx[0]);
	return 0;
}

SEC("?tp_btf/sched_wakeup_new")
int runqlat_new(__u64 *ctx)
{
	start_wait((void *)ctx[0]);
	return 0;
}

static __always_inline long state_of(struct task_struct___probe *task)
{
	if (bpf_core_field_exists(task->__state))
		return task->__state;
	return ((struct task_struct___old *)task)->state;
}

static __always_inline __u32 log2_of(__u64 v)
{
	__u32 high = v >> 32, slot = high ? 32 : 0, x = high ? high : (__u32)v;

#pragma unroll
	for (int step = 16; step; step >>= 1) {
		if (x >> step) {
			x >>= step;
			slot += step;
		}
	}
	return slot;
}

static __always_inline struct probe_histogram *get_histogram(__u32 key)
{
	struct probe_histogram *h = bpf_map_lookup_elem(&probe_histograms, &key);

	if (h)
		return h;
	bpf_map_update_elem(&probe_histograms, &key, &no_histogram, BPF_NOEXIST);
	return bpf_map_lookup_elem(&probe_histograms, &key);
}

SEC("?tp_btf/sched_switch")
int runqlat_switch(__u64 *ctx)
{
	struct task_struct___probe *prev = (void *)ctx[1], *next = (void *)ctx[2];
	struct probe_histogram *h;
	__u32 pid = next->pid, slot;
	__u64 *start, delta;

	if (!state_of(prev))
		start_wait(prev);
	start = bpf_map_lookup_elem(&probe_starts, &pid);
	if (!start)
		return 0;
	delta = bpf_ktime_get_ns() - *start;
	h = get_histogram(PROBE_ALL);
	if (h && (__s64)delta >= 0) {
		slot = log2_of(delta / 1000);
		if (slot >= PROBE_SLOTS)
			slot = PROBE_SLOTS - 1;
		__sync_fetch_and_add(&h->slots[slot], 1);
	}
	bpf_map_delete_elem(&probe_starts, &pid);
	return 0;
}

/* A task that leaves its CPU dead never waits again: its account is final. */
SEC("?tp_btf/sched_switch")
int last_switch(__u64 *ctx)
{
	struct task_struct___probe *task = (void *)ctx[1];
	struct probe_ended *e;

	if (!(state_of(task) & TASK_DEAD))
		return 0;
	e = bpf_ringbuf_reserve(&probe_ended, sizeof(*e), 0);
	if (!e)
		return 0;
	e->start_ns = task->start_time;
	e->run_delay_ns = task->sched_info.run_delay;
	e->pcount = task->sched_info.pcount;
	e->tid = task->pid;
	e->tgid = task->tgid;
	bpf_probe_read_kernel_str(e->comm, sizeof(e->comm), task->comm);
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
