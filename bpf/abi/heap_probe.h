/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What daemon/collect/ and bpf/heap.bpf.c tell each other of probes, and nobody else sees: the
 * cookie of each site, made of a struct heap_site, what it refers to, and calls whose return is
 * awaited.
 */
#ifndef ABI_HEAP_PROBE_H
#define ABI_HEAP_PROBE_H

#include "abi/heap.h"

#define HEAP_COOKIE_CALL_SHIFT  0 /* enum heap_call */
#define HEAP_COOKIE_SIZE_SHIFT  3 /* registers */
#define HEAP_COOKIE_COUNT_SHIFT 8
#define HEAP_COOKIE_PTR_SHIFT   13
#define HEAP_COOKIE_OUT_SHIFT   18
#define HEAP_COOKIE_FLAGS_SHIFT 23 /* enum heap_site_flag */
#define HEAP_COOKIE_SITE_SHIFT  32 /* index of heap_file_code.site_offset */
#define HEAP_COOKIE_FILE_SHIFT  40 /* key of map heap_files plus one; 0: it has no such ranges */
#define HEAP_COOKIE_CALL_MASK   7
#define HEAP_COOKIE_REG_MASK    31
#define HEAP_COOKIE_FLAGS_MASK  63
#define HEAP_COOKIE_SITE_MASK   (HEAP_SITES_MAX - 1)
#define HEAP_COOKIE_FILE_MASK   127

#define HEAP_COOKIE_FLAG(f)      ((__u64)(f) << HEAP_COOKIE_FLAGS_SHIFT)
#define HEAP_COOKIE_ASKS_FILTER  (1ULL << 29) /* probed in processes of all kinds */
#define HEAP_COOKIE_CALIBRATION  (1ULL << 30) /* our own test function */
#define HEAP_COOKIE_FIELD(v, wh) ((v) >> HEAP_COOKIE_##wh##_SHIFT & HEAP_COOKIE_##wh##_MASK)
#define HEAP_COOKIE_REG(v, wh)   ((v) >> HEAP_COOKIE_##wh##_SHIFT & HEAP_COOKIE_REG_MASK)

_Static_assert(HEAP_CALLS <= HEAP_COOKIE_CALL_MASK + 1, "calls fit");
_Static_assert(HEAP_FILES_MAX <= HEAP_COOKIE_FILE_MASK, "files fit, with one for none");

/* Value of map heap_files: where a file's sites lie, and the code whose calls are nested. */
struct heap_file_code {
	__u64 site_offset[HEAP_SITES_MAX];
	struct heap_range range[HEAP_RANGES_MAX];
	__u64 ranges_cnt;
};

/* Value of map heap_pending, key: thread (pid_tgid). */
struct heap_pending {
	__u64 sp; /* at the function's entry */
	__u64 bytes;
	__u64 stack_id;
	__u64 old_pointer; /* realloc: what it takes out of the live set, 0: nothing … */
	__u64 old_stack_id;
	__u64 old_time_ns;
	__u64 out_pointer; /* where posix_memalign stores its result; 0: it is returned */
	__u32 is_selected; /* 0: only for what it takes out */
	__u32 is_zero;     /* of size 0: no memory as a result means that it was freed */
	__u32 q;           /* at its entry */
	__u32 reserved;
};

#endif
