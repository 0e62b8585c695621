/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * profile/completeness, and the text of `cprof info` made from it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "export/export.h"
#include "profile/completeness.h"

/* A row of cnt samples: user frames of 'mapping' (0: none) below an optional synthetic root. */
static void add_row(struct profile *p, uint32_t mapping, const char *root, int64_t cnt)
{
	static uint64_t address;
	const int64_t values[] = { cnt, cnt * 10 };
	uint32_t stack[2], n = 0;

	if (mapping)
		assert_int_equal(profile__location(p, mapping, ++address, &stack[n++]), 0);
	if (root)
		assert_int_equal(profile__synthetic(p, root, &stack[n++]), 0);
	assert_int_equal(profile__add(p, stack, n, NULL, 0, values), 0);
}

static struct profile *make_profile(const char *counted)
{
	struct profile_mapping app = { .limit = 0x1000 }, kernel = { .is_kernel = true };
	struct profile *p = profile__new();
	uint32_t app_id, kernel_id;

	assert_non_null(p);
	assert_int_equal(profile__add_sample_type(p, counted, "count"), 0);
	assert_int_equal(profile__add_sample_type(p, "cpu", "nanoseconds"), 0);
	assert_int_equal(profile__string(p, "/bin/app\x1b", &app.file), 0);
	assert_int_equal(profile__string(p, "[kernel.kallsyms]", &kernel.file), 0);
	assert_int_equal(profile__add_mapping(p, &app, &app_id), 0);
	assert_int_equal(profile__add_mapping(p, &kernel, &kernel_id), 0);
	add_row(p, app_id, NULL, 90);
	add_row(p, app_id, "[truncated: unreadable]", 4);
	add_row(p, app_id, "[truncated: unreadable]", 3);
	add_row(p, app_id, "[truncated: coroutine]", 1);
	add_row(p, 0, "[truncated: no_table]", 1);
	add_row(p, kernel_id, "[unknown]", 1);
	add_row(p, kernel_id, NULL, 20);
	add_row(p, 0, "[lost]", 5);
	add_row(p, 0, "[not sampled]", 30);
	return p;
}

static void test_counts(void **state)
{
	_cleanup_(profile__freep) struct profile *p = make_profile("samples");
	_cleanup_(completeness__done) struct completeness c = { 0 };

	assert_int_equal(completeness__compute(&c, p), 0);
	assert_int_equal(c.samples, 155);
	assert_int_equal(c.complete, 90);
	assert_int_equal(c.cut, 9);
	assert_int_equal(c.unknown, 1);
	assert_int_equal(c.kernel_only, 20);
	assert_int_equal(c.lost, 5);
	assert_int_equal(c.unsampled, 30);
	assert_int_equal(c.samples,
			 c.complete + c.cut + c.unknown + c.kernel_only + c.lost + c.unsampled);
	assert_true(completeness__percent(&c) == 90.0);
	assert_int_equal(c.broken_cnt, 3);
	assert_int_equal(c.broken[0].cnt, 7);
	assert_string_equal(profile__str(p, c.broken[0].reason), "[truncated: unreadable]");
	assert_string_equal(profile__str(p, c.broken[0].file), "/bin/app\x1b");
}

static void test_nothing_is_complete(void **state)
{
	_cleanup_(profile__freep) struct profile *p = profile__new();
	_cleanup_(completeness__done) struct completeness c = { 0 };

	assert_int_equal(completeness__compute(&c, p), 0);
	assert_true(completeness__percent(&c) == 100.0);
}

static void test_text(void **state)
{
	_cleanup_(profile__freep) struct profile *p = make_profile("samples");
	_cleanup_buf_ struct buf text = BUF_INIT;

	assert_int_equal(text__info(p, &text), 0);
	assert_non_null(strstr(text.data, "complete        90 (90.00 %)"));
	assert_non_null(strstr(text.data, "(20 kernel only, 5 lost, 30 without any)"));
	assert_non_null(strstr(text.data, "7.00 %  [truncated: unreadable] in /bin/app\\x1b\n"));
	assert_non_null(strstr(text.data, "1.00 %  [truncated: no_table] in no module\n"));
	assert_null(strchr(text.data, '\x1b'));
	assert_non_null(strstr(text.data, "user stacks:      100 of 155 samples ("));
}

/* A stack stands for all the waits that it was sampled for. */
static void test_text_of_waits(void **state)
{
	_cleanup_(profile__freep) struct profile *p = make_profile("waits");
	_cleanup_buf_ struct buf text = BUF_INIT;

	assert_int_equal(text__info(p, &text), 0);
	assert_non_null(strstr(text.data, "with user stack:  100 of 155 waits ("));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_nothing_is_complete),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_of_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
