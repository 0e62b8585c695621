/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Scheduler latency in Prometheus' text format 0.0.4.
 *
 * Buckets. A classic histogram is only as good as what can be summed with it, so the bounds are the
 * same in every file, whatever was measured: the powers of two seconds from 2^-20 (about 1 us) to
 * 2^5 (32 s), 26 of them. Each is a bound of our slots, hence exact; each is a bound of every
 * native histogram and of every OTLP exponential histogram, of any schema or scale from 0 on; each
 * has a short decimal that reads back as the very same number. Every second bound of ours would
 * give quantiles four times as fine and, with 50 groups, more than 20,000 series of one host; who
 * wants them has the JSON file.
 *
 * Groups. With --by every series of the two histograms has the label of that name and there is no
 * series without it: sum() over it gives the total, once.
 *
 * Label names of tags are made valid; those that mean something here get the prefix "tag_".
 */
#include "export/export.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"
#include "base/clock.h"
#include "export/printable.h"

#define LE_FIRST_EXPONENT (-20)
#define LE_LAST_EXPONENT  5

/* The slot whose bound is 2^exponent seconds. */
#define LE_SLOT(exponent) ((exponent)*LATENCY_PER_OCTAVE - LATENCY_FIRST_INDEX)

_Static_assert(LE_SLOT(LE_FIRST_EXPONENT) >= 0 && LE_SLOT(LE_LAST_EXPONENT) < LATENCY_BOUNDS,
	       "every le is a bound of a slot");

/* A double takes at most 17 digits, e.g. -1.2345678901234567e-300. */
#define DOUBLE_TEXT_BYTES 32

struct names { /* of labels, or values of one label; each once */
	char **items;
	size_t cnt, cap;
};

struct exposition {
	const struct sched_report *r;
	struct buf *out;
	struct buf tags;     /* ",key="value"" of each tag */
	struct names groups; /* the label's value, of each group */
};

static void free_names(struct names *n)
{
	size_t i;

	for (i = 0; i < n->cnt; i++)
		free(n->items[i]);
	free(n->items);
}

static void free_exposition(struct exposition *e)
{
	buf__done(&e->tags);
	free_names(&e->groups);
}

static bool has_name(const struct names *n, const char *name)
{
	size_t i;

	for (i = 0; i < n->cnt; i++)
		if (!strcmp(n->items[i], name))
			return true;
	return false;
}

/* Two names from outside may look the same once they are made valid; two equal series would make
 * the whole file unreadable. The second one gets "_2". */
static int add_name(struct names *n, const char *name)
{
	_cleanup_free_ char *unique = strdup(name);
	unsigned int i;

	for (i = 2; unique && has_name(n, unique); i++) {
		free(take_ptr(unique));
		if (asprintf(&unique, "%s_%u", name, i) < 0)
			unique = NULL;
	}
	if (!unique || array__reserve(n->items, n->cap, n->cnt + 1))
		return -ENOMEM;
	n->items[n->cnt++] = take_ptr(unique);
	return 0;
}

/* --- labels ------------------------------------------------------------------------------------
 */

static bool is_reserved(const struct sched_report *r, const char *name)
{
	static const char *const reserved[] = { "le", "quantile", "reason", "cause", "note" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(reserved); i++)
		if (!strcmp(name, reserved[i]))
			return true;
	return !strncmp(name, "__", 2) || (r->by && !strcmp(name, sched_by__name(r->by)));
}

/* A label name: [a-zA-Z_][a-zA-Z0-9_]*. */
static void make_label_name(const struct sched_report *r, const char *key, size_t len,
			    struct buf *ret)
{
	_cleanup_buf_ struct buf name = BUF_INIT;
	size_t i;

	for (i = 0; i < len; i++) {
		char c = key[i];
		bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		buf__putc(&name, is_letter || (c >= '0' && c <= '9') ? c : '_');
	}
	if (!len || (key[0] >= '0' && key[0] <= '9') || (name.data && is_reserved(r, name.data)))
		buf__puts(ret, "tag_");
	buf__append(ret, name.data, name.len);
	ret->failed |= name.failed;
}

/* The value as it is read back may hold backslashes; in the file they are doubled. */
static void put_label_value(struct buf *out, const char *value)
{
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			buf__putc(out, '\\');
		buf__putc(out, *value);
	}
}

static void put_label(struct buf *out, const char *name, const char *value)
{
	buf__printf(out, "%s=\"", name);
	put_label_value(out, value);
	buf__putc(out, '"');
}

