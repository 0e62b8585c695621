/* SPDX-License-Identifier: BSD-2-Clause */
/* A library that allocates for whoever loads it, and is unloaded again. */
#include <stdlib.h>
#include "workload.h"

void *alloc_in_plugin(size_t bytes);
void free_in_plugin(void *p);

FRAME void *alloc_in_plugin(size_t bytes)
{
	void *p = malloc(bytes);

	__asm__ volatile("" : : "r"(p) : "memory");
	return p;
}

/* free() looked up in this library is that of the library it needs, whoever stands before it. */
void free_in_plugin(void *p)
{
	free(p);
}
