/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The small report of scheduler latency that the tests of export/sched_*.c encode: its sums hold
 * what profile/sched_report.h promises, and some names in it are hostile. Golden files hold what
 * must come of it.
 */
#ifndef TESTS_UNIT_FIXED_SCHED_REPORT_H
#define TESTS_UNIT_FIXED_SCHED_REPORT_H

#include <stdio.h>
#include "fixed_profile.h"
#include "profile/sched_report.h"

#define HOSTILE_COMM "e =\x1b[1m\"\\\n\xff" /* shorter than a comm can be */

static inline void observe(struct sched_histogram *h, uint64_t ns, uint64_t cnt)
{
	h->cnt += cnt;
	h->sum_ns += cnt * ns;
	if (ns > h->max_ns)
		h->max_ns = ns;
	h->slots[latency__slot(ns)] += cnt;
}

/* 'cnt' waits that are alike; woken ones have delayed or runnable parts. */
struct fixed_wait {
	uint64_t cnt, preempted_ns, delayed_ns, runnable_ns;
	enum sched_cause cause;
	const char *victim, *culprit; /* culprit NULL: unknown */
	pid_t pid, tid;
};

static inline uint64_t wait_latency(const struct fixed_wait *w)
{
	return w->preempted_ns + w->delayed_ns + w->runnable_ns;
}

static inline void observe_wait(struct sched_histogram histograms[SCHED_HISTOGRAMS],
				const struct fixed_wait *w)
{
	if (w->preempted_ns)
		observe(&histograms[SCHED_PREEMPTED], w->preempted_ns, w->cnt);
	else
		observe(&histograms[SCHED_RUNNABLE], w->runnable_ns, w->cnt);
	if (w->delayed_ns)
		observe(&histograms[SCHED_DELAYED], w->delayed_ns, w->cnt);
	observe(&histograms[SCHED_LATENCY], wait_latency(w), w->cnt);
}

static inline char *copy_text(const char *s)
{
	char *copy = strdup(s);

	assert_non_null(copy);
	return copy;
}

static inline struct sched_report_group *add_group(struct sched_report *r, const char *name)
{
	struct sched_report_group *g;

	assert_int_equal(array__reserve(r->groups, r->groups_cap, r->groups_cnt + 1), 0);
	g = &r->groups[r->groups_cnt++];
	*g = (struct sched_report_group){ .name = copy_text(name) };
	return g;
}

static inline void add_cell(struct sched_report *r, const char *victim, const char *culprit,
			    uint64_t ns, uint64_t waits)
{
	assert_int_equal(array__reserve(r->cells, r->cells_cap, r->cells_cnt + 1), 0);
	r->cells[r->cells_cnt++] = (struct sched_report_cell){
		.victim = copy_text(victim), .culprit = copy_text(culprit), .ns = ns, .waits = waits
	};
}

static inline void add_thread(struct sched_report *r, const struct fixed_wait *w)
{
	struct sched_report_thread t = { .pid = w->pid, .tid = w->tid, .waits = w->cnt };

	t.reason_ns[SCHED_PREEMPTED] = w->cnt * w->preempted_ns;
	t.reason_ns[SCHED_DELAYED] = w->cnt * w->delayed_ns;
	t.reason_ns[SCHED_RUNNABLE] = w->cnt * w->runnable_ns;
	snprintf(t.thread, sizeof(t.thread), "%s", w->victim);
	snprintf(t.comm, sizeof(t.comm), "%s", w->victim);
	assert_int_equal(array__reserve(r->threads, r->threads_cap, r->threads_cnt + 1), 0);
	r->threads[r->threads_cnt++] = t;
}

static inline void add_trace(struct sched_report *r, pid_t tid, const char *thread,
			     uint64_t preempted_ns, uint64_t delayed_ns, uint64_t runnable_ns)
{
	struct sched_report_trace t = { .tid = tid,
					.reason_ns = { preempted_ns, delayed_ns, runnable_ns } };

	/* A comm may fill its field to the last byte. */
	memcpy(t.thread, thread, strnlen(thread, sizeof(t.thread)));
	assert_int_equal(array__reserve(r->trace, r->trace_cap, r->trace_cnt + 1), 0);
	r->trace[r->trace_cnt++] = t;
}

static inline void add_tag(struct sched_report *r, const char *tag)
{
	assert_int_equal(array__reserve(r->tags, r->tags_cap, r->tags_cnt + 1), 0);
	r->tags[r->tags_cnt++] = copy_text(tag);
}

