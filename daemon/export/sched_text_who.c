/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The half of the terminal view that has names in it: groups, the worst waits, who kept whom
 * waiting. Names are cut to what the screen has left; files hold them whole.
 */
#include "export/sched_text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "export/columns.h"

#define ROWS_MAX       10 /* of groups and of pairs */
#define QUANTILE_WIDTH 8

#define WORST_TIME_WIDTH 12 /* 07:15:00.123 */
#define WORST_WAIT_WIDTH 8
#define WORST_CPU_WIDTH  5
#define TID_DIGITS       16

static void put_title(struct sched_screen *s, size_t width, const char *title)
{
	columns__put_name(s->out, width, title, COLUMNS_KEEP_HEAD);
}

/* The last name of a line is filled up like any other; nobody wants to copy that. */
static void end_line(struct sched_screen *s)
{
	while (s->out->len && s->out->data[s->out->len - 1] == ' ')
		s->out->data[--s->out->len] = '\0';
	buf__putc(s->out, '\n');
}

/* "(12 other groups)": a row's name. */
static void put_others_name(struct sched_screen *s, size_t width, size_t cnt, const char *what)
{
	char name[64];

	snprintf(name, sizeof(name), "(%zu other %s%s)", cnt, what, cnt == 1 ? "" : "s");
	put_title(s, width, name);
}

/* --- groups ------------------------------------------------------------------------------------
 */

static enum columns_cut cut_of(enum sched_by by)
{
	return by == SCHED_BY_CGROUP ? COLUMNS_KEEP_TAIL : COLUMNS_KEEP_HEAD;
}

static void put_group_figures(struct sched_screen *s, const struct sched_histogram *h)
{
	sched_text__amount(s, h->cnt, h->sum_ns);
	columns__put_duration(s->out, QUANTILE_WIDTH, sched_histogram__quantile(h, 0.5));
	columns__put_duration(s->out, QUANTILE_WIDTH, sched_histogram__quantile(h, 0.99));
	columns__put_duration(s->out, QUANTILE_WIDTH, h->max_ns);
	buf__putc(s->out, '\n');
}

void sched_text__groups(struct sched_screen *s)
{
	size_t name_width = s->width - SCHED_AMOUNT_WIDTH - 3 * QUANTILE_WIDTH, i;
	const struct sched_report *r = s->r;
	struct sched_histogram others = { .cnt = 0 };

	if (!r->groups_cnt)
		return;
	buf__putc(s->out, '\n');
	sched_text__ink(s, SCHED_INK_HEADING);
	put_title(s, name_width, sched_by__name(r->by));
	sched_text__amount_titles(s);
	columns__put_right(s->out, QUANTILE_WIDTH, "p50");
	columns__put_right(s->out, QUANTILE_WIDTH, "p99");
	columns__put_right(s->out, QUANTILE_WIDTH, "max");
	sched_text__plain(s);
	buf__putc(s->out, '\n');
	for (i = 0; i < r->groups_cnt && i < ROWS_MAX; i++) {
		columns__put_name(s->out, name_width, r->groups[i].name, cut_of(r->by));
		put_group_figures(s, &r->groups[i].histograms[SCHED_LATENCY]);
	}
	if (i == r->groups_cnt)
		return;
	put_others_name(s, name_width, r->groups_cnt - i, "group");
	for (; i < r->groups_cnt; i++)
		sched_histogram__add(&others, &r->groups[i].histograms[SCHED_LATENCY]);
	put_group_figures(s, &others);
}

/* --- the worst waits ---------------------------------------------------------------------------
 */

struct worst_widths {
	size_t reason, cause, name;
};

static size_t larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static struct worst_widths measure_worst(const struct sched_screen *s)
{
	struct worst_widths w = { .reason = strlen("reason"), .cause = strlen("cause") };
	size_t i;

	for (i = 0; i < s->r->worst_cnt; i++) {
		w.reason = larger(w.reason, strlen(sched_reason__name(s->r->worst[i].reason)));
		w.cause = larger(w.cause, strlen(sched_cause__name(s->r->worst[i].cause)));
	}
	/* Two names with a space between them, in what is left. */
	w.name = (s->width - WORST_TIME_WIDTH - WORST_WAIT_WIDTH - 1 - w.reason - 1 - w.cause -
		  WORST_CPU_WIDTH - 2 - 1) /
		 2;
	return w;
}

static void put_clock(struct sched_screen *s, int64_t time_ns)
{
	time_t seconds = time_ns / (int64_t)NSEC_PER_SEC;
	int ms = (int)(time_ns % (int64_t)NSEC_PER_SEC / 1000000);
	struct tm tm;
	char text[32];

	if (time_ns < 0 || !localtime_r(&seconds, &tm) ||
	    !strftime(text, sizeof(text), "%H:%M:%S", &tm))
		put_title(s, WORST_TIME_WIDTH, "");
	else
		buf__printf(s->out, "%s.%03d", text, ms);
}

