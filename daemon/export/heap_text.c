/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a --heap run ends with on a terminal, and as .txt: how much there is, beside the RSS it is
 * not; who has it and who allocates; how old it is, what grows, and what looking has cost. Fits 80
 * columns.
 */
#include "export/export.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/array.h"
#include "base/clock.h"
#include "export/columns.h"
#include "export/printable.h"
#include "export/short_name.h"

#define WIDTH_MIN     80
#define WIDTH_DEFAULT 120
#define WIDTH_MODULES 120 /* from here on there is room for modules */
#define WIDTH_MAX     200
#define ROWS_DEFAULT  10
#define ROWS_IN_FILE  1000

#define PROCESSES_SHOWN 5
#define GROWN_SHOWN     5

#define BYTES_WIDTH   9
#define PERCENT_WIDTH 7
#define ERROR_WIDTH   8
#define OBJECTS_WIDTH 11
#define LAST_WIDTH    9  /* samples, or a rate */
#define SPACE_WIDTH   11 /* of inuse_space, alloc_space */
#define FIGURES_WIDTH (SPACE_WIDTH + PERCENT_WIDTH + ERROR_WIDTH + OBJECTS_WIDTH + LAST_WIDTH)
#define AGE_WIDTH     11
#define LABEL_WIDTH   11

struct screen {
	const struct heap_report *r;
	struct buf *out;
	size_t width, rows_max;
	bool color;
};

static void start_heading(struct screen *s)
{
	if (s->color)
		buf__puts(s->out, "\033[1m");
}

static void start_remark(struct screen *s)
{
	if (s->color)
		buf__puts(s->out, "\033[2m");
}

static void plain(struct screen *s)
{
	if (s->color)
		buf__puts(s->out, "\033[0m");
}

/* The last name of a line is filled up like any other; nobody wants to copy that. */
static void end_line(struct screen *s)
{
	while (s->out->len && s->out->data[s->out->len - 1] == ' ')
		s->out->data[--s->out->len] = '\0';
	buf__putc(s->out, '\n');
}

static uint64_t whole(double v)
{
	return v >= 0x1p63 ? INT64_MAX : v > 0 ? (uint64_t)(v + 0.5) : 0;
}

static double per_second(const struct screen *s, double v)
{
	return s->r->duration_ns > 0 ? v * 1e9 / (double)s->r->duration_ns : 0;
}

static void put_rate(struct screen *s, size_t width, double bytes)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	columns__bytes(&text, per_second(s, bytes));
	buf__puts(&text, "/s");
	if (buf__error(&text))
		s->out->failed = true;
	else
		columns__put_right(s->out, width, text.data);
}

static void put_utc(struct screen *s, int64_t time_ns)
{
	time_t seconds = time_ns / (int64_t)NSEC_PER_SEC;
	struct tm tm;
	char text[64];

	if (gmtime_r(&seconds, &tm) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm))
		buf__puts(s->out, text);
}

/* --- totals ------------------------------------------------------------------------------------
 */

static void put_head(struct screen *s)
{
	const struct heap_report *r = s->r;

	start_heading(s);
	buf__puts(s->out, r->is_live ? "Heap: " : "Allocations: ");
	if (r->duration_ns > 0) {
		columns__duration(s->out, (uint64_t)r->duration_ns);
		buf__puts(s->out, ", ");
	}
	if (r->interval_bytes == 1) {
		buf__puts(s->out, "every allocation");
	} else if (r->interval_bytes) {
		buf__puts(s->out, "a sample every ");
		columns__bytes(s->out, (double)r->interval_bytes);
	} else {
		buf__puts(s->out, "at the process's own interval");
	}
	if (r->sources == HEAP_SOURCE_UPROBE)
		buf__puts(s->out, " by uprobes");
	else if (r->sources == HEAP_SOURCE_PRELOAD)
		buf__puts(s->out, " by preload");
	else if (r->sources)
		buf__puts(s->out, " by uprobes and preload");
	plain(s);
	buf__putc(s->out, '\n');
	if (!r->time_ns)
		return;
	buf__puts(s->out, "Time: ");
	put_utc(s, r->time_ns);
	buf__putc(s->out, '\n');
}

