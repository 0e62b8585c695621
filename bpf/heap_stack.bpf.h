/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The stack of a selected allocation, at the site that was hit. Private to heap.bpf.c.
 */
#ifndef HEAP_STACK_BPF_H
#define HEAP_STACK_BPF_H

#include "heap_maps.bpf.h"
#include "stack.bpf.h"

#define STACK_ID_CPU_SHIFT  48
#define STACK_ID_HEAP       (1ULL << 47) /* no id of another kind */
#define STACK_ID_SLOT_SHIFT 46

static __always_inline u32 claim_key(u32 slot)
{
	return bpf_get_smp_processor_id() * SCRATCH_HEAP_SLOTS + slot - SCRATCH_HEAP;
}

static __always_inline bool claim_slot(u32 slot)
{
	u32 key = claim_key(slot), taken = 1;

	return !bpf_map_update_elem(&heap_claims, &key, &taken, BPF_NOEXIST);
}

/* A thread that we have preempted may be in the middle of a record. Programs stay on their CPU. */
static __always_inline u32 heap_stack__claim(void)
{
	if (claim_slot(SCRATCH_HEAP))
		return SCRATCH_HEAP;
	if (claim_slot(SCRATCH_HEAP + 1))
		return SCRATCH_HEAP + 1;
	return SCRATCH_SLOTS;
}

static __always_inline void heap_stack__release(u32 slot)
{
	u32 key = claim_key(slot);

	bpf_map_delete_elem(&heap_claims, &key);
}

static __always_inline u64 next_id(struct scratch *s, u32 slot)
{
	return (u64)(bpf_get_smp_processor_id() + 1) << STACK_ID_CPU_SHIFT | STACK_ID_HEAP |
	       (u64)(slot - SCRATCH_HEAP) << STACK_ID_SLOT_SHIFT | ++s->seq;
}

/*
 * Walks from the registers in scratch slot 'slot' and sends what it finds as a record of that id.
 * Global, so that it is verified once; hence scalars only. Returns 0 or why it was dropped.
 */
__noinline int heap_stack_send(u32 slot, u32 cs, u64 id)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	u32 kind = EVENT_HEAP_STACK;
	struct event_counters *counters = bpf_map_lookup_elem(&event_counters, &kind);
	struct scratch *s = bpf_map_lookup_elem(&scratch, &slot);
	struct stack_event_header *h;

	if (!counters || !s)
		return -1;
	h = &s->event.header;
	stack__identify(h, task, BPF_CORE_READ(task, group_leader), EVENT_HEAP_STACK);
	h->stack_id = id;
	h->thread_start_ns = BPF_CORE_READ(task, start_boottime);
	stack__take_user(s, slot, task, cs, true);
	return stack__submit(NULL, s, slot, EVENT_HEAP_STACK_COLD, counters, true) ? -1 : 0;
}

/* Returns its id, or STACK_ID_LOST. */
static __noinline u64 heap_stack__take(struct pt_regs *ctx)
{
	u32 kind = EVENT_HEAP_STACK, slot;
	struct event_counters *counters = bpf_map_lookup_elem(&event_counters, &kind);
	struct scratch *s;
	u64 id;

	if (!counters)
		return STACK_ID_LOST;
	counters__add_shared(counters, COUNTER_FIRED);
	slot = heap_stack__claim();
	s = bpf_map_lookup_elem(&scratch, &slot);
	if (!s) {
		counters__add_shared(counters, COUNTER_DROPPED_SCRATCH_BUSY);
		return STACK_ID_LOST;
	}
	id = next_id(s, slot);
	if (heap_stack_send(slot, compat__regs_of_probe(ctx, s->walk.regs), id))
		id = STACK_ID_LOST;
	heap_stack__release(slot);
	return id;
}

#endif
