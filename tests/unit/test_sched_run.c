/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session/sched_run: sampled waits find their stacks, and rows, report and accounts hold exactly
 * the sums of the snapshot.
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
#include "profile/sched_report.h"
#include "session/frames.h"
#include "session/sched_run.h"

enum { WAITS, PREEMPTED, DELAYED, RUNNABLE, LATENCY };

#define THREAD_START_NS 777

struct fixture {
	struct options opts;
	struct kind_run run;
	struct label_keys keys;
	struct label_set labels; /* of all stacks */
	uint32_t kernel;         /* mapping */
};

static int setup(void **state)
{
	static const char *const types[] = { "waits", "preempted", "delayed", "runnable",
					     "latency" };
	struct profile_mapping kernel = { .limit = 1 << 20, .is_kernel = true };
	struct fixture *f = calloc(1, sizeof(*f));
	const struct label_values labels = {
		.pid = 40, .tid = 41, .comm = "server", .thread = "worker"
	};
	size_t i;

	f->opts.labels = LABELS_DEFAULT;
	f->opts.sched_worst = OPTIONS_WORST_DEFAULT;
	f->run.profile = profile__new();
	f->run.sched = sched_run__new();
	f->run.account.kind = ACCOUNT_WAITS;
	for (i = 0; i < ARRAY_SIZE(types); i++)
		profile__add_sample_type(f->run.profile, types[i], i ? "nanoseconds" : "count");
	profile__add_mapping(f->run.profile, &kernel, &f->kernel);
	label_keys__intern(&f->keys, f->run.profile);
	label_set__make(&f->labels, &f->keys, f->run.profile, f->opts.labels, &labels);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	sched_run__free(f->run.sched);
	profile__free(f->run.profile);
	free(f);
	return 0;
}

static struct sample sample_of(pid_t tid, uint64_t stack_id)
{
	return (struct sample){
		.stack_id = stack_id,
		.pid = 40,
		.tid = tid,
		.thread_start_ns = THREAD_START_NS,
		.comm = "worker",
		.leader_comm = "server",
	};
}

/* A stack of one named frame, taken for the wait to come. */
static void add_stack(struct fixture *f, pid_t tid, uint64_t stack_id, const char *function)
{
	struct sample s = sample_of(tid, stack_id);
	struct stack stack;

	assert_int_equal(frames__synthetic(f->run.profile, function, "main", &stack), 0);
	assert_int_equal(sched_run__stack(f->run.sched, &s, stack.locations, stack.cnt, &f->labels),
			 0);
}

static void add_wait(struct fixture *f, pid_t tid, uint64_t stack_id, enum sched_origin origin,
		     uint64_t preempted_ns, uint64_t delayed_ns, uint64_t runnable_ns)
{
	struct sample s = sample_of(tid, stack_id);

	s.kind = SAMPLE_WAIT;
	s.wait = (struct sample_wait){
		.origin = origin,
		.inverse_q = 10,
		.reason_ns = { preempted_ns, delayed_ns, runnable_ns },
	};
	assert_int_equal(sched_run__wait(f->run.sched, &s), 0);
}

static void *copy(const void *data, size_t size)
{
	void *mem = malloc(size);

	assert_non_null(mem);
	return memcpy(mem, data, size);
}

/* One thread (40, 41) with these exact sums; totals of so much more. */
static void end(struct fixture *f, const struct sched_sums *sums, uint64_t more_waits,
		uint64_t more_ns)
{
	const struct sched_thread_sums thread = {
		.pid = 40,
		.tid = 41,
		.start_ns = THREAD_START_NS,
		.comm = "worker",
		.leader_comm = "server",
		.sums = *sums,
	};
	uint64_t woken = sums->waits[SCHED_ORIGIN_WOKEN] + more_waits;
	uint64_t preempted = sums->waits[SCHED_ORIGIN_PREEMPTED];
	struct sched_snapshot s = {
		.totals.histograms = {
			[SCHED_PREEMPTED] = { .cnt = preempted, .sum_ns = sums->preempted_ns },
			[SCHED_DELAYED] = { .cnt = 1, .sum_ns = sums->delayed_ns },
			[SCHED_RUNNABLE] = { .cnt = woken, .sum_ns = sums->runnable_ns + more_ns },
			[SCHED_LATENCY] = { .cnt = preempted + woken,
					    .sum_ns = sums->preempted_ns + sums->delayed_ns +
						      sums->runnable_ns + more_ns,
					    .max_ns = 5000 },
		},
		.threads = copy(&thread, sizeof(thread)),
		.threads_cnt = 1,
		.threads_cap = 1,
	};

	sched_run__end(f->run.sched, &s);
	assert_null(s.threads);
}