/* Without a sample nothing is known of how far off it is: 0 would be wrong. */
static void put_error(struct screen *s, const struct heap_amount *a)
{
	if (a->samples)
		columns__put_bytes(s->out, ERROR_WIDTH, a->error_bytes);
	else
		columns__put_right(s->out, ERROR_WIDTH, "-");
}

static void put_total(struct screen *s, const char *label, const struct heap_amount *a)
{
	columns__put_name(s->out, LABEL_WIDTH, label, COLUMNS_KEEP_HEAD);
	columns__put_bytes(s->out, BYTES_WIDTH, a->bytes);
	buf__puts(s->out, " ±");
	put_error(s, a);
	columns__put_count(s->out, OBJECTS_WIDTH + 3, whole(a->objects));
	buf__puts(s->out, " objects");
}

static void put_totals(struct screen *s)
{
	const struct heap_report *r = s->r;

	buf__putc(s->out, '\n');
	if (r->is_live) {
		put_total(s, r->is_partial ? "live, part" : "live", &r->inuse);
		buf__putc(s->out, '\n');
	}
	put_total(s, "allocated", &r->alloc);
	if (r->duration_ns > 0) {
		buf__puts(s->out, ",");
		put_rate(s, BYTES_WIDTH, r->alloc.bytes);
		buf__puts(s->out, ", ");
		columns__count(s->out, whole(per_second(s, r->alloc.objects)));
		buf__puts(s->out, "/s");
	}
	buf__putc(s->out, '\n');
}

static void put_rss(struct screen *s, uint64_t bytes)
{
	if (bytes)
		columns__put_bytes(s->out, AGE_WIDTH, (double)bytes);
	else
		columns__put_right(s->out, AGE_WIDTH, "unknown");
}

static void put_process(struct screen *s, const struct heap_report_process *p, size_t name_width)
{
	_cleanup_buf_ struct buf name = BUF_INIT;

	if (p->pid)
		buf__printf(&name, "%s%s%d", p->comm, *p->comm ? "/" : "", (int)p->pid);
	else
		buf__puts(&name, "(other processes)");
	columns__put_name(s->out, name_width, name.data ?: "", COLUMNS_KEEP_TAIL);
	put_rss(s, p->rss_bytes);
	put_rss(s, p->rss_start_bytes);
	if (s->r->is_live)
		columns__put_bytes(s->out, AGE_WIDTH, p->inuse.bytes);
	columns__put_bytes(s->out, AGE_WIDTH, p->alloc.bytes);
	buf__putc(s->out, '\n');
}

static void put_processes(struct screen *s)
{
	const struct heap_report *r = s->r;
	size_t name_width = 36, i;

	buf__putc(s->out, '\n');
	if (r->processes_cnt) {
		start_heading(s);
		columns__put_name(s->out, name_width, "process", COLUMNS_KEEP_HEAD);
		columns__put_right(s->out, AGE_WIDTH, "RSS");
		columns__put_right(s->out, AGE_WIDTH, "at start");
		if (r->is_live)
			columns__put_right(s->out, AGE_WIDTH, "live");
		columns__put_right(s->out, AGE_WIDTH, "allocated");
		plain(s);
		buf__putc(s->out, '\n');
	}
	for (i = 0; i < r->processes_cnt && i < PROCESSES_SHOWN; i++)
		put_process(s, &r->processes[i], name_width);
	if (i < r->processes_cnt)
		buf__printf(s->out, "(%zu more)\n", r->processes_cnt - i);
	start_remark(s);
	buf__puts(s->out,
		  "A heap profile is not RSS: that has the allocator's overhead, stacks, mapped\n"
		  "files and what was allocated before the start, too, which is not seen here.");
	plain(s);
	buf__putc(s->out, '\n');
}

