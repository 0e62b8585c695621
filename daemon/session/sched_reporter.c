/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See sched_reporter.h. Two ids may turn out to have one name (what found no place, a cgroup that
 * took the path of another): sched_report__finish() makes one row of them.
 */
#include "session/sched_reporter.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "session/sched_trace.h"

#define IDLE_NAME "[idle]"

struct maker {
	const struct sched_reporter *in;
	const struct sched_snapshot *snapshot;
	struct sched_report *report;
	struct sched_name *names; /* owned, by id */
};

static int compare_names(const void *va, const void *vb)
{
	const struct sched_name *a = va, *b = vb;

	return a->id < b->id ? -1 : a->id > b->id;
}

static int index_names(struct maker *m)
{
	size_t cnt = m->snapshot->names_cnt;

	m->names = calloc(cnt + 1, sizeof(*m->names));
	if (!m->names)
		return -ENOMEM;
	if (!cnt)
		return 0;
	memcpy(m->names, m->snapshot->names, cnt * sizeof(*m->names));
	qsort(m->names, cnt, sizeof(*m->names), compare_names);
	return 0;
}

/* The functions below return what the caller owns; NULL: out of memory. */

static char *comm_name(const struct maker *m, uint64_t id)
{
	const struct sched_name key = { .id = (uint32_t)id };
	const struct sched_name *name = NULL;

	if (id && id <= UINT32_MAX)
		name = bsearch(&key, m->names, m->snapshot->names_cnt, sizeof(key), compare_names);
	return name ? strndup(name->comm, sizeof(name->comm)) : strdup(SCHED_GROUP_OTHER);
}

static char *cgroup_name(const struct maker *m, uint64_t id)
{
	const char *path = cgroup_paths__find(m->in->cgroups, id);
	char *name;

	if (!id)
		return strdup(SCHED_GROUP_OTHER);
	if (path)
		return strdup(path);
	return asprintf(&name, "cgroup:%" PRIu64, id) < 0 ? NULL : name;
}

static char *number_name(uint64_t number)
{
	char *name;

	return asprintf(&name, "%" PRIu64, number) < 0 ? NULL : name;
}

static char *group_name(const struct maker *m, uint64_t key)
{
	if (key == SCHED_OTHER_KEY)
		return strdup(SCHED_GROUP_OTHER);
	switch (m->in->opts->sched_by) {
	case SCHED_BY_COMM:
		return comm_name(m, key);
	case SCHED_BY_CGROUP:
		return cgroup_name(m, key);
	case SCHED_BY_NOTHING:
	case SCHED_BY_PID:
	case SCHED_BY_CPU:
		break;
	}
	return number_name(key);
}

static char *cell_name(const struct maker *m, uint64_t key)
{
	if (key == SCHED_IDLE_KEY)
		return strdup(IDLE_NAME);
	return m->in->opts->sched_by == SCHED_BY_CGROUP ? cgroup_name(m, key) : comm_name(m, key);
}

static int make_groups(struct maker *m)
{
	struct sched_report *r = m->report;
	size_t i;

	for (i = 0; i < m->snapshot->groups_cnt; i++) {
		const struct sched_group_histograms *from = &m->snapshot->groups[i];
		struct sched_report_group *group;

		if (array__reserve(r->groups, r->groups_cap, r->groups_cnt + 1))
			return -ENOMEM;
		group = &r->groups[r->groups_cnt];
		group->name = group_name(m, from->key);
		if (!group->name)
			return -ENOMEM;
		memcpy(group->histograms, from->histograms, sizeof(group->histograms));
		r->groups_cnt++;
	}
	return 0;
}

