/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a --sched run ends with on a terminal. Whole waits come first, as figures and as a
 * histogram, because they are what somebody felt; then the reasons that add up to them, and what
 * caused them. Who waited for whom is sched_text_who.c's half. Fits 80 columns.
 */
#include "export/sched_text.h"

#include <time.h>
#include "base/array.h"
#include "base/clock.h"
#include "export/columns.h"
#include "export/export.h"

#define WIDTH_DEFAULT 80
#define WIDTH_MAX     200

#define NAME_WIDTH     11
#define QUANTILE_WIDTH 8
#define CAUSE_WIDTH    11

#define HISTOGRAM_ROWS_MAX   20
#define HISTOGRAM_TEXT_WIDTH 40
#define BAR_WIDTH_MAX        60

void sched_text__ink(struct sched_screen *s, enum sched_ink ink)
{
	static const char *const inks[] = {
		[SCHED_INK_HEADING] = "\033[1m",
		[SCHED_INK_BAR] = "\033[36m",
		[SCHED_INK_REMARK] = "\033[2m",
	};

	if (s->color)
		buf__puts(s->out, inks[ink]);
}

void sched_text__plain(struct sched_screen *s)
{
	if (s->color)
		buf__puts(s->out, "\033[0m");
}

void sched_text__amount_titles(struct sched_screen *s)
{
	columns__put_right(s->out, 12, "waits");
	columns__put_right(s->out, 8, "total");
	columns__put_right(s->out, 8, "share");
}

void sched_text__amount(struct sched_screen *s, uint64_t waits, uint64_t ns)
{
	_Static_assert(SCHED_AMOUNT_WIDTH == 12 + 8 + 8, "the three columns");
	columns__put_count(s->out, 12, waits);
	columns__put_duration(s->out, 8, ns);
	columns__put_percent(s->out, 8, ns, s->r->histograms[SCHED_LATENCY].sum_ns);
}

