/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Durations, sizes, numbers and percentages as people write them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include "base/array.h"
#include "base/clock.h"
#include "base/units.h"

static uint64_t duration(const char *s)
{
	uint64_t ns = 0;

	if (units__parse_duration(s, &ns))
		fail_msg("'%s' is refused", s);
	return ns;
}

static void test_durations(void **state)
{
	assert_int_equal(duration("0"), 0);
	assert_int_equal(duration("0s"), 0);
	assert_int_equal(duration("30"), 30 * NSEC_PER_SEC);
	assert_int_equal(duration("30s"), 30 * NSEC_PER_SEC);
	assert_int_equal(duration("007s"), 7 * NSEC_PER_SEC);
	assert_int_equal(duration("500ms"), 500000000);
	assert_int_equal(duration("250us"), 250000);
	assert_int_equal(duration("1ns"), 1);
	assert_int_equal(duration("2m"), 120 * NSEC_PER_SEC);
	assert_int_equal(duration("1h"), 3600 * NSEC_PER_SEC);
	assert_int_equal(duration("1.5s"), 1500000000);
	assert_int_equal(duration("0.000000001s"), 1);
	assert_int_equal(duration("0.1"), 100000000);
	assert_int_equal(duration("8760h"), 8760ULL * 3600 * NSEC_PER_SEC);
}

static void test_bad_durations(void **state)
{
	static const char *const bad[] = { "",    "s",    "30x", "-1",       "-1s",   "+1",
					   " 1",  "1 ",   "1 s", "1s1s",     "1h30m", "1.s",
					   ".5s", "1..5", "1e3", "0x10",     "1S",    "1M",
					   "inf", "nan",  "1,5", "\xd9\xa1s" };
	static const char *const large[] = { "8760.1h",
					     "8761h",
					     "366000h",
					     "18446744073709551615",
					     "18446744073709551616s",
					     "99999999999999999999999999999h",
					     "31536000.1" };
	uint64_t ns = 77;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (units__parse_duration(bad[i], &ns) != -EINVAL)
			fail_msg("'%s' is not -EINVAL", bad[i]);
	for (i = 0; i < ARRAY_SIZE(large); i++)
		if (units__parse_duration(large[i], &ns) != -ERANGE)
			fail_msg("'%s' is not -ERANGE", large[i]);
	assert_int_equal(ns, 77); /* untouched */
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "0", 0 },
		{ "512", 512 },
		{ "512B", 512 },
		{ "64K", 65536 },
		{ "64KB", 65536 },
		{ "64KiB", 65536 },
		{ "8M", 8 << 20 },
		{ "8MiB", 8 << 20 },
		{ "1.5M", 3 << 19 },
		{ "2G", 2ULL << 30 },
		{ "8589934591G", 8589934591ULL << 30 },
	};
	static const char *const bad[] = { "", "K", "1k", "1T", "-1K", "1K ", "1 K", "1KK" };
	uint64_t bytes = 77;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(units__parse_size(bad[i], &bytes), -EINVAL);
	assert_int_equal(units__parse_size("8589934592G", &bytes), -ERANGE);
	assert_int_equal(units__parse_size("9223372036854775808", &bytes), -ERANGE);
	assert_int_equal(units__parse_size("18446744073709551616", &bytes), -ERANGE);
	assert_int_equal(bytes, 77);
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(units__parse_size(good[i].text, &bytes), 0);
		assert_int_equal(bytes, good[i].bytes);
	}
}

static void test_numbers(void **state)
{
	static const char *const bad[] = { "", "-1", "+1", "1.0", "1x", " 1", "0x1" };
	uint64_t value = 77;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(units__parse_u64(bad[i], 0, UINT64_MAX, &value), -EINVAL);
	assert_int_equal(units__parse_u64("0", 1, 4999, &value), -ERANGE);
	assert_int_equal(units__parse_u64("5000", 1, 4999, &value), -ERANGE);
	assert_int_equal(units__parse_u64("18446744073709551616", 0, UINT64_MAX, &value), -ERANGE);
	assert_int_equal(value, 77);
	assert_int_equal(units__parse_u64("18446744073709551615", 0, UINT64_MAX, &value), 0);
	assert_true(value == UINT64_MAX);
	assert_int_equal(units__parse_u64("4999", 1, 4999, &value), 0);
	assert_int_equal(value, 4999);
}

static void test_percentages(void **state)
{
	double percent = 77;

	assert_int_equal(units__parse_percent("", &percent), -EINVAL);
	assert_int_equal(units__parse_percent("%", &percent), -EINVAL);
	assert_int_equal(units__parse_percent("-1", &percent), -EINVAL);
	assert_int_equal(units__parse_percent("5%%", &percent), -EINVAL);
	assert_int_equal(units__parse_percent("101", &percent), -ERANGE);
	assert_int_equal(units__parse_percent("100.001%", &percent), -ERANGE);
	assert_true(percent == 77);
	assert_int_equal(units__parse_percent("0", &percent), 0);
	assert_true(percent == 0);
	assert_int_equal(units__parse_percent("100%", &percent), 0);
	assert_true(percent == 100);
	assert_int_equal(units__parse_percent("0.5", &percent), 0);
	assert_true(percent == 0.5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations),   cmocka_unit_test(test_bad_durations),
		cmocka_unit_test(test_sizes),       cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_percentages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
