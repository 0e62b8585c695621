/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The flat/cum table for people. Header lines, figures and their layout are those of
 * `go tool pprof -top`, so that one can be held against the other; the module column at the end is
 * ours, and the start time is written the international way.
 */
#include "export/export.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/array.h"
#include "base/clock.h"
#include "export/measure.h"
#include "export/printable.h"

/* The module column stands behind the longest name, but not farther right than this. */
#define NAME_WIDTH_MAX 60

#define COLOR_HOT    "\033[1;31m"
#define COLOR_WARM   "\033[33m"
#define COLOR_DIM    "\033[2m"
#define COLOR_BOLD   "\033[1m"
#define COLOR_NORMAL "\033[0m"

struct report {
	const struct profile *p;
	const struct top_table *t;
	struct buf *out;
	const char *type, *from, *unit; /* of the sample type; what values are shown in */
	int64_t shown_flat;
	size_t name_width;
	bool color, has_modules;
};

static void put_color(struct report *r, const char *color)
{
	if (r->color)
		buf__puts(r->out, color);
}

static int64_t magnitude(int64_t v)
{
	return v < 0 ? (int64_t) - (uint64_t)v : v;
}

/* One unit for all values: that of the smallest one shown, unless the total is of another unit and
 * a hundred times larger; then two digits after the point tell the smallest in a larger unit. */
static const char *choose_unit(const struct report *r)
{
	const char *min_unit, *total_unit;
	int64_t min = 0;
	size_t i;

	if (!r->t->entries_cnt)
		return "minimum";
	for (i = 0; i < r->t->entries_cnt; i++) {
		const struct top_entry *e = &r->t->entries[i];
		int64_t v = magnitude(e->flat ?: e->cum);

		if (v > 0 && (!min || v < min))
			min = v;
	}
	if (!min)
		min = r->t->total;
	measure__scale(min, r->from, "minimum", &min_unit);
	measure__scale(r->t->total, r->from, "minimum", &total_unit);
	if (strcmp(min_unit, total_unit) && min < INT64_MAX / 100 && min * 100 < r->t->total)
		measure__scale(min * 100, r->from, "minimum", &min_unit);
	return *min_unit ? min_unit : r->from;
}

static void put_value(struct report *r, int64_t value)
{
	measure__append(r->out, value, r->from, r->unit);
}

/* Right-aligned, as %10s. */
static void put_column(struct report *r, int64_t value)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	size_t width;

	measure__append(&text, value, r->from, r->unit);
	width = text.data ? printable__width(text.data, text.len) : 0;
	for (; width < 10; width++)
		buf__putc(r->out, ' ');
	buf__append(r->out, text.data, text.len);
}

