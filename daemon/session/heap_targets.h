/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which processes are probed for their heap, where, and how much that may cost: finds the modules
 * of the TARGET's processes that have an allocator or emit otel_memory, asks the worker for sites,
 * attaches, follows processes that start, call exec, load libraries or end, and keeps to
 * --heap-budget. Called by session.c and loop.c; only of a run with the heap kind.
 */
#ifndef SESSION_HEAP_TARGETS_H
#define SESSION_HEAP_TARGETS_H

#include "base/cleanup.h"
#include "process/process.h"
#include "session/heap_cost.h"
#include "session/heap_run.h"

struct heap_targets;
struct session;

/*
 * COMMAND with the preload: what its environment gets ("LD_PRELOAD=…", "CPROF_HEAP_INTERVAL=…"),
 * before command__fork(). *ret_env is NULL-terminated, NULL where uprobes are used (and why has
 * been said where that was not asked for); to be freed with everything in it. Returns an exit
 * status.
 */
int heap_targets__environment(const struct options *opts, char ***ret_env);

/* After collector__attach() and before COMMAND's exec: probes whoever is there. Logs, returns an
 * exit status: nobody that can be probed is one. */
int heap_targets__start(struct heap_targets **ret, struct session *s, struct kind_run *run);
void heap_targets__free(struct heap_targets *t);
DEFINE_CLEANUP(struct heap_targets *, heap_targets__free);

/* After the event was applied to the process table. 0 or -ENOMEM; what cannot be probed is counted
 * and said. */
int heap_targets__event(struct heap_targets *t, const struct process_event *ev);

/* Every round of the loop: cost, budget, RSS, moments of growth. */
void heap_targets__tick(struct heap_targets *t, uint64_t now_ns);
/* When the next tick is due; UINT64_MAX: whenever. */
uint64_t heap_targets__due_ns(const struct heap_targets *t);

/* Removes all probes. */
void heap_targets__detach(struct heap_targets *t);

void heap_targets__costs(const struct heap_targets *t, struct heap_cost_totals *ret);
unsigned int heap_targets__sources(const struct heap_targets *t); /* enum heap_source */

/* Nobody of the TARGET could be probed in the whole window: says why, returns an exit status. */
int heap_targets__check(const struct heap_targets *t);

#endif
