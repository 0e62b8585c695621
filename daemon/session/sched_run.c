/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See sched_run.h. The sums of the snapshot are what the kernel counted, switch for switch; the
 * sampled waits only say how to spread them over stacks. Every nanosecond of the totals ends in
 * exactly one row.
 */
#include "session/sched_run.h"

#include <errno.h>
#include <string.h>
#include "base/log.h"
#include "profile/sched_rows.h"
#include "session/frames.h"
#include "session/kept_stacks.h"
#include "session/sched_reporter.h"
#include "session/sched_trace.h"

/* Columns of the profile: order of the probe's sample types. */
enum sched_value {
	VALUE_WAITS,
	VALUE_PREEMPTED,
	VALUE_DELAYED,
	VALUE_RUNNABLE,
	VALUE_LATENCY,
	VALUES_CNT,
};

struct sched_run {
	struct kept_stacks *stacks;
	struct sched_rows *rows;
	struct sched_trace trace;
	struct sched_snapshot snapshot;
	uint64_t ids_unknown;
};

struct sched_run *sched_run__new(void)
{
	_cleanup_(sched_run__freep) struct sched_run *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->stacks = kept_stacks__new();
	r->rows = sched_rows__new();
	return r->stacks && r->rows ? take_ptr(r) : NULL;
}

void sched_run__free(struct sched_run *r)
{
	if (!r)
		return;
	kept_stacks__free(r->stacks);
	sched_rows__free(r->rows);
	sched_trace__done(&r->trace);
	sched_snapshot__done(&r->snapshot);
	free(r);
}

int sched_run__stack(struct sched_run *r, const struct sample *s, const uint32_t *locations,
		     uint32_t locations_cnt, const struct label_set *labels)
{
	return kept_stacks__add(r->stacks, s, locations, locations_cnt, labels);
}

int sched_run__lose_stack(struct sched_run *r, const struct sample *s)
{
	return kept_stacks__add_stand_in(r->stacks, s, KEPT_STACK_PROFILE_FULL);
}

int sched_run__wait(struct sched_run *r, const struct sample *s)
{
	const struct sched_row_thread thread = { .tid = s->tid, .start_ns = s->thread_start_ns };
	uint32_t stack = kept_stacks__take(r->stacks, s);

	r->ids_unknown += stack == KEPT_STACK_UNKNOWN;
	return sched_rows__add(r->rows, thread, s->wait.origin, stack, s->wait.inverse_q,
			       s->wait.reason_ns);
}

int sched_run__interval(struct sched_run *r, const struct sched_snapshot *threads)
{
	return sched_trace__add_interval(&r->trace, threads->threads, threads->threads_cnt);
}

void sched_run__end(struct sched_run *r, struct sched_snapshot *snapshot)
{
	sched_snapshot__done(&r->snapshot);
	r->snapshot = *snapshot;
	*snapshot = (struct sched_snapshot){ .threads = NULL };
}

/* --- rows ---------------------------------------------------------------------------------------
 */

struct emission {
	const struct sched_run *r;
	const struct sched_finish *f;
	struct profile *profile;
	struct label_set labels; /* of the thread at hand */
};

static void fill_values(int64_t values[VALUES_CNT], uint64_t waits, const uint64_t *reason_ns)
{
	values[VALUE_WAITS] = (int64_t)waits;
	values[VALUE_PREEMPTED] = (int64_t)reason_ns[SCHED_PREEMPTED];
	values[VALUE_DELAYED] = (int64_t)reason_ns[SCHED_DELAYED];
	values[VALUE_RUNNABLE] = (int64_t)reason_ns[SCHED_RUNNABLE];
	values[VALUE_LATENCY] =
		values[VALUE_PREEMPTED] + values[VALUE_DELAYED] + values[VALUE_RUNNABLE];
}

static int add_synthetic_row(struct emission *e, const char *leaf, const char *root,
			     const int64_t values[VALUES_CNT])
{
	struct stack stack;
	int err;

	err = frames__synthetic(e->profile, leaf, root, &stack);
	return err
		       ?: profile__add(e->profile, stack.locations, stack.cnt, e->labels.labels,
				       e->labels.cnt, values);
}

static int add_row(const struct sched_row *row, void *ctx)
{
	struct emission *e = ctx;
	int64_t values[VALUES_CNT];
	struct kept_stack stack;

	fill_values(values, row->waits, row->reason_ns);
	if (!values[VALUE_WAITS] && !values[VALUE_LATENCY])
		return 0;
	switch (row->stack) {
	case SCHED_ROW_NOT_SAMPLED:
		return add_synthetic_row(e, "[not sampled]", NULL, values);
	case KEPT_STACK_UNKNOWN:
		return add_synthetic_row(e, "[unknown]", NULL, values);
	case KEPT_STACK_RING_FULL:
		return add_synthetic_row(e, "[ring_full]", "[lost]", values);
	case KEPT_STACK_PROFILE_FULL:
		return add_synthetic_row(e, "[profile_full]", "[lost]", values);
	default:
		stack = kept_stacks__get(e->r->stacks, row->stack);
		/* All rows of a thread bear its last name; only the CPU is one of the stack. */
		if (!(e->f->opts->labels & LABEL_CPU)) {
			stack.labels = e->labels.labels;
			stack.labels_cnt = e->labels.cnt;
		}
		return profile__add(e->profile, stack.locations, stack.locations_cnt, stack.labels,
				    stack.labels_cnt, values);
	}
}

