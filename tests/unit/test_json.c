/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export/json: the exact bytes, and that a parser reads them back.
 */
#include "fixed_profile.h"
#include <jansson.h>

static void test_golden(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_profile();
	_cleanup_buf_ struct buf out = BUF_INIT;

	assert_int_equal(json__encode(p, &out), 0);
	assert_golden("cpu.json", &out);
}

static void test_parses(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_profile();
	struct top_view view = { .value_idx = 0, .order = TOP_BY_CUM, .rows_max = 2 };
	_cleanup_buf_ struct buf out = BUF_INIT;
	json_t *root, *functions;

	assert_int_equal(json__top(p, &view, &out), 0);
	root = json_loadb(out.data, out.len, 0, NULL);
	assert_non_null(root);
	assert_string_equal(json_string_value(json_object_get(root, "sample_type")), "samples");
	assert_string_equal(json_string_value(json_object_get(root, "unit")), "count");
	assert_int_equal(json_integer_value(json_object_get(root, "total")), 100);
	functions = json_object_get(root, "functions");
	assert_int_equal(json_array_size(functions), 2);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(functions, 0), "name")), "_start");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(functions, 0), "cum")),
			 91);
	json_decref(root);
}

/* Nothing is dropped for being small, unlike in the text. */
static void test_all_functions(void **state)
{
	_cleanup_(profile__freep) struct profile *p = profile__new();
	_cleanup_buf_ struct buf out = BUF_INIT;
	uint32_t f = add_code(p, 0, 1, "big"), g = add_code(p, 0, 2, "small");

	assert_int_equal(profile__add_sample_type(p, "v", "count"), 0);
	assert_int_equal(profile__add(p, &f, 1, NULL, 0, (int64_t[]){ INT64_MAX - 1 }), 0);
	assert_int_equal(profile__add(p, &g, 1, NULL, 0, (int64_t[]){ 1 }), 0);
	assert_int_equal(json__encode(p, &out), 0);
	assert_non_null(strstr(out.data, "\"small\""));
	assert_non_null(strstr(out.data, "9223372036854775806"));
	assert_non_null(strstr(out.data, "\"total\": 9223372036854775807"));
}

static void test_no_such_value(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_profile();
	struct top_view view = { .value_idx = 2 };
	_cleanup_buf_ struct buf out = BUF_INIT;

	assert_int_equal(json__top(p, &view, &out), -EINVAL);
	assert_int_equal(out.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_parses),
		cmocka_unit_test(test_all_functions),
		cmocka_unit_test(test_no_such_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
