/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What must hold of the heap probe whatever the kernel has for it: run by test_heap_collect.c with
 * all there is here, by test_heap_fallbacks.c as older kernels would. Needs root.
 */
#ifndef TESTS_UNIT_HEAP_CASES_H
#define TESTS_UNIT_HEAP_CASES_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "heap_fixture.h"

#define P(n) ((void *)(uintptr_t)(0x100000 + (n)*0x1000))

#define REQUIRE_ROOT()                                                                             \
	do {                                                                                       \
		if (geteuid() != 0) {                                                              \
			print_message("skipped: needs root\n");                                    \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

#define HAMMERS     4
#define HAMMER_MAX  64 /* bytes */
#define HAMMER_MEAN 256

static inline size_t make_sites(struct heap_site sites[])
{
	size_t n = 0;

	sites[n] = site_of(fake_malloc, HEAP_CALL_ALLOC);
	sites[n++].size_reg = DWARF_RDI;
	sites[n] = site_of(fake_free, HEAP_CALL_FREE);
	sites[n++].ptr_reg = DWARF_RDI;
	sites[n] = site_of(fake_calloc, HEAP_CALL_ALLOC);
	sites[n].count_reg = DWARF_RDI;
	sites[n++].size_reg = DWARF_RSI;
	sites[n] = site_of(fake_realloc, HEAP_CALL_REALLOC);
	sites[n].ptr_reg = DWARF_RDI;
	sites[n++].size_reg = DWARF_RSI;
	sites[n] = site_of(fake_posix_memalign, HEAP_CALL_POSIX_MEMALIGN);
	sites[n].out_reg = DWARF_RDI;
	sites[n++].size_reg = DWARF_RDX;
	sites[n] = site_of(fake_memalign, HEAP_CALL_ALLOC);
	sites[n].flags = HEAP_SITE_SMALL_ALIGN_ELSEWHERE;
	sites[n].count_reg = DWARF_RDI;
	sites[n++].size_reg = DWARF_RSI;
	sites[n] = site_of(fake_moved_site, HEAP_CALL_ALLOC);
	sites[n].flags = HEAP_SITE_STEPPED;
	sites[n++].size_reg = DWARF_R10;
	sites[n] = site_of(fake_stuck, HEAP_CALL_ALLOC);
	sites[n++].size_reg = DWARF_RDI;
	sites[n] = site_of(fake_told_site, HEAP_CALL_USDT_ALLOC);
	sites[n].flags = HEAP_SITE_PUSHED;
	sites[n].ptr_reg = DWARF_RDI;
	sites[n].size_reg = DWARF_RSI;
	sites[n++].count_reg = DWARF_RCX;
	return n;
}

/* Of the sites the first so many: without uprobe_multi each of them takes long to remove. */
#define SITES_MALLOC  1
#define SITES_FREE    2
#define SITES_REALLOC 4
#define SITES_ALL     HEAP_SITES_MAX

static inline void start_some(struct fixture *f, uint64_t interval, bool is_live, size_t most)
{
	struct heap_site sites[HEAP_SITES_MAX];
	size_t cnt = make_sites(sites);

	if (cnt > most)
		cnt = most;
	assert_int_equal(fixture__new(f, interval, is_live), 0);
	assert_int_equal(fixture__probe(f, sites, cnt, getpid()), 0);
}

static inline void start(struct fixture *f, uint64_t interval, bool is_live)
{
	start_some(f, interval, is_live, SITES_ALL);
}

/* Detaches; every hit ended in one counter, every record came. */
static inline void finish(struct fixture *f, struct probe_counters *ret)
{
	collector__detach(f->collector, &probe_heap);
	assert_int_equal(fixture__drain(f), 0);
	assert_int_equal(collector__counters(f->collector, &probe_heap, ret), 0);
	assert_int_equal(imbalance(&ret->kernel), 0);
	assert_int_equal(imbalance(&ret->stacks), 0);
	assert_int_equal(ret->kernel.value[COUNTER_SUBMITTED], ret->consumed);
	assert_int_equal(ret->stacks.value[COUNTER_SUBMITTED], ret->stacks_consumed);
	assert_int_equal(ret->bad_records, 0);
	assert_int_equal(ret->stacks_bad_records, 0);
}

struct live_sum {
	size_t cnt;
	uint64_t bytes, weighted;
};

static inline int add_live(const struct heap_key *key, const struct heap_live *live, void *ctx)
{
	struct live_sum *sum = ctx;

	assert_int_not_equal(key->address_space, 0);
	assert_int_equal(live->tgid, getpid());
	assert_int_not_equal(live->start_ns, 0);
	sum->cnt++;
	sum->bytes += live->bytes;
	sum->weighted += live->weighted_bytes;
	return 0;
}

static inline struct live_sum live_of(struct fixture *f)
{
	struct live_sum sum = { 0 };

	assert_int_equal(collector__heap_live(f->collector, add_live, &sum), 0);
	return sum;
}

static void test_every_call_counts(void **state)
{
	static struct fixture f;
	struct probe_counters c;
	struct event_counters frees;
	void *out = NULL;

	REQUIRE_ROOT();
	start(&f, 1, true);
	fake_malloc(100, P(1));
	fake_malloc(0, P(2));
	fake_malloc(50, NULL); /* failed */
	fake_calloc(3, 7, P(3));
	fake_calloc(SIZE_MAX / 2, 3, NULL); /* failed: too much */
	fake_realloc(NULL, 10, P(4));
	fake_realloc(P(4), 20, P(5));   /* moved */
	fake_realloc(P(5), 1000, NULL); /* failed: 20 bytes stay */
	fake_posix_memalign(&out, 64, 5, P(6), 0);
	fake_posix_memalign(&out, 64, 6, P(7), 12); /* failed */
	fake_memalign(16, 8, P(8));                 /* of another function's count */
	fake_memalign(32, 9, P(9));
	fake_outer(11, P(10)); /* nested */
	fake_moved(13, P(11));
	fake_told(P(12), 17, 4096);
	fake_free(P(1));
	fake_free(NULL);
	fake_free(P(77));
	assert_int_equal(live_of(&f).bytes, 1 + 21 + 20 + 5 + 9 + 13 + 17);
	assert_int_equal(live_of(&f).weighted, 4096);
	finish(&f, &c);
	assert_int_equal(c.kernel.value[COUNTER_FIRED], 15);
	assert_int_equal(c.kernel.value[COUNTER_FAILED], 4);
	assert_int_equal(c.kernel.value[COUNTER_NESTED], 2);
	assert_int_equal(c.kernel.value[COUNTER_SUBMITTED], 9);
	assert_int_equal(f.samples_cnt, 9);
	assert_int_equal(f.samples[0].alloc.bytes, 100);
	assert_int_equal(f.samples[1].alloc.bytes, 1);
	assert_true(f.samples[1].alloc.is_live);
	assert_int_equal(f.samples[1].alloc.q, UINT32_MAX);
	assert_int_equal(f.samples[2].alloc.bytes, 21);
	assert_int_equal(f.samples[8].alloc.weighted_bytes, 4096);
	assert_int_equal(f.samples[8].pid, getpid());
	assert_int_equal(f.stacks_cnt, 12); /* none of what is too much for any process */
	assert_int_equal(f.stack_ids[0], f.samples[0].stack_id);
	assert_int_equal(collector__heap_frees(f.collector, &frees), 0);
	assert_int_equal(frees.value[COUNTER_FIRED], 3);
	assert_int_equal(frees.value[COUNTER_SUBMITTED], 1);
	assert_int_equal(frees.value[COUNTER_UNSAMPLED], 2);
	fixture__done(&f);
}

/* With a return probe taken, and without. */
static void test_registers_are_intact(void **state)
{
	static const uint64_t intervals[] = { 1, 1ULL << 30 };
	static struct fixture f;
	struct probe_counters c;

	REQUIRE_ROOT();
	assert_int_equal(fake_changed_registers(), 0);
	for (size_t i = 0; i < ARRAY_SIZE(intervals); i++) {
		start_some(&f, intervals[i], true, SITES_MALLOC);
		for (int k = 0; k < 100; k++)
			assert_int_equal(fake_changed_registers(), 0);
		finish(&f, &c);
		assert_int_equal(c.kernel.value[COUNTER_FIRED], 100);
		assert_true((c.kernel.value[COUNTER_SUBMITTED] == 100) == !i);
		fixture__done(&f);
	}
}

/* A function whose return is probed has a return address that is not its caller's: stacks have the
 * caller's. */
static void test_stack_below_a_probed_return(void **state)
{
	static struct fixture f;
	struct heap_site sites[2] = { site_of(fake_onward, HEAP_CALL_ALLOC),
				      site_of(fake_malloc, HEAP_CALL_ALLOC) };
	struct probe_counters c;

	REQUIRE_ROOT();
	sites[0].size_reg = sites[1].size_reg = DWARF_RDI;
	assert_int_equal(fixture__new(&f, 1, false), 0);
	assert_int_equal(fixture__probe(&f, sites, 2, getpid()), 0);
	fake_onward(8, P(1));
	finish(&f, &c);
	assert_int_equal(c.kernel.value[COUNTER_FIRED], 2);
	assert_int_equal(f.stacks_cnt, 2);
	assert_int_not_equal(f.return_addresses[0], 0);
	assert_int_equal(f.return_addresses[0], f.return_addresses[1]);
	fixture__done(&f);
}

struct hammer {
	atomic_bool has_ended;
	atomic_uint started;
	pthread_t threads[HAMMERS];
};

static void *hammer_away(void *data)
{
	struct hammer *h = data;
	uintptr_t base = (uintptr_t)(atomic_fetch_add(&h->started, 1) + 1) << 32;

	for (size_t i = 1; !h->has_ended; i++) {
		void *at = (void *)(base + i % 1000 * 16);

		fake_free(fake_malloc(i % HAMMER_MAX, at));
		at = fake_realloc(fake_calloc(1, i % HAMMER_MAX, at), i % 7, (char *)at + 8);
		fake_free(at);
	}
	return NULL;
}

static inline void rest_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_nsec = ms * 1000000 }, NULL);
}

