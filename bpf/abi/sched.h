/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is counted of scheduler waits: the reasons, the causes and the values of the maps that hold
 * them. bpf/sched.bpf.c writes them, daemon/collect/ reads them; profile/ and export/ use the
 * enumerations. Definitions: a wait of a thread runs from the moment it is queued while not running
 * until it is switched in; its length is what the kernel adds to run_delay.
 *
 *	latency = preempted + delayed + runnable, for every wait and for every sum of waits
 */
#ifndef ABI_SCHED_H
#define ABI_SCHED_H

#include <linux/types.h>
#include "abi/counters.h"
#include "abi/latency_bounds.h"
#include "abi/settings.h"

enum sched_reason {
	SCHED_PREEMPTED = 0, /* whole waits opened by an involuntary switch-out */
	SCHED_DELAYED = 1, /* of the others: while the CPU ran a real-time, deadline or stop task */
	SCHED_RUNNABLE = 2, /* of the others: the rest */
	SCHED_REASONS = 3,
	SCHED_LATENCY = 3, /* whole waits, a histogram of its own */
	SCHED_HISTOGRAMS = 4,
};

/* How a wait was opened. */
enum sched_origin {
	SCHED_ORIGIN_PREEMPTED = 0,
	SCHED_ORIGIN_WOKEN =
		1, /* wake-up, new task, sched_yield(2), pending signal, before attach */
	SCHED_ORIGINS = 2,
};

/* What took the largest part of a wait; of equal parts the first. */
enum sched_cause {
	SCHED_CAUSE_RT = 0,          /* a real-time, deadline or stop task had the CPU */
	SCHED_CAUSE_THROTTLE = 1,    /* the cgroup's CPU bandwidth was used up */
	SCHED_CAUSE_SAME_CGROUP = 2, /* a fair task of the same cgroup had the CPU */
	SCHED_CAUSE_FAIR = 3,        /* a fair task of another one */
	SCHED_CAUSE_MIGRATION = 4,   /* queued on another CPU before */
	SCHED_CAUSE_IDLE_CPU = 5,    /* the CPU was idle: it took that long to wake up */
	SCHED_CAUSE_UNKNOWN = 6,     /* farther back than the CPU's last switches are kept */
	SCHED_CAUSES = 7,
};

struct sched_histogram {
	__u64 cnt;
	__u64 sum_ns;
	__u64 max_ns;
	__u64 slots[LATENCY_SLOTS];
};

/* Exact, of one thread or of everything. */
struct sched_sums {
	__u64 waits[SCHED_ORIGINS];
	__u64 preempted_ns; /* of waits[SCHED_ORIGIN_PREEMPTED] */
	__u64 delayed_ns;   /* of waits[SCHED_ORIGIN_WOKEN] */
	__u64 runnable_ns;  /* of waits[SCHED_ORIGIN_WOKEN] */
};

/* Things worth knowing that happened to waits; none takes anything from the sums. */
enum sched_note {
	SCHED_NOTE_UNACCOUNTED = 0, /* waits that run_delay omits: in no sum */
	SCHED_NOTE_LOOKBACK_SHORT =
		1,                   /* real-time stretches do not reach back: taken as runnable */
	SCHED_NOTE_MIGRATED_LEG = 2, /* earlier legs on other CPUs: taken as runnable */
	SCHED_NOTE_MATRIX_FULL = 3,  /* charged to the cell "other" */
	SCHED_NOTE_NAMES_FULL = 4,   /* a comm that found no place among SCHED_NAMES_MAX */
	SCHED_NOTE_NO_STATE = 5, /* a thread's state could not be had: the wait is in its next one,
				    or in no sum */
	SCHED_NOTE_GROUPS_FULL = 6,  /* observed in the group "other" */
	SCHED_NOTE_THREADS_LOST = 7, /* sums of an ended thread did not fit the ring */
	SCHED_NOTES = 8,
};

