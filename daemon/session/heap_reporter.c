/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_reporter.h. Rows and sites are made of the same sums in one pass, so they agree. An
 * allocation whose record was lost is worth what one is worth on average, and as likely to live,
 * but for those in the live set: that says what they are.
 */
#include "session/heap_reporter.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/array.h"
#include "base/clock.h"
#include "profile/heap_callers.h"
#include "profile/top.h"
#include "session/frames.h"

/* Columns of the profile: order of the probe's sample types. */
enum heap_value {
	VALUE_ALLOC_OBJECTS,
	VALUE_ALLOC_SPACE,
	VALUE_INUSE_OBJECTS,
	VALUE_INUSE_SPACE,
	VALUES_CNT,
};

/*
 * What counts as the inside of an allocator, so that tables name who calls it: its entry points,
 * under the names of glibc, jemalloc, tcmalloc, mimalloc, C++, Rust and our own library; whatever
 * they call goes with them. Within what both RE2 and profile/prune.c take.
 */
#define ENTRY_POINTS                                                                               \
	"(m|z|c|re|rez|rec|v|pv)alloc|reallocarray|reallocf|posix_memalign|memalign|aligned_alloc"
static const char drop_frames[] =
	"(__libc_|__|_int_|_mid_)?(" ENTRY_POINTS ")"
	"|(je_|je_malloc_|tc_)(" ENTRY_POINTS "|mallocx|rallocx|new|newarray)(_[a-z_]+)?"
	"|mallocx|rallocx|xallocx"
	"|_?mi_(heap_)?(" ENTRY_POINTS "|mallocn|reallocn|new|new_n)(_[a-z_]+)?"
	"|tcmalloc::.*"
	"|operator new(\\[\\])?"
	"|__(rust|rdl|rg)_(re)?alloc(_zeroed)?"
	"|heap_tracker__allocated";

struct extra_row {
	const char *leaf, *root; /* of a stack of synthetic frames; root NULL: none */
	char name[32];
	struct heap_row row;
	struct stack stack;
};

struct maker {
	const struct heap_reporter *in;
	struct profile *profile;
	struct heap_report *report;
	struct extra_row *extras; /* owned: unknown stacks, then one per drop reason */
	struct top_leaves *leaves;
	struct heap_row *sites; /* owned, by leaf */
	struct heap_callers *callers;
	struct heap_row total;
	double slices_variance;   /* of all rows together */
	double slices_spread;     /* where no slice was on: of what was not seen, per byte seen */
	int64_t left[VALUES_CNT]; /* what a sum of int64 still holds: the target says sizes */
};

static void maker_done(struct maker *m)
{
	free(m->extras);
	free(m->sites);
	heap_callers__free(m->callers);
	top_leaves__free(m->leaves);
	heap_report__free(m->report);
}

static void add_row_sums(struct heap_row *to, const struct heap_row *from)
{
	size_t i;

	heap_sums__add(&to->alloc, &from->alloc);
	heap_sums__add(&to->inuse, &from->inuse);
	to->unsliced_bytes += from->unsliced_bytes;
	for (i = 0; i < HEAP_AGES; i++)
		to->age_bytes[i] += from->age_bytes[i];
	for (i = 0; i < HEAP_POINTS; i++) {
		to->points[i].bytes += from->points[i].bytes;
		to->points[i].variance += from->points[i].variance;
	}
}

/* --- what has no stack --------------------------------------------------------------------------
 */

static struct extra_row *find_extra(struct maker *m, const char *reason)
{
	size_t i;

	for (i = 0; i < drop_reasons_cnt && strcmp(drop_reasons[i].name, reason); i++)
		;
	return &m->extras[1 + i];
}

/* What all allocations are worth that were not lost; where there is none, a guess. */
static void sum_known(const struct heap_reporter *in, struct heap_row *ret)
{
	const struct heap_sums guess = {
		.objects = (unsigned __int128)1 << HEAP_FRACTION_BITS,
		.bytes = (unsigned __int128)in->weight_interval_bytes << HEAP_FRACTION_BITS,
		.samples = 1,
	};
	struct heap_row row;
	size_t i;

	*ret = (struct heap_row){ .alloc.samples = 0 };
	for (i = 0; i < heap_rows__cnt(in->rows); i++) {
		heap_rows__get(in->rows, i, &row);
		add_row_sums(ret, &row);
	}
	if (!ret->alloc.samples)
		ret->alloc = guess;
}

