// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * Allocations and frees: runs at every hit of a probed site, in the thread that calls it. What is
 * not selected, which most is not, costs a few loads and a subtraction; a selected allocation has
 * its stack taken at entry, and its memory's address at its return, which is asked for (session) or
 * awaited (a return probe). Every hit of an allocation function ends in exactly one counter, a
 * selected one perhaps at its return, or when somebody notices that there will be none. These
 * programs can be preempted: what others on this CPU may write, too, is claimed or added to
 * atomically.
 */
#include "compat.bpf.h"
#include "filter.bpf.h"
#include "heap_live.bpf.h"
#include "heap_maps.bpf.h"
#include "heap_site.bpf.h"
#include "heap_stack.bpf.h"
#include "maps.bpf.h"

/* Answers of a session program at entry. */
#define RETURN_WANTED   0
#define RETURN_UNWANTED 1

#define RETURN_ADDRESS_BYTES 8
#define USER_ADDRESS_BITS    47 /* more than that no process has */

static __always_inline bool is_filtered(u64 cookie)
{
	u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct task_struct *task;

	if (!(cookie & HEAP_COOKIE_ASKS_FILTER))
		return false;
	task = (void *)bpf_get_current_task();
	return tgid == heap_own_tgid ||
	       !filter__admits_current(BPF_CORE_READ(task, group_leader), tgid);
}

/* Hits while links come and go are counted, for what they cost, and no more. */
static __always_inline bool is_paused(u64 cookie)
{
	return !heap_q && !(cookie & HEAP_COOKIE_CALIBRATION);
}

struct allocation {
	u64 pointer; /* 0: there is memory, but nobody knows where */
	u64 bytes, weighted_bytes;
	u64 stack_id;
	u64 q;
};

/* An allocation that has its memory: into the live set and the ring. */
static __noinline void submit(struct event_counters *counters, const struct allocation *a)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u64 pid_tgid = bpf_get_current_pid_tgid();
	struct heap_alloc_event ev = {
		.kind = EVENT_HEAP_ALLOC,
		.size = sizeof(ev),
		.time_ns = bpf_ktime_get_ns(),
		.stack_id = a->stack_id,
		.thread_start_ns = BPF_CORE_READ(task, start_boottime),
		.start_ns = BPF_CORE_READ(task, group_leader, start_boottime),
		.bytes = a->bytes,
		.weighted_bytes = a->weighted_bytes,
		.tgid = pid_tgid >> 32,
		.tid = (u32)pid_tgid,
		.cpu = bpf_get_smp_processor_id(),
		.q = a->q,
	};
	struct heap_key key = {
		.address_space = heap_live__address_space(),
		.pointer = a->pointer,
	};
	struct heap_live live = {
		.stack_id = a->stack_id,
		.bytes = a->bytes,
		.weighted_bytes = a->weighted_bytes,
		.time_ns = ev.time_ns,
		.q = ev.q,
	};

	if (heap_live__is_kept() && a->pointer) {
		heap_live__describe_owner(&live, task);
		ev.is_live = !bpf_map_update_elem(&heap_live, &key, &live, BPF_ANY);
	}
	if (bpf_ringbuf_output(&samples, &ev, sizeof(ev), ring__flags())) {
		if (heap_keeps_live && ev.is_live)
			bpf_map_delete_elem(&heap_live, &key);
		counters__add_shared(counters, COUNTER_DROPPED_RING_FULL);
		return;
	}
	if (heap_live__is_kept() && !ev.is_live)
		counters__add_shared(counters, COUNTER_LIVE_FULL);
	counters__add_shared(counters, COUNTER_SUBMITTED);
}

/* The process has selected it and tells its weight. */
static __noinline void enter_told(struct pt_regs *ctx, u64 cookie)
{
	struct allocation a = {
		.pointer = heap_site__argument(ctx, HEAP_COOKIE_REG(cookie, PTR)),
		.bytes = heap_site__argument(ctx, HEAP_COOKIE_REG(cookie, SIZE)) ?: 1,
		.weighted_bytes = heap_site__argument(ctx, HEAP_COOKIE_REG(cookie, COUNT)),
		.q = heap_q,
	};
	u32 kind = EVENT_HEAP_ALLOC;
	struct event_counters *counters = bpf_map_lookup_elem(&event_counters, &kind);

	if (!counters)
		return;
	counters__add_shared(counters, COUNTER_FIRED);
	if (is_filtered(cookie)) {
		counters__add_shared(counters, COUNTER_FILTERED);
		return;
	}
	if (!a.q) {
		counters__add_shared(counters, COUNTER_UNSAMPLED);
		return;
	}
	if (!a.pointer) {
		counters__add_shared(counters, COUNTER_FAILED);
		return;
	}
	if (a.pointer == (u64)HEAP_POINTER_UNTOLD)
		a.pointer = 0;
	if (!a.weighted_bytes)
		a.weighted_bytes = a.bytes;
	a.stack_id = heap_stack__take(ctx);
	submit(counters, &a);
}

