/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export/sched_trace: the exact lines, whatever threads call themselves.
 */
#include "fixed_sched_report.h"

static struct profile *empty_profile(void)
{
	struct sched_report *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	return fixed_sched_profile(r);
}

static void assert_trace(const struct profile *p, const char *want)
{
	_cleanup_buf_ struct buf out = BUF_INIT;

	assert_int_equal(sched_trace__encode(p, &out), 0);
	assert_string_equal(out.data ?: "", want);
}

static void test_line(void **state)
{
	_cleanup_(profile__freep) struct profile *p = empty_profile();

	assert_trace(p, "");
	add_trace(p->sched, 12345, "nginx", 42999, 187000, 312001);
	assert_trace(p, "sched:sched_latency_trace: comm=nginx pid=12345 preempted=42us "
			"delayed=187us runnable=312us\n");
}

static void test_names(void **state)
{
	static const struct {
		const char *thread, *shown;
	} cases[] = {
		{ "", "" },
		{ "Web Content", "Web\\x20Content" },
		{ "a=b", "a\\x3db" },
		{ "a\\x20b", "a\\x5cx20b" },
		{ "\n\t\x7f", "\\x0a\\x09\\x7f" },
		{ "caf\xc3\xa9", "caf\xc3\xa9" },
		{ "caf\xc3", "caf\\xc3" },
		{ "0123456789abcdef", "0123456789abcdef" }, /* no NUL in its field */
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(profile__freep) struct profile *p = empty_profile();
		char want[256];

		add_trace(p->sched, 1, cases[i].thread, 1000, 0, 0);
		snprintf(want, sizeof(want),
			 "sched:sched_latency_trace: comm=%s pid=1 preempted=1us delayed=0us "
			 "runnable=0us\n",
			 cases[i].shown);
		assert_trace(p, want);
	}
}

/* A wait of less than a microsecond is one, and so is one of nothing. */
static void test_sizes(void **state)
{
	_cleanup_(profile__freep) struct profile *p = empty_profile();

	add_trace(p->sched, 1, "none", 0, 0, 0);
	add_trace(p->sched, 2, "short", 0, 0, 999);
	add_trace(p->sched, 4, "long", UINT64_MAX, 0, 0);
	assert_trace(p, "sched:sched_latency_trace: comm=none pid=1 preempted=0us delayed=0us "
			"runnable=0us\n"
			"sched:sched_latency_trace: comm=short pid=2 preempted=0us delayed=0us "
			"runnable=0us\n"
			"sched:sched_latency_trace: comm=long pid=4 preempted=18446744073709551us "
			"delayed=0us runnable=0us\n");
}

static void test_golden(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_sched();
	_cleanup_buf_ struct buf out = BUF_INIT;

	assert_int_equal(sched_trace__encode(p, &out), 0);
	assert_golden("sched.txt", &out);
}

static void test_other_kinds(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_profile();
	_cleanup_buf_ struct buf out = BUF_INIT;

	assert_int_equal(sched_trace__encode(p, &out), -EINVAL);
	assert_int_equal(sched_json__encode(p, &out), -EINVAL);
	assert_int_equal(sched_prom__encode(p, &out), -EINVAL);
	assert_int_equal(out.len, 0);
}

/* The kind's own encoder goes before that of all kinds, and no other kind gets it. */
static void test_encoders(void **state)
{
	_cleanup_buf_ struct buf sched = BUF_INIT, cpu = BUF_INIT;

	assert_ptr_equal(export__find_by_suffix("/x/sched.txt", "sched")->encode,
			 sched_trace__encode);
	assert_ptr_equal(export__find_by_suffix("/x/sched.json", "sched")->encode,
			 sched_json__encode);
	assert_ptr_equal(export__find_by_suffix("/x/sched.prom", "sched")->encode,
			 sched_prom__encode);
	assert_ptr_equal(export__find_by_suffix("/x/sched.pb.gz", "sched")->encode, pprof__encode);
	assert_ptr_equal(export__find_by_suffix("/x/cpu.txt", "cpu")->encode, text__encode);
	assert_null(export__find_by_suffix("/x/cpu.prom", "cpu"));
	assert_ptr_equal(export__find_by_name("txt", "sched")->encode, sched_trace__encode);
	assert_ptr_equal(export__find_by_name("txt", "cpu")->encode, text__encode);
	assert_null(export__find_by_name("prom", "cpu"));
	export__list_suffixes("sched", &sched);
	assert_string_equal(sched.data, ".pb.gz, .folded, .json, .txt, .prom");
	export__list_suffixes("cpu", &cpu);
	assert_string_equal(cpu.data, ".pb.gz, .folded, .json, .txt");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),        cmocka_unit_test(test_names),
		cmocka_unit_test(test_sizes),       cmocka_unit_test(test_golden),
		cmocka_unit_test(test_other_kinds), cmocka_unit_test(test_encoders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
