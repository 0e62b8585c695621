/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session/heap_budget: what is given up when, that f keeps to the budget, and that what is counted
 * in slices, of who is slowed by it and of who is not, is estimated without bias.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/clock.h"
#include "profile/heap_rows.h"
#include "session/heap_budget.h"

#define STEP_NS    500000ULL   /* of simulated time */
#define SWITCH_NS  15000000ULL /* links come in; who is probed feels the end of it */
#define FELT_NS    1000000ULL
#define MEASURE_NS (NSEC_PER_SEC / 2)
#define PHASE_NS   20e6 /* own CPU time between two rates of allocation, on average */

/*
 * A target whose probes take cost_per_own of its own CPU time while they are on, twice that while
 * frees are followed, times 'rate', by which it allocates. One that is always busy gets less done,
 * one that is paced does as much.
 */
struct world {
	struct heap_budget budget;
	struct heap_cost_totals totals;
	struct heap_rows *rows; /* owned; NULL: nobody asks for an estimate */
	uint64_t now_ns, switching_ns;
	double cost_per_own, paced, rate; /* paced: own CPU time per time; 0: all there is */
	bool is_live, is_on, is_sliced, has_phases;
	double slice_own_ns, planned_ns, truth, next_phase_ns;
	uint64_t random, end_live_ns, slices_ns; /* when: 0, never */
};

static struct world make_world(double budget, double cost_per_own, uint64_t seed)
{
	struct world w = {
		.now_ns = NSEC_PER_SEC,
		.cost_per_own = cost_per_own,
		.rate = 1,
		.is_live = true,
		.is_on = true,
		.random = seed + 99,
	};

	heap_budget__init(&w.budget, budget, true, seed);
	return w;
}

static double random_unit(uint64_t *random)
{
	*random = *random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (double)((*random >> 11) + 1) * 0x1p-53;
}

static void work(struct world *w)
{
	bool costs = w->is_on || w->switching_ns > w->now_ns;
	double c = costs ? w->cost_per_own * w->rate * (w->is_live ? 2 : 1) : 0;
	double own_ns = w->paced > 0 ? (double)STEP_NS * w->paced : (double)STEP_NS / (1 + c);
	struct heap_alloc a = { .time_ns = w->now_ns,
				.bytes = (uint64_t)(own_ns * w->rate),
				.q = heap_budget__q(&w->budget) };

	w->now_ns += STEP_NS;
	w->totals.total_ns += STEP_NS;
	w->totals.own_ns += own_ns;
	w->totals.cost_ns += own_ns * c;
	w->totals.cpu_ns = (uint64_t)(w->totals.own_ns + w->totals.cost_ns);
	w->totals.on_ns += w->is_on ? STEP_NS : 0;
	if (w->is_sliced)
		w->slice_own_ns += own_ns;
	if (w->is_sliced || !w->is_on)
		w->totals.sliced_own_ns += own_ns;
	w->truth += (double)a.bytes;
	if (w->rows && w->is_on)
		assert_int_equal(heap_rows__add(w->rows, 3, &a, false), 0);
	if (w->has_phases && w->totals.own_ns >= w->next_phase_ns) {
		w->rate = random_unit(&w->random) < 0.5 ? 0.1 : 1.9;
		w->next_phase_ns = w->totals.own_ns - log(random_unit(&w->random)) * PHASE_NS;
	}
}

static void end_slice(struct world *w)
{
	if (w->is_sliced && w->rows)
		heap_rows__end_slice(w->rows, w->slice_own_ns, 0, w->planned_ns);
	w->slice_own_ns = 0;
	w->is_sliced = false;
}