static void put_start_time(struct sched_screen *s)
{
	time_t seconds = s->r->time_ns / (int64_t)NSEC_PER_SEC;
	struct tm tm;
	char text[64];

	if (s->r->time_ns && localtime_r(&seconds, &tm) &&
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %Z", &tm))
		buf__printf(s->out, "Time: %s\n", text);
}

/* How many waited at a time: the sum of waits over the time there was. */
static void put_crowd(struct sched_screen *s)
{
	const struct sched_report *r = s->r;
	size_t threads = r->threads_cnt, i;

	for (i = 0; i < r->threads_cnt; i++)
		threads -= !r->threads[i].tid;
	if (r->duration_ns > 0)
		buf__printf(s->out, "%.3g threads were waiting on average",
			    (double)r->histograms[SCHED_LATENCY].sum_ns / (double)r->duration_ns);
	if (r->duration_ns > 0 && threads) {
		buf__puts(s->out, ", of ");
		columns__count(s->out, threads);
		buf__puts(s->out, " that waited at some time");
	}
	buf__putc(s->out, '\n');
}

static void put_head(struct sched_screen *s)
{
	const struct sched_histogram *latency = &s->r->histograms[SCHED_LATENCY];

	sched_text__ink(s, SCHED_INK_HEADING);
	if (latency->cnt) {
		buf__puts(s->out, "Scheduler latency: ");
		columns__count(s->out, latency->cnt);
		buf__puts(s->out, latency->cnt == 1 ? " wait for a CPU" : " waits for a CPU");
	} else {
		buf__puts(s->out, "Scheduler latency: no thread waited for a CPU");
	}
	if (s->r->duration_ns > 0) {
		buf__puts(s->out, " in ");
		columns__duration(s->out, (uint64_t)s->r->duration_ns);
	}
	sched_text__plain(s);
	buf__putc(s->out, '\n');
	put_start_time(s);
	if (latency->cnt)
		put_crowd(s);
}

static const struct {
	const char *name;
	double q;
} quantiles[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p99.9", 0.999 } };

static void put_figures_titles(struct sched_screen *s)
{
	size_t i;

	sched_text__ink(s, SCHED_INK_HEADING);
	columns__put_name(s->out, NAME_WIDTH, "", COLUMNS_KEEP_HEAD);
	sched_text__amount_titles(s);
	for (i = 0; i < ARRAY_SIZE(quantiles); i++)
		columns__put_right(s->out, QUANTILE_WIDTH, quantiles[i].name);
	columns__put_right(s->out, QUANTILE_WIDTH, "max");
	sched_text__plain(s);
	buf__putc(s->out, '\n');
}

static void put_figures(struct sched_screen *s, enum sched_reason reason)
{
	const struct sched_histogram *h = &s->r->histograms[reason];
	size_t i;

	columns__put_name(s->out, NAME_WIDTH, sched_reason__name(reason), COLUMNS_KEEP_HEAD);
	sched_text__amount(s, h->cnt, h->sum_ns);
	for (i = 0; h->cnt && i < ARRAY_SIZE(quantiles); i++)
		columns__put_duration(s->out, QUANTILE_WIDTH,
				      sched_histogram__quantile(h, quantiles[i].q));
	if (h->cnt)
		columns__put_duration(s->out, QUANTILE_WIDTH, h->max_ns);
	buf__putc(s->out, '\n');
}

/* --- the histogram -----------------------------------------------------------------------------
 */

/* Below about a microsecond (2^-20 s) no row tells anybody anything. */
#define HISTOGRAM_LOWEST_SLOT (-20 * LATENCY_PER_OCTAVE - LATENCY_FIRST_INDEX)

struct rows {
	size_t slots;       /* of each */
	size_t first, last; /* inclusive; of LATENCY_SLOTS / slots */
	uint64_t max;       /* waits of the largest */
};

/* The first row has all that is below it, too. */
static uint64_t count_row(const struct sched_histogram *h, const struct rows *rows, size_t row)
{
	size_t i = row == rows->first ? 0 : row * rows->slots;
	uint64_t cnt = 0;

	for (; i < (row + 1) * rows->slots && i < LATENCY_SLOTS; i++)
		cnt += h->slots[i];
	return cnt;
}

/* Octaves, or halves or quarters of them where waits are so alike that there is room. */
static bool choose_rows(const struct sched_histogram *h, struct rows *ret)
{
	static const size_t finest_first[] = { 2, 4, LATENCY_PER_OCTAVE };
	size_t first = 0, last = LATENCY_SLOTS, i;

	while (first < LATENCY_SLOTS && !h->slots[first])
		first++;
	if (first == LATENCY_SLOTS)
		return false;
	while (!h->slots[last - 1])
		last--;
	if (first < HISTOGRAM_LOWEST_SLOT && last > HISTOGRAM_LOWEST_SLOT)
		first = HISTOGRAM_LOWEST_SLOT;
	for (i = 0; i < ARRAY_SIZE(finest_first); i++) {
		*ret = (struct rows){ .slots = finest_first[i],
				      .first = first / finest_first[i],
				      .last = (last - 1) / finest_first[i] };
		if (ret->last - ret->first < HISTOGRAM_ROWS_MAX)
			break;
	}
	if (ret->last - ret->first >= HISTOGRAM_ROWS_MAX)
		ret->first = ret->last - HISTOGRAM_ROWS_MAX + 1;
	for (i = ret->first; i <= ret->last; i++)
		if (count_row(h, ret, i) > ret->max)
			ret->max = count_row(h, ret, i);
	return true;
}

static void put_bar(struct sched_screen *s, uint64_t cnt, uint64_t max)
{
	size_t width = s->width - HISTOGRAM_TEXT_WIDTH - 2, i;
	double length;

	if (!cnt)
		return;
	if (width > BAR_WIDTH_MAX)
		width = BAR_WIDTH_MAX;
	/* One wait is seen, too. */
	length = (double)cnt / (double)max * (double)width;
	buf__puts(s->out, "  ");
	sched_text__ink(s, SCHED_INK_BAR);
	buf__putc(s->out, '#');
	for (i = 1; (double)i + 0.5 <= length; i++)
		buf__putc(s->out, '#');
	sched_text__plain(s);
}

static void put_histogram(struct sched_screen *s)
{
	const struct sched_histogram *h = &s->r->histograms[SCHED_LATENCY];
	uint64_t seen = 0, cnt;
	struct rows rows;
	size_t i, last_slot;

	if (!choose_rows(h, &rows))
		return;
	buf__putc(s->out, '\n');
	sched_text__ink(s, SCHED_INK_HEADING);
	buf__printf(s->out, "%-13s%11s%8s%8s", "latency up to", "waits", "share", "sum");
	sched_text__plain(s);
	buf__putc(s->out, '\n');
	for (i = rows.first; i <= rows.last; i++) {
		cnt = count_row(h, &rows, i);
		seen += cnt;
		last_slot = (i + 1) * rows.slots - 1;
		if (last_slot < LATENCY_BOUNDS)
			columns__put_duration(s->out, NAME_WIDTH, latency_bounds_ns[last_slot]);
		else
			columns__put_right(s->out, NAME_WIDTH, "more");
		columns__put_count(s->out, HISTOGRAM_TEXT_WIDTH - NAME_WIDTH - 2 * 8, cnt);
		columns__put_percent(s->out, 8, cnt, h->cnt);
		columns__put_percent(s->out, 8, seen, h->cnt);
		put_bar(s, cnt, rows.max);
		buf__putc(s->out, '\n');
	}
}

/* --- reasons and causes ------------------------------------------------------------------------
 */

static void put_reasons(struct sched_screen *s)
{
	enum sched_reason reason;

	buf__putc(s->out, '\n');
	put_figures_titles(s);
	for (reason = 0; reason < SCHED_REASONS; reason++)
		put_figures(s, reason);
	if (!s->r->histograms[SCHED_DELAYED].cnt)
		return;
	sched_text__ink(s, SCHED_INK_REMARK);
	buf__puts(s->out, "A wait that was partly delayed is one of runnable, too.");
	sched_text__plain(s);
	buf__putc(s->out, '\n');
}

static uint64_t cause_total(const struct sched_report *r, enum sched_cause cause)
{
	return r->cause_ns[SCHED_PREEMPTED][cause] + r->cause_ns[SCHED_DELAYED][cause] +
	       r->cause_ns[SCHED_RUNNABLE][cause];
}

/*
 * Waits of no length have no cause and no culprit, and may be most of all waits: told apart, so
 * that "unknown" is what is not known. The first slot has those of 1 ns, too, which are none to
 * speak of.
 */
uint64_t sched_text__no_waits(const struct sched_report *r)
{
	uint64_t cnt = r->histograms[SCHED_LATENCY].slots[0];

	if (cnt > r->cause_waits[SCHED_CAUSE_UNKNOWN])
		cnt = r->cause_waits[SCHED_CAUSE_UNKNOWN];
	return cnt < r->unknown_waits ? cnt : r->unknown_waits;
}

static uint64_t cause_waits(const struct sched_report *r, enum sched_cause cause)
{
	return r->cause_waits[cause] - (cause == SCHED_CAUSE_UNKNOWN ? sched_text__no_waits(r) : 0);
}

/* The cause of the largest sum that 'shown' has not got; SCHED_CAUSES when there is none. */
static enum sched_cause next_cause(const struct sched_report *r, const bool shown[SCHED_CAUSES])
{
	enum sched_cause cause, best = SCHED_CAUSES;

	for (cause = 0; cause < SCHED_CAUSES; cause++)
		if (!shown[cause] && (cause_waits(r, cause) || cause_total(r, cause)) &&
		    (best == SCHED_CAUSES || cause_total(r, cause) > cause_total(r, best)))
			best = cause;
	return best;
}

static void put_causes(struct sched_screen *s)
{
	bool shown[SCHED_CAUSES] = { false };
	enum sched_reason reason;
	enum sched_cause cause;

	if (next_cause(s->r, shown) == SCHED_CAUSES && !sched_text__no_waits(s->r))
		return;
	buf__putc(s->out, '\n');
	sched_text__ink(s, SCHED_INK_HEADING);
	columns__put_name(s->out, NAME_WIDTH, "cause", COLUMNS_KEEP_HEAD);
	sched_text__amount_titles(s);
	for (reason = 0; reason < SCHED_REASONS; reason++)
		columns__put_right(s->out, CAUSE_WIDTH, sched_reason__name(reason));
	sched_text__plain(s);
	buf__putc(s->out, '\n');
	while ((cause = next_cause(s->r, shown)) != SCHED_CAUSES) {
		shown[cause] = true;
		columns__put_name(s->out, NAME_WIDTH, sched_cause__name(cause), COLUMNS_KEEP_HEAD);
		sched_text__amount(s, cause_waits(s->r, cause), cause_total(s->r, cause));
		for (reason = 0; reason < SCHED_REASONS; reason++)
			columns__put_duration(s->out, CAUSE_WIDTH, s->r->cause_ns[reason][cause]);
		buf__putc(s->out, '\n');
	}
	if (!sched_text__no_waits(s->r))
		return;
	columns__put_name(s->out, NAME_WIDTH, SCHED_NO_WAIT, COLUMNS_KEEP_HEAD);
	sched_text__amount(s, sched_text__no_waits(s->r), 0);
	for (reason = 0; reason < SCHED_REASONS; reason++)
		columns__put_duration(s->out, CAUSE_WIDTH, 0);
	buf__putc(s->out, '\n');
}

/* --- notes -------------------------------------------------------------------------------------
 */

/* What follows the number: of waits, unless it says otherwise. */
static const struct {
	const char *one, *many;
} note_texts[SCHED_NOTES] = {
	[SCHED_NOTE_UNACCOUNTED] = { "wait that run_delay omits is in no sum",
				     "waits that run_delay omits are in no sum" },
	[SCHED_NOTE_LOOKBACK_SHORT] = { "wait began before what is known of its CPU: runnable",
					"waits began before what is known of their CPU: runnable" },
	[SCHED_NOTE_MIGRATED_LEG] = { "wait began on another CPU: that part is runnable",
				      "waits began on another CPU: that part is runnable" },
	[SCHED_NOTE_MATRIX_FULL] = { "wait had no place among the pairs: other",
				     "waits had no place among the pairs: other" },
	[SCHED_NOTE_NAMES_FULL] = { "time a thread's name had no place: other",
				    "times a thread's name had no place: other" },
	[SCHED_NOTE_NO_STATE] = { "switch to a thread whose state could not be kept",
				  "switches to threads whose state could not be kept" },
	[SCHED_NOTE_GROUPS_FULL] = { "wait had no place among the groups: " SCHED_GROUP_OTHER,
				     "waits had no place among the groups: " SCHED_GROUP_OTHER },
	[SCHED_NOTE_THREADS_LOST] = { "thread that ended is not among the threads",
				      "threads that ended are not among the threads" },
};

static void put_notes(struct sched_screen *s)
{
	bool has_any = false;
	size_t i;

	for (i = 0; i < SCHED_NOTES; i++) {
		if (!s->r->notes[i])
			continue;
		if (!has_any)
			buf__putc(s->out, '\n');
		has_any = true;
		sched_text__ink(s, SCHED_INK_REMARK);
		buf__puts(s->out, "note: ");
		columns__count(s->out, s->r->notes[i]);
		buf__putc(s->out, ' ');
		buf__puts(s->out, s->r->notes[i] == 1 ? note_texts[i].one : note_texts[i].many);
		if (i == SCHED_NOTE_UNACCOUNTED) {
			buf__puts(s->out, " (");
			columns__duration(s->out, s->r->unaccounted_ns);
			buf__putc(s->out, ')');
		}
		sched_text__plain(s);
		buf__putc(s->out, '\n');
	}
}

int sched_text__view(const struct sched_report *r, const struct sched_view *view, struct buf *out)
{
	struct sched_screen s = { .r = r, .out = out, .width = view->width, .color = view->color };

	/* A narrower terminal wraps lines; nothing would be left of the names in one that fits. */
	if (s.width < WIDTH_DEFAULT)
		s.width = WIDTH_DEFAULT;
	if (s.width > WIDTH_MAX)
		s.width = WIDTH_MAX;
	put_head(&s);
	if (r->histograms[SCHED_LATENCY].cnt) {
		buf__putc(out, '\n');
		put_figures_titles(&s);
		put_figures(&s, SCHED_LATENCY);
		put_histogram(&s);
		put_reasons(&s);
		put_causes(&s);
		sched_text__groups(&s);
		sched_text__worst(&s);
		sched_text__matrix(&s);
	}
	put_notes(&s);
	return buf__error(out);
}
