/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session/accounting: balanced accounts balance, and any counter off by one is noticed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "session/accounting.h"

static const struct accounting balanced = {
	.kind = ACCOUNT_SAMPLES,
	.fired = 1000,
	.filtered = 100,
	.idle = 200,
	.submitted = 690,
	.dropped_ring_full = 7,
	.dropped_scratch_busy = 3,
	.consumed = 690,
	.aggregated = 684,
	.dropped_bad_record = 1,
	.dropped_no_memory = 2,
	.dropped_profile_full = 3,
	.profiled = 700,
};

static void test_balanced(void **state)
{
	const char *identity = "untouched";

	assert_int_equal(accounting__imbalance(&balanced, &identity), 0);
	assert_string_equal(identity, "untouched");
	assert_int_equal(accounting__dropped_total(&balanced), 16);
}

static const struct accounting balanced_waits = {
	.kind = ACCOUNT_WAITS,
	.fired = 10000,
	.filtered = 100,
	.idle = 200,
	.unsampled = 8900,
	.unaccounted = 50,
	.submitted = 740,
	.dropped_ring_full = 7,
	.dropped_scratch_busy = 3,
	.consumed = 740,
	.aggregated = 734,
	.dropped_bad_record = 1,
	.dropped_no_memory = 2,
	.dropped_profile_full = 3,
	.profiled = 9650,
	.waits = 9650,
	.latency_ns = 123456789,
	.profiled_ns = 123456789,
	.stacks_fired = 900,
	.stacks_submitted = 870,
	.stacks_dropped_ring_full = 20,
	.stacks_dropped_scratch_busy = 10,
	.stacks_consumed = 870,
	.stacks_aggregated = 855,
	.stacks_dropped_bad_record = 4,
	.stacks_dropped_no_memory = 5,
	.stacks_dropped_profile_full = 6,
};

static const struct accounting balanced_allocs = {
	.kind = ACCOUNT_ALLOCS,
	.fired = 10000,
	.filtered = 100,
	.nested = 200,
	.unsampled = 8900,
	.failed = 41,
	.unfinished = 4,
	.submitted = 740,
	.dropped_ring_full = 7,
	.dropped_scratch_busy = 3,
	.dropped_no_return = 5,
	.consumed = 740,
	.aggregated = 734,
	.dropped_bad_record = 1,
	.dropped_no_memory = 2,
	.dropped_profile_full = 3,
	.profiled = 755,
	.stacks_fired = 900,
	.stacks_submitted = 870,
	.stacks_dropped_ring_full = 20,
	.stacks_dropped_scratch_busy = 10,
	.stacks_consumed = 870,
	.stacks_aggregated = 855,
	.stacks_dropped_bad_record = 4,
	.stacks_dropped_no_memory = 5,
	.stacks_dropped_profile_full = 6,
};

/* Waits: of 740 + 10 that were sampled and 900 stacks, 16 and 45; never of 10,000 switches. */
static void test_lost_percent(void **state)
{
	const struct accounting nothing = { .kind = ACCOUNT_WAITS, .fired = 5, .filtered = 5 };

	assert_float_equal(accounting__lost_percent(&balanced), 1.6, 1e-9);
	assert_float_equal(accounting__lost_percent(&balanced_waits), 100 * 61 / 1650.0, 1e-9);
	assert_float_equal(accounting__lost_percent(&nothing), 0, 0);
}

#define FIELDS_BEGIN offsetof(struct accounting, fired)

static uint64_t *field(struct accounting *a, size_t offset)
{
	return (uint64_t *)((char *)a + offset);
}

static void test_balanced_waits(void **state)
{
	assert_int_equal(accounting__imbalance(&balanced_waits, NULL), 0);
	assert_int_equal(accounting__dropped_total(&balanced_waits), 16);
	assert_int_equal(accounting__stacks_dropped(&balanced_waits), 45);
}

static void test_balanced_allocs(void **state)
{
	assert_int_equal(accounting__imbalance(&balanced_allocs, NULL), 0);
	assert_int_equal(accounting__dropped_total(&balanced_allocs), 21);
	assert_int_equal(accounting__stacks_dropped(&balanced_allocs), 45);
}

/* Every field of the kind (those above that are not 0) takes part in an identity: one more or one
 * less of any of them must show. */
static void expect_each_to_matter(const struct accounting *good)
{
	size_t offset;

	for (offset = FIELDS_BEGIN; offset < sizeof(*good); offset += sizeof(uint64_t)) {
		struct accounting more = *good, less = *good;
		const char *identity = NULL;

		if (!*field(&more, offset))
			continue;
		(*field(&more, offset))++;
		(*field(&less, offset))--;
		assert_int_not_equal(accounting__imbalance(&more, &identity), 0);
		assert_non_null(identity);
		assert_int_not_equal(accounting__imbalance(&less, NULL), 0);
	}
}

static void test_each_counter_off_by_one(void **state)
{
	expect_each_to_matter(&balanced);
	expect_each_to_matter(&balanced_waits);
	expect_each_to_matter(&balanced_allocs);
}

/* A counter that is not printed would be a drop hidden from the profile's comments. */
static void expect_printed(const struct accounting *a)
{
	struct accounting copy = *a;
	size_t fields = 0, i, equals = 0;
	_cleanup_buf_ struct buf text = BUF_INIT;

	for (i = FIELDS_BEGIN; i < sizeof(copy); i += sizeof(uint64_t))
		fields += *field(&copy, i) != 0;
	accounting__print(a, &text);
	for (i = 0; i < text.len; i++)
		equals += text.data[i] == '=';
	assert_int_equal(equals, fields);
	assert_null(strchr(text.data, '\n'));
	assert_non_null(strstr(text.data, "dropped.profile_full=3"));
}

static void test_print_names_every_counter(void **state)
{
	_cleanup_buf_ struct buf text = BUF_INIT, waits = BUF_INIT;

	expect_printed(&balanced);
	expect_printed(&balanced_waits);
	expect_printed(&balanced_allocs);
	accounting__print(&balanced, &text);
	assert_non_null(strstr(text.data, "fired=1000 filtered=100 idle=200 submitted=690"));
	accounting__print(&balanced_waits, &waits);
	assert_non_null(strstr(waits.data, "unaccounted=50 unsampled=8900 submitted=740"));
	assert_non_null(strstr(waits.data, "stacks.dropped.ring_full=20"));
}

static void test_drop_reasons_are_all_drops(void **state)
{
	struct accounting a = { 0 };
	size_t i;

	for (i = 0; i < drop_reasons_cnt; i++)
		*(uint64_t *)((char *)&a + drop_reasons[i].offset) = 1;
	assert_int_equal(accounting__dropped_total(&a), drop_reasons_cnt);
	assert_int_equal(a.fired + a.filtered + a.idle + a.submitted + a.consumed + a.aggregated +
				 a.profiled,
			 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_balanced),
		cmocka_unit_test(test_balanced_waits),
		cmocka_unit_test(test_balanced_allocs),
		cmocka_unit_test(test_lost_percent),
		cmocka_unit_test(test_each_counter_off_by_one),
		cmocka_unit_test(test_print_names_every_counter),
		cmocka_unit_test(test_drop_reasons_are_all_drops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