static void act(struct world *w, enum heap_budget_action action)
{
	uint64_t ready_ns = w->now_ns + SWITCH_NS;

	switch (action) {
	case HEAP_BUDGET_END_LIVE:
		assert_true(w->is_live);
		w->is_live = false;
		w->end_live_ns = w->now_ns;
		break;
	case HEAP_BUDGET_ON:
		end_slice(w);
		while (!w->is_on && w->now_ns < ready_ns) {
			if (w->now_ns + FELT_NS >= ready_ns)
				w->switching_ns = ready_ns;
			work(w);
		}
		w->is_on = true;
		w->is_sliced = heap_budget__q(&w->budget) != UINT32_MAX;
		if (w->is_sliced && w->rows)
			assert_int_equal(heap_rows__begin_slice(w->rows, w->now_ns,
								heap_budget__q(&w->budget)),
					 0);
		w->planned_ns = heap_budget__slot_ns(&w->budget);
		heap_budget__began(&w->budget, &w->totals, w->now_ns);
		break;
	case HEAP_BUDGET_OFF:
		assert_true(w->is_on);
		end_slice(w);
		w->is_on = false;
		break;
	case HEAP_BUDGET_NOTHING:
		break;
	}
}

static void step(struct world *w)
{
	double percent;

	work(w);
	if (w->now_ns % MEASURE_NS == 0)
		act(w, heap_budget__measure(&w->budget, &w->totals, w->now_ns, &percent));
	if (w->budget.has_slices && !w->slices_ns)
		w->slices_ns = w->now_ns;
	if (w->now_ns >= heap_budget__due_ns(&w->budget))
		act(w, heap_budget__turn(&w->budget, &w->totals, w->now_ns));
}

static void run(struct world *w, unsigned int seconds)
{
	uint64_t end_ns = w->now_ns + seconds * NSEC_PER_SEC;

	while (w->now_ns < end_ns)
		step(w);
}

static double share_of(struct world *w, unsigned int seconds)
{
	const struct heap_cost_totals before = w->totals;

	run(w, seconds);
	return 100 * (w->totals.cost_ns - before.cost_ns) /
	       (double)(w->totals.cpu_ns - before.cpu_ns);
}

static void test_no_budget(void **state)
{
	struct world w = make_world(-1, 9, 1);

	run(&w, 60);
	assert_true(w.is_live && w.is_on);
	assert_int_equal(heap_budget__q(&w.budget), UINT32_MAX);
	assert_true(heap_budget__due_ns(&w.budget) == UINT64_MAX);
}

static void test_within_budget(void **state)
{
	struct world w = make_world(5, 0.025, 1);

	run(&w, 60);
	assert_true(w.is_live && w.is_on);
	assert_int_equal(heap_budget__q(&w.budget), UINT32_MAX);
}

static void test_frees_are_given_up_first(void **state)
{
	struct world w = make_world(5, 0.04, 1);

	run(&w, 60);
	assert_false(w.is_live);
	assert_true(w.is_on);
	assert_true(w.end_live_ns <= 3 * NSEC_PER_SEC);
	assert_int_equal(w.slices_ns, 0);
	assert_int_equal(heap_budget__q(&w.budget), UINT32_MAX);
}

static void test_then_slices(void **state)
{
	static const double budgets[] = { 1, 5, 25 }, costs[] = { 0.5, 4, 30 },
			    paces[] = { 0, 0.2 };
	size_t i, j, k;

	for (i = 0; i < 3; i++) {
		for (j = 0; j < 3; j++) {
			for (k = 0; k < 2; k++) {
				struct world w = make_world(budgets[i], costs[j], 1);
				double share;

				w.paced = paces[k];
				run(&w, 5);
				assert_false(w.is_live);
				assert_true(w.slices_ns > w.end_live_ns);
				assert_true(w.slices_ns <= 4 * NSEC_PER_SEC);
				share = share_of(&w, 300);
				if (share > budgets[i] || share < 0.6 * budgets[i])
					fail_msg("%.2f %% with a budget of %g, cost %g, pace %g",
						 share, budgets[i], costs[j], paces[k]);
			}
		}
	}
}

