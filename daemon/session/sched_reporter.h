/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the numbers and ids of a snapshot to a report with names: comms, cgroup paths, UTC. Used by
 * sched_run.c at the end of the window.
 */
#ifndef SESSION_SCHED_REPORTER_H
#define SESSION_SCHED_REPORTER_H

#include "collect/sched_snapshot.h"
#include "options.h"
#include "profile/sched_report.h"
#include "session/cgroup_paths.h"

struct sched_reporter {
	const struct options *opts;
	const struct sched_snapshot *snapshot; /* its threads sorted, none of them twice */
	int64_t time_ns, duration_ns;          /* start, UTC */
	int64_t real_less_mono_ns;             /* UTC less CLOCK_MONOTONIC */
	struct sched_sums other;               /* waits that are no thread's */
	const struct cgroup_paths *cgroups;    /* resolved */
};

/* Everything but the trace, in order: sched_report__finish() has been called. 0 or -ENOMEM. */
int sched_reporter__make(const struct sched_reporter *r, struct sched_report **ret);

/* Asks for the cgroups that a report will name. 0 or -ENOMEM. */
int sched_reporter__want_cgroups(const struct sched_snapshot *snapshot, enum sched_by by,
				 struct cgroup_paths *cgroups);

#endif
