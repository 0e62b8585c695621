/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * profile/sched_rows: rows add up to the exact sums, in every column, whatever was sampled.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/array.h"
#include "base/clock.h"
#include "profile/sched_rows.h"

#define ROWS_MAX 256

struct table {
	struct sched_row rows[ROWS_MAX];
	size_t cnt;
	size_t stop_after; /* 0: never */
};

static int keep_row(const struct sched_row *row, void *ctx)
{
	struct table *t = ctx;

	assert_true(t->cnt < ROWS_MAX);
	t->rows[t->cnt++] = *row;
	return t->cnt == t->stop_after ? -ECANCELED : 0;
}

static struct sched_rows *new_rows(void)
{
	struct sched_rows *rows = sched_rows__new();

	assert_non_null(rows);
	return rows;
}

static void add_preempted(struct sched_rows *rows, pid_t tid, uint32_t stack, double inverse_q,
			  uint64_t ns)
{
	const uint64_t reason_ns[SCHED_REASONS] = { ns, 0, 0 };

	assert_int_equal(sched_rows__add(rows, (struct sched_row_thread){ tid, 1 },
					 SCHED_ORIGIN_PREEMPTED, stack, inverse_q, reason_ns),
			 0);
}

static void add_woken(struct sched_rows *rows, pid_t tid, uint32_t stack, double inverse_q,
		      uint64_t delayed_ns, uint64_t runnable_ns)
{
	const uint64_t reason_ns[SCHED_REASONS] = { 0, delayed_ns, runnable_ns };

	assert_int_equal(sched_rows__add(rows, (struct sched_row_thread){ tid, 1 },
					 SCHED_ORIGIN_WOKEN, stack, inverse_q, reason_ns),
			 0);
}

static struct table emit(const struct sched_rows *rows, pid_t tid, const struct sched_sums *exact)
{
	struct table t = { .cnt = 0 };

	assert_int_equal(
		sched_rows__emit(rows, (struct sched_row_thread){ tid, 1 }, exact, keep_row, &t),
		0);
	return t;
}

static void assert_row(const struct sched_row *row, uint32_t stack, uint64_t waits,
		       uint64_t preempted_ns, uint64_t delayed_ns, uint64_t runnable_ns)
{
	assert_int_equal(row->stack, stack);
	assert_int_equal(row->waits, waits);
	assert_int_equal(row->reason_ns[SCHED_PREEMPTED], preempted_ns);
	assert_int_equal(row->reason_ns[SCHED_DELAYED], delayed_ns);
	assert_int_equal(row->reason_ns[SCHED_RUNNABLE], runnable_ns);
}

static void assert_sums(const struct table *t, const struct sched_sums *exact)
{
	uint64_t waits = 0, reason_ns[SCHED_REASONS] = { 0 };
	size_t i, k;

	for (i = 0; i < t->cnt; i++) {
		waits += t->rows[i].waits;
		for (k = 0; k < SCHED_REASONS; k++)
			reason_ns[k] += t->rows[i].reason_ns[k];
	}
	assert_int_equal(waits, exact->waits[0] + exact->waits[1]);
	assert_int_equal(reason_ns[SCHED_PREEMPTED], exact->preempted_ns);
	assert_int_equal(reason_ns[SCHED_DELAYED], exact->delayed_ns);
	assert_int_equal(reason_ns[SCHED_RUNNABLE], exact->runnable_ns);
}

static void test_everything_sampled(void **state)
{
	_cleanup_(sched_rows__freep) struct sched_rows *rows = new_rows();
	struct sched_sums exact = { .waits = { 3, 1 }, .preempted_ns = 60, .runnable_ns = 7 };
	struct table t;

	add_preempted(rows, 5, 1, 1, 10);
	add_preempted(rows, 5, 2, 1, 20);
	add_preempted(rows, 5, 1, 1, 30);
	add_woken(rows, 5, 1, 1, 0, 7);
	t = emit(rows, 5, &exact);
	assert_int_equal(t.cnt, 3);
	assert_row(&t.rows[0], 1, 2, 40, 0, 0);
	assert_row(&t.rows[1], 2, 1, 20, 0, 0);
	assert_row(&t.rows[2], 1, 1, 0, 0, 7);
}

/* Each column on its own: the waits of a stack say nothing of its time. */
static void test_columns_scale_apart(void **state)
{
	_cleanup_(sched_rows__freep) struct sched_rows *rows = new_rows();
	struct sched_sums exact = { .waits = { 0, 10 }, .delayed_ns = 100, .runnable_ns = 1001 };
	struct table t;

	add_woken(rows, 5, 1, 1, 30, 0);
	add_woken(rows, 5, 2, 4, 0, 50);
	t = emit(rows, 5, &exact);
	assert_int_equal(t.cnt, 2);
	assert_row(&t.rows[0], 1, 2, 0, 100, 0);
	assert_row(&t.rows[1], 2, 8, 0, 0, 1001);
}

