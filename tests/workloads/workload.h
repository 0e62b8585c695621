/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every workload shares: work that takes the same time wherever the linker puts it, clocks,
 * and the protocol with the tests: lines "expect …" that say what a profile of it must show, then
 * "ready", after which the work goes on until the time given in argv is over.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Own symbol, own frame, no clone with another name. */
#define FRAME __attribute__((noinline, noclone, used))

#define FOREVER_S 3600.0

/* A chain of dependent multiplications: bound by latency, so that code alignment does not matter.
 * About 0.1 ms per unit. */
static inline __attribute__((always_inline)) uint64_t chew(uint64_t start, unsigned int units)
{
#if defined(NO_FRAME_POINTERS) && defined(__x86_64__)
	/* What a walk by frame pointers would follow. */
	register uint64_t x __asm__("rbp") = start;
#else
	uint64_t x = start;

	/* Leaf functions get a frame only when they ask for it. */
	__asm__ volatile("" : : "r"(__builtin_frame_address(0)));
#endif
	for (unsigned int i = 0; i < units * 60000U; i++) {
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
		__asm__ volatile("" : "+r"(x));
	}
	return x;
}

static inline double clock_s(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static inline double now_s(void)
{
	return clock_s(CLOCK_MONOTONIC);
}

/* argv[idx] in seconds, or for ever. */
static inline double seconds_arg(int argc, char **argv, int idx)
{
	return argc > idx ? atof(argv[idx]) : FOREVER_S;
}

static inline void say_ready(void)
{
	puts("ready");
	fflush(stdout);
}

#endif