/*
 * 'cnt' allocations like all others are also live like all others, strays aside: those are of the
 * lost ones themselves.
 */
static void add_live_alike(struct heap_row *to, const struct heap_row *known,
			   const struct heap_sums *strays, uint64_t cnt)
{
	struct heap_sums like = known->inuse, more = { .samples = 0 };
	double ratio, total = heap_sums__amount(&known->inuse).bytes;
	size_t i;

	like.objects -= strays->objects;
	like.bytes -= strays->bytes;
	like.samples -= strays->samples;
	heap_sums__add_alike(&more, &like, cnt, known->alloc.samples);
	heap_sums__add(&to->inuse, &more);
	ratio = total > 0 ? heap_sums__amount(&more).bytes / total : 0;
	for (i = 0; i < HEAP_AGES; i++)
		to->age_bytes[i] += ratio * known->age_bytes[i];
	for (i = 0; i < HEAP_POINTS; i++) {
		to->points[i].bytes += ratio * known->points[i].bytes;
		to->points[i].variance += ratio * known->points[i].variance;
	}
}

/* What the kernel side sends no record of, the live set does not get either. */
static bool is_kept_from_live_set(const struct drop_reason *reason)
{
	return reason->offset == offsetof(struct accounting, dropped_ring_full) ||
	       reason->offset == offsetof(struct accounting, dropped_scratch_busy) ||
	       reason->offset == offsetof(struct accounting, dropped_no_return);
}

/* Allocations whose records were lost; 'known' is what those that were not are worth. Those that
 * got as far as the live set are its strays. */
static void add_lost(struct maker *m, const struct heap_row *known)
{
	const struct heap_sums *all_strays = heap_rows__strays(m->in->rows);
	struct heap_sums strays = *all_strays;
	size_t i;

	for (i = 0; i < drop_reasons_cnt; i++) {
		uint64_t cnt = accounting__dropped(&m->in->run->account, &drop_reasons[i]);
		struct heap_row *row = &m->extras[1 + i].row;

		if (is_kept_from_live_set(&drop_reasons[i])) {
			add_live_alike(row, known, all_strays, cnt);
		} else if (strays.samples && strays.samples <= cnt) {
			heap_sums__add(&find_extra(m, "ring_full")->row.alloc, &strays);
			cnt -= strays.samples;
			strays.samples = 0;
		}
		heap_sums__add_alike(&row->alloc, &known->alloc, cnt, known->alloc.samples);
	}
}

static int locate_extra(struct maker *m, struct extra_row *extra)
{
	if (!extra->row.alloc.samples && !extra->row.inuse.samples)
		return 0;
	return frames__synthetic(m->profile, extra->leaf, extra->root, &extra->stack);
}

static int make_extras(struct maker *m)
{
	const struct heap_rows *rows = m->in->rows;
	struct heap_row known;
	size_t i;
	int err;

	m->extras = calloc(1 + drop_reasons_cnt + 1, sizeof(*m->extras));
	if (!m->extras)
		return -ENOMEM;
	m->extras[0].leaf = "[unknown]";
	for (i = 0; i < drop_reasons_cnt; i++) {
		struct extra_row *extra = &m->extras[1 + i];

		snprintf(extra->name, sizeof(extra->name), "[%s]", drop_reasons[i].name);
		extra->leaf = extra->name;
		extra->root = "[lost]";
	}
	if (heap_rows__cnt(rows) > KEPT_STACK_UNKNOWN)
		heap_rows__get(rows, KEPT_STACK_UNKNOWN, &m->extras[0].row);
	if (heap_rows__cnt(rows) > KEPT_STACK_RING_FULL)
		heap_rows__get(rows, KEPT_STACK_RING_FULL, &find_extra(m, "ring_full")->row);
	if (heap_rows__cnt(rows) > KEPT_STACK_PROFILE_FULL)
		heap_rows__get(rows, KEPT_STACK_PROFILE_FULL, &find_extra(m, "profile_full")->row);
	sum_known(m->in, &known);
	add_lost(m, &known);
	for (i = 0, err = 0; !err && i < 1 + drop_reasons_cnt; i++)
		err = locate_extra(m, &m->extras[i]);
	return err;
}

