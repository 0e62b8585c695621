/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The heap probe for real, on an allocator of our own that this process calls, by the best this
 * kernel has. Needs root.
 */
#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include "heap_cases.h"

static void test_costs_are_measured(void **state)
{
	static struct fixture f;
	struct probe_counters c;
	struct heap_costs costs;

	REQUIRE_ROOT();
	start(&f, 512 << 10, true);
	collector__heap_costs(f.collector, &costs);
	print_message("multi %d session %d alloc %.0f ns free %.0f ns stepped +%.0f ns\n",
		      costs.has_multi, costs.has_session, costs.alloc_ns, costs.free_ns,
		      costs.stepped_ns);
	assert_true(costs.alloc_ns > 0 && costs.free_ns > 0);
	finish(&f, &c);
	assert_int_equal(c.kernel.value[COUNTER_FIRED], 0); /* the calibration is not counted */
	fixture__done(&f);
}

/* Of cnt allocations of so many bytes each, as many are selected as the weights assume. */
static void expect_share(uint64_t interval, size_t bytes, size_t cnt)
{
	static struct fixture f;
	double p = -expm1(-(double)bytes / (double)interval);
	double sd = sqrt((double)cnt * p * (1 - p)), selected;
	struct probe_counters c;

	start(&f, interval, false);
	for (size_t i = 0; i < cnt; i++)
		fake_malloc(bytes, P(1));
	finish(&f, &c);
	assert_int_equal(c.kernel.value[COUNTER_FIRED], cnt);
	selected = (double)(cnt - c.kernel.value[COUNTER_UNSAMPLED]);
	print_message("%zu of %zu bytes, mean %lu: %.0f selected, %.0f +- %.0f expected\n", cnt,
		      bytes, interval, selected, p * (double)cnt, sd);
	assert_true(fabs(selected - p * (double)cnt) < 5 * sd);
	fixture__done(&f);
}

static void test_selects_by_bytes(void **state)
{
	REQUIRE_ROOT();
	expect_share(1000, 100, 50000);
	expect_share(1000, 1000, 10000);
	expect_share(1000, 4000, 5000);
}

static void test_reallocs(void **state)
{
	static struct fixture f;
	struct probe_counters c;

	REQUIRE_ROOT();
	start(&f, 1, true);
	fake_malloc(10, P(1));
	fake_realloc(P(1), 30, P(1)); /* in place */
	assert_int_equal(live_of(&f).bytes, 30);
	fake_realloc(P(1), 0, NULL); /* freed */
	assert_int_equal(live_of(&f).cnt, 0);
	fake_realloc(P(9), 5, P(10)); /* of what we never saw */
	fake_realloc(P(10), 6, P(11));
	fake_free(P(11));
	assert_int_equal(live_of(&f).cnt, 0);
	finish(&f, &c);
	assert_int_equal(c.kernel.value[COUNTER_FAILED], 1);
	fixture__done(&f);
}

/* A block that is not selected itself takes the live one that it was made of out. */
static void test_realloc_unsampled(void **state)
{
	static struct fixture f;
	struct probe_counters c;

	REQUIRE_ROOT();
	start(&f, 1ULL << 31, true);
	fake_told(P(1), 100, 4096);
	fake_realloc(P(1), 2, NULL);
	assert_int_equal(live_of(&f).cnt, 1);
	fake_realloc(P(1), 2, P(2));
	assert_int_equal(live_of(&f).cnt, 0);
	fake_free(P(2));
	finish(&f, &c);
	assert_int_equal(c.kernel.value[COUNTER_UNSAMPLED], 2);
	assert_int_equal(c.kernel.value[COUNTER_SUBMITTED], 1);
	fixture__done(&f);
}

