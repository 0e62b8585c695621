/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The estimator: what a selected allocation stands for, which is 1/p objects and k/p bytes, and
 * their sums with what is known of their error. In fixed point, so that nothing is rounded before
 * the end. Pure.
 */
#ifndef PROFILE_HEAP_SUMS_H
#define PROFILE_HEAP_SUMS_H

#include <stdbool.h>
#include <stdint.h>
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
double heap_sums__bytes(const struct heap_sums *s);
struct heap_amount heap_sums__amount(const struct heap_sums *s);
/* To the nearest whole, INT64_MAX at most. */
int64_t heap_sums__round(unsigned __int128 sum);

#endif