/* --- slices of --heap-budget --------------------------------------------------------------------
 */

/*
 * Where no slice came in which the probes were on, nothing is known of the time since slices began.
 * Somebody who allocates as before would be off by this much.
 */
static double spread_of_slices(const struct heap_reporter *in)
{
	const struct heap_cost_totals *cost = in->finish->cost;
	double unsliced_own_ns = cost->own_ns - cost->sliced_own_ns;

	if (heap_rows__slices_cnt(in->rows) || unsliced_own_ns <= 0)
		return 0;
	return cost->sliced_own_ns / unsliced_own_ns;
}

static void widen_by_slices(const struct maker *m, struct heap_row *row)
{
	double spread = m->slices_spread * row->unsliced_bytes;

	row->alloc.slices_variance += spread * spread;
}

/* --- rows and sites -----------------------------------------------------------------------------
 */

static int64_t take_value(struct maker *m, enum heap_value value, unsigned __int128 sum)
{
	int64_t rounded = heap_sums__round(sum);

	if (rounded > m->left[value])
		rounded = m->left[value];
	m->left[value] -= rounded;
	return rounded;
}

/* Adds the row to its site, and to who calls that. */
static int add_to_site(struct maker *m, const struct heap_row *row, const struct kept_stack *stack)
{
	struct heap_chain chain = {
		.inuse_bytes = heap_sums__amount(&row->inuse).bytes,
		.alloc_bytes = heap_sums__amount(&row->alloc).bytes,
	};

	chain.frames_cnt = top_leaves__frames(m->leaves, stack->locations, stack->locations_cnt,
					      chain.frames, HEAP_CHAIN_MAX);
	if (!chain.frames_cnt)
		return 0;
	add_row_sums(&m->sites[chain.frames[0]], row);
	return heap_callers__add(m->callers, &chain);
}

static int emit_row(struct maker *m, const struct heap_row *row, const struct kept_stack *stack)
{
	const int64_t values[VALUES_CNT] = {
		[VALUE_ALLOC_OBJECTS] = take_value(m, VALUE_ALLOC_OBJECTS, row->alloc.objects),
		[VALUE_ALLOC_SPACE] = take_value(m, VALUE_ALLOC_SPACE, row->alloc.bytes),
		[VALUE_INUSE_OBJECTS] = take_value(m, VALUE_INUSE_OBJECTS, row->inuse.objects),
		[VALUE_INUSE_SPACE] = take_value(m, VALUE_INUSE_SPACE, row->inuse.bytes),
	};
	int err;

	if (!row->alloc.samples && !row->inuse.samples)
		return 0;
	m->in->run->account.profiled += row->alloc.samples;
	add_row_sums(&m->total, row);
	err = add_to_site(m, row, stack);
	return err
		       ?: profile__add(m->profile, stack->locations, stack->locations_cnt,
				       stack->labels, stack->labels_cnt, values);
}

static int emit_rows(struct maker *m)
{
	const struct heap_rows *rows = m->in->rows;
	struct heap_row row;
	size_t i;
	int err = 0;

	for (i = 0; i < VALUES_CNT; i++)
		m->left[i] = INT64_MAX;
	m->in->run->account.profiled = 0;
	for (i = KEPT_STACK_STAND_INS; !err && i < heap_rows__cnt(rows); i++) {
		const struct kept_stack stack = kept_stacks__get(m->in->stacks, (uint32_t)i);

		heap_rows__get(rows, i, &row);
		err = emit_row(m, &row, &stack);
	}
	for (i = 0; !err && i < 1 + drop_reasons_cnt; i++) {
		const struct extra_row *extra = &m->extras[i];
		const struct kept_stack stack = { .locations = extra->stack.locations,
						  .locations_cnt = extra->stack.cnt };

		err = emit_row(m, &extra->row, &stack);
	}
	return err;
}

static int add_callers(const struct maker *m, const struct heap_chain *chain,
		       struct heap_report_site *site)
{
	size_t i;

