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

/* Every field takes part in an identity: one more or one less of any of them must show. */
static void test_each_counter_off_by_one(void **state)
{
	size_t fields = sizeof(struct accounting) / sizeof(uint64_t), i;

	for (i = 0; i < fields; i++) {
		struct accounting more = balanced, less = balanced;
		const char *identity = NULL;

		((uint64_t *)&more)[i]++;
		((uint64_t *)&less)[i]--;
		assert_int_not_equal(accounting__imbalance(&more, &identity), 0);
		assert_non_null(identity);
		assert_int_not_equal(accounting__imbalance(&less, NULL), 0);
	}
}

/* A counter that is not printed would be a drop hidden from the profile's comments. */
static void test_print_names_every_counter(void **state)
{
	size_t fields = sizeof(struct accounting) / sizeof(uint64_t), i, equals = 0;
	_cleanup_buf_ struct buf text = BUF_INIT;

	accounting__print(&balanced, &text);
	for (i = 0; i < text.len; i++)
		equals += text.data[i] == '=';
	assert_int_equal(equals, fields);
	assert_non_null(strstr(text.data, "fired=1000 filtered=100 idle=200 submitted=690"));
	assert_non_null(strstr(text.data, "dropped.profile_full=3"));
	assert_null(strchr(text.data, '\n'));
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
		cmocka_unit_test(test_each_counter_off_by_one),
		cmocka_unit_test(test_print_names_every_counter),
		cmocka_unit_test(test_drop_reasons_are_all_drops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
