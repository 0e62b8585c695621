// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * CPU samples: runs at every tick of a perf CPU-clock event, once per CPU and period. Every tick
 * ends in exactly one counter.
 */
#include "compat.bpf.h"
#include "filter.bpf.h"
#include "maps.bpf.h"
#include "unwind.bpf.h"

#define COLD_COPIES_MAX 256 /* of one process in one second */

static __always_inline void fill_identity(struct cpu_event_header *h, struct task_struct *task,
					  struct task_struct *leader, u64 pid_tgid)
{
	h->kind = EVENT_CPU;
	h->time_ns = bpf_ktime_get_ns();
	h->start_ns = BPF_CORE_READ(leader, start_boottime);
	h->tgid = pid_tgid >> 32;
	h->tid = (u32)pid_tgid;
	h->exec_id = BPF_CORE_READ(task, self_exec_id);
	h->cpu = bpf_get_smp_processor_id();
	h->kernel_frames_cnt = 0;
	h->user_frames_cnt = 0;
	__builtin_memset(h->reserved, 0, sizeof(h->reserved));
	bpf_get_current_comm(h->comm, sizeof(h->comm));
	bpf_probe_read_kernel(h->leader_comm, sizeof(h->leader_comm), leader->comm);
}

static __always_inline u32 take_kernel_stack(struct bpf_perf_event_data *ctx, u64 *frames)
{
	long bytes = bpf_get_stack(ctx, frames, MAX_KERNEL_FRAMES * sizeof(u64), 0);

	return bytes > 0 ? bytes / sizeof(u64) : 0;
}

static __always_inline void keep_top_only(struct cpu_event *ev, u64 pc, enum unwind_outcome outcome)
{
	u64 idx = ev->header.kernel_frames_cnt;

	BOUND(idx, MAX_FRAMES - 1);
	ev->frames[idx] = pc;
	ev->header.user_frames_cnt = 1;
	ev->header.outcome = outcome;
}

static __always_inline void take_user_stack(struct bpf_perf_event_data *ctx, struct scratch *s,
					    struct task_struct *task, bool in_user_mode)
{
	struct unwind_context *w = &s->walk;
	u16 cs;

	if (in_user_mode) {
		cs = compat__regs_of_tick(ctx, w->regs);
	} else if (BPF_CORE_READ(task, flags) & (PF_KTHREAD | PF_IO_WORKER | PF_USER_WORKER)) {
		s->event.header.outcome = UNWIND_KERNEL_THREAD;
		return;
	} else {
		cs = compat__regs_of_task(task, w->regs);
	}
	if (!cs) {
		/* Born in the kernel (a usermode helper) and not yet in its program. */
		s->event.header.outcome = UNWIND_KERNEL_THREAD;
		return;
	}
	if (cs != X86_USER_CS) {
		keep_top_only(&s->event, w->regs[UNWIND_REG_RA], UNWIND_COMPAT);
		return;
	}
	if (!in_user_mode && !compat__has_stack(task, w->regs[UNWIND_REG_SP])) {
		s->event.header.outcome = UNWIND_NO_STACK;
		return;
	}
	s->event.header.outcome = UNWIND_COLD;
	if (!unwind__find_process(w, &s->event.header))
		return;
	w->frame.pc = w->regs[UNWIND_REG_RA];
	w->frame.sp = w->regs[UNWIND_REG_SP];
	w->frame.fp = w->regs[UNWIND_REG_FP];
	w->frame.exact = 1;
	/* In a system call the kernel has saved them all; rcx and r11 no rule asks for. */
	w->frame.has_regs = 1;
	w->window_start = ~0ULL;
	unwind_user_stack(SCRATCH_CPU);
}

/* One more copy for this process? A program whose tables cannot be made must not cost a copy at
 * every tick for ever, and copies must not push small samples out of the ring. */
static __always_inline bool grant_copy(u32 tgid, u64 now_ns)
{
	struct cold_budget fresh = { .second = now_ns >> 30, .used = 1 };
	struct cold_budget *b = bpf_map_lookup_elem(&cold_budgets, &tgid);

	if (bpf_ringbuf_query(&samples, BPF_RB_AVAIL_DATA) > cold_ring_bytes)
		return false;
	if (!b || b->second != fresh.second) {
		bpf_map_update_elem(&cold_budgets, &tgid, &fresh, BPF_ANY);
		return true;
	}
	return b->used++ < COLD_COPIES_MAX;
}

/* Where a copy begins: at the stack pointer, but a frame that has just been made may lie in pages
 * that nobody has touched yet. */
static __always_inline u64 find_stack(u64 sp)
{
	u64 word, at = sp;
	int i;

#pragma unroll
	for (i = 0; i < COLD_SKIPPED_MAX; i++) {
		if (!bpf_probe_read_user(&word, sizeof(word), (void *)at))
			return at;
		at = (at | (COLD_CHUNK_BYTES - 1)) + 1;
	}
	return sp;
}

