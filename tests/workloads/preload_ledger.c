/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stands where the probes are in a build of libcprof-heap.so for the tests: what a listener would
 * know, kept in the process.
 */
#include "preload_ledger.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include "abi/heap.h"
#include "preload/heap_usdt.h"

#define SLOTS (1UL << 21)

static struct {
	atomic_flag lock;
	struct heap_ledger_totals totals;
	struct {
		uintptr_t ptr; /* 1: was in use */
		uint64_t bytes;
	} slots[SLOTS];
} ledger;

static void lock(void)
{
	while (atomic_flag_test_and_set(&ledger.lock))
		sched_yield();
}

static void unlock(void)
{
	atomic_flag_clear(&ledger.lock);
}

/* Where ptr is, or else where it can go. */
static size_t find(const void *ptr)
{
	size_t free_idx = SLOTS;

	for (size_t i = ((uintptr_t)ptr * 0x9e3779b97f4a7c15ULL) >> 40;; i++) {
		uintptr_t value = ledger.slots[i % SLOTS].ptr;

		if (value == (uintptr_t)ptr)
			return i % SLOTS;
		if (value <= 1 && free_idx == SLOTS)
			free_idx = i % SLOTS;
		if (!value)
			return free_idx;
	}
}

static void put(void *ptr, uint64_t size)
{
	size_t idx = find(ptr);

	if (ledger.slots[idx].ptr == (uintptr_t)ptr) {
		ledger.totals.double_allocs_cnt++;
		ledger.totals.live_cnt--;
		ledger.totals.live_bytes -= ledger.slots[idx].bytes;
	}
	ledger.slots[idx].ptr = (uintptr_t)ptr;
	ledger.slots[idx].bytes = size;
	ledger.totals.live_cnt++;
	ledger.totals.live_bytes += size;
}

void heap_ledger__alloc(void *ptr, uint64_t size, uint64_t weighted_bytes)
{
	lock();
	ledger.totals.allocs_cnt++;
	ledger.totals.alloc_bytes += size;
	ledger.totals.weighted_bytes += weighted_bytes;
	if (ptr == HEAP_POINTER_UNTOLD)
		ledger.totals.untold_cnt++;
	else
		put(ptr, size);
	unlock();
}

void heap_ledger__free(void *ptr)
{
	size_t idx;

	if (ptr == HEAP_POINTER_UNTOLD)
		return;
	lock();
	ledger.totals.frees_cnt++;
	idx = find(ptr);
	if (ledger.slots[idx].ptr == (uintptr_t)ptr) {
		ledger.slots[idx].ptr = 1;
		ledger.totals.live_cnt--;
		ledger.totals.live_bytes -= ledger.slots[idx].bytes;
	} else {
		ledger.totals.unknown_frees_cnt++;
	}
	unlock();
}

__attribute__((visibility("default"))) void heap_ledger__totals(struct heap_ledger_totals *ret)
{
	lock();
	*ret = ledger.totals;
	unlock();
}

__attribute__((visibility("default"))) void heap_ledger__listen(int is_listening)
{
	otel_memory_alloc_semaphore = (uint16_t)is_listening;
	otel_memory_free_semaphore = (uint16_t)is_listening;
}

static void start_child(void)
{
	memset(&ledger, 0, sizeof(ledger));
}

__attribute__((constructor)) static void start(void)
{
	pthread_atfork(lock, unlock, start_child);
}
