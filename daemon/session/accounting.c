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
	bool of_waits; /* only where waits are counted */
} counters[] = {
	{ "fired", COUNTER(fired), false },
	{ "filtered", COUNTER(filtered), false },
	{ "idle", COUNTER(idle), false },
	{ "unaccounted", COUNTER(unaccounted), true },
	{ "unsampled", COUNTER(unsampled), true },
	{ "submitted", COUNTER(submitted), false },
	{ "dropped.ring_full", COUNTER(dropped_ring_full), false },
	{ "dropped.scratch_busy", COUNTER(dropped_scratch_busy), false },
	{ "consumed", COUNTER(consumed), false },
	{ "aggregated", COUNTER(aggregated), false },
	{ "dropped.bad_record", COUNTER(dropped_bad_record), false },
	{ "dropped.no_memory", COUNTER(dropped_no_memory), false },
	{ "dropped.profile_full", COUNTER(dropped_profile_full), false },
	{ "profiled", COUNTER(profiled), false },
	{ "waits", COUNTER(waits), true },
	{ "latency_ns", COUNTER(latency_ns), true },
	{ "profiled_ns", COUNTER(profiled_ns), true },
	{ "stacks.fired", COUNTER(stacks_fired), true },
	{ "stacks.submitted", COUNTER(stacks_submitted), true },
	{ "stacks.dropped.ring_full", COUNTER(stacks_dropped_ring_full), true },
	{ "stacks.dropped.scratch_busy", COUNTER(stacks_dropped_scratch_busy), true },
	{ "stacks.consumed", COUNTER(stacks_consumed), true },
	{ "stacks.aggregated", COUNTER(stacks_aggregated), true },
	{ "stacks.dropped.bad_record", COUNTER(stacks_dropped_bad_record), true },
	{ "stacks.dropped.no_memory", COUNTER(stacks_dropped_no_memory), true },
	{ "stacks.dropped.profile_full", COUNTER(stacks_dropped_profile_full), true },
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

uint64_t accounting__stacks_dropped(const struct accounting *a)
{
	return a->stacks_dropped_ring_full + a->stacks_dropped_scratch_busy +
	       a->stacks_dropped_bad_record + a->stacks_dropped_no_memory +
	       a->stacks_dropped_profile_full;
}

double accounting__lost_percent(const struct accounting *a)
{
	uint64_t lost = accounting__dropped_total(a) + accounting__stacks_dropped(a);
	uint64_t wanted = a->fired;

	if (a->counts_waits)
		wanted = a->submitted + a->dropped_ring_full + a->dropped_scratch_busy +
			 a->stacks_fired;
	return wanted ? 100 * (double)lost / (double)wanted : 0;
}

struct identity {
	const char *text;
	uint64_t left, right;
};

static int64_t find_imbalance(const struct identity *identities, size_t cnt, const char **ret_text)
{
	size_t i;

	for (i = 0; i < cnt; i++) {
		if (identities[i].left == identities[i].right)
			continue;
		if (ret_text)
			*ret_text = identities[i].text;
		return (int64_t)(identities[i].left - identities[i].right);
	}
	return 0;
}

static int64_t imbalance_of_waits(const struct accounting *a, const char **ret_identity)
{
	uint64_t dropped_in_kernel = a->dropped_ring_full + a->dropped_scratch_busy;
	const struct identity identities[] = {
		{ "fired = filtered + idle + unsampled + unaccounted + submitted + dropped",
		  a->fired,
		  a->filtered + a->idle + a->unsampled + a->unaccounted + a->submitted +
			  dropped_in_kernel },
		{ "waits = unsampled + submitted + dropped", a->waits,
		  a->unsampled + a->submitted + dropped_in_kernel },
		{ "stacks.fired = stacks.submitted + stacks.dropped", a->stacks_fired,
		  a->stacks_submitted + a->stacks_dropped_ring_full +
			  a->stacks_dropped_scratch_busy },
		{ "stacks.submitted = stacks.consumed", a->stacks_submitted, a->stacks_consumed },
		{ "stacks.consumed = stacks.aggregated + stacks.dropped", a->stacks_consumed,
		  a->stacks_aggregated + a->stacks_dropped_bad_record +
			  a->stacks_dropped_no_memory + a->stacks_dropped_profile_full },
		{ "profiled = waits", a->profiled, a->waits },
		{ "profiled_ns = latency_ns", a->profiled_ns, a->latency_ns },
	};

	return find_imbalance(identities, ARRAY_SIZE(identities), ret_identity);
}

static int64_t imbalance_of_samples(const struct accounting *a, const char **ret_identity)
{
	const struct identity identities[] = {
		{ "fired = filtered + idle + submitted + dropped", a->fired,
		  a->filtered + a->idle + a->submitted + a->dropped_ring_full +
			  a->dropped_scratch_busy },
		{ "profiled = aggregated + dropped", a->profiled,
		  a->aggregated + accounting__dropped_total(a) },
	};

	return find_imbalance(identities, ARRAY_SIZE(identities), ret_identity);
}

int64_t accounting__imbalance(const struct accounting *a, const char **ret_identity)
{
	const struct identity identities[] = {
		{ "submitted = consumed", a->submitted, a->consumed },
		{ "consumed = aggregated + dropped", a->consumed,
		  a->aggregated + a->dropped_bad_record + a->dropped_no_memory +
			  a->dropped_profile_full },
	};
	int64_t imbalance = find_imbalance(identities, ARRAY_SIZE(identities), ret_identity);

	if (imbalance)
		return imbalance;
	return a->counts_waits ? imbalance_of_waits(a, ret_identity)
			       : imbalance_of_samples(a, ret_identity);
}

void accounting__print(const struct accounting *a, struct buf *out)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(counters); i++) {
		if (counters[i].of_waits && !a->counts_waits)
			continue;
		buf__printf(out, "%s%s=%" PRIu64, i ? " " : "", counters[i].name,
			    *(const uint64_t *)((const char *)a + counters[i].offset));
	}
}
