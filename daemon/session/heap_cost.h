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

/* Sums since the start of the window. */
struct heap_cost_totals {
	uint64_t alloc_hits, free_hits;
	double cost_ns;
	uint64_t cpu_ns;   /* of the processes probed; 0: not known */
	uint64_t on_ns;    /* the probes were on */
	uint64_t total_ns; /* of the window */
};

/* In percent of cpu_ns; negative: not known. */
double heap_cost__percent(const struct heap_cost_totals *t);
double heap_cost__ns_per_hit(const struct heap_cost_totals *t); /* 0 without a hit */

#endif
