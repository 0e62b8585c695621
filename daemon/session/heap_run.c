/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_run.h. A row of profile/heap_rows.h is a kept stack, by its index. What the live set
 * holds is asked for only when a look is due: frees send no records.
 */
#include "session/heap_run.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include "base/clock.h"
#include "base/log.h"
#include "profile/heap_rows.h"
#include "session/heap_processes.h"
#include "session/heap_reporter.h"
#include "session/kept_stacks.h"

/* The interval of a process that selects by itself, as its weights tell. */
struct own_interval {
	double sum, min, max;
	uint64_t cnt;
	bool has_weights, has_others;
};

struct heap_run {
	struct kept_stacks *stacks;
	struct heap_rows *rows;
	struct heap_process *processes;
	struct collector *collector; /* borrowed; NULL: not known */
	struct own_interval own;
	uint64_t interval_bytes;
	bool is_live;
	uint64_t alloc_since_ns; /* mono; 0: from the start, or never */
	uint64_t points_ns[HEAP_POINTS];
	uint64_t ids_unknown;
};

struct heap_run *heap_run__new(uint64_t interval_bytes, bool is_live)
{
	_cleanup_(heap_run__freep) struct heap_run *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->interval_bytes = interval_bytes;
	r->is_live = is_live;
	r->stacks = kept_stacks__new();
	r->rows = heap_rows__new(interval_bytes);
	return r->stacks && r->rows ? take_ptr(r) : NULL;
}

void heap_run__free(struct heap_run *r)
{
	if (!r)
		return;
	kept_stacks__free(r->stacks);
	heap_rows__free(r->rows);
	heap_processes__done(&r->processes);
	free(r);
}

void heap_run__use_collector(struct heap_run *r, struct collector *c)
{
	r->collector = c;
}

int heap_run__stack(struct heap_run *r, const struct sample *s, const uint32_t *locations,
		    uint32_t locations_cnt, const struct label_set *labels)
{
	int err = kept_stacks__add(r->stacks, s, locations, locations_cnt, labels);

	return err ?: heap_processes__name(&r->processes, s->pid, s->leader_comm);
}

int heap_run__lose_stack(struct heap_run *r, const struct sample *s)
{
	return kept_stacks__add_stand_in(r->stacks, s, KEPT_STACK_PROFILE_FULL);
}

/* p = 1 - exp(-k/T) = k/weighted. A weight is a whole number: the smaller k is beside it, the less
 * that matters. */
static void note_own_interval(struct own_interval *own, const struct sample_alloc *a)
{
	double interval;

	own->has_weights |= a->weighted_bytes != 0;
	own->has_others |= !a->weighted_bytes;
	if (!a->bytes || a->weighted_bytes / 4 < a->bytes)
		return;
	interval = -(double)a->bytes / log1p(-(double)a->bytes / (double)a->weighted_bytes);
	own->min = own->cnt ? fmin(own->min, interval) : interval;
	own->max = own->cnt ? fmax(own->max, interval) : interval;
	own->sum += interval;
	own->cnt++;
}

/* 0: not known, or not one. */
static uint64_t shown_interval(const struct heap_run *r, const struct heap_finish *f)
{
	const struct own_interval *own = &r->own;

	if (f->opts->target == TARGET_COMMAND || own->has_others)
		return r->interval_bytes;
	if (!own->has_weights)
		return f->sources == HEAP_SOURCE_PRELOAD ? 0 : r->interval_bytes;
	if (!own->cnt || own->max - own->min > 2 + 0.01 * own->max)
		return 0;
	return (uint64_t)(own->sum / (double)own->cnt + 0.5);
}

static void look_if_due(struct heap_run *r)
{
	int err;

	if (!r->is_live || !r->collector || !heap_rows__wants_walk(r->rows))
		return;
	err = heap_run__look(r, r->collector, -1);
	if (err)
		log_debug("the live set: %s, ignoring: stacks are kept for longer", strerror(-err));
}

