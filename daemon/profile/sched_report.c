/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See sched_report.h. Ordering, cutting and release of the report's tables; the quantile. Every
 * order is total, so that equal runs give equal files.
 */
#include "profile/sched_report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"

/* A fraction of decimal digits is rarely a double: 0.07 of 100 is 7, not the 8 that follows from
 * 0.07 being stored as a little more. */
#define QUANTILE_SLACK 1e-12L

static void free_party(struct sched_report_party *party)
{
	free(party->cgroup);
}

void sched_report__free(struct sched_report *r)
{
	size_t i;

	if (!r)
		return;
	for (i = 0; i < r->groups_cnt; i++)
		free(r->groups[i].name);
	for (i = 0; i < r->worst_cnt; i++) {
		free_party(&r->worst[i].victim);
		free_party(&r->worst[i].culprit);
	}
	for (i = 0; i < r->cells_cnt; i++) {
		free(r->cells[i].victim);
		free(r->cells[i].culprit);
	}
	for (i = 0; i < r->tags_cnt; i++)
		free(r->tags[i]);
	free(r->groups);
	free(r->worst);
	free(r->cells);
	free(r->threads);
	free(r->trace);
	free(r->tags);
	free(r);
}

/* For qsort: the larger one first. */
static int descending(uint64_t a, uint64_t b)
{
	return (a < b) - (a > b);
}

