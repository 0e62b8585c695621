/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every allocation function of C at random, from several threads that hand blocks to each other and
 * check what is in them. What it prints is always the same: preload_storm OPERATIONS THREADS. With
 * the ledger it also checks that what was reported is what was done.
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include "preload_ledger.h"
#include "workload.h"

#define OWN     1024 /* blocks of one thread */
#define SHARED  256
#define THREADS 16

struct block {
	size_t size;
	uint64_t seed;
	unsigned char bytes[];
};

struct worker {
	pthread_t thread;
	uint64_t random, seed;
	struct block *own[OWN];
	uint64_t done_cnt, done_bytes, variance; /* of what was allocated */
};

static struct {
	pthread_barrier_t barrier;
	struct block *_Atomic shared[SHARED];
	uint64_t operations_cnt;
	double interval; /* 0: no ledger */
	bool is_mimalloc;
} storm;

static uint64_t draw(struct worker *w)
{
	w->random = w->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return w->random >> 33;
}

static void die(const char *what)
{
	fprintf(stderr, "preload_storm: %s\n", what);
	abort();
}

static unsigned char pattern(uint64_t seed, size_t i)
{
	return (unsigned char)(seed + i * 31);
}

static void check_some(const struct block *b, size_t size)
{
	size_t cnt = size - sizeof(*b);

	for (size_t i = 0; i < cnt; i += 1 + cnt / 16) {
		if (b->bytes[i] != pattern(b->seed, i))
			die("a block has changed");
	}
}

static void fill(struct worker *w, struct block *b, size_t size, uint64_t seed)
{
	if (!b)
		die("no memory");
	b->size = size;
	b->seed = seed;
	for (size_t i = 0; i < size - sizeof(*b); i += 1)
		b->bytes[i] = pattern(seed, i);
	w->done_cnt++;
	w->done_bytes += size;
	if (storm.interval > 1) {
		double p = -expm1(-(double)size / storm.interval);

		w->variance += (uint64_t)((double)size * (double)size * (1 - p) / p);
	}
}

static void free_block(struct block *b)
{
	if (b)
		check_some(b, b->size);
	free(b);
}

/* Small blocks mostly. */
static size_t size_of(uint64_t number)
{
	size_t size = 16UL << (number % 8);

	if (number % 251 == 0)
		size = 300000;
	return sizeof(struct block) + size + (number >> 8) % size;
}

static struct block *check_zero(struct block *b, size_t size)
{
	for (size_t i = 0; b && i < size; i++) {
		if (((unsigned char *)b)[i])
			die("calloc gave what is not zero");
	}
	return b;
}

/* Debian's mimalloc gives some that are not, by itself. */
static struct block *check_aligned(void *ptr, size_t alignment)
{
	if ((uintptr_t)ptr % alignment && !storm.is_mimalloc)
		die("a block is not aligned");
	return ptr;
}

static struct block *allocate(uint64_t how, size_t size, size_t alignment)
{
	void *ptr = NULL;

	switch (how % 12) {
	case 0:
		return check_zero(calloc(1, size), size);
	case 1:
		return check_zero(calloc(size, 1), size);
	case 2:
		if (posix_memalign(&ptr, alignment, size))
			return NULL;
		return check_aligned(ptr, alignment);
	case 3:
		return check_aligned(aligned_alloc(alignment, size), alignment);
	case 4:
		return check_aligned(memalign(alignment, size), alignment);
	case 5:
		return how % 5 ? malloc(size) : check_aligned(valloc(size), 4096);
	case 6:
		return realloc(NULL, size);
	case 7:
		return reallocarray(NULL, size, 1);
	default:
		return malloc(size);
	}
}

static struct block *resize(uint64_t how, struct block *old, size_t size)
{
	size_t kept = old->size < size ? old->size : size;
	struct block *b = how % 3 ? realloc(old, size) : reallocarray(old, 1, size);

	if (!b)
		die("no memory");
	check_some(b, kept);
	return b;
}

