/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * profile/sched_report: order, cut and merge of its tables, and the quantile.
 */
#include "fixed_sched_report.h"

static struct sched_report *new_report(void)
{
	struct sched_report *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	return r;
}

static void add_named_groups(struct sched_report *r, size_t cnt)
{
	char name[32];
	size_t i;

	for (i = 0; i < cnt; i++) {
		snprintf(name, sizeof(name), "g%03zu", (i * 101) % cnt);
		observe(&add_group(r, name)->histograms[SCHED_LATENCY], 1000 + (i * 101) % cnt, 2);
	}
}

static uint64_t sum_groups(const struct sched_report *r)
{
	uint64_t sum_ns = 0;
	size_t i;

	for (i = 0; i < r->groups_cnt; i++)
		sum_ns += r->groups[i].histograms[SCHED_LATENCY].sum_ns;
	return sum_ns;
}

static void test_orders(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_sched();
	const struct sched_report *r = p->sched;
	size_t i, k;

	for (i = 1; i < r->worst_cnt; i++)
		assert_true(r->worst[i - 1].wait_ns >= r->worst[i].wait_ns);
	for (i = 1; i < r->cells_cnt; i++)
		assert_true(r->cells[i - 1].ns >= r->cells[i].ns);
	for (i = 1; i < r->threads_cnt; i++) {
		uint64_t before = 0, after = 0;

		for (k = 0; k < SCHED_REASONS; k++) {
			before += r->threads[i - 1].reason_ns[k];
			after += r->threads[i].reason_ns[k];
		}
		assert_true(before >= after);
	}
	assert_int_equal(r->worst[0].wait_ns, 48123456);
	assert_string_equal(r->cells[0].victim, "mysqld");
	assert_int_equal(r->threads[0].tid, 201);
	/* The trace comes in order. */
	assert_int_equal(r->trace[0].tid, 101);
}

/* The fixture keeps what the header promises; else the other tests show nothing. */
static void test_fixture_adds_up(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_sched_by(SCHED_BY_CGROUP);
	const struct sched_histogram *h = p->sched->histograms;
	uint64_t ns = p->sched->unknown_ns, waits = p->sched->unknown_waits;
	size_t i;

	for (i = 0; i < p->sched->cells_cnt; i++) {
		ns += p->sched->cells[i].ns;
		waits += p->sched->cells[i].waits;
	}
	assert_int_equal(ns, h[SCHED_LATENCY].sum_ns);
	assert_int_equal(waits, h[SCHED_LATENCY].cnt);
	assert_int_equal(h[0].sum_ns + h[1].sum_ns + h[2].sum_ns, h[SCHED_LATENCY].sum_ns);
	assert_int_equal(sum_groups(p->sched), h[SCHED_LATENCY].sum_ns);
}

static void test_equal_sums(void **state)
{
	_cleanup_(sched_report__freep) struct sched_report *r = new_report();

	add_cell(r, "b", "x", 5, 1);
	add_cell(r, "a", "y", 5, 1);
	add_cell(r, "a", "x", 5, 1);
	add_cell(r, "c", "x", 5, 2);
	assert_int_equal(sched_report__finish(r), 0);
	assert_string_equal(r->cells[0].victim, "c");
	assert_string_equal(r->cells[1].victim, "a");
	assert_string_equal(r->cells[1].culprit, "x");
	assert_string_equal(r->cells[2].culprit, "y");
	assert_string_equal(r->cells[3].victim, "b");
}