/* Of all CPUs, as the daemon reports them. */
struct sched_totals {
	struct sched_histogram histograms[SCHED_HISTOGRAMS];
	__u64 cause_ns[SCHED_REASONS][SCHED_CAUSES]; /* sums over causes = the histogram's sum_ns */
	__u64 cause_waits[SCHED_CAUSES];
	__u64 unknown_ns; /* waits charged to no culprit; with all cells of the matrix: latency */
	__u64 unknown_waits;
	__u64 unaccounted_ns;
	__u64 notes[SCHED_NOTES];
};

/* What --by groups histograms by, and the matrix by cgroup instead of by comm. */
enum sched_by {
	SCHED_BY_NOTHING = 0,
	SCHED_BY_CGROUP = 1,
	SCHED_BY_COMM = 2,
	SCHED_BY_PID = 3,
	SCHED_BY_CPU = 4,
};

#define SCHED_TASKS_MAX  16384 /* where threads are kept in a hash */
#define SCHED_NAMES_MAX  4096  /* comms met; id 0 is "other" */
#define SCHED_MATRIX_MAX 4096  /* cells */
#define SCHED_GROUPS_MAX 256   /* groups observed, SCHED_OTHER_KEY included */
#define SCHED_WORST_MAX  64    /* worst waits kept per CPU */

#define SCHED_IDLE_KEY  (~0ULL) /* the culprit is the idle task */
#define SCHED_OTHER_KEY (~0ULL) /* of groups: those that found no place */

/* Victim and culprit: ids of comms, or of cgroups. */
struct sched_pair {
	__u64 victim, culprit;
};

struct sched_cell {
	__u64 ns;
	__u64 waits;
};

/* Cells of one CPU that have not been added to the matrix yet; waits 0: none. */
#define SCHED_CACHED_CELLS 64

struct sched_cached_cell {
	struct sched_pair pair;
	struct sched_cell cell;
};

/* A thread at the moment of a worst wait. */
struct sched_party {
	__u32 tgid, tid; /* tid 0: the idle task */
	__u64 cgroup;    /* id */
	char comm[TASK_COMM_BYTES];
};

struct sched_worst {
	__u64 time_ns; /* CLOCK_MONOTONIC, of the switch-in */
	__u64 wait_ns; /* 0: no entry */
	__u64 reason_ns[SCHED_REASONS];
	__u32 cpu;
	__u8 cause;       /* enum sched_cause */
	__u8 has_culprit; /* 0: unknown */
	__u8 reserved[2];
	struct sched_party victim, culprit;
};

/*
 * Histograms as they are counted: most waits are one observation of one of the first two. What they
 * mean: preempted = PREEMPTED, delayed = DELAYED_PART, runnable = RUNNABLE + RUNNABLE_PART, latency
 * = PREEMPTED + RUNNABLE + WHOLE.
 */
enum sched_observed {
	SCHED_OBSERVED_PREEMPTED = 0,
	SCHED_OBSERVED_RUNNABLE = 1,      /* woken waits that nothing delayed */
	SCHED_OBSERVED_DELAYED_PART = 2,  /* of the others, */
	SCHED_OBSERVED_RUNNABLE_PART = 3, /* of the same waits, */
	SCHED_OBSERVED_WHOLE = 4,         /* and these as a whole */
	SCHED_OBSERVED = 5,
};

struct sched_observations {
	struct sched_histogram histograms[SCHED_OBSERVED];
};

/* Of waits of one origin and cause. */
struct sched_cause_counts {
	__u64 waits;
	__u64 ns;         /* whole waits */
	__u64 delayed_ns; /* of them */
	__u64 padding;
};

/* What one CPU has counted: the first part of the values of map sched_cpus. */
struct sched_counts {
	struct event_counters switches; /* instead of those of EVENT_SCHED_WAIT */
	struct sched_observations observed;
	struct sched_cause_counts causes[SCHED_ORIGINS][SCHED_CAUSES + 1];
	__u64 unknown_ns;
	__u64 unknown_waits;
	__u64 unaccounted_ns;
	__u64 notes[SCHED_NOTES];
	struct sched_cached_cell cached[SCHED_CACHED_CELLS];
	struct sched_worst worst[SCHED_WORST_MAX];
};

#endif
