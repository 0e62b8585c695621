/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_budget.h. How long a frame and its slots are comes from measures of the time before it
 * only: were it chosen by what the frame itself holds, weights would be biased.
 */
#include "session/heap_budget.h"

#include <math.h>
#include <string.h>
#include "base/clock.h"

#define CPU_MIN_NS 50000000ULL /* of CPU time: a share of less is noise */
#define MARGIN     0.9         /* of the budget is aimed at */

/* Wall time. As short as is worth putting probes in, so that many fit; longer where the probes are
 * on for much of the time, as taking them out lasts 50 ms. */
#define ON_NS  20e6
#define OFF_NS 150e6 /* between two slices, at least, on average */

#define SLOT_MIN_NS  100e3 /* own CPU time */
#define OWN_PER_WALL 1e-3  /* at least: of who does nothing just now */

/* Of a measure among those before it. What is dearer is believed sooner. */
#define WEIGHT_UP   0.6
#define WEIGHT_DOWN 0.3

/* How often is looked for the next turn. */
#define LOOK_MIN_NS     1e6
#define LOOK_OFF_MIN_NS 4e6
#define LOOK_ON_MAX_NS  10e6
#define LOOK_OFF_MAX_NS 50e6

void heap_budget__init(struct heap_budget *b, double percent, bool is_live, uint64_t seed)
{
	*b = (struct heap_budget){
		.percent = percent,
		.is_live = is_live,
		.slots = 1,
		.is_on = true,
		.random = seed,
	};
}

