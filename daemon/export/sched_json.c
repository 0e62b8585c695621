/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scheduler latency as one JSON document, times in nanoseconds:
 *
 *	time_ns, duration_ns       start (UTC) and length of the window
 *	totals                     {waits, preempted_ns, delayed_ns, runnable_ns, latency_ns}
 *	histograms                 by reason and "latency": {cnt, sum_ns, max_ns, quantiles_ns,
 *	                           buckets: [{le, cnt}]}; only buckets with waits, not cumulative;
 *	                           le null: above the last bound
 *	causes                     by reason: {cause: ns}; "waits": {cause: waits}
 *	worst                      [{time_ns, wait_ns, preempted_ns, …, cpu, reason, cause, victim,
 *	                           culprit}], the longest first; culprit null: not known
 *	matrix                     {by, cells: [{victim, culprit, ns, waits}], unknown, total}
 *	groups                     with --by only: {by, values: [{name, histograms}]}
 *	unaccounted_ns, notes      what is in no sum; how often what happened
 *	tags                       {key: value}
 *	threads                    [{pid, tid, comm, thread, waits, preempted_ns, …}], a line each;
 *	                           tid 0: others
 *
 * Every key is there in every document but "groups", so that a reader need not ask.
 */
#include "export/export.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"
#include "export/json_values.h"
#include "export/printable.h"

static int add_u64(json_t *object, const char *key, uint64_t n)
{
	return json_object_set_new(object, key, json_value__u64(n));
}

/* "preempted_ns" … into an object that has more. */
static int add_reasons(json_t *object, const uint64_t reason_ns[SCHED_REASONS])
{
	enum sched_reason reason;
	char key[32];

	for (reason = 0; reason < SCHED_REASONS; reason++) {
		snprintf(key, sizeof(key), "%s_ns", sched_reason__name(reason));
		if (add_u64(object, key, reason_ns[reason]))
			return -ENOMEM;
	}
	return 0;
}

/* Comms of the kernel's size: NUL-terminated by whoever filled them, or full. */
static json_t *make_comm(const char comm[TASK_COMM_BYTES])
{
	char text[TASK_COMM_BYTES + 1] = "";

	memcpy(text, comm, TASK_COMM_BYTES);
	return json_value__text(text);
}

static json_t *make_quantiles(const struct sched_histogram *h)
{
	return json_pack("{s:o, s:o, s:o, s:o}", "p50",
			 json_value__u64(sched_histogram__quantile(h, 0.5)), "p90",
			 json_value__u64(sched_histogram__quantile(h, 0.9)), "p99",
			 json_value__u64(sched_histogram__quantile(h, 0.99)), "p99.9",
			 json_value__u64(sched_histogram__quantile(h, 0.999)));
}

static json_t *make_buckets(const struct sched_histogram *h)
{
	_cleanup_(json_decrefp) json_t *buckets = json_array();
	json_t *le;
	size_t i;

	for (i = 0; buckets && i < LATENCY_SLOTS; i++) {
		if (!h->slots[i])
			continue;
		le = i < LATENCY_BOUNDS ? json_value__u64(latency_bounds_ns[i]) : json_null();
		if (json_array_append_new(buckets, json_pack("{s:o, s:o}", "le", le, "cnt",
							     json_value__u64(h->slots[i]))))
			return NULL;
	}
	return take_ptr(buckets);
}

static json_t *make_histogram(const struct sched_histogram *h)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "cnt", json_value__u64(h->cnt), "sum_ns",
			 json_value__u64(h->sum_ns), "max_ns", json_value__u64(h->max_ns),
			 "quantiles_ns", make_quantiles(h), "buckets", make_buckets(h));
}

static json_t *make_histograms(const struct sched_histogram histograms[SCHED_HISTOGRAMS])
{
	_cleanup_(json_decrefp) json_t *object = json_object();
	enum sched_reason reason;

	for (reason = 0; object && reason < SCHED_HISTOGRAMS; reason++)
		if (json_object_set_new(object, sched_reason__name(reason),
					make_histogram(&histograms[reason])))
			return NULL;
	return take_ptr(object);
}

