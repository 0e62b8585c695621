/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many stacks of a profile reach their thread's start, and who breaks the rest: read off the
 * profile itself, from the root frame "[truncated: reason]" that a stack cut short carries and the
 * module of the frame below it. The same figures for the run that made it and for a file.
 */
#ifndef PROFILE_COMPLETENESS_H
#define PROFILE_COMPLETENESS_H

#include "profile/profile.h"

struct broken_stacks {
	uint32_t reason; /* string of the root frame */
	uint32_t file;   /* string: file of the module whose frame could not be left; 0: none */
	int64_t cnt;     /* samples */
};

struct completeness {
	int64_t samples;                /* all, by the first sample type */
	int64_t lost;                   /* below [lost] */
	int64_t kernel_only;            /* no user stack: kernel threads */
	int64_t unsampled;              /* sums without any stack: "[not sampled]" and the like */
	int64_t complete, cut, unknown; /* of those with one; unknown: whose process is not known */
	struct broken_stacks *broken;   /* most first */
	size_t broken_cnt, broken_cap;
};

/* Returns 0 or -ENOMEM. Release with completeness__done() in either case. */
int completeness__compute(struct completeness *c, const struct profile *p);
void completeness__done(struct completeness *c);

/* Percent of the user stacks that are complete; 100 when there are none. */
double completeness__percent(const struct completeness *c);

#endif
