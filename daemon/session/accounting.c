/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See accounting.h: one table of counters, one of identities.
 */
#include "session/accounting.h"

#include <inttypes.h>
#include "base/array.h"

#define COUNTER(field) offsetof(struct accounting, field)

#define OF_ALL    (ACCOUNT_SAMPLES | ACCOUNT_WAITS | ACCOUNT_ALLOCS)
#define OF_STACKS (ACCOUNT_WAITS | ACCOUNT_ALLOCS)

static const struct {
	const char *name;
	size_t offset;
	unsigned int kinds; /* enum account_kind */
} counters[] = {
	{ "fired", COUNTER(fired), OF_ALL },
	{ "filtered", COUNTER(filtered), OF_ALL },
	{ "idle", COUNTER(idle), ACCOUNT_SAMPLES | ACCOUNT_WAITS },
	{ "nested", COUNTER(nested), ACCOUNT_ALLOCS },
	{ "failed", COUNTER(failed), ACCOUNT_ALLOCS },
	{ "unfinished", COUNTER(unfinished), ACCOUNT_ALLOCS },
	{ "unaccounted", COUNTER(unaccounted), ACCOUNT_WAITS },
	{ "unsampled", COUNTER(unsampled), OF_STACKS },
	{ "submitted", COUNTER(submitted), OF_ALL },
	{ "dropped.ring_full", COUNTER(dropped_ring_full), OF_ALL },
	{ "dropped.scratch_busy", COUNTER(dropped_scratch_busy), OF_ALL },
	{ "dropped.no_return", COUNTER(dropped_no_return), ACCOUNT_ALLOCS },
	{ "consumed", COUNTER(consumed), OF_ALL },
	{ "aggregated", COUNTER(aggregated), OF_ALL },
	{ "dropped.bad_record", COUNTER(dropped_bad_record), OF_ALL },
	{ "dropped.no_memory", COUNTER(dropped_no_memory), OF_ALL },
	{ "dropped.profile_full", COUNTER(dropped_profile_full), OF_ALL },
	{ "profiled", COUNTER(profiled), OF_ALL },
	{ "waits", COUNTER(waits), ACCOUNT_WAITS },
	{ "latency_ns", COUNTER(latency_ns), ACCOUNT_WAITS },
	{ "profiled_ns", COUNTER(profiled_ns), ACCOUNT_WAITS },
	{ "stacks.fired", COUNTER(stacks_fired), OF_STACKS },
	{ "stacks.submitted", COUNTER(stacks_submitted), OF_STACKS },
	{ "stacks.dropped.ring_full", COUNTER(stacks_dropped_ring_full), OF_STACKS },
	{ "stacks.dropped.scratch_busy", COUNTER(stacks_dropped_scratch_busy), OF_STACKS },
	{ "stacks.consumed", COUNTER(stacks_consumed), OF_STACKS },
	{ "stacks.aggregated", COUNTER(stacks_aggregated), OF_STACKS },
	{ "stacks.dropped.bad_record", COUNTER(stacks_dropped_bad_record), OF_STACKS },
	{ "stacks.dropped.no_memory", COUNTER(stacks_dropped_no_memory), OF_STACKS },
	{ "stacks.dropped.profile_full", COUNTER(stacks_dropped_profile_full), OF_STACKS },
};

const struct drop_reason drop_reasons[] = {
	{ "ring_full", COUNTER(dropped_ring_full) },
	{ "scratch_busy", COUNTER(dropped_scratch_busy) },
	{ "no_return", COUNTER(dropped_no_return) },
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

static uint64_t dropped_in_kernel(const struct accounting *a)
{
	return a->dropped_ring_full + a->dropped_scratch_busy + a->dropped_no_return;
}

double accounting__lost_percent(const struct accounting *a)
{
	uint64_t lost = accounting__dropped_total(a) + accounting__stacks_dropped(a);
	uint64_t wanted = a->fired;

	if (accounting__has_own_stacks(a))
		wanted = a->submitted + dropped_in_kernel(a) + a->stacks_fired;
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

static int64_t imbalance_of_stacks(const struct accounting *a, const char **ret_identity)
{
	const struct identity identities[] = {
		{ "stacks.fired = stacks.submitted + stacks.dropped", a->stacks_fired,
		  a->stacks_submitted + a->stacks_dropped_ring_full +
			  a->stacks_dropped_scratch_busy },
		{ "stacks.submitted = stacks.consumed", a->stacks_submitted, a->stacks_consumed },
		{ "stacks.consumed = stacks.aggregated + stacks.dropped", a->stacks_consumed,
		  a->stacks_aggregated + a->stacks_dropped_bad_record +
			  a->stacks_dropped_no_memory + a->stacks_dropped_profile_full },
	};

	return find_imbalance(identities, ARRAY_SIZE(identities), ret_identity);
}

static int64_t imbalance_of_waits(const struct accounting *a, const char **ret_identity)
{
	const struct identity identities[] = {
		{ "fired = filtered + idle + unsampled + unaccounted + submitted + dropped",
		  a->fired,
		  a->filtered + a->idle + a->unsampled + a->unaccounted + a->submitted +
			  dropped_in_kernel(a) },
		{ "waits = unsampled + submitted + dropped", a->waits,
		  a->unsampled + a->submitted + dropped_in_kernel(a) },
		{ "profiled = waits", a->profiled, a->waits },
		{ "profiled_ns = latency_ns", a->profiled_ns, a->latency_ns },
	};

	return find_imbalance(identities, ARRAY_SIZE(identities), ret_identity)
		       ?: imbalance_of_stacks(a, ret_identity);
}

static int64_t imbalance_of_allocs(const struct accounting *a, const char **ret_identity)
{
	const struct identity identities[] = {
		{ "fired = filtered + nested + unsampled + failed + unfinished + submitted + dropped",
		  a->fired,
		  a->filtered + a->nested + a->unsampled + a->failed + a->unfinished +
			  a->submitted + dropped_in_kernel(a) },
		{ "profiled = aggregated + dropped", a->profiled,
		  a->aggregated + accounting__dropped_total(a) },
	};

	return find_imbalance(identities, ARRAY_SIZE(identities), ret_identity)
		       ?: imbalance_of_stacks(a, ret_identity);
}

static int64_t imbalance_of_samples(const struct accounting *a, const char **ret_identity)
{
	const struct identity identities[] = {
		{ "fired = filtered + idle + submitted + dropped", a->fired,
		  a->filtered + a->idle + a->submitted + dropped_in_kernel(a) },
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
	switch (a->kind) {
	case ACCOUNT_WAITS:
		return imbalance_of_waits(a, ret_identity);
	case ACCOUNT_ALLOCS:
		return imbalance_of_allocs(a, ret_identity);
	case ACCOUNT_SAMPLES:
		break;
	}
	return imbalance_of_samples(a, ret_identity);
}

void accounting__print(const struct accounting *a, struct buf *out)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(counters); i++) {
		if (!(counters[i].kinds & a->kind))
			continue;
		buf__printf(out, "%s%s=%" PRIu64, i ? " " : "", counters[i].name,
			    *(const uint64_t *)((const char *)a + counters[i].offset));
	}
}
