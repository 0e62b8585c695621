/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * profile/heap_sums: what allocations stand for, selected in every way, and hostile ones.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/array.h"
#include "profile/heap_sums.h"

#define INTERVAL (512ULL << 10)
#define ONE      ((unsigned __int128)1 << HEAP_FRACTION_BITS)

static struct heap_alloc alloc_of(uint64_t bytes)
{
	return (struct heap_alloc){ .id = 1, .bytes = bytes, .q = UINT32_MAX };
}

static void test_every_allocation(void **state)
{
	static const uint64_t sizes[] = { 0, 1, 7, 4096, 1ULL << 33, (1ULL << 47) + 1 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		const struct heap_alloc a = alloc_of(sizes[i]);
		const struct heap_sums s = heap_sums__of(&a, 1);

		assert_true(s.objects == ONE && s.bytes == ONE * (sizes[i] ?: 1));
		assert_true(s.variance == 0 && s.samples == 1);
	}
}

static void test_weights(void **state)
{
	struct heap_alloc a = alloc_of(64);
	struct heap_sums s = heap_sums__of(&a, INTERVAL);
	double p = 1 - exp(-64.0 / (double)INTERVAL);

	assert_float_equal(heap_sums__amount(&s).objects, 1 / p, 1e-6);
	assert_float_equal(heap_sums__amount(&s).bytes, 64 / p, 1e-5);
	assert_float_equal(s.variance, 64 / p * 64 / p * (1 - p), 1);
	/* Half of the time the probes were on. */
	a.q = 1U << 31;
	s = heap_sums__of(&a, INTERVAL);
	assert_float_equal(heap_sums__amount(&s).bytes, 128 / p, 1e-5);
	s = heap_sums__of(&a, 1);
	assert_true(s.bytes == 128 * ONE && s.objects == 2 * ONE);
	assert_float_equal(s.variance, 128 * 128 * 0.5, 1e-9);
	/* The process said so, whatever our interval is. */
	a = (struct heap_alloc){ .bytes = 100, .weighted_bytes = 524338, .q = UINT32_MAX };
	s = heap_sums__of(&a, 1);
	assert_int_equal(heap_sums__round(s.bytes), 524338);
	assert_float_equal(heap_sums__amount(&s).objects, 5243.38, 1e-6);
	assert_float_equal(s.variance, 524338.0 * 524338 * (1 - 100 / 524338.0), 1e3);
	a.q = 1U << 30;
	s = heap_sums__of(&a, 1);
	assert_int_equal(heap_sums__round(s.bytes), 4 * 524338);
	/* Larger than any interval: selected for sure. */
	a = alloc_of(1ULL << 40);
	s = heap_sums__of(&a, INTERVAL);
	assert_true(s.bytes == ONE << 40 && s.variance == 0);
}

/* What a process says of itself may be anything. */
static void test_hostile_weights(void **state)
{
	struct heap_alloc a = { .bytes = UINT64_MAX, .weighted_bytes = UINT64_MAX, .q = 1 };
	struct heap_sums s = heap_sums__of(&a, INTERVAL), sum = { .samples = 0 };
	size_t i;

	for (i = 0; i < 1000; i++)
		heap_sums__add(&sum, &s);
	assert_int_equal(heap_sums__round(sum.bytes), INT64_MAX);
	assert_true(isfinite(heap_sums__amount(&sum).error_bytes));
	a = (struct heap_alloc){ .bytes = 0, .weighted_bytes = UINT64_MAX };
	s = heap_sums__of(&a, INTERVAL);
	assert_true(s.objects > 0 && s.samples == 1);
	/* it counts for less than itself */
	a = (struct heap_alloc){ .bytes = 100, .weighted_bytes = 3, .q = UINT32_MAX };
	s = heap_sums__of(&a, INTERVAL);
	assert_true(s.bytes == 100 * ONE && s.variance == 0);
}

static void test_alike(void **state)
{
	struct heap_sums from = { .objects = 30 * ONE, .bytes = 300 * ONE, .samples = 3 };
	struct heap_sums to = { .samples = 1 }, none = { .samples = 0 };

	heap_sums__add_alike(&to, &from, 7, 3);
	assert_true(to.objects == 70 * ONE && to.bytes == 700 * ONE && to.samples == 8);
	assert_float_equal(to.variance, 7 * 100 * 100, 1e-6);
	heap_sums__add_alike(&to, &from, 0, 3);
	heap_sums__add_alike(&to, &none, 5, 3);
	heap_sums__add_alike(&to, &from, 5, 0);
	assert_int_equal(to.samples, 8);
	/* 3 of 6 were in it: 2 of 4 will be. */
	to = none;
	heap_sums__add_alike(&to, &from, 4, 6);
	assert_true(to.objects == 20 * ONE && to.bytes == 200 * ONE && to.samples == 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_allocation),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_hostile_weights),
		cmocka_unit_test(test_alike),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
