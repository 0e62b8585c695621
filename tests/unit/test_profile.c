/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * profile/: interning, rows and merging.
 */
#include "fixed_profile.h"

static struct profile *new_profile(void)
{
	struct profile *p = profile__new();

	assert_non_null(p);
	assert_int_equal(profile__add_sample_type(p, "samples", "count"), 0);
	assert_int_equal(profile__add_sample_type(p, "cpu", "nanoseconds"), 0);
	return p;
}

static void add(struct profile *p, const uint32_t *stack, uint32_t depth, int64_t count)
{
	assert_int_equal(profile__add(p, stack, depth, NULL, 0, (int64_t[]){ count, 10 * count }),
			 0);
}

static void test_strings(void **state)
{
	_cleanup_(profile__freep) struct profile *p = profile__new();
	uint32_t a, b;

	assert_int_equal(p->strings_cnt, 1);
	assert_string_equal(profile__str(p, 0), "");
	assert_int_equal(profile__string(p, NULL, &a), 0);
	assert_int_equal(a, 0);
	assert_int_equal(profile__string_n(p, "mainly", 4, &a), 0);
	assert_int_equal(profile__string(p, "main", &b), 0);
	assert_int_equal(a, b);
	assert_int_equal(profile__string(p, "mai", &b), 0);
	assert_int_not_equal(a, b);
	assert_int_equal(profile__string_n(p, "main\0x", 6, &b), 0);
	assert_int_equal(a, b);
	assert_int_equal(p->strings_cnt, 3);
}

/* More than one growth of table, array and arena; strings keep their addresses. */
static void test_many_strings(void **state)
{
	_cleanup_(profile__freep) struct profile *p = profile__new();
	const char *first;
	char s[5000];
	uint32_t idx;
	int i;

	first = profile__str(p, str(p, "first"));
	for (i = 0; i < 50000; i++) {
		snprintf(s, sizeof(s), "function_%d", i);
		assert_int_equal(str(p, s), i + 2);
	}
	memset(s, 'x', sizeof(s) - 1);
	s[sizeof(s) - 1] = '\0';
	idx = str(p, s);
	assert_string_equal(profile__str(p, idx), s);
	for (i = 0; i < 50000; i += 77) {
		snprintf(s, sizeof(s), "function_%d", i);
		assert_int_equal(str(p, s), i + 2);
	}
	assert_ptr_equal(first, profile__str(p, 1));
	assert_string_equal(first, "first");
}

static void test_locations(void **state)
{
	_cleanup_(profile__freep) struct profile *p = new_profile();
	uint32_t a = add_location(p, 1, 0x1000), b;

	assert_int_equal(a, 1);
	assert_int_equal(add_location(p, 2, 0x1000), 2);
	assert_int_equal(add_location(p, 1, 0x1001), 3);
	assert_int_equal(add_location(p, 1, 0x1000), a);
	/* One that is only appended is not found, not even by its equal. */
	assert_int_equal(profile__add_location(p, 1, 0x1000, &b), 0);
	assert_int_equal(b, 4);
	assert_int_equal(profile__add_location(p, 1, 0x2000, &b), 0);
	assert_int_equal(add_location(p, 1, 0x2000), 6);
	assert_int_equal(add_location(p, 1, 0x1000), a);
}

static void test_lines(void **state)
{
	_cleanup_(profile__freep) struct profile *p = new_profile();
	uint32_t l = add_location(p, 1, 0x1000);
	struct profile_line lines[3] = { { 1, 10 }, { 2, 20 }, { 3, 30 } };

	assert_int_equal(profile__set_lines(p, l, lines, 3), 0);
	lines[0].line = 99; /* a copy was taken */
	assert_int_equal(p->locations[l - 1].lines_cnt, 3);
	assert_int_equal(p->locations[l - 1].lines[0].line, 10);
	assert_int_equal(profile__set_lines(p, l, &lines[2], 1), 0);
	assert_int_equal(p->locations[l - 1].lines_cnt, 1);
	assert_int_equal(p->locations[l - 1].lines[0].function, 3);
	assert_int_equal(profile__set_lines(p, l, NULL, 0), 0);
	assert_int_equal(p->locations[l - 1].lines_cnt, 0);
}

static void test_functions(void **state)
{
	_cleanup_(profile__freep) struct profile *p = new_profile();

	assert_int_equal(add_function(p, "f", "f", ""), 1);
	assert_int_equal(add_function(p, "f", "_Z1fv", ""), 2);
	assert_int_equal(add_function(p, "f", "f", "f.c"), 3);
	assert_int_equal(add_function(p, "f", "f", ""), 1);
	assert_int_equal(p->functions_cnt, 3);
}