/* What the process cannot follow counts as allocated, and as not in the live set. */
static void test_untold(void **state)
{
	static struct fixture f;
	struct probe_counters c;

	REQUIRE_ROOT();
	start(&f, 1ULL << 31, true);
	fake_told(HEAP_POINTER_UNTOLD, 100, 4096);
	fake_told(HEAP_POINTER_UNTOLD, 100, 4096);
	fake_told(P(1), 100, 4096);
	fake_told(NULL, 100, 4096);
	assert_int_equal(live_of(&f).cnt, 1);
	finish(&f, &c);
	assert_int_equal(c.kernel.value[COUNTER_SUBMITTED], 3);
	assert_int_equal(c.kernel.value[COUNTER_LIVE_FULL], 2);
	assert_int_equal(c.kernel.value[COUNTER_FAILED], 1);
	fixture__done(&f);
}

/* Killed inside an allocation. */
static void test_unfinished(void **state)
{
	static struct fixture f;
	struct probe_counters c;
	struct heap_site sites[HEAP_SITES_MAX];
	int status, go_on = 0;
	pid_t pid;

	REQUIRE_ROOT();
	assert_int_equal(fixture__new(&f, 1, true), 0);
	pid = fork();
	if (pid == 0) {
		rest_ms(200);
		fake_stuck(77, &go_on);
		_exit(0);
	}
	assert_int_equal(fixture__probe(&f, sites, make_sites(sites), pid), 0);
	do {
		rest_ms(20);
		assert_int_equal(collector__counters(f.collector, &probe_heap, &c), 0);
	} while (!c.kernel.value[COUNTER_FIRED]);
	assert_int_equal(imbalance(&c.kernel), 1);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	fake_malloc(5, P(1)); /* not probed in this process */
	finish(&f, &c);
	assert_int_equal(c.kernel.value[COUNTER_FIRED], 1);
	assert_int_equal(c.kernel.value[COUNTER_UNFINISHED], 1);
	fixture__done(&f);
}

/* Allocates once it may. */
static pid_t fork_allocator(int go_fd, int allocs)
{
	pid_t pid = fork();
	char go;

	if (pid == 0) {
		if (read(go_fd, &go, 1) != 1)
			_exit(1);
		for (int i = 0; i < allocs; i++)
			fake_free(fake_malloc(1, P(i)));
		_exit(0);
	}
	return pid;
}

