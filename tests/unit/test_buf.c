/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The growable buffer: contents, its NUL, and failure that stays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "base/buf.h"

static void test_contents(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	assert_null(b.data);
	buf__puts(&b, "ab");
	buf__putc(&b, 'c');
	buf__append(&b, "d\0e", 3);
	buf__printf(&b, "%d-%s", 42, "x");
	assert_int_equal(b.len, 10);
	assert_memory_equal(b.data, "abcd\0e42-x", 11); /* the NUL behind it too */
	buf__clear(&b);
	assert_int_equal(b.len, 0);
	assert_string_equal(b.data, "");
	assert_int_equal(buf__error(&b), 0);
}

static void test_empty_writes(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf__clear(&b);
	buf__append(&b, NULL, 0);
	buf__puts(&b, "");
	buf__printf(&b, "%s", "");
	assert_int_equal(b.len, 0);
	assert_int_equal(buf__error(&b), 0);
}

/* Sizes around every growth step, by both ways to write. */
static void test_growth(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < 5000; i++) {
		if (i % 2)
			buf__printf(&b, "%c", (char)('a' + i % 26));
		else
			buf__putc(&b, (char)('a' + i % 26));
		assert_int_equal(b.len, i + 1);
		assert_true(b.len < b.cap);
		assert_int_equal(b.data[b.len], '\0');
	}
	for (i = 0; i < 5000; i++)
		assert_int_equal(b.data[i], (char)('a' + i % 26));
}

static void test_long_format(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf__puts(&b, "x");
	buf__printf(&b, "%100000d", 7);
	assert_int_equal(b.len, 100001);
	assert_int_equal(b.data[0], 'x');
	assert_int_equal(b.data[100000], '7');
}

static void test_failure_stays(void **state)
{
	volatile size_t huge = SIZE_MAX - 16; /* no allocator has this */
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf__puts(&b, "kept");
	buf__append(&b, "", huge);
	assert_int_equal(buf__error(&b), -ENOMEM);
	buf__puts(&b, "lost");
	buf__printf(&b, "lost");
	assert_int_equal(b.len, 4);
	assert_string_equal(b.data, "kept");
	assert_int_equal(buf__error(&b), -ENOMEM);
	buf__done(&b);
	assert_null(b.data);
	assert_int_equal(buf__error(&b), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contents),      cmocka_unit_test(test_empty_writes),
		cmocka_unit_test(test_growth),        cmocka_unit_test(test_long_format),
		cmocka_unit_test(test_failure_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
