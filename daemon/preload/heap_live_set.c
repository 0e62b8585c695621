/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The set of selected blocks: groups of eight slots, looked through whole, so that an emptied slot
 * needs no tombstone and no slot ever moves. One address is in one slot at most: only the thread
 * that owns a block puts it in.
 */
#include "preload/heap_live_set.h"
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

/* A report takes some µs, or until its thread runs again: some ms are waited. */
#define BUSY_SPINS  100
#define BUSY_YIELDS 20000

static size_t level_groups(struct heap_live_set *set, unsigned int level,
			   struct heap_slot_group **ret_groups)
{
	switch (level) {
	case 0:
		*ret_groups = set->level_0;
		return 1UL << HEAP_LEVEL_0_BITS;
	case 1:
		*ret_groups = set->level_1;
		return 1UL << HEAP_LEVEL_1_BITS;
	default:
		*ret_groups = set->level_2;
		return 1UL << HEAP_LEVEL_2_BITS;
	}
}

static struct heap_slot_group *group_of(struct heap_live_set *set, unsigned int level,
					const void *ptr)
{
	uint64_t hash = (uint64_t)(uintptr_t)ptr * 0x9e3779b97f4a7c15ULL;
	struct heap_slot_group *groups;
	size_t cnt = level_groups(set, level, &groups);

	return &groups[(hash >> 32) & (cnt - 1)];
}

static void count_in_filter(struct heap_live_set *set, const void *ptr, int change)
{
	_Atomic uint8_t *counter = &set->filter[heap_live_set__filter_idx(ptr)];
	uint8_t old = atomic_load_explicit(counter, memory_order_relaxed);

	do {
		if (old == UINT8_MAX)
			return;
	} while (!atomic_compare_exchange_weak(counter, &old, (uint8_t)(old + change)));
}

void heap_live_set__pin(struct heap_live_set *set, const void *ptr)
{
	atomic_store(&set->filter[heap_live_set__filter_idx(ptr)], UINT8_MAX);
}

/* The slot that holds ptr, in whatever state; *ret_value is what it held. */
static _Atomic uintptr_t *find_slot(struct heap_live_set *set, const void *ptr,
				    uintptr_t *ret_value)
{
	unsigned int levels_cnt = atomic_load_explicit(&set->levels_cnt, memory_order_relaxed);

	/* free(NULL) where a block shares its byte of the filter: empty slots are not it. */
	if (!ptr)
		return NULL;
	for (unsigned int level = 0; level < levels_cnt; level++) {
		struct heap_slot_group *group = group_of(set, level, ptr);

		for (unsigned int i = 0; i < HEAP_SLOTS_OF_GROUP; i++) {
			uintptr_t value = atomic_load(&group->slots[i]);

			if ((value & ~(HEAP_SLOT_ALIGN - 1)) == (uintptr_t)ptr) {
				*ret_value = value;
				return &group->slots[i];
			}
		}
	}
	return NULL;
}

static void use_level(struct heap_live_set *set, unsigned int level)
{
	uint32_t cnt = atomic_load_explicit(&set->levels_cnt, memory_order_relaxed);

	while (cnt <= level && !atomic_compare_exchange_weak(&set->levels_cnt, &cnt, level + 1))
		;
}

static bool add_to_group(struct heap_slot_group *group, const void *ptr)
{
	for (unsigned int i = 0; i < HEAP_SLOTS_OF_GROUP; i++) {
		uintptr_t empty = 0;

		if (!atomic_load_explicit(&group->slots[i], memory_order_relaxed) &&
		    atomic_compare_exchange_strong(&group->slots[i], &empty, (uintptr_t)ptr))
			return true;
	}
	return false;
}

/* What became of an address that is in the set while its owner adds it. 1: taken over, 0: gone. */
static int take_over(_Atomic uintptr_t *slot, uintptr_t value, const void *ptr)
{
	for (unsigned int spin = 0; spin < BUSY_SPINS + BUSY_YIELDS; spin++) {
		if ((value & ~(HEAP_SLOT_ALIGN - 1)) != (uintptr_t)ptr)
			return 0;
		/* Without a state its free was not seen: it went past us. */
		if (!(value & HEAP_SLOT_LEAVING) &&
		    atomic_compare_exchange_strong(slot, &value, (uintptr_t)ptr))
			return 1;
		if (spin < BUSY_SPINS)
			__builtin_ia32_pause();
		else
			sched_yield();
		value = atomic_load(slot);
	}
	return -EBUSY;
}

