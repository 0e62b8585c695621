/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session/sched_trace: what each thread waited within an interval.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "session/sched_trace.h"

static struct sched_thread_sums thread(pid_t tid, uint64_t start_ns, const char *comm,
				       uint64_t waits, uint64_t preempted_ns, uint64_t delayed_ns,
				       uint64_t runnable_ns)
{
	struct sched_thread_sums t = {
		.pid = 1,
		.tid = tid,
		.start_ns = start_ns,
		.sums = {
			.waits = { [SCHED_ORIGIN_WOKEN] = waits },
			.preempted_ns = preempted_ns,
			.delayed_ns = delayed_ns,
			.runnable_ns = runnable_ns,
		},
	};

	memcpy(t.comm, comm, strlen(comm));
	return t;
}

static void expect_row(const struct sched_trace *t, size_t idx, pid_t tid, const char *comm,
		       uint64_t preempted_ns, uint64_t delayed_ns, uint64_t runnable_ns)
{
	const struct sched_report_trace *row = &t->rows[idx];

	assert_true(idx < t->rows_cnt);
	assert_int_equal(row->tid, tid);
	assert_string_equal(row->thread, comm);
	assert_int_equal(row->reason_ns[SCHED_PREEMPTED], preempted_ns);
	assert_int_equal(row->reason_ns[SCHED_DELAYED], delayed_ns);
	assert_int_equal(row->reason_ns[SCHED_RUNNABLE], runnable_ns);
}

static void test_differences(void **state)
{
	struct sched_trace t = { 0 };
	const struct sched_thread_sums first[] = {
		thread(5, 100, "a", 3, 10, 20, 30),
		thread(7, 100, "b", 1, 0, 0, 5),
		thread(9, 100, "idle", 0, 0, 0, 0),
	};
	/* 5 has ended; 7 waited on and has another name; 9 waits for the first time */
	const struct sched_thread_sums second[] = {
		thread(7, 100, "c", 4, 1000, 200, 35),
		thread(9, 100, "idle", 1, 0, 0, 0),
	};
	/* 5 is told again with its end, unchanged; its tid has a new thread */
	const struct sched_thread_sums third[] = {
		thread(5, 100, "a", 3, 10, 20, 30),
		thread(5, 900, "new", 2, 1, 2, 3),
		thread(7, 100, "c", 4, 1000, 200, 35),
	};

	assert_int_equal(sched_trace__add_interval(&t, first, 3), 0);
	assert_int_equal(t.rows_cnt, 2);
	expect_row(&t, 0, 5, "a", 10, 20, 30);
	expect_row(&t, 1, 7, "b", 0, 0, 5);
	assert_int_equal(sched_trace__add_interval(&t, second, 2), 0);
	assert_int_equal(t.rows_cnt, 4);
	expect_row(&t, 2, 7, "c", 1000, 200, 30);
	expect_row(&t, 3, 9, "idle", 0, 0, 0);
	assert_int_equal(sched_trace__add_interval(&t, third, 3), 0);
	assert_int_equal(t.rows_cnt, 5);
	expect_row(&t, 4, 5, "new", 1, 2, 3);
	assert_int_equal(sched_trace__add_interval(&t, NULL, 0), 0);
	assert_int_equal(t.rows_cnt, 5);
	sched_trace__done(&t);
}

/* Sums that were read while they changed must not become enormous. */
static void test_nothing_shrinks_below_zero(void **state)
{
	struct sched_trace t = { 0 };
	const struct sched_thread_sums first = thread(5, 1, "a", 5, 100, 100, 100);
	const struct sched_thread_sums second = thread(5, 1, "a", 6, 90, 150, 100);

	sched_trace__add_interval(&t, &first, 1);
	sched_trace__add_interval(&t, &second, 1);
	expect_row(&t, 1, 5, "a", 0, 50, 0);
	sched_trace__done(&t);
}

/* Rows are bounded, what did not fit is counted, and differences stay right meanwhile. */
static void test_bounded(void **state)
{
	enum { THREADS = SCHED_TRACE_ROWS_MAX / 2 + 1 };
	struct sched_thread_sums *threads = calloc(THREADS, sizeof(*threads));
	struct sched_trace t = { 0 };
	uint64_t i, round;

	assert_non_null(threads);
	for (round = 1; round <= 2; round++) {
		for (i = 0; i < THREADS; i++)
			threads[i] = thread((pid_t)i + 1, 1, "x", round, 10 * round, 0, 0);
		assert_int_equal(sched_trace__add_interval(&t, threads, THREADS), 0);
	}
	assert_int_equal(t.rows_cnt, SCHED_TRACE_ROWS_MAX);
	assert_int_equal(t.rows_dropped, 2);
	expect_row(&t, SCHED_TRACE_ROWS_MAX - 1, THREADS - 2, "x", 10, 0, 0);
	sched_trace__done(&t);
	free(threads);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_differences),
		cmocka_unit_test(test_nothing_shrinks_below_zero),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
