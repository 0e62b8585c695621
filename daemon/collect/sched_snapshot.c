/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See sched_snapshot.h: the maps of bpf/sched.bpf.c, summed over CPUs.
 */
#include "collect/sched_snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "collect/probe_ops.h"
#include "collect/sched_state.h"

void sched_threads__add(struct sched_threads *t, const struct sched_thread_event *ev)
{
	struct sched_thread_sums *s;

	if (t->cnt >= SCHED_THREADS_MAX || array__reserve(t->items, t->cap, t->cnt + 1)) {
		t->lost++;
		return;
	}
	s = &t->items[t->cnt++];
	*s = (struct sched_thread_sums){
		.pid = (pid_t)ev->tgid,
		.tid = (pid_t)ev->tid,
		.start_ns = ev->start_ns,
		.process_start_ns = ev->process_start_ns,
		.cgroup = ev->cgroup,
		.sums = ev->sums,
	};
	memcpy(s->comm, ev->comm, sizeof(s->comm) - 1);
	memcpy(s->leader_comm, ev->leader_comm, sizeof(s->leader_comm) - 1);
}

int sched_state__read_alive(struct sched_state *s, struct sched_threads *ret)
{
	_cleanup_close_ int fd = bpf_iter_create(bpf_link__fd(s->threads_link));
	struct sched_thread_event events[32];
	size_t have = 0, i;
	ssize_t got;

	ret->cnt = ret->lost = 0;
	if (fd < 0)
		return -errno;
	/* What seq_file hands out ends anywhere: a part of a record waits for its rest. */
	while ((got = read(fd, (char *)events + have, sizeof(events) - have)) != 0) {
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got < 0)
			return -errno;
		have += (size_t)got;
		for (i = 0; (i + 1) * sizeof(events[0]) <= have; i++)
			sched_threads__add(ret, &events[i]);
		have -= i * sizeof(events[0]);
		memmove(events, &events[i], have);
	}
	return 0;
}

static int compare_threads(const void *a, const void *b)
{
	const struct sched_thread_sums *x = a, *y = b;

	if (x->tid != y->tid)
		return x->tid < y->tid ? -1 : 1;
	return (x->start_ns > y->start_ns) - (x->start_ns < y->start_ns);
}

static void add_sums(struct sched_sums *into, const struct sched_sums *from)
{
	for (int i = 0; i < SCHED_ORIGINS; i++)
		into->waits[i] += from->waits[i];
	into->preempted_ns += from->preempted_ns;
	into->delayed_ns += from->delayed_ns;
	into->runnable_ns += from->runnable_ns;
}

/*
 * A thread is in either list. Two that look the same are one that took over the identity of its
 * leader, by execve(2), and that leader: both have waited. Only where the sums are the same, too,
 * has it been read while it ended.
 */
static int merge_threads(struct sched_snapshot *ret, const struct sched_threads *ended,
			 const struct sched_threads *alive)
{
	size_t cnt = ended->cnt + alive->cnt, i, kept = 0;
	int err = array__reserve(ret->threads, ret->threads_cap, cnt);

	if (err || !cnt)
		return err;
	if (ended->cnt)
		memcpy(ret->threads, ended->items, ended->cnt * sizeof(*ended->items));
	if (alive->cnt)
		memcpy(ret->threads + ended->cnt, alive->items, alive->cnt * sizeof(*alive->items));
	qsort(ret->threads, cnt, sizeof(*ret->threads), compare_threads);
	for (i = 1; i < cnt; i++) {
		struct sched_thread_sums *last = &ret->threads[kept], *t = &ret->threads[i];

		if (compare_threads(last, t))
			ret->threads[++kept] = *t;
		else if (memcmp(&last->sums, &t->sums, sizeof(t->sums)) != 0)
			add_sums(&last->sums, &t->sums);
	}
	ret->threads_cnt = kept + 1;
	return 0;
}

