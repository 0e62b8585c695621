/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses of the selected blocks that are not freed yet: a filter of bytes that says "no" to
 * nearly every free at the cost of one load, and behind it a set for the rest. No locks: a block is
 * handed from thread to thread by the program, so only a realloc, which gives an address back
 * before we know that it will, meets another thread here. Called by heap_tracker.c; knows nothing
 * of probes. Lives in .bss, all zero is empty: a sandboxed program may not map memory any more.
 */
#ifndef PRELOAD_HEAP_LIVE_SET_H
#define PRELOAD_HEAP_LIVE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEAP_FILTER_BITS 16

/* A slot holds an address, or with one of these in its low bits one that is on its way out. */
#define HEAP_SLOT_MOVING    1UL /* inside realloc: perhaps given back already */
#define HEAP_SLOT_LEAVING   2UL /* its end is being reported */
#define HEAP_SLOT_ALIGN     8UL
#define HEAP_SLOTS_OF_GROUP 8 /* a cache line */

/* A group that is full overflows into the next level: few blocks touch few pages. */
#define HEAP_LEVELS       3
#define HEAP_LEVEL_0_BITS 9 /* groups: 2^ */
#define HEAP_LEVEL_1_BITS 13
#define HEAP_LEVEL_2_BITS 16

struct heap_slot_group {
	_Atomic uintptr_t slots[HEAP_SLOTS_OF_GROUP];
} __attribute__((aligned(64)));

struct heap_live_set {
	_Atomic uint8_t
		filter[1 << HEAP_FILTER_BITS]; /* how many are in the set; UINT8_MAX stays */
	_Atomic uint32_t live_cnt;
	_Atomic uint32_t levels_cnt; /* ever used */
	struct heap_slot_group level_0[1 << HEAP_LEVEL_0_BITS];
	struct heap_slot_group level_1[1 << HEAP_LEVEL_1_BITS];
	struct heap_slot_group level_2[1 << HEAP_LEVEL_2_BITS];
};

/* The low half of an address is enough: what differs in the high half only collides. */
static inline size_t heap_live_set__filter_idx(const void *ptr)
{
	return (uint32_t)((uint32_t)(uintptr_t)ptr * 0x9e3779b1U) >> (32 - HEAP_FILTER_BITS);
}

/* False: it is not in the set. */
static inline bool heap_live_set__may_hold(struct heap_live_set *set, const void *ptr)
{
	return __atomic_load_n((uint8_t *)&set->filter[heap_live_set__filter_idx(ptr)],
			       __ATOMIC_RELAXED) != 0;
}

/* From now on may_hold() is true for it, whether it is in the set or not. */
void heap_live_set__pin(struct heap_live_set *set, const void *ptr);

/*
 * 0; 1: it replaces a block of that address whose end is not reported yet and must be first.
 * -ENOSPC: full. -EBUSY: its predecessor's end is being reported, by a thread that does not run.
 */
int heap_live_set__add(struct heap_live_set *set, void *ptr);

/* True: it was in the set, and is no more. Before the block is freed. */
bool heap_live_set__take(struct heap_live_set *set, void *ptr);

/*
 * realloc of a block: the slot it is in, or NULL. Then, when realloc has failed, cancel_move();
 * otherwise claim_move(), and if that is true report the end of the block and call end_move().
 * Until it is claimed, whoever gets the same address from the allocator takes the slot over.
 */
_Atomic uintptr_t *heap_live_set__begin_move(struct heap_live_set *set, void *ptr);
void heap_live_set__cancel_move(_Atomic uintptr_t *slot, void *ptr);
bool heap_live_set__claim_move(_Atomic uintptr_t *slot, void *ptr);
void heap_live_set__end_move(struct heap_live_set *set, _Atomic uintptr_t *slot, void *ptr);

/* Forgets all blocks but those that other threads are moving. */
void heap_live_set__forget(struct heap_live_set *set);

/* Forgets all blocks; of a process without other threads. */
void heap_live_set__clear(struct heap_live_set *set);

#endif