static void test_follows_what_changes(void **state)
{
	struct world w = make_world(2, 0.4, 7);
	double share;

	run(&w, 20);
	w.cost_per_own = 0.08;
	run(&w, 20);
	share = share_of(&w, 300);
	if (share > 2 || share < 1.2)
		fail_msg("%.2f %% after it became cheaper", share);
	w.cost_per_own = 2;
	run(&w, 20);
	share = share_of(&w, 300);
	if (share > 2 || share < 1.2)
		fail_msg("%.2f %% after it became dearer", share);
	w.cost_per_own = 0.01;
	run(&w, 60);
	assert_int_equal(heap_budget__q(&w.budget), UINT32_MAX);
	assert_true(w.is_on);
}

static void test_least_f(void **state)
{
	struct world w = make_world(0.1, 100, 3);

	run(&w, 100);
	assert_int_equal(heap_budget__q(&w.budget), (1ULL << 32) / HEAP_BUDGET_SLOTS_MAX);
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

/* It is looked for the next turn neither all the time nor too late. */
static void test_looks(void **state)
{
	struct world w = make_world(1, 4, 5);
	unsigned int looks = 0;
	uint64_t due_ns = 0;

	run(&w, 5);
	for (uint64_t end_ns = w.now_ns + 10 * NSEC_PER_SEC; w.now_ns < end_ns; step(&w)) {
		looks += heap_budget__due_ns(&w.budget) != due_ns;
		due_ns = heap_budget__due_ns(&w.budget);
		assert_true(due_ns <= w.now_ns + 100000000);
	}
	assert_in_range(looks, 100, 1500);
}

/* --- the estimate -------------------------------------------------------------------------------
 */

#define RUNS 1000

struct outcome {
	double mean;
	unsigned int covered, seen;
};

static struct outcome estimate(double cost_per_own, double paced, bool has_phases)
{
	struct outcome o = { .mean = 0 };
	int i;

	for (i = 0; i < RUNS; i++) {
		struct world w = make_world(5, cost_per_own, (uint64_t)i * 77 + 1);
		struct heap_row row;
		struct heap_amount amount;

		w.rows = heap_rows__new(1);
		assert_non_null(w.rows);
		w.paced = paced;
		w.has_phases = has_phases;
		run(&w, 15);
		end_slice(&w);
		assert_true(w.slices_ns > 0);
		o.seen += heap_rows__slices_cnt(w.rows) > 1;
		heap_rows__end_slices(w.rows, w.totals.sliced_own_ns);
		heap_rows__get(w.rows, 3, &row);
		amount = heap_sums__amount(&row.alloc);
		o.mean += amount.bytes / w.truth / RUNS;
		/* Of a rate that is even nothing is left to err but roundings. */
		o.covered += fabs(amount.bytes - w.truth) <= amount.error_bytes + 1e-4 * w.truth;
		heap_rows__free(w.rows);
	}
	print_message("cost %g, pace %g, %s: bias %+.3f %%, in the 95 %% interval %.1f %%\n",
		      cost_per_own, paced, has_phases ? "phases" : "even", 100 * (o.mean - 1),
		      100.0 * o.covered / RUNS);
	return o;
}

static void check_estimate(double cost_per_own, double paced, bool has_phases)
{
	struct outcome o = estimate(cost_per_own, paced, has_phases);

	assert_true(o.seen >= RUNS * 99 / 100);
	assert_true(fabs(o.mean - 1) < 0.01);
	assert_true(o.covered >= RUNS * 90 / 100);
}

static void test_unbiased_of_who_is_slowed(void **state)
{
	check_estimate(4, 0, false);
	check_estimate(4, 0, true);
	check_estimate(0.5, 0, true);
}

static void test_unbiased_of_who_is_paced(void **state)
{
	check_estimate(0.5, 0.3, false);
	check_estimate(0.5, 0.3, true);
	check_estimate(2, 0.3, true);
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
		cmocka_unit_test(test_looks),
		cmocka_unit_test(test_unbiased_of_who_is_slowed),
		cmocka_unit_test(test_unbiased_of_who_is_paced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
