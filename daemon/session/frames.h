/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the addresses of a sample to locations of a profile (mapping, offset into the module's
 * file), leaf first: kernel frames, then user frames, then the root frame of a stack that is not
 * complete. Used by the pipeline.
 */
#ifndef SESSION_FRAMES_H
#define SESSION_FRAMES_H

#include "collect/sample.h"
#include "process/process.h"
#include "session/kind_run.h"
#include "unwind/unwind.h"

#define STACK_MAX (MAX_FRAMES + 2)

/* A stack, leaf first. */
struct stack {
	uint32_t locations[STACK_MAX];
	uint32_t cnt;
};

struct frames {
	struct process_table *processes; /* borrowed, as the next */
	struct unwind *unwind;
	uint64_t walked[MAX_USER_FRAMES]; /* of the copy being walked */
};

/* Never empty. 0, -ENOMEM, or -ENOSPC when the profile is full. Counts the outcome in 'run'. */
int frames__make(struct frames *f, struct kind_run *run, struct naming *naming,
		 const struct sample *s, struct stack *ret);

/* A stack of synthetic frames: leaf, then root (NULL: none). */
int frames__synthetic(struct profile *profile, const char *leaf, const char *root,
		      struct stack *ret);

#endif
