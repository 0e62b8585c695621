/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of a run whose probe counts allocations: joins selected allocations with the stacks that
 * came before them, keeps what each row of the profile stands for in fixed point, looks at the live
 * set, and at the end makes rows and report. Fed by the pipeline and the loop.
 */
#ifndef SESSION_HEAP_RUN_H
#define SESSION_HEAP_RUN_H

#include "base/cleanup.h"
#include "collect/heap.h"
#include "collect/sample.h"
#include "options.h"
#include "process/process.h"
#include "profile/heap_report.h"
#include "session/heap_cost.h"
#include "session/kind_run.h"
#include "session/labels.h"

struct heap_run;

/* interval_bytes: of allocations that come without a weight of their own. NULL: out of memory. */
struct heap_run *heap_run__new(uint64_t interval_bytes, bool is_live);
void heap_run__free(struct heap_run *r);
DEFINE_CLEANUP(struct heap_run *, heap_run__free);

/* Where it finds the live set when it must look by itself, to forget stacks; before the first
 * allocation. Borrowed. */
void heap_run__use_collector(struct heap_run *r, struct collector *c);

/* A stack, and an allocation, in time order. 0 or -ENOMEM, for a stack also -ENOSPC: the allocation
 * it was taken for is counted under [lost] then. */
int heap_run__stack(struct heap_run *r, const struct sample *s, const uint32_t *locations,
		    uint32_t locations_cnt, const struct label_set *labels);
int heap_run__lose_stack(struct heap_run *r, const struct sample *s);
int heap_run__alloc(struct heap_run *r, const struct sample *s);

/* --heap-budget: a slice of time with the probes on, as heap_slices.h says. 0 or -ENOMEM. */
int heap_run__begin_slice(struct heap_run *r, uint64_t time_ns, uint32_t q);
void heap_run__end_slice(struct heap_run *r, double own_ns, double error_ns, double planned_ns);

/*
 * Looks at the live set: forgets stacks nobody refers to any more, and notes it as one of the
 * moments of heap_report_site.inuse_bytes when 'point' is one (0 … HEAP_POINTS - 1, the last at the
 * end of the window; negative: none). 0 or -errno.
 */
int heap_run__look(struct heap_run *r, struct collector *c, int point);

/* Memory of a process that ended or called exec at time_ns is not live any more. 0 or -errno. Not
 * to be called for the last process of the TARGET: what it had when it ended is the profile. */
int heap_run__forget_process(struct heap_run *r, struct collector *c, pid_t pid, uint64_t time_ns);

/* Frees are not followed any more from here on (mono time): what is known to be live is dropped. */
void heap_run__end_live(struct heap_run *r, uint64_t time_ns);

/* RSS of a process, now; the first call for it is its start. 0 or -ENOMEM. */
int heap_run__note_process(struct heap_run *r, pid_t pid, const char *comm, uint64_t rss_bytes);

struct heap_finish {
	const struct options *opts;
	const struct heap_cost_totals *cost;
	unsigned int sources;      /* enum heap_source */
	int64_t real_less_mono_ns; /* UTC less CLOCK_MONOTONIC */
	uint64_t live_full;
};

/*
 * Once the locations of run->profile have names: adds the rows and the report to it. Where frees
 * are not followed the profile has the first two sample types only. 0 or -errno.
 */
int heap_run__finish(struct heap_run *r, struct kind_run *run, const struct heap_finish *f);

/* Allocations whose stack was not known by its id. */
uint64_t heap_run__ids_unknown(const struct heap_run *r);

#endif