static void test_equal_names_are_one(void **state)
{
	_cleanup_(sched_report__freep) struct sched_report *r = new_report();

	add_cell(r, "b", "x", 5, 1);
	add_cell(r, "a", "x", 7, 1);
	add_cell(r, "b", "x", 6, 2);
	observe(&add_group(r, "twice")->histograms[SCHED_DELAYED], 10, 1);
	observe(&add_group(r, "once")->histograms[SCHED_LATENCY], 20, 1);
	observe(&add_group(r, "twice")->histograms[SCHED_DELAYED], 99, 1);
	observe(&add_group(r, "twice")->histograms[SCHED_DELAYED], 10, 1);
	assert_int_equal(sched_report__finish(r), 0);
	assert_int_equal(r->cells_cnt, 2);
	assert_int_equal(r->cells[0].ns, 11);
	assert_int_equal(r->cells[0].waits, 3);
	assert_int_equal(r->groups_cnt, 2);
	assert_string_equal(r->groups[0].name, "once");
	assert_string_equal(r->groups[1].name, "twice");
	assert_int_equal(r->groups[1].histograms[SCHED_DELAYED].cnt, 3);
	assert_int_equal(r->groups[1].histograms[SCHED_DELAYED].sum_ns, 119);
	assert_int_equal(r->groups[1].histograms[SCHED_DELAYED].max_ns, 99);
	assert_int_equal(r->groups[1].histograms[SCHED_DELAYED].slots[latency__slot(10)], 2);
}

static void assert_cut(struct sched_report *r, size_t named, bool has_other)
{
	uint64_t sum_ns = sum_groups(r);
	size_t i, want = named > SCHED_GROUPS_SHOWN ? SCHED_GROUPS_SHOWN + 1 : named + has_other;

	assert_int_equal(sched_report__finish(r), 0);
	assert_int_equal(r->groups_cnt, want);
	assert_int_equal(sum_groups(r), sum_ns);
	for (i = 0; i < want; i++) {
		bool is_other = !strcmp(r->groups[i].name, SCHED_GROUP_OTHER);

		assert_int_equal(is_other,
				 i == want - 1 && (has_other || named > SCHED_GROUPS_SHOWN));
		if (i && !is_other)
			assert_true(r->groups[i - 1].histograms[SCHED_LATENCY].sum_ns >=
				    r->groups[i].histograms[SCHED_LATENCY].sum_ns);
	}
}

static void test_cut_of_groups(void **state)
{
	static const size_t counts[] = { 0, 1, 49, 50, 51, 52, 256 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		_cleanup_(sched_report__freep) struct sched_report *r = new_report();

		add_named_groups(r, counts[i]);
		assert_cut(r, counts[i], false);
		/* Twice is once. */
		assert_cut(r, r->groups_cnt - (counts[i] > SCHED_GROUPS_SHOWN),
			   counts[i] > SCHED_GROUPS_SHOWN);
	}
}

/* What the kernel side had no place for is there already, larger or smaller than the others. */
static void test_cut_with_other_there(void **state)
{
	static const size_t counts[] = { 0, 1, 49, 50, 51, 52, 200 };
	size_t i, huge;

	for (i = 0; i < ARRAY_SIZE(counts) * 2; i++) {
		_cleanup_(sched_report__freep) struct sched_report *r = new_report();

		huge = i % 2;
		add_named_groups(r, counts[i / 2] / 2);
		observe(&add_group(r, SCHED_GROUP_OTHER)->histograms[SCHED_LATENCY],
			huge ? 1000000000 : 1, 3);
		while (r->groups_cnt < counts[i / 2] + 1) {
			char name[32];

			snprintf(name, sizeof(name), "h%zu", r->groups_cnt);
			observe(&add_group(r, name)->histograms[SCHED_LATENCY], 500, 1);
		}
		assert_cut(r, counts[i / 2], true);
	}
}

static void test_empty(void **state)
{
	_cleanup_(sched_report__freep) struct sched_report *r = new_report();

	assert_int_equal(sched_report__finish(r), 0);
	sched_report__free(NULL);
}

