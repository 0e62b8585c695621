/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names of allocators' functions and what their arguments are. Pure data; heap_sites.c asks.
 */
#ifndef PARSE_HEAP_FUNCTIONS_H
#define PARSE_HEAP_FUNCTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "abi/heap.h"

/* Names that come together: a file is asked for a family's own malloc and free first. */
enum heap_family {
	HEAP_FAMILY_C,        /* malloc, and mallocx beside it */
	HEAP_FAMILY_CXX,      /* operator new: belongs to any other family in the same file */
	HEAP_FAMILY_JEMALLOC, /* built with a prefix, as many programs carry it */
	HEAP_FAMILY_RUST,     /* jemalloc as Rust's crate builds it */
	HEAP_FAMILY_TCMALLOC,
	HEAP_FAMILY_MIMALLOC,
	HEAP_FAMILIES,
};

/* Arguments by their place from 1, in the order of registers; 0: there is none. */
struct heap_function {
	const char *name;
	uint8_t family; /* enum heap_family */
	uint8_t call;   /* enum heap_call */
	uint8_t size, count, ptr, alignment, out;
};

#define HEAP_FUNCTION_NAME_MAX 48

extern const struct heap_function heap_functions[];
extern const size_t heap_functions_cnt;

/* A family's own malloc and free: whoever defines both is an allocator. */
bool heap_function__is_malloc(const struct heap_function *f);
bool heap_function__is_free(const struct heap_function *f);

/* Throws where it has no memory to give: operator new, under whatever name. */
bool heap_function__throws(const struct heap_function *f);

#endif
