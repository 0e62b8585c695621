/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export/text_top and export/measure: layout and figures. That they equal pprof's is what
 * tests/integration/test_cprof_top.py checks.
 */
#include "fixed_profile.h"
#include "export/measure.h"
#include "export/printable.h"

static void test_golden(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_profile();
	_cleanup_buf_ struct buf out = BUF_INIT;

	assert_int_equal(text__encode(p, &out), 0);
	assert_golden("cpu.txt", &out);
}

static void test_golden_cum_rows_color(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_profile();
	struct top_view view = {
		.value_idx = 0, .order = TOP_BY_CUM, .rows_max = 5, .color = true
	};
	_cleanup_buf_ struct buf out = BUF_INIT;

	assert_int_equal(text__top(p, &view, &out), 0);
	assert_golden("cpu_cum_color.txt", &out);
}

/* A terminal must not be moved by any name. */
static void test_no_control_characters(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_profile();
	struct top_view view = { .value_idx = 1 };
	_cleanup_buf_ struct buf out = BUF_INIT;
	size_t i;

	assert_int_equal(text__top(p, &view, &out), 0);
	assert_non_null(strstr(out.data, "ev\\x1b[31mil"));
	for (i = 0; i < out.len; i++)
		assert_true((unsigned char)out.data[i] >= ' ' || out.data[i] == '\n');
}

static void test_values(void **state)
{
	static const struct {
		int64_t value;
		const char *from, *to, *text;
	} cases[] = {
		{ 0, "nanoseconds", "ms", "0" },
		{ 1500000, "nanoseconds", "ms", "1.50ms" },
		{ 1000000, "nanoseconds", "ms", "1ms" },
		{ 10, "nanoseconds", "s", "0" },
		{ -1500000, "nanoseconds", "ms", "-1.50ms" },
		{ -10, "nanoseconds", "s", "0" },
		{ 90, "minutes", "ms", "90ms" }, /* no unit pprof knows */
		{ 3, "seconds", "minimum", "3s" },
		{ 7200, "s", "minimum", "2hrs" },
		{ 5000, "ns", "minimum", "5us" },
		{ 3, "microseconds", "ns", "3000ns" },
		{ 1536, "bytes", "minimum", "1.50kB" },
		{ 5 << 20, "Bytes", "MB", "5MB" },
		{ 12, "count", "count", "12" },
		{ 12, "count", "minimum", "12" },
		{ 12, "widgets", "widgets", "12widgets" },
		{ 12, "ev\x1bil", "ev\x1bil", "12ev\\x1bil" },
		{ 2500, "milliGCU", "minimum", "2.50GCU" },
		{ INT64_MIN, "count", "count", "-9223372036854775808" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT;

		measure__append(&out, cases[i].value, cases[i].from, cases[i].to);
		assert_string_equal(out.data, cases[i].text);
	}
}

static void test_percentages(void **state)
{
	static const struct {
		int64_t value, total;
		const char *text;
	} cases[] = {
		{ 100, 100, "  100%" },    { 99960, 100000, "  100%" }, { 99940, 100000, "99.94%" },
		{ 0, 100, "    0%" },      { 5, 0, "    0%" },          { 1, 3, "33.33%" },
		{ 1, 1000, "  0.1%" },     { 123, 100000, " 0.12%" },   { 1, 100000, "0.001%" },
		{ 1, 10000000, "1e-05%" }, { -50, 100, "50.00%" },      { 300, 100, "300.00%" },
		{ 999, 100000, "    1%" }, { 1, 100, " 1.00%" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT;

		measure__append_percent(&out, cases[i].value, cases[i].total);
		assert_string_equal(out.data, cases[i].text);
	}
}

/* No mapping at all: no module column. No samples: the table's head alone. */
static void test_small_profiles(void **state)
{
	_cleanup_(profile__freep) struct profile *p = profile__new();
	struct top_view view = { .value_idx = 0 };
	_cleanup_buf_ struct buf out = BUF_INIT;
	uint32_t f;

	assert_int_equal(profile__add_sample_type(p, "v", "count"), 0);
	assert_int_equal(text__top(p, &view, &out), 0);
	assert_string_equal(out.data, "Type: v\n"
				      "Showing nodes accounting for 0, 0% of 0 total\n"
				      "      flat  flat%   sum%        cum   cum%  name\n");
	buf__clear(&out);
	f = add_code(p, 0, 1, "f");
	assert_int_equal(profile__add(p, &f, 1, NULL, 0, (int64_t[]){ 2 }), 0);
	assert_int_equal(text__top(p, &view, &out), 0);
	assert_string_equal(out.data, "Type: v\n"
				      "Showing nodes accounting for 2, 100% of 2 total\n"
				      "      flat  flat%   sum%        cum   cum%  name\n"
				      "         2   100%   100%          2   100%  f\n");
}

static void test_width(void **state)
{
	assert_int_equal(printable__width("caf\xc3\xa9", 5), 4);
	assert_int_equal(printable__width("", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_golden_cum_rows_color),
		cmocka_unit_test(test_no_control_characters),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_percentages),
		cmocka_unit_test(test_small_profiles),
		cmocka_unit_test(test_width),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
