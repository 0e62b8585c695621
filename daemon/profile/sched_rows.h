/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From sampled waits to rows whose sums are exact. A wait that was sampled with probability q
 * counts 1/q times; per thread and origin each column is then scaled on its own to the thread's
 * exact sum, largest remainders rounded up. What was never sampled goes to a row without a stack.
 * Pure; used by the session.
 */
#ifndef PROFILE_SCHED_ROWS_H
#define PROFILE_SCHED_ROWS_H

#include <stdint.h>
#include <sys/types.h>
#include "abi/sched.h"
#include "base/cleanup.h"

#define SCHED_ROW_NOT_SAMPLED UINT32_MAX /* instead of a stack */

struct sched_rows;

/* Which thread: two of one tid differ in their start. */
struct sched_row_thread {
	pid_t tid;
	uint64_t start_ns;
};

struct sched_rows *sched_rows__new(void); /* NULL: out of memory */
void sched_rows__free(struct sched_rows *rows);
DEFINE_CLEANUP(struct sched_rows *, sched_rows__free);

/* One sampled wait. 'stack' is whatever the caller calls that stack, but SCHED_ROW_NOT_SAMPLED;
 * 'inverse_q' >= 1. 0 or -ENOMEM; beyond what is kept (8 MiB) waits of new stacks are counted as
 * not sampled, which is no error. */
int sched_rows__add(struct sched_rows *rows, struct sched_row_thread thread,
		    enum sched_origin origin, uint32_t stack, double inverse_q,
		    const uint64_t reason_ns[SCHED_REASONS]);

/* Waits that were added beyond that. */
uint64_t sched_rows__homeless(const struct sched_rows *rows);

struct sched_row {
	struct sched_row_thread thread;
	uint32_t stack; /* or SCHED_ROW_NOT_SAMPLED */
	uint64_t waits, reason_ns[SCHED_REASONS];
};

typedef int (*sched_row_fn)(const struct sched_row *row, void *ctx);

/* The rows of one thread, whose exact sums are given: their columns add up to them. Stops at the
 * first non-zero result of 'fn' and returns it; -ENOMEM. */
int sched_rows__emit(const struct sched_rows *rows, struct sched_row_thread thread,
		     const struct sched_sums *exact, sched_row_fn fn, void *ctx);

#endif