/* --- sites -------------------------------------------------------------------------------------
 */

/* Columns that the names of a line have; the calls take what is left of it. */
struct name_widths {
	size_t module; /* 0: not shown */
	size_t calls;
};

static size_t shown_width(const char *name)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	printable__append(&text, name, NULL);
	return text.data ? printable__width(text.data, text.len) : 0;
}

static struct name_widths measure_names(const struct screen *s, size_t figures_width,
					const struct heap_report_site *const *sites, size_t cnt)
{
	size_t left = s->width - figures_width - 2, width, i;
	struct name_widths w = { .calls = left };

	if (s->width < WIDTH_MODULES)
		return w;
	w.module = strlen("module");
	for (i = 0; i < cnt; i++) {
		width = shown_width(sites[i]->module);
		if (width > w.module)
			w.module = width;
	}
	if (w.module > left / 4)
		w.module = left / 4;
	w.calls = left - w.module - 2;
	return w;
}

static void put_last_columns(struct screen *s, const struct name_widths *w, const char *module,
			     const char *calls)
{
	buf__puts(s->out, "  ");
	if (w->module) {
		columns__put_name(s->out, w->module, module, COLUMNS_KEEP_TAIL);
		buf__puts(s->out, "  ");
	}
	columns__put_name(s->out, w->calls, calls, COLUMNS_KEEP_HEAD);
	end_line(s);
}

static void put_names_title(struct screen *s, const struct name_widths *w)
{
	put_last_columns(s, w, "module", "function < callers");
}

static void put_names(struct screen *s, const struct name_widths *w,
		      const struct heap_report_site *site)
{
	_cleanup_buf_ struct buf calls = BUF_INIT;
	size_t i;

	short_name__append(&calls, site->function);
	for (i = 0; i < site->callers_cnt; i++) {
		buf__puts(&calls, " < ");
		short_name__append(&calls, site->callers[i]);
	}
	if (buf__error(&calls))
		s->out->failed = true;
	else
		put_last_columns(s, w, site->module, calls.data ?: "");
}

static double alloc_of(const struct heap_report_site *s)
{
	return s->alloc.bytes;
}

static double inuse_of(const struct heap_report_site *s)
{
	return s->inuse.bytes;
}

static double growth_of(const struct heap_report_site *s)
{
	return s->has_grown ? s->inuse_bytes[HEAP_POINTS - 1] - s->inuse_bytes[0] : 0;
}

typedef double (*site_key_fn)(const struct heap_report_site *s);

static int compare_sites(const void *pa, const void *pb, void *ctx)
{
	const struct heap_report_site *a = *(const struct heap_report_site *const *)pa;
	const struct heap_report_site *b = *(const struct heap_report_site *const *)pb;
	double x = (*(site_key_fn *)ctx)(a), y = (*(site_key_fn *)ctx)(b);

	/* They come in the report's order, which is total. */
	return (x < y) - (x > y) ?: (a > b) - (a < b);
}

/* Those with a key above 0, the largest first; NULL: out of memory. */
static const struct heap_report_site **order_sites(const struct heap_report *r, site_key_fn key,
						   size_t *ret_cnt)
{
	const struct heap_report_site **sites = calloc(r->sites_cnt + 1, sizeof(*sites));
	size_t i, cnt = 0;

	for (i = 0; sites && i < r->sites_cnt; i++)
		if (key(&r->sites[i]) > 0)
			sites[cnt++] = &r->sites[i];
	if (cnt > 1)
		qsort_r(sites, cnt, sizeof(const struct heap_report_site *), compare_sites, &key);
	*ret_cnt = cnt;
	return sites;
}

static void put_amount(struct screen *s, const struct heap_amount *a,
		       const struct heap_amount *total)
{
	columns__put_bytes(s->out, SPACE_WIDTH, a->bytes);
	columns__put_percent(s->out, PERCENT_WIDTH, whole(a->bytes), whole(total->bytes));
	put_error(s, a);
	columns__put_count(s->out, OBJECTS_WIDTH, whole(a->objects));
}

