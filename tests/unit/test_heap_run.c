/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session/heap_run and heap_reporter: allocations find their stacks, nothing of their weight gets
 * lost, rows, sites and totals agree, and what is live is what the live set holds. The live set is
 * one of this file's.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/array.h"
#include "base/clock.h"
#include "export/export.h"
#include "profile/heap_report.h"
#include "session/frames.h"
#include "session/heap_run.h"

enum { ALLOC_OBJECTS, ALLOC_SPACE, INUSE_OBJECTS, INUSE_SPACE };

#define THREAD_START_NS 777
#define PID             40

/* --- a collector of the test's own --------------------------------------------------------------
 */

struct collector {
	struct heap_live entries[64];
	size_t cnt;
	unsigned int walks;
	int err; /* after the first entry */
};

int collector__heap_live(struct collector *c,
			 int (*fn)(const struct heap_key *key, const struct heap_live *live,
				   void *ctx),
			 void *ctx)
{
	struct heap_key key = { .address_space = 1 };
	size_t i;
	int err;

	c->walks++;
	for (i = 0; i < c->cnt; i++) {
		key.pointer = i;
		err = fn(&key, &c->entries[i], ctx) ?: c->err;
		if (err)
			return err;
	}
	return 0;
}

int64_t collector__heap_purge(struct collector *c,
			      bool (*fn)(const struct heap_key *key, const struct heap_live *live,
					 void *ctx),
			      void *ctx)
{
	struct heap_key key = { .address_space = 1 };
	size_t i, kept = 0, cnt = c->cnt;

	if (c->err)
		return c->err;
	for (i = 0; i < cnt; i++)
		if (!fn(&key, &c->entries[i], ctx))
			c->entries[kept++] = c->entries[i];
	c->cnt = kept;
	return (int64_t)(cnt - kept);
}

/* --- fixture ------------------------------------------------------------------------------------
 */

struct fixture {
	struct options opts;
	struct kind_run run;
	struct collector collector;
	struct heap_cost_totals cost;
	struct heap_finish finish;
	struct label_keys keys;
	struct label_set labels; /* of all stacks */
	uint64_t now_ns, last_id;
};

static void start(struct fixture *f, uint64_t interval_bytes, bool is_live)
{
	static const char *const types[] = { "alloc_objects", "alloc_space", "inuse_objects",
					     "inuse_space" };
	const struct label_values labels = {
		.pid = PID, .tid = 41, .comm = "server", .thread = "worker"
	};
	size_t i;

	f->run.profile = profile__new();
	f->run.heap = heap_run__new(interval_bytes, is_live);
	f->run.account.kind = ACCOUNT_ALLOCS;
	for (i = 0; i < ARRAY_SIZE(types); i++)
		profile__add_sample_type(f->run.profile, types[i], i % 2 ? "bytes" : "count");
	profile__string(f->run.profile, "inuse_space", &f->run.profile->default_sample_type);
	f->run.profile->time_ns = (int64_t)clock__real_ns();
	f->run.profile->duration_ns = 4 * (int64_t)NSEC_PER_SEC;
	label_keys__intern(&f->keys, f->run.profile);
	label_set__make(&f->labels, &f->keys, f->run.profile, LABELS_DEFAULT, &labels);
	heap_run__use_collector(f->run.heap, &f->collector);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->opts.target = TARGET_PIDS;
	f->opts.labels = LABELS_DEFAULT;
	f->now_ns = clock__mono_ns() - 5 * NSEC_PER_SEC;
	f->finish = (struct heap_finish){
		.opts = &f->opts,
		.cost = &f->cost,
		.sources = HEAP_SOURCE_UPROBE,
		.real_less_mono_ns = (int64_t)(clock__real_ns() - clock__mono_ns()),
	};
	start(f, 1, true);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	heap_run__free(f->run.heap);
	profile__free(f->run.profile);
	free(f);
	return 0;
}

static void restart(struct fixture *f, uint64_t interval_bytes, bool is_live)
{
	heap_run__free(f->run.heap);
	profile__free(f->run.profile);
	start(f, interval_bytes, is_live);
}

static struct sample sample_of(const struct fixture *f, pid_t pid, uint64_t stack_id)
{
	return (struct sample){
		.stack_id = stack_id,
		.time_ns = f->now_ns,
		.pid = pid,
		.tid = pid + 1,
		.thread_start_ns = THREAD_START_NS,
		.comm = "worker",
		.leader_comm = "server",
	};
}

/* main → function → malloc, taken for the allocation to come. */
static void take_stack(struct fixture *f, pid_t pid, uint64_t stack_id, const char *function)
{
	struct sample s = sample_of(f, pid, stack_id);
	const char *const names[] = { "malloc", function, "main" };
	uint32_t stack[ARRAY_SIZE(names)];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(profile__synthetic(f->run.profile, names[i], &stack[i]), 0);
	assert_int_equal(heap_run__stack(f->run.heap, &s, stack, ARRAY_SIZE(stack), &f->labels), 0);
}

