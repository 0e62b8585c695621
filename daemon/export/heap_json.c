/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The heap as one JSON document, sizes in bytes, times in nanoseconds:
 *
 *	time_ns, duration_ns    start (UTC) and length of the window
 *	interval_bytes          mean of the sampling; null: the process's own, not known
 *	mode                    "live" or "alloc"
 *	mode_alloc_since_ns     UTC; when frees stopped being followed; null in mode live
 *	sources                 ["uprobe", "preload"]
 *	is_partial, live_full   the live set was full; sampled allocations that are not in it
 *	moments_ns              since the start, of inuse_space_at; null: it was not looked then
 *	totals                  AMOUNTS
 *	ages                    [{below_s, inuse_space}]; below_s null: all older ones
 *	processes               [{pid, comm, rss_bytes, rss_start_bytes, AMOUNTS}], the largest
 *	                        first; pid 0: others; rss_bytes null: not known
 *	sites                   [{function, file, module, callers, AMOUNTS, ages, inuse_space_at,
 *	                        has_grown}], the largest first, a line each; callers of its
 *	                        heaviest stack, up to four, the innermost first
 *	cost                    {alloc_hits, free_hits, other_hits, ns_per_hit, cpu_percent,
 *	                        on_percent}; other_hits: of processes that are not of the target;
 *	                        cpu_percent null: not known
 *
 * AMOUNTS are alloc_samples, alloc_objects, alloc_space, alloc_space_low and alloc_space_high (the
 * 95 % interval; without a sample it says nothing), and the same of inuse, which are null in mode
 * alloc. They are estimates rounded to whole numbers one by one, so sites add up to the totals but
 * for that rounding. Every key is there in every document, so that a reader need not ask.
 */
#include "export/export.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "export/json_values.h"

static json_t *make_whole(double v)
{
	return v < 0x1p63 ? json_integer((json_int_t)(v > 0 ? v + 0.5 : 0))
			  : json_integer(INT64_MAX);
}

/* Not every number is one in JSON. */
static json_t *make_real(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

static int set_amount(json_t *object, const char *prefix, const char *key, json_t *value)
{
	char name[64];

	snprintf(name, sizeof(name), "%s_%s", prefix, key);
	return json_object_set_new(object, name, value);
}

/* 'a' NULL: not known. */
static int add_amount(json_t *object, const char *prefix, const struct heap_amount *a)
{
	if (set_amount(object, prefix, "samples", a ? json_value__u64(a->samples) : json_null()) ||
	    set_amount(object, prefix, "objects", a ? make_whole(a->objects) : json_null()) ||
	    set_amount(object, prefix, "space", a ? make_whole(a->bytes) : json_null()) ||
	    set_amount(object, prefix, "space_low",
		       a ? make_whole(a->bytes - a->error_bytes) : json_null()) ||
	    set_amount(object, prefix, "space_high",
		       a ? make_whole(a->bytes + a->error_bytes) : json_null()))
		return -ENOMEM;
	return 0;
}

static int add_amounts(json_t *object, const struct heap_report *r, const struct heap_amount *alloc,
		       const struct heap_amount *inuse)
{
	return add_amount(object, "alloc", alloc)
		       ?: add_amount(object, "inuse", r->is_live ? inuse : NULL);
}

static json_t *make_ages(const struct heap_report *r, const double age_bytes[HEAP_AGES])
{
	_cleanup_(json_decrefp) json_t *ages = r->is_live ? json_array() : json_null();
	size_t i;

	for (i = 0; r->is_live && ages && i < HEAP_AGES; i++) {
		json_t *below =
			i < HEAP_AGES - 1 ? json_value__u64(heap_age_limits_s[i]) : json_null();

		if (json_array_append_new(ages, json_pack("{s:o, s:o}", "below_s", below,
							  "inuse_space", make_whole(age_bytes[i]))))
			return NULL;
	}
	return take_ptr(ages);
}

static json_t *make_moments(const struct heap_report *r)
{
	_cleanup_(json_decrefp) json_t *moments = json_array();
	size_t i;

	for (i = 0; moments && i < HEAP_POINTS; i++)
		if (json_array_append_new(moments, r->points_ns[i]
							   ? json_value__u64(r->points_ns[i])
							   : json_null()))
			return NULL;
	return take_ptr(moments);
}

static json_t *make_sizes_at(const struct heap_report *r, const double bytes[HEAP_POINTS])
{
	_cleanup_(json_decrefp) json_t *sizes = json_array();
	size_t i;

	for (i = 0; sizes && i < HEAP_POINTS; i++)
		if (json_array_append_new(sizes,
					  r->points_ns[i] ? make_whole(bytes[i]) : json_null()))
			return NULL;
	return take_ptr(sizes);
}

static json_t *make_totals(const struct heap_report *r)
{
	_cleanup_(json_decrefp) json_t *totals = json_object();

	if (!totals || add_amounts(totals, r, &r->alloc, &r->inuse))
		return NULL;
	return take_ptr(totals);
}

static json_t *make_process(const struct heap_report *r, const struct heap_report_process *p)
{
	_cleanup_(json_decrefp) json_t *process = json_pack(
		"{s:i, s:o, s:o, s:o}", "pid", (int)p->pid, "comm", json_value__text(p->comm),
		"rss_bytes", p->rss_bytes ? json_value__u64(p->rss_bytes) : json_null(),
		"rss_start_bytes",
		p->rss_start_bytes ? json_value__u64(p->rss_start_bytes) : json_null());

	if (!process || add_amounts(process, r, &p->alloc, &p->inuse))
		return NULL;
	return take_ptr(process);
}

static json_t *make_processes(const struct heap_report *r)
{
	_cleanup_(json_decrefp) json_t *processes = json_array();
	size_t i;

	for (i = 0; processes && i < r->processes_cnt; i++)
		if (json_array_append_new(processes, make_process(r, &r->processes[i])))
			return NULL;
	return take_ptr(processes);
}

static json_t *make_sources(const struct heap_report *r)
{
	_cleanup_(json_decrefp) json_t *sources = json_array();

	if (!sources ||
	    ((r->sources & HEAP_SOURCE_UPROBE) &&
	     json_array_append_new(sources, json_string("uprobe"))) ||
	    ((r->sources & HEAP_SOURCE_PRELOAD) &&
	     json_array_append_new(sources, json_string("preload"))))
		return NULL;
	return take_ptr(sources);
}

static json_t *make_cost(const struct heap_report_cost *c)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "alloc_hits",
			 json_value__u64(c->alloc_hits), "free_hits", json_value__u64(c->free_hits),
			 "other_hits", json_value__u64(c->other_hits), "ns_per_hit",
			 make_real(c->ns_per_hit), "cpu_percent",
			 c->cpu_percent >= 0 ? make_real(c->cpu_percent) : json_null(),
			 "on_percent", make_real(c->on_percent));
}