static void test_synthetic(void **state)
{
	_cleanup_(profile__freep) struct profile *p = new_profile();
	uint32_t lost = synthetic(p, "[lost]");
	const struct profile_location *l = &p->locations[lost - 1];

	assert_int_equal(synthetic(p, "[lost]"), lost);
	assert_int_not_equal(synthetic(p, "[other]"), lost);
	assert_int_equal(l->mapping, 0);
	assert_int_equal(l->address, 0);
	assert_int_equal(l->lines_cnt, 1);
	assert_string_equal(profile__str(p, p->functions[l->lines[0].function - 1].name), "[lost]");
	/* Nor is it what an unknown address at 0 becomes. */
	assert_int_not_equal(add_location(p, 0, 0), lost);
}

static void test_rows(void **state)
{
	_cleanup_(profile__freep) struct profile *p = new_profile();
	uint32_t a[] = { 1, 2, 3 }, b[] = { 1, 2, 4 };

	add(p, a, 3, 1);
	add(p, b, 3, 2);
	add(p, a, 2, 4);
	add(p, NULL, 0, 8);
	add(p, a, 3, 16);
	add(p, b, 2, 32); /* the same as the first two of a */
	add(p, NULL, 0, 64);
	assert_int_equal(p->samples_cnt, 4);
	assert_int_equal(p->samples[0].values[0], 17);
	assert_int_equal(p->samples[0].values[1], 170);
	assert_int_equal(p->samples[1].values[0], 2);
	assert_int_equal(p->samples[2].values[0], 36);
	assert_int_equal(p->samples[2].locations_cnt, 2);
	assert_int_equal(p->samples[3].values[0], 72);
	a[0] = 9; /* a copy was taken */
	assert_int_equal(p->samples[0].locations[0], 1);
}

static void test_labels_tell_rows_apart(void **state)
{
	_cleanup_(profile__freep) struct profile *p = new_profile();
	struct profile_label labels[2];
	uint32_t stack[] = { 1, 2 };
	int64_t values[] = { 1, 10 };

	/* Padding between the fields must not matter. */
	memset(labels, 0xff, sizeof(labels));
	labels[0].key = 5;
	labels[0].str = 6;
	labels[0].num_unit = 0;
	labels[0].num = 0;
	labels[1] = (struct profile_label){ .key = 7, .num = -1, .num_unit = 7 };
	assert_int_equal(profile__add(p, stack, 2, labels, 2, values), 0);
	labels[0] = (struct profile_label){ .key = 5, .str = 6 };
	assert_int_equal(profile__add(p, stack, 2, labels, 2, values), 0);
	assert_int_equal(p->samples_cnt, 1);
	assert_int_equal(profile__add(p, stack, 2, labels, 1, values), 0);
	labels[1].num = -2;
	assert_int_equal(profile__add(p, stack, 2, labels, 2, values), 0);
	labels[1].num_unit = 0;
	assert_int_equal(profile__add(p, stack, 2, labels, 2, values), 0);
	assert_int_equal(p->samples_cnt, 4);
	assert_int_equal(p->samples[0].values[0], 2);
	/* Equal stacks and label sets exist once. */
	assert_ptr_equal(p->samples[0].locations, p->samples[3].locations);
	assert_int_equal(profile__add(p, stack, 1, labels, 2, values), 0);
	assert_ptr_equal(p->samples[3].labels, p->samples[4].labels);
}

static void test_overflow_adds_nothing(void **state)
{
	_cleanup_(profile__freep) struct profile *p = new_profile();
	uint32_t stack[] = { 1 };

	assert_int_equal(profile__add(p, stack, 1, NULL, 0, (int64_t[]){ 1, INT64_MAX }), 0);
	assert_int_equal(profile__add(p, stack, 1, NULL, 0, (int64_t[]){ 1, 1 }), -EOVERFLOW);
	assert_int_equal(p->samples[0].values[0], 1);
	assert_int_equal(profile__add(p, stack, 1, NULL, 0, (int64_t[]){ 1, -1 }), 0);
	assert_int_equal(p->samples[0].values[0], 2);
	assert_true(p->samples[0].values[1] == INT64_MAX - 1);
}

static void test_sample_types(void **state)
{
	_cleanup_(profile__freep) struct profile *p = new_profile();

	assert_int_equal(profile__default_value(p), 1);
	p->default_sample_type = str(p, "samples");
	assert_int_equal(profile__default_value(p), 0);
	p->default_sample_type = str(p, "none of them");
	assert_int_equal(profile__default_value(p), 1);
	add(p, NULL, 0, 1);
	assert_int_equal(profile__add_sample_type(p, "late", "count"), -EINVAL);
}