static void finish(struct fixture *f)
{
	const struct sched_finish finish = {
		.opts = &f->opts,
		.keys = &f->keys,
		.mounts = "/dev/null",
		.real_less_mono_ns = 1000000,
	};

	assert_int_equal(sched_run__finish(f->run.sched, &f->run, &finish), 0);
}

static const char *leaf_of(const struct profile *p, const struct profile_sample *s)
{
	const struct profile_location *l = &p->locations[s->locations[0] - 1];

	return l->lines_cnt ? profile__str(p, p->functions[l->lines[0].function - 1].name) : "?";
}

/* The only row with this leaf. */
static const struct profile_sample *row_of(const struct fixture *f, const char *leaf)
{
	const struct profile *p = f->run.profile;
	const struct profile_sample *found = NULL;
	size_t i;

	for (i = 0; i < p->samples_cnt; i++) {
		if (strcmp(leaf_of(p, &p->samples[i]), leaf) != 0)
			continue;
		assert_null(found);
		found = &p->samples[i];
	}
	return found;
}

static int64_t total(const struct fixture *f, int value)
{
	int64_t sum = 0;
	size_t i;

	for (i = 0; i < f->run.profile->samples_cnt; i++)
		sum += f->run.profile->samples[i].values[value];
	return sum;
}

static void expect_text_label(const struct fixture *f, const struct profile_sample *s,
			      const char *key, const char *value)
{
	const struct profile *p = f->run.profile;
	uint32_t i;

	for (i = 0; i < s->labels_cnt; i++)
		if (!strcmp(profile__str(p, s->labels[i].key), key)) {
			assert_string_equal(profile__str(p, s->labels[i].str), value);
			return;
		}
	fail_msg("no label %s", key);
}

static const struct sched_sums sums = {
	.waits = { [SCHED_ORIGIN_PREEMPTED] = 100, [SCHED_ORIGIN_WOKEN] = 7 },
	.preempted_ns = 1000003,
	.delayed_ns = 11,
	.runnable_ns = 503,
};

static void test_rows_hold_the_exact_sums(void **state)
{
	struct fixture *f = *state;
	const struct profile_sample *hot;

	add_stack(f, 41, 1, "hot");
	add_wait(f, 41, 1, SCHED_ORIGIN_PREEMPTED, 300, 0, 0);
	add_stack(f, 41, 2, "cold");
	add_wait(f, 41, 2, SCHED_ORIGIN_PREEMPTED, 100, 0, 0);
	add_stack(f, 41, 3, "hot");
	add_wait(f, 41, 3, SCHED_ORIGIN_WOKEN, 0, 0, 70);
	end(f, &sums, 0, 0);
	finish(f);
	assert_int_equal(total(f, WAITS), 107);
	assert_int_equal(total(f, PREEMPTED), 1000003);
	assert_int_equal(total(f, DELAYED), 11);
	assert_int_equal(total(f, RUNNABLE), 503);
	assert_int_equal(total(f, LATENCY), 1000003 + 11 + 503);
	hot = row_of(f, "hot");
	assert_in_range(hot->values[PREEMPTED], 750002, 750003);
	assert_int_equal(hot->values[RUNNABLE], 503);
	assert_int_equal(row_of(f, "cold")->values[WAITS], 50);
	/* A column that no sampled wait had. */
	assert_int_equal(row_of(f, "[not sampled]")->values[DELAYED], 11);
	expect_text_label(f, row_of(f, "[not sampled]"), "thread", "worker");
	expect_text_label(f, hot, "comm", "server");
	assert_null(row_of(f, "[other threads]"));
	assert_int_equal(f->run.account.waits, 107);
	assert_int_equal(f->run.account.latency_ns, f->run.account.profiled_ns);
}

