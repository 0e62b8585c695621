/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ELF image → where its allocator is to be probed: which functions, at which instruction, and
 * what of its code calls them itself. Called by the worker's jobs.
 */
#ifndef PARSE_HEAP_SITES_H
#define PARSE_HEAP_SITES_H

#include <stdbool.h>
#include "abi/heap.h"
#include "parse/elf_image.h"

struct heap_sites {
	struct heap_site sites[HEAP_SITES_MAX];
	size_t sites_cnt;
	struct heap_range ranges[HEAP_RANGES_MAX];
	size_t ranges_cnt;
	enum heap_refusal refusal;
	bool is_static;   /* no interpreter and no needed library */
	bool is_stripped; /* no function has a name */
	bool is_go;
	bool has_sanitizer; /* it is, or needs, the library of one that brings an allocator */
	bool is_musl;       /* its interpreter is musl's */
	bool has_malloc;    /* it defines malloc and free, by these names */
};

/*
 * PARSE_OK also where there is nothing to probe: x86-64 only, a file that defines malloc and free
 * (by whatever names, heap_functions.c), and not the dynamic linker, whose malloc serves itself.
 * Where the file emits otel_memory:alloc and :free these are all. Else PARSE_CORRUPT or
 * PARSE_LIMIT.
 */
enum parse_status heap_sites__find(const struct elf_image *image, struct heap_sites *ret);

#endif
