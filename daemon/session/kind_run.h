/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The profile of one kind, while it is being made and afterwards: what the files of the session
 * hand to one another.
 */
#ifndef SESSION_KIND_RUN_H
#define SESSION_KIND_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include "abi/event.h"
#include "collect/probe.h"
#include "collect/sample.h"
#include "options.h"
#include "profile/profile.h"
#include "session/accounting.h"
#include "session/heap_cost.h"
#include "session/labels.h"
#include "session/naming.h"

struct heap_run;  /* session/heap_run.h */
struct sched_run; /* session/sched_run.h */

struct kind_run {
	const struct probe *probe;
	uint64_t window_ns;                    /* attach to detach */
	bool has_failed;                       /* and it has been said: nothing is written */
	struct profile *profile;               /* owned */
	struct accounting account;             /* the pipeline keeps the user side's part */
	uint64_t outcomes[UNWIND_OUTCOME_CNT]; /* of the user stacks that were walked */
	uint64_t stacks_unknown;               /* of processes the table does not know */
	struct naming_stats names;             /* after pipeline__finish() */
	struct sched_run *sched;               /* owned; only of a kind that counts waits */
	struct heap_run *heap;                 /* owned; only of a kind that counts allocations */
	struct heap_cost_totals heap_cost;     /* at its end */
	unsigned int heap_sources;             /* enum heap_source */
	uint64_t heap_live_full;               /* allocations not in the live set */
};

/* Makes the empty profile of run->probe and what else its kind needs. 0 or -ENOMEM. */
int kind_run__init(struct kind_run *run, const struct options *opts);
void kind_run__done(struct kind_run *run); /* safe on a zeroed one */

/* Its stacks count nothing by themselves: each is kept for the record that names it. */
static inline bool kind_run__has_own_stacks(const struct kind_run *run)
{
	return run->sched || run->heap;
}

/*
 * Of such kinds: a stack, a stack there was no room for, and what counts one, in time order. 0 or
 * -ENOMEM; a stack and a count also -ENOSPC.
 */
int kind_run__keep_stack(struct kind_run *run, const struct sample *s, const uint32_t *locations,
			 uint32_t locations_cnt, const struct label_set *labels);
int kind_run__lose_stack(struct kind_run *run, const struct sample *s);
int kind_run__count(struct kind_run *run, const struct sample *s);

/* Records that named a stack nobody knows. */
uint64_t kind_run__ids_unknown(const struct kind_run *run);

#endif
