/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See arena.h.
 */
#include "profile/arena.h"

#include <stdint.h>
#include <stdlib.h>

#define ARENA_BLOCK_MIN ((size_t)4 * 1024)
#define ARENA_BLOCK_MAX ((size_t)256 * 1024)
#define ARENA_ALIGNMENT sizeof(uint64_t)

struct arena_block {
	struct arena_block *older;
	uint64_t data[];
};

static struct arena_block *add_block(struct arena *a, size_t size)
{
	struct arena_block *b;

	if (size > SIZE_MAX / 2)
		return NULL;
	b = malloc(sizeof(*b) + size);
	if (!b)
		return NULL;
	b->older = a->blocks;
	a->blocks = b;
	a->bytes += sizeof(*b) + size;
	return b;
}

static void *alloc_slow(struct arena *a, size_t size)
{
	size_t block_size = a->bytes < ARENA_BLOCK_MIN ? ARENA_BLOCK_MIN : a->bytes;
	struct arena_block *b;

	if (block_size > ARENA_BLOCK_MAX)
		block_size = ARENA_BLOCK_MAX;
	/* A big piece gets a block of its own: the rest of the current one stays usable. */
	if (size > block_size / 4) {
		b = add_block(a, size);
		return b ? b->data : NULL;
	}
	b = add_block(a, block_size);
	if (!b)
		return NULL;
	a->next = (char *)b->data + size;
	a->left = block_size - size;
	return b->data;
}

void *arena__alloc(struct arena *a, size_t size)
{
	size_t pad = -(uintptr_t)a->next & (ARENA_ALIGNMENT - 1);
	char *p;

	if (a->left < pad || a->left - pad < size)
		return alloc_slow(a, size);
	p = a->next + pad;
	a->next = p + size;
	a->left -= pad + size;
	return p;
}

char *arena__alloc_text(struct arena *a, size_t size)
{
	char *p = a->next;

	if (a->left < size)
		return alloc_slow(a, size);
	a->next += size;
	a->left -= size;
	return p;
}

void arena__done(struct arena *a)
{
	struct arena_block *b = a->blocks;

	while (b) {
		struct arena_block *older = b->older;

		free(b);
		b = older;
	}
	*a = (struct arena){ .blocks = NULL };
}