static void put_sites(struct screen *s, bool is_alloc)
{
	_cleanup_free_ const struct heap_report_site **sites = NULL;
	const struct heap_report *r = s->r;
	struct name_widths w;
	size_t cnt, i;

	sites = order_sites(r, is_alloc ? alloc_of : inuse_of, &cnt);
	if (!sites) {
		s->out->failed = true;
		return;
	}
	if (!cnt)
		return;
	if (cnt > s->rows_max)
		cnt = s->rows_max;
	w = measure_names(s, FIGURES_WIDTH, sites, cnt);
	buf__putc(s->out, '\n');
	start_heading(s);
	columns__put_right(s->out, SPACE_WIDTH, is_alloc ? "alloc_space" : "inuse_space");
	columns__put_right(s->out, PERCENT_WIDTH, "flat%");
	columns__put_right(s->out, ERROR_WIDTH, "±");
	columns__put_right(s->out, OBJECTS_WIDTH, "objects");
	columns__put_right(s->out, LAST_WIDTH, is_alloc ? "rate" : "samples");
	put_names_title(s, &w);
	plain(s);
	for (i = 0; i < cnt; i++) {
		const struct heap_report_site *site = sites[i];

		put_amount(s, is_alloc ? &site->alloc : &site->inuse,
			   is_alloc ? &r->alloc : &r->inuse);
		if (is_alloc)
			put_rate(s, LAST_WIDTH, site->alloc.bytes);
		else
			columns__put_count(s->out, LAST_WIDTH, site->inuse.samples);
		put_names(s, &w, site);
	}
}

/* --- over time ---------------------------------------------------------------------------------
 */

static void put_age_title(struct screen *s, size_t i)
{
	_cleanup_buf_ struct buf title = BUF_INIT;

	if (i < HEAP_AGES - 1) {
		buf__puts(&title, "below ");
		if (heap_age_limits_s[i] < 60)
			buf__printf(&title, "%" PRIu64 "s", heap_age_limits_s[i]);
		else
			buf__printf(&title, "%" PRIu64 "min", heap_age_limits_s[i] / 60);
	} else {
		buf__puts(&title, "older");
	}
	columns__put_right(s->out, AGE_WIDTH + 1, title.data ?: "");
}

static void put_ages(struct screen *s)
{
	const struct heap_report *r = s->r;
	size_t i;

	if (!r->inuse.samples)
		return;
	buf__putc(s->out, '\n');
	start_heading(s);
	columns__put_name(s->out, LABEL_WIDTH, "age", COLUMNS_KEEP_HEAD);
	for (i = 0; i < HEAP_AGES; i++)
		put_age_title(s, i);
	plain(s);
	buf__putc(s->out, '\n');
	columns__put_name(s->out, LABEL_WIDTH, "live", COLUMNS_KEEP_HEAD);
	for (i = 0; i < HEAP_AGES; i++)
		columns__put_bytes(s->out, AGE_WIDTH + 1, r->age_bytes[i]);
	buf__putc(s->out, '\n');
	columns__put_name(s->out, LABEL_WIDTH, "", COLUMNS_KEEP_HEAD);
	for (i = 0; i < HEAP_AGES; i++)
		columns__put_percent(s->out, AGE_WIDTH + 1, whole(r->age_bytes[i]),
				     whole(r->inuse.bytes));
	buf__putc(s->out, '\n');
}

static void put_growth_titles(struct screen *s, const struct name_widths *w)
{
	size_t i;

	start_heading(s);
	buf__puts(s->out, "Sites that grew from look to look, live after:");
	plain(s);
	buf__putc(s->out, '\n');
	start_heading(s);
	for (i = 0; i < HEAP_POINTS; i++)
		if (s->r->points_ns[i])
			columns__put_duration(s->out, BYTES_WIDTH, s->r->points_ns[i]);
	put_names_title(s, w);
	plain(s);
}