/* The record of an allocation; what has an id is in the live set, too. */
static void deliver(struct fixture *f, pid_t pid, struct sample_alloc alloc, uint64_t stack_id)
{
	struct sample s = sample_of(f, pid, stack_id);

	s.kind = SAMPLE_ALLOC;
	s.alloc = alloc;
	assert_int_equal(heap_run__alloc(f->run.heap, &s), 0);
	f->run.account.aggregated++;
}

static void keep_live(struct fixture *f, pid_t pid, struct sample_alloc alloc, uint64_t stack_id)
{
	assert_in_range(f->collector.cnt, 0, ARRAY_SIZE(f->collector.entries) - 1);
	f->collector.entries[f->collector.cnt++] = (struct heap_live){
		.stack_id = stack_id,
		.bytes = alloc.bytes,
		.weighted_bytes = alloc.weighted_bytes,
		.time_ns = f->now_ns,
		.tgid = (uint32_t)pid,
		.q = alloc.q,
	};
}

static struct sample_alloc alloc_of(uint64_t bytes, bool is_live)
{
	return (struct sample_alloc){ .bytes = bytes, .q = UINT32_MAX, .is_live = is_live };
}

/* malloc() of 'function', kept or freed at once. */
static void allocate(struct fixture *f, const char *function, uint64_t bytes, bool is_kept)
{
	uint64_t id = ++f->last_id;

	take_stack(f, PID, id, function);
	deliver(f, PID, alloc_of(bytes, true), id);
	if (is_kept)
		keep_live(f, PID, alloc_of(bytes, true), id);
}

static void look(struct fixture *f, int point)
{
	assert_int_equal(heap_run__look(f->run.heap, &f->collector, point), 0);
}

static void finish(struct fixture *f)
{
	assert_int_equal(heap_run__finish(f->run.heap, &f->run, &f->finish), 0);
	assert_int_equal(f->run.account.profiled,
			 f->run.account.aggregated + accounting__dropped_total(&f->run.account));
}

static int64_t value_of(const struct fixture *f, const char *leaf, size_t value)
{
	const struct profile *p = f->run.profile;
	int64_t sum = 0;
	size_t i;

	for (i = 0; i < p->samples_cnt; i++) {
		const struct profile_sample *s = &p->samples[i];
		const struct profile_location *l =
			&p->locations[s->locations[s->locations_cnt > 2] - 1];

		if (!strcmp(profile__str(p, p->functions[l->lines[0].function - 1].name), leaf))
			sum += s->values[value];
	}
	return sum;
}

static const struct heap_report_site *site_of(const struct fixture *f, const char *function)
{
	const struct heap_report *r = f->run.profile->heap;
	size_t i;

	for (i = 0; i < r->sites_cnt; i++)
		if (!strcmp(r->sites[i].function, function))
			return &r->sites[i];
	fail_msg("no site %s", function);
	return NULL;
}

static bool has_comment(const struct fixture *f, const char *start_of_it)
{
	const struct profile *p = f->run.profile;
	size_t i;

	for (i = 0; i < p->comments_cnt; i++)
		if (!strncmp(profile__str(p, p->comments[i]), start_of_it, strlen(start_of_it)))
			return true;
	return false;
}

/* --- tests --------------------------------------------------------------------------------------
 */

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

/* Records that never came: those that live are known, the rest are like the others. */
static void test_lost_records(void **state)
{
	struct fixture *f = *state;

	allocate(f, "keep", 100, true);
	allocate(f, "keep", 300, false);
	keep_live(f, PID, alloc_of(5000, true), 1000);
	f->run.account.dropped_ring_full = 3;
	f->run.account.dropped_no_return = 2;
	look(f, HEAP_POINTS - 1);
	finish(f);
	assert_int_equal(value_of(f, "[ring_full]", INUSE_SPACE), 5000);
	assert_int_equal(value_of(f, "[ring_full]", ALLOC_SPACE), 5000 + 2 * 200);
	assert_int_equal(value_of(f, "[ring_full]", ALLOC_OBJECTS), 3);
	assert_int_equal(value_of(f, "[no_return]", ALLOC_SPACE), 2 * 200);
	assert_int_equal(value_of(f, "[no_return]", INUSE_SPACE), 0);
	assert_true(site_of(f, "[ring_full]")->alloc.samples == 3);
	assert_true(site_of(f, "[no_return]")->alloc.error_bytes > 0);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_rows_and_sites), TEST(test_lost_stacks),     TEST(test_lost_records),
		TEST(test_all_lost),       TEST(test_nothing),         TEST(test_mode_alloc),
		TEST(test_end_live),       TEST(test_forget_process),  TEST(test_growth),
		TEST(test_failed_look),    TEST(test_looks_by_itself), TEST(test_own_interval),
		TEST(test_no_interval),    TEST(test_drop_frames),     TEST(test_views),
		TEST(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