static __always_inline u32 copy_stack(struct cold_event *cold, u64 sp)
{
	u32 bytes = 0, chunk;

#pragma unroll
	for (chunk = 0; chunk < COLD_STACK_BYTES; chunk += COLD_CHUNK_BYTES) {
		if (bpf_probe_read_user(cold->stack + chunk, COLD_CHUNK_BYTES,
					(void *)(sp + chunk)))
			break;
		bytes = chunk + COLD_CHUNK_BYTES;
	}
	return bytes;
}

/* The end of the stack is mostly less than a chunk away: what is left of its page, and of those
 * after it, in words is not worth a loop; a page's rest is. */
static __always_inline u32 copy_rest(struct cold_event *cold, u64 sp, u32 bytes)
{
	u64 rest = COLD_CHUNK_BYTES - ((sp + bytes) & (COLD_CHUNK_BYTES - 1));

	if (bytes > COLD_STACK_BYTES - COLD_CHUNK_BYTES)
		return bytes;
	BOUND(rest, COLD_CHUNK_BYTES - 1);
	if (!rest || bpf_probe_read_user(cold->stack + bytes, rest, (void *)(sp + bytes)))
		return bytes;
	return bytes + rest;
}

static __always_inline void count_output(struct event_counters *counters, long err)
{
	counters__add(counters, err ? COUNTER_DROPPED_RING_FULL : COUNTER_SUBMITTED);
}

static __always_inline void submit_cold(struct bpf_perf_event_data *ctx, struct scratch *s,
					struct event_counters *counters, bool in_user_mode)
{
	u32 zero = 0;
	struct cold_event *cold = bpf_map_lookup_elem(&cold_scratch, &zero);
	u64 bytes, start;

	if (!cold) {
		counters__add(counters, COUNTER_DROPPED_SCRATCH_BUSY);
		return;
	}
	cold->header = s->event.header;
	cold->header.kind = EVENT_CPU_COLD;
	cold->header.user_frames_cnt = 0;
	__builtin_memcpy(cold->regs, s->walk.regs, sizeof(cold->regs));
	if (!in_user_mode)
		cold->header.kernel_frames_cnt = take_kernel_stack(ctx, cold->kernel_frames);
	start = find_stack(cold->regs[UNWIND_REG_SP]);
	cold->skipped_bytes = start - cold->regs[UNWIND_REG_SP];
	cold->stack_bytes = copy_stack(cold, start);
	cold->stack_bytes = copy_rest(cold, start, cold->stack_bytes);
	bytes = offsetof(struct cold_event, stack) + cold->stack_bytes;
	if (bytes > sizeof(*cold))
		bytes = sizeof(*cold);
	cold->header.size = bytes;
	count_output(counters, bpf_ringbuf_output(&samples, cold, bytes, BPF_RB_NO_WAKEUP));
}

static __always_inline void submit(struct scratch *s, struct event_counters *counters)
{
	struct cpu_event_header *h = &s->event.header;
	u64 bytes =
		CPU_EVENT_HEADER_BYTES + sizeof(u64) * (h->kernel_frames_cnt + h->user_frames_cnt);

	/* The header and MAX_FRAMES frames are no power of two: compare, the verifier follows. */
	if (bytes > sizeof(s->event))
		bytes = sizeof(s->event);
	h->size = bytes;
	count_output(counters, bpf_ringbuf_output(&samples, &s->event, bytes, BPF_RB_NO_WAKEUP));
}

static __always_inline void take_sample(struct bpf_perf_event_data *ctx, struct scratch *s,
					struct event_counters *counters, struct task_struct *task)
{
	bool in_user_mode = compat__in_user_mode(ctx);
	struct cpu_event_header *h = &s->event.header;

	if (!in_user_mode)
		h->kernel_frames_cnt = take_kernel_stack(ctx, s->event.frames);
	take_user_stack(ctx, s, task, in_user_mode);
	if (h->outcome == UNWIND_COLD) {
		if (grant_copy(h->tgid, h->time_ns)) {
			submit_cold(ctx, s, counters, in_user_mode);
			return;
		}
		/* What was walked before the unknown code is kept. */
		h->outcome = UNWIND_NO_TABLE;
		if (!h->user_frames_cnt)
			keep_top_only(&s->event, s->walk.regs[UNWIND_REG_RA], UNWIND_NO_TABLE);
	}
	submit(s, counters);
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
	/* Contexts nest like a stack on one CPU: what interrupts us here is done before we go on,
	 * so a plain test-and-set cannot be torn. (The kernel also keeps perf programs from
	 * nesting.) */
	if (s->busy) {
		counters__add(counters, COUNTER_DROPPED_SCRATCH_BUSY);
		return 0;
	}
	s->busy = 1;
	fill_identity(&s->event.header, task, leader, pid_tgid);
	take_sample(ctx, s, counters, task);
	s->busy = 0;
	return 0;
}