static void test_what_no_thread_has(void **state)
{
	struct fixture *f = *state;
	const struct sched_report *r;

	end(f, &sums, 3, 900);
	finish(f);
	assert_int_equal(total(f, WAITS), 110);
	assert_int_equal(row_of(f, "[other threads]")->values[WAITS], 3);
	assert_int_equal(row_of(f, "[other threads]")->values[LATENCY], 900);
	assert_int_equal(row_of(f, "[other threads]")->labels_cnt, 0);
	assert_int_equal(row_of(f, "[not sampled]")->values[WAITS], 107);
	assert_int_equal(f->run.account.latency_ns, f->run.account.profiled_ns);
	r = f->run.profile->sched;
	assert_int_equal(r->threads_cnt, 2);
	assert_int_equal(r->threads[1].tid, 0);
	assert_int_equal(r->threads[1].waits, 3);
	assert_int_equal(r->threads[1].reason_ns[SCHED_RUNNABLE], 900);
}

static void test_stacks_that_are_not_there(void **state)
{
	struct fixture *f = *state;
	struct sample full = sample_of(41, 8);

	add_wait(f, 41, 5, SCHED_ORIGIN_PREEMPTED, 1, 0, 0); /* never heard of */
	add_wait(f, 41, STACK_ID_LOST, SCHED_ORIGIN_PREEMPTED, 1, 0, 0);
	assert_int_equal(sched_run__lose_stack(f->run.sched, &full), 0);
	add_wait(f, 41, 8, SCHED_ORIGIN_PREEMPTED, 1, 0, 0);
	add_stack(f, 41, 9, "used once");
	add_wait(f, 41, 9, SCHED_ORIGIN_PREEMPTED, 1, 0, 0);
	add_wait(f, 41, 9, SCHED_ORIGIN_PREEMPTED, 1, 0, 0); /* an id is of one wait */
	end(f, &sums, 0, 0);
	finish(f);
	assert_int_equal(row_of(f, "[unknown]")->values[WAITS], 40);
	assert_int_equal(row_of(f, "[ring_full]")->values[WAITS], 20);
	assert_int_equal(row_of(f, "[ring_full]")->locations_cnt, 2);
	assert_int_equal(row_of(f, "[profile_full]")->values[WAITS], 20);
	assert_int_equal(row_of(f, "used once")->values[WAITS], 20);
	assert_int_equal(sched_run__ids_unknown(f->run.sched), 2);
	expect_text_label(f, row_of(f, "[ring_full]"), "thread", "worker");
}

/* A thread has one stack outstanding; threads that share a tid are told by their start. */
static void test_ids_are_of_a_thread(void **state)
{
	struct fixture *f = *state;
	struct sample other = sample_of(41, 3);

	add_stack(f, 41, 1, "replaced");
	add_stack(f, 41, 2, "counted");
	add_wait(f, 41, 1, SCHED_ORIGIN_PREEMPTED, 1, 0, 0);
	add_wait(f, 41, 2, SCHED_ORIGIN_PREEMPTED, 1, 0, 0);
	other.thread_start_ns = 1;
	assert_int_equal(sched_run__lose_stack(f->run.sched, &other), 0);
	add_wait(f, 41, 3, SCHED_ORIGIN_PREEMPTED, 1, 0, 0);
	end(f, &sums, 0, 0);
	finish(f);
	assert_null(row_of(f, "replaced"));
	assert_non_null(row_of(f, "counted"));
	assert_null(row_of(f, "[profile_full]"));
	assert_int_equal(sched_run__ids_unknown(f->run.sched), 2);
}

/* A kernel frame with a name. */
static uint32_t kernel_frame(struct fixture *f, const char *name)
{
	struct profile *p = f->run.profile;
	struct profile_function function = { 0 };
	struct profile_line line = { 0 };
	uint32_t id;

	profile__string(p, name, &function.name);
	profile__function(p, &function, &line.function);
	profile__location(p, f->kernel, 0x1000 + line.function, &id);
	profile__set_lines(p, id, &line, 1);
	return id;
}