static int collect_tags(struct exposition *e)
{
	_cleanup_(free_names) struct names used = { .items = NULL };
	size_t i;

	for (i = 0; i < e->r->tags_cnt; i++) {
		_cleanup_buf_ struct buf name = BUF_INIT, value = BUF_INIT;
		const char *tag = e->r->tags[i], *end = strchrnul(tag, '=');

		make_label_name(e->r, tag, (size_t)(end - tag), &name);
		printable__append(&value, *end ? end + 1 : "", NULL);
		if (buf__error(&name) || buf__error(&value) || add_name(&used, name.data))
			return -ENOMEM;
		buf__putc(&e->tags, ',');
		put_label(&e->tags, used.items[i], value.data ?: "");
	}
	return buf__error(&e->tags);
}

static int collect_groups(struct exposition *e)
{
	size_t i;

	for (i = 0; i < e->r->groups_cnt; i++) {
		_cleanup_buf_ struct buf name = BUF_INIT;

		printable__append(&name, e->r->groups[i].name, NULL);
		if (buf__error(&name) || add_name(&e->groups, name.data ?: ""))
			return -ENOMEM;
	}
	return 0;
}

/* --- values ------------------------------------------------------------------------------------
 */

/* Nanoseconds as seconds, every digit and no more: "12.0045", "0.000000001", "3". */
static void put_seconds(struct buf *out, uint64_t ns)
{
	char digits[16];
	size_t len;

	buf__printf(out, "%llu", ns / NSEC_PER_SEC);
	len = (size_t)snprintf(digits, sizeof(digits), ".%09llu", ns % NSEC_PER_SEC);
	while (digits[len - 1] == '0')
		len--;
	if (len > 1)
		buf__append(out, digits, len);
}

