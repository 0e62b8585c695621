/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way of the data, in one place: sample → frames → profile, and at the end of the window
 * profile → names. The file to read first. Fed in time order by the session's timeline.
 */
#ifndef SESSION_PIPELINE_H
#define SESSION_PIPELINE_H

#include "collect/sample.h"
#include "options.h"
#include "process/process.h"
#include "profile/profile.h"
#include "session/accounting.h"
#include "session/naming.h"
#include "symbolize/symbolize.h"
#include "unwind/unwind.h"

/* The profile of one kind, while it is being made and afterwards. */
struct kind_run {
	const struct probe *probe;
	uint64_t window_ns;                    /* attach to detach */
	struct profile *profile;               /* owned */
	struct accounting account;             /* the pipeline keeps the user side's part */
	uint64_t outcomes[UNWIND_OUTCOME_CNT]; /* of the user stacks of aggregated samples */
	uint64_t stacks_unknown;               /* of processes the table does not know */
	struct naming_stats names;             /* after pipeline__finish() */
};

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
 * After the last sample: names all locations of a run, adds what was lost as [lost], and the
 * comments. The counters of the run's kernel side must be filled in. 0 or -errno.
 */
int pipeline__finish(struct pipeline *p, struct kind_run *run);

#endif
