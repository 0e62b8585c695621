/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel side counts of each kind of event; numbers are stable.
 */
#ifndef ABI_COUNTERS_H
#define ABI_COUNTERS_H

#include <linux/types.h>

/*
 * What became of each time a probe fired. fired = filtered + idle + submitted + Σ dropped (sched: +
 * unsampled + unaccounted; heap: + unsampled + nested + failed + unfinished), exactly, once the
 * programs are detached. One struct event_counters per kind and CPU (map event_counters, key =
 * event_kind).
 */
enum event_counter {
	COUNTER_FIRED = 0,
	COUNTER_FILTERED = 1, /* not of the TARGET */
	COUNTER_IDLE = 2,     /* the idle task ran */
	COUNTER_SUBMITTED = 3,
	COUNTER_DROPPED_RING_FULL = 4,
	COUNTER_DROPPED_SCRATCH_BUSY = 5,
	/* sched: a wait that is in the sums, without a stack; heap: not selected, or (free) not in
	 * the live set */
	COUNTER_UNSAMPLED = 6,
	COUNTER_UNACCOUNTED = 7, /* sched: switched in without a wait that run_delay counts */
	COUNTER_NESTED = 8, /* heap: part of another hit, or counted by the one it goes on to */
	COUNTER_FAILED = 9, /* heap: selected, but the function returned no memory */
	COUNTER_DROPPED_NO_RETURN = 10, /* heap: selected, but its return was not seen */
	/* heap: of those submitted, not in the live set: no room there or in the process, or
	 * HEAP_SITE_THROWS */
	COUNTER_LIVE_FULL = 11,
	/* heap: selected, and under way when its process ended or the probes were taken out.
	 * Counted by user space. */
	COUNTER_UNFINISHED = 12,
	COUNTER_CNT = 13,
};

struct event_counters {
	__u64 value[COUNTER_CNT];
};

#endif
