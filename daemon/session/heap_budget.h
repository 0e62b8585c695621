/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --heap-budget: decides from what probing costs whether frees are still followed, and when the
 * probes are on at all. Above the budget frees are given up; still above it, the probes are on in a
 * part f of the time only. That time is the target's own CPU time, less what the probes take: who
 * is probed is slower, so that of a wall clock's slices those that are on would hold less. It is
 * cut into frames of n slots, and the probes are on in one slot of each, drawn at random: whatever
 * the target does, each of its moments is seen with probability f = 1/n. A pure state machine with
 * its own random numbers; heap_tick.c carries out what it says.
 */
#ifndef SESSION_HEAP_BUDGET_H
#define SESSION_HEAP_BUDGET_H

#include <stdbool.h>
#include <stdint.h>
#include "session/heap_cost.h"

enum heap_budget_action {
	HEAP_BUDGET_NOTHING = 0,
	HEAP_BUDGET_END_LIVE = 1,
	HEAP_BUDGET_ON = 2,  /* a slice begins, with heap_budget__q(); one that was on has ended */
	HEAP_BUDGET_OFF = 3, /* the slice that was on has ended */
};

#define HEAP_BUDGET_SLOTS_MAX 65536 /* of a frame */
#define HEAP_BUDGET_SPAN      2     /* measures that a decision is made of */

enum heap_budget_phase {
	HEAP_BUDGET_BEFORE, /* the slot of the frame that is on */
	HEAP_BUDGET_WITHIN,
	HEAP_BUDGET_AFTER,
};

struct heap_budget {
	double percent; /* negative: no budget, nothing ever happens */
	bool is_live, has_slices, is_on;
	uint64_t random;
	struct heap_cost_totals last[HEAP_BUDGET_SPAN + 1]; /* newest last */
	unsigned int last_cnt;
	/* once there are slices */
	enum heap_budget_phase phase;
	uint32_t slots; /* of this frame */
	double slot_ns, turn_ns,
		frame_ns; /* own CPU time: a slot's, of the next turn, of its end */
	struct heap_cost_totals began, ended; /* of the last slice that was on */
	/* Smoothed: what probes cost per own CPU time while they are on, what it costs to have them
	 * put in and taken out, and own CPU time per wall time while they are on. */
	double cost_per_own, cost_per_switch, own_per_wall;
	double own_ns; /* at the last turn */
	uint64_t due_ns;
};

void heap_budget__init(struct heap_budget *b, double percent, bool is_live, uint64_t seed);

/*
 * Now and then, with sums: what is to be done about it. *ret_percent is the share in the target's
 * CPU time that it was decided for.
 */
enum heap_budget_action heap_budget__measure(struct heap_budget *b,
					     const struct heap_cost_totals *t, uint64_t now_ns,
					     double *ret_percent);

/* When it is due, with sums of this moment. */
enum heap_budget_action heap_budget__turn(struct heap_budget *b, const struct heap_cost_totals *t,
					  uint64_t now_ns);
/* After HEAP_BUDGET_ON, once the probes are in: the slice lasts from here on. */
void heap_budget__began(struct heap_budget *b, const struct heap_cost_totals *t, uint64_t now_ns);

/* How long a slot of this frame is to be; a slice that is ended late is longer. */
double heap_budget__slot_ns(const struct heap_budget *b);

/* When the next turn is to be looked for; UINT64_MAX: never. */
uint64_t heap_budget__due_ns(const struct heap_budget *b);

/* f in 2^32; UINT32_MAX is 1. */
uint32_t heap_budget__q(const struct heap_budget *b);

#endif
