/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The live set, and calls whose return is awaited. Private to heap.bpf.c.
 */
#ifndef HEAP_LIVE_BPF_H
#define HEAP_LIVE_BPF_H

#include "heap_maps.bpf.h"

static __always_inline bool heap_live__is_kept(void)
{
	return heap_keeps_live && !heap_has_ended_live;
}

static __always_inline u64 heap_live__address_space(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return (u64)BPF_CORE_READ(task, mm);
}

/* Of whom the memory is: a vfork child's is its parent's. */
static __always_inline void heap_live__describe_owner(struct heap_live *live,
						      struct task_struct *task)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	struct task_struct *owner = task;

	if (bpf_core_field_exists(mm->owner))
		owner = BPF_CORE_READ(mm, owner) ?: task;
	live->tgid = BPF_CORE_READ(owner, tgid);
	live->start_ns = BPF_CORE_READ(owner, group_leader, start_boottime);
}

/* Whether it was there. A miss, which most are, takes no lock. */
static __always_inline bool heap_live__remove(u64 pointer)
{
	struct heap_key key = { .address_space = heap_live__address_space(), .pointer = pointer };

	return bpf_map_lookup_elem(&heap_live, &key) && !bpf_map_delete_elem(&heap_live, &key);
}

/* What realloc has moved, unless somebody has been given the same memory since. */
static __always_inline void heap_live__remove_old(const struct heap_pending *p)
{
	struct heap_key key = {
		.address_space = heap_live__address_space(),
		.pointer = p->old_pointer,
	};
	struct heap_live *live = bpf_map_lookup_elem(&heap_live, &key);

	if (live && live->stack_id == p->old_stack_id && live->time_ns == p->old_time_ns)
		bpf_map_delete_elem(&heap_live, &key);
}

/* Notes which entry a realloc is about to take out; false: it is of none that we follow. */
static __always_inline bool heap_live__note_old(struct heap_pending *p, u64 pointer)
{
	struct heap_key key = { .address_space = heap_live__address_space(), .pointer = pointer };
	struct heap_live *live = bpf_map_lookup_elem(&heap_live, &key);

	if (!live)
		return false;
	p->old_pointer = pointer;
	p->old_stack_id = live->stack_id;
	p->old_time_ns = live->time_ns;
	return true;
}

/* A call of this thread whose return was not seen is given up; its entry is counted once, also if
 * user space is clearing up. */
static __always_inline long heap_pending__add(struct event_counters *counters,
					      const struct heap_pending *p)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct heap_pending *missed = bpf_map_lookup_elem(&heap_pending, &thread);
	bool was_selected = missed && missed->is_selected;

	if (missed && !bpf_map_delete_elem(&heap_pending, &thread) && was_selected)
		counters__add_shared(counters, COUNTER_DROPPED_NO_RETURN);
	return bpf_map_update_elem(&heap_pending, &thread, p, BPF_NOEXIST);
}

#endif
