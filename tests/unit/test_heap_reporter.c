/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session/heap_reporter: nothing of what was lost loses its weight, a process's own interval is
 * found, and sites are who calls the allocator.
 */
#include "heap_run_fixture.h"

/* Whatever happened to its stack: what it is worth is in the profile. */
static void test_lost_stacks(void **state)
{
	struct fixture *f = *state;
	struct sample s = sample_of(f, PID, 1);

	assert_int_equal(heap_run__lose_stack(f->run.heap, &s), 0);
	deliver(f, PID, alloc_of(1, true), 1);
	keep_live(f, PID, alloc_of(1, true), 1);
	deliver(f, PID, alloc_of(10, true), STACK_ID_LOST);
	deliver(f, PID, alloc_of(100, true), STACK_ID_LOST);
	keep_live(f, PID, alloc_of(10, true), STACK_ID_LOST);
	keep_live(f, PID, alloc_of(100, true), STACK_ID_LOST);
	deliver(f, PID, alloc_of(1000, true), 99);
	keep_live(f, PID, alloc_of(1000, true), 99);
	look(f, HEAP_POINTS - 1);
	finish(f);
	assert_int_equal(value_of(f, "[profile_full]", ALLOC_SPACE), 1);
	assert_int_equal(value_of(f, "[profile_full]", INUSE_SPACE), 1);
	assert_int_equal(value_of(f, "[ring_full]", ALLOC_SPACE), 110);
	assert_int_equal(value_of(f, "[ring_full]", INUSE_SPACE), 110);
	assert_int_equal(value_of(f, "[ring_full]", INUSE_OBJECTS), 2);
	assert_int_equal(value_of(f, "[unknown]", ALLOC_SPACE), 1000);
	assert_int_equal(value_of(f, "[unknown]", INUSE_SPACE), 1000);
	assert_int_equal(heap_run__ids_unknown(f->run.heap), 1);
	assert_true(f->run.profile->heap->alloc.bytes == 1111);
	assert_true(site_of(f, "[ring_full]")->inuse.bytes == 110);
}

/* Records that never came: those in the live set are known, the rest are like the others. */
static void test_lost_records(void **state)
{
	struct fixture *f = *state;

	allocate(f, "keep", 100, true);
	allocate(f, "keep", 300, false);
	keep_live(f, PID, alloc_of(5000, true), 1000);
	f->run.account.dropped_no_memory = 3;
	f->run.account.dropped_no_return = 2;
	look(f, HEAP_POINTS - 1);
	finish(f);
	assert_int_equal(value_of(f, "[ring_full]", INUSE_SPACE), 5000);
	assert_int_equal(value_of(f, "[ring_full]", ALLOC_SPACE), 5000);
	assert_int_equal(value_of(f, "[no_memory]", ALLOC_SPACE), 2 * 200);
	assert_int_equal(value_of(f, "[no_memory]", ALLOC_OBJECTS), 2);
	assert_int_equal(value_of(f, "[no_memory]", INUSE_SPACE), 0);
	assert_int_equal(value_of(f, "[no_return]", ALLOC_SPACE), 2 * 200);
	assert_int_equal(value_of(f, "[no_return]", INUSE_SPACE), 2 * 50);
	assert_true(site_of(f, "[no_return]")->alloc.error_bytes > 0);
}

/* No room in the ring is no place in the live set: as many of them live as of others. */
static void test_lost_in_the_kernel(void **state)
{
	struct fixture *f = *state;
	const struct heap_report *r;
	int i;

	for (i = 0; i < 8; i++)
		allocate(f, "keep", 100, i % 4 == 0);
	f->run.account.dropped_ring_full = 3;
	f->run.account.dropped_scratch_busy = 1;
	look(f, HEAP_POINTS - 1);
	finish(f);
	assert_int_equal(value_of(f, "[ring_full]", ALLOC_SPACE), 300);
	assert_int_equal(value_of(f, "[ring_full]", INUSE_SPACE), 75);
	assert_int_equal(value_of(f, "[scratch_busy]", INUSE_SPACE), 25);
	r = f->run.profile->heap;
	assert_float_equal(r->inuse.bytes, 300, 1e-6);
	assert_float_equal(r->age_bytes[1], 300, 1e-6);
	assert_float_equal(site_of(f, "[ring_full]")->inuse_bytes[HEAP_POINTS - 1], 75, 1e-6);
	assert_true(site_of(f, "[ring_full]")->inuse.error_bytes > 0);
}