static void add_histogram(struct sched_histogram *into, const struct sched_histogram *from)
{
	size_t i;

	into->sum_ns += from->sum_ns;
	if (from->max_ns > into->max_ns)
		into->max_ns = from->max_ns;
	for (i = 0; i < LATENCY_SLOTS; i++) {
		into->slots[i] += from->slots[i];
		into->cnt += from->slots[i];
	}
}

/* What is counted together is told apart: see enum sched_observed. */
static void add_observations(struct sched_histogram *into, const struct sched_observations *from)
{
	const struct sched_histogram *h = from->histograms;

	add_histogram(&into[SCHED_PREEMPTED], &h[SCHED_OBSERVED_PREEMPTED]);
	add_histogram(&into[SCHED_DELAYED], &h[SCHED_OBSERVED_DELAYED_PART]);
	add_histogram(&into[SCHED_RUNNABLE], &h[SCHED_OBSERVED_RUNNABLE]);
	add_histogram(&into[SCHED_RUNNABLE], &h[SCHED_OBSERVED_RUNNABLE_PART]);
	add_histogram(&into[SCHED_LATENCY], &h[SCHED_OBSERVED_PREEMPTED]);
	add_histogram(&into[SCHED_LATENCY], &h[SCHED_OBSERVED_RUNNABLE]);
	add_histogram(&into[SCHED_LATENCY], &h[SCHED_OBSERVED_WHOLE]);
}

static void add_counts(struct sched_totals *into, const struct sched_counts *from)
{
	size_t i;

	add_observations(into->histograms, &from->observed);
	for (i = 0; i < SCHED_CAUSES; i++) {
		const struct sched_cause_counts *preempted, *woken;

		preempted = &from->causes[SCHED_ORIGIN_PREEMPTED][i];
		woken = &from->causes[SCHED_ORIGIN_WOKEN][i];
		into->cause_waits[i] += preempted->waits + woken->waits;
		into->cause_ns[SCHED_PREEMPTED][i] += preempted->ns;
		into->cause_ns[SCHED_DELAYED][i] += woken->delayed_ns;
		into->cause_ns[SCHED_RUNNABLE][i] += woken->ns - woken->delayed_ns;
	}
	into->unknown_ns += from->unknown_ns;
	into->unknown_waits += from->unknown_waits;
	into->unaccounted_ns += from->unaccounted_ns;
	for (i = 0; i < SCHED_NOTES; i++)
		into->notes[i] += from->notes[i];
}

static int compare_worst(const void *a, const void *b)
{
	const struct sched_worst *x = a, *y = b;

	return (x->wait_ns < y->wait_ns) - (x->wait_ns > y->wait_ns);
}

static int add_worst(struct sched_snapshot *ret, const struct sched_worst *list, size_t list_cnt)
{
	size_t i;
	int err = array__reserve(ret->worst, ret->worst_cap, ret->worst_cnt + list_cnt);

	for (i = 0; !err && i < list_cnt; i++)
		if (list[i].wait_ns)
			ret->worst[ret->worst_cnt++] = list[i];
	return err;
}

static int compare_cells(const void *a, const void *b)
{
	const struct sched_pair *x = &((const struct sched_matrix_cell *)a)->pair;
	const struct sched_pair *y = &((const struct sched_matrix_cell *)b)->pair;

	if (x->victim != y->victim)
		return x->victim < y->victim ? -1 : 1;
	return (x->culprit > y->culprit) - (x->culprit < y->culprit);
}

static int add_cell(struct sched_snapshot *ret, const struct sched_pair *pair,
		    const struct sched_cell *cell)
{
	int err = cell->waits ? array__reserve(ret->cells, ret->cells_cap, ret->cells_cnt + 1) : 0;

	if (!err && cell->waits)
		ret->cells[ret->cells_cnt++] =
			(struct sched_matrix_cell){ .pair = *pair, .cell = *cell };
	return err;
}

