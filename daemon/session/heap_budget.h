/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --heap-budget: decides from what probing costs whether frees are still followed, and when the
 * probes are on at all. Above the budget frees are given up; still above it, time is cut into
 * slices of random length, in each of which the probes are on with probability f, independently of
 * all others and of what happens in it: weights divided by f stay unbiased. A pure state machine
 * with its own random numbers; heap_targets.c carries out what it says.
 */
#ifndef SESSION_HEAP_BUDGET_H
#define SESSION_HEAP_BUDGET_H

#include <stdbool.h>
#include <stdint.h>
#include "session/heap_cost.h"

enum heap_budget_action {
	HEAP_BUDGET_NOTHING = 0,
	HEAP_BUDGET_END_LIVE = 1,
	HEAP_BUDGET_ON = 2, /* with heap_budget__q() */
	HEAP_BUDGET_OFF = 3,
};

#define HEAP_BUDGET_PARTS    64          /* f is a multiple of 1/64, and not less */
#define HEAP_BUDGET_SPAN     2           /* measures that a decision is made of */
#define HEAP_BUDGET_SLICE_NS 50000000ULL /* the shortest; the longest is four times that */

struct heap_budget {
	double percent; /* negative: no budget, nothing ever happens */
	bool is_live, has_slices;
	unsigned int parts;        /* f in force */
	unsigned int wanted_parts; /* from the next slice on */
	bool is_on;
	uint64_t slice_end_ns;
	uint64_t random;
	struct heap_cost_totals last[HEAP_BUDGET_SPAN + 1]; /* newest last */
	unsigned int last_cnt;
	double cost_per_on, cpu_per_ns; /* smoothed, once there are slices */
};

void heap_budget__init(struct heap_budget *b, double percent, bool is_live, uint64_t seed);

/*
 * Once a second, with sums: what is to be done about it. *ret_percent is the share in the target's
 * CPU time that it was decided for.
 */
enum heap_budget_action heap_budget__measure(struct heap_budget *b,
					     const struct heap_cost_totals *t, uint64_t now_ns,
					     double *ret_percent);

/* The next slice, when now_ns has come to it. */
enum heap_budget_action heap_budget__slice(struct heap_budget *b, uint64_t now_ns);

/* When the next slice begins; UINT64_MAX: there are none. */
uint64_t heap_budget__due_ns(const struct heap_budget *b);

/* f in 2^32; UINT32_MAX is 1. */
uint32_t heap_budget__q(const struct heap_budget *b);

#endif
