/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The profile of one kind, while it is being made and afterwards: what the files of the session
 * hand to one another.
 */
#ifndef SESSION_KIND_RUN_H
#define SESSION_KIND_RUN_H

#include <stdint.h>
#include "abi/event.h"
#include "collect/probe.h"
#include "profile/profile.h"
#include "session/accounting.h"
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
};

#endif