/* What no program asks for that could go on without it. */
#define LARGE_BYTES (64ULL << 20)

#define RLIMIT_DATA      2
#define RLIMIT_AS        9
#define RLIMIT_UNLIMITED (~0UL)

/*
 * Whether operator new may find no memory: this many bytes, or in a process that has set itself a
 * limit. Elsewhere Linux gives memory away until it has to kill somebody.
 */
static __noinline bool may_throw(u64 cookie, u64 bytes)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if (!(cookie & HEAP_COOKIE_FLAG(HEAP_SITE_THROWS)))
		return false;
	if (!heap_has_session || heap_memory_is_strict || bytes >= LARGE_BYTES ||
	    cookie & HEAP_COOKIE_FLAG(HEAP_SITE_THROWS_AT_WILL))
		return true;
	return BPF_CORE_READ(task, signal, rlim[RLIMIT_AS].rlim_cur) != RLIMIT_UNLIMITED ||
	       BPF_CORE_READ(task, signal, rlim[RLIMIT_DATA].rlim_cur) != RLIMIT_UNLIMITED;
}

/* It is taken for granted that there will be memory; where, will not be known. */
static __always_inline void submit_unseen(struct event_counters *counters,
					  const struct heap_pending *p)
{
	const struct allocation a = { .bytes = p->bytes, .stack_id = p->stack_id, .q = p->q };

	submit(counters, &a);
}

/* What is to be known at the return of a call that is selected, or (realloc) may take something out
 * of the live set. Returns whether that return is wanted. */
static __noinline bool await_return(struct pt_regs *ctx, u64 cookie,
				    struct event_counters *counters, u64 bytes, bool is_selected)
{
	struct heap_pending p = {
		.sp = ctx->rsp,
		.bytes = bytes ?: 1,
		.q = heap_q,
		.is_selected = is_selected,
		.is_zero = !bytes,
	};
	bool has_old = false;
	u64 old;

	/* And where operator new is to throw, nobody may stand in its way: the unwinder does not
	 * know the return probe's address. */
	if (bytes >> USER_ADDRESS_BITS) {
		counters__add_shared(counters, COUNTER_FAILED);
		return false;
	}
	if (HEAP_COOKIE_FIELD(cookie, CALL) == HEAP_CALL_REALLOC && heap_live__is_kept()) {
		old = heap_site__argument(ctx, HEAP_COOKIE_REG(cookie, PTR));
		has_old = old && heap_live__note_old(&p, old);
	}
	if (!is_selected && !has_old) {
		counters__add_shared(counters, COUNTER_UNSAMPLED);
		return false;
	}
	if (heap_site__is_nested(ctx, cookie)) {
		counters__add_shared(counters, COUNTER_NESTED);
		return false;
	}
	if (is_selected)
		p.stack_id = heap_stack__take(ctx);
	else
		counters__add_shared(counters, COUNTER_UNSAMPLED);
	if (may_throw(cookie, bytes)) {
		if (is_selected)
			submit_unseen(counters, &p);
		return false;
	}
	if (HEAP_COOKIE_FIELD(cookie, CALL) == HEAP_CALL_POSIX_MEMALIGN)
		p.out_pointer = heap_site__argument(ctx, HEAP_COOKIE_REG(cookie, OUT));
	if (!heap_pending__add(counters, &p))
		return true;
	if (is_selected)
		counters__add_shared(counters, COUNTER_DROPPED_SCRATCH_BUSY);
	return false;
}

/* Whether the next sample lies in these bytes. */
static __always_inline bool select(struct heap_cpu *cpu, u64 bytes)
{
	/* Read once: who preempts us must not make it less than what is taken off. */
	u64 left = *(volatile u64 *)&cpu->left;

	if (heap_interval == 1)
		return true;
	if (left >= bytes) {
		cpu->left = left - bytes;
		return false;
	}
	cpu->left = heap_gap(bpf_get_prandom_u32(), heap_ln, heap_interval);
	return true;
}