	if (!chain || chain->frames_cnt < 2)
		return 0;
	site->callers = calloc(chain->frames_cnt - 1, sizeof(*site->callers));
	if (!site->callers)
		return -ENOMEM;
	for (i = 1; i < chain->frames_cnt; i++) {
		char *name = strdup(top_leaves__entry(m->leaves, chain->frames[i])->name);

		if (!name)
			return -ENOMEM;
		site->callers[site->callers_cnt++] = name;
	}
	return 0;
}

static int add_site(struct maker *m, size_t leaf)
{
	const struct top_entry *entry = top_leaves__entry(m->leaves, leaf);
	const struct heap_row *sums = &m->sites[leaf];
	struct heap_report *r = m->report;
	double variance[HEAP_POINTS];
	struct heap_report_site *site;
	size_t i;

	if (array__reserve(r->sites, r->sites_cap, r->sites_cnt + 1))
		return -ENOMEM;
	site = &r->sites[r->sites_cnt++];
	*site = (struct heap_report_site){
		.function = strdup(entry->name),
		.file = strdup(entry->file),
		.module = strdup(entry->module),
		.alloc = heap_sums__amount(&sums->alloc),
		.inuse = heap_sums__amount(&sums->inuse),
	};
	if (!site->function || !site->file || !site->module)
		return -ENOMEM;
	memcpy(site->age_bytes, sums->age_bytes, sizeof(site->age_bytes));
	for (i = 0; i < HEAP_POINTS; i++) {
		site->inuse_bytes[i] = sums->points[i].bytes;
		variance[i] = sums->points[i].variance;
	}
	site->has_grown = heap_report__has_grown(r, site->inuse_bytes, variance);
	return add_callers(m, heap_callers__heaviest(m->callers, leaf), site);
}

static int make_sites(struct maker *m)
{
	size_t i;
	int err = 0;

	for (i = 0; !err && i < top_leaves__cnt(m->leaves); i++) {
		if (!m->sites[i].alloc.samples && !m->sites[i].inuse.samples)
			continue;
		widen_by_slices(m, &m->sites[i]);
		err = add_site(m, i);
	}
	return err;
}

/* --- the rest of the report ---------------------------------------------------------------------
 */

static void fill_cost(struct maker *m)
{
	const struct heap_cost_totals *cost = m->in->finish->cost;

	m->report->cost = (struct heap_report_cost){
		.alloc_hits = cost->alloc_hits,
		.free_hits = cost->free_hits,
		.other_hits = cost->other_hits,
		.ns_per_hit = heap_cost__ns_per_hit(cost),
		.cpu_percent = heap_cost__percent(cost),
		.on_percent =
			cost->total_ns ? 100 * (double)cost->on_ns / (double)cost->total_ns : 100,
	};
}

static void fill_times(struct maker *m)
{
	const struct heap_reporter *in = m->in;
	struct heap_report *r = m->report;
	int64_t to_real_ns = in->finish->real_less_mono_ns;
	size_t i;

	r->time_ns = m->profile->time_ns;
	r->duration_ns = m->profile->duration_ns;
	for (i = 0; r->is_live && i < HEAP_POINTS; i++) {
		int64_t since_start_ns = (int64_t)in->points_ns[i] + to_real_ns - r->time_ns;

		if (!in->points_ns[i])
			continue;
		/* The last look is after the last record has been read. */
		if (since_start_ns > r->duration_ns)
			since_start_ns = r->duration_ns;
		r->points_ns[i] = since_start_ns > 0 ? (uint64_t)since_start_ns : 1;
	}
	if (r->is_live)
		return;
	r->alloc_since_ns = r->time_ns;
	if (in->alloc_since_ns)
		r->alloc_since_ns = (int64_t)in->alloc_since_ns + to_real_ns;
}

static int start_report(struct maker *m)
{
	const struct heap_reporter *in = m->in;

	m->report = calloc(1, sizeof(*m->report));
	if (!m->report)
		return -ENOMEM;
	m->report->interval_bytes = in->interval_bytes;
	m->report->sources = in->finish->sources;
	m->report->is_live = in->is_live;
	m->report->live_full = in->finish->live_full;
	m->report->is_partial = in->is_live && in->finish->live_full;
	fill_times(m);
	fill_cost(m);
	return 0;
}