/* Nothing came at all. */
static void test_all_lost(void **state)
{
	struct fixture *f = *state;

	restart(f, 4096, true);
	f->run.account.dropped_ring_full = 2;
	look(f, HEAP_POINTS - 1);
	finish(f);
	assert_int_equal(value_of(f, "[ring_full]", ALLOC_OBJECTS), 2);
	assert_int_equal(value_of(f, "[ring_full]", ALLOC_SPACE), 2 * 4096);
}

/* A process that selects by itself: its interval is in its weights. */
static void test_own_interval(void **state)
{
	static const uint64_t sizes[] = { 8, 100, 3000, 65536, 1 << 20 };
	struct fixture *f = *state;
	size_t i;

	f->finish.sources = HEAP_SOURCE_PRELOAD;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct sample_alloc a = alloc_of(sizes[i], false);

		a.weighted_bytes =
			(uint64_t)((double)sizes[i] / -expm1(-(double)sizes[i] / 131072) + 0.5);
		take_stack(f, PID, i + 1, "f");
		deliver(f, PID, a, i + 1);
	}
	look(f, HEAP_POINTS - 1);
	finish(f);
	assert_in_range(f->run.profile->heap->interval_bytes, 131071, 131073);
	assert_int_equal(f->run.profile->period, f->run.profile->heap->interval_bytes);
}

static void test_no_interval(void **state)
{
	struct fixture *f = *state;

	f->finish.sources = HEAP_SOURCE_PRELOAD;
	look(f, HEAP_POINTS - 1);
	finish(f);
	assert_int_equal(f->run.profile->heap->interval_bytes, 0);
	/* COMMAND got ours. */
	restart(f, 4096, true);
	f->opts.target = TARGET_COMMAND;
	finish(f);
	assert_int_equal(f->run.profile->heap->interval_bytes, 4096);
}

/* --heap-budget: what slices say is scaled to all the time of which they are a sample. */
static void test_slices(void **state)
{
	struct fixture *f = *state;
	struct sample_alloc a = alloc_of(100, false);

	allocate(f, "f", 900, false);
	f->cost.own_ns = 5 * NSEC_PER_SEC;
	f->cost.sliced_own_ns = NSEC_PER_SEC;
	finish(f);
	/* Not one was on: 900 bytes in four seconds, and nothing is known of the fifth. */
	assert_float_equal(site_of(f, "f")->alloc.error_bytes, 1.96 * 225, 1e-6);
	assert_float_equal(f->run.profile->heap->alloc.error_bytes, 1.96 * 225, 1e-6);
	restart(f, 1, true);
	f->run.account.aggregated = 0;
	allocate(f, "f", 900, false);
	a.q = 1U << 30;
	for (uint64_t i = 0; i < 3; i++) {
		assert_int_equal(heap_run__begin_slice(f->run.heap, 0, a.q), 0);
		take_stack(f, PID, 77 + i, "f");
		deliver(f, PID, a, 77 + i);
		heap_run__end_slice(f->run.heap, 50e6, 5e6, 50e6);
	}
	finish(f);
	/* 300 bytes in 150 ms of a second; each slice the same, of which the length errs by 10 %.
	 */
	assert_int_equal(value_of(f, "f", ALLOC_SPACE), 2900);
	assert_float_equal(site_of(f, "f")->alloc.error_bytes, 1.96 * 200, 1e-3);
	assert_float_equal(f->run.profile->heap->alloc.error_bytes, 1.96 * 200, 1e-3);
	assert_float_equal(f->run.profile->heap->processes[0].alloc.bytes, 2900, 1e-3);
}

static void allocate_in(struct fixture *f, const char *innermost, const char *function)
{
	struct sample s = sample_of(f, PID, ++f->last_id);
	const char *const names[] = { "inside", innermost, function, "main" };
	uint32_t stack[ARRAY_SIZE(names)];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(profile__synthetic(f->run.profile, names[i], &stack[i]), 0);
	assert_int_equal(heap_run__stack(f->run.heap, &s, stack, ARRAY_SIZE(stack), &f->labels), 0);
	deliver(f, PID, alloc_of(1, false), f->last_id);
}

