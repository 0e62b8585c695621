/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_slices.h.
 */
#include "profile/heap_slices.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include "base/array.h"

int heap_slices__begin(struct heap_slices *s, uint64_t time_ns, uint32_t q)
{
	if (array__reserve(s->items, s->cap, s->cnt + 1))
		return -ENOMEM;
	s->items[s->cnt++] =
		(struct heap_slice){ .begin_ns = time_ns, .q = ldexp(q, -32), .share = 1 };
	return 0;
}

void heap_slices__end(struct heap_slices *s, double own_ns, double error_ns, double planned_ns)
{
	struct heap_slice *last;

	if (!s->cnt)
		return;
	last = &s->items[s->cnt - 1];
	last->share = own_ns > planned_ns ? planned_ns / own_ns : 1;
	last->weighted_ns = last->share * own_ns / last->q;
	last->error_ns = last->share * error_ns / last->q;
}

void heap_slices__done(struct heap_slices *s)
{
	free(s->items);
	*s = (struct heap_slices){ .cnt = 0 };
}

struct heap_slice_sums heap_slices__sums(const struct heap_slices *s, double own_ns)
{
	struct heap_slice_sums sums = { .scale = 1 };
	size_t i;

	for (i = 0; i < s->cnt; i++) {
		const struct heap_slice *slice = &s->items[i];

		sums.cnt += slice->weighted_ns > 0;
		sums.own_ns += slice->weighted_ns;
		sums.error_ns += slice->error_ns;
		sums.squares += (1 - slice->q) * slice->weighted_ns * slice->weighted_ns;
	}
	if (sums.own_ns > 0 && own_ns > 0)
		sums.scale = own_ns / sums.own_ns;
	return sums;
}

/* Index + 1 of the slice it was selected in. It may have returned later. */
static size_t slice_at(const struct heap_slices *s, uint64_t time_ns)
{
	size_t i = s->cnt;

	while (i > 1 && s->items[i - 1].begin_ns > time_ns)
		i--;
	return i;
}

/* By now it is known how long the slice was. Somebody may not have told of it. */
static void close_slice(struct heap_sliced *r, const struct heap_slices *s)
{
	const struct heap_slice untold = { .q = 1, .share = 1 };
	const struct heap_slice *slice = r->slice ? &s->items[r->slice - 1] : &untold;
	double bytes;

	heap_sums__scale(&r->last, slice->share);
	bytes = heap_sums__bytes(&r->last);
	r->products += (1 - slice->q) * bytes * bytes;
	r->with_own += (1 - slice->q) * bytes * slice->weighted_ns;
	r->squares += slice->share * slice->share * r->last_squares;
	heap_sums__add(&r->alloc, &r->last);
	r->last = (struct heap_sums){ .samples = 0 };
	r->last_squares = 0;
}

void heap_sliced__add(struct heap_sliced *r, const struct heap_slices *s,
		      const struct heap_alloc *a, const struct heap_sums *sums)
{
	size_t slice = slice_at(s, a->time_ns);
	double weight = heap_sums__bytes(sums);

	if (slice > r->slice) {
		close_slice(r, s);
		r->slice = slice;
	}
	heap_sums__add(&r->last, sums);
	r->last_squares += (1 - ldexp(a->q, -32)) * weight * weight;
}

/* Of a normal 95 % interval to that of Student's t, squared. */
static double small_sample(size_t slices_cnt)
{
	static const double t975[] = { 0, 12.706, 4.303, 3.182, 2.776, 2.571 };
	size_t freedom = slices_cnt - 1;
	double ratio = 1 + 1.6 / (double)freedom;

	if (freedom < ARRAY_SIZE(t975))
		ratio = t975[freedom] / HEAP_Z95;
	return ratio * ratio * (double)slices_cnt / (double)freedom;
}

/* Beside alloc.variance, which has its samples' squares; those are in the residuals, too. */
void heap_sliced__end(struct heap_sliced *r, const struct heap_slices *s,
		      const struct heap_slice_sums *sums)
{
	double bytes, ratio, error, residuals;

	close_slice(r, s);
	bytes = heap_sums__bytes(&r->alloc);
	ratio = sums->own_ns > 0 ? bytes / sums->own_ns : 0;
	error = ratio * sums->error_ns;
	residuals = fmax(r->products - 2 * ratio * r->with_own + ratio * ratio * sums->squares, 0);
	if (sums->cnt > 1)
		residuals *= small_sample(sums->cnt);
	else
		residuals = bytes * bytes; /* all or nothing is known of the rest */
	r->alloc.slices_variance = residuals - r->squares + error * error;
	heap_sums__scale(&r->alloc, sums->scale);
}
