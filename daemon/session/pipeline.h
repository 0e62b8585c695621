/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way of the data, in one place: sample → frames → profile, and at the end of the window
 * profile → names. The file to read first. Fed in time order by the session's timeline. A stack of
 * the cpu kind counts by itself; others are kept for the wait or the allocation that follows them
 * (session/kind_run.h).
 */
#ifndef SESSION_PIPELINE_H
#define SESSION_PIPELINE_H

#include "collect/sample.h"
#include "options.h"
#include "process/process.h"
#include "session/kind_run.h"
#include "symbolize/symbolize.h"
#include "unwind/unwind.h"

struct pipeline;

struct pipeline_config {
	const struct options *opts;
	struct process_table *processes; /* borrowed, as the next */
	struct symbolizer *symbolizer;
	struct unwind *unwind;
	struct kind_run *runs;
	size_t runs_cnt;
	uint64_t start_real_ns;
	pid_t main_pid; /* whose executable is the profile's first mapping; 0: nobody's */
};

int pipeline__new(struct pipeline **ret, const struct pipeline_config *config);
void pipeline__free(struct pipeline *p);
DEFINE_CLEANUP(struct pipeline *, pipeline__free);

/* One sample, or one thing that happened to a process. 0 or -ENOMEM; a sample that could not be
 * kept is counted. */
int pipeline__sample(struct pipeline *p, const struct sample *s);
int pipeline__event(struct pipeline *p, const struct process_event *ev);

/*
 * After the last sample: names all locations of a run, adds what was lost as [lost] (cpu) or all
 * rows (waits: sched_run__end() has been called; allocations: heap_run__look() for the last point),
 * and the comments. The counters of the run's kernel side must be filled in. 0 or -errno.
 */
int pipeline__finish(struct pipeline *p, struct kind_run *run);

#endif