/* Threads that never stop calling, while probes come and go. */
static void test_detached_under_load(void **state)
{
	static struct fixture f;
	struct hammer h = { 0 };
	struct probe_counters c, later;

	REQUIRE_ROOT();
	start_some(&f, HAMMER_MEAN, true, SITES_REALLOC);
	for (int i = 0; i < HAMMERS; i++)
		assert_int_equal(pthread_create(&h.threads[i], NULL, hammer_away, &h), 0);
	for (int i = 0; i < 6; i++) {
		rest_ms(20);
		assert_int_equal(fixture__drain(&f), 0);
		f.samples_cnt = f.stacks_cnt = 0;
		if (i % 3 == 1)
			assert_int_equal(heap_attachment__pause(f.attachment), 0);
		if (i % 3 == 2)
			assert_int_equal(heap_attachment__resume(f.attachment), 0);
	}
	finish(&f, &c);
	rest_ms(20);
	assert_int_equal(collector__counters(f.collector, &probe_heap, &later), 0);
	assert_memory_equal(&later.kernel, &c.kernel, sizeof(c.kernel));
	assert_true(c.kernel.value[COUNTER_SUBMITTED] > 100);
	assert_true(c.kernel.value[COUNTER_UNSAMPLED] > 100);
	h.has_ended = true;
	for (int i = 0; i < HAMMERS; i++)
		pthread_join(h.threads[i], NULL);
	fixture__done(&f);
}

