/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether COMMAND can have libcprof-heap.so preloaded, and where that library lies. Private to
 * heap_*.c of the session; heap_targets.h has what the session calls.
 */
#ifndef SESSION_HEAP_ENVIRONMENT_H
#define SESSION_HEAP_ENVIRONMENT_H

#include "options.h"
#include "worker/worker.h"

#define HEAP_LIBRARY "libcprof-heap.so"

/* The library beside our executable, else the installed one; owned by the caller. NULL: there is
 * none. */
char *heap_environment__library(void);

/*
 * The file that execvp(name) would run, the interpreter where that is a script: a descriptor for
 * reading, or -errno. 'depth' 0 follows no "#!" line.
 */
int heap_environment__program(const char *name, unsigned int depth);
#define HEAP_INTERPRETERS_MAX 4 /* as the kernel */

/*
 * Whether COMMAND gets the library: *ret_library is its path (owned by the caller), or NULL and
 * *ret_reason says why not (static; NULL where nobody wants it). 0 or -errno.
 */
int heap_environment__decide(const struct options *opts, struct worker *worker, char **ret_library,
			     const char **ret_reason);

#endif
