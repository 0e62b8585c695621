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
 * Pure: filled by the session, shown in the summary and as comments of the profile.
 */
#ifndef SESSION_ACCOUNTING_H
#define SESSION_ACCOUNTING_H

#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

struct accounting {
	/* kernel side */
	uint64_t fired, filtered, idle, submitted;
	uint64_t dropped_ring_full, dropped_scratch_busy;
	/* user side */
	uint64_t consumed, aggregated;
	uint64_t dropped_bad_record, dropped_no_memory, dropped_profile_full;
	uint64_t profiled;
};

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

uint64_t accounting__dropped_total(const struct accounting *a);

/* 0 if all identities hold, else the difference of the first that does not; *ret_identity (static,
 * may be NULL) spells it. */
int64_t accounting__imbalance(const struct accounting *a, const char **ret_identity);

/* "fired=198 filtered=0 … profiled=190", all counters, one line without a line feed. */
void accounting__print(const struct accounting *a, struct buf *out);

#endif