static void test_machinery_is_cut_off(void **state)
{
	struct fixture *f = *state;
	uint32_t frames[14], far[14];
	struct sample s = sample_of(41, 1);
	size_t i;

	frames[0] = kernel_frame(f, "bpf_prog_abc_sched_switch");
	frames[1] = kernel_frame(f, "__bpf_trace_sched_switch");
	frames[2] = kernel_frame(f, "__schedule");
	frames[3] = kernel_frame(f, "schedule");
	assert_int_equal(sched_run__stack(f->run.sched, &s, frames, 4, &f->labels), 0);
	add_wait(f, 41, 1, SCHED_ORIGIN_PREEMPTED, 1, 0, 0);
	for (i = 0; i < ARRAY_SIZE(far); i++)
		far[i] = kernel_frame(f, i == 12 ? "__schedule" : "elsewhere");
	s.stack_id = 2;
	assert_int_equal(sched_run__stack(f->run.sched, &s, far, ARRAY_SIZE(far), &f->labels), 0);
	add_wait(f, 41, 2, SCHED_ORIGIN_PREEMPTED, 1, 0, 0);
	end(f, &sums, 0, 0);
	finish(f);
	assert_int_equal(row_of(f, "__schedule")->locations_cnt, 2);
	assert_int_equal(row_of(f, "elsewhere")->locations_cnt, ARRAY_SIZE(far));
	assert_null(row_of(f, "bpf_prog_abc_sched_switch"));
}

/* Different stacks without end: their number is bounded, and waits still find one each. */
static void test_bounded(void **state)
{
	struct fixture *f = *state;
	struct sample s = sample_of(41, 1);
	uint32_t frames[256];
	uint32_t i;
	int err = 0;

	for (i = 0; i < ARRAY_SIZE(frames); i++)
		frames[i] = kernel_frame(f, "deep");
	for (i = 0; !err && i < 1000000; i++) {
		frames[0] = i;
		err = sched_run__stack(f->run.sched, &s, frames, ARRAY_SIZE(frames), &f->labels);
	}
	assert_int_equal(err, -ENOSPC);
	assert_true(i > 1000);
	frames[0] = 0; /* known ones still count */
	assert_int_equal(sched_run__stack(f->run.sched, &s, frames, ARRAY_SIZE(frames), &f->labels),
			 0);
}

static void test_report(void **state)
{
	static const struct sched_name names[] = { { 900001, "victim" }, { 7, "culprit" } };
	static const struct sched_matrix_cell cells[] = {
		{ { 900001, 7 }, { 50, 5 } },
		{ { 900001, SCHED_IDLE_KEY }, { 40, 4 } },
		{ { 0, 0 }, { 20, 2 } },
		{ { 12345, 0 }, { 10, 1 } }, /* unknown id */
		{ { 900001, 1ULL << 40 }, { 30, 3 } },
	};
	static const struct sched_worst worst[] = {
		{ .time_ns = 5,
		  .wait_ns = 60,
		  .reason_ns = { 0, 40, 20 },
		  .cpu = 1,
		  .cause = SCHED_CAUSE_RT,
		  .has_culprit = 1,
		  .victim = { 40, 41, 0, "worker" },
		  .culprit = { 0, 0, 1, "swapper/1" } },
		{ .time_ns = 6, .wait_ns = 50, .reason_ns = { 50, 0, 0 }, .cause = 200 },
	};
	struct fixture *f = *state;
	struct options_tag tag = { (char *)"k", (char *)"v" };
	struct sched_snapshot s = {
		.names = copy(names, sizeof(names)),
		.names_cnt = 2,
		.names_cap = 2,
		.cells = copy(cells, sizeof(cells)),
		.cells_cnt = 5,
		.cells_cap = 5,
		.worst = copy(worst, sizeof(worst)),
		.worst_cnt = 2,
		.worst_cap = 2,
	};
	const struct sched_report *r;

	f->opts.tags = &tag;
	f->opts.tags_cnt = 1;
	f->run.profile->time_ns = 123;
	f->run.profile->duration_ns = 456;
	sched_run__end(f->run.sched, &s);
	finish(f);
	r = f->run.profile->sched;
	assert_int_equal(r->time_ns, 123);
	assert_int_equal(r->duration_ns, 456);
	assert_int_equal(r->cells_cnt, 4);
	assert_string_equal(r->cells[0].victim, "victim");
	assert_string_equal(r->cells[0].culprit, "culprit");
	assert_string_equal(r->cells[1].culprit, "[idle]");
	/* Two ids of which no name is known are one cell. */
	assert_string_equal(r->cells[3].culprit, "__other__");
	assert_int_equal(r->cells[2].ns + r->cells[3].ns, 60);
	assert_int_equal(r->worst_cnt, 2);
	assert_int_equal(r->worst[0].time_ns, 1000005);
	assert_int_equal(r->worst[0].reason, SCHED_DELAYED);
	assert_int_equal(r->worst[0].cause, SCHED_CAUSE_RT);
	assert_int_equal(r->worst[0].victim.tid, 41);
	assert_true(r->worst[0].has_culprit);
	assert_string_equal(r->worst[0].culprit.comm, "[idle]");
	assert_null(r->worst[0].culprit.cgroup);
	assert_int_equal(r->worst[1].reason, SCHED_PREEMPTED);
	assert_int_equal(r->worst[1].cause, SCHED_CAUSE_UNKNOWN);
	assert_false(r->worst[1].has_culprit);
	assert_int_equal(r->tags_cnt, 1);
	assert_string_equal(r->tags[0], "k=v");
}

