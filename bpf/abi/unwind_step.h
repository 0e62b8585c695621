/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One frame of a user stack. Pure: compiled into the BPF programs and, natively, into tests. The
 * includer provides the only thing that differs between the two:
 *
 *	static int unwind_read(void *dst, __u32 size, __u64 address);	0, or not 0 if unreadable
 *
 * Frames are found by frame pointers: at [fp] lies the caller's frame pointer, at [fp + 8] the
 * return address. Code compiled without them uses the register for something else, which is only
 * noticed when the value is no address above the stack pointer; a chain that happens to pass is
 * wrong without a trace. No claim of completeness follows from UNWIND_FP_ZERO.
 */
#ifndef ABI_UNWIND_STEP_H
#define ABI_UNWIND_STEP_H

#include "abi/event.h"

struct unwind_frame {
	__u64 pc; /* a caller's: its return address */
	__u64 sp;
	__u64 fp;
};

/* Replaces *frame by its caller's and returns UNWIND_CONTINUE, or leaves it and says why not. */
static inline __attribute__((always_inline)) enum unwind_outcome
unwind_step(struct unwind_frame *frame)
{
	__u64 saved[2];

	if (!frame->fp)
		return UNWIND_FP_ZERO;
	if ((frame->fp & 7) || frame->fp < frame->sp)
		return UNWIND_FP_INVALID;
	if (unwind_read(saved, sizeof(saved), frame->fp))
		return UNWIND_UNREADABLE;
	if (!saved[1])
		return UNWIND_END;
	frame->sp = frame->fp + sizeof(saved);
	frame->fp = saved[0];
	frame->pc = saved[1];
	return UNWIND_CONTINUE;
}

#endif
