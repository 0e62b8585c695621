/* SPDX-License-Identifier: BSD-2-Clause */
/* A library that allocates for whoever loads it, and is unloaded again. */
#include <stdlib.h>
#include "workload.h"

void *alloc_in_plugin(size_t bytes);

FRAME void *alloc_in_plugin(size_t bytes)
{
	void *p = malloc(bytes);

	__asm__ volatile("" : : "r"(p) : "memory");
	return p;
}