static void test_quantiles(void **state)
{
	struct sched_histogram h = { .cnt = 0 };
	uint64_t i;

	assert_int_equal(sched_histogram__quantile(&h, 0.5), 0);
	observe(&h, 1000, 1);
	/* Not the bound above it, 1039: nothing was longer than max. */
	assert_int_equal(sched_histogram__quantile(&h, 0), 1000);
	assert_int_equal(sched_histogram__quantile(&h, 1), 1000);
	observe(&h, 1000000, 1);
	assert_int_equal(sched_histogram__quantile(&h, 0.5), 1039);
	assert_int_equal(sched_histogram__quantile(&h, 0.51), 1000000);
	h = (struct sched_histogram){ .cnt = 0 };
	/* One observation in each of 100 slots. */
	for (i = 100; i < 200; i++)
		observe(&h, latency_bounds_ns[i], 1);
	for (i = 1; i <= 100; i++)
		assert_int_equal(sched_histogram__quantile(&h, (double)i / 100),
				 latency_bounds_ns[99 + i]);
	assert_int_equal(sched_histogram__quantile(&h, 0.001), latency_bounds_ns[100]);
	assert_int_equal(sched_histogram__quantile(&h, 0.999), latency_bounds_ns[199]);
}

/* By counting: the smallest bound with at least q of the waits at or below it. */
static void test_quantiles_of_many(void **state)
{
	static const double qs[] = { 0, 0.001, 0.5, 0.9, 0.99, 0.999, 0.9999, 1 };
	struct sched_histogram h = { .cnt = 0 };
	uint64_t x = 88172645463325252ULL;
	size_t i, k;

	for (i = 0; i < 12345; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		observe(&h, x >> (24 + x % 40), 1);
	}
	for (i = 0; i < ARRAY_SIZE(qs); i++) {
		uint64_t rank = (uint64_t)(qs[i] * 10000 + 0.5) * h.cnt, seen = 0;

		for (k = 0; k < LATENCY_SLOTS; k++) {
			seen += h.slots[k];
			if (seen && seen * 10000 >= rank)
				break;
		}
		assert_int_equal(sched_histogram__quantile(&h, qs[i]),
				 k == LATENCY_BOUNDS || latency_bounds_ns[k] > h.max_ns
					 ? h.max_ns
					 : latency_bounds_ns[k]);
	}
}

static void test_quantile_of_the_last_slot(void **state)
{
	struct sched_histogram h = { .cnt = 0 };

	observe(&h, 1000, 1);
	observe(&h, 500000000000, 9);
	assert_int_equal(sched_histogram__quantile(&h, 0.5), 500000000000);
	/* Nonsense from a caller stays in range. */
	assert_int_equal(sched_histogram__quantile(&h, 7), 500000000000);
	assert_int_equal(sched_histogram__quantile(&h, -7), 1039);
	assert_int_equal(sched_histogram__quantile(&h, __builtin_nan("")), 1039);
}

static void test_names(void **state)
{
	assert_string_equal(sched_reason__name(SCHED_PREEMPTED), "preempted");
	assert_string_equal(sched_reason__name(SCHED_DELAYED), "delayed");
	assert_string_equal(sched_reason__name(SCHED_RUNNABLE), "runnable");
	assert_string_equal(sched_reason__name(SCHED_LATENCY), "latency");
	assert_string_equal(sched_reason__name((enum sched_reason)99), "unknown");
	assert_string_equal(sched_cause__name(SCHED_CAUSE_RT), "rt");
	assert_string_equal(sched_cause__name(SCHED_CAUSE_UNKNOWN), "unknown");
	assert_string_equal(sched_cause__name((enum sched_cause)99), "unknown");
	assert_string_equal(sched_note__name(SCHED_NOTE_THREADS_LOST), "threads_lost");
	assert_string_equal(sched_note__name((enum sched_note)99), "unknown");
	assert_string_equal(sched_by__name(SCHED_BY_NOTHING), "");
	assert_string_equal(sched_by__name(SCHED_BY_CPU), "cpu");
	assert_string_equal(sched_by__name((enum sched_by)99), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_orders),
		cmocka_unit_test(test_fixture_adds_up),
		cmocka_unit_test(test_equal_sums),
		cmocka_unit_test(test_equal_names_are_one),
		cmocka_unit_test(test_cut_of_groups),
		cmocka_unit_test(test_cut_with_other_there),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_quantiles),
		cmocka_unit_test(test_quantiles_of_many),
		cmocka_unit_test(test_quantile_of_the_last_slot),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
