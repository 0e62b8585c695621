/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which name a mistyped word stands for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "base/array.h"
#include "base/suggest.h"

static const char *name_at(size_t i)
{
	static const char *const names[] = { "pid", "comm", "cpu", "format", "output", "no-color" };

	return i < ARRAY_SIZE(names) ? names[i] : NULL;
}

static const char *nearest(const char *word)
{
	return suggest__nearest(word, strlen(word), name_at);
}

static void test_near(void **state)
{
	assert_string_equal(nearest("pdi"), "pid");
	assert_string_equal(nearest("pi"), "pid");
	assert_string_equal(nearest("pids"), "pid");
	assert_string_equal(nearest("cpuu"), "cpu");
	assert_string_equal(nearest("com"), "comm");
	assert_string_equal(nearest("fromat"), "format");
	assert_string_equal(nearest("outptu"), "output");
	assert_string_equal(nearest("no-colour"), "no-color");
	assert_string_equal(nearest("out"), "output"); /* its beginning */
	assert_string_equal(nearest("pid"), "pid");
}

static void test_far(void **state)
{
	char large[100];

	memset(large, 'p', sizeof(large));
	assert_null(nearest(""));
	assert_null(nearest("p"));
	assert_null(nearest("xyz"));
	assert_null(nearest("flamegraph"));
	assert_null(nearest("xxxmat"));
	assert_null(suggest__nearest(large, sizeof(large), name_at));
}

static void test_distance(void **state)
{
	assert_int_equal(suggest__mismatch("doctor", 6, "doctor"), 0);
	assert_int_equal(suggest__mismatch("docotr", 6, "doctor"), 1);
	assert_int_equal(suggest__mismatch("dcotro", 6, "doctor"), 2);
	assert_int_equal(suggest__mismatch("dcotox", 6, "doctor"), 2);
	assert_true(suggest__mismatch("dcotrx", 6, "doctor") == SIZE_MAX);
	assert_true(suggest__mismatch("xxxtor", 6, "doctor") == SIZE_MAX);
	assert_int_equal(suggest__mismatch("doctor=1", 6, "doctor"), 0); /* the length counts */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_near),
		cmocka_unit_test(test_far),
		cmocka_unit_test(test_distance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
