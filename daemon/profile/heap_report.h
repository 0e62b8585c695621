/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a run knows of the heap beside the profile's rows. Pure data with names as they came
 * (encoders escape); filled by the session, owned by the profile it belongs to (profile.heap), read
 * by the encoders of export/. Sums are estimates: each sampled allocation of k bytes that was
 * selected with probability p counts 1/p objects and k/p bytes.
 *
 *	Σ sites = totals, up to rounding: each is rounded once
 *
 * 95 % intervals are ± 1.96 × the square root of Σ (k/p)² (1 - p) over the samples
 * (Horvitz-Thompson), and where the probes were on in slices of time only (--heap-budget), of what
 * the samples of one slice have in common; 0 where every allocation was counted.
 */
#ifndef PROFILE_HEAP_REPORT_H
#define PROFILE_HEAP_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/cleanup.h"

/* Age of what is live at the end: less than 1 s, 10 s, 1 min, 10 min, and older. */
#define HEAP_AGES 5
extern const uint64_t heap_age_limits_s[HEAP_AGES - 1];

/* Moments at which the live set is looked at for growth: evenly over the window, the last is its
 * end; of a window without a planned end, whenever its length has doubled. */
#define HEAP_POINTS 4

/* Windows shorter than this say nothing of growth. */
#define HEAP_GROWTH_MIN_NS 2000000000LL

#define HEAP_Z95 1.96 /* standard errors in half of a 95 % interval */

enum heap_source {
	HEAP_SOURCE_UPROBE = 1 << 0,
	HEAP_SOURCE_PRELOAD = 1 << 1, /* or any other emitter of otel_memory */
};

struct heap_amount {
	double objects, bytes;
	double error_bytes; /* half of the 95 % interval */
	uint64_t samples;
};

/* Callers of a site that are named. */
#define HEAP_CALLERS_MAX 4

/* What one function allocates itself: the innermost frame outside the allocator. */
struct heap_report_site {
	char *function, *file; /* owned; file: source file or "" */
	char *module;          /* owned; basename or "" */
	char **callers;        /* owned; of its heaviest stack (heap_callers.h), innermost first */
	size_t callers_cnt;
	struct heap_amount alloc, inuse;
	double age_bytes[HEAP_AGES];
	double inuse_bytes[HEAP_POINTS];
	bool has_grown; /* more at each moment than at the one before, beyond both errors */
};

struct heap_report_process {
	pid_t pid;
	char *comm;         /* owned */
	uint64_t rss_bytes; /* at the end, or when it was last seen; 0: not known */
	uint64_t rss_start_bytes;
	struct heap_amount alloc, inuse;
};

/* What probing has cost those who were probed. */
struct heap_report_cost {
	uint64_t alloc_hits, free_hits;
	uint64_t other_hits; /* of processes that are not of the target but use the same files */
	double ns_per_hit;   /* on average */
	double cpu_percent;  /* of the CPU time the target used meanwhile; negative: not known */
	double on_percent;   /* of the window in which the probes were on; 100 without a budget */
};

struct heap_report {
	int64_t time_ns, duration_ns;    /* start, UTC */
	uint64_t interval_bytes;         /* 0: the process's own, not known */
	unsigned int sources;            /* enum heap_source, or'ed */
	bool is_live;                    /* else there is no inuse: mode alloc */
	int64_t alloc_since_ns;          /* UTC; when frees stopped being followed, 0: never */
	bool is_partial;                 /* the live set was full at some time */
	uint64_t live_full;              /* allocations that found no room in it */
	struct heap_amount alloc, inuse; /* totals */
	double age_bytes[HEAP_AGES];
	uint64_t points_ns[HEAP_POINTS]; /* since the start; 0: it was not looked then */
	struct heap_report_site *sites;  /* the largest inuse (else alloc) first */
	size_t sites_cnt, sites_cap;
	struct heap_report_process *processes; /* the largest first */
	size_t processes_cnt, processes_cap;
	struct heap_report_cost cost;
};

void heap_report__free(struct heap_report *r);
DEFINE_CLEANUP(struct heap_report *, heap_report__free);

/*
 * Did a site grow? Of the moments that were looked at, three at least, each has more than the one
 * before, by more than both their errors. 'variance' is of inuse_bytes.
 */
bool heap_report__has_grown(const struct heap_report *r, const double inuse_bytes[HEAP_POINTS],
			    const double variance[HEAP_POINTS]);

/* Sums sites of one function and module, and orders every table as said above. */
void heap_report__finish(struct heap_report *r);

#endif
