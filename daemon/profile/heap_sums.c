/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_sums.h.
 */
#include "profile/heap_sums.h"

#include <math.h>

/* More than any process can have: sums of 2^32 of them do not overflow. */
#define WEIGHT_MAX 0x1p62L

static unsigned __int128 to_fixed(long double v)
{
	if (!(v > 0))
		return 0;
	return (unsigned __int128)(fminl(v, WEIGHT_MAX) * (1ULL << HEAP_FRACTION_BITS) + 0.5L);
}

static double from_fixed(unsigned __int128 v)
{
	return (double)v / (double)(1ULL << HEAP_FRACTION_BITS);
}

bool heap_alloc__is_sliced(const struct heap_alloc *a)
{
	return a->q && a->q != UINT32_MAX;
}

struct heap_sums heap_sums__of(const struct heap_alloc *a, uint64_t interval_bytes)
{
	long double k = a->bytes ? (long double)a->bytes : 1;
	long double p = 1, bytes;

	if (a->weighted_bytes)
		p = fminl(k / (long double)a->weighted_bytes, 1);
	else if (interval_bytes > 1)
		p = -expm1l(-k / (long double)interval_bytes);
	if (heap_alloc__is_sliced(a))
		p *= ldexpl(a->q, -32);
	bytes = k / p;
	return (struct heap_sums){
		.objects = to_fixed(1 / p),
		.bytes = to_fixed(bytes),
		.variance = (double)(bytes * bytes * (1 - p)),
		.samples = 1,
	};
}

void heap_sums__add(struct heap_sums *to, const struct heap_sums *from)
{
	to->objects += from->objects;
	to->bytes += from->bytes;
	to->variance += from->variance;
	to->slices_variance += from->slices_variance;
	to->samples += from->samples;
}

void heap_sums__scale(struct heap_sums *s, double by)
{
	s->objects = (unsigned __int128)((long double)s->objects * by + 0.5L);
	s->bytes = (unsigned __int128)((long double)s->bytes * by + 0.5L);
	s->variance *= by * by;
	s->slices_variance *= by * by;
}

void heap_sums__add_alike(struct heap_sums *to, const struct heap_sums *from, uint64_t cnt,
			  uint64_t of)
{
	long double ratio, bytes;

	if (!cnt || !of || !from->samples)
		return;
	ratio = (long double)cnt / (long double)of;
	to->objects += (unsigned __int128)((long double)from->objects * ratio);
	to->bytes += (unsigned __int128)((long double)from->bytes * ratio);
	/* Not even their sizes are known. */
	bytes = ldexpl((long double)from->bytes, -HEAP_FRACTION_BITS);
	to->variance += (double)(bytes * bytes * ratio / (long double)from->samples);
	to->samples += (uint64_t)((long double)from->samples * ratio + 0.5L);
}

double heap_sums__bytes(const struct heap_sums *s)
{
	return from_fixed(s->bytes);
}

struct heap_amount heap_sums__amount(const struct heap_sums *s)
{
	return (struct heap_amount){
		.objects = from_fixed(s->objects),
		.bytes = from_fixed(s->bytes),
		.error_bytes = HEAP_Z95 * sqrt(fmax(s->variance + s->slices_variance, 0)),
		.samples = s->samples,
	};
}

int64_t heap_sums__round(unsigned __int128 sum)
{
	sum += 1ULL << (HEAP_FRACTION_BITS - 1);
	sum >>= HEAP_FRACTION_BITS;
	return sum > INT64_MAX ? INT64_MAX : (int64_t)sum;
}
