/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See units.h.
 */
#include "base/units.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"
#include "base/clock.h"

#define DURATION_MAX_NS (365ULL * 24 * 3600 * NSEC_PER_SEC)

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit duration_units[] = {
	{ "", NSEC_PER_SEC },
	{ "ns", 1 },
	{ "us", 1000 },
	{ "ms", 1000000 },
	{ "s", NSEC_PER_SEC },
	{ "m", 60 * NSEC_PER_SEC },
	{ "h", 3600 * NSEC_PER_SEC },
};

static const struct unit size_units[] = {
	{ "", 1 },          { "B", 1 },        { "K", 1 << 10 },   { "KB", 1 << 10 },
	{ "KiB", 1 << 10 }, { "M", 1 << 20 },  { "MB", 1 << 20 },  { "MiB", 1 << 20 },
	{ "G", 1 << 30 },   { "GB", 1 << 30 }, { "GiB", 1 << 30 },
};

/* "12", "1.5": digits with at most one point. Returns the rest of the string, NULL if malformed. */
static const char *scan_number(const char *s, bool allow_fraction, uint64_t *ret_whole,
			       double *ret_fraction, bool *ret_overflow)
{
	double scale = 0.1;

	*ret_whole = 0;
	*ret_fraction = 0;
	*ret_overflow = false;
	if (!isdigit((unsigned char)*s))
		return NULL;
	for (; isdigit((unsigned char)*s); s++) {
		if (__builtin_mul_overflow(*ret_whole, 10, ret_whole) ||
		    __builtin_add_overflow(*ret_whole, (uint64_t)(*s - '0'), ret_whole))
			*ret_overflow = true;
	}
	if (*s != '.' || !allow_fraction)
		return s;
	if (!isdigit((unsigned char)*++s))
		return NULL;
	for (; isdigit((unsigned char)*s); s++, scale /= 10)
		*ret_fraction += scale * (*s - '0');
	return s;
}

static int parse_scaled(const char *s, const struct unit *units, size_t units_cnt, uint64_t max,
			uint64_t *ret)
{
	uint64_t whole, value;
	double fraction;
	bool overflow;
	size_t i;

	s = scan_number(s, true, &whole, &fraction, &overflow);
	if (!s)
		return -EINVAL;
	for (i = 0; i < units_cnt; i++) {
		if (strcmp(s, units[i].name) != 0)
			continue;
		if (overflow || __builtin_mul_overflow(whole, units[i].factor, &value) ||
		    value > max)
			return -ERANGE;
		value += (uint64_t)llround(fraction * (double)units[i].factor);
		if (value > max)
			return -ERANGE;
		if (!value && fraction > 0)
			return -EINVAL; /* less than the smallest unit is not nothing */
		*ret = value;
		return 0;
	}
	return -EINVAL;
}

int units__parse_duration(const char *s, uint64_t *ret_ns)
{
	return parse_scaled(s, duration_units, ARRAY_SIZE(duration_units), DURATION_MAX_NS, ret_ns);
}

int units__parse_size(const char *s, uint64_t *ret_bytes)
{
	return parse_scaled(s, size_units, ARRAY_SIZE(size_units), INT64_MAX, ret_bytes);
}

int units__parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	double fraction;
	uint64_t value;
	bool overflow;

	s = scan_number(s, false, &value, &fraction, &overflow);
	if (!s || *s)
		return -EINVAL;
	if (overflow || value < min || value > max)
		return -ERANGE;
	*ret = value;
	return 0;
}

int units__parse_percent(const char *s, double *ret_percent)
{
	double fraction, value;
	uint64_t whole;
	bool overflow;

	s = scan_number(s, true, &whole, &fraction, &overflow);
	if (!s || (*s && strcmp(s, "%") != 0))
		return -EINVAL;
	value = (double)whole + fraction;
	if (overflow || value > 100)
		return -ERANGE;
	*ret_percent = value;
	return 0;
}
