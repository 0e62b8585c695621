/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See columns.h.
 */
#include "export/columns.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "base/array.h"
#include "export/printable.h"

#define CUT_MARK ".."

static void put_spaces(struct buf *out, size_t cnt)
{
	for (; cnt; cnt--)
		buf__putc(out, ' ');
}

void columns__put_right(struct buf *out, size_t width, const char *text)
{
	size_t len = printable__width(text, strlen(text));

	put_spaces(out, width > len ? width - len : 0);
	buf__puts(out, text);
}

void columns__duration(struct buf *out, uint64_t ns)
{
	static const struct {
		const char *name;
		double ns;
	} units[] = { { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 } };
	double value;
	size_t i;

	if (ns < 1000) {
		buf__printf(out, ns ? "%" PRIu64 "ns" : "%" PRIu64, ns);
		return;
	}
	/* 999.5 would be shown as 1000. */
	for (i = 0; i + 1 < ARRAY_SIZE(units) && (double)ns / units[i].ns >= 999.5; i++)
		;
	value = (double)ns / units[i].ns;
	buf__printf(out, "%.*f%s", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value, units[i].name);
}

void columns__bytes(struct buf *out, double bytes)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB" };
	size_t i;

	if (!(bytes >= 0.5)) {
		buf__putc(out, '0');
		return;
	}
	if (bytes < 999.5) {
		buf__printf(out, "%.0fB", bytes);
		return;
	}
	/* Four digits would not tell more than the next unit does. */
	for (i = 0; i + 1 < ARRAY_SIZE(units) && bytes >= 999.5; i++)
		bytes /= 1024;
	buf__printf(out, "%.*f%s", bytes < 9.995 ? 2 : bytes < 99.95 ? 1 : 0, bytes, units[i]);
}

void columns__count(struct buf *out, uint64_t n)
{
	char digits[24];
	size_t len, i;

	len = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, n);
	for (i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			buf__putc(out, ',');
		buf__putc(out, digits[i]);
	}
}

static void put_cell(struct buf *out, size_t width, const struct buf *text)
{
	if (buf__error(text))
		out->failed = true;
	else
		columns__put_right(out, width, text->data ?: "");
}

void columns__put_duration(struct buf *out, size_t width, uint64_t ns)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	columns__duration(&text, ns);
	put_cell(out, width, &text);
}

void columns__put_bytes(struct buf *out, size_t width, double bytes)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	columns__bytes(&text, bytes);
	put_cell(out, width, &text);
}

void columns__put_count(struct buf *out, size_t width, uint64_t n)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	columns__count(&text, n);
	put_cell(out, width, &text);
}

void columns__put_percent(struct buf *out, size_t width, uint64_t part, uint64_t total)
{
	double percent = total ? 100.0 * (double)part / (double)total : 0;
	char text[32];

	if (part == total && total)
		snprintf(text, sizeof(text), "100%%");
	else if (!part)
		snprintf(text, sizeof(text), "0%%");
	else if (percent < 0.05)
		snprintf(text, sizeof(text), "<0.1%%");
	else
		snprintf(text, sizeof(text), "%.1f%%", percent);
	columns__put_right(out, width, text);
}

/* Where the code point after the first 'cnt' begins. */
static size_t skip_points(const char *s, size_t len, size_t cnt)
{
	size_t i = 0;

	for (; cnt && i < len; cnt--)
		for (i++; i < len && ((unsigned char)s[i] & 0xc0) == 0x80; i++)
			;
	return i;
}

void columns__put_name(struct buf *out, size_t width, const char *name, enum columns_cut cut)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	size_t len, kept, from;

	printable__append(&text, name, NULL);
	if (buf__error(&text)) {
		out->failed = true;
		return;
	}
	len = text.data ? printable__width(text.data, text.len) : 0;
	if (len <= width) {
		buf__append(out, text.data, text.len);
		put_spaces(out, width - len);
		return;
	}
	kept = width > strlen(CUT_MARK) ? width - strlen(CUT_MARK) : 0;
	if (cut == COLUMNS_KEEP_HEAD) {
		buf__append(out, text.data, skip_points(text.data, text.len, kept));
		buf__append(out, CUT_MARK, width - kept);
	} else {
		from = skip_points(text.data, text.len, len - kept);
		buf__append(out, CUT_MARK, width - kept);
		buf__append(out, text.data + from, text.len - from);
	}
}
