/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clocks. Samples and side-band records are stamped with CLOCK_MONOTONIC, files carry UTC.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NSEC_PER_SEC 1000000000ULL

static inline uint64_t clock__now_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static inline uint64_t clock__mono_ns(void)
{
	return clock__now_ns(CLOCK_MONOTONIC);
}

static inline uint64_t clock__real_ns(void)
{
	return clock__now_ns(CLOCK_REALTIME);
}

#endif
