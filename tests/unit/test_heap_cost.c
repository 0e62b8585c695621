/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session/heap_cost and heap_facts: what hits cost, and what /proc says.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include "session/heap_cost.h"
#include "session/heap_facts.h"

static void test_plain_hits(void **state)
{
	const struct heap_costs costs = { .alloc_ns = 700, .free_ns = 600, .stepped_ns = 8000 };
	const struct heap_site_counts sites = { .allocs = 8, .frees = 1 };
	const struct heap_hits before = { .allocs = 100, .frees = 50, .selected = 2 },
			       now = { .allocs = 1100, .frees = 550, .selected = 12 };
	struct heap_cost_totals t = { .cpu_ns = 10000000 };

	heap_cost__add(&t, &before, &now, &costs, &sites);
	assert_int_equal(t.alloc_hits, 1000);
	assert_int_equal(t.free_hits, 500);
	/* 1,000 traps, 10 of which were selected, and 500, all dearer than in a loop of our own. */
	assert_float_equal(t.cost_ns, 1.08 * (700000 + 300000) + 4 * 7000, 0.5);
	assert_float_equal(heap_cost__percent(&t), 11.08, 0.001);
	assert_float_equal(heap_cost__ns_per_hit(&t), 1108000 / 1500.0, 0.001);
	heap_cost__add(&t, &now, &now, &costs, &sites);
	assert_int_equal(t.alloc_hits, 1000);
	assert_float_equal(t.cost_ns, 1108000, 0.5);
}

/* What others are hit by does not cost the TARGET. */
static void test_hits_of_others(void **state)
{
	const struct heap_costs costs = { .alloc_ns = 700, .free_ns = 600 };
	const struct heap_site_counts sites = { .allocs = 1, .frees = 1 };
	const struct heap_hits before = { .allocs = 5, .frees = 5, .others = 100 },
			       now = { .allocs = 15, .frees = 5, .others = 1000100 };
	struct heap_cost_totals t = { .cpu_ns = 1000000 };

	heap_cost__add(&t, &before, &now, &costs, &sites);
	assert_int_equal(t.other_hits, 1000000);
	assert_int_equal(t.alloc_hits, 10);
	assert_float_equal(t.cost_ns, 1.08 * 7000, 0.5);
}

/* Of what was hit after its CPU time was known for the last time no share is told, nor more than
 * all of it. */
static void test_percent_of_who_has_ended(void **state)
{
	struct heap_cost_totals t = { .cost_ns = 900, .untimed_cost_ns = 400, .cpu_ns = 1000 };

	assert_float_equal(heap_cost__percent(&t), 50, 0.001);
	t.untimed_cost_ns = 0;
	assert_float_equal(heap_cost__percent(&t), 90, 0.001);
	t.cost_ns = 1100;
	assert_float_equal(heap_cost__percent(&t), 100, 0);
}

static void test_stepped_sites(void **state)
{
	const struct heap_costs costs = { .alloc_ns = 700, .free_ns = 600, .stepped_ns = 8000 };
	const struct heap_site_counts sites = {
		.allocs = 4, .allocs_stepped = 1, .frees = 1, .frees_stepped = 1
	};
	const struct heap_hits before = { 0 }, now = { .allocs = 10, .frees = 10 };
	struct heap_cost_totals t = { 0 };

	heap_cost__add(&t, &before, &now, &costs, &sites);
	assert_float_equal(t.cost_ns, 10 * (1.08 * 700 + 2000) + 10 * (1.08 * 600 + 8000), 0.5);
}

static void test_nothing_known(void **state)
{
	const struct heap_cost_totals t = { .cost_ns = 5 };

	assert_true(heap_cost__percent(&t) < 0);
	assert_float_equal(heap_cost__ns_per_hit(&t), 0, 0);
}

