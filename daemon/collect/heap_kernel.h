/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What this kernel has for probing user code: tried, not guessed from its version. Private to
 * collect/.
 */
#ifndef COLLECT_HEAP_KERNEL_H
#define COLLECT_HEAP_KERNEL_H

#include <stdbool.h>

struct heap_kernel {
	bool has_multi;       /* uprobe_multi (6.6) … */
	bool misses_threads;  /* … whose filter by process is broken (6.10 has it right) */
	bool has_session;     /* 6.13 */
	bool has_cookie;      /* of perf links (5.15) */
	int perf_type;        /* of perf uprobes, or -errno */
	bool is_multi_usable; /* has_multi, and in working order */
	int err;              /* programs cannot be loaded: -errno, nothing else is known */
};

void heap_kernel__probe(struct heap_kernel *ret);

int heap_kernel__perf_type(void); /* or -errno */

#endif