int heap_run__alloc(struct heap_run *r, const struct sample *s)
{
	const struct heap_alloc alloc = {
		.id = s->stack_id == STACK_ID_LOST ? 0 : s->stack_id,
		.time_ns = s->time_ns,
		.bytes = s->alloc.bytes,
		.weighted_bytes = s->alloc.weighted_bytes,
		.q = s->alloc.q,
	};
	const struct heap_sums sums = heap_sums__of(&alloc, r->interval_bytes);
	uint32_t row = kept_stacks__take(r->stacks, s);
	int err;

	err = heap_rows__add(r->rows, row, &alloc, s->alloc.is_live);
	if (err)
		return err;
	r->ids_unknown += row == KEPT_STACK_UNKNOWN;
	note_own_interval(&r->own, &s->alloc);
	/* Its share in a table of processes is not worth an error once it is counted. */
	heap_processes__add_alloc(&r->processes, s->pid, &sums, heap_alloc__is_sliced(&alloc));
	look_if_due(r);
	return 0;
}

int heap_run__begin_slice(struct heap_run *r, uint64_t time_ns, uint32_t q)
{
	return heap_rows__begin_slice(r->rows, time_ns, q);
}

void heap_run__end_slice(struct heap_run *r, double own_ns, double error_ns, double planned_ns)
{
	heap_rows__end_slice(r->rows, own_ns, error_ns, planned_ns);
}

static int see_entry(const struct heap_key *key, const struct heap_live *live, void *ctx)
{
	const struct heap_alloc alloc = {
		.id = live->stack_id == STACK_ID_LOST ? 0 : live->stack_id,
		.time_ns = live->time_ns,
		.bytes = live->bytes,
		.weighted_bytes = live->weighted_bytes,
		.q = live->q,
	};
	struct heap_run *r = ctx;
	struct heap_sums sums;
	int seen;

	seen = heap_rows__see(r->rows, &alloc, KEPT_STACK_RING_FULL, &sums);
	if (seen > 0)
		return heap_processes__add_inuse(&r->processes, (pid_t)live->tgid, &sums);
	return seen;
}

int heap_run__look(struct heap_run *r, struct collector *c, int point)
{
	uint64_t now_ns = clock__mono_ns();
	int err;

	if (!r->is_live)
		return 0;
	if (point >= 0 && point < HEAP_POINTS)
		r->points_ns[point] = now_ns;
	heap_processes__clear_inuse(r->processes);
	heap_rows__begin_walk(r->rows, now_ns, point);
	err = collector__heap_live(c, see_entry, r);
	/* What was not seen in half a walk may be there. */
	if (!err)
		heap_rows__end_walk(r->rows);
	return err;
}

struct purge {
	pid_t pid;
	uint64_t time_ns;
};

static bool is_purged(const struct heap_key *key, const struct heap_live *live, void *ctx)
{
	const struct purge *purge = ctx;

	return (pid_t)live->tgid == purge->pid && live->time_ns < purge->time_ns;
}

int heap_run__forget_process(struct heap_run *r, struct collector *c, pid_t pid, uint64_t time_ns)
{
	struct purge purge = { .pid = pid, .time_ns = time_ns };
	int64_t cnt;

	if (!r->is_live)
		return 0;
	cnt = collector__heap_purge(c, is_purged, &purge);
	return cnt < 0 ? (int)cnt : 0;
}

void heap_run__end_live(struct heap_run *r, uint64_t time_ns)
{
	if (!r->is_live)
		return;
	r->is_live = false;
	r->alloc_since_ns = time_ns;
	heap_rows__end_live(r->rows);
	heap_processes__clear_inuse(r->processes);
}

int heap_run__note_process(struct heap_run *r, pid_t pid, const char *comm, uint64_t rss_bytes)
{
	return heap_processes__note(&r->processes, pid, comm, rss_bytes);
}

int heap_run__finish(struct heap_run *r, struct kind_run *run, const struct heap_finish *f)
{
	const struct heap_reporter reporter = {
		.finish = f,
		.run = run,
		.stacks = r->stacks,
		.rows = r->rows,
		.processes = r->processes,
		.points_ns = r->points_ns,
		.interval_bytes = shown_interval(r, f),
		.weight_interval_bytes = r->interval_bytes,
		.is_live = r->is_live,
		.alloc_since_ns = r->alloc_since_ns,
	};

	return heap_reporter__make(&reporter);
}

uint64_t heap_run__ids_unknown(const struct heap_run *r)
{
	return r->ids_unknown;
}