static json_t *make_totals(const struct sched_report *r)
{
	_cleanup_(json_decrefp) json_t *totals = json_object();
	const uint64_t reason_ns[SCHED_REASONS] = {
		[SCHED_PREEMPTED] = r->histograms[SCHED_PREEMPTED].sum_ns,
		[SCHED_DELAYED] = r->histograms[SCHED_DELAYED].sum_ns,
		[SCHED_RUNNABLE] = r->histograms[SCHED_RUNNABLE].sum_ns,
	};

	if (!totals || add_u64(totals, "waits", r->histograms[SCHED_LATENCY].cnt) ||
	    add_reasons(totals, reason_ns) ||
	    add_u64(totals, "latency_ns", r->histograms[SCHED_LATENCY].sum_ns))
		return NULL;
	return take_ptr(totals);
}

static json_t *make_cause_values(const uint64_t values[SCHED_CAUSES])
{
	_cleanup_(json_decrefp) json_t *object = json_object();
	enum sched_cause cause;

	for (cause = 0; object && cause < SCHED_CAUSES; cause++)
		if (add_u64(object, sched_cause__name(cause), values[cause]))
			return NULL;
	return take_ptr(object);
}

static json_t *make_causes(const struct sched_report *r)
{
	_cleanup_(json_decrefp) json_t *causes = json_object();
	enum sched_reason reason;

	for (reason = 0; causes && reason < SCHED_REASONS; reason++)
		if (json_object_set_new(causes, sched_reason__name(reason),
					make_cause_values(r->cause_ns[reason])))
			return NULL;
	if (!causes || json_object_set_new(causes, "waits", make_cause_values(r->cause_waits)))
		return NULL;
	return take_ptr(causes);
}

static json_t *make_party(const struct sched_report_party *party)
{
	return json_pack("{s:i, s:i, s:o, s:o}", "pid", (int)party->pid, "tid", (int)party->tid,
			 "thread", make_comm(party->comm), "cgroup",
			 party->cgroup ? json_value__text(party->cgroup) : json_null());
}

static json_t *make_worst_wait(const struct sched_report_worst *w)
{
	_cleanup_(json_decrefp) json_t *wait = json_pack(
		"{s:I, s:o, s:i, s:s, s:s, s:o, s:o}", "time_ns", (json_int_t)w->time_ns, "wait_ns",
		json_value__u64(w->wait_ns), "cpu", w->cpu, "reason", sched_reason__name(w->reason),
		"cause", sched_cause__name(w->cause), "victim", make_party(&w->victim), "culprit",
		w->has_culprit ? make_party(&w->culprit) : json_null());

	if (!wait || add_reasons(wait, w->reason_ns))
		return NULL;
	return take_ptr(wait);
}

static json_t *make_worst(const struct sched_report *r)
{
	_cleanup_(json_decrefp) json_t *worst = json_array();
	size_t i;

	for (i = 0; worst && i < r->worst_cnt; i++)
		if (json_array_append_new(worst, make_worst_wait(&r->worst[i])))
			return NULL;
	return take_ptr(worst);
}

static json_t *make_amount(uint64_t ns, uint64_t waits)
{
	return json_pack("{s:o, s:o}", "ns", json_value__u64(ns), "waits", json_value__u64(waits));
}

static json_t *make_cells(const struct sched_report *r)
{
	_cleanup_(json_decrefp) json_t *cells = json_array();
	size_t i;

	for (i = 0; cells && i < r->cells_cnt; i++) {
		const struct sched_report_cell *c = &r->cells[i];

		if (json_array_append_new(cells, json_pack("{s:o, s:o, s:o, s:o}", "victim",
							   json_value__text(c->victim), "culprit",
							   json_value__text(c->culprit), "ns",
							   json_value__u64(c->ns), "waits",
							   json_value__u64(c->waits))))
			return NULL;
	}
	return take_ptr(cells);
}

static json_t *make_matrix(const struct sched_report *r)
{
	const struct sched_histogram *latency = &r->histograms[SCHED_LATENCY];

	return json_pack("{s:s, s:o, s:o, s:o}", "by",
			 sched_by__name(r->by == SCHED_BY_CGROUP ? SCHED_BY_CGROUP : SCHED_BY_COMM),
			 "cells", make_cells(r), "unknown",
			 make_amount(r->unknown_ns, r->unknown_waits), "total",
			 make_amount(latency->sum_ns, latency->cnt));
}

