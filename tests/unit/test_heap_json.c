/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export/heap_json: the document is JSON, has every key in both modes, and its sums hold.
 */
#include <jansson.h>
#include "fixed_heap_report.h"

static json_t *encode_and_parse(const struct profile *p)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	json_error_t error;
	json_t *root;

	assert_int_equal(heap_json__encode(p, &out), 0);
	root = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, &error);
	if (!root)
		fail_msg("line %d: %s", error.line, error.text);
	return root;
}

static json_t *get(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	if (!value)
		fail_msg("no key %s", key);
	return value;
}

static json_int_t get_int(json_t *object, const char *key)
{
	assert_true(json_is_integer(get(object, key)));
	return json_integer_value(get(object, key));
}

static json_int_t sum_of(json_t *array, const char *key)
{
	json_int_t sum = 0;
	json_t *value;
	size_t i;

	json_array_foreach(array, i, value) sum += get_int(value, key);
	return sum;
}

static void test_golden(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_heap();
	_cleanup_buf_ struct buf out = BUF_INIT;

	assert_int_equal(heap_json__encode(p, &out), 0);
	assert_golden("heap.json", &out);
}

/* Up to the rounding of each: six sites. */
static void test_sums(void **state)
{
	static const char *const keys[] = { "alloc_space", "alloc_objects", "inuse_space",
					    "inuse_objects" };
	_cleanup_(profile__freep) struct profile *p = fixed_heap();
	json_t *root = encode_and_parse(p), *totals = get(root, "totals"), *site;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		assert_in_range(sum_of(get(root, "sites"), keys[i]) - get_int(totals, keys[i]) + 3,
				0, 6);
	assert_int_equal(sum_of(get(root, "sites"), "alloc_samples"),
			 get_int(totals, "alloc_samples"));
	assert_in_range(sum_of(get(root, "ages"), "inuse_space") - get_int(totals, "inuse_space") +
				3,
			0, 6);
	json_array_foreach(get(root, "sites"), i, site)
	{
		assert_true(get_int(site, "alloc_space_low") <= get_int(site, "alloc_space"));
		assert_true(get_int(site, "alloc_space_high") >= get_int(site, "alloc_space"));
		assert_true(get_int(site, "alloc_space_low") >= 0);
		assert_int_equal(json_integer_value(json_array_get(get(site, "inuse_space_at"), 3)),
				 get_int(site, "inuse_space"));
	}
	json_decref(root);
}

static void test_values(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_heap();
	json_t *root = encode_and_parse(p), *site = json_array_get(get(root, "sites"), 0);
	json_t *gone = json_array_get(get(root, "processes"), 1);

	assert_string_equal(json_string_value(get(site, "function")), "build_index");
	assert_int_equal(json_array_size(get(site, "callers")), 2);
	assert_string_equal(json_string_value(json_array_get(get(site, "callers"), 0)), "load");
	assert_true(json_is_true(get(site, "has_grown")));
	assert_int_equal(get_int(site, "alloc_space"), 96 << 20);
	assert_int_equal(get_int(site, "alloc_space_high"), (json_int_t)(109.6 * MIB + 0.5));
	assert_int_equal(get_int(site, "inuse_samples"), 189);
	assert_int_equal(get_int(root, "interval_bytes"), 512 << 10);
	assert_string_equal(json_string_value(get(root, "mode")), "live");
	assert_true(json_is_true(get(root, "is_partial")));
	assert_true(json_is_null(get(root, "mode_alloc_since_ns")));
	assert_int_equal(json_array_size(get(root, "sources")), 1);
	assert_true(json_is_null(get(gone, "rss_bytes")));
	assert_string_equal(json_string_value(get(gone, "comm")), "e \\x1b[1m\"\\\\x0a\\xff");
	json_decref(root);
}

static void assert_same_keys(json_t *a, json_t *b)
{
	const char *key;
	json_t *value;

	assert_int_equal(json_object_size(a), json_object_size(b));
	json_object_foreach(a, key, value) get(b, key);
}

/* Whoever reads one mode can read the other. */
static void test_mode_alloc(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_heap();
	json_t *live = encode_and_parse(p), *root;

	p->heap->is_live = false;
	p->heap->alloc_since_ns = p->heap->time_ns + 1;
	p->heap->interval_bytes = 0;
	p->heap->cost.cpu_percent = -1;
	memset(p->heap->points_ns, 0, sizeof(p->heap->points_ns));
	root = encode_and_parse(p);
	assert_same_keys(live, root);
	assert_same_keys(get(live, "totals"), get(root, "totals"));
	assert_same_keys(json_array_get(get(live, "sites"), 0),
			 json_array_get(get(root, "sites"), 0));
	assert_string_equal(json_string_value(get(root, "mode")), "alloc");
	assert_int_equal(get_int(root, "mode_alloc_since_ns"), p->heap->time_ns + 1);
	assert_true(json_is_null(get(root, "interval_bytes")));
	assert_true(json_is_null(get(root, "ages")));
	assert_true(json_is_null(get(get(root, "totals"), "inuse_space")));
	assert_true(json_is_null(get(get(root, "cost"), "cpu_percent")));
	assert_true(json_is_null(json_array_get(get(root, "moments_ns"), 0)));
	json_decref(live);
	json_decref(root);
}

static void test_extremes(void **state)
{
	_cleanup_(profile__freep) struct profile *p =
		fixed_heap_profile(calloc(1, sizeof(struct heap_report)));
	_cleanup_buf_ struct buf none = BUF_INIT;
	json_t *root = encode_and_parse(p);

	assert_int_equal(json_array_size(get(root, "sites")), 0);
	json_decref(root);
	p->heap->alloc = amount(1e300, 1e300, 1e300, UINT64_MAX);
	p->heap->live_full = UINT64_MAX;
	p->heap->cost.ns_per_hit = NAN;
	root = encode_and_parse(p);
	assert_int_equal(get_int(get(root, "totals"), "alloc_space"), INT64_MAX);
	assert_int_equal(get_int(get(root, "totals"), "alloc_space_low"), 0);
	assert_true(json_is_null(get(get(root, "cost"), "ns_per_hit")));
	json_decref(root);
	heap_report__free(take_ptr(p->heap));
	assert_int_equal(heap_json__encode(p, &none), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),   cmocka_unit_test(test_sums),
		cmocka_unit_test(test_values),   cmocka_unit_test(test_mode_alloc),
		cmocka_unit_test(test_extremes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
