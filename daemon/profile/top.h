/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The flat/cum table of a profile: what `go tool pprof -top` computes, as data. Text and JSON views
 * of it live in export/.
 *
 * One entry per (function name, file), inlined calls included; a location without lines counts for
 * an entry named "[basename of its mapping's file]" ("[JIT]" stays "[JIT]"), without a mapping
 * for "[unknown]". flat: the value of samples whose innermost frame it is; cum: of samples in whose
 * stack it occurs, each sample once however often it recurs. Values are summed as int64.
 */
#ifndef PROFILE_TOP_H
#define PROFILE_TOP_H

#include "profile/profile.h"

struct top_entry {
	const char *name;   /* borrowed from the profile or the table, valid as long as both */
	const char *file;   /* source file or "" */
	const char *module; /* basename of the mapping's file first seen with it, or "" */
	bool is_inline;     /* every time it was seen it was an inlined call */
	int64_t flat, cum;
};

struct top_table {
	struct top_entry *entries; /* sorted as asked; ties by name */
	size_t entries_cnt;
	int64_t total; /* sum over all samples, as pprof counts it (absolute values) */
	size_t value_idx;
};

enum top_order {
	TOP_BY_FLAT = 0,
	TOP_BY_CUM = 1,
};

/* Returns 0, -EINVAL (value_idx out of range) or -ENOMEM. */
int top__compute(const struct profile *p, size_t value_idx, enum top_order order,
		 struct top_table **ret);
void top__free(struct top_table *t);
DEFINE_CLEANUP(struct top_table *, top__free);

#endif
