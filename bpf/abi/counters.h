/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel side counts of each kind of event; numbers are stable.
 */
#ifndef ABI_COUNTERS_H
#define ABI_COUNTERS_H

#include <linux/types.h>

/*
 * What became of each time a probe fired. fired = filtered + idle + submitted + Σ dropped (sched: +
 * unsampled + unaccounted), exactly, once the programs are detached. One struct event_counters per
 * kind and CPU (map event_counters, key = event_kind).
 */
enum event_counter {
	COUNTER_FIRED = 0,
	COUNTER_FILTERED = 1, /* not of the TARGET */
	COUNTER_IDLE = 2,     /* the idle task ran */
	COUNTER_SUBMITTED = 3,
	COUNTER_DROPPED_RING_FULL = 4,
	COUNTER_DROPPED_SCRATCH_BUSY = 5,
	COUNTER_UNSAMPLED = 6,   /* sched: a wait that is in the sums, without a stack */
	COUNTER_UNACCOUNTED = 7, /* sched: switched in without a wait that run_delay counts */
	COUNTER_CNT = 8,
};

struct event_counters {
	__u64 value[COUNTER_CNT];
};

#endif