static json_t *make_root(const struct heap_report *r)
{
	return json_pack("{s:I, s:I, s:o, s:s, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "time_ns", (json_int_t)r->time_ns, "duration_ns",
			 (json_int_t)r->duration_ns, "interval_bytes",
			 r->interval_bytes ? json_value__u64(r->interval_bytes) : json_null(),
			 "mode", r->is_live ? "live" : "alloc", "mode_alloc_since_ns",
			 r->is_live ? json_null() : json_integer(r->alloc_since_ns), "sources",
			 make_sources(r), "is_partial", r->is_partial, "live_full",
			 json_value__u64(r->live_full), "moments_ns", make_moments(r), "totals",
			 make_totals(r), "ages", make_ages(r, r->age_bytes), "processes",
			 make_processes(r), "cost", make_cost(&r->cost));
}

static json_t *make_callers(const struct heap_report_site *s)
{
	_cleanup_(json_decrefp) json_t *callers = json_array();
	size_t i;

	for (i = 0; callers && i < s->callers_cnt; i++)
		if (json_array_append_new(callers, json_value__text(s->callers[i])))
			return NULL;
	return take_ptr(callers);
}

static json_t *make_site(const struct heap_report *r, const struct heap_report_site *s)
{
	_cleanup_(json_decrefp) json_t *site =
		json_pack("{s:o, s:o, s:o, s:o}", "function", json_value__text(s->function), "file",
			  json_value__text(s->file), "module", json_value__text(s->module),
			  "callers", make_callers(s));

	if (!site || add_amounts(site, r, &s->alloc, &s->inuse) ||
	    json_object_set_new(site, "ages", make_ages(r, s->age_bytes)) ||
	    json_object_set_new(site, "inuse_space_at", make_sizes_at(r, s->inuse_bytes)) ||
	    json_object_set_new(site, "has_grown", json_boolean(s->has_grown)))
		return NULL;
	return take_ptr(site);
}

/* One at a time: as one tree they would take ten times the memory of their text. */
static int put_sites(const struct heap_report *r, struct buf *out)
{
	size_t i;
	int err;

	buf__puts(out, "  \"sites\": [");
	for (i = 0; i < r->sites_cnt; i++) {
		buf__puts(out, i ? ",\n    " : "\n    ");
		err = json_value__append(make_site(r, &r->sites[i]), 0, out);
		if (err)
			return err;
	}
	buf__puts(out, r->sites_cnt ? "\n  ]" : "]");
	return buf__error(out);
}

int heap_json__encode(const struct profile *p, struct buf *out)
{
	const struct heap_report *r = p->heap;
	int err;

	if (!r)
		return -EINVAL;
	err = json_value__append(make_root(r), JSON_INDENT(2) | JSON_REAL_PRECISION(6), out);
	if (err)
		return err;
	/* The sites go in before the last brace, which has a line of its own. */
	out->len -= strlen("\n}");
	buf__puts(out, ",\n");
	err = put_sites(r, out);
	buf__puts(out, "\n}\n");
	return err ?: buf__error(out);
}