static int make_cells(struct maker *m)
{
	struct sched_report *r = m->report;
	size_t i;

	for (i = 0; i < m->snapshot->cells_cnt; i++) {
		const struct sched_matrix_cell *from = &m->snapshot->cells[i];
		struct sched_report_cell *cell;

		if (array__reserve(r->cells, r->cells_cap, r->cells_cnt + 1))
			return -ENOMEM;
		cell = &r->cells[r->cells_cnt++]; /* counted: what it owns is freed with it */
		*cell = (struct sched_report_cell){
			.victim = cell_name(m, from->pair.victim),
			.culprit = cell_name(m, from->pair.culprit),
			.ns = from->cell.ns,
			.waits = from->cell.waits,
		};
		if (!cell->victim || !cell->culprit)
			return -ENOMEM;
	}
	return 0;
}

static int make_party(const struct maker *m, const struct sched_party *from,
		      struct sched_report_party *ret)
{
	const char *path = from->cgroup ? cgroup_paths__find(m->in->cgroups, from->cgroup) : NULL;

	*ret = (struct sched_report_party){ .pid = (pid_t)from->tgid, .tid = (pid_t)from->tid };
	if (!from->tid) { /* idle tasks are called after their CPU, and are in the root cgroup */
		strcpy(ret->comm, IDLE_NAME);
		return 0;
	}
	memcpy(ret->comm, from->comm, sizeof(ret->comm) - 1);
	if (!path)
		return 0;
	ret->cgroup = strdup(path);
	return ret->cgroup ? 0 : -ENOMEM;
}

static enum sched_reason largest_reason(const __u64 *reason_ns)
{
	enum sched_reason largest = SCHED_PREEMPTED;
	int reason;

	for (reason = 0; reason < SCHED_REASONS; reason++)
		if (reason_ns[reason] > reason_ns[largest])
			largest = (enum sched_reason)reason;
	return largest;
}

static int make_worst(struct maker *m)
{
	struct sched_report *r = m->report;
	size_t i, j;
	int err = 0;

	for (i = 0; !err && i < m->snapshot->worst_cnt && i < m->in->opts->sched_worst; i++) {
		const struct sched_worst *from = &m->snapshot->worst[i];
		struct sched_report_worst *worst;

		if (array__reserve(r->worst, r->worst_cap, r->worst_cnt + 1))
			return -ENOMEM;
		worst = &r->worst[r->worst_cnt++];
		*worst = (struct sched_report_worst){
			.time_ns = (int64_t)from->time_ns + m->in->real_less_mono_ns,
			.wait_ns = from->wait_ns,
			.cpu = (int)from->cpu,
			.reason = largest_reason(from->reason_ns),
			.cause = from->cause < SCHED_CAUSES ? from->cause : SCHED_CAUSE_UNKNOWN,
			.has_culprit = from->has_culprit,
		};
		for (j = 0; j < SCHED_REASONS; j++)
			worst->reason_ns[j] = from->reason_ns[j];
		err = make_party(m, &from->victim, &worst->victim);
		if (!err && from->has_culprit)
			err = make_party(m, &from->culprit, &worst->culprit);
	}
	return err;
}

static int add_thread(struct sched_report *r, const struct sched_sums *sums,
		      struct sched_report_thread **ret)
{
	if (array__reserve(r->threads, r->threads_cap, r->threads_cnt + 1))
		return -ENOMEM;
	*ret = &r->threads[r->threads_cnt++];
	**ret = (struct sched_report_thread){
		.waits = sched_sums__waits(sums),
		.reason_ns = {
			[SCHED_PREEMPTED] = sums->preempted_ns,
			[SCHED_DELAYED] = sums->delayed_ns,
			[SCHED_RUNNABLE] = sums->runnable_ns,
		},
	};
	return 0;
}