int heap_live_set__add(struct heap_live_set *set, void *ptr)
{
	_Atomic uintptr_t *slot;
	uintptr_t value;

	if ((uintptr_t)ptr & (HEAP_SLOT_ALIGN - 1))
		return -ENOSPC;
	slot = find_slot(set, ptr, &value);
	if (slot) {
		int err = take_over(slot, value, ptr);

		if (err)
			return err;
	}
	count_in_filter(set, ptr, 1);
	for (unsigned int level = 0; level < HEAP_LEVELS; level++) {
		use_level(set, level);
		if (add_to_group(group_of(set, level, ptr), ptr)) {
			atomic_fetch_add_explicit(&set->live_cnt, 1, memory_order_relaxed);
			return 0;
		}
	}
	count_in_filter(set, ptr, -1);
	return -ENOSPC;
}

static void forget_one(struct heap_live_set *set, const void *ptr)
{
	count_in_filter(set, ptr, -1);
	atomic_fetch_sub_explicit(&set->live_cnt, 1, memory_order_relaxed);
}

bool heap_live_set__take(struct heap_live_set *set, void *ptr)
{
	uintptr_t value;
	_Atomic uintptr_t *slot = find_slot(set, ptr, &value);

	/* With a state it is a predecessor at this address: who moves it reports its end. */
	if (!slot || value != (uintptr_t)ptr || !atomic_compare_exchange_strong(slot, &value, 0))
		return false;
	forget_one(set, ptr);
	return true;
}

_Atomic uintptr_t *heap_live_set__begin_move(struct heap_live_set *set, void *ptr)
{
	uintptr_t value;
	_Atomic uintptr_t *slot = find_slot(set, ptr, &value);

	if (!slot || value != (uintptr_t)ptr ||
	    !atomic_compare_exchange_strong(slot, &value, (uintptr_t)ptr | HEAP_SLOT_MOVING))
		return NULL;
	return slot;
}

void heap_live_set__cancel_move(_Atomic uintptr_t *slot, void *ptr)
{
	uintptr_t value = (uintptr_t)ptr | HEAP_SLOT_MOVING;

	atomic_compare_exchange_strong(slot, &value, (uintptr_t)ptr);
}

bool heap_live_set__claim_move(_Atomic uintptr_t *slot, void *ptr)
{
	uintptr_t value = (uintptr_t)ptr | HEAP_SLOT_MOVING;

	return atomic_compare_exchange_strong(slot, &value, (uintptr_t)ptr | HEAP_SLOT_LEAVING);
}

void heap_live_set__end_move(struct heap_live_set *set, _Atomic uintptr_t *slot, void *ptr)
{
	atomic_store(slot, 0);
	forget_one(set, ptr);
}

void heap_live_set__forget(struct heap_live_set *set)
{
	unsigned int levels_cnt = atomic_load_explicit(&set->levels_cnt, memory_order_relaxed);

	for (unsigned int level = 0; level < levels_cnt; level++) {
		struct heap_slot_group *groups;
		size_t cnt = level_groups(set, level, &groups);

		for (size_t i = 0; i < cnt * HEAP_SLOTS_OF_GROUP; i++) {
			_Atomic uintptr_t *slot =
				&groups[i / HEAP_SLOTS_OF_GROUP].slots[i % HEAP_SLOTS_OF_GROUP];
			uintptr_t value = atomic_load_explicit(slot, memory_order_relaxed);

			if (value && !(value & (HEAP_SLOT_ALIGN - 1)) &&
			    atomic_compare_exchange_strong(slot, &value, 0))
				forget_one(set, (void *)value);
		}
	}
}

void heap_live_set__clear(struct heap_live_set *set)
{
	unsigned int levels_cnt = atomic_load_explicit(&set->levels_cnt, memory_order_relaxed);

	if (!levels_cnt)
		return;
	for (unsigned int level = 0; level < levels_cnt; level++) {
		struct heap_slot_group *groups;
		size_t cnt = level_groups(set, level, &groups);

		for (size_t i = 0; i < cnt * HEAP_SLOTS_OF_GROUP; i++) {
			_Atomic uintptr_t *slot =
				&groups[i / HEAP_SLOTS_OF_GROUP].slots[i % HEAP_SLOTS_OF_GROUP];

			/* A page that was never written to stays without memory. */
			if (atomic_load_explicit(slot, memory_order_relaxed))
				atomic_store_explicit(slot, 0, memory_order_relaxed);
		}
	}
	for (size_t i = 0; i < sizeof(set->filter); i++) {
		if (set->filter[i] && set->filter[i] != UINT8_MAX)
			atomic_store_explicit(&set->filter[i], 0, memory_order_relaxed);
	}
	atomic_store(&set->live_cnt, 0);
	atomic_store(&set->levels_cnt, 0);
}
