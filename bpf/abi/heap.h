/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is probed of an allocator, and the live set. The worker finds sites (daemon/parse/), the
 * session chooses processes, daemon/collect/ attaches and turns each site into the cookie that
 * bpf/heap.bpf.c reads; the live set is written by bpf/ and read by daemon/collect/.
 */
#ifndef ABI_HEAP_H
#define ABI_HEAP_H

#include <linux/types.h>

/* What a probed function does. Registers are those of the arguments at the site. */
enum heap_call {
	HEAP_CALL_ALLOC = 1, /* returns memory: malloc, operator new …; calloc: size times count */
	HEAP_CALL_REALLOC = 2,        /* of ptr */
	HEAP_CALL_POSIX_MEMALIGN = 3, /* returns 0 and stores the memory's address where out says */
	HEAP_CALL_FREE = 4,           /* of ptr */
	/* USDT otel_memory:alloc(ptr, size, weighted_bytes) and :free(ptr): the process selects,
	 * ptr is memory already. 'count' is the register of weighted_bytes. */
	HEAP_CALL_USDT_ALLOC = 5,
	HEAP_CALL_USDT_FREE = 6,
	HEAP_CALLS = 7,
};

/*
 * A block of our library that it cannot follow is reported with this instead of its address: it
 * counts as allocated and is not in the live set. No block is there.
 */
#define HEAP_POINTER_UNTOLD ((void *)1)

/* Registers have their DWARF numbers (psABI, figure 3.36). */
#define HEAP_NO_REG 16

enum heap_site_flag {
	/* The instruction is single-stepped: an order of magnitude dearer than an emulated one. */
	HEAP_SITE_STEPPED = 1 << 0,
	/* realloc: with ptr NULL it goes on to another probed function, which counts it. */
	HEAP_SITE_NULL_ELSEWHERE = 1 << 1,
	/* memalign and its like: 'count' is not a factor but the alignment; up to 16 it goes on to
	 * another probed function, which counts it. */
	HEAP_SITE_SMALL_ALIGN_ELSEWHERE = 1 << 2,
	/* The stack pointer is not that of the function's entry: not for return probes. */
	HEAP_SITE_PUSHED = 1 << 3,
	/* operator new: without memory it throws, and no exception gets past a return that is
	 * probed: the process would end. Where that is possible the return is left alone. */
	HEAP_SITE_THROWS = 1 << 4,
	/* operator new of the program itself: it throws also for reasons of its own, such as a
	 * limit that it keeps. And a sanitizer's functions, which see who has called them. Its
	 * return is never probed. */
	HEAP_SITE_THROWS_AT_WILL = 1 << 5,
};

/* One place to probe, as the worker reports it. */
struct heap_site {
	__u64 offset;                               /* into the file */
	__u64 semaphore_offset;                     /* USDT: into the file; 0: none */
	__u8 call;                                  /* enum heap_call */
	__u8 size_reg, count_reg, ptr_reg, out_reg; /* HEAP_NO_REG: there is none */
	__u8 flags;                                 /* enum heap_site_flag */
	__u16 reserved;
};

/*
 * Code of the allocator that calls probed functions on behalf of one: a hit whose return address
 * lies in it is nested. Offsets into the file.
 */
struct heap_range {
	__u64 start, end; /* exclusive */
};

/* Why a file with an allocator, or what looks like one, cannot be probed. */
enum heap_refusal {
	HEAP_REFUSAL_NONE = 0,
	HEAP_REFUSAL_32BIT = 1,
	HEAP_REFUSAL_GO = 2, /* its stacks move: a return probe would corrupt them */
	HEAP_REFUSALS = 3,
};

#define HEAP_SITES_MAX  64 /* of one file */
#define HEAP_RANGES_MAX 32 /* of one file */
#define HEAP_FILES_MAX  64 /* with ranges, of one run */

/* Key of the live set. */
struct heap_key {
	__u64 address_space; /* which mm; also of its vfork children. 0: an empty key */
	__u64 pointer;
};

/* What is kept of a live allocation; weight as in struct heap_alloc_event. */
struct heap_live {
	__u64 stack_id;
	__u64 bytes;
	__u64 weighted_bytes;
	__u64 time_ns;  /* CLOCK_MONOTONIC */
	__u64 start_ns; /* of the process that owns the address space, boot time */
	__u32 tgid;     /* of that process */
	__u32 q;
};

#define HEAP_INTERVAL_DEFAULT (512ULL << 10)

#endif
