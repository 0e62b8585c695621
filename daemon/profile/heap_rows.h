/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From selected allocations to sums, per row (whatever the caller calls a stack with its labels):
 * each one counts 1/p objects and k/p bytes, in fixed point, so that nothing is rounded before the
 * end. Keeps which row a live allocation belongs to, and what a walk of the live set adds up to.
 * Pure; used by session/heap_run.c, which does the walking.
 */
#ifndef PROFILE_HEAP_ROWS_H
#define PROFILE_HEAP_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "profile/heap_report.h"

/* One selected allocation, from the ring or from the live set. */
struct heap_alloc {
	uint64_t id; /* of its stack, unlike any other's; 0: none that can be found again */
	uint64_t time_ns;
	uint64_t bytes;
	uint64_t weighted_bytes; /* 0: it was selected by the interval */
	uint32_t q;              /* probability / 2^32; UINT32_MAX is 1 */
};

#define HEAP_FRACTION_BITS 32

/* Sums in units of 2^-HEAP_FRACTION_BITS. */
struct heap_sums {
	unsigned __int128 objects, bytes;
	double variance; /* of bytes */
	/* What is to be added to it: what was selected in one slice of time in which the probes
	 * were on (q) is not selected independently. */
	double slices_variance;
	uint64_t samples;
};

/* What one allocation stands for. interval 1: for itself. */
struct heap_sums heap_sums__of(const struct heap_alloc *a, uint64_t interval_bytes);
void heap_sums__add(struct heap_sums *to, const struct heap_sums *from);
/* What 'cnt' allocations more add, of which nothing is known but that they are like 'of' others,
 * for which 'from' stands. */
void heap_sums__add_alike(struct heap_sums *to, const struct heap_sums *from, uint64_t cnt,
			  uint64_t of);
void heap_sums__scale(struct heap_sums *s, double by);
/* Whether it was selected in a slice of time. */
bool heap_alloc__is_sliced(const struct heap_alloc *a);
struct heap_amount heap_sums__amount(const struct heap_sums *s);
/* To the nearest whole, INT64_MAX at most. */
int64_t heap_sums__round(unsigned __int128 sum);

/* The sums of one row; of the live set: as the last walk with a point found it. */
struct heap_row {
	struct heap_sums alloc, inuse;
	double unsliced_bytes; /* of alloc: while the probes were on all the time */
	double age_bytes[HEAP_AGES];
	struct heap_point {
		double bytes, variance;
	} points[HEAP_POINTS];
};

struct heap_rows;

struct heap_rows *heap_rows__new(uint64_t interval_bytes); /* NULL: out of memory */
void heap_rows__free(struct heap_rows *rows);
DEFINE_CLEANUP(struct heap_rows *, heap_rows__free);

/* An allocation of row 'row'; is_live: its id is to be found again. 0 or -ENOMEM. */
int heap_rows__add(struct heap_rows *rows, uint32_t row, const struct heap_alloc *a, bool is_live);

/*
 * A walk: begin, see every entry of the live set, end. Entries seen twice count once. 'stray_row'
 * gets those whose id is not known; what they are is also summed in heap_rows__strays(). At its
 * end, ids that were not seen are forgotten, but for those of allocations just before its begin,
 * which may not have reached the set. point < 0: only that.
 */
void heap_rows__begin_walk(struct heap_rows *rows, uint64_t now_ns, int point);
/* 1: counted, and what it stands for is in *ret_sums; 0: seen before; -ENOMEM. */
int heap_rows__see(struct heap_rows *rows, const struct heap_alloc *a, uint32_t stray_row,
		   struct heap_sums *ret_sums);
void heap_rows__end_walk(struct heap_rows *rows);

/* A walk is due: there are twice the ids that the last one left. */
bool heap_rows__wants_walk(const struct heap_rows *rows);

/* Forgets all that is known to be live, for good. */
void heap_rows__end_live(struct heap_rows *rows);

/*
 * --heap-budget: from time_ns on the probes are on in a slice of time, with probability q / 2^32,
 * until it ends; in it the processes used own_ns of CPU time, what the probes took left out, give
 * or take error_ns (a standard error, alike in all slices). Slices end late, and more so where
 * there is little to do: only planned_ns of it counts. To be told before allocations of a later
 * slice. 0 or -ENOMEM.
 */
int heap_rows__begin_slice(struct heap_rows *rows, uint64_t time_ns, uint32_t q);
void heap_rows__end_slice(struct heap_rows *rows, double own_ns, double error_ns,
			  double planned_ns);
/*
 * After the last allocation. own_ns: of all the time of which the slices are a sample. Allocations
 * per own CPU time are what slices tell: sums of what was selected in them are scaled from here on,
 * by own_ns over what it would be by the slices alone (a ratio estimate). Rows share slices:
 * returns the slices_variance of all rows together.
 */
double heap_rows__end_slices(struct heap_rows *rows, double own_ns);
/* By how much they are scaled in all. */
double heap_rows__slices_scale(const struct heap_rows *rows);
size_t heap_rows__slices_cnt(const struct heap_rows *rows);

size_t heap_rows__cnt(const struct heap_rows *rows);
void heap_rows__get(const struct heap_rows *rows, size_t row, struct heap_row *ret);
/* Of the last walk with a point. */
const struct heap_sums *heap_rows__strays(const struct heap_rows *rows);
size_t heap_rows__ids(const struct heap_rows *rows); /* known */

#endif
