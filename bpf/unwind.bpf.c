// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * See unwind.bpf.h. One frame per call of a global function: the verifier checks its body once
 * instead of once per frame, which is what lets MAX_USER_FRAMES iterations load on every kernel.
 */
#include "compat.bpf.h"
#include "unwind.bpf.h"

/* Appends the frame that .frame describes and moves to its caller. */
__noinline int unwind_one_frame(u32 slot, u32 depth)
{
	struct scratch *s = bpf_map_lookup_elem(&scratch, &slot);
	u64 idx;

	if (!s)
		return UNWIND_UNREADABLE;
	idx = s->event.kernel_frames_cnt + depth;
	BOUND(idx, MAX_FRAMES - 1);
	s->event.frames[idx] = s->frame.pc;
	s->event.user_frames_cnt = depth + 1;
	return unwind_step(&s->frame);
}

__noinline int unwind_user_stack(u32 slot)
{
	int outcome = UNWIND_TOO_DEEP;
	struct scratch *s;
	u32 depth;

	for (depth = 0; depth < MAX_USER_FRAMES; depth++) {
		outcome = unwind_one_frame(slot, depth);
		if (outcome != UNWIND_CONTINUE)
			break;
	}
	s = bpf_map_lookup_elem(&scratch, &slot);
	if (s)
		s->event.outcome = outcome == UNWIND_CONTINUE ? UNWIND_TOO_DEEP : outcome;
	return 0;
}