static int emit_thread(struct emission *e, const struct sched_thread_sums *thread)
{
	const struct sched_row_thread key = { .tid = thread->tid, .start_ns = thread->start_ns };
	const struct label_values labels = {
		.pid = thread->pid,
		.tid = thread->tid,
		.comm = thread->leader_comm,
		.thread = thread->comm,
	};
	int err;

	/* A sum is of all CPUs. */
	err = label_set__make(&e->labels, e->f->keys, e->profile, e->f->opts->labels & ~LABEL_CPU,
			      &labels);
	return err ?: sched_rows__emit(e->r->rows, key, &thread->sums, add_row, e);
}

static int emit_other(struct emission *e, const struct sched_sums *other)
{
	const uint64_t reason_ns[SCHED_REASONS] = {
		[SCHED_PREEMPTED] = other->preempted_ns,
		[SCHED_DELAYED] = other->delayed_ns,
		[SCHED_RUNNABLE] = other->runnable_ns,
	};
	int64_t values[VALUES_CNT];

	fill_values(values, sched_sums__waits(other), reason_ns);
	if (!values[VALUE_WAITS] && !values[VALUE_LATENCY])
		return 0;
	e->labels.cnt = 0;
	return add_synthetic_row(e, "[other threads]", NULL, values);
}

static int emit_rows(struct sched_run *r, struct profile *profile, const struct sched_finish *f,
		     const struct sched_sums *other)
{
	struct emission e = { .r = r, .f = f, .profile = profile };
	size_t i;
	int err = 0;

	kept_stacks__cut_machinery(r->stacks, profile);
	for (i = 0; !err && i < r->snapshot.threads_cnt; i++)
		err = emit_thread(&e, &r->snapshot.threads[i]);
	return err ?: emit_other(&e, other);
}

/* --- the end ------------------------------------------------------------------------------------
 */

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* What the totals hold beyond the threads: of those whose state or whose end was lost. */
static void find_other(const struct sched_snapshot *s, struct sched_sums *ret)
{
	const struct sched_histogram *h = s->totals.histograms;
	struct sched_sums sums = { .waits = { 0 } };
	size_t i;

	for (i = 0; i < s->threads_cnt; i++)
		sched_sums__add(&sums, &s->threads[i].sums);
	*ret = (struct sched_sums){
		/* Each wait is one observation of exactly one of these two. */
		.waits = {
			[SCHED_ORIGIN_PREEMPTED] = less(h[SCHED_PREEMPTED].cnt,
							sums.waits[SCHED_ORIGIN_PREEMPTED]),
			[SCHED_ORIGIN_WOKEN] = less(h[SCHED_RUNNABLE].cnt,
						    sums.waits[SCHED_ORIGIN_WOKEN]),
		},
		.preempted_ns = less(h[SCHED_PREEMPTED].sum_ns, sums.preempted_ns),
		.delayed_ns = less(h[SCHED_DELAYED].sum_ns, sums.delayed_ns),
		.runnable_ns = less(h[SCHED_RUNNABLE].sum_ns, sums.runnable_ns),
	};
}

static int resolve_cgroups(const struct sched_run *r, const struct sched_finish *f,
			   struct cgroup_paths *cgroups)
{
	_cleanup_free_ char *root = NULL;
	int err;

	err = sched_reporter__want_cgroups(&r->snapshot, f->opts->sched_by, cgroups);
	if (err || !cgroups->cnt)
		return err;
	err = cgroup_paths__root(f->mounts, &root);
	if (err) {
		log_debug("where cgroups are mounted: %s, ignoring: they have no names",
			  strerror(-err));
		cgroups->cnt = 0;
		return 0;
	}
	return cgroup_paths__resolve(cgroups, root);
}

static int make_report(struct sched_run *r, struct profile *profile, const struct sched_finish *f,
		       const struct sched_sums *other)
{
	_cleanup_(cgroup_paths__done) struct cgroup_paths cgroups = { 0 };
	const struct sched_reporter reporter = {
		.opts = f->opts,
		.snapshot = &r->snapshot,
		.time_ns = profile->time_ns,
		.duration_ns = profile->duration_ns,
		.real_less_mono_ns = f->real_less_mono_ns,
		.other = *other,
		.cgroups = &cgroups,
	};
	int err;

	err = resolve_cgroups(r, f, &cgroups);
	if (!err)
		err = sched_reporter__make(&reporter, &profile->sched);
	if (!err)
		err = sched_run__interval(r, &r->snapshot);
	if (err)
		return err;
	profile->sched->trace_cnt = r->trace.rows_cnt;
	profile->sched->trace_cap = r->trace.rows_cap;
	profile->sched->trace = take_ptr(r->trace.rows);
	return 0;
}

int sched_run__finish(struct sched_run *r, struct kind_run *run, const struct sched_finish *f)
{
	const struct sched_histogram *latency = &r->snapshot.totals.histograms[SCHED_LATENCY];
	struct sched_sums other;
	size_t i;
	int err;

	find_other(&r->snapshot, &other);
	err = emit_rows(r, run->profile, f, &other);
	if (!err)
		err = make_report(r, run->profile, f, &other);
	run->account.waits = latency->cnt;
	run->account.latency_ns = latency->sum_ns;
	run->account.profiled_ns = 0;
	for (i = 0; i < run->profile->samples_cnt; i++)
		run->account.profiled_ns +=
			(uint64_t)run->profile->samples[i].values[VALUE_LATENCY];
	return err;
}

uint64_t sched_run__ids_unknown(const struct sched_run *r)
{
	return r->ids_unknown;
}

uint64_t sched_run__waits_homeless(const struct sched_run *r)
{
	return sched_rows__homeless(r->rows);
}

uint64_t sched_run__trace_dropped(const struct sched_run *r)
{
	return r->trace.rows_dropped;
}
