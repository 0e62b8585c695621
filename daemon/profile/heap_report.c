/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_report.h. Ordering, merging and release of the report's tables. Every order is total, so
 * that equal runs give equal files.
 */
#include "profile/heap_report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"

const uint64_t heap_age_limits_s[HEAP_AGES - 1] = { 1, 10, 60, 600 };

static void free_site(struct heap_report_site *s)
{
	size_t i;

	for (i = 0; i < s->callers_cnt; i++)
		free(s->callers[i]);
	free(s->callers);
	free(s->function);
	free(s->file);
	free(s->module);
}

void heap_report__free(struct heap_report *r)
{
	size_t i;

	if (!r)
		return;
	for (i = 0; i < r->sites_cnt; i++)
		free_site(&r->sites[i]);
	for (i = 0; i < r->processes_cnt; i++)
		free(r->processes[i].comm);
	free(r->sites);
	free(r->processes);
	free(r);
}

bool heap_report__has_grown(const struct heap_report *r, const double inuse_bytes[HEAP_POINTS],
			    const double variance[HEAP_POINTS])
{
	size_t moments = 0, before = 0, i;

	if (!r->is_live || r->duration_ns < HEAP_GROWTH_MIN_NS)
		return false;
	for (i = 0; i < HEAP_POINTS; i++) {
		if (!r->points_ns[i])
			continue;
		if (moments && inuse_bytes[i] - inuse_bytes[before] <=
				       HEAP_Z95 * sqrt(variance[i] + variance[before]))
			return false;
		before = i;
		moments++;
	}
	return moments >= 3;
}

/* For qsort: the larger one first. */
static int descending(double a, double b)
{
	return (a < b) - (a > b);
}

/* Names may be missing only where somebody ran out of memory; they must not crash an order. */
static int by_text(const char *a, const char *b)
{
	return strcmp(a ?: "", b ?: "");
}

static int compare_site_names(const void *pa, const void *pb)
{
	const struct heap_report_site *a = pa, *b = pb;

	return by_text(a->function, b->function) ?: by_text(a->module, b->module);
}

static int compare_names_and_files(const void *pa, const void *pb)
{
	const struct heap_report_site *a = pa, *b = pb;

	return compare_site_names(pa, pb) ?: by_text(a->file, b->file);
}

static int compare_sites(const void *pa, const void *pb)
{
	const struct heap_report_site *a = pa, *b = pb;

	return descending(a->inuse.bytes, b->inuse.bytes)
		       ?: descending(a->alloc.bytes, b->alloc.bytes)
		       ?: compare_names_and_files(pa, pb);
}

static int compare_processes(const void *pa, const void *pb)
{
	const struct heap_report_process *a = pa, *b = pb;

	return descending(a->inuse.bytes, b->inuse.bytes)
		       ?: descending(a->alloc.bytes, b->alloc.bytes)
		       ?: descending((double)a->rss_bytes, (double)b->rss_bytes)
		       ?: (a->pid > b->pid) - (a->pid < b->pid);
}

static void sort(void *base, size_t cnt, size_t size, int (*compare)(const void *, const void *))
{
	if (cnt > 1)
		qsort(base, cnt, size, compare);
}

static void add_amount(struct heap_amount *to, const struct heap_amount *from)
{
	to->objects += from->objects;
	to->bytes += from->bytes;
	to->error_bytes = hypot(to->error_bytes, from->error_bytes);
	to->samples += from->samples;
}

/* A site has the callers of the heavier of those it is made of. */
static void merge_callers(struct heap_report_site *to, struct heap_report_site *from)
{
	const struct heap_report_site was = *to;

	if ((descending(to->inuse.bytes, from->inuse.bytes)
		     ?: descending(to->alloc.bytes, from->alloc.bytes)) <= 0)
		return;
	to->callers = from->callers;
	to->callers_cnt = from->callers_cnt;
	from->callers = was.callers;
	from->callers_cnt = was.callers_cnt;
}

static void merge_site(struct heap_report_site *to, struct heap_report_site *from)
{
	size_t i;

	merge_callers(to, from);
	add_amount(&to->alloc, &from->alloc);
	add_amount(&to->inuse, &from->inuse);
	for (i = 0; i < HEAP_AGES; i++)
		to->age_bytes[i] += from->age_bytes[i];
	for (i = 0; i < HEAP_POINTS; i++)
		to->inuse_bytes[i] += from->inuse_bytes[i];
	to->has_grown |= from->has_grown;
	free_site(from);
}

static void merge_equal_sites(struct heap_report *r)
{
	size_t i, kept = 0;

	sort(r->sites, r->sites_cnt, sizeof(*r->sites), compare_names_and_files);
	for (i = 1; i < r->sites_cnt; i++) {
		if (!compare_site_names(&r->sites[kept], &r->sites[i]))
			merge_site(&r->sites[kept], &r->sites[i]);
		else if (++kept != i)
			r->sites[kept] = r->sites[i];
	}
	if (r->sites_cnt)
		r->sites_cnt = kept + 1;
}

void heap_report__finish(struct heap_report *r)
{
	merge_equal_sites(r);
	sort(r->sites, r->sites_cnt, sizeof(*r->sites), compare_sites);
	sort(r->processes, r->processes_cnt, sizeof(*r->processes), compare_processes);
}