static inline void add_worst(struct sched_report *r, const struct fixed_wait *w, int64_t time_ns)
{
	struct sched_report_worst worst = { .time_ns = time_ns,
					    .wait_ns = wait_latency(w),
					    .reason_ns = { w->preempted_ns, w->delayed_ns,
							   w->runnable_ns },
					    .cpu = (int)(w->tid % 4),
					    .cause = w->cause,
					    .has_culprit = w->culprit,
					    .victim = { .pid = w->pid, .tid = w->tid } };

	worst.reason = w->preempted_ns                  ? SCHED_PREEMPTED
		       : w->delayed_ns > w->runnable_ns ? SCHED_DELAYED
							: SCHED_RUNNABLE;
	snprintf(worst.victim.comm, sizeof(worst.victim.comm), "%s", w->victim);
	worst.victim.cgroup = copy_text("/system.slice/nginx.service");
	if (w->culprit && strcmp(w->culprit, "[idle]")) {
		worst.culprit.pid = worst.culprit.tid = 4194304;
		snprintf(worst.culprit.comm, sizeof(worst.culprit.comm), "%s", w->culprit);
	}
	assert_int_equal(array__reserve(r->worst, r->worst_cap, r->worst_cnt + 1), 0);
	r->worst[r->worst_cnt++] = worst;
}

static const struct fixed_wait fixed_waits[] = {
	{ 5000, 0, 0, 1500, SCHED_CAUSE_IDLE_CPU, "nginx", "[idle]", 100, 101 },
	{ 3000, 0, 0, 12000, SCHED_CAUSE_FAIR, "nginx", "mysqld", 100, 102 },
	{ 900, 210000, 0, 0, SCHED_CAUSE_SAME_CGROUP, "mysqld", "mysqld", 200, 201 },
	{ 90, 0, 350000, 20000, SCHED_CAUSE_RT, "nginx", "irq/24-eth0", 100, 103 },
	{ 9, 4500000, 0, 0, SCHED_CAUSE_THROTTLE, HOSTILE_COMM, NULL, 300, 300 },
	{ 1, 0, 48000000, 123456, SCHED_CAUSE_RT, "a-long-name-xyz", "migration/0", 4194303,
	  4194303 },
};

/* By nothing; not finished. */
static inline struct sched_report *fixed_sched_report(void)
{
	struct sched_report *r = calloc(1, sizeof(*r));
	size_t i;

	assert_non_null(r);
	r->time_ns = 1795244400LL * 1000000000;
	r->duration_ns = 10000000000LL;
	for (i = 0; i < ARRAY_SIZE(fixed_waits); i++) {
		const struct fixed_wait *w = &fixed_waits[i];

		observe_wait(r->histograms, w);
		r->cause_ns[SCHED_PREEMPTED][w->cause] += w->cnt * w->preempted_ns;
		r->cause_ns[SCHED_DELAYED][w->cause] += w->cnt * w->delayed_ns;
		r->cause_ns[SCHED_RUNNABLE][w->cause] += w->cnt * w->runnable_ns;
		r->cause_waits[w->cause] += w->cnt;
		if (w->culprit) {
			add_cell(r, w->victim, w->culprit, w->cnt * wait_latency(w), w->cnt);
		} else {
			r->unknown_ns += w->cnt * wait_latency(w);
			r->unknown_waits += w->cnt;
		}
		add_thread(r, w);
		if (w->cnt < 100 || i == 0)
			add_worst(r, w, r->time_ns + (int64_t)i * 1234567890);
		add_trace(r, w->tid, w->victim, w->cnt * w->preempted_ns, w->cnt * w->delayed_ns,
			  w->cnt * w->runnable_ns);
	}
	r->notes[SCHED_NOTE_UNACCOUNTED] = 12;
	r->unaccounted_ns = 34567;
	r->notes[SCHED_NOTE_MIGRATED_LEG] = 1234;
	add_tag(r, "env=prod \"eu\"");
	return r;
}

/* With a group for each victim's process. */
static inline struct sched_report *fixed_sched_report_by(enum sched_by by)
{
	static const char *const names[] = { "/user.slice/a b\\x2dc", "/system.slice/" HOSTILE_COMM,
					     "/system.slice/nginx.service" };
	struct sched_report *r = fixed_sched_report();
	struct sched_report_group *groups[ARRAY_SIZE(names)];
	size_t i;

	r->by = by;
	assert_int_equal(array__reserve(r->groups, r->groups_cap, ARRAY_SIZE(names)), 0);
	for (i = 0; i < ARRAY_SIZE(names); i++)
		groups[i] = add_group(r, names[i]);
	for (i = 0; i < ARRAY_SIZE(fixed_waits); i++)
		observe_wait(groups[fixed_waits[i].pid == 100 ? 2 : i % 2]->histograms,
			     &fixed_waits[i]);
	return r;
}

/* A profile that has the report, and nothing else. */
static inline struct profile *fixed_sched_profile(struct sched_report *r)
{
	struct profile *p = profile__new();

	assert_non_null(p);
	p->sched = r;
	return p;
}

static inline struct profile *fixed_sched(void)
{
	struct sched_report *r = fixed_sched_report();

	assert_int_equal(sched_report__finish(r), 0);
	return fixed_sched_profile(r);
}

static inline struct profile *fixed_sched_by(enum sched_by by)
{
	struct sched_report *r = fixed_sched_report_by(by);

	assert_int_equal(sched_report__finish(r), 0);
	return fixed_sched_profile(r);
}

#endif