static json_t *make_thread(const struct sched_report_thread *t)
{
	_cleanup_(json_decrefp) json_t *thread =
		json_pack("{s:i, s:i, s:o, s:o, s:o}", "pid", (int)t->pid, "tid", (int)t->tid,
			  "comm", make_comm(t->comm), "thread", make_comm(t->thread), "waits",
			  json_value__u64(t->waits));

	if (!thread || add_reasons(thread, t->reason_ns))
		return NULL;
	return take_ptr(thread);
}

/* One at a time and a line each: there may be 100,000, which as one tree take ten times the memory
 * of their text. */
static int put_threads(const struct sched_report *r, struct buf *out)
{
	size_t i;
	int err;

	buf__puts(out, "  \"threads\": [");
	for (i = 0; i < r->threads_cnt; i++) {
		buf__puts(out, i ? ",\n    " : "\n    ");
		err = json_value__append(make_thread(&r->threads[i]), 0, out);
		if (err)
			return err;
	}
	buf__puts(out, r->threads_cnt ? "\n  ]" : "]");
	return buf__error(out);
}

static json_t *make_groups(const struct sched_report *r)
{
	_cleanup_(json_decrefp) json_t *values = json_array();
	size_t i;

	for (i = 0; values && i < r->groups_cnt; i++)
		if (json_array_append_new(
			    values,
			    json_pack("{s:o, s:o}", "name", json_value__text(r->groups[i].name),
				      "histograms", make_histograms(r->groups[i].histograms))))
			return NULL;
	return json_pack("{s:s, s:o}", "by", sched_by__name(r->by), "values", take_ptr(values));
}

static json_t *make_notes(const struct sched_report *r)
{
	_cleanup_(json_decrefp) json_t *notes = json_object();
	enum sched_note note;

	for (note = 0; notes && note < SCHED_NOTES; note++)
		if (add_u64(notes, sched_note__name(note), r->notes[note]))
			return NULL;
	return take_ptr(notes);
}

static int add_tag(json_t *tags, const char *tag)
{
	const char *end = strchrnul(tag, '=');
	_cleanup_free_ char *name = strndup(tag, (size_t)(end - tag));
	_cleanup_buf_ struct buf key = BUF_INIT;

	if (!name)
		return -ENOMEM;
	printable__append(&key, name, NULL);
	if (buf__error(&key))
		return -ENOMEM;
	return json_object_set_new(tags, key.data ?: "", json_value__text(*end ? end + 1 : ""));
}

static json_t *make_tags(const struct sched_report *r)
{
	_cleanup_(json_decrefp) json_t *tags = json_object();
	size_t i;

	for (i = 0; tags && i < r->tags_cnt; i++)
		if (add_tag(tags, r->tags[i]))
			return NULL;
	return take_ptr(tags);
}

static json_t *make_root(const struct sched_report *r)
{
	_cleanup_(json_decrefp) json_t *root = json_pack(
		"{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "time_ns",
		(json_int_t)r->time_ns, "duration_ns", (json_int_t)r->duration_ns, "totals",
		make_totals(r), "histograms", make_histograms(r->histograms), "causes",
		make_causes(r), "worst", make_worst(r), "matrix", make_matrix(r), "unaccounted_ns",
		json_value__u64(r->unaccounted_ns), "notes", make_notes(r), "tags", make_tags(r));

	if (!root || (r->by && json_object_set_new(root, "groups", make_groups(r))))
		return NULL;
	return take_ptr(root);
}

int sched_json__encode(const struct profile *p, struct buf *out)
{
	const struct sched_report *r = p->sched;
	int err;

	if (!r)
		return -EINVAL;
	err = json_value__append(make_root(r), JSON_INDENT(2), out);
	if (err)
		return err;
	/* The threads go in before the last brace, which has a line of its own. */
	out->len -= strlen("\n}");
	buf__puts(out, ",\n");
	err = put_threads(r, out);
	buf__puts(out, "\n}\n");
	return err ?: buf__error(out);
}
