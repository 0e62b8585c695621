/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions of our own that are there to be probed: to learn what this kernel does with probes, and
 * what a hit costs. Private to collect/.
 */
#ifndef COLLECT_HEAP_OWN_H
#define COLLECT_HEAP_OWN_H

#include <stdint.h>

/* They do nothing. The first instruction of the first two is one that the kernel emulates, of the
 * third one that it steps. Arguments: as of malloc and free. */
void heap_own_alloc(uint64_t bytes);
void heap_own_free(const void *memory);
void heap_own_stepped(const void *memory);

/* Our executable, read-only, or -errno. */
int heap_own__open(void);

/* Where a function of ours lies in it, or -ENOENT. */
int64_t heap_own__offset(uintptr_t address);

#endif
