/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Where sched.bpf.c counts waits: per-CPU histograms and sums, the matrix of victims and culprits,
 * the worst waits, groups of histograms (--by). Private to it; what is in the maps is abi/sched.h.
 */
#ifndef SCHED_COUNT_BPF_H
#define SCHED_COUNT_BPF_H

#include "sched_cpu.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sched_totals);
} sched_totals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, SCHED_MATRIX_MAX);
	__type(key, struct sched_pair);
	__type(value, struct sched_cell);
} sched_matrix SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sched_cells);
} sched_cells SEC(".maps");

struct sched_worst_list {
	struct sched_worst waits[SCHED_WORST_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sched_worst_list);
} sched_worst SEC(".maps");

/* Only with --by; values are shared by all CPUs. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SCHED_GROUPS_MAX);
	__type(key, u64);
	__type(value, struct sched_group);
} sched_groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sched_group);
} sched_no_group SEC(".maps");

const volatile __u32 sched_by = SCHED_BY_NOTHING;
const volatile __u32 sched_worst_cnt = 0;

#define SLOT_MASK 511 /* covers LATENCY_SLOTS */

/* latency__slot() once, not once per state of its callers. */
__noinline u32 sched_slot(u64 ns)
{
	return latency__slot(ns);
}

static __always_inline struct sched_run *culprit_of(struct sched_cpu *cpu)
{
	u64 idx = cpu->wait.culprit_nr;

	BOUND(idx, RUNS - 1);
	return &cpu->runs[idx];
}

static __always_inline void observe(struct sched_histogram *h, u64 ns, u32 slot)
{
	u64 idx = slot;

	h->cnt++;
	h->sum_ns += ns;
	if (ns > h->max_ns)
		h->max_ns = ns;
	BOUND(idx, SLOT_MASK);
	if (idx < LATENCY_SLOTS)
		h->slots[idx]++;
}

/* On other CPUs somebody may do the same. The maximum may lose against one that is as good as
 * simultaneous; user space holds it against the highest slot. */
static __always_inline void observe_shared(struct sched_histogram *h, u64 ns, u32 slot)
{
	u64 idx = slot;

	__sync_fetch_and_add(&h->cnt, 1);
	__sync_fetch_and_add(&h->sum_ns, ns);
	if (ns > h->max_ns)
		h->max_ns = ns;
	BOUND(idx, SLOT_MASK);
	if (idx < LATENCY_SLOTS)
		__sync_fetch_and_add(&h->slots[idx], 1);
}

/* A preempted wait is one observation of its reason; a woken one of runnable always, of delayed
 * where there was something to wait behind. Each is one of latency. */
static __always_inline void count__histograms(struct sched_totals *totals,
					      const struct sched_wait *w)
{
	u32 slot = sched_slot(w->wait_ns);

	observe(&totals->histograms[SCHED_LATENCY], w->wait_ns, slot);
	if (w->origin == SCHED_ORIGIN_PREEMPTED) {
		observe(&totals->histograms[SCHED_PREEMPTED], w->wait_ns, slot);
		return;
	}
	if (w->reason_ns[SCHED_DELAYED]) {
		observe(&totals->histograms[SCHED_DELAYED], w->reason_ns[SCHED_DELAYED],
			sched_slot(w->reason_ns[SCHED_DELAYED]));
		slot = sched_slot(w->reason_ns[SCHED_RUNNABLE]);
	}
	observe(&totals->histograms[SCHED_RUNNABLE], w->reason_ns[SCHED_RUNNABLE], slot);
}

static __always_inline void count__cause(struct sched_totals *totals, const struct sched_wait *w)
{
	u64 cause = w->cause;

	BOUND(cause, SCHED_PARTS - 1);
	if (cause >= SCHED_CAUSES)
		return;
	totals->cause_waits[cause]++;
	if (w->origin == SCHED_ORIGIN_PREEMPTED) {
		totals->cause_ns[SCHED_PREEMPTED][cause] += w->wait_ns;
		return;
	}
	totals->cause_ns[SCHED_DELAYED][cause] += w->reason_ns[SCHED_DELAYED];
	totals->cause_ns[SCHED_RUNNABLE][cause] += w->reason_ns[SCHED_RUNNABLE];
}

/* Moves a cell from the CPU's cache to the matrix. The cell {0, 0} is "other"; user space has made
 * it before anything is counted. */
__noinline int sched_write_back(u32 idx)
{
	u32 zero = 0;
	struct sched_totals *totals = bpf_map_lookup_elem(&sched_totals, &zero);
	struct sched_cells *cells = bpf_map_lookup_elem(&sched_cells, &zero);
	struct sched_pair other = { 0 };
	struct sched_cached_cell *from;
	struct sched_cell *cell;
	u64 at = idx;

	if (!totals || !cells)
		return 0;
	BOUND(at, SCHED_CACHED_CELLS - 1);
	from = &cells->cached[at];
	cell = bpf_map_lookup_elem(&sched_matrix, &from->pair);
	if (!cell) {
		if (!bpf_map_update_elem(&sched_matrix, &from->pair, &from->cell, BPF_NOEXIST))
			return 0;
		cell = bpf_map_lookup_elem(&sched_matrix, &from->pair); /* made elsewhere? */
		if (!cell) {
			totals->notes[SCHED_NOTE_MATRIX_FULL]++;
			cell = bpf_map_lookup_elem(&sched_matrix, &other);
		}
	}
	if (cell) {
		cell->ns += from->cell.ns;
		cell->waits += from->cell.waits;
	}
	return 0;
}

/* Few pairs meet again and again: they are added up in a small cache first, which user space reads,
 * too. */