/* Who asks an allocator for memory is a site; the allocator, and what it calls, is not. */
static void test_drop_frames(void **state)
{
	static const char *const allocators[] = {
		"malloc",
		"calloc",
		"realloc",
		"reallocarray",
		"posix_memalign",
		"aligned_alloc",
		"memalign",
		"valloc",
		"pvalloc",
		"__libc_malloc",
		"__libc_calloc",
		"__libc_memalign",
		"__posix_memalign",
		"_int_malloc",
		"_mid_memalign",
		"operator new(unsigned long)",
		"operator new[](unsigned long, std::align_val_t)",
		"je_malloc",
		"je_malloc_default",
		"mallocx",
		"tc_malloc",
		"tc_new",
		"tc_newarray_nothrow",
		"tc_calloc",
		"tcmalloc::allocate_full_malloc_oom(unsigned long)",
		"mi_malloc",
		"mi_zalloc_small",
		"_mi_heap_malloc_zero",
		"mi_new_n",
		"mi_heap_malloc_aligned",
		"mi_posix_memalign",
		"__rust_alloc",
		"__rdl_alloc_zeroed",
		"__rust_realloc",
		"heap_tracker__allocated",
	};
	static const char *const others[] = {
		"xmalloc",
		"malloc_stats_of_mine",
		"__libc_start_main",
		"__libc_fork",
		"strdup",
		"operator new_thing()",
		"tc_core_time2tick",
		"mi_write",
		"je_suis",
		"std::__new_allocator<int>::allocate(unsigned long, void const*)",
		"g_malloc",
		"my_calloc",
		"tcmalloc",
		"g::malloc(int)",
		"__rust_begin_short_backtrace",
		"PyMem_Malloc",
	};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(allocators); i++)
		allocate_in(f, allocators[i], "caller");
	for (i = 0; i < ARRAY_SIZE(others); i++)
		allocate_in(f, "malloc", others[i]);
	look(f, HEAP_POINTS - 1);
	finish(f);
	assert_true(site_of(f, "caller")->alloc.samples == ARRAY_SIZE(allocators));
	for (i = 0; i < ARRAY_SIZE(others); i++)
		assert_true(site_of(f, others[i])->alloc.samples == 1);
}

/* malloc() of "site", which 'callers' call, each a location. */
static void allocate_for(struct fixture *f, const uint32_t *callers, uint32_t cnt, uint64_t bytes,
			 bool is_kept)
{
	struct sample s = sample_of(f, PID, ++f->last_id);
	uint32_t stack[12];

	assert_in_range(cnt, 0, ARRAY_SIZE(stack) - 2);
	profile__synthetic(f->run.profile, "malloc", &stack[0]);
	profile__synthetic(f->run.profile, "site", &stack[1]);
	memcpy(stack + 2, callers, cnt * sizeof(*callers));
	assert_int_equal(heap_run__stack(f->run.heap, &s, stack, cnt + 2, &f->labels), 0);
	deliver(f, PID, alloc_of(bytes, true), f->last_id);
	if (is_kept)
		keep_live(f, PID, alloc_of(bytes, true), f->last_id);
}

static uint32_t named(struct fixture *f, const char *name)
{
	uint32_t location = 0;

	assert_int_equal(profile__synthetic(f->run.profile, name, &location), 0);
	return location;
}

/* The most in use decides, however many ways there are beyond the callers that are named. */
static void test_callers(void **state)
{
	struct fixture *f = *state;
	uint32_t often[] = { named(f, "often") }, one[] = { named(f, "one") };
	uint32_t deep[] = { named(f, "c1"), named(f, "c2"), named(f, "c3"),
			    named(f, "c4"), named(f, "c5"), named(f, "c6") };
	const struct heap_report_site *site;
	size_t i;

	allocate_for(f, often, 1, 1000, false);
	allocate_for(f, one, 1, 100, true);
	for (i = 0; i < 2; i++)
		allocate_for(f, deep, 5 + (uint32_t)i, 60, true);
	look(f, HEAP_POINTS - 1);
	finish(f);
	site = site_of(f, "site");
	assert_int_equal(site->callers_cnt, HEAP_CALLERS_MAX);
	for (i = 0; i < HEAP_CALLERS_MAX; i++)
		assert_string_equal(site->callers[i],
				    ((const char *[]){ "c1", "c2", "c3", "c4" })[i]);
}

/* Nothing live, or no live set at all: the most allocated. */
static void test_callers_of_what_is_gone(void **state)
{
	struct fixture *f = *state;
	int is_live;

	for (is_live = 0; is_live < 2; is_live++) {
		const struct heap_report_site *site;
		uint32_t a, b;

		restart(f, 1, is_live);
		f->run.account.aggregated = 0;
		a = named(f, "a");
		b = named(f, "b");
		allocate_for(f, &a, 1, 10, false);
		allocate_for(f, &b, 1, 30, false);
		allocate_for(f, &a, 1, 10, false);
		finish(f);
		site = site_of(f, "site");
		assert_int_equal(site->callers_cnt, 1);
		assert_string_equal(site->callers[0], "b");
	}
}

