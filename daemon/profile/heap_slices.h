/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --heap-budget: estimates from the slices of time in which the probes were on. Slices are chosen
 * at random from all of the processes' own CPU time, the probes' left out, and allocations per own
 * CPU time are what they tell: sums of what was selected in them are scaled by the own time there
 * was over what it would be by the slices alone (a ratio estimate). Pure; used by heap_rows.c.
 *
 * With B the weight of a row in a slice, w the slice's own CPU time / q and R = Σ B / Σ w, the
 * variance of a ratio estimate is Σ (1 - q) (B - R w)².
 */
#ifndef PROFILE_HEAP_SLICES_H
#define PROFILE_HEAP_SLICES_H

#include <stddef.h>
#include <stdint.h>
#include "profile/heap_sums.h"

struct heap_slice {
	uint64_t begin_ns;
	double q;
	double share;       /* of it that counts */
	double weighted_ns; /* own CPU time / q of that; 0 until it has ended */
	double error_ns;    /* of that */
};

/* {} is none. */
struct heap_slices {
	struct heap_slice *items;
	size_t cnt, cap;
};

/* From time_ns on the probes are on, with probability q / 2^32. To be told before allocations of a
 * later slice. 0 or -ENOMEM. */
int heap_slices__begin(struct heap_slices *s, uint64_t time_ns, uint32_t q);
/* The last one ends: in it the processes used own_ns, give or take error_ns (a standard error,
 * alike in all slices). Slices end late, and more so where there is little to do: only planned_ns
 * of it counts. */
void heap_slices__end(struct heap_slices *s, double own_ns, double error_ns, double planned_ns);
void heap_slices__done(struct heap_slices *s);

/* Of the slices that the processes did anything in. */
struct heap_slice_sums {
	size_t cnt;
	double own_ns, squares; /* Σ w, Σ (1 - q) w² */
	double error_ns;        /* of Σ w */
	double scale;           /* own time of all there was / Σ w */
};

/* own_ns: of all the time of which the slices are a sample; 0: not known. */
struct heap_slice_sums heap_slices__sums(const struct heap_slices *s, double own_ns);

/* What was selected of one row in slices. {} is nothing. */
struct heap_sliced {
	struct heap_sums alloc; /* of the slices before the last; after the end: scaled */
	size_t slice;           /* index + 1 of the last one */
	struct heap_sums last;  /* what is in it so far */
	double last_squares,
		squares;           /* Σ (1 - q) × the weights' squares: of the last, the others */
	double products, with_own; /* Σ (1 - q) B², Σ (1 - q) B w, of the others */
};

void heap_sliced__add(struct heap_sliced *r, const struct heap_slices *s,
		      const struct heap_alloc *a, const struct heap_sums *sums);
/* Once, after the last of it: r->alloc is the estimate. */
void heap_sliced__end(struct heap_sliced *r, const struct heap_slices *s,
		      const struct heap_slice_sums *sums);

#endif
