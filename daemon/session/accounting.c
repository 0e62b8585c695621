/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See accounting.h: one table of counters, one of identities.
 */
#include "session/accounting.h"

#include <inttypes.h>
#include "base/array.h"

#define COUNTER(field) offsetof(struct accounting, field)

static const struct {
	const char *name;
	size_t offset;
} counters[] = {
	{ "fired", COUNTER(fired) },
	{ "filtered", COUNTER(filtered) },
	{ "idle", COUNTER(idle) },
	{ "submitted", COUNTER(submitted) },
	{ "dropped.ring_full", COUNTER(dropped_ring_full) },
	{ "dropped.scratch_busy", COUNTER(dropped_scratch_busy) },
	{ "consumed", COUNTER(consumed) },
	{ "aggregated", COUNTER(aggregated) },
	{ "dropped.bad_record", COUNTER(dropped_bad_record) },
	{ "dropped.no_memory", COUNTER(dropped_no_memory) },
	{ "dropped.profile_full", COUNTER(dropped_profile_full) },
	{ "profiled", COUNTER(profiled) },
};

const struct drop_reason drop_reasons[] = {
	{ "ring_full", COUNTER(dropped_ring_full) },
	{ "scratch_busy", COUNTER(dropped_scratch_busy) },
	{ "bad_record", COUNTER(dropped_bad_record) },
	{ "no_memory", COUNTER(dropped_no_memory) },
	{ "profile_full", COUNTER(dropped_profile_full) },
};

const size_t drop_reasons_cnt = ARRAY_SIZE(drop_reasons);

uint64_t accounting__dropped_total(const struct accounting *a)
{
	uint64_t total = 0;
	size_t i;

	for (i = 0; i < drop_reasons_cnt; i++)
		total += accounting__dropped(a, &drop_reasons[i]);
	return total;
}

int64_t accounting__imbalance(const struct accounting *a, const char **ret_identity)
{
	const struct {
		const char *text;
		uint64_t left, right;
	} identities[] = {
		{ "fired = filtered + idle + submitted + dropped", a->fired,
		  a->filtered + a->idle + a->submitted + a->dropped_ring_full +
			  a->dropped_scratch_busy },
		{ "submitted = consumed", a->submitted, a->consumed },
		{ "consumed = aggregated + dropped", a->consumed,
		  a->aggregated + a->dropped_bad_record + a->dropped_no_memory +
			  a->dropped_profile_full },
		{ "profiled = aggregated + dropped", a->profiled,
		  a->aggregated + accounting__dropped_total(a) },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(identities); i++) {
		if (identities[i].left == identities[i].right)
			continue;
		if (ret_identity)
			*ret_identity = identities[i].text;
		return (int64_t)(identities[i].left - identities[i].right);
	}
	return 0;
}

void accounting__print(const struct accounting *a, struct buf *out)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(counters); i++)
		buf__printf(out, "%s%s=%" PRIu64, i ? " " : "", counters[i].name,
			    *(const uint64_t *)((const char *)a + counters[i].offset));
}