/* Inlined calls are calls, and what has no name is its file. */
static void test_callers_without_name(void **state)
{
	struct fixture *f = *state;
	struct profile *p = f->run.profile;
	struct profile_mapping m = { .start = 0x1000, .limit = 0x9000 };
	struct profile_line lines[2] = { { .line = 1 }, { .line = 2 } };
	struct profile_function inner = { .start_line = 1 }, outer = { .start_line = 2 };
	uint32_t mapping, callers[3];

	profile__string(p, "/usr/lib/libx.so", &m.file);
	profile__string(p, "inner", &inner.name);
	profile__string(p, "outer", &outer.name);
	assert_int_equal(profile__add_mapping(p, &m, &mapping), 0);
	assert_int_equal(profile__function(p, &inner, &lines[0].function), 0);
	assert_int_equal(profile__function(p, &outer, &lines[1].function), 0);
	assert_int_equal(profile__location(p, mapping, 0x2000, &callers[0]), 0);
	assert_int_equal(profile__set_lines(p, callers[0], lines, 2), 0);
	assert_int_equal(profile__location(p, mapping, 0x3000, &callers[1]), 0);
	callers[2] = named(f, "main");
	allocate_for(f, callers, 3, 10, true);
	look(f, HEAP_POINTS - 1);
	finish(f);
	assert_int_equal(site_of(f, "site")->callers_cnt, 4);
	assert_string_equal(site_of(f, "site")->callers[0], "inner");
	assert_string_equal(site_of(f, "site")->callers[1], "outer");
	assert_string_equal(site_of(f, "site")->callers[2], "[libx.so]");
	assert_string_equal(site_of(f, "site")->callers[3], "main");
}

/* What `cprof info` and folded stacks say of it. */
static void test_views(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf out = BUF_INIT;

	allocate(f, "keep", 1000, true);
	allocate(f, "drop", 100, false);
	look(f, HEAP_POINTS - 1);
	finish(f);
	assert_int_equal(text__info(f->run.profile, &out), 0);
	assert_non_null(strstr(out.data, "inuse_space/bytes (default)\n"));
	assert_non_null(strstr(out.data, "\nwith user stack:  2 of 2 allocations ("));
	buf__clear(&out);
	assert_int_equal(folded__encode(f->run.profile, &out), 0);
	assert_string_equal(out.data, "server;main;keep;malloc 1000\n");
	buf__clear(&out);
	assert_int_equal(text__encode(f->run.profile, &out), 0);
	assert_non_null(strstr(out.data, "Type: inuse_space\n"));
	assert_non_null(strstr(out.data, "1000B   100%   100%      1000B   100%  keep\n"));
	assert_null(strstr(out.data, "malloc"));
}

/* A target may say of itself what it likes: a profile comes of it all the same. */
static void test_hostile(void **state)
{
	struct fixture *f = *state;
	struct sample_alloc a = { .bytes = UINT64_MAX, .weighted_bytes = UINT64_MAX, .q = 1 };
	_cleanup_buf_ struct buf out = BUF_INIT;
	size_t i;

	for (i = 0; i < 10; i++) {
		take_stack(f, PID, i + 1, i % 2 ? "f" : "g");
		deliver(f, PID, a, i + 1);
	}
	a = (struct sample_alloc){ .weighted_bytes = 1 };
	deliver(f, PID, a, 0);
	look(f, HEAP_POINTS - 1);
	finish(f);
	assert_int_equal(value_of(f, "f", ALLOC_SPACE) + value_of(f, "g", ALLOC_SPACE), INT64_MAX);
	assert_int_equal(heap_text__encode(f->run.profile, &out), 0);
	assert_int_equal(heap_json__encode(f->run.profile, &out), 0);
	assert_int_equal(pprof__encode(f->run.profile, &out), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lost_stacks),
		TEST(test_lost_records),
		TEST(test_lost_in_the_kernel),
		TEST(test_slices),
		TEST(test_all_lost),
		TEST(test_own_interval),
		TEST(test_no_interval),
		TEST(test_drop_frames),
		TEST(test_views),
		TEST(test_callers),
		TEST(test_callers_of_what_is_gone),
		TEST(test_callers_without_name),
		TEST(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
