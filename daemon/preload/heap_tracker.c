/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The slow ways of libcprof-heap.so: once per interval, and for blocks that are selected.
 *
 * With CPROF_HEAP_INTERVAL in the environment (cprofd started the program) every block that the
 * countdown selects is reported, from the first one on. Without, the countdown runs all the same
 * and what it selects is reported while somebody listens: exponential gaps have no memory, so the
 * profile is exact from that moment on, and the cost without a listener is the same.
 */
#include "preload/heap_tracker.h"
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include "abi/heap.h"
#include "preload/heap_preload.h"
#include "preload/heap_usdt.h"

HEAP_HIDDEN __thread struct heap_thread heap_thread;
HEAP_HIDDEN struct heap_live_set heap_live_set;
HEAP_HIDDEN bool heap_is_inert;

HEAP_USDT_SEMAPHORE(alloc);
HEAP_USDT_SEMAPHORE(free);

__attribute__((visibility("default"))) struct heap_preload_info cprof_heap_preload = {
	.version = HEAP_PRELOAD_VERSION,
	.size = sizeof(struct heap_preload_info),
};

static struct {
	_Atomic uint64_t interval_bytes; /* 0: the environment is not there yet */
	_Atomic uint64_t secret;         /* what generators are seeded from */
	_Atomic uint64_t threads_cnt;
	bool is_always; /* not only while somebody listens */
} tracker;

static uint64_t draw_secret(void)
{
	uint64_t secret = 0;
	int saved_errno = errno;

	/* A filter of system calls may refuse it, and so early there may be too little of it. */
	if (getrandom(&secret, sizeof(secret), GRND_NONBLOCK) != sizeof(secret)) {
		const uint64_t *random = (const uint64_t *)getauxval(AT_RANDOM);
		struct timespec now = { 0 };

		clock_gettime(CLOCK_MONOTONIC, &now);
		secret = (uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 32 ^ (uint64_t)getpid();
		if (random)
			secret ^= heap_sampler__random(&(uint64_t){ random[0] ^ random[1] });
	}
	errno = saved_errno;
	return secret | 1;
}

void heap_tracker__start(void)
{
	const char *text;

	/* libc's constructor sets it: what allocates before that is not looked at. */
	if (tracker.interval_bytes || !environ)
		return;
	text = getenv("CPROF_HEAP_INTERVAL");
	tracker.is_always = text != NULL;
	tracker.secret = draw_secret();
	cprof_heap_preload.interval_bytes =
		text ? heap_sampler__parse_interval(text) : HEAP_INTERVAL_DEFAULT;
	atomic_store(&tracker.interval_bytes, cprof_heap_preload.interval_bytes);
}

static void start_thread(uint64_t interval)
{
	uint64_t thread = atomic_fetch_add(&tracker.threads_cnt, 1);

	heap_thread.random = tracker.secret + heap_sampler__random(&thread);
	heap_thread.left_bytes = heap_sampler__gap(&heap_thread.random, interval);
	heap_thread.is_ready = true;
}

bool heap_tracker__crossed(uint64_t bytes)
{
	uint64_t interval;

	if (heap_is_inert)
		return false;
	heap_tracker__start();
	interval = tracker.interval_bytes;
	if (!interval) {
		heap_thread.left_bytes = 0;
		return false;
	}
	if (!heap_thread.is_ready) {
		start_thread(interval);
		if (!heap_tracker__charge(bytes))
			return false;
	}
	heap_thread.left_bytes = heap_sampler__gap(&heap_thread.random, interval);
	if (tracker.is_always || otel_memory_alloc_semaphore)
		return true;
	/* Nobody listens any more. */
	if (heap_live_set.live_cnt)
		heap_live_set__forget(&heap_live_set);
	return false;
}

static HEAP_COLD void report_free(void *ptr)
{
	heap_usdt__free(ptr);
}

HEAP_COLD void *heap_tracker__allocated(void *ptr, size_t size)
{
	uint64_t bytes = heap_sampler__bytes(size);
	int err;

	if (!ptr)
		return NULL;
	err = heap_live_set__add(&heap_live_set, ptr);
	if (err > 0)
		report_free(ptr);
	/* No room for it: it is told of, but not where it is, or it would stay for ever. */
	heap_usdt__alloc(err < 0 ? HEAP_POINTER_UNTOLD : ptr, bytes,
			 heap_sampler__weighted(bytes, tracker.interval_bytes));
	/* Others who listen need not know what that means. */
	if (err < 0)
		report_free(HEAP_POINTER_UNTOLD);
	return ptr;
}

void heap_tracker__freeing(void *ptr)
{
	if (heap_live_set__take(&heap_live_set, ptr))
		report_free(ptr);
}

/* Of 0 bytes: some allocators free and return NULL, which of others means failure. What cannot
 * fail for want of memory is reported before, like any free. */
_Atomic uintptr_t *heap_tracker__begin_move(void *ptr, size_t size)
{
	if (size)
		return heap_live_set__begin_move(&heap_live_set, ptr);
	heap_tracker__freeing(ptr);
	return NULL;
}

void heap_tracker__end_move(_Atomic uintptr_t *slot, void *ptr, const void *result)
{
	if (!result) {
		heap_live_set__cancel_move(slot, ptr);
	} else if (heap_live_set__claim_move(slot, ptr)) {
		report_free(ptr);
		heap_live_set__end_move(&heap_live_set, slot, ptr);
	}
}

struct heap_thread heap_tracker__begin_trial(void)
{
	struct heap_thread before = heap_thread;

	heap_thread.left_bytes = UINT64_MAX;
	return before;
}

uint64_t heap_tracker__end_trial(const struct heap_thread *before)
{
	uint64_t charged = UINT64_MAX - heap_thread.left_bytes;

	heap_thread = *before;
	return charged;
}

void heap_tracker__forked(void)
{
	heap_live_set__clear(&heap_live_set);
	if (!tracker.interval_bytes)
		return;
	tracker.secret = draw_secret();
	heap_thread = (struct heap_thread){ 0 };
}