static void put_start_time(struct report *r)
{
	time_t seconds = r->p->time_ns / (int64_t)NSEC_PER_SEC;
	struct tm tm;
	char text[64];

	if (r->p->time_ns && localtime_r(&seconds, &tm) &&
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %Z", &tm))
		buf__printf(r->out, "Time: %s\n", text);
}

static void put_duration(struct report *r)
{
	const char *unit;
	double total_ns;

	if (!r->p->duration_ns)
		return;
	buf__puts(r->out, "Duration: ");
	measure__append(r->out, r->p->duration_ns, "nanoseconds", "minimum");
	buf__puts(r->out, ", Total samples = ");
	put_value(r, r->t->total);
	buf__putc(r->out, ' ');
	total_ns = measure__scale(r->t->total, r->from, "nanoseconds", &unit);
	if (!strcmp(unit, "ns") && total_ns >= 1 && total_ns < 9e18) {
		buf__putc(r->out, '(');
		measure__append_percent(r->out, (int64_t)total_ns, r->p->duration_ns);
		buf__putc(r->out, ')');
	}
	buf__putc(r->out, '\n');
}

static void put_header_line(struct report *r, const char *title, const char *text)
{
	buf__puts(r->out, title);
	printable__append(r->out, text, NULL);
	buf__putc(r->out, '\n');
}

static void put_main_mapping(struct report *r)
{
	const struct profile_mapping *m = r->p->mappings;
	const char *base;
	size_t len;

	if (!r->p->mappings_cnt)
		return;
	if (m->file) {
		_cleanup_free_ char *file = NULL;

		base = top__basename(profile__str(r->p, m->file), &len);
		file = strndup(base, len);
		if (!file) {
			r->out->failed = true;
			return;
		}
		put_header_line(r, "File: ", file);
	}
	if (m->build_id)
		put_header_line(r, "Build ID: ", profile__str(r->p, m->build_id));
}

static void put_summary(struct report *r)
{
	_cleanup_buf_ struct buf percent = BUF_INIT;
	double small = (double)r->t->total * TOP_NODE_FRACTION;

	measure__append_percent(&percent, r->shown_flat, r->t->total);
	buf__puts(r->out, "Showing nodes accounting for ");
	put_value(r, r->shown_flat);
	if (percent.data)
		buf__printf(r->out, ", %s of ", percent.data + strspn(percent.data, " "));
	put_value(r, r->t->total);
	buf__puts(r->out, " total\n");
	if (!r->t->total)
		return;
	if (r->t->dropped_cnt) {
		buf__printf(r->out, "Dropped %zu node%s (cum <= ", r->t->dropped_cnt,
			    r->t->dropped_cnt > 1 ? "s" : "");
		put_value(r, magnitude((int64_t)small));
		buf__puts(r->out, ")\n");
	}
	if (r->t->entries_cnt && r->t->entries_cnt < r->t->kept_cnt)
		buf__printf(r->out, "Showing top %zu nodes out of %zu\n", r->t->entries_cnt,
			    r->t->kept_cnt);
}

static void put_headers(struct report *r)
{
	size_t i;

	put_main_mapping(r);
	for (i = 0; i < r->p->comments_cnt; i++)
		if (profile__str(r->p, r->p->comments[i])[0] != '#')
			put_header_line(r, "", profile__str(r->p, r->p->comments[i]));
	put_header_line(r, "Type: ", r->type);
	put_start_time(r);
	put_duration(r);
	put_summary(r);
}

/* The name with its mark, escaped. */
static void append_name(struct buf *out, const struct top_entry *e)
{
	static const char *const marks[] = {
		[TOP_NOT_INLINED] = "",
		[TOP_PARTLY_INLINED] = " (partial-inline)",
		[TOP_INLINED] = " (inline)",
	};

	printable__append(out, e->name, NULL);
	buf__puts(out, marks[e->inlining]);
}

static void measure_names(struct report *r)
{
	_cleanup_buf_ struct buf name = BUF_INIT;
	size_t i;

	r->name_width = strlen("name");
	for (i = 0; i < r->t->entries_cnt; i++) {
		const struct top_entry *e = &r->t->entries[i];
		size_t width;

		r->has_modules |= *e->module;
		buf__clear(&name);
		append_name(&name, e);
		width = name.data ? printable__width(name.data, name.len) : 0;
		if (width > r->name_width && width <= NAME_WIDTH_MAX)
			r->name_width = width;
	}
}

static void put_title(struct report *r)
{
	put_color(r, COLOR_BOLD);
	buf__puts(r->out, "      flat  flat%   sum%        cum   cum%  ");
	if (r->has_modules)
		buf__printf(r->out, "%-*s  module", (int)r->name_width, "name");
	else
		buf__puts(r->out, "name");
	put_color(r, COLOR_NORMAL);
	buf__putc(r->out, '\n');
}

static const char *row_color(const struct report *r, const struct top_entry *e)
{
	double share = r->t->total ? (double)magnitude(e->flat) / (double)r->t->total : 0;

	return share >= 0.1 ? COLOR_HOT : share >= 0.01 ? COLOR_WARM : NULL;
}

static void put_row(struct report *r, const struct top_entry *e, int64_t flat_sum)
{
	const char *color = row_color(r, e);
	_cleanup_buf_ struct buf name = BUF_INIT;
	size_t width;

	append_name(&name, e);
	width = name.data ? printable__width(name.data, name.len) : 0;
	if (color)
		put_color(r, color);
	put_column(r, e->flat);
	buf__putc(r->out, ' ');
	measure__append_percent(r->out, e->flat, r->t->total);
	if (color)
		put_color(r, COLOR_NORMAL);
	buf__putc(r->out, ' ');
	measure__append_percent(r->out, flat_sum, r->t->total);
	buf__putc(r->out, ' ');
	put_column(r, e->cum);
	buf__putc(r->out, ' ');
	measure__append_percent(r->out, e->cum, r->t->total);
	buf__puts(r->out, "  ");
	buf__append(r->out, name.data, name.len);
	if (*e->module) {
		for (; width < r->name_width; width++)
			buf__putc(r->out, ' ');
		buf__puts(r->out, "  ");
		put_color(r, COLOR_DIM);
		printable__append(r->out, e->module, NULL);
		put_color(r, COLOR_NORMAL);
	}
	buf__putc(r->out, '\n');
}

int text__top(const struct profile *p, const struct top_view *view, struct buf *out)
{
	struct top_options opts = { .value_idx = view->value_idx,
				    .order = view->order,
				    .node_fraction = view->with_small ? 0 : TOP_NODE_FRACTION,
				    .rows_max = view->rows_max };
	struct report r = { .p = p, .out = out, .color = view->color };
	_cleanup_(top__freep) struct top_table *t = NULL;
	int64_t flat_sum = 0;
	size_t i;
	int err;

	err = top__compute(p, &opts, &t);
	if (err)
		return err;
	r.t = t;
	r.type = profile__str(p, p->sample_types[view->value_idx].type);
	r.from = profile__str(p, p->sample_types[view->value_idx].unit);
	r.unit = choose_unit(&r);
	for (i = 0; i < t->entries_cnt; i++)
		r.shown_flat = (int64_t)((uint64_t)r.shown_flat + (uint64_t)t->entries[i].flat);
	measure_names(&r);
	put_headers(&r);
	put_title(&r);
	for (i = 0; i < t->entries_cnt; i++) {
		flat_sum = (int64_t)((uint64_t)flat_sum + (uint64_t)t->entries[i].flat);
		put_row(&r, &t->entries[i], flat_sum);
	}
	return buf__error(out);
}

int text__encode(const struct profile *p, struct buf *out)
{
	struct top_view view = { .value_idx = profile__default_value(p), .with_small = true };

	return text__top(p, &view, out);
}
