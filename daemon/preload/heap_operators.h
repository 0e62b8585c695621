/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * C++'s operators new and delete in libcprof-heap.so.
 */
#ifndef PRELOAD_HEAP_OPERATORS_H
#define PRELOAD_HEAP_OPERATORS_H

#include "preload/heap_tracker.h"

/* Looks the operators after ours up; by itself at the first call of one, but better before there
 * are threads: it asks the dynamic linker, which may be busy. */
HEAP_HIDDEN void heap_operators__find(void);

#endif
