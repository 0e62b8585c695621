/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What makes the tables of struct profile interned. Seen by profile.c and samples.c only.
 */
#ifndef PROFILE_INDEX_H
#define PROFILE_INDEX_H

#include "profile/arena.h"
#include "profile/id_table.h"
#include "profile/profile.h"

struct profile_index {
	uint64_t seed;
	struct id_table strings;    /* ids: string index + 1 */
	struct id_table functions;  /* by content */
	struct id_table locations;  /* by mapping and address */
	struct id_table synthetics; /* ids of locations, by the name of their function */
	/* Ids of samples: by stack and labels; the first with this stack; the first with these
	 * labels. A later row shares the memory of what it has in common with an earlier one. */
	struct id_table samples, stacks, label_sets;
	struct arena arena;
};

/* Keeps profile.bytes current. */
void profile__count_bytes(struct profile *p);
bool profile__is_full(const struct profile *p);

#endif