/* The fewest digits that read back as the same number. */
static void format_double(char text[DOUBLE_TEXT_BYTES], double value)
{
	int digits;

	for (digits = 1; digits <= 17; digits++) {
		snprintf(text, DOUBLE_TEXT_BYTES, "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			return;
	}
}

static void put_family(struct exposition *e, const char *name, const char *type, const char *help)
{
	buf__printf(e->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* What all series of one histogram have in common. */
struct series {
	const char *name;
	const char *reason; /* NULL: none */
	const char *group;  /* NULL: none */
};

/* {reason="…",cgroup="…",tag="…",le="…"}; nothing when there is no label. */
static void put_labels(struct exposition *e, const struct series *s, const char *le)
{
	_cleanup_buf_ struct buf labels = BUF_INIT;

	if (s->reason) {
		buf__putc(&labels, ',');
		put_label(&labels, "reason", s->reason);
	}
	if (s->group) {
		buf__putc(&labels, ',');
		put_label(&labels, sched_by__name(e->r->by), s->group);
	}
	buf__append(&labels, e->tags.data, e->tags.len);
	if (le)
		buf__printf(&labels, ",le=\"%s\"", le);
	e->out->failed |= labels.failed;
	if (labels.len)
		buf__printf(e->out, "{%s}", labels.data + 1);
}

static void put_bucket(struct exposition *e, const struct series *s, const char *le, uint64_t cnt)
{
	buf__printf(e->out, "%s_bucket", s->name);
	put_labels(e, s, le);
	buf__printf(e->out, " %" PRIu64 "\n", cnt);
}

static void put_histogram(struct exposition *e, const struct series *s,
			  const struct sched_histogram *h)
{
	char le[DOUBLE_TEXT_BYTES];
	uint64_t cnt = 0;
	int exponent, slot = 0;

	for (exponent = LE_FIRST_EXPONENT; exponent <= LE_LAST_EXPONENT; exponent++) {
		for (; slot <= LE_SLOT(exponent); slot++)
			cnt += h->slots[slot];
		format_double(le, exponent < 0 ? 1.0 / (double)(1 << -exponent)
					       : (double)(1 << exponent));
		put_bucket(e, s, le, cnt);
	}
	for (; slot < LATENCY_SLOTS; slot++)
		cnt += h->slots[slot];
	put_bucket(e, s, "+Inf", cnt);
	buf__printf(e->out, "%s_sum", s->name);
	put_labels(e, s, NULL);
	buf__putc(e->out, ' ');
	put_seconds(e->out, h->sum_ns);
	buf__printf(e->out, "\n%s_count", s->name);
	put_labels(e, s, NULL);
	buf__printf(e->out, " %" PRIu64 "\n", cnt);
}

/* One reason of everything, or of each group. */
static void put_reason(struct exposition *e, struct series *s, enum sched_reason reason)
{
	size_t i;

	if (e->r->by == SCHED_BY_NOTHING) {
		put_histogram(e, s, &e->r->histograms[reason]);
		return;
	}
	for (i = 0; i < e->r->groups_cnt; i++) {
		s->group = e->groups.items[i];
		put_histogram(e, s, &e->r->groups[i].histograms[reason]);
	}
}

static void put_histograms(struct exposition *e)
{
	struct series waits = { .name = "cprofd_sched_wait_seconds" };
	enum sched_reason reason;

	put_family(e, "cprofd_sched_latency_seconds", "histogram",
		   "Time threads were ready and did not run, by reason: preempted (whole waits), "
		   "delayed by real-time tasks and runnable (the parts of other waits).");
	for (reason = 0; reason < SCHED_REASONS; reason++) {
		struct series s = { .name = "cprofd_sched_latency_seconds",
				    .reason = sched_reason__name(reason) };

		put_reason(e, &s, reason);
	}
	put_family(e, waits.name, "histogram",
		   "Time threads were ready and did not run, whole waits.");
	put_reason(e, &waits, SCHED_LATENCY);
}

/* --- counters ----------------------------------------------------------------------------------
 */

/* name{key="value",tags} or name{tags}; the caller puts the number. */
static void put_plain(struct exposition *e, const char *name, const char *labels)
{
	buf__puts(e->out, name);
	if (*labels || e->tags.len)
		buf__printf(e->out, "{%s%s}", labels,
			    !e->tags.len ? ""
			    : *labels    ? e->tags.data
					 : e->tags.data + 1);
	buf__putc(e->out, ' ');
}

static void put_causes(struct exposition *e)
{
	static const char seconds[] = "cprofd_sched_cause_seconds_total";
	static const char waits[] = "cprofd_sched_cause_waits_total";
	enum sched_reason reason;
	enum sched_cause cause;
	char labels[96];

	put_family(e, seconds, "counter", "Time of waits by reason and by their main cause.");
	for (reason = 0; reason < SCHED_REASONS; reason++)
		for (cause = 0; cause < SCHED_CAUSES; cause++) {
			snprintf(labels, sizeof(labels), "reason=\"%s\",cause=\"%s\"",
				 sched_reason__name(reason), sched_cause__name(cause));
			put_plain(e, seconds, labels);
			put_seconds(e->out, e->r->cause_ns[reason][cause]);
			buf__putc(e->out, '\n');
		}
	put_family(e, waits, "counter", "Waits by their main cause.");
	for (cause = 0; cause < SCHED_CAUSES; cause++) {
		snprintf(labels, sizeof(labels), "cause=\"%s\"", sched_cause__name(cause));
		put_plain(e, waits, labels);
		buf__printf(e->out, "%" PRIu64 "\n", e->r->cause_waits[cause]);
	}
}

static void put_one_seconds(struct exposition *e, const char *name, const char *type,
			    const char *help, uint64_t ns)
{
	put_family(e, name, type, help);
	put_plain(e, name, "");
	put_seconds(e->out, ns);
	buf__putc(e->out, '\n');
}

static void put_notes(struct exposition *e)
{
	static const char name[] = "cprofd_sched_notes_total";
	enum sched_note note;
	char labels[64];

	put_family(e, name, "counter",
		   "How often something happened to a wait or a thread that is worth knowing.");
	for (note = 0; note < SCHED_NOTES; note++) {
		snprintf(labels, sizeof(labels), "note=\"%s\"", sched_note__name(note));
		put_plain(e, name, labels);
		buf__printf(e->out, "%" PRIu64 "\n", e->r->notes[note]);
	}
}

int sched_prom__encode(const struct profile *p, struct buf *out)
{
	_cleanup_(free_exposition) struct exposition e = { .r = p->sched,
							   .out = out,
							   .tags = BUF_INIT };
	int err;

	if (!e.r)
		return -EINVAL;
	err = collect_tags(&e) ?: collect_groups(&e);
	if (err)
		return err;
	put_histograms(&e);
	put_causes(&e);
	put_one_seconds(&e, "cprofd_sched_wait_max_seconds", "gauge", "The longest wait.",
			e.r->histograms[SCHED_LATENCY].max_ns);
	put_one_seconds(&e, "cprofd_sched_unaccounted_seconds_total", "counter",
			"Time of waits that the kernel's run_delay omits; in no other metric.",
			e.r->unaccounted_ns);
	put_one_seconds(&e, "cprofd_sched_window_seconds", "gauge", "How long was measured.",
			e.r->duration_ns > 0 ? (uint64_t)e.r->duration_ns : 0);
	put_notes(&e);
	return buf__error(out);
}
