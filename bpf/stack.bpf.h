/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * A stack of the current task as a record in the ring: who it is, the kernel frames, the user
 * frames by the tables, or, where there are none yet, a copy of the user stack. Called by every
 * program that takes stacks, with the slot of scratch memory it has claimed; knows no kind of
 * event.
 */
#ifndef STACK_BPF_H
#define STACK_BPF_H

#include "compat.bpf.h"
#include "maps.bpf.h"
#include "unwind.bpf.h"

#define COLD_COPIES_MAX  256 /* of one process in one second */
#define COLD_RETURNS_MAX 8   /* calls whose return is probed, innermost first */

/* Contexts nest like a stack on one CPU: what interrupts us is done before we go on, so a plain
 * test-and-set cannot be torn. (The kernel also keeps perf programs from nesting.) */
static __always_inline bool stack__claim(struct scratch *s)
{
	if (s->busy)
		return false;
	s->busy = 1;
	return true;
}

static __always_inline void stack__release(struct scratch *s)
{
	s->busy = 0;
}

static __always_inline void stack__identify(struct stack_event_header *h, struct task_struct *task,
					    struct task_struct *leader, u32 kind)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();

	h->kind = kind;
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
	h->stack_id = STACK_ID_NONE;
	h->thread_start_ns = 0;
}

static __always_inline u32 stack__take_kernel(void *ctx, u64 *frames)
{
	long bytes = bpf_get_stack(ctx, frames, MAX_KERNEL_FRAMES * sizeof(u64), 0);

	return bytes > 0 ? bytes / sizeof(u64) : 0;
}

static __always_inline void keep_top_only(struct stack_event *ev, u64 pc,
					  enum unwind_outcome outcome)
{
	u64 idx = ev->header.kernel_frames_cnt;

	BOUND(idx, MAX_FRAMES - 1);
	ev->frames[idx] = pc;
	ev->header.user_frames_cnt = 1;
	ev->header.outcome = outcome;
}

/* The registers the task entered the kernel with; returns their cs, 0 for a task without any. */
static __always_inline u16 stack__saved_regs(struct scratch *s, struct task_struct *task)
{
	if (BPF_CORE_READ(task, flags) & (PF_KTHREAD | PF_IO_WORKER | PF_USER_WORKER))
		return 0;
	return compat__regs_of_task(task, s->walk.regs);
}

/* From the registers in s->walk.regs, behind the kernel frames. 'slot' is that of s. */
static __always_inline void stack__take_user(struct scratch *s, u32 slot, struct task_struct *task,
					     u16 cs, bool in_user_mode)
{
	struct unwind_context *w = &s->walk;

	if (!cs) {
		/* Also born in the kernel (a usermode helper) and not yet in its program. */
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
	w->trampoline = compat__return_trampoline(task);
	w->window_start = ~0ULL;
	unwind__walk(s, slot);
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

/* Puts the return addresses back that the kernel has replaced because returns are probed. */
static __always_inline void restore_returns(struct cold_event *cold, u64 sp)
{
	struct return_instance *call =
		compat__probed_returns((struct task_struct *)bpf_get_current_task());
	u64 offset;
	int i;

	for (i = 0; i < COLD_RETURNS_MAX && call; i++) {
		offset = BPF_CORE_READ(call, stack) - sp;
		if (offset <= COLD_STACK_BYTES - sizeof(u64))
			*(u64 *)(cold->stack + offset) = BPF_CORE_READ(call, orig_ret_vaddr);
		call = BPF_CORE_READ(call, next);
	}
}

static __always_inline long submit_cold(void *ctx, struct scratch *s, u32 slot, u32 kind,
					bool in_user_mode)
{
	struct cold_event *cold = bpf_map_lookup_elem(&cold_scratch, &slot);
	u64 bytes, start;

	if (!cold)
		return -1;
	cold->header = s->event.header;
	cold->header.kind = kind;
	cold->header.user_frames_cnt = 0;
	__builtin_memcpy(cold->regs, s->walk.regs, sizeof(cold->regs));
	if (!in_user_mode)
		cold->header.kernel_frames_cnt = stack__take_kernel(ctx, cold->kernel_frames);
	start = find_stack(cold->regs[UNWIND_REG_SP]);
	cold->skipped_bytes = start - cold->regs[UNWIND_REG_SP];
	cold->stack_bytes = copy_stack(cold, start);
	cold->stack_bytes = copy_rest(cold, start, cold->stack_bytes);
	restore_returns(cold, start);
	bytes = offsetof(struct cold_event, stack) + cold->stack_bytes;
	if (bytes > sizeof(*cold))
		bytes = sizeof(*cold);
	cold->header.size = bytes;
	return bpf_ringbuf_output(&samples, cold, bytes, ring__flags());
}

static __always_inline long submit_walked(struct scratch *s)
{
	struct stack_event_header *h = &s->event.header;
	u64 bytes = STACK_EVENT_HEADER_BYTES +
		    sizeof(u64) * (h->kernel_frames_cnt + h->user_frames_cnt);

	/* The header and MAX_FRAMES frames are no power of two: compare, the verifier follows. */
	if (bytes > sizeof(s->event))
		bytes = sizeof(s->event);
	h->size = bytes;
	return bpf_ringbuf_output(&samples, &s->event, bytes, ring__flags());
}

/* Sends what has been taken, or a copy, as a record of kind 'cold_kind', where that is needed.
 * Counts; returns 0 or why it was dropped. */
static __always_inline long stack__submit(void *ctx, struct scratch *s, u32 slot, u32 cold_kind,
					  struct event_counters *counters, bool in_user_mode)
{
	struct stack_event_header *h = &s->event.header;
	bool is_cold = false;
	long err;

	if (h->outcome == UNWIND_COLD) {
		is_cold = grant_copy(h->tgid, h->time_ns);
		if (!is_cold) {
			/* What was walked before the unknown code is kept. */
			h->outcome = UNWIND_NO_TABLE;
			if (!h->user_frames_cnt)
				keep_top_only(&s->event, s->walk.regs[UNWIND_REG_RA],
					      UNWIND_NO_TABLE);
		}
	}
	err = is_cold ? submit_cold(ctx, s, slot, cold_kind, in_user_mode) : submit_walked(s);
	if (err)
		counters__add_shared(counters, COUNTER_DROPPED_RING_FULL);
	else
		counters__add_shared(counters, COUNTER_SUBMITTED);
	return err;
}

#endif
