/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Where sched.bpf.c counts waits: per-CPU histograms and sums, the matrix of victims and culprits,
 * the worst waits, groups of histograms (--by). Private to it; what is in the maps is abi/sched.h.
 */
#ifndef SCHED_COUNT_BPF_H
#define SCHED_COUNT_BPF_H

#include "sched_cpu.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, SCHED_MATRIX_MAX);
	__type(key, struct sched_pair);
	__type(value, struct sched_cell);
} sched_matrix SEC(".maps");

/* Only with --by; values are shared by all CPUs. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SCHED_GROUPS_MAX);
	__type(key, u64);
	__type(value, struct sched_observations);
} sched_groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sched_observations);
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

/* What is counted follows from the slots. Shared: somebody may do the same on another CPU. The
 * maximum may lose against one that is as good as simultaneous; user space holds it against the
 * highest slot. */
static __always_inline void observe(struct sched_histogram *h, u64 ns, u32 slot, bool is_shared)
{
	u64 idx = slot;

	if (ns > h->max_ns)
		h->max_ns = ns;
	BOUND(idx, SLOT_MASK);
	if (idx >= LATENCY_SLOTS)
		return;
	if (is_shared) {
		__sync_fetch_and_add(&h->sum_ns, ns);
		__sync_fetch_and_add(&h->slots[idx], 1);
	} else {
		h->sum_ns += ns;
		h->slots[idx]++;
	}
}

/* A preempted wait is one observation of its reason; a woken one of runnable always, of delayed
 * where there was something to wait behind. Each is one of latency, which follows from these. */
static __always_inline void count__observe(struct sched_observations *o, const struct sched_wait *w,
					   bool is_shared)
{
	/* Woken and switched to at once is the most frequent wait of all. */
	u32 slot = w->wait_ns <= 1 ? 0 : sched_slot(w->wait_ns);
	u64 which = w->origin == SCHED_ORIGIN_PREEMPTED ? SCHED_OBSERVED_PREEMPTED
							: SCHED_OBSERVED_RUNNABLE;

	if (unlikely(w->reason_ns[SCHED_DELAYED])) {
		observe(&o->histograms[SCHED_OBSERVED_DELAYED_PART], w->reason_ns[SCHED_DELAYED],
			sched_slot(w->reason_ns[SCHED_DELAYED]), is_shared);
		observe(&o->histograms[SCHED_OBSERVED_RUNNABLE_PART], w->reason_ns[SCHED_RUNNABLE],
			sched_slot(w->reason_ns[SCHED_RUNNABLE]), is_shared);
		which = SCHED_OBSERVED_WHOLE;
	}
	observe(&o->histograms[which], w->wait_ns, slot, is_shared);
}

static __always_inline void count__cause(struct sched_counts *counts, const struct sched_wait *w)
{
	u64 cause = w->cause, origin = w->origin;
	struct sched_cause_counts *c;

	BOUND(cause, SCHED_PARTS - 1);
	BOUND(origin, SCHED_ORIGINS - 1);
	c = &counts->causes[origin][cause];
	c->waits++;
	c->ns += w->wait_ns;
	if (w->reason_ns[SCHED_DELAYED])
		c->delayed_ns += w->reason_ns[SCHED_DELAYED];
}

/* Moves a cell from the CPU's cache to the matrix. The cell {0, 0} is "other"; user space has made
 * it before anything is counted. */
