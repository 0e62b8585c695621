/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What probing the heap costs those who are probed, while it runs: hits times the calibrated cost
 * of one, beside the CPU time they used. Fed about once a second by the loop; --heap-budget acts on
 * it. Pure arithmetic but for reading CPU times.
 */
#ifndef SESSION_HEAP_COST_H
#define SESSION_HEAP_COST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "collect/heap.h"

/* Sums since the start of the window. */
struct heap_cost_totals {
	uint64_t alloc_hits, free_hits;
	uint64_t other_hits; /* of processes that are not of the TARGET: not part of the cost */
	double cost_ns;
	double untimed_cost_ns; /* of it: since cpu_ns is known, which ends with the processes */
	uint64_t cpu_ns;        /* of the processes probed; 0: not known */
	uint64_t on_ns;         /* the probes were on */
	uint64_t total_ns;      /* of the window */
	/* CPU time less what the probes took of it: whether they are on or not, it is what the
	 * processes get done. */
	double own_ns;
	/* Of these, since the probes are on in slices of time only (heap_budget.h). */
	double sliced_own_ns, sliced_cost_ns;
};

/* Counters since the start, of all CPUs. Probes that are in for all who map a file are hit by
 * others than the TARGET, too: what that costs these, it does not cost the TARGET. */
struct heap_hits {
	uint64_t allocs, frees, others;
	uint64_t selected; /* of the allocs: their return was probed, too */
};

/* Of the sites that are probed, how many are single-stepped. */
struct heap_site_counts {
	uint64_t allocs, allocs_stepped, frees, frees_stepped;
};

/*
 * Adds what the hits since 'before' have cost, a selected allocation a few times that. Which site
 * was hit is not known: each is taken for as stepped as the sites of its sort are on average.
 */
void heap_cost__add(struct heap_cost_totals *t, const struct heap_hits *before,
		    const struct heap_hits *now, const struct heap_costs *costs,
		    const struct heap_site_counts *sites);

/* In percent of cpu_ns, 100 at most: what a hit costs is an estimate. Negative: not known. */
double heap_cost__percent(const struct heap_cost_totals *t);
double heap_cost__ns_per_hit(const struct heap_cost_totals *t); /* 0 without a hit */

/* Standard error of a cost, of which 'processes' are probed, as a part of it. */
double heap_cost__error(const struct heap_costs *costs, size_t processes);

/* What is the processes' own of CPU time in which the probes took cost_ns. */
double heap_cost__own(uint64_t cpu_ns, double cost_ns);

/* User and system time of a process so far, to the nanosecond, with those of its children that it
 * has waited for (in ticks) or without. 0 or -errno; -ESRCH: there is no such process. */
int heap_cost__read_cpu(pid_t pid, bool with_children, uint64_t *ret_ns);

/* From a line of /proc/PID/stat: its own, and its children's. 0 or -EBADMSG. */
int heap_cost__parse_cpu(const char *line, uint64_t *ret_ns, uint64_t *ret_children_ns);

#endif
