/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stacks that waits or allocations were taken for: each comes before what it was taken for,
 * with an id, and is kept until the record that names the id has come. Equal stacks with equal
 * labels are one and have an index. Bounded in memory. Used by sched_run.c and heap_run.c; knows no
 * process and no time.
 */
#ifndef SESSION_KEPT_STACKS_H
#define SESSION_KEPT_STACKS_H

#include "base/cleanup.h"
#include "collect/sample.h"
#include "profile/profile.h"
#include "session/labels.h"

/* Indices of what stands in for a stack: made of synthetic frames, without labels of its own. */
enum kept_stack_stand_in {
	KEPT_STACK_UNKNOWN = 0,      /* its id has not been heard of */
	KEPT_STACK_RING_FULL = 1,    /* lost on its way */
	KEPT_STACK_PROFILE_FULL = 2, /* no room here or in the profile */
	KEPT_STACK_STAND_INS = 3,
};

struct kept_stack {
	const uint32_t *locations; /* ids of the profile, leaf first */
	uint32_t locations_cnt;
	const struct profile_label *labels;
	uint32_t labels_cnt;
};

struct kept_stacks;

struct kept_stacks *kept_stacks__new(void); /* NULL: out of memory */
void kept_stacks__free(struct kept_stacks *ks);
DEFINE_CLEANUP(struct kept_stacks *, kept_stacks__free);

/*
 * Keeps the stack under s->stack_id until kept_stacks__take(); an older one of the same thread is
 * forgotten. 0, -ENOMEM, or -ENOSPC when there are too many different ones.
 */
int kept_stacks__add(struct kept_stacks *ks, const struct sample *s, const uint32_t *locations,
		     uint32_t locations_cnt, const struct label_set *labels);

/* The same for a stack that could not be had. 0 or -ENOMEM. */
int kept_stacks__add_stand_in(struct kept_stacks *ks, const struct sample *s,
			      enum kept_stack_stand_in stand_in);

/* The index of the stack that a wait or an allocation names. */
uint32_t kept_stacks__take(struct kept_stacks *ks, const struct sample *named_by);

/* By an index that is no stand-in. */
struct kept_stack kept_stacks__get(const struct kept_stacks *ks, uint32_t idx);

/* Waits, once names are known: takes the kernel's tracing machinery off the leaves, which then
 * begin with the scheduler itself. */
void kept_stacks__cut_machinery(struct kept_stacks *ks, const struct profile *profile);

#endif