static void put_growth(struct screen *s)
{
	_cleanup_free_ const struct heap_report_site **sites = NULL;
	struct name_widths w;
	size_t cnt, i, k;

	sites = order_sites(s->r, growth_of, &cnt);
	if (!sites) {
		s->out->failed = true;
		return;
	}
	if (!cnt)
		return;
	if (cnt > GROWN_SHOWN && cnt > s->rows_max / 2)
		cnt = s->rows_max / 2 > GROWN_SHOWN ? s->rows_max / 2 : GROWN_SHOWN;
	w = measure_names(s, HEAP_POINTS * BYTES_WIDTH, sites, cnt);
	buf__putc(s->out, '\n');
	put_growth_titles(s, &w);
	for (i = 0; i < cnt; i++) {
		for (k = 0; k < HEAP_POINTS; k++)
			if (s->r->points_ns[k])
				columns__put_bytes(s->out, BYTES_WIDTH, sites[i]->inuse_bytes[k]);
		put_names(s, &w, sites[i]);
	}
}

/* --- cost and notes ----------------------------------------------------------------------------
 */

static void put_cost(struct screen *s)
{
	const struct heap_report_cost *c = &s->r->cost;

	buf__puts(s->out, "\ncost: ");
	columns__count(s->out, c->alloc_hits);
	buf__puts(s->out, " hits of allocation functions, ");
	columns__count(s->out, c->free_hits);
	buf__puts(s->out, " of free functions\n");
	if (c->other_hits) {
		buf__puts(s->out, "      ");
		columns__count(s->out, c->other_hits);
		buf__puts(s->out, " hits of other processes that use the same files\n");
	}
	if (!c->alloc_hits && !c->free_hits)
		return;
	buf__puts(s->out, "      ");
	columns__duration(s->out, whole(c->ns_per_hit));
	buf__puts(s->out, " a hit, ");
	if (c->cpu_percent >= 0)
		buf__printf(s->out, "%.3g%% of the target's CPU time", c->cpu_percent);
	else
		buf__puts(s->out, "the target's CPU time is unknown");
	if (c->on_percent < 99.95)
		buf__printf(s->out, ", probes on for %.3g%%", c->on_percent);
	buf__putc(s->out, '\n');
}

static void put_notes(struct screen *s)
{
	const struct heap_report *r = s->r;

	start_remark(s);
	if (!r->is_live) {
		buf__puts(s->out, "note: mode=alloc since ");
		put_utc(s, r->alloc_since_ns);
		buf__puts(s->out, ": frees are not followed\n");
	}
	if (r->is_partial) {
		buf__puts(s->out, "note: live is partial: ");
		columns__count(s->out, r->live_full);
		buf__puts(s->out, " sampled blocks are not in the live set\n");
	}
	plain(s);
}

int heap_text__view(const struct profile *p, const struct heap_view *view, struct buf *out)
{
	struct screen s = { .r = p->heap,
			    .out = out,
			    .width = view->width ?: WIDTH_DEFAULT,
			    .rows_max = view->rows_max ?: ROWS_DEFAULT,
			    .color = view->color };

	if (!s.r)
		return -EINVAL;
	/* A narrower terminal wraps lines; nothing would be left of the names in one that fits. */
	if (s.width < WIDTH_MIN)
		s.width = WIDTH_MIN;
	if (s.width > WIDTH_MAX)
		s.width = WIDTH_MAX;
	put_head(&s);
	put_totals(&s);
	put_processes(&s);
	if (s.r->is_live)
		put_sites(&s, false);
	put_sites(&s, true);
	if (s.r->is_live) {
		put_ages(&s);
		put_growth(&s);
	}
	put_cost(&s);
	put_notes(&s);
	return buf__error(out);
}

int heap_text__encode(const struct profile *p, struct buf *out)
{
	const struct heap_view view = { .width = WIDTH_MAX, .rows_max = ROWS_IN_FILE };

	return heap_text__view(p, &view, out);
}
