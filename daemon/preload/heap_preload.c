/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libcprof-heap.so: the allocation functions of C as programs call them, preloaded or linked. Each
 * counts its bytes down in a variable of the thread and jumps to the real function, without a frame
 * of its own; once per interval it goes the slow way (heap_tracker.c). cprofd sees what is selected
 * by the probes in heap_usdt.h. For glibc on x86-64; elsewhere, and beside a sanitizer, everything
 * is passed on as it is (heap_host.h).
 *
 * Not seen, and not harmed: modules loaded with RTLD_DEEPBIND, programs that define malloc
 * themselves, functions that only one allocator has (mallocx, mi_malloc, tc_malloc …).
 */
#include "preload/heap_preload.h"
#include <errno.h>
#include <string.h>
#include "preload/heap_host.h"
#include "preload/heap_operators.h"
#include "preload/heap_real.h"
#include "preload/heap_tracker.h"

#define EXPORTED __attribute__((visibility("default")))

/* The C library's headers declare what is defined here with attributes that its own definitions do
 * not have, either; so does nobody declare what it has dropped. */
EXPORTED void *malloc(size_t size);
EXPORTED void *calloc(size_t cnt, size_t size);
EXPORTED void *realloc(void *ptr, size_t size);
EXPORTED void *reallocarray(void *ptr, size_t cnt, size_t size);
EXPORTED int posix_memalign(void **ret, size_t alignment, size_t size);
EXPORTED void *aligned_alloc(size_t alignment, size_t size);
EXPORTED void *memalign(size_t alignment, size_t size);
EXPORTED void *valloc(size_t size);
EXPORTED void *pvalloc(size_t size);
EXPORTED void free(void *ptr);
EXPORTED void cfree(void *ptr);
EXPORTED void free_sized(void *ptr, size_t size);
EXPORTED void free_aligned_sized(void *ptr, size_t alignment, size_t size);

/* A product that does not fit is refused by the real function, too. */
static inline size_t product_of(size_t cnt, size_t size)
{
	size_t product;

	return __builtin_mul_overflow(cnt, size, &product) ? 0 : product;
}

static HEAP_COLD void *malloc_slow(size_t size)
{
	bool is_selected;
	void *ptr;

	if (!heap_real__find())
		return heap_real__bootstrap(0, size);
	is_selected = heap_tracker__crossed(heap_sampler__bytes(size));
	ptr = heap_real.malloc(size);
	return is_selected ? heap_tracker__allocated(ptr, size) : ptr;
}

void *malloc(size_t size)
{
	if (heap_tracker__charge(heap_sampler__bytes(size))) {
		void *ptr = malloc_slow(size);

		HEAP_KEEP_FRAME();
		return ptr;
	}
	return heap_real.malloc(size);
}

static HEAP_COLD void *calloc_slow(size_t cnt, size_t size)
{
	size_t product = product_of(cnt, size);
	bool is_selected;
	void *ptr;

	if (!heap_real__find())
		return heap_real__bootstrap(0, product);
	is_selected = heap_tracker__crossed(heap_sampler__bytes(product));
	ptr = heap_real.calloc(cnt, size);
	return is_selected ? heap_tracker__allocated(ptr, product) : ptr;
}

void *calloc(size_t cnt, size_t size)
{
	if (heap_tracker__charge(heap_sampler__bytes(product_of(cnt, size)))) {
		void *ptr = calloc_slow(cnt, size);

		HEAP_KEEP_FRAME();
		return ptr;
	}
	return heap_real.calloc(cnt, size);
}

static HEAP_COLD void *realloc_slow(void *old, size_t size, bool is_charged)
{
	_Atomic uintptr_t *slot = NULL;
	bool is_selected = false;
	void *ptr;

	if (old && heap_real__is_bootstrap(old))
		return heap_real__move_out(old, size);
	if (!heap_real__find())
		return heap_real__bootstrap(0, size);
	if (is_charged)
		is_selected = heap_tracker__crossed(heap_sampler__bytes(size));
	if (old)
		slot = heap_tracker__begin_move(old, size);
	ptr = heap_real.realloc(old, size);
	if (slot)
		heap_tracker__end_move(slot, old, ptr);
	return is_selected ? heap_tracker__allocated(ptr, size) : ptr;
}

void *realloc(void *old, size_t size)
{
	bool is_charged = heap_tracker__charge(heap_sampler__bytes(size));

	if (HEAP_RARE(is_charged | heap_tracker__may_track(old))) {
		void *ptr = realloc_slow(old, size, is_charged);

		HEAP_KEEP_FRAME();
		return ptr;
	}
	return heap_real.realloc(old, size);
}

