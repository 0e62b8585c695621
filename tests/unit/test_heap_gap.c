/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Distances between samples: over all random numbers, evenly, they must be distributed as the
 * weights of samples assume.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "abi/heap_gap.h"

#define DRAWS_BITS 22
#define DRAWS      (1U << DRAWS_BITS)

static uint32_t ln[HEAP_LN_CNT];

static int fill_table(void **state)
{
	for (int i = 0; i < HEAP_LN_CNT; i++)
		ln[i] = (uint32_t)lround(log1p((double)i / (HEAP_LN_CNT - 1)) * 0x1p32);
	return 0;
}

static uint32_t random_of(uint32_t i)
{
	return (i << (32 - DRAWS_BITS)) + (1U << (31 - DRAWS_BITS));
}

static void test_each_is_a_logarithm(void **state)
{
	const uint64_t interval = 1ULL << 31;

	for (uint32_t i = 0; i < DRAWS; i++) {
		uint32_t random = random_of(i);
		double u = (2.0 * random + 1) / 0x1p33;
		double got = (double)heap_gap(random, ln, interval) / (double)interval;

		assert_true(fabs(got + log(u)) < 0x1p-18);
	}
}

static void test_ends(void **state)
{
	assert_true(heap_gap(0, ln, 1 << 20) > 22 << 20);
	assert_true(heap_gap(0, ln, 1 << 20) < 23 << 20);
	assert_int_equal(heap_gap(UINT32_MAX, ln, 512 << 10), 0);
	assert_true(heap_gap(0, ln, HEAP_INTERVAL_MAX) > 22 * HEAP_INTERVAL_MAX);
}

static double share_below(uint64_t bytes, uint64_t interval)
{
	uint32_t below = 0;

	for (uint32_t i = 0; i < DRAWS; i++)
		below += heap_gap(random_of(i), ln, interval) < bytes;
	return (double)below / DRAWS;
}

/* An allocation of k bytes is selected with 1 - exp(-k / interval). */
static void test_probability(void **state)
{
	static const uint64_t intervals[] = { 2, 1000, 512 << 10 };
	static const double shares[] = { 0.001, 0.1, 0.7, 1, 3 };

	for (size_t i = 0; i < sizeof(intervals) / sizeof(intervals[0]); i++) {
		for (size_t k = 0; k < sizeof(shares) / sizeof(shares[0]); k++) {
			uint64_t bytes = (uint64_t)ceil(shares[k] * (double)intervals[i]);
			double p = -expm1(-(double)bytes / (double)intervals[i]);

			assert_true(fabs(share_below(bytes, intervals[i]) - p) < 1e-5);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_is_a_logarithm),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_probability),
	};

	return cmocka_run_group_tests(tests, fill_table, NULL);
}
