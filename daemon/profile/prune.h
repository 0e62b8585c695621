/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drop_frames and keep_frames of a profile: regular expressions that name functions to cut off
 * together with all they call (malloc's inside, say), as pprof does before it shows anything.
 * Used by the views of a profile; the profile itself stays whole.
 */
#ifndef PROFILE_PRUNE_H
#define PROFILE_PRUNE_H

#include "profile/profile.h"

struct prune;

/* *ret is NULL when the profile drops nothing, or its expression is one that cannot be honoured
 * (too long, or of a form whose cost is not bounded: intervals, anchors, back-references). 0 or
 * -ENOMEM. */
int prune__new(const struct profile *p, struct prune **ret);
void prune__free(struct prune *pr);
DEFINE_CLEANUP(struct prune *, prune__free);

/* Frames of s to look at: s->locations from *ret_first on. NULL as pr: all of them. */
uint32_t prune__first_location(const struct prune *pr, const struct profile_sample *s);

/* Lines of a location to look at: from this one on. NULL as pr: all of them. */
size_t prune__first_line(const struct prune *pr, uint32_t location);

#endif
