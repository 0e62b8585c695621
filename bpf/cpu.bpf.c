// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * CPU samples: runs at every tick of a perf CPU-clock event, once per CPU and period. Every tick
 * ends in exactly one counter.
 */
#include "compat.bpf.h"
#include "filter.bpf.h"
#include "maps.bpf.h"
#include "stack.bpf.h"

static __always_inline void take_sample(struct bpf_perf_event_data *ctx, struct scratch *s,
					struct event_counters *counters, struct task_struct *task)
{
	bool in_user_mode = compat__in_user_mode(ctx);
	u16 cs;

	if (in_user_mode) {
		cs = compat__regs_of_tick(ctx, s->walk.regs);
	} else {
		s->event.header.kernel_frames_cnt = stack__take_kernel(ctx, s->event.frames);
		cs = stack__saved_regs(s, task);
	}
	stack__take_user(s, SCRATCH_CPU, task, cs, in_user_mode);
	stack__submit(ctx, s, SCRATCH_CPU, EVENT_CPU_COLD, counters, in_user_mode);
}

SEC("?perf_event")
int cpu_tick(struct bpf_perf_event_data *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task(), *leader;
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 kind = EVENT_CPU, slot = SCRATCH_CPU;
	struct event_counters *counters = bpf_map_lookup_elem(&event_counters, &kind);
	struct scratch *s = bpf_map_lookup_elem(&scratch, &slot);

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
	if (!stack__claim(s)) {
		counters__add(counters, COUNTER_DROPPED_SCRATCH_BUSY);
		return 0;
	}
	stack__identify(&s->event.header, task, leader, EVENT_CPU);
	take_sample(ctx, s, counters, task);
	stack__release(s);
	return 0;
}
