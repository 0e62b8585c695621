/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See kind_run.h: which of the kinds whose stacks count later gets a stack or a record.
 */
#include "session/kind_run.h"

#include <errno.h>
#include "session/heap_run.h"
#include "session/sched_run.h"

int kind_run__init(struct kind_run *run, const struct options *opts)
{
	const struct probe *probe = run->probe;

	run->profile = profile__new();
	if (!run->profile)
		return -ENOMEM;
	run->account.kind = ACCOUNT_SAMPLES;
	if (probe->counts_waits) {
		run->account.kind = ACCOUNT_WAITS;
		run->sched = sched_run__new();
		return run->sched ? 0 : -ENOMEM;
	}
	if (probe->counts_allocs) {
		run->account.kind = ACCOUNT_ALLOCS;
		run->heap = heap_run__new(opts->heap_interval_bytes, opts->heap_is_live);
		return run->heap ? 0 : -ENOMEM;
	}
	return 0;
}

void kind_run__done(struct kind_run *run)
{
	profile__free(run->profile);
	sched_run__free(run->sched);
	heap_run__free(run->heap);
	*run = (struct kind_run){ .probe = NULL };
}

int kind_run__keep_stack(struct kind_run *run, const struct sample *s, const uint32_t *locations,
			 uint32_t locations_cnt, const struct label_set *labels)
{
	if (run->heap)
		return heap_run__stack(run->heap, s, locations, locations_cnt, labels);
	return sched_run__stack(run->sched, s, locations, locations_cnt, labels);
}

int kind_run__lose_stack(struct kind_run *run, const struct sample *s)
{
	return run->heap ? heap_run__lose_stack(run->heap, s)
			 : sched_run__lose_stack(run->sched, s);
}

int kind_run__count(struct kind_run *run, const struct sample *s)
{
	return run->heap ? heap_run__alloc(run->heap, s) : sched_run__wait(run->sched, s);
}

uint64_t kind_run__ids_unknown(const struct kind_run *run)
{
	return run->heap    ? heap_run__ids_unknown(run->heap)
	       : run->sched ? sched_run__ids_unknown(run->sched)
			    : 0;
}
