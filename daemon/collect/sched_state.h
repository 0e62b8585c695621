/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scheduler probe while it is attached: shared by probe_sched.c, which keeps it, and
 * sched_snapshot.c, which reads it out. Private to collect/.
 */
#ifndef COLLECT_SCHED_STATE_H
#define COLLECT_SCHED_STATE_H

#include "collect/sched_snapshot.h"
#include "cprofd.skel.h"

/* Threads told apart; what more of them wait is in the totals only. */
#define SCHED_THREADS_MAX 65536

struct sched_threads {
	struct sched_thread_sums *items;
	size_t cnt, cap;
	uint64_t lost; /* found no place */
};

struct sched_state {
	struct cprofd_bpf *skel;
	struct bpf_link *switch_link, *threads_link;
	struct sched_threads ended; /* as their records came */
	struct sched_threads alive; /* when the probe was detached */
	bool is_detached;
	bool has_groups;
	uint32_t worst_cnt; /* asked for */
};

/* Reads the threads that are alive through the iterator program. 0 or -errno. */
int sched_state__read_alive(struct sched_state *s, struct sched_threads *ret);

/* The counters of switches, of all CPUs. 0 or -errno. */
int sched_state__read_switches(struct sched_state *s, struct event_counters *ret);

/* One record into the list; full or without memory, it is left out and counted. */
void sched_threads__add(struct sched_threads *t, const struct sched_thread_event *ev);

#endif