static void add_group(struct sched_snapshot *s, uint64_t key, uint64_t waits)
{
	struct sched_group_histograms *g;

	assert_int_equal(array__reserve(s->groups, s->groups_cap, s->groups_cnt + 1), 0);
	g = &s->groups[s->groups_cnt++];
	*g = (struct sched_group_histograms){ .key = key };
	g->histograms[SCHED_LATENCY].cnt = waits;
	g->histograms[SCHED_LATENCY].sum_ns = waits * 100;
}

static const char *group_names(const struct sched_report *r)
{
	static char text[128];
	size_t i;

	*text = '\0';
	for (i = 0; i < r->groups_cnt; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s=%llu ",
			 r->groups[i].name,
			 (unsigned long long)r->groups[i].histograms[SCHED_LATENCY].cnt);
	return text;
}

static void test_groups(void **state)
{
	static const struct {
		enum sched_by by;
		const char *want;
	} cases[] = {
		{ SCHED_BY_PID, "3=30 7=20 __other__=10 " },
		{ SCHED_BY_CPU, "3=30 7=20 __other__=10 " },
		{ SCHED_BY_COMM, "seven=20 __other__=40 " },
		{ SCHED_BY_CGROUP, "cgroup:3=30 cgroup:7=20 __other__=10 " },
	};
	static const struct sched_name seven = { 7, "seven" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sched_snapshot s = { .names = copy(&seven, sizeof(seven)),
					    .names_cnt = 1,
					    .names_cap = 1 };
		struct fixture *f;

		assert_int_equal(setup((void **)&f), 0);
		f->opts.sched_by = cases[i].by;
		add_group(&s, 7, 20);
		add_group(&s, 3, 30);
		add_group(&s, SCHED_OTHER_KEY, 10);
		sched_run__end(f->run.sched, &s);
		finish(f);
		assert_string_equal(group_names(f->run.profile->sched), cases[i].want);
		teardown((void **)&f);
	}
}

static void test_trace(void **state)
{
	struct fixture *f = *state;
	struct sched_thread_sums early = {
		.tid = 41, .start_ns = THREAD_START_NS, .comm = "worker", .sums = sums
	};
	struct sched_snapshot s = { .threads = &early, .threads_cnt = 1 };
	const struct sched_report *r;

	early.sums.preempted_ns -= 3;
	early.sums.waits[SCHED_ORIGIN_PREEMPTED] -= 1;
	assert_int_equal(sched_run__interval(f->run.sched, &s), 0);
	end(f, &sums, 0, 0);
	finish(f);
	r = f->run.profile->sched;
	assert_int_equal(r->trace_cnt, 2);
	assert_int_equal(r->trace[0].reason_ns[SCHED_PREEMPTED], 1000000);
	assert_int_equal(r->trace[1].reason_ns[SCHED_PREEMPTED], 3);
	assert_int_equal(r->trace[1].reason_ns[SCHED_RUNNABLE], 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_rows_hold_the_exact_sums),
		TEST(test_what_no_thread_has),
		TEST(test_stacks_that_are_not_there),
		TEST(test_ids_are_of_a_thread),
		TEST(test_machinery_is_cut_off),
		TEST(test_bounded),
		TEST(test_report),
		cmocka_unit_test(test_groups),
		TEST(test_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
