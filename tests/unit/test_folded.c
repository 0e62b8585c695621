/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export/folded: lines, order, sums.
 */
#include "fixed_profile.h"

static void test_golden(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_profile();
	_cleanup_buf_ struct buf out = BUF_INIT;

	assert_int_equal(folded__encode(p, &out), 0);
	assert_golden("cpu.folded", &out);
}

/* Not only the order of the fixed profile: random stacks against a sort of their lines. */
static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void test_sorted_and_summed(void **state)
{
	enum { ROWS = 2000 };
	static const char *const names[] = { "a", "ab", "a b", "a;b", "abc", "b" };
	_cleanup_(profile__freep) struct profile *p = profile__new();
	_cleanup_buf_ struct buf out = BUF_INIT;
	uint32_t stack[6], seed = 7, i, k;
	char *stacks[ROWS], *line, *save;
	int64_t sum = 0, lines_cnt = 0;

	assert_int_equal(profile__add_sample_type(p, "v", "count"), 0);
	for (i = 0; i < ROWS; i++) {
		uint32_t depth = 1 + i % ARRAY_SIZE(stack);

		for (k = 0; k < depth; k++) {
			seed = seed * 1103515245 + 12345;
			/* Several addresses of one name: rows that become one line. */
			stack[k] = add_code(p, 0, seed >> 28, names[(seed >> 28) % 6]);
		}
		assert_int_equal(profile__add(p, stack, depth, NULL, 0, (int64_t[]){ i }), 0);
	}
	assert_int_equal(folded__encode(p, &out), 0);
	for (line = strtok_r(out.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *value = strrchr(line, ' ');

		sum += atoll(value + 1);
		*value = '\0';
		stacks[lines_cnt++] = line;
	}
	assert_int_equal(sum, (int64_t)ROWS * (ROWS - 1) / 2);
	assert_true(lines_cnt > 100);
	assert_true((size_t)lines_cnt < p->samples_cnt);
	for (i = 1; i < lines_cnt; i++)
		assert_true(compare_lines(&stacks[i - 1], &stacks[i]) < 0);
}

/* Not cpu: the default sample type is what counts. */
static void test_default_value(void **state)
{
	_cleanup_(profile__freep) struct profile *p = profile__new();
	_cleanup_buf_ struct buf out = BUF_INIT;
	uint32_t f;

	assert_int_equal(profile__add_sample_type(p, "waits", "count"), 0);
	assert_int_equal(profile__add_sample_type(p, "latency", "nanoseconds"), 0);
	f = add_code(p, 0, 1, "f");
	assert_int_equal(profile__add(p, &f, 1, NULL, 0, (int64_t[]){ 3, 500 }), 0);
	assert_int_equal(folded__encode(p, &out), 0);
	assert_string_equal(out.data, "f 500\n");
}

static void test_empty(void **state)
{
	_cleanup_(profile__freep) struct profile *p = profile__new();
	_cleanup_buf_ struct buf out = BUF_INIT;

	assert_int_equal(folded__encode(p, &out), 0);
	assert_int_equal(profile__add_sample_type(p, "v", "count"), 0);
	assert_int_equal(folded__encode(p, &out), 0);
	/* Neither a frame nor a comm: no line could name it. */
	assert_int_equal(profile__add(p, NULL, 0, NULL, 0, (int64_t[]){ 3 }), 0);
	assert_int_equal(folded__encode(p, &out), 0);
	assert_int_equal(out.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_sorted_and_summed),
		cmocka_unit_test(test_default_value),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
