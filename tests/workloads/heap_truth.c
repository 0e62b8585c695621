/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every C function that allocates, in all the ways its result can come out, by functions that know
 * what they asked for and kept.
 *
 * heap_truth [ROUNDS [SCALE [PER_MS]]]   sizes are SCALE times as large; so many allocations a ms
 */
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include "heap_truth.h"

#define THREADS       4
#define PER_THREAD    60
#define PER_SIZE      24
#define KEEP_EACH     8
#define BIG_BYTES     (1u << 20) /* beyond M_MMAP_THRESHOLD */
#define HANDED_BYTES  192
#define THREADS_BYTES 80

static size_t scale = 1;
static bool has_pvalloc; /* of the same allocator */

static void drop(const char *name, size_t bytes, void *p)
{
	if (!p)
		return;
	truth_freed(name, bytes);
	free(p);
}

FRAME void *alloc_malloc(size_t bytes)
{
	return truth_allocated(__func__, bytes, malloc(bytes));
}

FRAME void *alloc_calloc(size_t count, size_t bytes)
{
	return truth_allocated(__func__, count * bytes, calloc(count, bytes));
}

/* Grows by halves, in place and moved, as a buffer does. */
FRAME void alloc_realloc_growth(bool keep)
{
	size_t bytes = 16 * scale, old;
	void *p = truth_allocated(__func__, bytes, malloc(bytes)), *grown;

	for (int i = 0; i < 12 && p; i++) {
		old = bytes;
		bytes += bytes / 2;
		grown = truth_allocated(__func__, bytes, realloc(p, bytes));
		if (!grown)
			break;
		truth_freed(__func__, old);
		p = grown;
	}
	if (!keep)
		drop(__func__, bytes, p);
}

FRAME void *alloc_realloc_null(size_t bytes)
{
	return truth_allocated(__func__, bytes, realloc(NULL, bytes));
}

FRAME void alloc_realloc_shrink(void)
{
	size_t bytes = 512 * scale;
	void *p = truth_allocated(__func__, bytes, malloc(bytes));

	p = truth_allocated(__func__, bytes / 4, realloc(p, bytes / 4));
	if (p)
		truth_freed(__func__, bytes);
}

/* Which changes nothing. */
FRAME void alloc_realloc_failed(bool keep)
{
	size_t bytes = 112 * scale;
	void *p = truth_allocated(__func__, bytes, malloc(bytes));

	if (truth_allocated(__func__, NO_SUCH_SIZE, realloc(p, NO_SUCH_SIZE)))
		abort();
	if (!keep)
		drop(__func__, bytes, p);
}

/* Frees, or, with some allocators, leaves a block of nothing. */
FRAME void alloc_realloc_zero(void)
{
	size_t bytes = 144 * scale;
	void *p = truth_allocated(__func__, bytes, malloc(bytes));

	truth_freed(__func__, bytes);
	p = realloc(p, 0);
	if (p) {
		truth_allocated(__func__, 0, p);
		drop(__func__, 0, p);
	}
}

FRAME void alloc_realloc_big(bool keep)
{
	size_t bytes = BIG_BYTES;
	void *p = truth_allocated(__func__, bytes, malloc(bytes));

	for (int i = 0; i < 2 && p; i++) {
		p = truth_allocated(__func__, 2 * bytes, realloc(p, 2 * bytes));
		if (!p)
			abort();
		truth_freed(__func__, bytes);
		bytes *= 2;
	}
	if (!keep)
		drop(__func__, bytes, p);
}

FRAME void *alloc_reallocarray(void *p, size_t count, size_t bytes)
{
	return truth_allocated(__func__, count * bytes, reallocarray(p, count, bytes));
}

FRAME void *alloc_posix_memalign(size_t alignment, size_t bytes)
{
	void *p = NULL;
	int err = posix_memalign(&p, alignment, bytes);

	if (!err && (uintptr_t)p % alignment)
		abort();
	return truth_allocated(__func__, bytes, err ? NULL : p);
}

FRAME void *alloc_aligned(size_t alignment, size_t bytes)
{
	return truth_allocated(__func__, bytes, aligned_alloc(alignment, bytes));
}

FRAME void *alloc_memalign(size_t alignment, size_t bytes)
{
	return truth_allocated(__func__, bytes, memalign(alignment, bytes));
}

FRAME void *alloc_valloc(size_t bytes)
{
	return truth_allocated(__func__, bytes, valloc(bytes));
}

FRAME void *alloc_pvalloc(size_t bytes)
{
	return truth_allocated(__func__, bytes, pvalloc(bytes));
}

FRAME void *alloc_strdup(const char *text)
{
	return truth_allocated(__func__, strlen(text) + 1, strdup(text));
}

FRAME void *alloc_big(size_t bytes)
{
	return truth_allocated(__func__, bytes, malloc(bytes));
}

