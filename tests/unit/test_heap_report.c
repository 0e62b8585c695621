/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * profile/heap_report: order, sums of sites of one name, and what counts as growth.
 */
#include "fixed_heap_report.h"

static void test_order(void **state)
{
	struct heap_report *r = fixed_heap_report();
	size_t i;

	for (i = 1; i < r->sites_cnt; i++)
		assert_true(r->sites[i - 1].inuse.bytes >= r->sites[i].inuse.bytes);
	assert_string_equal(r->sites[0].function, "build_index");
	/* nothing live: by what was allocated */
	assert_string_equal(r->sites[4].function, "[ring_full]");
	assert_int_equal(r->processes[0].pid, 4711);
	heap_report__free(r);
}

static void test_sites_of_one_name(void **state)
{
	static const double constant[] = { 1, 1, 1 };
	struct heap_report *r = calloc(1, sizeof(*r));
	size_t i;

	for (i = 0; i < 4; i++)
		add_site(r, "f", i % 2 ? "libb.so" : "liba.so", amount(1, 100, 3, 1),
			 amount(1, 10, 4, 1), i, constant);
	r->sites[2].has_grown = true;
	heap_report__finish(r);
	assert_int_equal(r->sites_cnt, 2);
	assert_string_equal(r->sites[0].module, "liba.so");
	assert_true(r->sites[0].has_grown);
	assert_false(r->sites[1].has_grown);
	for (i = 0; i < 2; i++) {
		assert_true(r->sites[i].alloc.bytes == 200 && r->sites[i].alloc.samples == 2);
		assert_float_equal(r->sites[i].alloc.error_bytes, 3 * sqrt(2), 1e-9);
		assert_true(r->sites[i].inuse_bytes[0] == 20);
		assert_true(r->sites[i].age_bytes[i] == 10 && r->sites[i].age_bytes[i + 2] == 10);
	}
	heap_report__free(r);
}

/* They have the callers of the heavier one, whichever comes first. */
static void test_callers_of_one_name(void **state)
{
	static const char *const light[] = { "light", NULL }, *const heavy[] = { "h1", "h2", NULL };
	static const double constant[] = { 1, 1, 1 };
	size_t i;

	for (i = 0; i < 4; i++) {
		struct heap_report *r = calloc(1, sizeof(*r));
		double inuse = i / 2;

		set_callers(add_site(r, "f", "a.so", amount(1, 9, 0, 1),
				     amount(1, inuse * (i % 2), 0, 1), 0, constant),
			    i % 2 ? heavy : light);
		set_callers(add_site(r, "f", "a.so", amount(1, i % 2 ? 8 : 10, 0, 1),
				     amount(1, inuse * !(i % 2), 0, 1), 0, constant),
			    i % 2 ? light : heavy);
		heap_report__finish(r);
		assert_int_equal(r->sites_cnt, 1);
		assert_int_equal(r->sites[0].callers_cnt, 2);
		assert_string_equal(r->sites[0].callers[1], "h2");
		heap_report__free(r);
	}
}

static bool has_grown(const struct heap_report *r, double a, double b, double c, double d,
		      double variance)
{
	const double bytes[HEAP_POINTS] = { a, b, c, d };
	const double variances[HEAP_POINTS] = { variance, variance, variance, variance };

	return heap_report__has_grown(r, bytes, variances);
}

static void test_growth(void **state)
{
	struct heap_report r = { .is_live = true, .duration_ns = HEAP_GROWTH_MIN_NS };
	size_t i;

	for (i = 0; i < HEAP_POINTS; i++)
		r.points_ns[i] = i + 1;
	assert_true(has_grown(&r, 0, 1, 2, 3, 0));
	assert_false(has_grown(&r, 0, 1, 1, 3, 0));
	assert_false(has_grown(&r, 0, 2, 1, 3, 0));
	assert_false(has_grown(&r, 0, 0, 0, 0, 0));
	/* 1.96 * sqrt(2 * 100) = 27.7 */
	assert_true(has_grown(&r, 0, 28, 56, 84, 100));
	assert_false(has_grown(&r, 0, 28, 55, 84, 100));
	r.points_ns[1] = 0;
	assert_true(has_grown(&r, 0, -5, 28, 56, 100));
	r.points_ns[2] = 0;
	assert_false(has_grown(&r, 0, 100, 200, 300, 0));
	r.points_ns[1] = r.points_ns[2] = 2;
	r.duration_ns--;
	assert_false(has_grown(&r, 0, 1, 2, 3, 0));
	r.duration_ns++;
	r.is_live = false;
	assert_false(has_grown(&r, 0, 1, 2, 3, 0));
}

/* Half-built ones, too. */
static void test_release(void **state)
{
	struct heap_report *r = calloc(1, sizeof(*r));

	r->sites = calloc(1, sizeof(*r->sites));
	r->sites_cnt = r->sites_cap = 1;
	r->processes = calloc(1, sizeof(*r->processes));
	r->processes_cnt = r->processes_cap = 1;
	heap_report__finish(r);
	heap_report__free(r);
	heap_report__free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_sites_of_one_name),
		cmocka_unit_test(test_callers_of_one_name),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_release),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
