/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The functions that come after ours in the order in which the dynamic linker looks names up: the
 * C library's, or those of the allocator that the program is linked with.
 */
#ifndef PRELOAD_HEAP_REAL_H
#define PRELOAD_HEAP_REAL_H

#include <stdbool.h>
#include <stddef.h>
#include "preload/heap_tracker.h"

struct heap_real {
	void *(*malloc)(size_t size);
	void *(*calloc)(size_t cnt, size_t size);
	void *(*realloc)(void *ptr, size_t size);
	int (*posix_memalign)(void **ret, size_t alignment, size_t size);
	void *(*aligned_alloc)(size_t alignment, size_t size);
	void *(*memalign)(size_t alignment, size_t size);
	void *(*valloc)(size_t size);
	void *(*pvalloc)(size_t size);
	void (*free)(void *ptr);
};

/* Never NULL: until they are looked up, free is a function that does it. The others are called
 * behind a countdown that is at 0 in every new thread, and passes by heap_real__find(). */
extern HEAP_HIDDEN struct heap_real heap_real;

/* Looks them up, the first time. False: this is a call from inside that. */
HEAP_HIDDEN bool heap_real__find(void);

/* The next definition of a name, or NULL. */
HEAP_HIDDEN void *heap_real__next(const char *name);

/* Whether a function is in the file that malloc is in. */
HEAP_HIDDEN bool heap_real__is_allocators(const void *function);

/* Memory of whoever allocates inside heap_real__find(). */
HEAP_HIDDEN void *heap_real__bootstrap(size_t alignment, size_t size);
HEAP_HIDDEN bool heap_real__is_bootstrap(const void *ptr);
/* realloc of such a block. */
HEAP_HIDDEN void *heap_real__move_out(const void *ptr, size_t size);

#endif
