/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * abi/latency_bounds: every bound against integer arithmetic that shares nothing with how the table
 * was made. b = floor(1e9 * 2^(i/8)) says b^8 <= 10^72 * 2^i < (b + 1)^8, in numbers of any size.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "abi/latency_bounds.h"

/* (2^37 + 1)^8 and 10^72 * 2^56 have 297 bits; 10^72 times 2^239 on the other side 479. */
#define LIMBS 20

struct big {
	uint32_t limbs[LIMBS]; /* the least first */
};

static struct big big_of(uint64_t n)
{
	return (struct big){ .limbs = { (uint32_t)n, (uint32_t)(n >> 32) } };
}

static struct big multiply(const struct big *a, const struct big *b)
{
	struct big product = { .limbs = { 0 } };
	size_t i, k;

	for (i = 0; i < LIMBS; i++) {
		uint64_t carry = 0;

		for (k = 0; i + k < LIMBS; k++) {
			carry += product.limbs[i + k] + (uint64_t)a->limbs[i] * b->limbs[k];
			product.limbs[i + k] = (uint32_t)carry;
			carry >>= 32;
		}
		assert_int_equal(carry, 0);
		for (; k < LIMBS; k++)
			assert_true(!a->limbs[i] || !b->limbs[k]);
	}
	return product;
}

static struct big power(uint64_t base, unsigned int exponent)
{
	struct big result = big_of(1), factor = big_of(base);

	for (; exponent; exponent--)
		result = multiply(&result, &factor);
	return result;
}

static int compare(const struct big *a, const struct big *b)
{
	size_t i;

	for (i = LIMBS; i-- > 0;)
		if (a->limbs[i] != b->limbs[i])
			return a->limbs[i] < b->limbs[i] ? -1 : 1;
	return 0;
}

/* n^8 against 10^72 * 2^index; 2^-index goes to the other side when the index is negative. */
static int compare_power(uint64_t n, int index)
{
	struct big left = power(n, 8), right = power(10, 72), two;

	two = power(2, (unsigned int)abs(index));
	if (index >= 0)
		right = multiply(&right, &two);
	else
		left = multiply(&left, &two);
	return compare(&left, &right);
}

/* The arithmetic itself, on numbers that are known. */
static void test_big_numbers(void **state)
{
	struct big a = power(10, 19), b = big_of(10000000000000000000ULL), c;

	assert_int_equal(compare(&a, &b), 0);
	a = power(2, 400);
	b = power(1 << 10, 40);
	assert_int_equal(compare(&a, &b), 0);
	c = power(3, 252); /* 3^252 < 2^400 < 3^253 */
	assert_int_equal(compare(&c, &a), -1);
	c = power(3, 253);
	assert_int_equal(compare(&c, &a), 1);
}

static void test_every_bound(void **state)
{
	int i;

	assert_int_equal(LATENCY_BOUNDS, 296);
	for (i = 0; i < LATENCY_BOUNDS; i++) {
		assert_true(compare_power(latency_bounds_ns[i], LATENCY_FIRST_INDEX + i) <= 0);
		assert_true(compare_power(latency_bounds_ns[i] + 1, LATENCY_FIRST_INDEX + i) > 0);
	}
}

/* A whole second, and every octave from there, is a bound to the nanosecond. */
static void test_octaves_of_a_second(void **state)
{
	unsigned int i;

	for (i = 0; i <= 7; i++)
		assert_int_equal(latency_bounds_ns[8 * i - LATENCY_FIRST_INDEX],
				 1000000000ULL << i);
	for (i = 1; i <= 9; i++)
		assert_int_equal(latency_bounds_ns[-8 * (int)i - LATENCY_FIRST_INDEX],
				 1000000000ULL >> i);
}

/* The first slot whose bound is not below: by looking at every one. */
static uint32_t slow_slot(uint64_t ns)
{
	uint32_t i = 0;

	while (i < LATENCY_BOUNDS && latency_bounds_ns[i] < ns)
		i++;
	return i;
}

static void test_slots_at_bounds(void **state)
{
	size_t i;

	for (i = 0; i < LATENCY_BOUNDS; i++) {
		uint64_t bound = latency_bounds_ns[i];

		assert_int_equal(latency__slot(bound - 1), slow_slot(bound - 1));
		assert_int_equal(latency__slot(bound), slow_slot(bound));
		assert_int_equal(latency__slot(bound + 1), slow_slot(bound + 1));
		/* `le` is inclusive. */
		if (!i || latency_bounds_ns[i - 1] != bound)
			assert_int_equal(latency__slot(bound), i);
	}
}

static void test_slots_of_small_numbers(void **state)
{
	uint64_t ns;

	assert_int_equal(latency__slot(0), 0);
	assert_int_equal(latency__slot(1), 0);
	for (ns = 0; ns < 200000; ns++)
		assert_int_equal(latency__slot(ns), slow_slot(ns));
}

static void test_slots_of_powers_and_random_numbers(void **state)
{
	uint64_t x = 88172645463325252ULL, ns;
	unsigned int i;

	for (i = 0; i < 64; i++) {
		assert_int_equal(latency__slot((1ULL << i) - 1), slow_slot((1ULL << i) - 1));
		assert_int_equal(latency__slot(1ULL << i), slow_slot(1ULL << i));
		assert_int_equal(latency__slot((1ULL << i) + 1), slow_slot((1ULL << i) + 1));
	}
	for (i = 0; i < 200000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		ns = x >> (i % 64);
		assert_int_equal(latency__slot(ns), slow_slot(ns));
	}
}

static void test_slots_beyond(void **state)
{
	assert_int_equal(latency__slot(128000000000ULL), LATENCY_BOUNDS - 1);
	assert_int_equal(latency__slot(128000000001ULL), LATENCY_BOUNDS);
	assert_int_equal(latency__slot(UINT64_MAX), LATENCY_BOUNDS);
	assert_int_equal(LATENCY_SLOTS, LATENCY_BOUNDS + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_big_numbers),
		cmocka_unit_test(test_every_bound),
		cmocka_unit_test(test_octaves_of_a_second),
		cmocka_unit_test(test_slots_at_bounds),
		cmocka_unit_test(test_slots_of_small_numbers),
		cmocka_unit_test(test_slots_of_powers_and_random_numbers),
		cmocka_unit_test(test_slots_beyond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