/* Nothing comes of it, whatever was asked. */
FRAME void alloc_null(void)
{
	volatile size_t half = SIZE_MAX / 2; /* compilers know better */
	void *p = NULL;

	truth_allocated(__func__, NO_SUCH_SIZE, malloc(NO_SUCH_SIZE));
	truth_allocated(__func__, NO_SUCH_SIZE, calloc(half / 2, 3));
	truth_allocated(__func__, NO_SUCH_SIZE, calloc(half, 3));
	truth_allocated(__func__, NO_SUCH_SIZE, reallocarray(NULL, half, 3));
	truth_allocated(__func__, NO_SUCH_SIZE, aligned_alloc(64, NO_SUCH_SIZE));
	truth_allocated(__func__, NO_SUCH_SIZE, valloc(NO_SUCH_SIZE));
	if (posix_memalign(&p, 64, NO_SUCH_SIZE) != ENOMEM || posix_memalign(&p, 3, 8) != EINVAL)
		abort();
	truth.failed += 2;
	free(p);
}

FRAME void *alloc_in_thread(size_t bytes)
{
	return truth_allocated(__func__, bytes, malloc(bytes));
}

/* Freed by a thread that did not allocate it. */
FRAME void *alloc_for_another(size_t bytes)
{
	return truth_allocated(__func__, bytes, malloc(bytes));
}

struct handed {
	void *blocks[PER_THREAD];
};

static void *thread_main(void *arg)
{
	struct handed *handed = arg;

	for (int i = 0; i < PER_THREAD; i++) {
		void *p = alloc_in_thread(THREADS_BYTES * scale);

		if (i % KEEP_EACH)
			drop("alloc_in_thread", THREADS_BYTES * scale, p);
		handed->blocks[i] = alloc_for_another(HANDED_BYTES * scale);
	}
	return NULL;
}

static void work_in_threads(void)
{
	static struct handed handed[THREADS];
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, thread_main, &handed[i]))
			abort();
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		for (int j = 0; j < PER_THREAD; j++)
			if (j % KEEP_EACH)
				drop("alloc_for_another", HANDED_BYTES * scale,
				     handed[i].blocks[j]);
	}
}

static void work_plain(void)
{
	static const size_t sizes[] = { 0, 1, 24, 64, 136, 1032, 5000 };

	for (int i = 0; i < PER_SIZE; i++) {
		for (size_t j = scale > 1 ? 2 : 0; j < sizeof(sizes) / sizeof(*sizes); j++) {
			void *p = alloc_malloc(sizes[j] * scale);

			if (i % KEEP_EACH)
				drop("alloc_malloc", sizes[j] * scale, p);
		}
		void *p = alloc_calloc(3 + i % 2, 40 * scale);

		if (i % KEEP_EACH)
			drop("alloc_calloc", (3 + (size_t)i % 2) * 40 * scale, p);
		free(NULL);
	}
}

static void work_realloc(void)
{
	for (int i = 0; i < PER_SIZE / 2; i++) {
		alloc_realloc_growth(i % 4 == 0);
		alloc_realloc_shrink();
		alloc_realloc_failed(i % 2);
		alloc_realloc_zero();
		drop("alloc_realloc_null", 48 * scale, alloc_realloc_null(48 * scale));
		alloc_realloc_null(56 * scale);

		void *p = alloc_reallocarray(NULL, 5, 10 * scale);

		if (alloc_reallocarray(p, 7, 100 * scale))
			truth_freed("alloc_reallocarray", 50 * scale);
	}
	alloc_realloc_big(true);
	alloc_realloc_big(false);
}

static void work_aligned(void)
{
	static const size_t alignments[] = { 8, 16, 32, 64, 4096 };
	const size_t bytes = 200 * scale, multiple = 8192 * scale;
	const size_t pages = 4096 * scale; /* what is not is rounded, before or after it is seen */

	for (int i = 0; i < PER_SIZE; i++) {
		size_t alignment = alignments[i % 5];
		bool keep = i % 3 == 0;
		void *p[5] = {
			alloc_posix_memalign(alignment, bytes),
			alloc_aligned(alignment, multiple),
			alloc_memalign(alignment, bytes),
			alloc_valloc(bytes),
			has_pvalloc ? alloc_pvalloc(pages) : NULL,
		};

		if (keep)
			continue;
		drop("alloc_posix_memalign", bytes, p[0]);
		drop("alloc_aligned", multiple, p[1]);
		drop("alloc_memalign", bytes, p[2]);
		drop("alloc_valloc", bytes, p[3]);
		drop("alloc_pvalloc", pages, p[4]);
	}
}

static void work_round(void)
{
	work_plain();
	work_realloc();
	work_aligned();
	work_in_threads();
	alloc_null();
	drop("alloc_big", BIG_BYTES, alloc_big(BIG_BYTES));
	alloc_big(BIG_BYTES + 100);
	if (scale > 1)
		return;
	drop("alloc_strdup", 25, alloc_strdup("twenty-four characters.."));
	alloc_strdup("twenty-four characters..");
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 1;

	scale = argc > 2 ? (size_t)atoi(argv[2]) : 1;
	truth.per_ms = argc > 3 ? (unsigned int)atoi(argv[3]) : 0;
	has_pvalloc = !truth_allocator_is("jemalloc");
	truth_await_go();
	for (int i = 0; i < rounds; i++)
		work_round();
	truth_done();
	return 0;
}
