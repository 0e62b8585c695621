/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session/heap_run: allocations find their stacks, rows, sites and totals agree, and what is live
 * is what the live set holds.
 */
#include "heap_run_fixture.h"

static void test_rows_and_sites(void **state)
{
	struct fixture *f = *state;
	const struct heap_report *r;

	allocate(f, "keep", 1000, true);
	allocate(f, "keep", 24, true);
	allocate(f, "drop", 100, false);
	assert_int_equal(heap_run__note_process(f->run.heap, PID, "server", 1 << 20), 0);
	assert_int_equal(heap_run__note_process(f->run.heap, PID, "server", 3 << 20), 0);
	assert_int_equal(heap_run__note_process(f->run.heap, 50, "other", 5 << 20), 0);
	look(f, HEAP_POINTS - 1);
	finish(f);
	assert_int_equal(f->run.profile->samples_cnt, 2);
	assert_int_equal(value_of(f, "keep", ALLOC_OBJECTS), 2);
	assert_int_equal(value_of(f, "keep", ALLOC_SPACE), 1024);
	assert_int_equal(value_of(f, "keep", INUSE_OBJECTS), 2);
	assert_int_equal(value_of(f, "keep", INUSE_SPACE), 1024);
	assert_int_equal(value_of(f, "drop", ALLOC_SPACE), 100);
	assert_int_equal(value_of(f, "drop", INUSE_SPACE), 0);
	assert_int_equal(f->run.profile->samples[0].labels_cnt, 3);
	assert_int_equal(heap_run__ids_unknown(f->run.heap), 0);

	/* malloc is not who allocates */
	r = f->run.profile->heap;
	assert_int_equal(r->sites_cnt, 2);
	assert_true(site_of(f, "keep")->inuse.bytes == 1024);
	assert_true(site_of(f, "keep")->alloc.error_bytes == 0);
	assert_true(site_of(f, "keep")->age_bytes[1] == 1024); /* 5 s */
	assert_true(site_of(f, "drop")->alloc.bytes == 100);
	assert_true(r->alloc.bytes == 1124 && r->inuse.bytes == 1024 && r->alloc.samples == 3);
	assert_true(r->is_live && !r->is_partial && !r->alloc_since_ns);
	assert_int_equal(r->interval_bytes, 1);
	assert_int_equal(r->processes_cnt, 2);
	assert_int_equal(r->processes[0].pid, PID);
	assert_int_equal(r->processes[0].rss_start_bytes, 1 << 20);
	assert_int_equal(r->processes[0].rss_bytes, 3 << 20);
	assert_true(r->processes[0].alloc.bytes == 1124 && r->processes[0].inuse.bytes == 1024);
	assert_int_equal(f->run.profile->period, 1);
	assert_true(has_comment(f, "mode=live"));
	assert_true(has_comment(f, "#cost alloc_hits=0 "));
}

static void test_exec_changes_the_name(void **state)
{
	struct fixture *f = *state;
	struct sample s = sample_of(f, PID, 2);
	uint32_t location;

	take_stack(f, PID, 1, "keep");
	strcpy(s.leader_comm, "python3");
	assert_int_equal(profile__synthetic(f->run.profile, "main", &location), 0);
	assert_int_equal(heap_run__stack(f->run.heap, &s, &location, 1, &f->labels), 0);
	finish(f);
	assert_int_equal(f->run.profile->heap->processes_cnt, 1);
	assert_string_equal(f->run.profile->heap->processes[0].comm, "python3");
}

static void test_nothing(void **state)
{
	struct fixture *f = *state;

	look(f, HEAP_POINTS - 1);
	finish(f);
	assert_int_equal(f->run.profile->samples_cnt, 0);
	assert_int_equal(f->run.profile->heap->sites_cnt, 0);
}

static void test_mode_alloc(void **state)
{
	struct fixture *f = *state;
	const struct profile *p;

	restart(f, 1, false);
	allocate(f, "f", 100, false);
	look(f, HEAP_POINTS - 1);
	assert_int_equal(f->collector.walks, 0);
	finish(f);
	p = f->run.profile;
	assert_int_equal(p->sample_types_cnt, 2);
	assert_int_equal(profile__default_value(p), ALLOC_SPACE);
	assert_string_equal(profile__str(p, p->default_sample_type), "alloc_space");
	assert_int_equal(value_of(f, "f", ALLOC_SPACE), 100);
	assert_int_equal(p->heap->alloc_since_ns, p->time_ns);
	assert_true(has_comment(f, "mode=alloc since 20"));
}

