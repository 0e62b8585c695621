/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The heap kind's own calls beside collect.h: which processes are probed where is the session's
 * decision, made while the window lasts; here it is carried out with what this kernel has
 * (uprobe_multi with sessions, uprobe_multi, perf uprobes). All need a collector that was made with
 * the heap probe.
 */
#ifndef COLLECT_HEAP_H
#define COLLECT_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "abi/counters.h"
#include "abi/heap.h"
#include "base/cleanup.h"

struct collector;
struct heap_attachment;

/* What the kernel has and what a hit costs the thread that runs into it, measured on a function of
 * our own when the collector attaches. */
struct heap_costs {
	bool has_multi, has_session; /* uprobe_multi (6.6, in working order), sessions (6.13) */
	double alloc_ns;             /* a hit of an allocation function that is not selected */
	double free_ns;              /* a hit of a free function, not in the live set */
	double stepped_ns;           /* what a hit costs more where the instruction is stepped */
};
void collector__heap_costs(const struct collector *c, struct heap_costs *ret);
/* Measures once more, for a tenth of a millisecond: all of the first time may have been in a bad
 * moment. Only while q is not 0. */
void collector__heap_refine_costs(struct collector *c);

/* A file to probe; fd is borrowed and may be closed after the call. */
struct heap_file {
	int fd;
	const struct heap_site *sites;
	size_t sites_cnt;
	const struct heap_range *ranges;
	size_t ranges_cnt;
};

/*
 * Probes the file in one process, or (pid 0) in every process that maps it, where BPF then asks the
 * collector's filter. Of a process that has not mapped it yet, or has not called exec yet: as soon
 * as it does. Sites of free functions are probed only while the live set is kept. Returns 0 or
 * -errno: -ESRCH (the process is gone), -ENOSPC (HEAP_FILES_MAX), others: what the kernel said.
 */
int collector__heap_attach(struct collector *c, const struct heap_file *file, pid_t pid,
			   struct heap_attachment **ret);
void heap_attachment__free(struct heap_attachment *a); /* removes its probes; NULL is fine */
DEFINE_CLEANUP(struct heap_attachment *, heap_attachment__free);

/* Probes off and on again, for the windows of --heap-budget. 0 or -errno. */
int heap_attachment__pause(struct heap_attachment *a);
int heap_attachment__resume(struct heap_attachment *a);

/* Stops keeping the live set, for good: free functions are not probed any more. */
void collector__heap_end_live(struct collector *c);

/* With what probability probes are on from now on, q / 2^32; UINT32_MAX is 1. 0: they are off, also
 * while there are links: hits are counted as unsampled. */
void collector__heap_set_q(struct collector *c, uint32_t q);

/* Calls fn for every entry of the live set, in no order, until it returns non-zero, which is
 * returned; else 0 or -errno. Entries that come or go meanwhile may be seen or not. */
int collector__heap_live(struct collector *c,
			 int (*fn)(const struct heap_key *key, const struct heap_live *live,
				   void *ctx),
			 void *ctx);

/* Takes those out for which fn says so. Returns how many, or -errno. */
int64_t collector__heap_purge(struct collector *c,
			      bool (*fn)(const struct heap_key *key, const struct heap_live *live,
					 void *ctx),
			      void *ctx);

/* Counters of the free functions, beside those of collector__counters(): fired, filtered,
 * unsampled (not in the live set), submitted (taken out of it). 0 or -errno. */
int collector__heap_frees(struct collector *c, struct event_counters *ret);

#endif
