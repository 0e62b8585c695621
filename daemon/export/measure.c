/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See measure.h. Arithmetic is in doubles in pprof's order of operations: the last digit depends
 * on it.
 */
#include "export/measure.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include "base/array.h"
#include "export/printable.h"

#define UNIT_NAME_MAX 16

struct unit {
	const char *name;
	const char *aliases[3]; /* lower case, singular */
	double factor;
};

struct unit_family {
	const struct unit *units;
	size_t units_cnt;
	const struct unit *fallback; /* for what is below the smallest unit */
};

static const struct unit memory_units[] = {
	{ "B", { "b", "byte" }, 1 },
	{ "kB", { "kb", "kbyte", "kilobyte" }, (double)(1ULL << 10) },
	{ "MB", { "mb", "mbyte", "megabyte" }, (double)(1ULL << 20) },
	{ "GB", { "gb", "gbyte", "gigabyte" }, (double)(1ULL << 30) },
	{ "TB", { "tb", "tbyte", "terabyte" }, (double)(1ULL << 40) },
	{ "PB", { "pb", "pbyte", "petabyte" }, (double)(1ULL << 50) },
};

static const struct unit time_units[] = {
	{ "ns", { "ns", "nanosecond" }, 1 },    { "us", { "μs", "us", "microsecond" }, 1e3 },
	{ "ms", { "ms", "millisecond" }, 1e6 }, { "s", { "s", "sec", "second" }, 1e9 },
	{ "hrs", { "hour", "hr" }, 3600e9 },
};

static const struct unit gcu_units[] = {
	{ "n*GCU", { "nanogcu" }, 1e-9 },  { "u*GCU", { "microgcu" }, 1e-6 },
	{ "m*GCU", { "milligcu" }, 1e-3 }, { "GCU", { "gcu" }, 1 },
	{ "k*GCU", { "kilogcu" }, 1e3 },   { "M*GCU", { "megagcu" }, 1e6 },
	{ "G*GCU", { "gigagcu" }, 1e9 },   { "T*GCU", { "teragcu" }, 1e12 },
	{ "P*GCU", { "petagcu" }, 1e15 },
};

static const struct unit_family families[] = {
	{ memory_units, ARRAY_SIZE(memory_units), &memory_units[0] },
	{ time_units, ARRAY_SIZE(time_units), &time_units[3] },
	{ gcu_units, ARRAY_SIZE(gcu_units), &gcu_units[3] },
};

static const struct unit *find_unit(const struct unit_family *family, const char *name)
{
	char lower[UNIT_NAME_MAX + 1];
	size_t len = strlen(name), i, k;

	if (len > UNIT_NAME_MAX)
		return NULL;
	for (i = 0; i < len; i++)
		lower[i] = (char)tolower((unsigned char)name[i]);
	if (len > 2 && lower[len - 1] == 's')
		len--;
	lower[len] = '\0';
	for (i = 0; i < family->units_cnt; i++)
		for (k = 0; k < ARRAY_SIZE(family->units[i].aliases); k++)
			if (family->units[i].aliases[k] &&
			    !strcmp(family->units[i].aliases[k], lower))
				return &family->units[i];
	return NULL;
}

static const struct unit *largest_unit(const struct unit_family *family, double value)
{
	const struct unit *best = NULL;
	size_t i;

	for (i = 0; i < family->units_cnt; i++) {
		const struct unit *u = &family->units[i];

		if ((!best || u->factor >= best->factor) && value / u->factor >= 1.0)
			best = u;
	}
	return best ?: family->fallback;
}

static bool is_bare(const char *unit)
{
	static const char *const bare[] = { "count", "sample", "unit", "minimum", "auto" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bare); i++)
		if (!strcmp(unit, bare[i]))
			return true;
	return false;
}

double measure__scale(int64_t value, const char *from, const char *to, const char **ret_unit)
{
	size_t i;

	if (value < 0 && value > INT64_MIN)
		return -measure__scale(-value, from, to, ret_unit);
	for (i = 0; i < ARRAY_SIZE(families); i++) {
		const struct unit *from_unit = find_unit(&families[i], from), *to_unit;
		double v;

		if (!from_unit)
			continue;
		v = (double)value * from_unit->factor;
		if (!strcmp(to, "minimum"))
			to_unit = largest_unit(&families[i], v);
		else
			to_unit = find_unit(&families[i], to) ?: families[i].fallback;
		*ret_unit = to_unit->name;
		return v / to_unit->factor;
	}
	*ret_unit = is_bare(to) ? "" : to;
	return (double)value;
}

void measure__append(struct buf *out, int64_t value, const char *from, const char *to)
{
	_cleanup_buf_ struct buf number = BUF_INIT;
	const char *unit;

	buf__printf(&number, "%.2f", measure__scale(value, from, to, &unit));
	if (buf__error(&number)) {
		out->failed = true;
		return;
	}
	if (number.len > 3 && !strcmp(number.data + number.len - 3, ".00"))
		number.data[number.len -= 3] = '\0';
	if (!strcmp(number.data, "0") || !strcmp(number.data, "-0")) {
		buf__putc(out, '0');
		return;
	}
	buf__append(out, number.data, number.len);
	printable__append(out, unit, NULL);
}

void measure__append_percent(struct buf *out, int64_t value, int64_t total)
{
	double percent = total ? fabs((double)value / (double)total) * 100 : 0;

	if (percent >= 99.95 && percent <= 100.05)
		buf__puts(out, "  100%");
	else if (percent >= 1.0)
		buf__printf(out, "%5.2f%%", percent);
	else
		buf__printf(out, "%5.2g%%", percent);
}