/* Against a plain list: 30,000 random rows, every sum. */
static void test_many_rows(void **state)
{
	enum { ROWS = 3000, ADDS = 30000 };
	_cleanup_(profile__freep) struct profile *p = new_profile();
	static uint32_t stacks[ROWS][16];
	static int64_t sums[ROWS];
	uint32_t seed = 1;
	int i, k;

	memset(sums, 0, sizeof(sums));
	for (i = 0; i < ROWS; i++)
		for (k = 0; k < 16; k++)
			stacks[i][k] = k ? (seed = seed * 1103515245 + 12345) >> 20 : (uint32_t)i;
	for (i = 0; i < ADDS; i++) {
		k = i < ROWS ? i : (int)((seed = seed * 1103515245 + 12345) >> 8) % ROWS;
		add(p, stacks[k], 16, i);
		sums[k] += i;
	}
	assert_int_equal(p->samples_cnt, ROWS);
	for (i = 0; i < ROWS; i++) {
		assert_memory_equal(p->samples[i].locations, stacks[i], sizeof(stacks[i]));
		assert_int_equal(p->samples[i].values[0], sums[i]);
	}
	assert_true(p->bytes > ROWS * 16 * sizeof(uint32_t));
}

/* --- merging --------------------------------------------------------------------------------- */

static int64_t total(const struct profile *p, size_t value_idx)
{
	int64_t sum = 0;
	size_t i;

	for (i = 0; i < p->samples_cnt; i++)
		sum += p->samples[i].values[value_idx];
	return sum;
}

static void test_merge_with_itself_doubles(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_profile();
	_cleanup_(profile__freep) struct profile *m = profile__new();
	size_t i;

	assert_int_equal(profile__merge(m, p), 0);
	assert_int_equal(m->samples_cnt, p->samples_cnt);
	assert_int_equal(m->locations_cnt, p->locations_cnt);
	assert_int_equal(m->mappings_cnt, p->mappings_cnt);
	assert_string_equal(profile__str(m, m->mappings[0].file), "web-01 (all processes)");
	assert_int_equal(profile__merge(m, p), 0);
	assert_int_equal(m->samples_cnt, p->samples_cnt);
	assert_int_equal(m->locations_cnt, p->locations_cnt);
	assert_int_equal(m->functions_cnt, p->functions_cnt);
	assert_int_equal(m->comments_cnt, p->comments_cnt);
	assert_int_equal(m->duration_ns, 2 * p->duration_ns);
	assert_true(m->time_ns == p->time_ns);
	assert_int_equal(m->period, p->period);
	for (i = 0; i < p->samples_cnt; i++)
		assert_int_equal(m->samples[i].values[0], 2 * p->samples[i].values[0]);
}

/* The same file at two addresses is one mapping, its code at one offset one location. */
static void test_merge_normalises_mappings(void **state)
{
	_cleanup_(profile__freep) struct profile *a = new_profile();
	_cleanup_(profile__freep) struct profile *b = new_profile();
	_cleanup_(profile__freep) struct profile *m = profile__new();
	uint32_t x, y;

	x = add_mapping(a, (struct profile_mapping){ .start = 0x1000, .limit = 0x2fff }, "/a/lib",
			"id");
	y = add_mapping(b, (struct profile_mapping){ .start = 0x9000, .limit = 0xb000 }, "/b/lib",
			"id");
	add(a, (uint32_t[]){ add_code(a, x, 0x1500, "f") }, 1, 1);
	add(b, (uint32_t[]){ add_code(b, y, 0x9500, "f") }, 1, 2);
	add(b, (uint32_t[]){ add_code(b, y, 0x9600, "f") }, 1, 4);
	assert_int_equal(profile__merge(m, a), 0);
	assert_int_equal(profile__merge(m, b), 0);
	assert_int_equal(m->mappings_cnt, 1);
	assert_string_equal(profile__str(m, m->mappings[0].file), "/a/lib");
	assert_int_equal(m->samples_cnt, 2);
	assert_int_equal(m->samples[0].values[0], 3);
	assert_int_equal(m->locations[m->samples[1].locations[0] - 1].address, 0x1600);
}

static void test_merge_refuses_other_kinds(void **state)
{
	_cleanup_(profile__freep) struct profile *a = new_profile();
	_cleanup_(profile__freep) struct profile *b = profile__new();
	_cleanup_(profile__freep) struct profile *c = new_profile();
	_cleanup_(profile__freep) struct profile *m = profile__new();

	assert_int_equal(profile__add_sample_type(b, "samples", "count"), 0);
	assert_int_equal(profile__set_period(c, "space", "bytes", 1), 0);
	assert_int_equal(profile__merge(m, a), 0);
	assert_int_equal(profile__merge(m, b), -EINVAL);
	assert_int_equal(profile__merge(m, c), -EINVAL);
}

