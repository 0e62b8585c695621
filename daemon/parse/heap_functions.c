/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where functions share code the first line here names it, so C comes before C++. What is left out
 * either calls one of these (strdup, mi_reallocf), returns no memory (xallocx, nallocx), or stays
 * uncounted because hardly anybody calls it from outside (mi_heap_recalloc and its like, and
 * mi_heap_alloc_new: operator new goes on to it, and itself has the cheaper site).
 */
#include "parse/heap_functions.h"

#include <string.h>

/* clang-format off */
#define ALLOC(f, n, s)          { n, f, HEAP_CALL_ALLOC, .size = (s) }
#define ARRAY(f, n, c, s)       { n, f, HEAP_CALL_ALLOC, .count = (c), .size = (s) }
#define ALIGNED(f, n, a, s)     { n, f, HEAP_CALL_ALLOC, .alignment = (a), .size = (s) }
#define REALLOC(f, n, p, s)     { n, f, HEAP_CALL_REALLOC, .ptr = (p), .size = (s) }
#define REARRAY(f, n, p, c, s)  { n, f, HEAP_CALL_REALLOC, .ptr = (p), .count = (c), .size = (s) }
#define MEMALIGN(f, n)                                                                             \
	{ n, f, HEAP_CALL_POSIX_MEMALIGN, .out = 1, .alignment = 2, .size = 3 }
#define FREE(f, n)              { n, f, HEAP_CALL_FREE, .ptr = 1 }

#define LIBC_LIKE(f, prefix)                                                                       \
	ALLOC(f, prefix "malloc", 1), ARRAY(f, prefix "calloc", 1, 2),                             \
	REALLOC(f, prefix "realloc", 1, 2), REARRAY(f, prefix "reallocarray", 1, 2, 3),            \
	MEMALIGN(f, prefix "posix_memalign"), ALIGNED(f, prefix "aligned_alloc", 1, 2),            \
	ALIGNED(f, prefix "memalign", 1, 2), ALLOC(f, prefix "valloc", 1),                         \
	ALLOC(f, prefix "pvalloc", 1), FREE(f, prefix "free"), FREE(f, prefix "cfree"),            \
	FREE(f, prefix "free_sized"), FREE(f, prefix "free_aligned_sized")

#define JEMALLOC_OWN(f, prefix)                                                                    \
	ALLOC(f, prefix "mallocx", 1), REALLOC(f, prefix "rallocx", 1, 2),                         \
	FREE(f, prefix "dallocx"), FREE(f, prefix "sdallocx")

#define CXX HEAP_FAMILY_CXX
#define TC  HEAP_FAMILY_TCMALLOC
#define MI  HEAP_FAMILY_MIMALLOC

