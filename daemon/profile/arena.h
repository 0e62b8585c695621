/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that is freed all at once: strings, stacks, labels and values of a profile. Blocks double
 * up to ARENA_BLOCK_MAX, so that a small profile stays small. Used inside profile/ only.
 */
#ifndef PROFILE_ARENA_H
#define PROFILE_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *blocks; /* newest first */
	char *next;
	size_t left;
	size_t bytes; /* taken from malloc */
};

/* Aligned for any type; NULL: out of memory. */
void *arena__alloc(struct arena *a, size_t size);
/* The same without alignment, for text. */
char *arena__alloc_text(struct arena *a, size_t size);
void arena__done(struct arena *a);

#endif