/* A link to all processes asks the filter, and never counts ourselves. */
static void test_filter(void **state)
{
	static struct fixture f;
	struct collector_target target = { 0 };
	struct heap_site sites[HEAP_SITES_MAX];
	struct event_counters frees;
	struct probe_counters c;
	pid_t others[2];
	int go[2], status;

	REQUIRE_ROOT();
	assert_int_equal(pipe(go), 0);
	others[0] = fork_allocator(go[0], 3);
	others[1] = fork_allocator(go[0], 5);
	target.pid = others[0];
	assert_int_equal(fixture__new_for(&f, 1, true, &target), 0);
	assert_int_equal(fixture__probe(&f, sites, make_sites(sites), 0), 0);
	fake_malloc(3, P(1));
	assert_int_equal(write(go[1], "go", 2), 2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(waitpid(others[i], &status, 0), others[i]);
	finish(&f, &c);
	assert_int_equal(collector__heap_frees(f.collector, &frees), 0);
	assert_int_equal(c.kernel.value[COUNTER_FIRED], 9);
	assert_int_equal(c.kernel.value[COUNTER_FILTERED], 6);
	assert_int_equal(c.kernel.value[COUNTER_SUBMITTED], 3);
	assert_int_equal(f.samples[0].pid, others[0]);
	assert_int_equal(frees.value[COUNTER_FILTERED], 5);
	assert_int_equal(frees.value[COUNTER_SUBMITTED], 3);
	close(go[0]);
	close(go[1]);
	fixture__done(&f);
}

static bool is_odd(const struct heap_key *key, const struct heap_live *live, void *ctx)
{
	return live->bytes & 1;
}

static void test_live_set(void **state)
{
	static struct fixture f;
	struct probe_counters c;

	REQUIRE_ROOT();
	start(&f, 1, true);
	for (uintptr_t i = 1; i <= 100; i++)
		fake_malloc(i, P(i));
	assert_int_equal(collector__heap_purge(f.collector, is_odd, NULL), 50);
	assert_int_equal(live_of(&f).bytes, 50 * 51);
	collector__heap_set_q(f.collector, 1U << 31);
	fake_malloc(1, P(200));
	collector__heap_end_live(f.collector);
	assert_int_equal(live_of(&f).cnt, 0);
	fake_malloc(1, P(201));
	fake_free(P(201));
	finish(&f, &c);
	assert_int_equal(f.samples_cnt, 102);
	assert_int_equal(f.samples[100].alloc.q, 1U << 31);
	assert_true(f.samples[100].alloc.is_live);
	assert_false(f.samples[101].alloc.is_live);
	assert_int_equal(c.kernel.value[COUNTER_LIVE_FULL], 0);
	fixture__done(&f);
}

/* What the worker says of sites is not believed. */
static void test_refuses(void **state)
{
	static struct fixture f;
	struct heap_site site = site_of(fake_malloc, HEAP_CALL_ALLOC);
	pid_t gone;
	int status;

	REQUIRE_ROOT();
	assert_int_equal(fixture__new(&f, 1, true), 0);
	site.flags = HEAP_SITE_PUSHED;
	assert_int_equal(fixture__probe(&f, &site, 1, getpid()), -EINVAL);
	site.flags = 0;
	site.size_reg = HEAP_NO_REG + 1;
	assert_int_equal(fixture__probe(&f, &site, 1, getpid()), -EINVAL);
	site.size_reg = DWARF_RDI;
	assert_int_equal(fixture__probe(&f, &site, 0, getpid()), -EINVAL);
	assert_int_equal(fixture__probe(&f, &site, 1, -1), -EINVAL);
	gone = fork();
	if (gone == 0)
		_exit(0);
	waitpid(gone, &status, 0);
	assert_int_equal(fixture__probe(&f, &site, 1, gone), -ESRCH);
	site.call = HEAP_CALLS;
	assert_int_equal(fixture__probe(&f, &site, 1, getpid()), -EINVAL);
	fixture__done(&f);
}

static void test_bad_records(void **state)
{
	struct heap_alloc_event ev = {
		.kind = EVENT_HEAP_ALLOC,
		.size = sizeof(ev),
		.stack_id = 1,
		.bytes = 5,
		.q = 1,
		.tgid = 7,
	};
	struct sample s;

	assert_int_equal(probe_heap.ops->decode(NULL, &ev, sizeof(ev), &s), 0);
	assert_int_equal(s.kind, SAMPLE_ALLOC);
	assert_int_equal(s.alloc.bytes, 5);
	assert_int_equal(s.pid, 7);
	assert_int_equal(probe_heap.ops->decode(NULL, &ev, sizeof(ev) - 1, &s), -EBADMSG);
	ev.bytes = 0;
	assert_int_equal(probe_heap.ops->decode(NULL, &ev, sizeof(ev), &s), -EBADMSG);
	ev.bytes = 1;
	ev.q = 0;
	assert_int_equal(probe_heap.ops->decode(NULL, &ev, sizeof(ev), &s), -EBADMSG);
	ev.q = 1;
	ev.stack_id = STACK_ID_NONE;
	assert_int_equal(probe_heap.ops->decode(NULL, &ev, sizeof(ev), &s), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_call_counts),
		cmocka_unit_test(test_registers_are_intact),
		cmocka_unit_test(test_stack_below_a_probed_return),
		cmocka_unit_test(test_detached_under_load),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_costs_are_measured),
		cmocka_unit_test(test_selects_by_bytes),
		cmocka_unit_test(test_reallocs),
		cmocka_unit_test(test_realloc_unsampled),
		cmocka_unit_test(test_untold),
		cmocka_unit_test(test_unfinished),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_live_set),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_bad_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
