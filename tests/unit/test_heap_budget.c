/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session/heap_budget: what is given up when, that f keeps to the budget, and that what is counted
 * in slices stays unbiased.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/clock.h"
#include "session/heap_budget.h"

#define STEP_NS 5000000ULL /* of simulated time */

/* A target whose probes take cost_percent of its CPU time while they are on and frees are followed,
 * half of that while they are not. */
struct world {
	struct heap_budget budget;
	struct heap_cost_totals totals;
	uint64_t now_ns;
	double cost_percent;
	bool is_live, is_on;
	uint64_t end_live_ns, slices_ns; /* when: 0, never */
};

static struct world make_world(double budget, double cost_percent, uint64_t seed)
{
	struct world w = {
		.now_ns = NSEC_PER_SEC, .cost_percent = cost_percent, .is_live = true, .is_on = true
	};

	heap_budget__init(&w.budget, budget, true, seed);
	return w;
}

static double cost_now(const struct world *w)
{
	return w->is_on ? w->cost_percent * (w->is_live ? 1 : 0.5) : 0;
}

static void act(struct world *w, enum heap_budget_action action)
{
	switch (action) {
	case HEAP_BUDGET_END_LIVE:
		assert_true(w->is_live);
		w->is_live = false;
		w->end_live_ns = w->now_ns;
		break;
	case HEAP_BUDGET_ON:
		w->is_on = true;
		break;
	case HEAP_BUDGET_OFF:
		assert_true(w->is_on);
		w->is_on = false;
		break;
	case HEAP_BUDGET_NOTHING:
		break;
	}
}

/* One CPU that is always busy. */
static void step(struct world *w)
{
	double percent;

	w->now_ns += STEP_NS;
	w->totals.total_ns += STEP_NS;
	w->totals.cpu_ns += STEP_NS;
	w->totals.cost_ns += cost_now(w) / 100 * (double)STEP_NS;
	w->totals.on_ns += w->is_on ? STEP_NS : 0;
	if (w->now_ns % NSEC_PER_SEC == 0)
		act(w, heap_budget__measure(&w->budget, &w->totals, w->now_ns, &percent));
	if (w->budget.has_slices && !w->slices_ns)
		w->slices_ns = w->now_ns;
	if (w->now_ns >= heap_budget__due_ns(&w->budget))
		act(w, heap_budget__slice(&w->budget, w->now_ns));
}

static void run(struct world *w, unsigned int seconds)
{
	uint64_t end_ns = w->now_ns + seconds * NSEC_PER_SEC;

	while (w->now_ns < end_ns)
		step(w);
}

static double share_of(struct world *w, unsigned int seconds)
{
	double before = w->totals.cost_ns;

	run(w, seconds);
	return 100 * (w->totals.cost_ns - before) / ((double)seconds * NSEC_PER_SEC);
}

static void test_no_budget(void **state)
{
	struct world w = make_world(-1, 90, 1);

	run(&w, 60);
	assert_true(w.is_live && w.is_on);
	assert_int_equal(heap_budget__q(&w.budget), UINT32_MAX);
	assert_true(heap_budget__due_ns(&w.budget) == UINT64_MAX);
}

static void test_within_budget(void **state)
{
	struct world w = make_world(5, 4.9, 1);

	run(&w, 60);
	assert_true(w.is_live && w.is_on);
	assert_int_equal(heap_budget__q(&w.budget), UINT32_MAX);
}

static void test_frees_are_given_up_first(void **state)
{
	struct world w = make_world(5, 8, 1); /* 4 without frees */

	run(&w, 60);
	assert_false(w.is_live);
	assert_true(w.is_on);
	assert_true(w.end_live_ns <= 5 * NSEC_PER_SEC);
	assert_int_equal(w.slices_ns, 0);
	assert_int_equal(heap_budget__q(&w.budget), UINT32_MAX);
}

static void test_then_slices(void **state)
{
	struct world w = make_world(5, 40, 1); /* 20 without frees */
	double share;

	run(&w, 12);
	assert_false(w.is_live);
	assert_true(w.slices_ns > w.end_live_ns);
	assert_true(w.slices_ns <= 10 * NSEC_PER_SEC);
	/* f must be close to 0.225: not far above the budget, and not much below it either. */
	share = share_of(&w, 600);
	if (share > 5 || share < 3.5)
		fail_msg("%.2f %% with a budget of 5", share);
}

