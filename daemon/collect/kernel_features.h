/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What this kernel and this process's privileges allow: probed, not guessed from version numbers.
 * The session asks before it loads anything, `cprofd doctor` prints all of it.
 */
#ifndef COLLECT_KERNEL_FEATURES_H
#define COLLECT_KERNEL_FEATURES_H

#include <stdbool.h>
#include <stddef.h>

enum feature_state {
	FEATURE_OK = 0,
	FEATURE_DEGRADED = 1, /* works, at a cost that 'detail' names */
	FEATURE_MISSING_PERMISSION = 2,
	FEATURE_MISSING_KERNEL = 3,
};

/* One line of the report. */
struct feature {
	const char *name; /* "BTF", "CAP_BPF", "perf_event_paranoid" … */
	enum feature_state state;
	bool is_required; /* profiling cannot start without it */
	char detail[192]; /* what was found */
	char advice[192]; /* what to do about it, "" when nothing is to be done */
};

#define KERNEL_FEATURES_MAX 32

struct kernel_features {
	struct feature features[KERNEL_FEATURES_MAX];
	size_t features_cnt;
};

/* Probes everything (a few ms). 'quick' limits it to what is required to start. */
void kernel_features__probe(struct kernel_features *f, bool quick);

/* The first required feature that is missing, or NULL. */
const struct feature *kernel_features__first_missing(const struct kernel_features *f);

#endif