static void test_cpu_time(void **state)
{
	static const char line[] = "7 (a) 1 b) S 1 7 7 0 -1 4194304 5 6 7 8 100 23 4000 500 20 0\n";
	uint64_t ns = 0, children_ns = 0;

	assert_int_equal(heap_cost__parse_cpu(line, &ns, &children_ns), 0);
	assert_int_equal(ns, 1230000000);
	assert_int_equal(children_ns, 45000000000);
	assert_int_equal(heap_cost__parse_cpu("7 (a) S 1 7", &ns, &children_ns), -EBADMSG);
	assert_int_equal(heap_cost__parse_cpu("", &ns, &children_ns), -EBADMSG);
}

static pid_t dead_process(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	return pid;
}

static uint64_t work_a_little(void)
{
	uint64_t sum = 1;

	for (int i = 0; i < 100000; i++)
		__asm__ volatile("imul %0, %0" : "+r"(sum));
	return sum;
}

/* Far less than a tick shows, of ourselves and of another process. */
static void test_cpu_time_of_processes(void **state)
{
	uint64_t before = 0, after = 0, with_children = 0;
	pid_t pid;

	assert_int_equal(heap_cost__read_cpu(getpid(), false, &before), 0);
	assert_true(work_a_little());
	assert_int_equal(heap_cost__read_cpu(getpid(), false, &after), 0);
	assert_in_range(after - before, 10000, 9000000);
	assert_int_equal(heap_cost__read_cpu(getpid(), true, &with_children), 0);
	assert_true(with_children >= after);
	pid = fork();
	if (!pid)
		for (;;)
			pause();
	assert_int_equal(heap_cost__read_cpu(pid, false, &after), 0);
	assert_true(after < 1000000000);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(heap_cost__read_cpu(dead_process(), false, &after), -ESRCH);
}

static void test_own(void **state)
{
	const struct heap_costs sessions = { .has_session = true }, none = { .has_session = false };

	assert_float_equal(heap_cost__own(1000, 300), 700, 1e-9);
	assert_float_equal(heap_cost__own(1000, 2000), 20, 1e-9); /* never nothing */
	assert_true(heap_cost__error(&sessions, 2) > heap_cost__error(&sessions, 1));
	assert_true(heap_cost__error(&none, 2) == heap_cost__error(&none, 1));
}

static void test_status(void **state)
{
	struct heap_facts facts;

	assert_int_equal(heap_facts__parse("Name:\ta\nTracerPid:\t77\nSeccomp:\t2\n", &facts), 0);
	assert_int_equal(facts.tracer, 77);
	assert_int_equal(facts.seccomp, 2);
	/* A name is the process's own: it may look like any line, but begins none. */
	assert_int_equal(heap_facts__parse("Name:\tTracerPid:\t5\nTracerPid:\t0\n", &facts), 0);
	assert_int_equal(facts.tracer, 0);
	assert_int_equal(facts.seccomp, 0);
	assert_true(facts.has_leader);
	assert_int_equal(heap_facts__parse("Name:\ta\nState:\tZ (zombie)\nTracerPid:\t0\n"
					   "Threads:\t2\n",
					   &facts),
			 0);
	assert_false(facts.has_leader);
	/* All of it has ended. */
	assert_int_equal(heap_facts__parse("Name:\ta\nState:\tZ (zombie)\nTracerPid:\t0\n"
					   "Threads:\t1\n",
					   &facts),
			 0);
	assert_true(facts.has_leader);
	assert_int_equal(heap_facts__parse("Name:\ta\n", &facts), -EBADMSG);
	assert_int_equal(heap_facts__read(getpid(), &facts), 0);
	assert_int_equal(heap_facts__read(dead_process(), &facts), -ESRCH);
}

static void test_valgrind(void **state)
{
	static const char tool[] = "/usr/libexec/valgrind/callgrind-amd64-linux";
	static const char maps[] = "00108000-00109000 r-xp 00000000 fe:00 7 /bin/true\n"
				   "04838000-04839000 r-xp 00001000 fe:00 8 "
				   "/usr/libexec/valgrind/vgpreload_core-amd64-linux.so\n";

	assert_true(heap_facts__is_valgrind(tool, maps));
	assert_false(heap_facts__is_valgrind(tool, "00108000-00109000 r-xp 0 fe:00 7 /bin/true\n"));
	assert_false(heap_facts__is_valgrind("/usr/bin/server", maps));
	assert_false(heap_facts__is_valgrind("-amd64-linux", maps));
	assert_false(heap_facts__is_valgrind("", ""));
}