/* By name, as in the C library: where the program has a realloc of its own, it is that one. */
void *reallocarray(void *old, size_t cnt, size_t size)
{
	size_t product;

	if (__builtin_mul_overflow(cnt, size, &product)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(old, product);
}

static HEAP_COLD int posix_memalign_slow(void **ret, size_t alignment, size_t size)
{
	bool is_selected;
	int err;

	if (!heap_real__find()) {
		*ret = heap_real__bootstrap(alignment, size);
		return *ret ? 0 : ENOMEM;
	}
	is_selected = heap_tracker__crossed(heap_sampler__bytes(size));
	err = heap_real.posix_memalign(ret, alignment, size);
	if (!err && is_selected)
		heap_tracker__allocated(*ret, size);
	return err;
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
	if (heap_tracker__charge(heap_sampler__bytes(size))) {
		int err = posix_memalign_slow(ret, alignment, size);

		HEAP_KEEP_FRAME();
		return err;
	}
	return heap_real.posix_memalign(ret, alignment, size);
}

/* aligned_alloc and memalign. */
#define DEFINE_ALIGNED(name)                                                                       \
	static HEAP_COLD void *name##_slow(size_t alignment, size_t size)                          \
	{                                                                                          \
		bool is_selected;                                                                  \
		void *ptr;                                                                         \
                                                                                                   \
		if (!heap_real__find())                                                            \
			return heap_real__bootstrap(alignment, size);                              \
		is_selected = heap_tracker__crossed(heap_sampler__bytes(size));                    \
		ptr = heap_real.name(alignment, size);                                             \
		return is_selected ? heap_tracker__allocated(ptr, size) : ptr;                     \
	}                                                                                          \
                                                                                                   \
	void *name(size_t alignment, size_t size)                                                  \
	{                                                                                          \
		if (heap_tracker__charge(heap_sampler__bytes(size))) {                             \
			void *ptr = name##_slow(alignment, size);                                  \
                                                                                                   \
			HEAP_KEEP_FRAME();                                                         \
			return ptr;                                                                \
		}                                                                                  \
		return heap_real.name(alignment, size);                                            \
	}

DEFINE_ALIGNED(aligned_alloc)
DEFINE_ALIGNED(memalign)

/* valloc and pvalloc: whole pages, to the allocator; what was asked for, to us. */
#define DEFINE_PAGES(name)                                                                         \
	static HEAP_COLD void *name##_slow(size_t size)                                            \
	{                                                                                          \
		bool is_selected;                                                                  \
		void *ptr;                                                                         \
                                                                                                   \
		if (!heap_real__find())                                                            \
			return heap_real__bootstrap(4096, size);                                   \
		is_selected = heap_tracker__crossed(heap_sampler__bytes(size));                    \
		ptr = heap_real.name(size);                                                        \
		return is_selected ? heap_tracker__allocated(ptr, size) : ptr;                     \
	}                                                                                          \
                                                                                                   \
	void *name(size_t size)                                                                    \
	{                                                                                          \
		if (heap_tracker__charge(heap_sampler__bytes(size))) {                             \
			void *ptr = name##_slow(size);                                             \
                                                                                                   \
			HEAP_KEEP_FRAME();                                                         \
			return ptr;                                                                \
		}                                                                                  \
		return heap_real.name(size);                                                       \
	}

DEFINE_PAGES(valloc)
DEFINE_PAGES(pvalloc)

static HEAP_COLD void free_slow(void *ptr)
{
	if (heap_real__is_bootstrap(ptr))
		return;
	heap_tracker__freeing(ptr);
	heap_real.free(ptr);
}

void free(void *ptr)
{
	if (heap_tracker__may_track(ptr)) {
		free_slow(ptr);
		HEAP_KEEP_FRAME();
		return;
	}
	heap_real.free(ptr);
}

/* The same by definition; by name, as reallocarray. */
void cfree(void *ptr)
{
	free(ptr);
}

void free_sized(void *ptr, size_t size)
{
	free(ptr);
}

void free_aligned_sized(void *ptr, size_t alignment, size_t size)
{
	free(ptr);
}

__attribute__((constructor)) static void start(void)
{
	heap_real__find();
	heap_host__start();
	heap_operators__find();
	if (heap_is_inert)
		return;
	heap_tracker__start();
	heap_host__at_fork(heap_tracker__forked);
}
