/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What libcprof-heap.so exports besides the functions it interposes: which version of it this is.
 */
#ifndef PRELOAD_HEAP_PRELOAD_H
#define PRELOAD_HEAP_PRELOAD_H

#include <stdint.h>

#define HEAP_PRELOAD_VERSION 1

struct heap_preload_info {
	uint32_t version;
	uint32_t size;           /* of this */
	uint64_t interval_bytes; /* 0: not decided yet */
};

extern struct heap_preload_info cprof_heap_preload;

#endif
