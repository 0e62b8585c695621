/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From selected allocations to sums (heap_sums.h), per row: whatever the caller calls a stack with
 * its labels. Keeps which row a live allocation belongs to, and what a walk of the live set adds up
 * to. Pure; used by session/heap_run.c, which does the walking.
 */
#ifndef PROFILE_HEAP_ROWS_H
#define PROFILE_HEAP_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cleanup.h"
#include "profile/heap_report.h"
#include "profile/heap_sums.h"

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

/* Slices of time in which the probes are on, as heap_slices.h says. */
int heap_rows__begin_slice(struct heap_rows *rows, uint64_t time_ns, uint32_t q);
void heap_rows__end_slice(struct heap_rows *rows, double own_ns, double error_ns,
			  double planned_ns);
/* After the last allocation: what was selected in slices is scaled from here on. Rows share slices:
 * returns the slices_variance of all rows together. */
double heap_rows__end_slices(struct heap_rows *rows, double own_ns);
/* By how much it is scaled in all. */
double heap_rows__slices_scale(const struct heap_rows *rows);
size_t heap_rows__slices_cnt(const struct heap_rows *rows);

size_t heap_rows__cnt(const struct heap_rows *rows);
void heap_rows__get(const struct heap_rows *rows, size_t row, struct heap_row *ret);
/* Of the last walk with a point. */
const struct heap_sums *heap_rows__strays(const struct heap_rows *rows);
size_t heap_rows__ids(const struct heap_rows *rows); /* known */

#endif
