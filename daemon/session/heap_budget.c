/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_budget.h. f of a slice comes from measures of the time before it only: were it chosen by
 * what the slice itself holds, weights would be biased.
 */
#include "session/heap_budget.h"

#include <string.h>

#define CPU_MIN_NS 50000000ULL /* below that a share is noise: CPU times come in ticks of 10 ms */
#define MARGIN     0.9         /* of the budget is aimed at */
#define STEP_MAX   1.5         /* f changes by this factor at most from one second to the next */
#define NEW_WEIGHT 0.3         /* of a measure among those before it */

void heap_budget__init(struct heap_budget *b, double percent, bool is_live, uint64_t seed)
{
	*b = (struct heap_budget){
		.percent = percent,
		.is_live = is_live,
		.parts = HEAP_BUDGET_PARTS,
		.wanted_parts = HEAP_BUDGET_PARTS,
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
		.on_ns = now->on_ns - then->on_ns,
		.total_ns = now->total_ns - then->total_ns,
	};
}

static unsigned int parts_of(double f)
{
	double parts = f * HEAP_BUDGET_PARTS;

	if (!(parts > 1))
		return 1;
	return parts < HEAP_BUDGET_PARTS ? (unsigned int)parts : HEAP_BUDGET_PARTS;
}

/* What the probes would cost were they always on, and so which f keeps to the budget. */
static void adapt(struct heap_budget *b, const struct heap_cost_totals *d)
{
	double weight = b->cpu_per_ns > 0 ? NEW_WEIGHT : 1, f, now = b->parts;

	if (!d->total_ns)
		return;
	b->cpu_per_ns += weight * ((double)d->cpu_ns / (double)d->total_ns - b->cpu_per_ns);
	if (d->on_ns)
		b->cost_per_on += weight * (d->cost_ns / (double)d->on_ns - b->cost_per_on);
	if (b->cost_per_on <= 0)
		return;
	now /= HEAP_BUDGET_PARTS;
	f = MARGIN * b->percent / 100 * b->cpu_per_ns / b->cost_per_on;
	if (b->has_slices && f > now * STEP_MAX)
		f = now * STEP_MAX;
	if (b->has_slices && f < now / STEP_MAX)
		f = now / STEP_MAX;
	/* A step up from few parts must be at least one part. */
	b->wanted_parts = parts_of(f);
	if (b->has_slices && f > now && b->wanted_parts == b->parts && f * HEAP_BUDGET_PARTS < 3)
		b->wanted_parts++;
}

enum heap_budget_action heap_budget__measure(struct heap_budget *b,
					     const struct heap_cost_totals *t, uint64_t now_ns,
					     double *ret_percent)
{
	struct heap_cost_totals d;

	if (b->percent < 0)
		return HEAP_BUDGET_NOTHING;
	keep(b, t);
	if (b->has_slices) {
		d = since(&b->last[b->last_cnt - 2], t);
		adapt(b, &d);
		return HEAP_BUDGET_NOTHING;
	}
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
	adapt(b, &d);
	b->has_slices = true;
	b->slice_end_ns = now_ns;
	return HEAP_BUDGET_NOTHING;
}

enum heap_budget_action heap_budget__slice(struct heap_budget *b, uint64_t now_ns)
{
	bool was_on = b->is_on, same = b->parts == b->wanted_parts;

	if (!b->has_slices || now_ns < b->slice_end_ns)
		return HEAP_BUDGET_NOTHING;
	b->parts = b->wanted_parts;
	/* Slices follow one another as planned, whoever comes late: were one that is on longer for
	 * what it costs to handle it, it would count too much. */
	if (now_ns - b->slice_end_ns > 4 * HEAP_BUDGET_SLICE_NS)
		b->slice_end_ns = now_ns;
	b->slice_end_ns += HEAP_BUDGET_SLICE_NS + next_random(b) % (3 * HEAP_BUDGET_SLICE_NS + 1);
	b->is_on = (next_random(b) >> 32) % HEAP_BUDGET_PARTS < b->parts;
	if (b->is_on)
		return was_on && same ? HEAP_BUDGET_NOTHING : HEAP_BUDGET_ON;
	return was_on ? HEAP_BUDGET_OFF : HEAP_BUDGET_NOTHING;
}

uint64_t heap_budget__due_ns(const struct heap_budget *b)
{
	return b->has_slices ? b->slice_end_ns : UINT64_MAX;
}

uint32_t heap_budget__q(const struct heap_budget *b)
{
	return b->parts == HEAP_BUDGET_PARTS
		       ? UINT32_MAX
		       : b->parts * (uint32_t)(UINT32_MAX / HEAP_BUDGET_PARTS + 1);
}
