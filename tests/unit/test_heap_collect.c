/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The heap probe for real, on an allocator of our own that this process calls. Needs root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
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

static size_t make_sites(struct heap_site sites[], bool all)
{
	size_t n = 0;

	sites[n] = site_of(fake_malloc, HEAP_CALL_ALLOC);
	sites[n++].size_reg = DWARF_RDI;
	sites[n] = site_of(fake_free, HEAP_CALL_FREE);
	sites[n++].ptr_reg = DWARF_RDI;
	if (!all)
		return n;
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
	sites[n++].size_reg = 10;
	sites[n] = site_of(fake_told_site, HEAP_CALL_USDT_ALLOC);
	sites[n].flags = HEAP_SITE_PUSHED;
	sites[n].ptr_reg = DWARF_RDI;
	sites[n].size_reg = DWARF_RSI;
	sites[n++].count_reg = DWARF_RCX;
	return n;
}

static void start(struct fixture *f, uint64_t interval, bool is_live)
{
	struct heap_site sites[HEAP_SITES_MAX];
	size_t cnt = make_sites(sites, true);

	assert_int_equal(fixture__new(f, interval, is_live), 0);
	assert_int_equal(fixture__probe(f, sites, cnt, getpid()), 0);
}

static void finish(struct fixture *f, struct probe_counters *ret)
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

static int add_live(const struct heap_key *key, const struct heap_live *live, void *ctx)
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

static struct live_sum live_of(struct fixture *f)
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
	assert_int_equal(f.stacks_cnt, 13);
	assert_int_equal(f.stack_ids[0], f.samples[0].stack_id);
	assert_int_equal(collector__heap_frees(f.collector, &frees), 0);
	assert_int_equal(frees.value[COUNTER_FIRED], 3);
	assert_int_equal(frees.value[COUNTER_SUBMITTED], 1);
	assert_int_equal(frees.value[COUNTER_UNSAMPLED], 2);
	fixture__done(&f);
}

static void print_costs(struct fixture *f)
{
	struct heap_costs costs;

	collector__heap_costs(f->collector, &costs);
	print_message("multi %d session %d alloc %.0f ns free %.0f ns stepped +%.0f ns\n",
		      costs.has_multi, costs.has_session, costs.alloc_ns, costs.free_ns,
		      costs.stepped_ns);
	assert_true(costs.alloc_ns > 0 && costs.free_ns > 0);
}

static void test_costs_are_measured(void **state)
{
	static struct fixture f;
	struct probe_counters c;

	REQUIRE_ROOT();
	start(&f, 512 << 10, true);
	print_costs(&f);
	finish(&f, &c);
	assert_int_equal(c.kernel.value[COUNTER_FIRED], 0); /* the calibration is not counted */
	fixture__done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_call_counts),
		cmocka_unit_test(test_costs_are_measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