/* One cell of each pair, summed over CPUs and caches. */
static void merge_cells(struct sched_snapshot *ret)
{
	size_t i, kept = 0;

	if (!ret->cells_cnt)
		return;
	qsort(ret->cells, ret->cells_cnt, sizeof(*ret->cells), compare_cells);
	for (i = 1; i < ret->cells_cnt; i++) {
		if (compare_cells(&ret->cells[kept], &ret->cells[i])) {
			ret->cells[++kept] = ret->cells[i];
			continue;
		}
		ret->cells[kept].cell.ns += ret->cells[i].cell.ns;
		ret->cells[kept].cell.waits += ret->cells[i].cell.waits;
	}
	ret->cells_cnt = kept + 1;
}

static int read_matrix(struct sched_state *s, struct sched_snapshot *ret)
{
	const struct bpf_map *map = s->skel->maps.sched_matrix;
	int cpus_cnt = libbpf_num_possible_cpus(), cpu, err;
	_cleanup_free_ struct sched_cell *cells = NULL;
	struct sched_pair key, *last = NULL;

	cells = cpus_cnt > 0 ? calloc((size_t)cpus_cnt, sizeof(*cells)) : NULL;
	if (!cells)
		return -ENOMEM;
	while (!bpf_map__get_next_key(map, last, &key, sizeof(key))) {
		last = &key;
		err = bpf_map__lookup_elem(map, &key, sizeof(key), cells,
					   (size_t)cpus_cnt * sizeof(*cells), 0);
		for (cpu = 0; !err && cpu < cpus_cnt; cpu++)
			err = add_cell(ret, &key, &cells[cpu]);
		if (err)
			return err;
	}
	return 0;
}

/* Values of the only entry of the per-CPU map; each begins with struct sched_counts. */
static int read_per_cpu(struct sched_state *s, char **ret, size_t *ret_cnt)
{
	const size_t value_bytes = bpf_map__value_size(s->skel->maps.sched_cpus);
	int cpus_cnt = libbpf_num_possible_cpus();
	const uint32_t zero = 0;

	if (cpus_cnt < 0)
		return cpus_cnt;
	*ret_cnt = (size_t)cpus_cnt;
	*ret = calloc(*ret_cnt, value_bytes);
	if (!*ret)
		return -ENOMEM;
	return bpf_map__lookup_elem(s->skel->maps.sched_cpus, &zero, sizeof(zero), *ret,
				    *ret_cnt * value_bytes, 0);
}

static const struct sched_counts *counts_of(const struct sched_state *s, const char *values,
					    size_t cpu)
{
	return (const void *)(values + cpu * bpf_map__value_size(s->skel->maps.sched_cpus));
}

int sched_state__read_switches(struct sched_state *s, struct event_counters *ret)
{
	_cleanup_free_ char *values = NULL;
	size_t cpus_cnt, cpu, i;
	int err = read_per_cpu(s, &values, &cpus_cnt);

	for (cpu = 0; !err && cpu < cpus_cnt; cpu++)
		for (i = 0; i < COUNTER_CNT; i++)
			ret->value[i] += counts_of(s, values, cpu)->switches.value[i];
	return err;
}

/* What every CPU has counted by itself. */
static int read_counts(struct sched_state *s, struct sched_snapshot *ret)
{
	_cleanup_free_ char *values = NULL;
	size_t cpus_cnt, cpu, i;
	int err = read_per_cpu(s, &values, &cpus_cnt);

	for (cpu = 0; !err && cpu < cpus_cnt; cpu++) {
		const struct sched_counts *c = counts_of(s, values, cpu);

		add_counts(&ret->totals, c);
		err = add_worst(ret, c->worst, s->worst_cnt);
		for (i = 0; !err && i < SCHED_CACHED_CELLS; i++)
			err = add_cell(ret, &c->cached[i].pair, &c->cached[i].cell);
	}
	return err;
}

