/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whom the library lies in. A preload is inherited by all children of a program: it must be
 * harmless in those that it is not made for. There it is inert: every call is passed on by a jump,
 * so that no frame, address or pointer of ours shows in anything that the program finds out about
 * itself.
 *
 * - Sanitizers bring an allocator of their own, report where its blocks come from, and look for
 *   pointers to them everywhere, also in the live set.
 * - musl's calloc calls malloc by name, and would count twice.
 * - valgrind reads our code with the probes in it, and would end the program at the first one.
 */
#ifndef PRELOAD_HEAP_HOST_H
#define PRELOAD_HEAP_HOST_H

#include <stdbool.h>
#include "preload/heap_tracker.h"

HEAP_HIDDEN bool heap_host__wants_inert(void);

/* From the library's constructor: from now on nobody is told anything but the truth. */
HEAP_HIDDEN void heap_host__start(void);

/* pthread_atfork(), of the child only. */
HEAP_HIDDEN void heap_host__at_fork(void (*in_child)(void));

#endif
