/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What libdw's unwinder makes of a sample: the truth of ground_truth.c.
 */
#ifndef TESTS_BENCH_TRUTH_LIBDW_H
#define TESTS_BENCH_TRUTH_LIBDW_H

#include "truth_target.h"

#define TRUTH_FRAMES_MAX 512

struct truth_frame {
	uint64_t pc;        /* a caller's: its return address */
	bool has_cfi;       /* its caller follows from call frame information, not from a guess */
	bool is_activation; /* as libdw says it: top, or around a signal */
};

struct truth_stack {
	struct truth_frame frames[TRUTH_FRAMES_MAX];
	size_t cnt;
	bool ended; /* at the outermost frame; else libdw gave up */
};

struct truth_libdw;

/* The process as it is now: what it maps later is not known. NULL: cannot be read. */
struct truth_libdw *truth_libdw__new(pid_t pid);
void truth_libdw__free(struct truth_libdw *t);

void truth_libdw__walk(struct truth_libdw *t, const struct truth_sample *s,
		       struct truth_stack *ret);

/* "libc.so.6+0x1234" of an address, for reports; valid until the next call. */
const char *truth_libdw__name(struct truth_libdw *t, uint64_t address);

#endif