static int ascending(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

/* Names may be missing only where somebody ran out of memory; they must not crash an order. */
static int by_text(const char *a, const char *b)
{
	return strcmp(a ?: "", b ?: "");
}

static int compare_group_names(const void *pa, const void *pb)
{
	const struct sched_report_group *a = pa, *b = pb;

	return by_text(a->name, b->name);
}

static int compare_groups(const void *pa, const void *pb)
{
	const struct sched_report_group *a = pa, *b = pb;

	return descending(a->histograms[SCHED_LATENCY].sum_ns, b->histograms[SCHED_LATENCY].sum_ns)
		       ?: by_text(a->name, b->name);
}

static int compare_worst(const void *pa, const void *pb)
{
	const struct sched_report_worst *a = pa, *b = pb;

	return descending(a->wait_ns, b->wait_ns) ?: ascending(a->time_ns, b->time_ns)
		       ?: ascending(a->victim.tid, b->victim.tid);
}

static int compare_cell_names(const void *pa, const void *pb)
{
	const struct sched_report_cell *a = pa, *b = pb;

	return by_text(a->victim, b->victim) ?: by_text(a->culprit, b->culprit);
}

static int compare_cells(const void *pa, const void *pb)
{
	const struct sched_report_cell *a = pa, *b = pb;

	return descending(a->ns, b->ns) ?: descending(a->waits, b->waits)
		       ?: compare_cell_names(pa, pb);
}

static uint64_t thread_latency(const struct sched_report_thread *t)
{
	return t->reason_ns[SCHED_PREEMPTED] + t->reason_ns[SCHED_DELAYED] +
	       t->reason_ns[SCHED_RUNNABLE];
}

static int compare_threads(const void *pa, const void *pb)
{
	const struct sched_report_thread *a = pa, *b = pb;

	return descending(thread_latency(a), thread_latency(b)) ?: descending(a->waits, b->waits)
		       ?: ascending(a->tid, b->tid) ?: ascending(a->pid, b->pid)
		       ?: strncmp(a->thread, b->thread, sizeof(a->thread));
}

static void sort(void *base, size_t cnt, size_t size, int (*compare)(const void *, const void *))
{
	if (cnt > 1)
		qsort(base, cnt, size, compare);
}

void sched_histogram__add(struct sched_histogram *to, const struct sched_histogram *from)
{
	size_t i;

	to->cnt += from->cnt;
	to->sum_ns += from->sum_ns;
	if (from->max_ns > to->max_ns)
		to->max_ns = from->max_ns;
	for (i = 0; i < LATENCY_SLOTS; i++)
		to->slots[i] += from->slots[i];
}

static void merge_group(struct sched_report_group *to, struct sched_report_group *from)
{
	size_t i;

	for (i = 0; i < SCHED_HISTOGRAMS; i++)
		sched_histogram__add(&to->histograms[i], &from->histograms[i]);
	free(from->name);
	from->name = NULL;
}

/* Two cgroups may have had one path, one after the other: a name is one row, because it is one
 * series of a metric. */
static void merge_equal_groups(struct sched_report *r)
{
	size_t i, kept = 0;

	sort(r->groups, r->groups_cnt, sizeof(*r->groups), compare_group_names);
	for (i = 1; i < r->groups_cnt; i++) {
		if (!compare_group_names(&r->groups[kept], &r->groups[i]))
			merge_group(&r->groups[kept], &r->groups[i]);
		else if (++kept != i)
			r->groups[kept] = r->groups[i];
	}
	if (r->groups_cnt)
		r->groups_cnt = kept + 1;
}

static void merge_equal_cells(struct sched_report *r)
{
	size_t i, kept = 0;

	sort(r->cells, r->cells_cnt, sizeof(*r->cells), compare_cell_names);
	for (i = 1; i < r->cells_cnt; i++) {
		struct sched_report_cell *to = &r->cells[kept], *from = &r->cells[i];

		if (!compare_cell_names(to, from)) {
			to->ns += from->ns;
			to->waits += from->waits;
			free(from->victim);
			free(from->culprit);
		} else if (++kept != i) {
			r->cells[kept] = *from;
		}
	}
	if (r->cells_cnt)
		r->cells_cnt = kept + 1;
}

/* Moves "__other__" to the end, if there is one. */
static bool move_other_to_end(struct sched_report *r)
{
	struct sched_report_group other;
	size_t i;

	for (i = 0; i < r->groups_cnt; i++)
		if (r->groups[i].name && !strcmp(r->groups[i].name, SCHED_GROUP_OTHER))
			break;
	if (i == r->groups_cnt)
		return false;
	other = r->groups[i];
	memmove(&r->groups[i], &r->groups[i + 1], (r->groups_cnt - i - 1) * sizeof(other));
	r->groups[r->groups_cnt - 1] = other;
	return true;
}

/* What does not belong to the first SCHED_GROUPS_SHOWN goes to "__other__", which stands last. */
static int cut_groups(struct sched_report *r)
{
	struct sched_report_group *first, swapped;
	bool has_other = move_other_to_end(r);
	char *name;
	size_t i;

	if (r->groups_cnt - has_other <= SCHED_GROUPS_SHOWN)
		return 0;
	first = &r->groups[SCHED_GROUPS_SHOWN];
	if (has_other) {
		swapped = *first;
		*first = r->groups[r->groups_cnt - 1];
		r->groups[r->groups_cnt - 1] = swapped;
	} else {
		name = strdup(SCHED_GROUP_OTHER);
		if (!name)
			return -ENOMEM;
		free(first->name);
		first->name = name;
	}
	for (i = SCHED_GROUPS_SHOWN + 1; i < r->groups_cnt; i++)
		merge_group(first, &r->groups[i]);
	r->groups_cnt = SCHED_GROUPS_SHOWN + 1;
	return 0;
}

int sched_report__finish(struct sched_report *r)
{
	merge_equal_groups(r);
	sort(r->groups, r->groups_cnt, sizeof(*r->groups), compare_groups);
	merge_equal_cells(r);
	sort(r->cells, r->cells_cnt, sizeof(*r->cells), compare_cells);
	sort(r->worst, r->worst_cnt, sizeof(*r->worst), compare_worst);
	sort(r->threads, r->threads_cnt, sizeof(*r->threads), compare_threads);
	return cut_groups(r);
}

const char *sched_reason__name(enum sched_reason reason)
{
	static const char *const names[SCHED_HISTOGRAMS] = {
		[SCHED_PREEMPTED] = "preempted",
		[SCHED_DELAYED] = "delayed",
		[SCHED_RUNNABLE] = "runnable",
		[SCHED_LATENCY] = "latency",
	};

	return (size_t)reason < ARRAY_SIZE(names) ? names[reason] : "unknown";
}

const char *sched_cause__name(enum sched_cause cause)
{
	static const char *const names[SCHED_CAUSES] = {
		[SCHED_CAUSE_RT] = "rt",
		[SCHED_CAUSE_THROTTLE] = "throttle",
		[SCHED_CAUSE_SAME_CGROUP] = "same_cgroup",
		[SCHED_CAUSE_FAIR] = "fair",
		[SCHED_CAUSE_MIGRATION] = "migration",
		[SCHED_CAUSE_IDLE_CPU] = "idle_cpu",
		[SCHED_CAUSE_UNKNOWN] = "unknown",
	};

	return (size_t)cause < ARRAY_SIZE(names) ? names[cause] : "unknown";
}

const char *sched_note__name(enum sched_note note)
{
	static const char *const names[SCHED_NOTES] = {
		[SCHED_NOTE_UNACCOUNTED] = "unaccounted",
		[SCHED_NOTE_LOOKBACK_SHORT] = "lookback_short",
		[SCHED_NOTE_MIGRATED_LEG] = "migrated_leg",
		[SCHED_NOTE_MATRIX_FULL] = "matrix_full",
		[SCHED_NOTE_NAMES_FULL] = "names_full",
		[SCHED_NOTE_NO_STATE] = "no_state",
		[SCHED_NOTE_GROUPS_FULL] = "groups_full",
		[SCHED_NOTE_THREADS_LOST] = "threads_lost",
	};

	return (size_t)note < ARRAY_SIZE(names) ? names[note] : "unknown";
}

const char *sched_by__name(enum sched_by by)
{
	static const char *const names[] = {
		[SCHED_BY_NOTHING] = "", [SCHED_BY_CGROUP] = "cgroup", [SCHED_BY_COMM] = "comm",
		[SCHED_BY_PID] = "pid",  [SCHED_BY_CPU] = "cpu",
	};

	return (size_t)by < ARRAY_SIZE(names) ? names[by] : "";
}

uint64_t sched_histogram__quantile(const struct sched_histogram *h, double q)
{
	uint64_t rank, seen = 0;
	long double exact;
	size_t i;

	if (!h->cnt)
		return 0;
	exact = ceill((long double)q * (long double)h->cnt * (1 - QUANTILE_SLACK));
	rank = !(exact >= 1) ? 1 : exact >= (long double)h->cnt ? h->cnt : (uint64_t)exact;
	for (i = 0; i < LATENCY_BOUNDS; i++) {
		seen += h->slots[i];
		if (seen >= rank)
			return latency_bounds_ns[i] < h->max_ns ? latency_bounds_ns[i] : h->max_ns;
	}
	return h->max_ns;
}
