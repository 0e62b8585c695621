/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The walk of the current task's user stack, linked into every entry program that takes stacks.
 * What one step does is abi/unwind_step.h's business, how rows are found unwind.bpf.c's.
 */
#ifndef UNWIND_BPF_H
#define UNWIND_BPF_H

#include "maps.bpf.h"

/* The verifier goes round every loop: 16 pieces and one of 32 frames are less than 512. */
#define FRAMES_AT_ONCE 32

_Static_assert(MAX_USER_FRAMES % FRAMES_AT_ONCE == 0, "a walk is a number of whole pieces");

/*
 * Walks up to FRAMES_AT_ONCE frames from the one that .walk.frame of scratch slot 'slot' describes,
 * which is the walk's number 'depth'; addresses go to .event.frames from kernel_frames_cnt on,
 * user_frames_cnt is set. Returns the outcome. Scalars only: verifiers before 5.12 refuse pointer
 * arguments of global functions.
 */
int unwind_some_frames(u32 slot, u32 depth);

/*
 * Finds the tables of a sample's process. False: user space has not given any, or they are of
 * another image of it. The generation is read first: a slot that is given to another process from
 * here on shows at the end of the walk.
 */
static __always_inline bool unwind__find_process(struct unwind_context *w,
						 const struct stack_event_header *h)
{
	u32 tgid = h->tgid, zero = 0;
	struct unwind_control *control = bpf_map_lookup_elem(&unwind_control, &zero);
	struct unwind_process *p;

	if (!control)
		return false;
	w->generation = *(volatile u64 *)&control->generation;
	w->epoch = control->epoch;
	p = bpf_map_lookup_elem(&unwind_processes, &tgid);
	if (!p || p->start_ns != h->start_ns || p->exec_id != h->exec_id)
		return false;
	w->process = p->slot;
	return true;
}

/*
 * Walks from s, whose .walk holds the registers and .walk.process the tables: the addresses,
 * user_frames_cnt and the outcome are set. Outcome UNWIND_COLD: something is not in the tables,
 * nothing of the frames is to be used. 'slot' is that of s.
 */
static __always_inline void unwind__walk(struct scratch *s, u32 slot)
{
	u32 depth, zero = 0;
	struct unwind_control *control = bpf_map_lookup_elem(&unwind_control, &zero);
	int outcome = UNWIND_CONTINUE;

	if (!control)
		return;
	for (depth = 0; depth < MAX_USER_FRAMES && outcome == UNWIND_CONTINUE;
	     depth += FRAMES_AT_ONCE)
		outcome = unwind_some_frames(slot, depth);
	if (s->walk.generation & 1 || s->walk.generation != *(volatile u64 *)&control->generation)
		outcome = UNWIND_TABLE_CHANGED;
	s->event.header.outcome = outcome == UNWIND_CONTINUE ? UNWIND_TOO_DEEP : outcome;
}

#endif
