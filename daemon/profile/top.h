/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The flat/cum table of a profile: what `go tool pprof -top` computes, as data. Text and JSON views
 * of it live in export/.
 *
 * One entry per function name, inlined calls included; functions of the same name in two files are
 * one entry, as in pprof. A location without lines counts for an entry named "[basename of its
 * mapping's file]" ("[JIT]" stays "[JIT]"), one per file; without a mapping for "<unknown>". flat:
 * the value of samples whose innermost frame it is; cum: of samples in whose stack it occurs, each
 * sample once however often it recurs. Values are summed as int64. Frames that the profile's
 * drop_frames cuts off do not count.
 */
#ifndef PROFILE_TOP_H
#define PROFILE_TOP_H

#include "profile/profile.h"

/* What pprof drops by default: nodes with |cum| below this share of all flat values. */
#define TOP_NODE_FRACTION 0.005

enum top_inlining {
	TOP_NOT_INLINED = 0,
	TOP_PARTLY_INLINED = 1,
	TOP_INLINED = 2, /* every call to it that the graph shows was inlined */
};

struct top_entry {
	const char *name;   /* borrowed from the profile or the table, valid as long as both */
	const char *file;   /* source file first seen with it, or "" */
	const char *module; /* basename of the mapping's file first seen with it, or "" */
	enum top_inlining inlining;
	int64_t flat, cum;
};

struct top_table {
	struct top_entry *entries; /* sorted as asked; ties by name */
	size_t entries_cnt;
	size_t dropped_cnt; /* entries that node_fraction dropped */
	size_t kept_cnt;    /* entries before rows_max cut them to entries_cnt */
	int64_t total;      /* sum over all samples, as pprof counts it (absolute values) */
	char **owned;       /* names made for the table */
	size_t owned_cnt, owned_cap;
};

enum top_order {
	TOP_BY_FLAT = 0,
	TOP_BY_CUM = 1,
};

struct top_options {
	size_t value_idx;
	enum top_order order;
	double node_fraction; /* 0: every entry; else TOP_NODE_FRACTION */
	size_t rows_max;      /* 0: all */
};

/* Returns 0, -EINVAL (value_idx out of range) or -ENOMEM. */
int top__compute(const struct profile *p, const struct top_options *opts, struct top_table **ret);
void top__free(struct top_table *t);
DEFINE_CLEANUP(struct top_table *, top__free);

/*
 * The innermost frames of stacks under the same names, for sums of another kind. Of the locations
 * that p has when it is made.
 */
struct top_leaves;

int top_leaves__new(const struct profile *p, struct top_leaves **ret); /* 0 or -ENOMEM */
void top_leaves__free(struct top_leaves *l);
DEFINE_CLEANUP(struct top_leaves *, top_leaves__free);

/*
 * The up to 'frames_max' (> 0) innermost frames of a stack, the leaf first, then its callers,
 * inlined calls included: indices below top_leaves__cnt(). Stacks whose first are equal have the
 * same entry in a top table. Returns how many there are.
 */
size_t top_leaves__frames(struct top_leaves *l, const uint32_t *locations, uint32_t locations_cnt,
			  size_t *frames, size_t frames_max);
size_t top_leaves__cnt(const struct top_leaves *l);
/* Names only; valid as long as both the profile and l. */
const struct top_entry *top_leaves__entry(const struct top_leaves *l, size_t idx);

/* The last component of a path, as pprof shows it: "" is ".", trailing slashes do not count. The
 * length is given, because it need not end at a NUL. */
const char *top__basename(const char *path, size_t *ret_len);

#endif