/* A hit of an allocation function. Returns whether its return is wanted. */
static __always_inline bool enter_alloc(struct pt_regs *ctx, u64 cookie)
{
	u32 kind = cookie & HEAP_COOKIE_CALIBRATION ? EVENT_HEAP_CALIBRATION : EVENT_HEAP_ALLOC;
	struct event_counters *counters = bpf_map_lookup_elem(&event_counters, &kind);
	u64 call = HEAP_COOKIE_FIELD(cookie, CALL), bytes;
	struct heap_cpu *cpu;
	bool is_selected;
	u32 zero = 0;

	cpu = bpf_map_lookup_elem(&heap_cpus, &zero);
	if (!counters || !cpu)
		return false;
	counters__add_shared(counters, COUNTER_FIRED);
	if (is_filtered(cookie)) {
		counters__add_shared(counters, COUNTER_FILTERED);
		return false;
	}
	if (is_paused(cookie)) {
		counters__add_shared(counters, COUNTER_UNSAMPLED);
		return false;
	}
	if (heap_site__goes_on(ctx, cookie)) {
		counters__add_shared(counters, COUNTER_NESTED);
		return false;
	}
	bytes = heap_site__bytes(ctx, cookie);
	is_selected = select(cpu, bytes ?: 1) && !(cookie & HEAP_COOKIE_CALIBRATION);
	if (unlikely(is_selected) || (call == HEAP_CALL_REALLOC && heap_live__is_kept()))
		return await_return(ctx, cookie, counters, bytes, is_selected);
	counters__add_shared(counters, COUNTER_UNSAMPLED);
	return false;
}

static __always_inline void enter_free(struct pt_regs *ctx, u64 cookie)
{
	u32 kind = cookie & HEAP_COOKIE_CALIBRATION ? EVENT_HEAP_CALIBRATION : EVENT_HEAP_FREE;
	struct event_counters *counters = bpf_map_lookup_elem(&event_counters, &kind);
	u64 pointer;

	if (!counters)
		return;
	counters__add_shared(counters, COUNTER_FIRED);
	if (is_filtered(cookie)) {
		counters__add_shared(counters, COUNTER_FILTERED);
		return;
	}
	pointer = heap_site__argument(ctx, HEAP_COOKIE_REG(cookie, PTR));
	if (heap_keeps_live && pointer && heap_live__remove(pointer))
		counters__add_shared(counters, COUNTER_SUBMITTED);
	else
		counters__add_shared(counters, COUNTER_UNSAMPLED);
}

static __always_inline bool is_counted(u64 cookie)
{
	return heap_is_open || cookie & HEAP_COOKIE_CALIBRATION;
}

/* The call is over; 'pointer' is its memory, 0 if there is none. */
static __always_inline void finish(struct event_counters *counters, const struct heap_pending *p,
				   u64 pointer)
{
	const struct allocation a = {
		.pointer = pointer, .bytes = p->bytes, .stack_id = p->stack_id, .q = p->q
	};

	/* realloc that fails leaves the old memory as it was. */
	if (heap_keeps_live && p->old_pointer && (pointer || p->is_zero))
		heap_live__remove_old(p);
	if (!p->is_selected)
		return;
	if (pointer)
		submit(counters, &a);
	else
		counters__add_shared(counters, COUNTER_FAILED);
}

static __always_inline void leave_alloc(struct pt_regs *ctx)
{
	u64 thread = bpf_get_current_pid_tgid(), pointer = ctx->rax;
	struct heap_pending *found = bpf_map_lookup_elem(&heap_pending, &thread), p;
	u32 kind = EVENT_HEAP_ALLOC;
	struct event_counters *counters = bpf_map_lookup_elem(&event_counters, &kind);

	/* Of a call inside the one that is awaited. */
	if (!found || !counters || found->sp + RETURN_ADDRESS_BYTES != ctx->rsp)
		return;
	p = *found;
	if (bpf_map_delete_elem(&heap_pending, &thread))
		return;
	if (p.out_pointer &&
	    ((u32)pointer || bpf_probe_read_user(&pointer, sizeof(pointer), (void *)p.out_pointer)))
		pointer = 0;
	finish(counters, &p, pointer);
}

/* Entry and, where it was asked for, return. */
SEC("?uprobe")
int heap_session(struct pt_regs *ctx)
{
	u64 cookie;

	if (bpf_get_func_ip(ctx) != ctx->rip) {
		leave_alloc(ctx);
		return 0;
	}
	cookie = heap_site__cookie(ctx);
	if (!is_counted(cookie))
		return RETURN_UNWANTED;
	return enter_alloc(ctx, cookie) ? RETURN_WANTED : RETURN_UNWANTED;
}

/*
 * Entry. Where there are sessions, of functions that free and of USDT probes only: those lie
 * anywhere in a function, where a return probe would overwrite what is no return address. A session
 * may have one although its program never asks for it: another process's on the same place, or the
 * parent's in its child, does not cancel it.
 */
SEC("?uprobe")
int heap_enter(struct pt_regs *ctx)
{
	u64 cookie = heap_site__cookie(ctx), call = HEAP_COOKIE_FIELD(cookie, CALL);

	if (!is_counted(cookie))
		return 0;
	if (call == HEAP_CALL_FREE || call == HEAP_CALL_USDT_FREE)
		enter_free(ctx, cookie);
	else if (call == HEAP_CALL_USDT_ALLOC)
		enter_told(ctx, cookie);
	else if (!heap_has_session)
		enter_alloc(ctx, cookie);
	return 0;
}

SEC("?uprobe")
int heap_return(struct pt_regs *ctx)
{
	leave_alloc(ctx);
	return 0;
}