/* Bytes that stay are known to the byte, whichever thread allocates and frees them. */
static void *allocate_and_free(void *data)
{
	uintptr_t base = (uintptr_t)data << 32;

	for (uintptr_t i = 1; i <= 1000; i++)
		fake_malloc(i, (void *)(base + i));
	for (uintptr_t i = 1; i <= 1000; i += 2)
		fake_free((void *)(base + i));
	return NULL;
}

static void test_threads(void **state)
{
	static struct fixture f;
	pthread_t threads[HAMMERS];
	struct probe_counters c;
	struct live_sum live;

	REQUIRE_ROOT();
	start_some(&f, 1, true, SITES_FREE);
	for (uintptr_t i = 0; i < HAMMERS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, allocate_and_free, (void *)i + 1), 0);
	for (int i = 0; i < HAMMERS; i++)
		pthread_join(threads[i], NULL);
	live = live_of(&f);
	finish(&f, &c);
	assert_int_equal(c.kernel.value[COUNTER_FIRED], HAMMERS * 1000);
	assert_int_equal(c.kernel.value[COUNTER_SUBMITTED], HAMMERS * 1000);
	assert_int_equal(c.kernel.value[COUNTER_LIVE_FULL], 0);
	assert_int_equal(live.cnt, HAMMERS * 500);
	assert_int_equal(live.bytes, HAMMERS * (500 * 501));
	fixture__done(&f);
}

#endif
