/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a run knows of scheduler latency beside the stacks: histograms, threads, culprits. Pure
 * data with names as they came (encoders escape); filled by the session, owned by the profile it
 * belongs to (profile.sched), read by the encoders of export/. All lengths of time in ns.
 *
 *	latency = preempted + delayed + runnable, in every row and every total
 *	histograms[r].cnt and .sum_ns = the sums over its slots' waits, exactly
 *	Σ cells + unknown_ns = latency; Σ threads (+ the thread of tid 0, "other") = totals
 */
#ifndef PROFILE_SCHED_REPORT_H
#define PROFILE_SCHED_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "abi/sched.h"
#include "base/cleanup.h"

/* One value of the label that --by asked for, largest latency first, at most SCHED_GROUPS_SHOWN and
 * then "__other__". */
#define SCHED_GROUPS_SHOWN 50
#define SCHED_GROUP_OTHER  "__other__"

struct sched_report_group {
	char *name; /* owned */
	struct sched_histogram histograms[SCHED_HISTOGRAMS];
};

/* pid is the process, tid the thread. */
struct sched_report_party {
	pid_t pid, tid;             /* tid 0: the idle task, "[idle]" without a cgroup */
	char comm[TASK_COMM_BYTES]; /* of the thread */
	char *cgroup;               /* path, owned; NULL: not known */
};

struct sched_report_worst {
	int64_t time_ns; /* of the switch-in, UTC */
	uint64_t wait_ns, reason_ns[SCHED_REASONS];
	int cpu;
	enum sched_reason reason; /* the largest part */
	enum sched_cause cause;
	bool has_culprit; /* else unknown */
	struct sched_report_party victim, culprit;
};

struct sched_report_cell {
	char *victim, *culprit; /* owned: comms, or cgroup paths */
	uint64_t ns, waits;
};

struct sched_report_thread {
	pid_t pid, tid; /* both 0: "other", what could not be told apart */
	char thread[TASK_COMM_BYTES], comm[TASK_COMM_BYTES]; /* of the thread, of its process */
	uint64_t waits, reason_ns[SCHED_REASONS];
};

/* One line of the text trace: a thread in one interval in which it waited. In order of intervals,
 * then of tid. */
struct sched_report_trace {
	pid_t tid;
	char thread[TASK_COMM_BYTES];
	uint64_t reason_ns[SCHED_REASONS];
};

struct sched_report {
	int64_t time_ns, duration_ns; /* start, UTC */
	enum sched_by by;
	struct sched_histogram histograms[SCHED_HISTOGRAMS];
	uint64_t cause_ns[SCHED_REASONS][SCHED_CAUSES];
	uint64_t cause_waits[SCHED_CAUSES];
	uint64_t unknown_ns, unknown_waits; /* of the matrix */
	uint64_t unaccounted_ns;
	uint64_t notes[SCHED_NOTES];

	struct sched_report_group *groups;
	size_t groups_cnt, groups_cap;
	struct sched_report_worst *worst; /* the longest first */
	size_t worst_cnt, worst_cap;
	struct sched_report_cell *cells; /* the largest first */
	size_t cells_cnt, cells_cap;
	struct sched_report_thread *threads; /* the largest latency first */
	size_t threads_cnt, threads_cap;
	struct sched_report_trace *trace;
	size_t trace_cnt, trace_cap;
	char **tags; /* "key=value", owned: further labels of metrics */
	size_t tags_cnt, tags_cap;
};

void sched_report__free(struct sched_report *r);
DEFINE_CLEANUP(struct sched_report *, sched_report__free);

/* Orders every table as said above but the trace, which comes in order; sums groups, and cells, of
 * one name; cuts groups to SCHED_GROUPS_SHOWN. 0 or -ENOMEM. */
int sched_report__finish(struct sched_report *r);

const char *sched_reason__name(enum sched_reason reason); /* "preempted", …, "latency" */
const char *sched_cause__name(enum sched_cause cause);    /* "rt", …, "unknown" */
const char *sched_note__name(enum sched_note note);       /* "unaccounted", … */
const char *sched_by__name(enum sched_by by);             /* "cgroup", …; "" for nothing */

void sched_histogram__add(struct sched_histogram *to, const struct sched_histogram *from);

/* Upper bound of the slot in which the quantile q of [0, 1] lies; max_ns where that is less, and
 * for the last slot. 0 without an observation. */
uint64_t sched_histogram__quantile(const struct sched_histogram *h, double q);

#endif
