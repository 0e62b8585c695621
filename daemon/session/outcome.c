/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See outcome.h.
 */
#include "session/outcome.h"

#include <stddef.h>

static const struct {
	const char *name;
	const char *root;
} outcomes[UNWIND_OUTCOME_CNT] = {
	[UNWIND_END] = { "complete", NULL },
	/* Code that keeps frame pointers starts the stack of a coroutine with one of 0 (Go does).
	 */
	[UNWIND_FP_ZERO] = { "coroutine", "[truncated: coroutine]" },
	[UNWIND_FP_INVALID] = { "frame_pointer", "[truncated: frame_pointer]" },
	[UNWIND_UNREADABLE] = { "unreadable", "[truncated: unreadable]" },
	[UNWIND_TOO_DEEP] = { "too_deep", "[truncated: too_deep]" },
	[UNWIND_COMPAT] = { "compat", "[truncated: compat]" },
	[UNWIND_KERNEL_THREAD] = { "kernel_thread", NULL },
	[UNWIND_UNSUPPORTED] = { "unsupported", "[truncated: unsupported]" },
	[UNWIND_BAD_CFA] = { "bad_cfa", "[truncated: bad_cfa]" },
	[UNWIND_NOT_CODE] = { "not_code", "[truncated: not_code]" },
	[UNWIND_TABLE_CHANGED] = { "table_changed", "[truncated: table_changed]" },
	[UNWIND_NO_TABLE] = { "no_table", "[truncated: no_table]" },
	[UNWIND_NO_STACK] = { "no_stack", NULL },
	[UNWIND_COLD] = { "cold", "[truncated: no_table]" },
};

const char *outcome__name(enum unwind_outcome outcome)
{
	return outcomes[outcome].name ?: "unknown";
}

const char *outcome__root(enum unwind_outcome outcome, uint32_t frames_cnt)
{
	/* One frame and a zero prove no coroutine: the register may hold anything. */
	if (outcome == UNWIND_FP_ZERO && frames_cnt < 2)
		outcome = UNWIND_FP_INVALID;
	return outcomes[outcome].root;
}