/* Whatever is found, as many numbers are drawn: what is allocated is always the same. */
static void operate(struct worker *w)
{
	uint64_t what = draw(w), how = draw(w), where = draw(w), seed = draw(w);
	size_t size = size_of(draw(w)), alignment = 16UL << (draw(w) % 9);
	struct block **own = &w->own[where % OWN];

	if (what % 4 == 0) {
		*own = atomic_exchange(&storm.shared[seed % SHARED], *own);
		free_block(*own);
		*own = NULL;
	} else if (*own && what % 2) {
		*own = resize(how, *own, size);
		fill(w, *own, size, seed);
	} else {
		free_block(*own);
		errno = 77;
		*own = allocate(how, size, alignment);
		if (errno != 77)
			die("errno has changed");
		fill(w, *own, size, seed);
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;

	free(malloc(1));
	pthread_barrier_wait(&storm.barrier);
	pthread_barrier_wait(&storm.barrier);
	for (uint64_t i = 0; i < storm.operations_cnt; i++)
		operate(w);
	pthread_barrier_wait(&storm.barrier);
	pthread_barrier_wait(&storm.barrier);
	for (unsigned int i = 0; i < OWN; i++)
		free_block(w->own[i]);
	return NULL;
}

static int check_ledger(const struct worker *all, const struct heap_ledger_totals *before,
			const struct heap_ledger_totals *after)
{
	double bytes = (double)(after->weighted_bytes - before->weighted_bytes), variance = 0;
	uint64_t cnt = after->allocs_cnt - before->allocs_cnt;
	uint64_t untold = after->untold_cnt - before->untold_cnt;
	int status = after->unknown_frees_cnt || after->double_allocs_cnt;

	/* On a busy machine the thread that reports the last owner of an address may not run. */
	if (storm.interval == 1) {
		status |= cnt != all->done_cnt || bytes != (double)all->done_bytes;
		status |= untold > 3;
	} else {
		variance = (double)all->variance;
		status |= fabs(bytes - (double)all->done_bytes) > 5 * sqrt(variance) + (double)cnt;
	}
	if (status)
		fprintf(stderr,
			"preload_storm: reported %lu blocks, %.0f bytes (+- %.0f), not %lu, %lu; %lu "
			"unknown frees, %lu double allocations, %lu not followed\n",
			cnt, bytes, sqrt(variance), all->done_cnt, all->done_bytes,
			after->unknown_frees_cnt, after->double_allocs_cnt, untold);
	return status;
}

/* What is left is what the program still has. */
static int check_end(const struct heap_ledger_totals *before)
{
	struct heap_ledger_totals after;

	heap_ledger__totals(&after);
	if (after.live_bytes <= before->live_bytes)
		return 0;
	fprintf(stderr, "preload_storm: %lu bytes live at the end, %lu before\n", after.live_bytes,
		before->live_bytes);
	return 1;
}

static int run(struct worker *workers, unsigned int cnt)
{
	struct heap_ledger_totals before = { 0 }, after;
	struct worker all = { 0 };
	int status = 0;

	pthread_barrier_wait(&storm.barrier);
	if (storm.interval > 0)
		heap_ledger__totals(&before);
	pthread_barrier_wait(&storm.barrier);
	pthread_barrier_wait(&storm.barrier);
	for (unsigned int i = 0; i < cnt; i++) {
		all.done_cnt += workers[i].done_cnt;
		all.done_bytes += workers[i].done_bytes;
		all.variance += workers[i].variance;
	}
	if (storm.interval > 0) {
		heap_ledger__totals(&after);
		status |= check_ledger(&all, &before, &after);
	}
	pthread_barrier_wait(&storm.barrier);
	for (unsigned int i = 0; i < cnt; i++)
		pthread_join(workers[i].thread, NULL);
	for (unsigned int i = 0; i < SHARED; i++)
		free_block(storm.shared[i]);
	if (storm.interval > 0)
		status |= check_end(&before);
	return status;
}

int main(int argc, char **argv)
{
	static struct worker workers[THREADS];
	unsigned int cnt = argc > 2 ? (unsigned int)atoi(argv[2]) : 4;
	const char *interval = getenv("CPROF_HEAP_INTERVAL");

	if (cnt < 1 || cnt > THREADS)
		return 2;
	storm.operations_cnt = (argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000) / cnt;
	if (heap_ledger__totals && interval)
		storm.interval = atof(interval);
	storm.is_mimalloc = dlsym(RTLD_DEFAULT, "mi_malloc") != NULL;
	pthread_barrier_init(&storm.barrier, NULL, cnt + 1);
	for (unsigned int i = 0; i < cnt; i++) {
		workers[i].random = i * 1000003 + 1;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			die("no thread");
	}
	if (run(workers, cnt))
		return 1;
	for (unsigned int i = 0; i < cnt; i++)
		printf("thread %u: %lu operations, random %lu\n", i, storm.operations_cnt,
		       workers[i].random);
	return 0;
}