const struct heap_function heap_functions[] = {
	LIBC_LIKE(HEAP_FAMILY_C, ""),
	JEMALLOC_OWN(HEAP_FAMILY_C, ""),
	LIBC_LIKE(HEAP_FAMILY_JEMALLOC, "je_"),
	JEMALLOC_OWN(HEAP_FAMILY_JEMALLOC, "je_"),
	LIBC_LIKE(HEAP_FAMILY_RUST, "_rjem_"),
	JEMALLOC_OWN(HEAP_FAMILY_RUST, "_rjem_"),

	LIBC_LIKE(TC, "tc_"),
	ALLOC(TC, "tc_malloc_skip_new_handler", 1),
	ALLOC(TC, "tc_new", 1), ALLOC(TC, "tc_new_nothrow", 1),
	ALLOC(TC, "tc_newarray", 1), ALLOC(TC, "tc_newarray_nothrow", 1),
	ALIGNED(TC, "tc_new_aligned", 2, 1), ALIGNED(TC, "tc_new_aligned_nothrow", 2, 1),
	ALIGNED(TC, "tc_newarray_aligned", 2, 1),
	ALIGNED(TC, "tc_newarray_aligned_nothrow", 2, 1),
	FREE(TC, "tc_delete"), FREE(TC, "tc_delete_nothrow"), FREE(TC, "tc_delete_sized"),
	FREE(TC, "tc_delete_aligned"), FREE(TC, "tc_delete_aligned_nothrow"),
	FREE(TC, "tc_delete_sized_aligned"),
	FREE(TC, "tc_deletearray"), FREE(TC, "tc_deletearray_nothrow"),
	FREE(TC, "tc_deletearray_sized"), FREE(TC, "tc_deletearray_aligned"),
	FREE(TC, "tc_deletearray_aligned_nothrow"), FREE(TC, "tc_deletearray_sized_aligned"),

	LIBC_LIKE(MI, "mi_"),
	ALLOC(MI, "mi_malloc_small", 1), ALLOC(MI, "mi_zalloc_small", 1),
	ALLOC(MI, "mi_zalloc", 1), ARRAY(MI, "mi_mallocn", 1, 2),
	REARRAY(MI, "mi_reallocn", 1, 2, 3),
	ALIGNED(MI, "mi_malloc_aligned", 2, 1), ALIGNED(MI, "mi_zalloc_aligned", 2, 1),
	ALIGNED(MI, "mi_malloc_aligned_at", 2, 1), ALIGNED(MI, "mi_zalloc_aligned_at", 2, 1),
	REALLOC(MI, "mi_realloc_aligned", 1, 2), REALLOC(MI, "mi_realloc_aligned_at", 1, 2),
	ALLOC(MI, "mi_heap_malloc", 2), ALLOC(MI, "mi_heap_malloc_small", 2),
	ALLOC(MI, "mi_heap_zalloc", 2), ARRAY(MI, "mi_heap_calloc", 2, 3),
	ARRAY(MI, "mi_heap_mallocn", 2, 3), REALLOC(MI, "mi_heap_realloc", 2, 3),
	REARRAY(MI, "mi_heap_reallocn", 2, 3, 4),
	ALIGNED(MI, "mi_heap_malloc_aligned", 3, 2),
	ALIGNED(MI, "mi_heap_malloc_aligned_at", 3, 2),
	ALIGNED(MI, "mi_heap_zalloc_aligned", 3, 2),
	ALIGNED(MI, "mi_heap_zalloc_aligned_at", 3, 2),
	REALLOC(MI, "mi_heap_realloc_aligned", 2, 3),
	REALLOC(MI, "mi_heap_realloc_aligned_at", 2, 3),
	ALLOC(MI, "mi_new", 1), ALLOC(MI, "mi_new_nothrow", 1),
	ALIGNED(MI, "mi_new_aligned", 2, 1), ALIGNED(MI, "mi_new_aligned_nothrow", 2, 1),
	REALLOC(MI, "mi_new_realloc", 1, 2),
	FREE(MI, "mi_free_size"), FREE(MI, "mi_free_size_aligned"), FREE(MI, "mi_free_aligned"),

	ALLOC(CXX, "_Znwm", 1), ALLOC(CXX, "_Znam", 1),
	ALLOC(CXX, "_ZnwmRKSt9nothrow_t", 1), ALLOC(CXX, "_ZnamRKSt9nothrow_t", 1),
	ALIGNED(CXX, "_ZnwmSt11align_val_t", 2, 1), ALIGNED(CXX, "_ZnamSt11align_val_t", 2, 1),
	ALIGNED(CXX, "_ZnwmSt11align_val_tRKSt9nothrow_t", 2, 1),
	ALIGNED(CXX, "_ZnamSt11align_val_tRKSt9nothrow_t", 2, 1),
	FREE(CXX, "_ZdlPv"), FREE(CXX, "_ZdaPv"),
	FREE(CXX, "_ZdlPvRKSt9nothrow_t"), FREE(CXX, "_ZdaPvRKSt9nothrow_t"),
	FREE(CXX, "_ZdlPvm"), FREE(CXX, "_ZdaPvm"),
	FREE(CXX, "_ZdlPvSt11align_val_t"), FREE(CXX, "_ZdaPvSt11align_val_t"),
	FREE(CXX, "_ZdlPvmSt11align_val_t"), FREE(CXX, "_ZdaPvmSt11align_val_t"),
	FREE(CXX, "_ZdlPvSt11align_val_tRKSt9nothrow_t"),
	FREE(CXX, "_ZdaPvSt11align_val_tRKSt9nothrow_t"),
};
/* clang-format on */

const size_t heap_functions_cnt = sizeof(heap_functions) / sizeof(heap_functions[0]);

/* "malloc" behind whatever prefix the family has: its first line is its malloc. */
static bool is_named(const struct heap_function *f, const char *base)
{
	static const char *const prefixes[HEAP_FAMILIES] = {
		[HEAP_FAMILY_C] = "",           [HEAP_FAMILY_JEMALLOC] = "je_",
		[HEAP_FAMILY_RUST] = "_rjem_",  [HEAP_FAMILY_TCMALLOC] = "tc_",
		[HEAP_FAMILY_MIMALLOC] = "mi_",
	};
	const char *prefix = prefixes[f->family];

	return prefix && !strncmp(f->name, prefix, strlen(prefix)) &&
	       !strcmp(f->name + strlen(prefix), base);
}

bool heap_function__is_malloc(const struct heap_function *f)
{
	return is_named(f, "malloc");
}

bool heap_function__is_free(const struct heap_function *f)
{
	return is_named(f, "free");
}

bool heap_function__throws(const struct heap_function *f)
{
	return (!strncmp(f->name, "_Zn", 3) || strstr(f->name, "_new")) &&
	       !strstr(f->name, "nothrow") && !strstr(f->name, "skip_new");
}