static void test_merge_headers(void **state)
{
	_cleanup_(profile__freep) struct profile *a = new_profile();
	_cleanup_(profile__freep) struct profile *b = new_profile();
	_cleanup_(profile__freep) struct profile *m = profile__new();

	a->time_ns = 2000;
	a->period = 7;
	b->time_ns = 1000;
	b->period = 9;
	b->default_sample_type = str(b, "samples");
	assert_int_equal(profile__add_comment(a, "one"), 0);
	assert_int_equal(profile__add_comment(b, "two"), 0);
	assert_int_equal(profile__add_comment(b, "one"), 0);
	add(a, NULL, 0, 0); /* nothing but zeros */
	add(b, NULL, 0, 5);
	assert_int_equal(profile__merge(m, a), 0);
	assert_int_equal(m->samples_cnt, 0);
	assert_int_equal(profile__merge(m, b), 0);
	assert_int_equal(m->time_ns, 1000);
	assert_int_equal(m->period, 9);
	assert_int_equal(m->comments_cnt, 2);
	assert_string_equal(profile__str(m, m->default_sample_type), "samples");
	assert_int_equal(total(m, 0), 5);
	b->duration_ns = INT64_MAX;
	m->duration_ns = 1;
	assert_int_equal(profile__merge(m, b), -EOVERFLOW);
}

/* Rows whose labels differ in order only are one row. */
static void test_merge_sorts_labels(void **state)
{
	_cleanup_(profile__freep) struct profile *p = new_profile();
	_cleanup_(profile__freep) struct profile *m = profile__new();
	struct profile_label pid = { .key = str(p, "pid"), .num = 1, .num_unit = str(p, "pid") };
	struct profile_label comm = { .key = str(p, "comm"), .str = str(p, "x") };
	int64_t values[] = { 1, 10 };

	assert_int_equal(profile__add(p, NULL, 0, (struct profile_label[]){ pid, comm }, 2, values),
			 0);
	assert_int_equal(profile__add(p, NULL, 0, (struct profile_label[]){ comm, pid }, 2, values),
			 0);
	assert_int_equal(p->samples_cnt, 2);
	assert_int_equal(profile__merge(m, p), 0);
	assert_int_equal(m->samples_cnt, 1);
	assert_int_equal(m->samples[0].labels_cnt, 2);
	assert_string_equal(profile__str(m, m->samples[0].labels[0].key), "comm");
	assert_string_equal(profile__str(m, m->samples[0].labels[1].num_unit), "pid");
}

static void test_drop_sample_types(void **state)
{
	_cleanup_(profile__freep) struct profile *p = profile__new();
	const int64_t value = 1;

	assert_int_equal(profile__add_sample_type(p, "a", "count"), 0);
	assert_int_equal(profile__add_sample_type(p, "b", "count"), 0);
	assert_int_equal(profile__add_sample_type(p, "c", "count"), 0);
	assert_int_equal(profile__string(p, "a", &p->default_sample_type), 0);
	assert_int_equal(profile__drop_sample_types(p, 4), -EINVAL);
	assert_int_equal(profile__drop_sample_types(p, 1), 0);
	assert_int_equal(p->sample_types_cnt, 2);
	assert_int_equal(profile__default_value(p), 0);
	assert_int_equal(profile__string(p, "b", &p->default_sample_type), 0);
	assert_int_equal(profile__drop_sample_types(p, 1), 0);
	assert_string_equal(profile__str(p, p->default_sample_type), "a");
	assert_int_equal(profile__add(p, NULL, 0, NULL, 0, &value), 0);
	assert_int_equal(profile__drop_sample_types(p, 1), -EINVAL);
}

static void test_free_nothing(void **state)
{
	profile__free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_many_strings),
		cmocka_unit_test(test_locations),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_functions),
		cmocka_unit_test(test_synthetic),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_labels_tell_rows_apart),
		cmocka_unit_test(test_overflow_adds_nothing),
		cmocka_unit_test(test_sample_types),
		cmocka_unit_test(test_many_rows),
		cmocka_unit_test(test_merge_with_itself_doubles),
		cmocka_unit_test(test_merge_normalises_mappings),
		cmocka_unit_test(test_merge_refuses_other_kinds),
		cmocka_unit_test(test_merge_headers),
		cmocka_unit_test(test_merge_sorts_labels),
		cmocka_unit_test(test_drop_sample_types),
		cmocka_unit_test(test_free_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
