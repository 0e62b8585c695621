/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Decides which blocks are selected and reports them and their ends. The functions that programs
 * call (heap_preload.c, heap_operators.c) count bytes down inline and come here only when the
 * countdown has passed zero, or for a block that may be a selected one.
 *
 * An interposed function has no argument to carry a context in: this is the one part of cprofd
 * with state of its own. It takes no lock, allocates nothing, and leaves errno alone.
 */
#ifndef PRELOAD_HEAP_TRACKER_H
#define PRELOAD_HEAP_TRACKER_H

#include "preload/heap_live_set.h"
#include "preload/heap_sampler.h"

#define HEAP_HIDDEN  __attribute__((visibility("hidden")))
#define HEAP_COLD    __attribute__((noinline, cold))
#define HEAP_RARE(x) __builtin_expect(!!(x), 0)

/* What is asked of the tail of an entry point that took the slow way: a frame with its name. */
#define HEAP_KEEP_FRAME() __asm__ volatile("")

struct heap_thread {
	uint64_t left_bytes; /* until the next selected one */
	uint64_t random;     /* state of the generator */
	bool is_ready;       /* 0 is left of a thread that is not */
};

/* initial-exec: an allocator that is called by the dynamic linker cannot ask it for memory. */
extern HEAP_HIDDEN __thread struct heap_thread heap_thread
	__attribute__((tls_model("initial-exec")));
extern HEAP_HIDDEN struct heap_live_set heap_live_set;

/* Everything is passed on and nothing selected (heap_host.h). Until the real functions are looked
 * up, false. */
extern HEAP_HIDDEN bool heap_is_inert;

/* A block of that many bytes comes: true when it passes zero, to be told to crossed(). */
static inline __attribute__((always_inline)) bool heap_tracker__charge(uint64_t bytes)
{
	return HEAP_RARE(__builtin_sub_overflow(heap_thread.left_bytes, bytes,
						&heap_thread.left_bytes)) &&
	       !heap_is_inert;
}

static inline __attribute__((always_inline)) bool heap_tracker__may_track(const void *ptr)
{
	return HEAP_RARE(heap_live_set__may_hold(&heap_live_set, ptr));
}

/* Reads the interval. Before the program's main(). */
HEAP_HIDDEN void heap_tracker__start(void);

/* In the child, which has one thread, the copy of the caller: nothing of it was reported. */
HEAP_HIDDEN void heap_tracker__forked(void);

/* charge() was true. Whether the block is selected; called before it is allocated. */
HEAP_HIDDEN bool heap_tracker__crossed(uint64_t bytes);

/* The selected block is there, or NULL. Returns it. */
HEAP_HIDDEN void *heap_tracker__allocated(void *ptr, size_t size);

/* may_track() was true, the block is about to be freed. */
HEAP_HIDDEN void heap_tracker__freeing(void *ptr);

/*
 * realloc of a block for which may_track() was true. begin() before, its result to end() afterwards
 * with what realloc returned, before a new block is told to allocated().
 */
HEAP_HIDDEN _Atomic uintptr_t *heap_tracker__begin_move(void *ptr, size_t size);
HEAP_HIDDEN void heap_tracker__end_move(_Atomic uintptr_t *slot, void *ptr, const void *result);

/* In between nothing is selected; end() returns how many bytes were charged. */
HEAP_HIDDEN struct heap_thread heap_tracker__begin_trial(void);
HEAP_HIDDEN uint64_t heap_tracker__end_trial(const struct heap_thread *before);

#endif
