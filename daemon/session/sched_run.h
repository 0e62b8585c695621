/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of a run whose probe counts waits: joins sampled waits with the stacks that came before
 * them, and at the end makes rows whose sums are exact, and the report, out of them and of the
 * snapshot. Fed by the pipeline; the loop brings the snapshots.
 */
#ifndef SESSION_SCHED_RUN_H
#define SESSION_SCHED_RUN_H

#include "base/cleanup.h"
#include "collect/sample.h"
#include "collect/sched_snapshot.h"
#include "options.h"
#include "session/kind_run.h"
#include "session/labels.h"

struct sched_run;

struct sched_run *sched_run__new(void); /* NULL: out of memory */
void sched_run__free(struct sched_run *r);
DEFINE_CLEANUP(struct sched_run *, sched_run__free);

/* A stack, and a wait, in time order. 0 or -ENOMEM, for a stack also -ENOSPC: the wait it was taken
 * for is counted under [lost] then. */
int sched_run__stack(struct sched_run *r, const struct sample *s, const uint32_t *locations,
		     uint32_t locations_cnt, const struct label_set *labels);
int sched_run__lose_stack(struct sched_run *r, const struct sample *s);
int sched_run__wait(struct sched_run *r, const struct sample *s);

/* The threads at the end of an interval (--interval); the snapshot stays the caller's. 0 or
 * -ENOMEM. */
int sched_run__interval(struct sched_run *r, const struct sched_snapshot *threads);

/* The snapshot after the last wait: taken over. */
void sched_run__end(struct sched_run *r, struct sched_snapshot *snapshot);

/* What the end needs beside the snapshot. */
struct sched_finish {
	const struct options *opts;
	const struct label_keys *keys;
	const char *mounts;        /* /proc/self/mounts */
	int64_t real_less_mono_ns; /* UTC less CLOCK_MONOTONIC */
};

/*
 * Once the locations of run->profile have names: adds the rows and the report to it, and the exact
 * sums to run->account. 0 or -errno.
 */
int sched_run__finish(struct sched_run *r, struct kind_run *run, const struct sched_finish *f);

/* Waits whose stack was not known by its id, sampled waits and lines of the trace that there was no
 * room for. */
uint64_t sched_run__ids_unknown(const struct sched_run *r);
uint64_t sched_run__waits_homeless(const struct sched_run *r);
uint64_t sched_run__trace_dropped(const struct sched_run *r);

#endif
