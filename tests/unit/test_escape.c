/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Foreign text made safe to show.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"
#include "base/escape.h"

static void expect_n(const char *s, size_t len, enum escape_mode mode, const char *also,
		     const char *want)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf__puts(&b, ">");
	escape__append(&b, s, len, mode, also);
	if (strcmp(b.data + 1, want) != 0)
		fail_msg("got %s, wanted %s", b.data + 1, want);
}

static void expect(const char *s, const char *want)
{
	expect_n(s, strlen(s), ESCAPE_UTF8, NULL, want);
}

static void test_clean_text(void **state)
{
	expect("", "");
	expect("plain ~text \"'<>&;%", "plain ~text \"'<>&;%");
	expect("gr\xc3\xbc\xc3\x9f \xe6\xbc\xa2 \xf0\x9f\x98\x80",
	       "gr\xc3\xbc\xc3\x9f \xe6\xbc\xa2 \xf0\x9f\x98\x80");
	expect("\xc2\xa0", "\xc2\xa0"); /* first after the C1 controls */
	expect("\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80"); /* around surrogates */
	expect("\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf");                 /* the last code point */
}

static void test_controls(void **state)
{
	expect("\x1b[31m\r\n\t", "\\x1b[31m\\x0d\\x0a\\x09");
	expect("\x7f", "\\x7f");
	expect("a\\b", "a\\x5cb"); /* else an escape could be forged */
	expect("\xc2\x80\xc2\x9f", "\\xc2\\x80\\xc2\\x9f");
	expect_n("a\0b", 3, ESCAPE_UTF8, NULL, "a\\x00b");
}

static bool is_escaped(const char *s)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	escape__append(&b, s, strlen(s), ESCAPE_UTF8, NULL);
	return strcmp(b.data, s) != 0;
}

static void test_invisible_characters(void **state)
{
	static const char *const each[] = {
		"\xd8\x9c",     "\xe2\x80\x8e", "\xe2\x80\x8f", "\xe2\x80\xa8", "\xe2\x80\xa9",
		"\xe2\x80\xaa", "\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x81\xa9",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(each); i++)
		assert_true(is_escaped(each[i]));
	expect("\xe2\x80\xae", "\\xe2\\x80\\xae");
	expect("\xe2\x80\xaf", "\xe2\x80\xaf"); /* beside them */
	expect("\xe2\x81\xaa", "\xe2\x81\xaa");
}

static void test_invalid_utf8(void **state)
{
	expect("\xff\xfe", "\\xff\\xfe");
	expect("\x80", "\\x80");
	expect("\xc0\xaf", "\\xc0\\xaf");                   /* overlong */
	expect("\xe0\x80\xaf", "\\xe0\\x80\\xaf");          /* overlong */
	expect("\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf"); /* overlong */
	expect("\xed\xa0\x80", "\\xed\\xa0\\x80");          /* surrogate */
	expect("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* above U+10FFFF */
	expect("\xc3", "\\xc3");                            /* cut off */
	expect("\xe6\xbc", "\\xe6\\xbc");
	expect("\xe6\xbc!", "\\xe6\\xbc!");
	expect("\xc3\x1b", "\\xc3\\x1b"); /* the second byte is not swallowed */
}

/* What is cut off by the length must not be read beyond it. */
static void test_length_is_respected(void **state)
{
	expect_n("\xe6\xbc\xa2", 2, ESCAPE_UTF8, NULL, "\\xe6\\xbc");
	expect_n("abc", 1, ESCAPE_UTF8, NULL, "a");
}

static void test_ascii_and_also(void **state)
{
	expect_n("gr\xc3\xbc~", 5, ESCAPE_ASCII, NULL, "gr\\xc3\\xbc~");
	expect_n("a b=c;", 6, ESCAPE_UTF8, " =;", "a\\x20b\\x3dc\\x3b");
	expect_n("a b", 3, ESCAPE_UTF8, "", "a b");
}

/* Whatever goes in: what comes out is printable, says how to get the input back, and is stable. */
static void test_random_bytes(void **state)
{
	unsigned int seed = 1;
	int round;

	for (round = 0; round < 20000; round++) {
		_cleanup_buf_ struct buf once = BUF_INIT;
		char in[24], back[24];
		size_t len = (size_t)rand_r(&seed) % sizeof(in), i, back_len = 0;

		for (i = 0; i < len; i++)
			in[i] = (char)rand_r(&seed);
		buf__puts(&once, "");
		escape__append(&once, in, len, round % 2 ? ESCAPE_ASCII : ESCAPE_UTF8, NULL);
		for (i = 0; i < once.len; back_len++) {
			assert_true(back_len < sizeof(back));
			if (once.data[i] != '\\') {
				assert_true((unsigned char)once.data[i] >= 0x20);
				back[back_len] = once.data[i++];
				continue;
			}
			assert_int_equal(once.data[i + 1], 'x');
			back[back_len] = (char)strtol(
				(char[]){ once.data[i + 2], once.data[i + 3], 0 }, NULL, 16);
			i += 4;
		}
		assert_int_equal(back_len, len);
		assert_memory_equal(back, in, len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean_text),           cmocka_unit_test(test_controls),
		cmocka_unit_test(test_invisible_characters), cmocka_unit_test(test_invalid_utf8),
		cmocka_unit_test(test_length_is_respected),  cmocka_unit_test(test_ascii_and_also),
		cmocka_unit_test(test_random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
