/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the build of libcprof-heap.so for the tests has reported so far; weak: a program runs
 * without it, too.
 */
#ifndef PRELOAD_LEDGER_H
#define PRELOAD_LEDGER_H

#include <stdint.h>

struct heap_ledger_totals {
	uint64_t allocs_cnt, alloc_bytes, weighted_bytes;
	uint64_t frees_cnt, live_cnt, live_bytes;
	uint64_t unknown_frees_cnt; /* of what is not alive */
	uint64_t double_allocs_cnt; /* of what is */
	uint64_t untold_cnt;        /* allocs whose end will not be told */
};

#ifdef __cplusplus
extern "C" {
#endif

void heap_ledger__totals(struct heap_ledger_totals *ret) __attribute__((weak));

/* What the kernel does to the semaphores. */
void heap_ledger__listen(int is_listening) __attribute__((weak));

#ifdef __cplusplus
}
#endif

#endif