/* The matrix has two sources and the worst waits as many as there are CPUs. */
static void sort_and_cut(struct sched_state *s, struct sched_snapshot *ret)
{
	merge_cells(ret);
	if (ret->worst_cnt)
		qsort(ret->worst, ret->worst_cnt, sizeof(*ret->worst), compare_worst);
	if (ret->worst_cnt > s->worst_cnt)
		ret->worst_cnt = s->worst_cnt;
}

/* Of groups the maximum is kept without a lock: it is at least what its slot says. */
static void raise_max(struct sched_histogram *h)
{
	size_t i = LATENCY_SLOTS - 1;

	while (i && !h->slots[i])
		i--;
	if (i && h->max_ns <= latency_bounds_ns[i - 1])
		h->max_ns = latency_bounds_ns[i - 1] + 1;
}

static int read_groups(struct sched_state *s, struct sched_snapshot *ret)
{
	const struct bpf_map *map = s->skel->maps.sched_groups;
	uint64_t key, *last = NULL;
	int err;

	if (!s->has_groups)
		return 0;
	while (!bpf_map__get_next_key(map, last, &key, sizeof(key))) {
		struct sched_group_histograms *g;
		struct sched_observations group;

		last = &key;
		err = bpf_map__lookup_elem(map, &key, sizeof(key), &group, sizeof(group), 0);
		err = err ?: array__reserve(ret->groups, ret->groups_cap, ret->groups_cnt + 1);
		if (err)
			return err;
		g = &ret->groups[ret->groups_cnt];
		*g = (struct sched_group_histograms){ .key = key };
		add_observations(g->histograms, &group);
		for (size_t i = 0; i < SCHED_HISTOGRAMS; i++)
			raise_max(&g->histograms[i]);
		ret->groups_cnt += g->histograms[SCHED_LATENCY].cnt != 0;
	}
	return 0;
}

static int read_names(struct sched_state *s, struct sched_snapshot *ret)
{
	const struct bpf_map *map = s->skel->maps.sched_names;
	char key[TASK_COMM_BYTES], *last = NULL;
	int err;

	while (!bpf_map__get_next_key(map, last, key, sizeof(key))) {
		struct sched_name *n;

		last = key;
		err = array__reserve(ret->names, ret->names_cap, ret->names_cnt + 1);
		if (err)
			return err;
		n = &ret->names[ret->names_cnt];
		err = bpf_map__lookup_elem(map, key, sizeof(key), &n->id, sizeof(n->id), 0);
		if (err)
			return err;
		memcpy(n->comm, key, sizeof(n->comm) - 1);
		n->comm[sizeof(n->comm) - 1] = '\0';
		ret->names_cnt++;
	}
	return 0;
}

int collector__sched_threads(struct collector *c, struct sched_snapshot *ret)
{
	struct sched_state *s = collector__probe_state(c, &probe_sched);
	struct sched_threads alive = { 0 };
	int err;

	*ret = (struct sched_snapshot){ 0 };
	if (!s)
		return -EINVAL;
	if (s->is_detached)
		return merge_threads(ret, &s->ended, &s->alive);
	err = sched_state__read_alive(s, &alive) ?: merge_threads(ret, &s->ended, &alive);
	free(alive.items);
	return err;
}

int collector__sched_snapshot(struct collector *c, struct sched_snapshot *ret)
{
	struct sched_state *s = collector__probe_state(c, &probe_sched);
	int err = collector__sched_threads(c, ret);

	err = err ?: read_counts(s, ret);
	err = err ?: read_matrix(s, ret);
	if (!err)
		sort_and_cut(s, ret);
	ret->totals.notes[SCHED_NOTE_THREADS_LOST] += s->ended.lost + s->alive.lost;
	err = err ?: read_groups(s, ret);
	return err ?: read_names(s, ret);
}

void sched_snapshot__done(struct sched_snapshot *s)
{
	free(s->threads);
	free(s->groups);
	free(s->cells);
	free(s->worst);
	free(s->names);
	*s = (struct sched_snapshot){ 0 };
}
