/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Brings the two streams of the kernel, samples and side-band records, into one order: each comes
 * from rings of its own, but a stack means something only against the mappings its process had at
 * that moment, and a wait (sched) means the stack that its thread left before. All carry
 * CLOCK_MONOTONIC stamps. Items are held back for one round of reading, by when everything older
 * has been read from every ring.
 */
#ifndef SESSION_TIMELINE_H
#define SESSION_TIMELINE_H

#include "base/cleanup.h"
#include "collect/sample.h"
#include "process/process.h"

struct timeline;

struct timeline_ops {
	int (*on_sample)(const struct sample *s, void *ctx);
	int (*on_event)(const struct process_event *ev, void *ctx);
	void *ctx;
};

struct timeline *timeline__new(void);
void timeline__free(struct timeline *t);
DEFINE_CLEANUP(struct timeline *, timeline__free);

/* Copies the sample with its frames. 0 or -ENOMEM. */
int timeline__push_sample(struct timeline *t, const struct sample *s);
/* Takes ev->path. 0 or -ENOMEM (the path is freed then). */
int timeline__push_event(struct timeline *t, struct process_event *ev);

/* Delivers, in time order, what is stamped before 'before_ns'; of equal stamps events come first.
 * Goes on after an error of a callback and returns the first one. */
int timeline__flush(struct timeline *t, uint64_t before_ns, const struct timeline_ops *ops);

#endif
