/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Poisson sampling by bytes: gaps and weights. The program may trap floating point exceptions,
 * round another way or look at their flags: everything is computed in an environment of our own.
 */
#include "preload/heap_sampler.h"
#include <xmmintrin.h>
#include "abi/heap.h"

#define LN_2       0.69314718055994530942
#define SQRT_2     1.41421356237309504880
#define MXCSR_INIT 0x1f80 /* psABI: all exceptions masked, round to nearest */

/* Terms of the series: the first one left out is below 1e-16. */
#define LN_TERMS  11 /* (s^2)^11 / 23, s^2 <= 0.0295 */
#define EXP_TERMS 14 /* 0.3466^14 / 14! */

#define EXPONENT_MAX 44.0 /* beyond, 1 - exp(-x) is 1 in a double */

uint64_t heap_sampler__parse_interval(const char *text)
{
	uint64_t value = 0;

	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9')
			return HEAP_INTERVAL_DEFAULT;
		value = value * 10 + (uint64_t)(*c - '0');
		if (value > HEAP_SAMPLER_INTERVAL_MAX)
			return HEAP_INTERVAL_DEFAULT;
	}
	return value ? value : HEAP_INTERVAL_DEFAULT;
}

/* splitmix64 (Steele, Lea and Flood, 2014). */
uint64_t heap_sampler__random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

/* -ln((n + 1/2) / 2^53), n of 53 bits. */
static double minus_ln(uint64_t n)
{
	uint64_t half_steps = 2 * n + 1; /* of 2^-54 */
	int exponent = 63 - __builtin_clzll(half_steps);
	double m = (double)half_steps / (double)(1ULL << exponent); /* 1 … 2 */
	double s, square, sum = 0;

	if (m > SQRT_2) {
		m /= 2;
		exponent++;
	}
	/* ln(m) = 2 artanh(s) */
	s = (m - 1) / (m + 1);
	square = s * s;
	for (int i = LN_TERMS - 1; i >= 0; i--)
		sum = sum * square + 1.0 / (2 * i + 1);
	return (54 - exponent) * LN_2 - 2 * s * sum;
}

/* 1 - exp(-x), x >= 0, without cancellation at small x. */
static double selection_probability(double x)
{
	unsigned int halvings;
	double r, term = 1, sum = 0, scale;

	if (x > EXPONENT_MAX)
		return 1;
	halvings = (unsigned int)(x / LN_2 + 0.5);
	r = x - halvings * LN_2; /* -ln(2)/2 … ln(2)/2 */
	for (int i = 1; i < EXP_TERMS; i++) {
		term *= -r / i;
		sum += term; /* exp(-r) - 1 */
	}
	scale = 1.0 / (double)(1ULL << halvings);
	return (1 - scale) - scale * sum;
}

uint64_t heap_sampler__gap(uint64_t *state, uint64_t interval)
{
	unsigned int mxcsr;
	uint64_t gap;

	if (interval == 1)
		return 0;
	mxcsr = _mm_getcsr();
	_mm_setcsr(MXCSR_INIT);
	gap = (uint64_t)((double)interval * minus_ln(heap_sampler__random(state) >> 11));
	__asm__ volatile("" : "+r"(gap)); /* before the environment is the program's again */
	_mm_setcsr(mxcsr);
	return gap;
}

uint64_t heap_sampler__weighted(uint64_t bytes, uint64_t interval)
{
	unsigned int mxcsr;
	uint64_t weighted;
	double k;

	if (interval == 1 || bytes / interval > (uint64_t)EXPONENT_MAX)
		return bytes;
	mxcsr = _mm_getcsr();
	_mm_setcsr(MXCSR_INIT);
	__asm__ volatile("" : "+r"(bytes)); /* not before */
	k = (double)bytes;
	weighted = (uint64_t)(k / selection_probability(k / (double)interval) + 0.5);
	__asm__ volatile("" : "+r"(weighted));
	_mm_setcsr(mxcsr);
	return weighted;
}
