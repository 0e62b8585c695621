/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The TARGET of the command line found on this host: pids with their start times and pidfds, the
 * cgroup's directory. Called by the session before anything is loaded.
 */
#ifndef SESSION_TARGETS_H
#define SESSION_TARGETS_H

#include <stdbool.h>
#include "collect/collect.h"
#include "options.h"

struct targets {
	struct collector_target *list; /* TARGET_PIDS */
	int *pidfds;                   /* one per list element */
	size_t cnt;
	int cgroup_fd; /* -1 if not asked for */
};

#define TARGETS_INIT                                                                               \
	{                                                                                          \
		.cgroup_fd = -1                                                                    \
	}

/* Logs what is wrong, returns EXIT_STATUS_OK, _NO_TARGET, _PERMISSION or _FAILURE. */
int targets__resolve(struct targets *t, const struct options *opts);
void targets__done(struct targets *t);

/* TARGET_PIDS: all of them have exited. False for the other targets, which have no end. */
bool targets__all_gone(const struct targets *t);

#endif
