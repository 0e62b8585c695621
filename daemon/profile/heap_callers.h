/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who calls a site: the stacks of a heap run are summed by their innermost frames, and of the
 * chains that begin with the same frame the heaviest is kept. So threads that take the same way,
 * and ways that part further out, count together. Used by session/heap_reporter.c; knows frames by
 * the indices of top_leaves__frames() only.
 */
#ifndef PROFILE_HEAP_CALLERS_H
#define PROFILE_HEAP_CALLERS_H

#include <stddef.h>
#include "base/cleanup.h"
#include "profile/heap_report.h"

/* The site's own function, then its callers. */
#define HEAP_CHAIN_MAX (1 + HEAP_CALLERS_MAX)

struct heap_chain {
	size_t frames[HEAP_CHAIN_MAX]; /* innermost first */
	size_t frames_cnt;
	double inuse_bytes, alloc_bytes;
};

struct heap_callers;

struct heap_callers *heap_callers__new(size_t sites_cnt); /* NULL: out of memory */
void heap_callers__free(struct heap_callers *hc);
DEFINE_CLEANUP(struct heap_callers *, heap_callers__free);

/* Adds what a stack has; frames[0], its site, is below sites_cnt. 0 or -ENOMEM. */
int heap_callers__add(struct heap_callers *hc, const struct heap_chain *chain);

/* The chain of a site with the most bytes in use, and of equal ones allocated; NULL: it has none.
 * Valid until the next is added. */
const struct heap_chain *heap_callers__heaviest(const struct heap_callers *hc, size_t site);

#endif