static void fill_totals(struct maker *m)
{
	m->total.alloc.slices_variance = m->slices_variance;
	widen_by_slices(m, &m->total);
	m->report->alloc = heap_sums__amount(&m->total.alloc);
	m->report->inuse = heap_sums__amount(&m->total.inuse);
	memcpy(m->report->age_bytes, m->total.age_bytes, sizeof(m->report->age_bytes));
}

/* --- headers of the profile ---------------------------------------------------------------------
 */

static int set_headers(struct maker *m)
{
	const struct heap_reporter *in = m->in;
	int err = 0;

	if (!in->is_live && m->profile->sample_types_cnt > VALUE_INUSE_OBJECTS)
		err = profile__drop_sample_types(m->profile, m->profile->sample_types_cnt -
								     VALUE_INUSE_OBJECTS);
	if (!err)
		err = profile__set_period(m->profile, "space", "bytes",
					  (int64_t)in->interval_bytes);
	return err ?: profile__string(m->profile, drop_frames, &m->profile->drop_frames);
}

static void put_mode(const struct heap_report *r, struct buf *text)
{
	time_t seconds = r->alloc_since_ns / (int64_t)NSEC_PER_SEC;
	struct tm tm;
	char since[32];

	buf__puts(text, r->is_live ? "mode=live: what was allocated before it began is not seen"
				   : "mode=alloc");
	if (!r->is_live && gmtime_r(&seconds, &tm) &&
	    strftime(since, sizeof(since), "%Y-%m-%dT%H:%M:%SZ", &tm))
		buf__printf(text, " since %s", since);
}

static int add_comments(struct maker *m)
{
	const struct heap_cost_totals *cost = m->in->finish->cost;
	double sliced_ns = cost->sliced_own_ns + cost->sliced_cost_ns;
	const struct heap_report *r = m->report;
	_cleanup_buf_ struct buf text = BUF_INIT;
	int err;

	put_mode(r, &text);
	err = buf__error(&text) ?: profile__add_comment(m->profile, text.data);
	if (!err && r->is_partial) {
		buf__clear(&text);
		buf__printf(&text, "partial: %" PRIu64 " sampled blocks are not in the live set",
			    r->live_full);
		err = buf__error(&text) ?: profile__add_comment(m->profile, text.data);
	}
	buf__clear(&text);
	buf__printf(&text,
		    "#cost alloc_hits=%" PRIu64 " free_hits=%" PRIu64 " other_hits=%" PRIu64
		    " ns_per_hit=%.0f on_percent=%.4g",
		    r->cost.alloc_hits, r->cost.free_hits, r->cost.other_hits, r->cost.ns_per_hit,
		    r->cost.on_percent);
	if (r->cost.cpu_percent >= 0)
		buf__printf(&text, " cpu_percent=%.3g", r->cost.cpu_percent);
	if (sliced_ns > 0)
		buf__printf(&text, " sliced_cpu_percent=%.3g",
			    100 * cost->sliced_cost_ns / sliced_ns);
	return err ?: buf__error(&text) ?: profile__add_comment(m->profile, text.data);
}

static int make_all(struct maker *m)
{
	int err;

	m->slices_variance = heap_rows__end_slices(m->in->rows, m->in->finish->cost->sliced_own_ns);
	m->slices_spread = spread_of_slices(m->in);
	err = start_report(m) ?: set_headers(m);
	if (!err)
		err = make_extras(m);
	if (!err)
		err = top_leaves__new(m->profile, &m->leaves);
	if (err)
		return err;
	m->sites = calloc(top_leaves__cnt(m->leaves) + 1, sizeof(*m->sites));
	m->callers = heap_callers__new(top_leaves__cnt(m->leaves));
	if (!m->sites || !m->callers)
		return -ENOMEM;
	err = emit_rows(m) ?: make_sites(m);
	if (err)
		return err;
	fill_totals(m);
	err = heap_processes__report(m->in->processes, heap_rows__slices_scale(m->in->rows),
				     m->report);
	return err ?: add_comments(m);
}

int heap_reporter__make(const struct heap_reporter *in)
{
	_cleanup_(maker_done) struct maker m = { .in = in, .profile = in->run->profile };
	int err;

	err = make_all(&m);
	if (err)
		return err;
	heap_report__finish(m.report);
	m.profile->heap = take_ptr(m.report);
	return 0;
}