/* A run that fell back: what it knew to be live is of no use. */
static void test_end_live(void **state)
{
	struct fixture *f = *state;
	const struct heap_report *r;

	allocate(f, "f", 100, true);
	look(f, 0);
	heap_run__end_live(f->run.heap, clock__mono_ns() + NSEC_PER_SEC);
	heap_run__end_live(f->run.heap, clock__mono_ns() + 9 * NSEC_PER_SEC);
	allocate(f, "f", 11, true);
	assert_int_equal(heap_run__forget_process(f->run.heap, NULL, PID, 1), 0);
	look(f, HEAP_POINTS - 1);
	assert_int_equal(f->collector.walks, 1);
	finish(f);
	r = f->run.profile->heap;
	assert_false(r->is_live);
	assert_int_equal(f->run.profile->sample_types_cnt, 2);
	assert_int_equal(value_of(f, "f", ALLOC_SPACE), 111);
	assert_int_equal(
		(r->alloc_since_ns - f->run.profile->time_ns + NSEC_PER_SEC / 2) / NSEC_PER_SEC, 1);
	assert_true(r->inuse.bytes == 0 && r->processes[0].inuse.bytes == 0);
	assert_int_equal(r->points_ns[0], 0);
}

static void test_forget_process(void **state)
{
	struct fixture *f = *state;

	allocate(f, "f", 100, true);
	take_stack(f, 50, 70, "g");
	deliver(f, 50, alloc_of(7, true), 70);
	keep_live(f, 50, alloc_of(7, true), 70);
	/* called exec, and has allocated again since */
	f->now_ns += 1000;
	assert_int_equal(heap_run__forget_process(f->run.heap, &f->collector, PID, f->now_ns), 0);
	allocate(f, "f", 1, true);
	look(f, HEAP_POINTS - 1);
	f->collector.err = -EIO;
	assert_int_equal(heap_run__forget_process(f->run.heap, &f->collector, 50, UINT64_MAX),
			 -EIO);
	finish(f);
	assert_int_equal(value_of(f, "f", ALLOC_SPACE), 101);
	assert_int_equal(value_of(f, "f", INUSE_SPACE), 1);
	assert_int_equal(value_of(f, "g", INUSE_SPACE), 7);
}

static void test_growth(void **state)
{
	struct fixture *f = *state;
	int point;

	allocate(f, "constant", 1 << 20, true);
	for (point = 0; point < HEAP_POINTS; point++) {
		allocate(f, "leak", 1000, true);
		look(f, point);
	}
	finish(f);
	assert_true(site_of(f, "leak")->has_grown);
	assert_true(site_of(f, "leak")->inuse_bytes[0] == 1000);
	assert_true(site_of(f, "leak")->inuse_bytes[3] == 4000);
	assert_false(site_of(f, "constant")->has_grown);
	for (point = 0; point < HEAP_POINTS; point++)
		assert_true(f->run.profile->heap->points_ns[point] > 0);
}

/* A walk that fails forgets nobody. */
static void test_failed_look(void **state)
{
	struct fixture *f = *state;

	allocate(f, "f", 1, true);
	allocate(f, "g", 2, true);
	f->collector.err = -EIO;
	assert_int_equal(heap_run__look(f->run.heap, &f->collector, 3), -EIO);
	f->collector.err = 0;
	look(f, HEAP_POINTS - 1);
	finish(f);
	assert_int_equal(value_of(f, "g", INUSE_SPACE), 2);
}

/* Stacks of what was freed long ago are forgotten without anybody asking. */
static void test_looks_by_itself(void **state)
{
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < 20000; i++)
		allocate(f, "f", 1, i % 1000 == 0);
	assert_in_range(f->collector.walks, 2, 10);
	look(f, HEAP_POINTS - 1);
	finish(f);
	assert_int_equal(value_of(f, "f", ALLOC_OBJECTS), 20000);
	assert_int_equal(value_of(f, "f", INUSE_OBJECTS), 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_exec_changes_the_name),
		TEST(test_rows_and_sites),
		TEST(test_nothing),
		TEST(test_mode_alloc),
		TEST(test_end_live),
		TEST(test_forget_process),
		TEST(test_growth),
		TEST(test_failed_look),
		TEST(test_looks_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
