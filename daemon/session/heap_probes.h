/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The probes that are in: one link per file and process, or one per file for all who map it. Probes
 * of processes their own cost nobody else anything; but each of a file is asked at every hit of
 * any, so that beyond HEAP_OWN_PROCESSES one link per file takes their place. Private to heap_*.c
 * of the session; knows files and pids, nothing of TARGETs.
 */
#ifndef SESSION_HEAP_PROBES_H
#define SESSION_HEAP_PROBES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "base/cleanup.h"
#include "session/heap_cost.h"
#include "session/heap_files.h"

#define HEAP_OWN_PROCESSES 16

struct heap_probes;

/* What links are made of: collect/heap.h, or a test's. */
struct heap_probe_ops {
	int (*attach)(struct collector *c, const struct heap_file *file, pid_t pid,
		      struct heap_attachment **ret);
	void (*free)(struct heap_attachment *a);
	int (*pause)(struct heap_attachment *a);
	int (*resume)(struct heap_attachment *a);
};
extern const struct heap_probe_ops heap_probes__collector;

/* 'may_share' false: processes have their own, however many there are. NULL: out of memory. */
struct heap_probes *heap_probes__new(const struct heap_probe_ops *ops, struct collector *c,
				     bool may_share);
void heap_probes__free(struct heap_probes *l); /* NULL is fine */
DEFINE_CLEANUP(struct heap_probes *, heap_probes__free);

/* From now on one link per file serves all; those that are in are replaced. 0 or -errno. */
int heap_probes__share(struct heap_probes *l);
bool heap_probes__is_shared(const struct heap_probes *l);

/*
 * Probes a file for a process, or (pid 0) for all who map it. What is probed already stays as it
 * is. 0 or -errno, as collector__heap_attach(); -ESHUTDOWN: after detach.
 */
int heap_probes__add(struct heap_probes *l, const struct heap_probed_file *file, pid_t pid);

bool heap_probes__has(const struct heap_probes *l, const struct heap_probed_file *file, pid_t pid);

/* The file's sites have changed: whatever link it has is replaced. 0 or the first -errno. */
int heap_probes__renew(struct heap_probes *l, const struct heap_probed_file *file);

/* The process has ended, or is not to be probed any more. */
void heap_probes__drop(struct heap_probes *l, pid_t pid);

/* All off for a while, and on again. Links that are added meanwhile are off, too. 0, or the first
 * -errno of several. */
int heap_probes__pause(struct heap_probes *l);
int heap_probes__resume(struct heap_probes *l);

/* Removes all probes, for good; what was probed stays known. */
void heap_probes__detach(struct heap_probes *l);

void heap_probes__site_counts(const struct heap_probes *l, struct heap_site_counts *ret);
size_t heap_probes__own_processes(const struct heap_probes *l);

#endif
