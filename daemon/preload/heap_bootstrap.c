/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stack of memory that only grows.
 */
#include "preload/heap_bootstrap.h"
#include <stdatomic.h>
#include <stdint.h>

void *heap_bootstrap__alloc(struct heap_bootstrap *b, size_t alignment, size_t bytes)
{
	size_t used = atomic_load(&b->used_bytes), start;

	if (alignment < 16)
		alignment = 16;
	do {
		uintptr_t end = (uintptr_t)b->memory + used;

		if (alignment > sizeof(b->memory))
			return NULL;
		start = used + (-end & (alignment - 1));
		if (start > sizeof(b->memory) || bytes > sizeof(b->memory) - start)
			return NULL;
		/* Two blocks never share an address. */
	} while (!atomic_compare_exchange_weak(&b->used_bytes, &used, start + bytes + !bytes));
	return b->memory + start;
}

size_t heap_bootstrap__readable_bytes(const struct heap_bootstrap *b, const void *ptr)
{
	return (size_t)(b->memory + sizeof(b->memory) - (const char *)ptr);
}