static int make_threads(struct maker *m)
{
	const struct sched_sums *other = &m->in->other;
	struct sched_report_thread *thread;
	size_t i;

	for (i = 0; i < m->snapshot->threads_cnt; i++) {
		const struct sched_thread_sums *from = &m->snapshot->threads[i];

		if (!sched_sums__waits(&from->sums))
			continue;
		if (add_thread(m->report, &from->sums, &thread))
			return -ENOMEM;
		thread->pid = from->pid;
		thread->tid = from->tid;
		memcpy(thread->thread, from->comm, sizeof(thread->thread) - 1);
		memcpy(thread->comm, from->leader_comm, sizeof(thread->comm) - 1);
	}
	if (!sched_sums__waits(other) && !sched_sums__latency_ns(other))
		return 0;
	return add_thread(m->report, other, &thread);
}

static int make_tags(struct maker *m)
{
	const struct options *opts = m->in->opts;
	struct sched_report *r = m->report;
	size_t i;

	for (i = 0; i < opts->tags_cnt; i++) {
		char *tag;

		if (array__reserve(r->tags, r->tags_cap, r->tags_cnt + 1) ||
		    asprintf(&tag, "%s=%s", opts->tags[i].key, opts->tags[i].value) < 0)
			return -ENOMEM;
		r->tags[r->tags_cnt++] = tag;
	}
	return 0;
}

static void copy_totals(struct sched_report *r, const struct sched_totals *totals)
{
	size_t i, j;

	memcpy(r->histograms, totals->histograms, sizeof(r->histograms));
	for (i = 0; i < SCHED_REASONS; i++)
		for (j = 0; j < SCHED_CAUSES; j++)
			r->cause_ns[i][j] = totals->cause_ns[i][j];
	for (j = 0; j < SCHED_CAUSES; j++)
		r->cause_waits[j] = totals->cause_waits[j];
	for (i = 0; i < SCHED_NOTES; i++)
		r->notes[i] = totals->notes[i];
	r->unknown_ns = totals->unknown_ns;
	r->unknown_waits = totals->unknown_waits;
	r->unaccounted_ns = totals->unaccounted_ns;
}

static int make_tables(struct maker *m)
{
	int err;

	err = index_names(m);
	if (!err)
		err = make_groups(m);
	if (!err)
		err = make_cells(m);
	if (!err)
		err = make_worst(m);
	if (!err)
		err = make_threads(m);
	return err ?: make_tags(m);
}

int sched_reporter__make(const struct sched_reporter *in, struct sched_report **ret)
{
	_cleanup_(sched_report__freep) struct sched_report *report = calloc(1, sizeof(*report));
	struct maker m = { .in = in, .snapshot = in->snapshot, .report = report };
	int err;

	if (!report)
		return -ENOMEM;
	report->time_ns = in->time_ns;
	report->duration_ns = in->duration_ns;
	report->by = in->opts->sched_by;
	copy_totals(report, &in->snapshot->totals);
	err = make_tables(&m);
	free(m.names);
	if (!err)
		err = sched_report__finish(report);
	if (!err)
		*ret = take_ptr(report);
	return err;
}

static int want_cgroup(struct cgroup_paths *cgroups, uint64_t id)
{
	return id && id != SCHED_IDLE_KEY ? cgroup_paths__want(cgroups, id) : 0;
}

int sched_reporter__want_cgroups(const struct sched_snapshot *snapshot, enum sched_by by,
				 struct cgroup_paths *cgroups)
{
	size_t i;
	int err = 0;

	for (i = 0; !err && i < snapshot->worst_cnt; i++) {
		err = want_cgroup(cgroups, snapshot->worst[i].victim.cgroup);
		if (!err && snapshot->worst[i].has_culprit)
			err = want_cgroup(cgroups, snapshot->worst[i].culprit.cgroup);
	}
	if (by != SCHED_BY_CGROUP)
		return err;
	for (i = 0; !err && i < snapshot->groups_cnt; i++)
		err = want_cgroup(cgroups, snapshot->groups[i].key);
	for (i = 0; !err && i < snapshot->cells_cnt; i++) {
		err = want_cgroup(cgroups, snapshot->cells[i].pair.victim);
		if (!err)
			err = want_cgroup(cgroups, snapshot->cells[i].pair.culprit);
	}
	return err;
}