__noinline int sched_write_back(u32 idx)
{
	u32 zero = 0;
	struct sched_cpu *cpu = bpf_map_lookup_elem(&sched_cpus, &zero);
	struct sched_pair other = { 0 };
	struct sched_cached_cell *from;
	struct sched_cell *cell;
	u64 at = idx;

	if (!cpu)
		return 0;
	BOUND(at, SCHED_CACHED_CELLS - 1);
	from = &cpu->counts.cached[at];
	cell = bpf_map_lookup_elem(&sched_matrix, &from->pair);
	if (!cell) {
		if (!bpf_map_update_elem(&sched_matrix, &from->pair, &from->cell, BPF_NOEXIST))
			return 0;
		cell = bpf_map_lookup_elem(&sched_matrix, &from->pair); /* made elsewhere? */
		if (!cell) {
			cpu->counts.notes[SCHED_NOTE_MATRIX_FULL] += from->cell.waits;
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
static __always_inline void count__matrix(struct sched_cpu *cpu)
{
	const struct sched_wait *w = &cpu->wait;
	const struct sched_run *culprit = culprit_of(cpu);
	struct sched_cached_cell *c;
	u64 victim, by, idx;

	if (!w->culprit_nr) {
		cpu->counts.unknown_ns += w->wait_ns;
		cpu->counts.unknown_waits++;
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
	c = &cpu->counts.cached[idx];
	if (unlikely(c->pair.victim != victim || c->pair.culprit != by || !c->cell.waits)) {
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

/* In the group of --by. */
__noinline int sched_count_group(u32 zero)
{
	struct sched_cpu *cpu = bpf_map_lookup_elem(&sched_cpus, &zero);
	struct sched_observations *g, *none;
	const struct sched_wait *w;
	u64 key;

	/* Before 6.8 a global function is verified though nobody calls it: without the map. */
	if (!cpu || !sched_by)
		return 0;
	w = &cpu->wait;
	key = sched_by == SCHED_BY_CGROUP ? w->cgroup_id
	      : sched_by == SCHED_BY_COMM ? w->name
	      : sched_by == SCHED_BY_PID  ? w->tgid
					  : bpf_get_smp_processor_id();
	g = bpf_map_lookup_elem(&sched_groups, &key);
	if (!g) {
		none = bpf_map_lookup_elem(&sched_no_group, &zero);
		if (!none)
			return 0;
		bpf_map_update_elem(&sched_groups, &key, none, BPF_NOEXIST);
		g = bpf_map_lookup_elem(&sched_groups, &key);
	}
	if (!g) {
		cpu->counts.notes[SCHED_NOTE_GROUPS_FULL]++;
		key = SCHED_OTHER_KEY; /* made by user space */
		g = bpf_map_lookup_elem(&sched_groups, &key);
	}
	if (g)
		count__observe(g, w, true);
	return 0;
}

/* Takes the place of the least of those kept; rare once the list has filled. */
static __always_inline void count__worst(struct sched_cpu *cpu, struct task_struct *victim)
{
	const struct sched_wait *w = &cpu->wait;
	u32 i, least = 0;
	u64 idx = cpu->worst_idx;
	struct sched_worst *list = cpu->counts.worst;
	const struct sched_run *culprit = culprit_of(cpu);
	struct sched_worst *e;

	BOUND(idx, SCHED_WORST_MAX - 1);
	e = &list[idx];
	e->time_ns = bpf_ktime_get_ns();
	e->wait_ns = w->wait_ns;
	for (i = 0; i < SCHED_REASONS; i++)
		e->reason_ns[i] = w->reason_ns[i];
	e->cpu = bpf_get_smp_processor_id();
	e->cause = w->cause;
	e->victim.tgid = w->tgid;
	e->victim.tid = w->tid;
	e->victim.cgroup = w->cgroup_id;
	bpf_probe_read_kernel(e->victim.comm, sizeof(e->victim.comm), victim->comm);
	e->has_culprit = w->culprit_nr != 0;
	if (w->culprit_nr) {
		e->culprit.tgid = culprit->tgid;
		e->culprit.tid = culprit->tid;
		e->culprit.cgroup = culprit->cgroup_id;
		copy_comm(e->culprit.comm, culprit->comm);
	}
	cpu->worst_ns = ~0ULL;
	for (i = 0; i < SCHED_WORST_MAX && i < sched_worst_cnt; i++) {
		if (list[i].wait_ns >= cpu->worst_ns)
			continue;
		cpu->worst_ns = list[i].wait_ns;
		least = i;
	}
	cpu->worst_idx = least;
}

/* Counts cpu->wait. */
static __always_inline void count__wait(struct sched_cpu *cpu)
{
	count__observe(&cpu->counts.observed, &cpu->wait, false);
	count__cause(&cpu->counts, &cpu->wait);
	count__matrix(cpu);
	if (unlikely(sched_by))
		sched_count_group(0);
}

#endif
