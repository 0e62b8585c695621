/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looks up the functions behind ours.
 */
#include "preload/heap_real.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include "preload/heap_bootstrap.h"
#include "preload/heap_host.h"

static void free_first(void *ptr);

HEAP_HIDDEN struct heap_real heap_real = { .free = free_first };

static struct heap_bootstrap bootstrap;
static _Atomic bool is_found;
/* volatile: dlsym() is declared to call nobody back. */
static __thread volatile bool is_finding __attribute__((tls_model("initial-exec")));

/* Where a C library has dropped what nobody can have been linked with. */
static void *allocate_nothing(void)
{
	errno = ENOMEM;
	return NULL;
}

void *heap_real__next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

static void *next_or_nothing(const char *name)
{
	void *function = heap_real__next(name);

	return function ? function : (void *)allocate_nothing;
}

/* Two threads that come here at once write the same. */
static HEAP_COLD bool find_all(void)
{
	int saved_errno = errno;

	if (is_finding)
		return false;
	is_finding = true;
	/* Whoever allocates in here comes the slow way, and by here again. */
	heap_thread.left_bytes = 0;
	heap_real.calloc = next_or_nothing("calloc");
	heap_real.malloc = next_or_nothing("malloc");
	heap_real.realloc = next_or_nothing("realloc");
	heap_real.posix_memalign = next_or_nothing("posix_memalign");
	heap_real.aligned_alloc = next_or_nothing("aligned_alloc");
	heap_real.memalign = next_or_nothing("memalign");
	heap_real.valloc = next_or_nothing("valloc");
	heap_real.pvalloc = next_or_nothing("pvalloc");
	heap_real.free = heap_real__next("free");
	heap_is_inert = heap_host__wants_inert();
	is_finding = false;
	atomic_store(&is_found, true);
	errno = saved_errno;
	return true;
}

bool heap_real__find(void)
{
	return is_found || find_all();
}

static void free_first(void *ptr)
{
	/* Inside the search only what the search gave can be freed. */
	if (heap_real__find())
		heap_real.free(ptr);
}

bool heap_real__is_allocators(const void *function)
{
	Dl_info of_malloc, of_function;

	return dladdr((void *)heap_real.malloc, &of_malloc) && dladdr(function, &of_function) &&
	       of_malloc.dli_fbase == of_function.dli_fbase;
}

void *heap_real__bootstrap(size_t alignment, size_t size)
{
	void *ptr = heap_bootstrap__alloc(&bootstrap, alignment, size);

	/* It has wrapped. */
	heap_thread.left_bytes = 0;
	if (!ptr) {
		errno = ENOMEM;
		return NULL;
	}
	/* So that its free comes by the slow way. */
	heap_live_set__pin(&heap_live_set, ptr);
	return ptr;
}

bool heap_real__is_bootstrap(const void *ptr)
{
	return heap_bootstrap__holds(&bootstrap, ptr);
}

void *heap_real__move_out(const void *ptr, size_t size)
{
	size_t readable = heap_bootstrap__readable_bytes(&bootstrap, ptr);
	void *copy = heap_real__find() ? heap_real.malloc(size) : heap_real__bootstrap(0, size);

	if (copy)
		memcpy(copy, ptr, size < readable ? size : readable);
	return copy;
}