/* "comm/tid", the comm cut so that the tid is whole. */
static void put_party(struct sched_screen *s, size_t width, const struct sched_report_party *party)
{
	char comm[TASK_COMM_BYTES + 1] = "", tid[TID_DIGITS];
	_cleanup_buf_ struct buf text = BUF_INIT;
	size_t tid_width;

	if (!party->tid) {
		put_title(s, width, "[idle]");
		return;
	}
	memcpy(comm, party->comm, TASK_COMM_BYTES);
	tid_width = (size_t)snprintf(tid, sizeof(tid), "/%d", party->tid);
	/* What is cut has the full width; a shorter name is followed by its tid at once. */
	columns__put_name(&text, width - tid_width, comm, COLUMNS_KEEP_HEAD);
	while (text.len && text.data[text.len - 1] == ' ')
		text.data[--text.len] = '\0';
	buf__puts(&text, tid);
	if (buf__error(&text))
		s->out->failed = true;
	else
		put_title(s, width, text.data);
}

static void put_worst(struct sched_screen *s, const struct sched_report_worst *worst,
		      const struct worst_widths *w)
{
	put_clock(s, worst->time_ns);
	columns__put_duration(s->out, WORST_WAIT_WIDTH, worst->wait_ns);
	buf__putc(s->out, ' ');
	put_title(s, w->reason, sched_reason__name(worst->reason));
	buf__putc(s->out, ' ');
	put_title(s, w->cause, sched_cause__name(worst->cause));
	buf__printf(s->out, "%*d  ", WORST_CPU_WIDTH, worst->cpu);
	put_party(s, w->name, &worst->victim);
	buf__putc(s->out, ' ');
	if (worst->has_culprit)
		put_party(s, w->name, &worst->culprit);
	else
		put_title(s, w->name, "(unknown)");
	end_line(s);
}

void sched_text__worst(struct sched_screen *s)
{
	struct worst_widths w = measure_worst(s);
	size_t i;

	if (!s->r->worst_cnt)
		return;
	buf__putc(s->out, '\n');
	sched_text__ink(s, SCHED_INK_HEADING);
	put_title(s, WORST_TIME_WIDTH, "worst waits");
	columns__put_right(s->out, WORST_WAIT_WIDTH, "wait");
	buf__putc(s->out, ' ');
	put_title(s, w.reason, "reason");
	buf__putc(s->out, ' ');
	put_title(s, w.cause, "cause");
	columns__put_right(s->out, WORST_CPU_WIDTH, "cpu");
	buf__puts(s->out, "  ");
	put_title(s, w.name, "who waited");
	buf__putc(s->out, ' ');
	buf__puts(s->out, "who ran");
	sched_text__plain(s);
	buf__putc(s->out, '\n');
	for (i = 0; i < s->r->worst_cnt; i++)
		put_worst(s, &s->r->worst[i], &w);
}

/* --- who kept whom waiting ---------------------------------------------------------------------
 */

static void put_sum(struct sched_screen *s, size_t width, const char *name, uint64_t waits,
		    uint64_t ns)
{
	put_title(s, width, name);
	sched_text__amount(s, waits, ns);
	buf__putc(s->out, '\n');
}

void sched_text__matrix(struct sched_screen *s)
{
	const struct sched_report *r = s->r;
	size_t names_width = s->width - SCHED_AMOUNT_WIDTH, name_width = (names_width - 1) / 2, i;
	uint64_t others_ns = 0, others_waits = 0, no_waits = sched_text__no_waits(r);

	if (!r->cells_cnt && !r->unknown_waits)
		return;
	names_width = 2 * name_width + 1;
	buf__putc(s->out, '\n');
	sched_text__ink(s, SCHED_INK_HEADING);
	put_title(s, name_width, "who waited");
	buf__putc(s->out, ' ');
	put_title(s, name_width, "who ran");
	sched_text__amount_titles(s);
	sched_text__plain(s);
	buf__putc(s->out, '\n');
	for (i = 0; i < r->cells_cnt && i < ROWS_MAX; i++) {
		columns__put_name(s->out, name_width, r->cells[i].victim, cut_of(r->by));
		buf__putc(s->out, ' ');
		columns__put_name(s->out, name_width, r->cells[i].culprit, cut_of(r->by));
		sched_text__amount(s, r->cells[i].waits, r->cells[i].ns);
		buf__putc(s->out, '\n');
	}
	if (i < r->cells_cnt) {
		put_others_name(s, names_width, r->cells_cnt - i, "pair");
		for (; i < r->cells_cnt; i++) {
			others_ns += r->cells[i].ns;
			others_waits += r->cells[i].waits;
		}
		sched_text__amount(s, others_waits, others_ns);
		buf__putc(s->out, '\n');
	}
	if (r->unknown_ns || r->unknown_waits > no_waits)
		put_sum(s, names_width, "(unknown)", r->unknown_waits - no_waits, r->unknown_ns);
	if (no_waits)
		put_sum(s, names_width, SCHED_NO_WAIT, no_waits, 0);
	put_sum(s, names_width, "(all)", r->histograms[SCHED_LATENCY].cnt,
		r->histograms[SCHED_LATENCY].sum_ns);
}