/* splitmix64 */
static uint64_t next_random(struct heap_budget *b)
{
	uint64_t z = b->random += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static void keep(struct heap_budget *b, const struct heap_cost_totals *t)
{
	if (b->last_cnt == HEAP_BUDGET_SPAN + 1)
		memmove(&b->last[0], &b->last[1], HEAP_BUDGET_SPAN * sizeof(b->last[0]));
	else
		b->last_cnt++;
	b->last[b->last_cnt - 1] = *t;
}

static struct heap_cost_totals since(const struct heap_cost_totals *then,
				     const struct heap_cost_totals *now)
{
	return (struct heap_cost_totals){
		.cost_ns = now->cost_ns - then->cost_ns,
		.cpu_ns = now->cpu_ns > then->cpu_ns ? now->cpu_ns - then->cpu_ns : 0,
		.own_ns = now->own_ns - then->own_ns,
		.total_ns = now->total_ns - then->total_ns,
	};
}

/* --- how much -----------------------------------------------------------------------------------
 */

static void smooth(double *to, double v)
{
	if (*to > 0)
		*to += (v > *to ? WEIGHT_UP : WEIGHT_DOWN) * (v - *to);
	else
		*to = v;
}

/* d: of a time in which the probes were on. */
static void learn_on(struct heap_budget *b, const struct heap_cost_totals *d)
{
	double own_per_wall = d->total_ns ? d->own_ns / (double)d->total_ns : 0;

	if (d->own_ns > 0)
		smooth(&b->cost_per_own, d->cost_ns / d->own_ns);
	smooth(&b->own_per_wall, fmax(own_per_wall, OWN_PER_WALL));
}

/* So many slots of slot_ns that one of them may cost what it does. */
static double slots_for(const struct heap_budget *b, double slot_ns)
{
	double share = MARGIN * b->percent / 100;
	double cost_ns = b->cost_per_own * slot_ns + b->cost_per_switch;

	return ceil(cost_ns * (1 - share) / (share * slot_ns));
}

static double slot_of(const struct heap_budget *b, double wall_ns)
{
	return fmax(wall_ns * b->own_per_wall, SLOT_MIN_NS);
}

static void plan_frame(struct heap_budget *b)
{
	double share = MARGIN * b->percent / 100, slots;
	uint32_t slot = 0;

	if (b->cost_per_own <= share * (1 + b->cost_per_own)) {
		b->slots = 1;
		b->slot_ns = slot_of(b, OFF_NS);
	} else {
		b->slot_ns = slot_of(b, ON_NS);
		slots = fmax(slots_for(b, b->slot_ns), 2);
		if ((slots - 1) * ON_NS < OFF_NS) {
			b->slot_ns = slot_of(b, OFF_NS / (slots - 1));
			slots = fmax(slots_for(b, b->slot_ns), 2);
		}
		b->slots = (uint32_t)fmin(slots, HEAP_BUDGET_SLOTS_MAX);
		slot = (uint32_t)((next_random(b) >> 32) * b->slots >> 32);
	}
	b->turn_ns = b->own_ns + slot * b->slot_ns;
	b->frame_ns = b->own_ns + b->slots * b->slot_ns;
	b->phase = HEAP_BUDGET_BEFORE;
}

/* --- when ---------------------------------------------------------------------------------------
 */

static void plan_look(struct heap_budget *b, uint64_t now_ns, double rate)
{
	double wall_ns = (b->turn_ns - b->own_ns) / (2 * fmax(rate, OWN_PER_WALL));
	bool is_on = b->phase == HEAP_BUDGET_WITHIN;

	wall_ns = fmin(wall_ns, is_on ? LOOK_ON_MAX_NS : LOOK_OFF_MAX_NS);
	b->due_ns = now_ns + (uint64_t)fmax(wall_ns, is_on ? LOOK_MIN_NS : LOOK_OFF_MIN_NS);
}

static void end_slice(struct heap_budget *b, const struct heap_cost_totals *t)
{
	struct heap_cost_totals d = since(&b->began, t);

	learn_on(b, &d);
	b->ended = *t;
	b->phase = HEAP_BUDGET_AFTER;
	b->turn_ns = b->frame_ns;
}

enum heap_budget_action heap_budget__turn(struct heap_budget *b, const struct heap_cost_totals *t,
					  uint64_t now_ns)
{
	bool was_on = b->is_on;

	if (!b->has_slices)
		return HEAP_BUDGET_NOTHING;
	b->own_ns = t->own_ns;
	if (b->phase == HEAP_BUDGET_WITHIN && b->own_ns >= b->turn_ns)
		end_slice(b, t);
	if (b->phase == HEAP_BUDGET_AFTER && b->own_ns >= b->turn_ns)
		plan_frame(b);
	if (b->phase == HEAP_BUDGET_BEFORE && b->own_ns >= b->turn_ns) {
		b->is_on = true;
		return HEAP_BUDGET_ON;
	}
	b->is_on = b->phase == HEAP_BUDGET_WITHIN;
	/* Of who may not be probed just now it is not known how fast he is: as one CPU, or two. */
	plan_look(b, now_ns, b->is_on ? b->own_per_wall : fmax(1, b->own_per_wall));
	return was_on && !b->is_on ? HEAP_BUDGET_OFF : HEAP_BUDGET_NOTHING;
}

void heap_budget__began(struct heap_budget *b, const struct heap_cost_totals *t, uint64_t now_ns)
{
	double switched_ns = t->cost_ns - b->ended.cost_ns;

	/* Of two slots side by side nothing was switched. */
	if (switched_ns > 0)
		smooth(&b->cost_per_switch, switched_ns);
	b->began = *t;
	b->own_ns = t->own_ns;
	b->turn_ns = b->own_ns + b->slot_ns;
	b->phase = HEAP_BUDGET_WITHIN;
	plan_look(b, now_ns, b->own_per_wall);
}

enum heap_budget_action heap_budget__measure(struct heap_budget *b,
					     const struct heap_cost_totals *t, uint64_t now_ns,
					     double *ret_percent)
{
	struct heap_cost_totals d;

	if (b->percent < 0 || b->has_slices)
		return HEAP_BUDGET_NOTHING;
	keep(b, t);
	if (b->last_cnt <= HEAP_BUDGET_SPAN)
		return HEAP_BUDGET_NOTHING;
	d = since(&b->last[0], t);
	if (d.cpu_ns < CPU_MIN_NS || heap_cost__percent(&d) <= b->percent)
		return HEAP_BUDGET_NOTHING;
	*ret_percent = heap_cost__percent(&d);
	b->last[0] = *t;
	b->last_cnt = 1;
	if (b->is_live) {
		b->is_live = false;
		return HEAP_BUDGET_END_LIVE;
	}
	learn_on(b, &d);
	b->cost_per_switch = b->cost_per_own * slot_of(b, ON_NS / 2);
	b->has_slices = true;
	b->own_ns = t->own_ns;
	b->ended = *t;
	plan_frame(b);
	b->due_ns = now_ns;
	return HEAP_BUDGET_NOTHING;
}

double heap_budget__slot_ns(const struct heap_budget *b)
{
	return b->slot_ns;
}

uint64_t heap_budget__due_ns(const struct heap_budget *b)
{
	return b->has_slices ? b->due_ns : UINT64_MAX;
}

uint32_t heap_budget__q(const struct heap_budget *b)
{
	return b->slots <= 1 ? UINT32_MAX : (uint32_t)((1ULL << 32) / b->slots);
}
