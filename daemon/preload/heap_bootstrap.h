/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory for whoever allocates while the real functions are being looked up: dlsym() itself, in
 * some versions. Never freed. Called by heap_preload.c.
 */
#ifndef PRELOAD_HEAP_BOOTSTRAP_H
#define PRELOAD_HEAP_BOOTSTRAP_H

#include <stdbool.h>
#include <stddef.h>

#define HEAP_BOOTSTRAP_BYTES (16UL << 10)

struct heap_bootstrap {
	_Atomic size_t used_bytes;
	char memory[HEAP_BOOTSTRAP_BYTES] __attribute__((aligned(16)));
};

/* Zeroed, alignment: a power of 2. NULL: no room. */
void *heap_bootstrap__alloc(struct heap_bootstrap *b, size_t alignment, size_t bytes);

/* How much may be read at ptr, which lies inside. */
size_t heap_bootstrap__readable_bytes(const struct heap_bootstrap *b, const void *ptr);

static inline bool heap_bootstrap__holds(const struct heap_bootstrap *b, const void *ptr)
{
	return (const char *)ptr >= b->memory && (const char *)ptr < b->memory + sizeof(b->memory);
}

#endif
