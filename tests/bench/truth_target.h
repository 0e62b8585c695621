/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stacks of live processes as a profiler meets them: a thread is stopped wherever it is, its
 * registers and stack bytes are copied, it runs on. For ground_truth.c.
 */
#ifndef TESTS_BENCH_TRUTH_TARGET_H
#define TESTS_BENCH_TRUTH_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "abi/unwind_table.h"

#define TRUTH_STACK_BYTES (64 << 10)
#define TRUTH_BELOW_BYTES 128

struct truth_sample {
	pid_t pid, tid;
	uint64_t regs[UNWIND_REG_CNT + 1]; /* DWARF numbers, the last is the pc */
	uint8_t stack[TRUTH_BELOW_BYTES + TRUTH_STACK_BYTES];
	size_t stack_bytes; /* from below_bytes below the stack pointer on */
	size_t below_bytes;
};

/*
 * Stops one thread of the process, preferably a running one, takes a sample, and one more after
 * each of 'steps' single steps; calls fn for each while the thread stands. Returns how many, or
 * -errno when the process is gone.
 */
int truth_target__sample(pid_t pid, unsigned int steps, struct truth_sample *scratch,
			 void (*fn)(const struct truth_sample *s, void *ctx), void *ctx);

#endif
