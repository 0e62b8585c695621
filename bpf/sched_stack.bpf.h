/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Of which switch-outs sched.bpf.c takes the stack: by chance, where waits are long almost surely,
 * and so many at most. Private to it.
 */
#ifndef SCHED_STACK_BPF_H
#define SCHED_STACK_BPF_H

#include "sched_cpu.bpf.h"
#include "stack.bpf.h"

#define Q_CERTAIN         (~0U)
#define Q_MIN             (1U << 26) /* one in 64 */
#define MEAN_CERTAIN_BITS 20         /* threads whose waits last 2^20 ns are always sampled */
#define STACK_GAP_NS      4000000ULL
#define STACKS_AT_ONCE    50
#define MEAN_WEIGHT_BITS  3

/* Nothing is known of its waits: its stack is taken. */
static __always_inline void sampling__start(struct sched_task *t)
{
	t->mean_ns = 1U << MEAN_CERTAIN_BITS;
	t->q = Q_CERTAIN;
}

/* A wait has ended: the longer the recent ones, the surer the next stack is taken. */
static __always_inline void sampling__learn(struct sched_task *t, u64 wait_ns)
{
	const u64 most_ns = 2U << MEAN_CERTAIN_BITS;
	u64 recent_ns = wait_ns < most_ns ? wait_ns : most_ns, q;

	t->mean_ns += (recent_ns >> MEAN_WEIGHT_BITS) - (t->mean_ns >> MEAN_WEIGHT_BITS);
	q = (u64)t->mean_ns << (32 - MEAN_CERTAIN_BITS);
	t->q = q > Q_CERTAIN ? Q_CERTAIN : q < Q_MIN ? Q_MIN : q;
}

/* The longer a thread's recent waits, the surer its stack is taken; STACK_GAP_NS apart on average,
 * and STACKS_AT_ONCE at most. */
static __always_inline bool sampling__wants(struct sched_cpu *cpu, u32 q, u64 now)
{
	bool is_wanted = false;

	cpu->random = cpu->random * 6364136223846793005ULL + 1442695040888963407ULL;
	if (unlikely(cpu->random >> 32 <= q)) {
		if (cpu->stacks_until_ns < now)
			cpu->stacks_until_ns = now;
		is_wanted = cpu->stacks_until_ns - now <= STACKS_AT_ONCE * STACK_GAP_NS;
		if (is_wanted)
			cpu->stacks_until_ns += STACK_GAP_NS;
	}
	return is_wanted;
}

static __noinline u64 sampling__take(u64 *ctx, struct sched_cpu *cpu, struct task_struct *prev)
{
	u32 kind = EVENT_SCHED_STACK, slot = SCRATCH_SCHED;
	struct event_counters *counters = bpf_map_lookup_elem(&event_counters, &kind);
	struct scratch *s = bpf_map_lookup_elem(&scratch, &slot);
	struct stack_event_header *h;
	u64 id;
	u16 cs;

	if (!counters || !s)
		return STACK_ID_LOST;
	counters__add(counters, COUNTER_FIRED);
	if (!stack__claim(s)) {
		counters__add(counters, COUNTER_DROPPED_SCRATCH_BUSY);
		return STACK_ID_LOST;
	}
	h = &s->event.header;
	stack__identify(h, prev, BPF_CORE_READ(prev, group_leader), EVENT_SCHED_STACK);
	id = (u64)(bpf_get_smp_processor_id() + 1) << 48 | ++cpu->stack_seq;
	h->stack_id = id;
	h->thread_start_ns = prev->start_boottime;
	h->kernel_frames_cnt = stack__take_kernel(ctx, s->event.frames);
	cs = stack__saved_regs(s, prev);
	stack__take_user(s, SCRATCH_SCHED, prev, cs, false);
	if (stack__submit(ctx, s, SCRATCH_SCHED, EVENT_SCHED_STACK_COLD, counters, false))
		id = STACK_ID_LOST;
	stack__release(s);
	return id;
}

#endif
