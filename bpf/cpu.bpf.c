// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * CPU samples: runs at every tick of a perf CPU-clock event, once per CPU and period. Every tick
 * ends in exactly one counter.
 */
#include "compat.bpf.h"
#include "filter.bpf.h"
#include "maps.bpf.h"
#include "unwind.bpf.h"

static __always_inline void fill_identity(struct cpu_event *ev, struct task_struct *leader,
					  u64 pid_tgid)
{
	ev->kind = EVENT_CPU;
	ev->time_ns = bpf_ktime_get_ns();
	ev->start_ns = BPF_CORE_READ(leader, start_boottime);
	ev->tgid = pid_tgid >> 32;
	ev->tid = (u32)pid_tgid;
	ev->cpu = bpf_get_smp_processor_id();
	__builtin_memset(ev->reserved, 0, sizeof(ev->reserved));
	bpf_get_current_comm(ev->comm, sizeof(ev->comm));
	bpf_probe_read_kernel(ev->leader_comm, sizeof(ev->leader_comm), leader->comm);
}

static __always_inline void take_kernel_stack(struct bpf_perf_event_data *ctx, struct cpu_event *ev)
{
	long bytes = bpf_get_stack(ctx, ev->frames, MAX_KERNEL_FRAMES * sizeof(u64), 0);

	ev->kernel_frames_cnt = bytes > 0 ? bytes / sizeof(u64) : 0;
}

static __always_inline void take_user_stack(struct bpf_perf_event_data *ctx, struct scratch *s,
					    struct task_struct *task, bool in_user_mode)
{
	struct user_regs regs = {};

	if (in_user_mode) {
		compat__regs_of_tick(ctx, &regs);
	} else if (BPF_CORE_READ(task, flags) & (PF_KTHREAD | PF_IO_WORKER | PF_USER_WORKER)) {
		s->event.outcome = UNWIND_KERNEL_THREAD;
		return;
	} else {
		compat__regs_of_task(task, &regs);
	}
	if (!regs.cs) {
		/* Born in the kernel (a usermode helper) and not yet in its program. */
		s->event.outcome = UNWIND_KERNEL_THREAD;
		return;
	}
	if (regs.cs != X86_USER_CS) {
		u64 idx = s->event.kernel_frames_cnt;

		BOUND(idx, MAX_FRAMES - 1);
		s->event.frames[idx] = regs.frame.pc;
		s->event.user_frames_cnt = 1;
		s->event.outcome = UNWIND_COMPAT;
		return;
	}
	s->frame = regs.frame;
	unwind_user_stack(SCRATCH_CPU);
}

static __always_inline void submit(struct scratch *s, struct event_counters *counters)
{
	u64 bytes = CPU_EVENT_HEADER_BYTES +
		    sizeof(u64) * (s->event.kernel_frames_cnt + s->event.user_frames_cnt);

	/* CPU_EVENT_HEADER_BYTES + MAX_FRAMES * 8 is no power of two: compare, the verifier follows
	 */
	if (bytes > sizeof(s->event))
		bytes = sizeof(s->event);
	s->event.size = bytes;
	if (bpf_ringbuf_output(&samples, &s->event, bytes, BPF_RB_NO_WAKEUP))
		counters__add(counters, COUNTER_DROPPED_RING_FULL);
	else
		counters__add(counters, COUNTER_SUBMITTED);
}

SEC("?perf_event")
int cpu_tick(struct bpf_perf_event_data *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task(), *leader;
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 kind = EVENT_CPU, slot = SCRATCH_CPU;
	struct event_counters *counters = bpf_map_lookup_elem(&event_counters, &kind);
	struct scratch *s = bpf_map_lookup_elem(&scratch, &slot);
	bool in_user_mode = compat__in_user_mode(ctx);

	if (!counters || !s)
		return 0;
	counters__add(counters, COUNTER_FIRED);
	if (!(u32)pid_tgid) {
		counters__add(counters, COUNTER_IDLE);
		return 0;
	}
	leader = BPF_CORE_READ(task, group_leader);
	if (!filter__admits_current(leader, pid_tgid >> 32)) {
		counters__add(counters, COUNTER_FILTERED);
		return 0;
	}
	/* Contexts nest like a stack on one CPU: what interrupts us here is done before we go on,
	 * so a plain test-and-set cannot be torn. (The kernel also keeps perf programs from
	 * nesting.) */
	if (s->busy) {
		counters__add(counters, COUNTER_DROPPED_SCRATCH_BUSY);
		return 0;
	}
	s->busy = 1;
	fill_identity(&s->event, leader, pid_tgid);
	s->event.kernel_frames_cnt = 0;
	s->event.user_frames_cnt = 0;
	if (!in_user_mode)
		take_kernel_stack(ctx, &s->event);
	take_user_stack(ctx, s, task, in_user_mode);
	submit(s, counters);
	s->busy = 0;
	return 0;
}