static __always_inline void count__matrix(struct sched_cpu *cpu, struct sched_totals *totals)
{
	const struct sched_wait *w = &cpu->wait;
	const struct sched_run *culprit = culprit_of(cpu);
	u32 zero = 0;
	struct sched_cells *cells = bpf_map_lookup_elem(&sched_cells, &zero);
	struct sched_cached_cell *c;
	u64 victim, by, idx;

	if (!w->culprit_nr || !cells) {
		totals->unknown_ns += w->wait_ns;
		totals->unknown_waits++;
		return;
	}
	if (sched_by == SCHED_BY_CGROUP) {
		victim = w->cgroup_id;
		by = culprit->tid ? culprit->cgroup_id : SCHED_IDLE_KEY;
	} else {
		victim = w->name;
		by = culprit->tid ? culprit->name : SCHED_IDLE_KEY;
	}
	idx = ((victim * 31 + by) * 0x9e3779b97f4a7c15ULL) >> 32;
	BOUND(idx, SCHED_CACHED_CELLS - 1);
	c = &cells->cached[idx];
	if (c->pair.victim != victim || c->pair.culprit != by || !c->cell.waits) {
		if (c->cell.waits)
			sched_write_back(idx);
		c->pair.victim = victim;
		c->pair.culprit = by;
		c->cell.ns = 0;
		c->cell.waits = 0;
	}
	c->cell.ns += w->wait_ns;
	c->cell.waits++;
}

static __always_inline void count__group(struct sched_totals *totals, const struct sched_wait *w)
{
	u64 key = sched_by == SCHED_BY_CGROUP ? w->cgroup_id
		  : sched_by == SCHED_BY_COMM ? w->name
		  : sched_by == SCHED_BY_PID  ? w->tgid
					      : bpf_get_smp_processor_id();
	struct sched_group *g = bpf_map_lookup_elem(&sched_groups, &key), *none;
	u32 slot, zero = 0;

	if (!g) {
		none = bpf_map_lookup_elem(&sched_no_group, &zero);
		if (!none)
			return;
		bpf_map_update_elem(&sched_groups, &key, none, BPF_NOEXIST);
		g = bpf_map_lookup_elem(&sched_groups, &key);
	}
	if (!g) {
		totals->notes[SCHED_NOTE_GROUPS_FULL]++;
		key = SCHED_OTHER_KEY; /* made by user space */
		g = bpf_map_lookup_elem(&sched_groups, &key);
		if (!g)
			return;
	}
	slot = sched_slot(w->wait_ns);
	observe_shared(&g->histograms[SCHED_LATENCY], w->wait_ns, slot);
	if (w->origin == SCHED_ORIGIN_PREEMPTED) {
		observe_shared(&g->histograms[SCHED_PREEMPTED], w->wait_ns, slot);
		return;
	}
	if (w->reason_ns[SCHED_DELAYED])
		observe_shared(&g->histograms[SCHED_DELAYED], w->reason_ns[SCHED_DELAYED],
			       sched_slot(w->reason_ns[SCHED_DELAYED]));
	observe_shared(&g->histograms[SCHED_RUNNABLE], w->reason_ns[SCHED_RUNNABLE],
		       sched_slot(w->reason_ns[SCHED_RUNNABLE]));
}

/* Takes the place of the least of those kept; rare once the list has filled. */
static __always_inline void count__worst(struct sched_cpu *cpu, struct task_struct *victim)
{
	const struct sched_wait *w = &cpu->wait;
	u32 zero = 0, i, least = 0;
	u64 idx = cpu->worst_idx;
	struct sched_worst_list *list = bpf_map_lookup_elem(&sched_worst, &zero);
	const struct sched_run *culprit = culprit_of(cpu);
	struct sched_worst *e;

	if (!list)
		return;
	BOUND(idx, SCHED_WORST_MAX - 1);
	e = &list->waits[idx];
	e->time_ns = bpf_ktime_get_ns();
	e->wait_ns = w->wait_ns;
	for (i = 0; i < SCHED_REASONS; i++)
		e->reason_ns[i] = w->reason_ns[i];
	e->cpu = bpf_get_smp_processor_id();
	e->cause = w->cause;
	e->victim.tgid = w->tgid;
	e->victim.tid = w->tid;
	e->victim.cgroup = w->cgroup_id;
	copy_comm(e->victim.comm, victim->comm);
	e->has_culprit = w->culprit_nr != 0;
	if (w->culprit_nr) {
		e->culprit.tgid = culprit->tgid;
		e->culprit.tid = culprit->tid;
		e->culprit.cgroup = culprit->cgroup_id;
		copy_comm(e->culprit.comm, culprit->comm);
	}
	cpu->worst_ns = ~0ULL;
	for (i = 0; i < SCHED_WORST_MAX && i < sched_worst_cnt; i++) {
		if (list->waits[i].wait_ns >= cpu->worst_ns)
			continue;
		cpu->worst_ns = list->waits[i].wait_ns;
		least = i;
	}
	cpu->worst_idx = least;
}

/* Counts cpu->wait. A global function, as the others that are: verified once. */
__noinline int sched_count_wait(u32 zero)
{
	struct sched_totals *totals = bpf_map_lookup_elem(&sched_totals, &zero);
	struct sched_cpu *cpu = bpf_map_lookup_elem(&sched_cpus, &zero);

	if (!totals || !cpu)
		return 0;
	count__histograms(totals, &cpu->wait);
	count__cause(totals, &cpu->wait);
	count__matrix(cpu, totals);
	if (sched_by)
		count__group(totals, &cpu->wait);
	return 0;
}

#endif
