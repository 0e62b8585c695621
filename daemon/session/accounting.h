/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What became of every event of one kind, and the identities that must hold exactly after the final
 * drain (design: "nothing is dropped silently"):
 *
 *	fired     = filtered + idle + submitted + dropped.ring_full + dropped.scratch_busy
 *	submitted = consumed
 *	consumed  = aggregated + dropped.bad_record + dropped.no_memory + dropped.profile_full
 *	profiled  = aggregated + Σ dropped            (profiled: Σ sample counts of the profile)
 *
 * Where waits are counted (sched), an event is a switch-in, a sample a wait with a stack, and the
 * profile has every wait whether it was sampled or not:
 *
 *	fired     = filtered + idle + unsampled + unaccounted + submitted + dropped in the kernel
 *	waits     = unsampled + submitted + dropped in the kernel
 *	profiled  = waits, profiled_ns = latency_ns
 *	stacks.fired     = stacks.submitted + stacks.dropped in the kernel
 *	stacks.submitted = stacks.consumed
 *	stacks.consumed  = stacks.aggregated + stacks.dropped in user space
 *
 * waits and latency_ns are the kernel's exact sums.
 *
 * Where allocations are counted (heap), an event is a hit of an allocation function, a sample a
 * selected allocation that succeeded, and stacks are as above:
 *
 *	fired     = filtered + nested + unsampled + failed + submitted + dropped in the kernel
 *	profiled  = aggregated + Σ dropped      (profiled: samples behind the rows of the profile)
 *
 * Pure: filled by the session, shown in the summary and as comments of the profile.
 */
#ifndef SESSION_ACCOUNTING_H
#define SESSION_ACCOUNTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

/* What is counted. */
enum account_kind {
	ACCOUNT_SAMPLES = 1 << 0, /* each counts by itself */
	ACCOUNT_WAITS = 1 << 1,
	ACCOUNT_ALLOCS = 1 << 2,
};

struct accounting {
	enum account_kind kind;
	/* kernel side */
	uint64_t fired, filtered, idle, submitted;
	uint64_t dropped_ring_full, dropped_scratch_busy;
	/* user side */
	uint64_t consumed, aggregated;
	uint64_t dropped_bad_record, dropped_no_memory, dropped_profile_full;
	uint64_t profiled;
	/* where stacks come before what they count */
	uint64_t unsampled;
	uint64_t stacks_fired, stacks_submitted;
	uint64_t stacks_dropped_ring_full, stacks_dropped_scratch_busy;
	uint64_t stacks_consumed, stacks_aggregated;
	uint64_t stacks_dropped_bad_record, stacks_dropped_no_memory, stacks_dropped_profile_full;
	/* waits */
	uint64_t unaccounted;
	uint64_t waits, latency_ns, profiled_ns;
	/* allocations */
	uint64_t nested, failed, unfinished, dropped_no_return;
};

static inline bool accounting__has_own_stacks(const struct accounting *a)
{
	return a->kind != ACCOUNT_SAMPLES;
}

/* One way to be dropped: the name is the frame below [lost]. */
struct drop_reason {
	const char *name;
	size_t offset; /* of its counter in struct accounting */
};

extern const struct drop_reason drop_reasons[];
extern const size_t drop_reasons_cnt;

static inline uint64_t accounting__dropped(const struct accounting *a, const struct drop_reason *r)
{
	return *(const uint64_t *)((const char *)a + r->offset);
}

/* All events that were dropped, and of the stacks that are counted apart. */
uint64_t accounting__dropped_total(const struct accounting *a);
uint64_t accounting__stacks_dropped(const struct accounting *a);

/* Percent of what was to be kept that is lost. Where stacks are counted apart that is samples and
 * their stacks: most switches, or allocations, are not meant to be sampled. 0 where there was
 * nothing to keep. */
double accounting__lost_percent(const struct accounting *a);

/* 0 if all identities hold, else the difference of the first that does not; *ret_identity (static,
 * may be NULL) spells it. */
int64_t accounting__imbalance(const struct accounting *a, const char **ret_identity);

/* "fired=198 filtered=0 … profiled=190", all counters of the kind, one line without a line feed. */
void accounting__print(const struct accounting *a, struct buf *out);

#endif