static void test_follows_what_changes(void **state)
{
	struct world w = make_world(2, 40, 7);
	double share;

	run(&w, 20);
	w.cost_percent = 8;
	run(&w, 20);
	share = share_of(&w, 300);
	if (share > 2 || share < 1.4)
		fail_msg("%.2f %% after it became cheaper", share);
	w.cost_percent = 60;
	run(&w, 20);
	share = share_of(&w, 300);
	if (share > 2 || share < 1.2)
		fail_msg("%.2f %% after it became dearer", share);
	w.cost_percent = 1;
	run(&w, 60);
	assert_int_equal(heap_budget__q(&w.budget), UINT32_MAX);
	assert_true(w.is_on);
}

static void test_least_f(void **state)
{
	struct world w = make_world(0.1, 100, 3);

	run(&w, 100);
	assert_int_equal(heap_budget__q(&w.budget), 1U << 26);
}

static void test_idle_target(void **state)
{
	struct heap_cost_totals t = { .cpu_ns = 1 };
	struct heap_budget b;
	double percent;
	int i;

	heap_budget__init(&b, 1, true, 1);
	for (i = 1; i < 60; i++) {
		t.total_ns += NSEC_PER_SEC;
		t.on_ns += NSEC_PER_SEC;
		t.cpu_ns += 10000000;
		t.cost_ns += 9000000;
		assert_int_equal(heap_budget__measure(&b, &t, t.total_ns, &percent),
				 HEAP_BUDGET_NOTHING);
	}
}

/* Bursts: what is allocated in one step, which no slice knows of beforehand. */
static double allocated(uint64_t *random)
{
	*random = *random * 6364136223846793005ULL + 1442695040888963407ULL;
	return *random >> 60 ? 10 : 500;
}

static void test_unbiased(void **state)
{
	double truth = 0, estimate = 0, error;
	int run_idx;

	for (run_idx = 0; run_idx < 10000; run_idx++) {
		struct world w = make_world(5, 40, (uint64_t)run_idx * 77 + 1);
		uint64_t random = (uint64_t)run_idx + 99;

		while (w.now_ns < 31 * NSEC_PER_SEC) {
			double bytes = allocated(&random);

			/* More is allocated, more it costs: f and the load go together. */
			w.cost_percent =
				20 + bytes / 20 + 20 * (double)(w.now_ns / NSEC_PER_SEC % 7);
			truth += bytes;
			if (w.is_on)
				estimate += bytes * 4294967296.0 /
					    (heap_budget__q(&w.budget) == UINT32_MAX
						     ? 4294967296.0
						     : heap_budget__q(&w.budget));
			step(&w);
		}
		assert_true(w.slices_ns > 0);
	}
	error = estimate / truth - 1;
	print_message("bias %.3f %%\n", 100 * error);
	if (error > 0.01 || error < -0.01)
		fail_msg("bias %.3f %%", 100 * error);
}

static void test_slices_keep_their_plan(void **state)
{
	struct heap_budget b;
	uint64_t due_ns, now_ns = NSEC_PER_SEC, shortest = UINT64_MAX, longest = 0;
	int i;

	heap_budget__init(&b, 1, false, 5);
	b.has_slices = true;
	b.slice_end_ns = now_ns;
	for (i = 0; i < 1000; i++) {
		due_ns = heap_budget__due_ns(&b);
		assert_int_equal(heap_budget__slice(&b, due_ns - 1), HEAP_BUDGET_NOTHING);
		assert_true(heap_budget__due_ns(&b) == due_ns);
		heap_budget__slice(&b, due_ns + 30000000); /* late, the plan stays */
		due_ns = heap_budget__due_ns(&b) - due_ns;
		shortest = due_ns < shortest ? due_ns : shortest;
		longest = due_ns > longest ? due_ns : longest;
	}
	assert_in_range(shortest, 50000000, 52000000);
	assert_in_range(longest, 198000000, 200000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_budget),
		cmocka_unit_test(test_within_budget),
		cmocka_unit_test(test_frees_are_given_up_first),
		cmocka_unit_test(test_then_slices),
		cmocka_unit_test(test_follows_what_changes),
		cmocka_unit_test(test_least_f),
		cmocka_unit_test(test_idle_target),
		cmocka_unit_test(test_unbiased),
		cmocka_unit_test(test_slices_keep_their_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
