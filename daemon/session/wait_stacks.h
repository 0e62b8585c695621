/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stacks that waits were taken for: each comes before its wait, with an id, and is kept until
 * the wait that names the id has come. Equal stacks with equal labels are one and have an index.
 * Bounded in memory. Used by sched_run.c; knows no process and no time.
 */
#ifndef SESSION_WAIT_STACKS_H
#define SESSION_WAIT_STACKS_H

#include "base/cleanup.h"
#include "collect/sample.h"
#include "profile/profile.h"
#include "session/labels.h"

/* Indices of what stands in for a stack: made of synthetic frames, without labels of its own. */
enum wait_stack_stand_in {
	WAIT_STACK_UNKNOWN = 0,      /* its id has not been heard of */
	WAIT_STACK_RING_FULL = 1,    /* lost on its way */
	WAIT_STACK_PROFILE_FULL = 2, /* no room here or in the profile */
	WAIT_STACK_STAND_INS = 3,
};

struct wait_stack {
	const uint32_t *locations; /* ids of the profile, leaf first */
	uint32_t locations_cnt;
	const struct profile_label *labels;
	uint32_t labels_cnt;
};

struct wait_stacks;

struct wait_stacks *wait_stacks__new(void); /* NULL: out of memory */
void wait_stacks__free(struct wait_stacks *ws);
DEFINE_CLEANUP(struct wait_stacks *, wait_stacks__free);

/*
 * Keeps the stack under s->stack_id until wait_stacks__take(); an older one of the same thread is
 * forgotten. 0, -ENOMEM, or -ENOSPC when there are too many different ones.
 */
int wait_stacks__add(struct wait_stacks *ws, const struct sample *s, const uint32_t *locations,
		     uint32_t locations_cnt, const struct label_set *labels);

/* The same for a stack that could not be had. 0 or -ENOMEM. */
int wait_stacks__add_stand_in(struct wait_stacks *ws, const struct sample *s,
			      enum wait_stack_stand_in stand_in);

/* The index of the stack that a wait names. */
uint32_t wait_stacks__take(struct wait_stacks *ws, const struct sample *wait);

/* By an index that is no stand-in. */
struct wait_stack wait_stacks__get(const struct wait_stacks *ws, uint32_t idx);

/* Once names are known: takes the kernel's tracing machinery off the leaves, which then begin with
 * the scheduler itself. */
void wait_stacks__cut_machinery(struct wait_stacks *ws, const struct profile *profile);

#endif
