/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gzip members, whole, broken, truncated and too large.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/gzip.h"

static void compress(struct buf *out, const void *data, size_t len)
{
	_cleanup_(gzip_writer__freep) struct gzip_writer *w = NULL;

	assert_int_equal(gzip_writer__new(&w, out), 0);
	assert_int_equal(gzip_writer__write(w, data, len), 0);
	assert_int_equal(gzip_writer__finish(w), 0);
}

static void test_round_trip(void **state)
{
	static const size_t sizes[] = { 0, 1, 100, 65535, 65536, 65537, 1000000 };
	unsigned int seed = 1;
	size_t i, j;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		_cleanup_buf_ struct buf packed = BUF_INIT, again = BUF_INIT, out = BUF_INIT;
		char *data = malloc(sizes[i] + 1);

		for (j = 0; j < sizes[i]; j++)
			data[j] = (char)(rand_r(&seed) >> (i % 2 ? 8 : 14));
		compress(&packed, data, sizes[i]);
		compress(&again, data, sizes[i]);
		assert_int_equal(packed.len, again.len); /* no time stamp in it */
		assert_memory_equal(packed.data, again.data, packed.len);
		assert_true(gzip__is_gzip(packed.data, packed.len));
		assert_int_equal(gzip__decompress(packed.data, packed.len, sizes[i], &out), 0);
		assert_int_equal(out.len, sizes[i]);
		if (sizes[i])
			assert_memory_equal(out.data, data, sizes[i]);
		free(data);
	}
}

static void test_appends(void **state)
{
	_cleanup_buf_ struct buf packed = BUF_INIT, out = BUF_INIT;

	compress(&packed, "abc", 3);
	buf__puts(&out, "> ");
	assert_int_equal(gzip__decompress(packed.data, packed.len, 3, &out), 0);
	assert_string_equal(out.data, "> abc");
}

static void test_limit(void **state)
{
	_cleanup_buf_ struct buf packed = BUF_INIT, out = BUF_INIT;
	const size_t len = 64 << 20;
	char *zeros = calloc(1, len);

	compress(&packed, zeros, len);
	free(zeros);
	assert_true(packed.len < len / 200); /* a bomb */
	assert_int_equal(gzip__decompress(packed.data, packed.len, len - 1, &out), -EFBIG);
	buf__done(&out);
	assert_int_equal(gzip__decompress(packed.data, packed.len, 1000, &out), -EFBIG);
	assert_true(out.cap <= 256 * 1024);
}

static void test_every_truncation(void **state)
{
	_cleanup_buf_ struct buf packed = BUF_INIT, out = BUF_INIT;
	size_t len;

	compress(&packed, "some text, some text, some more text", 36);
	for (len = 0; len < packed.len; len++) {
		char *exact = malloc(len + !len); /* reading beyond it is seen by sanitizers */

		memcpy(exact, packed.data, len);
		assert_int_equal(gzip__decompress(exact, len, 1000, &out), -EBADMSG);
		free(exact);
	}
}

static void test_broken(void **state)
{
	_cleanup_buf_ struct buf packed = BUF_INIT, out = BUF_INIT;

	compress(&packed, "some text, some text, some more text", 36);
	packed.data[packed.len - 6] ^= 1; /* the checksum */
	assert_int_equal(gzip__decompress(packed.data, packed.len, 1000, &out), -EBADMSG);
	assert_int_equal(gzip__decompress("\x1f\x8b", 2, 1000, &out), -EBADMSG);
	assert_int_equal(gzip__decompress("hello", 5, 1000, &out), -EBADMSG);
	assert_int_equal(gzip__decompress("", 0, 1000, &out), -EBADMSG);
	assert_false(gzip__is_gzip("\x1f", 1));
	assert_false(gzip__is_gzip("\x1f\x8c", 2));
}

/* Members in a row are one text, as for gzip(1) and Go; anything else behind one is an error. */
static void test_what_follows(void **state)
{
	_cleanup_buf_ struct buf packed = BUF_INIT, out = BUF_INIT;

	compress(&packed, "abc", 3);
	compress(&packed, "def", 3);
	assert_int_equal(gzip__decompress(packed.data, packed.len, 6, &out), 0);
	assert_string_equal(out.data, "abcdef");
	assert_int_equal(gzip__decompress(packed.data, packed.len, 5, &out), -EFBIG);
	buf__puts(&packed, "garbage");
	assert_int_equal(gzip__decompress(packed.data, packed.len, 100, &out), -EBADMSG);
}

/* A bare zlib stream: "zlib\n", stored. Exactly as many bytes as it holds, or nothing. */
static void test_zlib(void **state)
{
	static const unsigned char stream[] = { 0x78, 0x01, 0x01, 0x05, 0x00, 0xfa, 0xff, 'z',
						'l',  'i',  'b',  '\n', 0x06, 0x20, 0x01, 0xbc };
	char out[16];

	assert_int_equal(zlib__inflate(stream, sizeof(stream), out, 5), 0);
	assert_memory_equal(out, "zlib\n", 5);
	assert_int_equal(zlib__inflate(stream, sizeof(stream), out, 4), -EBADMSG);
	assert_int_equal(zlib__inflate(stream, sizeof(stream), out, 6), -EBADMSG);
	assert_int_equal(zlib__inflate(stream, sizeof(stream) - 1, out, 5), -EBADMSG);
	assert_int_equal(zlib__inflate(stream, 0, out, 5), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zlib),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_appends),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_what_follows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
