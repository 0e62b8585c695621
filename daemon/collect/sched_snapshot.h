/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the scheduler probe keeps in maps, read out: numbers and ids as the kernel side counted
 * them. Made by collect/, turned into a report with names by the session.
 */
#ifndef COLLECT_SCHED_SNAPSHOT_H
#define COLLECT_SCHED_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "abi/sched.h"
#include "base/cleanup.h"

struct collector;

/* A thread that waited, alive or ended. Identity: (tid, start_ns). */
struct sched_thread_sums {
	pid_t pid, tid;
	uint64_t start_ns;         /* of the thread, boot time */
	uint64_t process_start_ns; /* of its thread group's leader, boot time */
	uint64_t cgroup;           /* id */
	char comm[TASK_COMM_BYTES], leader_comm[TASK_COMM_BYTES];
	struct sched_sums sums;
};

struct sched_group_histograms {
	uint64_t key; /* cgroup id, comm id, pid or CPU by sched_by; ~0: other */
	struct sched_histogram histograms[SCHED_HISTOGRAMS];
};

struct sched_matrix_cell {
	struct sched_pair pair;
	struct sched_cell cell;
};

struct sched_name {
	uint32_t id; /* what keys of comms are */
	char comm[TASK_COMM_BYTES];
};

struct sched_snapshot {
	struct sched_totals totals;        /* of all CPUs */
	struct sched_thread_sums *threads; /* by (tid, start_ns), each once */
	size_t threads_cnt, threads_cap;
	struct sched_group_histograms *groups; /* the one of key ~0 only if it has waits */
	size_t groups_cnt, groups_cap;
	struct sched_matrix_cell *cells;
	size_t cells_cnt, cells_cap;
	struct sched_worst *worst; /* the longest first */
	size_t worst_cnt, worst_cap;
	struct sched_name *names;
	size_t names_cnt, names_cap;
};

/*
 * Everything, once the probe is detached and the ring is drained: sums of the threads then equal
 * the totals, less those that notes[SCHED_NOTE_THREADS_LOST] counts and those that the kernel's
 * task iterator does not hand out. 0 or -errno; release in either case.
 */
int collector__sched_snapshot(struct collector *c, struct sched_snapshot *ret);

/* Only the threads, at any time while the window lasts (--interval). */
int collector__sched_threads(struct collector *c, struct sched_snapshot *ret);

void sched_snapshot__done(struct sched_snapshot *s);

#endif
