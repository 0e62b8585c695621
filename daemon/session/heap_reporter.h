/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the sums of a heap run to the rows of its profile and to its report: what a stack is worth,
 * who allocates, what was lost and how much that may have been. Used by heap_run.c at the end.
 */
#ifndef SESSION_HEAP_REPORTER_H
#define SESSION_HEAP_REPORTER_H

#include "profile/heap_rows.h"
#include "session/heap_processes.h"
#include "session/heap_run.h"
#include "session/kept_stacks.h"

struct heap_reporter {
	const struct heap_finish *finish;
	struct kind_run *run;             /* its profile without rows, its drops counted */
	const struct kept_stacks *stacks; /* a row is an index of them */
	struct heap_rows *rows;           /* it ends their last slices */
	const struct heap_process *processes;
	const uint64_t *points_ns;      /* HEAP_POINTS, mono; 0: not looked */
	uint64_t interval_bytes;        /* to be shown; 0: not known */
	uint64_t weight_interval_bytes; /* of allocations without a weight of their own */
	bool is_live;
	uint64_t alloc_since_ns; /* mono; 0: since the start, where it is not live */
};

/* Fills run->profile and its report, and run->account.profiled. 0 or -errno. */
int heap_reporter__make(const struct heap_reporter *in);

#endif