/* 3 × 1/3 of 100 and of 101: one of equal remainders, the lowest stack, then two. */
static void test_largest_remainders(void **state)
{
	_cleanup_(sched_rows__freep) struct sched_rows *rows = new_rows();
	struct sched_sums exact = { .waits = { 3, 0 }, .preempted_ns = 100 };
	struct table t;

	add_preempted(rows, 5, 9, 1, 7);
	add_preempted(rows, 5, 3, 1, 7);
	add_preempted(rows, 5, 4, 1, 7);
	t = emit(rows, 5, &exact);
	assert_int_equal(t.cnt, 3);
	assert_row(&t.rows[0], 3, 1, 34, 0, 0);
	assert_row(&t.rows[1], 4, 1, 33, 0, 0);
	assert_row(&t.rows[2], 9, 1, 33, 0, 0);
	exact.preempted_ns = 101;
	t = emit(rows, 5, &exact);
	assert_row(&t.rows[0], 3, 1, 34, 0, 0);
	assert_row(&t.rows[1], 4, 1, 34, 0, 0);
	assert_row(&t.rows[2], 9, 1, 33, 0, 0);
	/* 1/5, 1/5 and 3/5 of 6 = 1.2, 1.2, 3.6 */
	add_preempted(rows, 5, 4, 1, 14);
	exact.preempted_ns = 6;
	t = emit(rows, 5, &exact);
	assert_int_equal(t.rows[0].reason_ns[0], 1);
	assert_int_equal(t.rows[1].reason_ns[0], 4);
	assert_int_equal(t.rows[2].reason_ns[0], 1);
}

/* Sampled waits had no delayed part, the exact sum has: nobody knows whose. */
static void test_column_never_sampled(void **state)
{
	_cleanup_(sched_rows__freep) struct sched_rows *rows = new_rows();
	struct sched_sums exact = {
		.waits = { 2, 4 }, .preempted_ns = 11, .delayed_ns = 5, .runnable_ns = 40
	};
	struct table t;

	add_woken(rows, 5, 1, 2, 0, 10);
	t = emit(rows, 5, &exact);
	assert_int_equal(t.cnt, 2);
	assert_row(&t.rows[0], 1, 4, 0, 0, 40);
	assert_row(&t.rows[1], SCHED_ROW_NOT_SAMPLED, 2, 11, 5, 0);
}

static void test_thread_never_sampled(void **state)
{
	_cleanup_(sched_rows__freep) struct sched_rows *rows = new_rows();
	struct sched_sums exact = {
		.waits = { 1, 2 }, .preempted_ns = 3, .delayed_ns = 4, .runnable_ns = 5
	};
	struct sched_sums nothing = { .preempted_ns = 0 };
	struct table t;

	t = emit(rows, 5, &exact);
	assert_int_equal(t.cnt, 1);
	assert_row(&t.rows[0], SCHED_ROW_NOT_SAMPLED, 3, 3, 4, 5);
	assert_int_equal(t.rows[0].thread.tid, 5);
	assert_int_equal(emit(rows, 5, &nothing).cnt, 0);
}

/* Sampled, but the kernel's sums say it did not wait: no row. */
static void test_exact_sum_of_zero(void **state)
{
	_cleanup_(sched_rows__freep) struct sched_rows *rows = new_rows();
	struct sched_sums exact = { .waits = { 1, 0 } };
	struct table t;

	add_preempted(rows, 5, 1, 1, 10);
	add_preempted(rows, 5, 2, 1, 20);
	t = emit(rows, 5, &exact);
	assert_int_equal(t.cnt, 1);
	assert_sums(&t, &exact);
}

/* One tid, twice: another thread had it before. */
static void test_threads_of_one_tid(void **state)
{
	_cleanup_(sched_rows__freep) struct sched_rows *rows = new_rows();
	const struct sched_sums exact = { .waits = { 1, 0 }, .preempted_ns = 100 };
	const uint64_t reason_ns[SCHED_REASONS] = { 5, 0, 0 };
	struct table t;

	add_preempted(rows, 5, 1, 1, 10);
	assert_int_equal(sched_rows__add(rows, (struct sched_row_thread){ 5, 2 },
					 SCHED_ORIGIN_PREEMPTED, 2, 1, reason_ns),
			 0);
	t = emit(rows, 5, &exact);
	assert_int_equal(t.cnt, 1);
	assert_row(&t.rows[0], 1, 1, 100, 0, 0);
	assert_int_equal(t.rows[0].thread.start_ns, 1);
}

