/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the sums of all threads, taken at the end of each interval, to what each thread waited
 * within it: the lines of the text trace. Pure; used by sched_run.c.
 */
#ifndef SESSION_SCHED_TRACE_H
#define SESSION_SCHED_TRACE_H

#include "collect/sched_snapshot.h"
#include "profile/sched_report.h"

#define SCHED_TRACE_ROWS_MAX (1U << 18)

struct sched_trace {
	struct sched_report_trace *rows; /* in order of intervals, then of tid */
	size_t rows_cnt, rows_cap;
	uint64_t rows_dropped;     /* over SCHED_TRACE_ROWS_MAX */
	struct trace_thread *seen; /* by (tid, start) */
	size_t seen_cnt;
};

void sched_trace__done(struct sched_trace *t);

/* 'threads' by (tid, start), none of them twice, as collect/ hands them out. Threads that are
 * missing have not waited since. 0 or -ENOMEM. */
int sched_trace__add_interval(struct sched_trace *t, const struct sched_thread_sums *threads,
			      size_t threads_cnt);

void sched_sums__add(struct sched_sums *into, const struct sched_sums *sums);

static inline uint64_t sched_sums__waits(const struct sched_sums *s)
{
	return s->waits[SCHED_ORIGIN_PREEMPTED] + s->waits[SCHED_ORIGIN_WOKEN];
}

static inline uint64_t sched_sums__latency_ns(const struct sched_sums *s)
{
	return s->preempted_ns + s->delayed_ns + s->runnable_ns;
}

#endif
