/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arithmetic of libcprof-heap.so, against libm.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fenv.h>
#include <math.h>
#include "abi/heap.h"
#include "preload/heap_sampler.h"

static void test_interval(void **state)
{
	assert_int_equal(heap_sampler__parse_interval("1"), 1);
	assert_int_equal(heap_sampler__parse_interval("524288"), 524288);
	assert_int_equal(heap_sampler__parse_interval("0004096"), 4096);
	assert_int_equal(heap_sampler__parse_interval("1099511627776"), 1ULL << 40);
}

static void test_bad_interval(void **state)
{
	static const char *const bad[] = { "",
					   "0",
					   "-1",
					   "+1",
					   " 1",
					   "1 ",
					   "512k",
					   "1099511627777",
					   "1.5",
					   "0x10",
					   "18446744073709551617",
					   "abc" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(heap_sampler__parse_interval(bad[i]), HEAP_INTERVAL_DEFAULT);
}

static void test_bytes(void **state)
{
	assert_int_equal(heap_sampler__bytes(0), 1);
	assert_int_equal(heap_sampler__bytes(1), 1);
	assert_int_equal(heap_sampler__bytes(SIZE_MAX), SIZE_MAX);
}

/* To half a byte, and 1e-9 of the value, for sizes from 1 byte to 1 TB. */
static void test_weights(void **state)
{
	static const uint64_t intervals[] = { 2, 3, 100, 4096, 524288, 2097152, 1ULL << 40 };

	for (size_t i = 0; i < sizeof(intervals) / sizeof(intervals[0]); i++) {
		for (double k = 1; k < 1e12; k = floor(k * 1.07 + 1)) {
			double p = -expm1(-k / (double)intervals[i]), want = k / p;
			double got = (double)heap_sampler__weighted((uint64_t)k, intervals[i]);

			if (fabs(got - want) > 0.5 + want * 1e-9)
				fail_msg("%.0f bytes, interval %lu: %.1f, not %.1f", k,
					 intervals[i], got, want);
		}
	}
}

/* Where rounding hides nothing: an interval so large that weights have 12 digits. */
static void test_weights_are_exact(void **state)
{
	uint64_t interval = 1ULL << 40;

	for (double k = 1; k < 6e13; k = floor(k * 1.01 + 1)) {
		double want = k / -expm1(-k / (double)interval);
		double got = (double)heap_sampler__weighted((uint64_t)k, interval);

		assert_true(fabs(got / want - 1) < 1e-9);
	}
}

static void test_weight_at_interval_1(void **state)
{
	assert_int_equal(heap_sampler__weighted(1, 1), 1);
	assert_int_equal(heap_sampler__weighted(12345, 1), 12345);
}

static void test_huge_weight(void **state)
{
	assert_int_equal(heap_sampler__weighted(UINT64_MAX, 524288), UINT64_MAX);
	assert_int_equal(heap_sampler__weighted(1ULL << 62, 2), 1ULL << 62);
}

static void test_gap_at_interval_1(void **state)
{
	uint64_t random = 1;

	for (int i = 0; i < 100; i++)
		assert_int_equal(heap_sampler__gap(&random, 1), 0);
}

#define DRAWS 1000000

/* Mean and the share above one, two and four means, each to 5 standard errors. */
static void test_gaps_are_exponential(void **state)
{
	static const double means[] = { 1, 2, 4 };
	uint64_t random = 42, interval = 524288, above[3] = { 0 };
	double sum = 0;

	for (int i = 0; i < DRAWS; i++) {
		uint64_t gap = heap_sampler__gap(&random, interval);

		sum += (double)gap + 0.5;
		for (int j = 0; j < 3; j++)
			above[j] += (double)gap >= means[j] * (double)interval;
	}
	assert_true(fabs(sum / DRAWS / (double)interval - 1) < 5 / sqrt(DRAWS));
	for (int j = 0; j < 3; j++) {
		double p = exp(-means[j]), error = sqrt(p * (1 - p) / DRAWS);

		assert_true(fabs((double)above[j] / DRAWS - p) < 5 * error);
	}
}

/* The whole: a countdown over blocks of one size selects 1 - exp(-k/T) of them, and their weights
 * add up to what was allocated. */
static void check_selection(uint64_t bytes, uint64_t interval)
{
	double p = -expm1(-(double)bytes / (double)interval);
	double error = sqrt(p * (1 - p) / DRAWS), weighted = 0;
	uint64_t random = bytes * 7919 + interval;
	uint64_t left = heap_sampler__gap(&random, interval), selected_cnt = 0;

	for (int i = 0; i < DRAWS; i++) {
		if (!__builtin_sub_overflow(left, bytes, &left))
			continue;
		left = heap_sampler__gap(&random, interval);
		selected_cnt++;
		weighted += (double)heap_sampler__weighted(bytes, interval);
	}
	assert_true(fabs((double)selected_cnt / DRAWS - p) <= 5 * error);
	assert_true(fabs(weighted / DRAWS / (double)bytes - 1) <=
		    5 * error / p + 0.5 / (double)bytes);
}

static void test_selection(void **state)
{
	check_selection(1, 2);
	check_selection(1, 100);
	check_selection(64, 4096);
	check_selection(64, 1);
	check_selection(4096, 4096);
	check_selection(65536, 524288);
	check_selection(10000000, 524288);
}

/* Rounding upwards, and every exception a fault: not ours to change, nor to be hit by. */
static void test_environment_is_left_alone(void **state)
{
	uint64_t random = 3, gap, weighted, want;

	want = heap_sampler__weighted(1000, 524288);
	assert_int_equal(fesetround(FE_UPWARD), 0);
	feclearexcept(FE_ALL_EXCEPT);
	feenableexcept(FE_INEXACT | FE_UNDERFLOW | FE_INVALID);
	gap = heap_sampler__gap(&random, 524288);
	weighted = heap_sampler__weighted(1000, 524288);
	fedisableexcept(FE_ALL_EXCEPT);
	assert_int_equal(fetestexcept(FE_ALL_EXCEPT), 0);
	assert_int_equal(fegetround(), FE_UPWARD);
	fesetround(FE_TONEAREST);
	assert_int_equal(weighted, want);
	random = 3;
	assert_int_equal(heap_sampler__gap(&random, 524288), gap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interval),
		cmocka_unit_test(test_bad_interval),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_weights_are_exact),
		cmocka_unit_test(test_weight_at_interval_1),
		cmocka_unit_test(test_huge_weight),
		cmocka_unit_test(test_gap_at_interval_1),
		cmocka_unit_test(test_gaps_are_exponential),
		cmocka_unit_test(test_selection),
		cmocka_unit_test(test_environment_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