/* What a careless caller passes for 1/q. */
static void test_inverse_q_out_of_range(void **state)
{
	_cleanup_(sched_rows__freep) struct sched_rows *rows = new_rows();
	const struct sched_sums exact = { .waits = { 100, 0 }, .preempted_ns = 1000 };
	static const double odd[] = { 0, -1, 0.5, __builtin_nan(""), __builtin_inf(), 1e300 };
	struct table t;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(odd); i++)
		add_preempted(rows, 5, (uint32_t)i, odd[i], UINT64_MAX);
	t = emit(rows, 5, &exact);
	assert_sums(&t, &exact);
}

static void test_stops_when_told(void **state)
{
	_cleanup_(sched_rows__freep) struct sched_rows *rows = new_rows();
	const struct sched_sums exact = { .waits = { 9, 9 }, .preempted_ns = 9, .runnable_ns = 9 };
	struct table t = { .stop_after = 2 };

	add_preempted(rows, 5, 1, 1, 10);
	add_preempted(rows, 5, 2, 1, 10);
	add_woken(rows, 5, 3, 1, 0, 10);
	assert_int_equal(
		sched_rows__emit(rows, (struct sched_row_thread){ 5, 1 }, &exact, keep_row, &t),
		-ECANCELED);
	assert_int_equal(t.cnt, 2);
}

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Sizes of every magnitude, zeros among them. */
static uint64_t random_size(uint64_t *x)
{
	uint64_t n = next_random(x) >> (next_random(x) % 64);

	return next_random(x) % 4 ? n : 0;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The share by long double; integers must not be further from it than rounding allows. */
static void assert_near_share(uint64_t got, uint64_t exact, double weight, double total)
{
	long double want = (long double)exact * (long double)weight / (long double)total;
	long double slack = 1 + (long double)exact * 1e-14L;

	assert_true((long double)got > want - slack && (long double)got < want + slack);
}

static void test_random_numbers(void **state)
{
	uint64_t x = 88172645463325252ULL;
	unsigned int round;

	for (round = 0; round < 3000; round++) {
		_cleanup_(sched_rows__freep) struct sched_rows *rows = new_rows();
		/* No column sum of more than 63 bits: nobody waits 292 years. */
		struct sched_sums exact = { .waits = { random_size(&x) >> 2, random_size(&x) >> 2 },
					    .preempted_ns = random_size(&x) >> 1,
					    .delayed_ns = random_size(&x) >> 1,
					    .runnable_ns = random_size(&x) >> 1 };
		size_t stacks = next_random(&x) % 40, i;
		double weights[40] = { 0 }, total = 0;
		struct table t;

		for (i = 0; i < stacks * 2; i++) {
			uint32_t stack = (uint32_t)(next_random(&x) % stacks);
			uint64_t inverse_q = larger(next_random(&x) >> (33 + i % 31), 1);
			uint64_t ns = random_size(&x) >> 20;

			if (next_random(&x) % 2)
				add_woken(rows, 5, stack, (double)inverse_q, random_size(&x) >> 20,
					  random_size(&x) >> 20);
			add_preempted(rows, 5, stack, (double)inverse_q, ns);
			weights[stack] += (double)inverse_q * (double)ns;
			total += (double)inverse_q * (double)ns;
		}
		t = emit(rows, 5, &exact);
		assert_sums(&t, &exact);
		for (i = 0; i < t.cnt; i++) {
			const struct sched_row *row = &t.rows[i];

			assert_true(row->waits | row->reason_ns[0] | row->reason_ns[1] |
				    row->reason_ns[2]);
			if (row->stack != SCHED_ROW_NOT_SAMPLED && row->reason_ns[SCHED_PREEMPTED])
				assert_near_share(row->reason_ns[SCHED_PREEMPTED],
						  exact.preempted_ns, weights[row->stack], total);
		}
	}
}

/* The order of arrival does not show. */
static void test_order_of_arrival(void **state)
{
	_cleanup_(sched_rows__freep) struct sched_rows *a = new_rows(), *b = new_rows();
	const struct sched_sums exact = { .waits = { 17, 0 }, .preempted_ns = 999983 };
	struct table ta, tb;
	uint32_t i;

	for (i = 0; i < 50; i++)
		add_preempted(a, 5, i, 1 + i % 3, 10 + i % 7);
	for (i = 50; i-- > 0;)
		add_preempted(b, 5, i, 1 + i % 3, 10 + i % 7);
	ta = emit(a, 5, &exact);
	tb = emit(b, 5, &exact);
	assert_int_equal(ta.cnt, tb.cnt);
	for (i = 0; i < ta.cnt; i++) {
		const struct sched_row *row = &ta.rows[i];

		assert_row(&tb.rows[i], row->stack, row->waits, row->reason_ns[0],
			   row->reason_ns[1], row->reason_ns[2]);
	}
}

static int count_row(const struct sched_row *row, void *ctx)
{
	*(size_t *)ctx += row->waits;
	return 0;
}

/* 100,000 threads of 4 stacks; anything quadratic would take minutes. */
static void test_many_threads(void **state)
{
	_cleanup_(sched_rows__freep) struct sched_rows *rows = new_rows();
	const struct sched_sums exact = { .waits = { 40, 0 }, .preempted_ns = 12345 };
	const uint64_t reason_ns[SCHED_REASONS] = { 100, 0, 0 };
	uint64_t began_ns = clock__mono_ns();
	size_t waits = 0;
	pid_t tid;
	int i;

	for (i = 0; i < 8; i++)
		for (tid = 1; tid <= 100000; tid++)
			assert_int_equal(sched_rows__add(rows, (struct sched_row_thread){ tid, 7 },
							 SCHED_ORIGIN_PREEMPTED,
							 (uint32_t)(tid * 4 + i % 4), 2, reason_ns),
					 0);
	for (tid = 1; tid <= 100000; tid++)
		assert_int_equal(sched_rows__emit(rows, (struct sched_row_thread){ tid, 7 }, &exact,
						  count_row, &waits),
				 0);
	assert_int_equal(waits, 4000000);
	print_message("100,000 threads: %.0f ms\n", (double)(clock__mono_ns() - began_ns) / 1e6);
	assert_true(clock__mono_ns() - began_ns < 20 * NSEC_PER_SEC);
}

/* Thread after thread, each with a stack of its own, until nothing is kept any more. */
static void fill(struct sched_rows *rows)
{
	pid_t tid;

	for (tid = 1000; tid < 301000; tid++)
		add_preempted(rows, tid, (uint32_t)tid, 1, 10);
}

static void test_room_is_bounded(void **state)
{
	_cleanup_(sched_rows__freep) struct sched_rows *rows = new_rows();
	const struct sched_sums exact = { .waits = { 7, 0 }, .preempted_ns = 70 };
	uint64_t homeless;
	struct table t;

	fill(rows);
	homeless = sched_rows__homeless(rows);
	assert_in_range(homeless, 200000, 299000);
	/* the first one has its stack, the last one none, and neither lost anything */
	t = emit(rows, 1000, &exact);
	assert_int_equal(t.cnt, 1);
	assert_row(&t.rows[0], 1000, 7, 70, 0, 0);
	t = emit(rows, 300999, &exact);
	assert_int_equal(t.cnt, 1);
	assert_row(&t.rows[0], SCHED_ROW_NOT_SAMPLED, 7, 70, 0, 0);
	/* what is known is counted on */
	add_preempted(rows, 1000, 1000, 1, 10);
	assert_int_equal(sched_rows__homeless(rows), homeless);
}

/* A known thread with more stacks than there is room for: their share is not given to the stacks
 * that came first. */
static void test_room_for_no_more_stacks(void **state)
{
	_cleanup_(sched_rows__freep) struct sched_rows *rows = new_rows();
	const struct sched_sums exact = { .waits = { 0, 8 }, .delayed_ns = 30, .runnable_ns = 401 };
	uint32_t stack;
	struct table t;

	add_woken(rows, 5, 1, 1, 10, 100);
	add_woken(rows, 5, 2, 1, 0, 100);
	for (stack = 0; stack < 100000; stack++)
		add_preempted(rows, 6, stack, 1, 10);
	assert_in_range(sched_rows__homeless(rows), 1, 99999);
	add_woken(rows, 5, 3, 1, 20, 100);
	add_woken(rows, 5, 4, 1, 0, 100);
	t = emit(rows, 5, &exact);
	assert_int_equal(t.cnt, 3);
	assert_row(&t.rows[0], 1, 2, 0, 10, 100);
	assert_row(&t.rows[1], 2, 2, 0, 0, 100);
	assert_row(&t.rows[2], SCHED_ROW_NOT_SAMPLED, 4, 0, 20, 201);
	assert_sums(&t, &exact);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_everything_sampled),
		cmocka_unit_test(test_columns_scale_apart),
		cmocka_unit_test(test_largest_remainders),
		cmocka_unit_test(test_column_never_sampled),
		cmocka_unit_test(test_thread_never_sampled),
		cmocka_unit_test(test_exact_sum_of_zero),
		cmocka_unit_test(test_threads_of_one_tid),
		cmocka_unit_test(test_inverse_q_out_of_range),
		cmocka_unit_test(test_stops_when_told),
		cmocka_unit_test(test_random_numbers),
		cmocka_unit_test(test_order_of_arrival),
		cmocka_unit_test(test_many_threads),
		cmocka_unit_test(test_room_is_bounded),
		cmocka_unit_test(test_room_for_no_more_stacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