static void test_rss(void **state)
{
	size_t bytes = 64 << 20, i;
	uint64_t before = heap_facts__rss(getpid()), after;
	char *p = malloc(bytes);

	assert_non_null(p);
	for (i = 0; i < bytes; i += 4096)
		((volatile char *)p)[i] = 1;
	after = heap_facts__rss(getpid());
	assert_true(before > 0);
	assert_true(after > before + bytes - (1 << 20));
	free(p);
	assert_int_equal(heap_facts__rss(dead_process()), 0);
}

static void test_cgroups(void **state)
{
	static const char text[] = "12:cpu,cpuacct:/other\n1:name=systemd:/a/b\n0::/a/b/c\n";

	assert_true(heap_facts__cgroup_matches(text, "/a/b/c"));
	assert_true(heap_facts__cgroup_matches(text, "/a/b"));
	assert_true(heap_facts__cgroup_matches(text, "/a"));
	assert_true(heap_facts__cgroup_matches(text, "/"));
	assert_false(heap_facts__cgroup_matches(text, "/a/b/c/d"));
	assert_false(heap_facts__cgroup_matches(text, "/a/bb"));
	assert_false(heap_facts__cgroup_matches(text, "/other"));
	assert_false(heap_facts__cgroup_matches("0::/a/bc\n", "/a/b"));
	assert_true(heap_facts__cgroup_matches("0::/a/b", "/a/b"));
	assert_false(heap_facts__cgroup_matches("", "/"));
	assert_false(heap_facts__is_in_cgroup(dead_process(), "/"));
}

/* What the kernel answers depends on the kernel; that it is asked without harm does not. */
static void test_seccomp_is_asked(void **state)
{
	bool first = heap_facts__seccomp_allows_returns();

	assert_int_equal(heap_facts__seccomp_allows_returns(), first);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

/* Whole names only, at the start of a string; an array without an end. */
static void test_limits(void **state)
{
	static const struct {
		const char *data;
		size_t len;
		bool is_limited;
	} cases[] = {
#define ENVIRONMENT(text, is) { text, sizeof(text) - 1, is }
		ENVIRONMENT("", false),
		ENVIRONMENT("TCMALLOC_HEAP_LIMIT_MB=100", true),
		ENVIRONMENT("A=1\0TCMALLOC_HEAP_LIMIT_MB=100\0B=2\0", true),
		ENVIRONMENT("A=1\0\0\0MIMALLOC_LIMIT_OS_ALLOC=1\0", true),
		ENVIRONMENT("TCMALLOC_HEAP_LIMIT_MB=0\0B=2", false),
		ENVIRONMENT("TCMALLOC_HEAP_LIMIT_MB=01\0", true),
		ENVIRONMENT("TCMALLOC_HEAP_LIMIT_MB=\0", false),
		ENVIRONMENT("TCMALLOC_HEAP_LIMIT_MB", false),
		ENVIRONMENT("A=TCMALLOC_HEAP_LIMIT_MB=1\0", false),
		ENVIRONMENT("XTCMALLOC_HEAP_LIMIT_MB=1\0", false),
		ENVIRONMENT("TCMALLOC_HEAP_\0LIMIT_MB=1\0", false),
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(heap_facts__environment_limits(cases[i].data, cases[i].len),
				 cases[i].is_limited);
	assert_false(heap_facts__environment_limits(NULL, 0));
	assert_false(heap_facts__is_limited(getpid()));
	assert_false(heap_facts__is_limited(dead_process()));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_hits),
		cmocka_unit_test(test_hits_of_others),
		cmocka_unit_test(test_percent_of_who_has_ended),
		cmocka_unit_test(test_stepped_sites),
		cmocka_unit_test(test_nothing_known),
		cmocka_unit_test(test_cpu_time),
		cmocka_unit_test(test_cpu_time_of_processes),
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_valgrind),
		cmocka_unit_test(test_rss),
		cmocka_unit_test(test_cgroups),
		cmocka_unit_test(test_seccomp_is_asked),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
