/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * profile/heap_rows: the estimator is unbiased and its interval covers the truth, sums are rounded
 * once, and walks of the live set keep memory bounded.
 */
#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/array.h"
#include "profile/heap_rows.h"

#define INTERVAL (512ULL << 10)
#define ONE      ((unsigned __int128)1 << HEAP_FRACTION_BITS)
#define SECOND   1000000000ULL

static struct heap_alloc alloc_of(uint64_t id, uint64_t bytes)
{
	return (struct heap_alloc){ .id = id, .time_ns = id, .bytes = bytes, .q = UINT32_MAX };
}

static struct heap_row row_of(const struct heap_rows *rows, size_t i)
{
	struct heap_row row;

	heap_rows__get(rows, i, &row);
	return row;
}

/* --- the estimator ------------------------------------------------------------------------------
 */

/* xorshift64*: the same numbers in every run of the test. */
static double random_unit(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return ((double)((*state * 0x2545f4914f6cdd1dULL) >> 11) + 0.5) * 0x1p-53;
}

/* cnt allocations of one size; the first 'kept' of them are not freed. */
struct group {
	uint64_t bytes, cnt, kept;
};

static const struct group groups[] = {
	{ 16, 2000000, 1000000 }, { 64, 500000, 100000 }, { 1, 100000, 100000 },
	{ 4096, 10000, 5000 },    { 100000, 300, 200 },   { 600000, 100, 60 },
	{ 3000000, 20, 15 },      { 64000000, 1, 1 },
};

struct truth {
	double objects, bytes, inuse;
};

static struct truth find_truth(void)
{
	struct truth t = { .objects = 0 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(groups); i++) {
		t.objects += (double)groups[i].cnt;
		t.bytes += (double)(groups[i].cnt * groups[i].bytes);
		t.inuse += (double)(groups[i].kept * groups[i].bytes);
	}
	return t;
}

/*
 * The sampler itself: an allocation is selected when the bytes up to the next point, which are
 * exponential, end inside it; then the next gap is drawn. No gap outlives a group: nothing is known
 * of the past of an exponential.
 */
static void select_allocations(struct heap_rows *rows, const struct group *g, uint32_t row,
			       uint64_t *random, struct heap_alloc *kept, size_t *kept_cnt,
			       uint64_t *id)
{
	uint64_t next = 0;

	for (;;) {
		double skip =
			floor(-log(random_unit(random)) * (double)INTERVAL / (double)g->bytes);
		struct heap_alloc a;

		if (skip >= (double)(g->cnt - next))
			return;
		next += (uint64_t)skip;
		a = alloc_of(++*id, g->bytes);
		assert_int_equal(heap_rows__add(rows, row, &a, true), 0);
		if (next < g->kept)
			kept[(*kept_cnt)++] = a;
		if (++next == g->cnt)
			return;
	}
}

struct outcome {
	struct heap_amount alloc, inuse;
};

static struct outcome simulate(uint64_t *random)
{
	_cleanup_(heap_rows__freep) struct heap_rows *rows = heap_rows__new(INTERVAL);
	struct heap_sums alloc = { .samples = 0 }, inuse = { .samples = 0 }, seen;
	struct heap_alloc kept[4096];
	size_t kept_cnt = 0, i;
	uint64_t id = 0;

	for (i = 0; i < ARRAY_SIZE(groups); i++)
		select_allocations(rows, &groups[i], (uint32_t)i + 3, random, kept, &kept_cnt, &id);
	heap_rows__begin_walk(rows, 10 * SECOND, HEAP_POINTS - 1);
	for (i = 0; i < kept_cnt; i++)
		assert_int_equal(heap_rows__see(rows, &kept[i], 1, &seen), 1);
	heap_rows__end_walk(rows);
	assert_int_equal(heap_rows__strays(rows)->samples, 0);
	assert_int_equal(heap_rows__ids(rows), kept_cnt);
	for (i = 0; i < heap_rows__cnt(rows); i++) {
		const struct heap_row row = row_of(rows, i);

		heap_sums__add(&alloc, &row.alloc);
		heap_sums__add(&inuse, &row.inuse);
	}
	return (struct outcome){ .alloc = heap_sums__amount(&alloc),
				 .inuse = heap_sums__amount(&inuse) };
}

#define RUNS 1000

static void test_estimator(void **state)
{
	const struct truth t = find_truth();
	double objects = 0, bytes = 0, inuse = 0, bias;
	unsigned int covered = 0, inuse_covered = 0, i;
	uint64_t random = 0x9e3779b97f4a7c15ULL;

	for (i = 0; i < RUNS; i++) {
		struct outcome o = simulate(&random);

		objects += o.alloc.objects / RUNS;
		bytes += o.alloc.bytes / RUNS;
		inuse += o.inuse.bytes / RUNS;
		covered += fabs(o.alloc.bytes - t.bytes) <= o.alloc.error_bytes;
		inuse_covered += fabs(o.inuse.bytes - t.inuse) <= o.inuse.error_bytes;
	}
	bias = bytes / t.bytes - 1;
	print_message("bias: alloc_space %+.3f %%, alloc_objects %+.3f %%, inuse_space %+.3f %%\n",
		      100 * bias, 100 * (objects / t.objects - 1), 100 * (inuse / t.inuse - 1));
	print_message("in the 95 %% interval: alloc_space %.1f %%, inuse_space %.1f %%\n",
		      100.0 * covered / RUNS, 100.0 * inuse_covered / RUNS);
	assert_true(fabs(bias) < 0.01);
	assert_true(fabs(objects / t.objects - 1) < 0.01);
	assert_true(fabs(inuse / t.inuse - 1) < 0.01);
	assert_in_range(covered, RUNS * 90 / 100, RUNS * 99 / 100);
	assert_in_range(inuse_covered, RUNS * 90 / 100, RUNS * 99 / 100);
}

#define SLICES   160
#define SLICE_NS 125000000ULL

/*
 * --heap-budget: slices of time in which the probes are on with probability 1/4, two rows that
 * allocate all the time. Most of the error is which slices it was.
 */
static void simulate_slices(uint64_t *random, struct heap_amount *ret_row,
			    struct heap_amount *ret_total)
{
	_cleanup_(heap_rows__freep) struct heap_rows *rows = heap_rows__new(INTERVAL);
	const uint64_t per_slice = 20000; /* of 1,000 bytes: 38 samples */
	struct heap_sums total = { .samples = 0 };
	struct heap_row row;
	double skip;
	uint64_t i, n;

	for (i = 0; i < SLICES; i++) {
		if (random_unit(random) > 0.25)
			continue;
		assert_int_equal(heap_rows__begin_slice(rows, i * SLICE_NS, 1U << 30), 0);
		for (n = 0;; n++) {
			struct heap_alloc a = alloc_of(0, 1000);

			skip = floor(-log(random_unit(random)) * (double)INTERVAL / 1000);
			if (skip >= (double)(per_slice - n))
				break;
			n += (uint64_t)skip;
			a.time_ns = i * SLICE_NS + n * (SLICE_NS / per_slice);
			a.q = 1U << 30;
			assert_int_equal(heap_rows__add(rows, 3 + n % 2, &a, false), 0);
		}
		heap_rows__end_slice(rows, 1e6, 0, 1e6);
	}
	skip = heap_rows__end_slices(rows, SLICES * 1e6);
	row = row_of(rows, 3);
	*ret_row = heap_sums__amount(&row.alloc);
	heap_sums__add(&total, &row.alloc);
	row = row_of(rows, 4);
	heap_sums__add(&total, &row.alloc);
	total.slices_variance = skip;
	*ret_total = heap_sums__amount(&total);
}

static void test_slices(void **state)
{
	const double truth = SLICES * 20000.0 * 1000;
	unsigned int covered = 0, row_covered = 0, i;
	struct heap_amount row, total;
	uint64_t random = 12345;
	double mean = 0;

	for (i = 0; i < RUNS; i++) {
		simulate_slices(&random, &row, &total);
		mean += total.bytes / RUNS;
		covered += fabs(total.bytes - truth) <= total.error_bytes;
		row_covered += fabs(row.bytes - truth / 2) <= row.error_bytes;
	}
	print_message("slices: bias %+.3f %%, in the 95 %% interval: %.1f %%, a row %.1f %%\n",
		      100 * (mean / truth - 1), 100.0 * covered / RUNS, 100.0 * row_covered / RUNS);
	assert_true(fabs(mean / truth - 1) < 0.02);
	assert_in_range(covered, RUNS * 90 / 100, RUNS * 99 / 100);
	assert_in_range(row_covered, RUNS * 90 / 100, RUNS * 99 / 100);
}

/* --- rounding -----------------------------------------------------------------------------------
 */

/* A million samples of 1.0000095 objects each: rounded one by one they would be 1,000,000. */
static void test_rounded_once(void **state)
{
	struct heap_alloc a = alloc_of(0, 100);
	_cleanup_(heap_rows__freep) struct heap_rows *rows = heap_rows__new(1);
	struct heap_row row;
	size_t i;

	a.weighted_bytes = 0;
	a.q = 4294926337; /* 1 / 1.00000953661 */
	for (i = 0; i < 1000000; i++)
		assert_int_equal(heap_rows__add(rows, 5, &a, false), 0);
	heap_rows__end_slices(rows, 0);
	row = row_of(rows, 5);
	assert_int_equal(heap_sums__round(row.alloc.objects), 1000010);
	assert_int_equal(heap_sums__round(row.alloc.bytes), 100000954);
	assert_int_equal(row.alloc.samples, 1000000);
	assert_int_equal(heap_sums__round(ONE / 2), 1);
	assert_int_equal(heap_sums__round(ONE / 2 - 1), 0);
}

/* --- walks --------------------------------------------------------------------------------------
 */

static void test_walk(void **state)
{
	_cleanup_(heap_rows__freep) struct heap_rows *rows = heap_rows__new(1);
	struct heap_alloc a = alloc_of(7, 10), b = alloc_of(8, 20), c = alloc_of(9, 40), lost;
	struct heap_sums s;

	a.time_ns = SECOND;
	b.time_ns = 2 * SECOND;
	c.time_ns = 100 * SECOND;
	lost = alloc_of(0, 80);
	assert_int_equal(heap_rows__add(rows, 3, &a, true), 0);
	assert_int_equal(heap_rows__add(rows, 4, &b, true), 0);
	assert_int_equal(heap_rows__add(rows, 4, &c, true), 0);
	assert_int_equal(heap_rows__add(rows, 1, &lost, true), 0);
	assert_int_equal(heap_rows__ids(rows), 3);

	heap_rows__begin_walk(rows, 100 * SECOND, 3);
	assert_int_equal(heap_rows__see(rows, &a, 1, &s), 1);
	assert_int_equal(heap_rows__see(rows, &a, 1, &s), 0); /* twice */
	assert_true(s.bytes == 10 * ONE);
	assert_int_equal(heap_rows__see(rows, &lost, 1, &s), 1);
	assert_int_equal(heap_rows__see(rows, &lost, 1, &s), 1);
	a = alloc_of(77, 160); /* its record never came */
	assert_int_equal(heap_rows__see(rows, &a, 1, &s), 1);
	heap_rows__end_walk(rows);
	assert_true(row_of(rows, 3).inuse.bytes == 10 * ONE);
	assert_true(row_of(rows, 3).age_bytes[3] == 10); /* 99 s */
	assert_true(row_of(rows, 3).points[3].bytes == 10);
	assert_true(row_of(rows, 1).inuse.bytes == 320 * ONE);
	assert_true(row_of(rows, 4).inuse.samples == 0);
	assert_true(heap_rows__strays(rows)->bytes == 160 * ONE);
	/* b was freed; c is too young to tell. */
	assert_int_equal(heap_rows__ids(rows), 2);
	heap_rows__begin_walk(rows, 101 * SECOND, 3);
	assert_int_equal(heap_rows__see(rows, &c, 1, &s), 1);
	assert_int_equal(heap_rows__see(rows, &b, 1, &s), 1);
	heap_rows__end_walk(rows);
	assert_true(row_of(rows, 4).inuse.bytes == 40 * ONE);
	assert_true(row_of(rows, 4).age_bytes[1] == 40);
	assert_true(row_of(rows, 3).inuse.samples == 0);
	assert_true(heap_rows__strays(rows)->bytes == 20 * ONE);
	heap_rows__end_live(rows);
	assert_int_equal(heap_rows__ids(rows), 0);
	assert_true(row_of(rows, 4).inuse.samples == 0);
	assert_int_equal(heap_rows__add(rows, 4, &c, true), 0);
	assert_int_equal(heap_rows__ids(rows), 0);
	assert_true(row_of(rows, 4).alloc.bytes == 100 * ONE);
}

static void test_ages(void **state)
{
	static const uint64_t ages_ms[] = {
		0, 999, 1000, 9999, 10000, 59999, 60000, 599999, 600000
	};
	_cleanup_(heap_rows__freep) struct heap_rows *rows = heap_rows__new(1);
	uint64_t now_ns = 1000 * SECOND;
	struct heap_sums s;
	size_t i;

	heap_rows__begin_walk(rows, now_ns, 3);
	for (i = 0; i < ARRAY_SIZE(ages_ms); i++) {
		struct heap_alloc a = alloc_of(0, 1);

		a.time_ns = now_ns - ages_ms[i] * 1000000;
		assert_int_equal(heap_rows__see(rows, &a, 0, &s), 1);
	}
	heap_rows__end_walk(rows);
	for (i = 0; i < HEAP_AGES; i++)
		assert_true(row_of(rows, 0).age_bytes[i] == (i == 4 ? 1 : 2));
}

/* What a walk that is no point finds changes no figure. */
static void test_walk_without_point(void **state)
{
	_cleanup_(heap_rows__freep) struct heap_rows *rows = heap_rows__new(1);
	struct heap_alloc a = alloc_of(7, 10);
	struct heap_sums s;

	assert_int_equal(heap_rows__add(rows, 0, &a, true), 0);
	heap_rows__begin_walk(rows, SECOND, 0);
	assert_int_equal(heap_rows__see(rows, &a, 1, &s), 1);
	heap_rows__end_walk(rows);
	heap_rows__begin_walk(rows, 2 * SECOND, -1);
	heap_rows__end_walk(rows);
	assert_int_equal(heap_rows__ids(rows), 0);
	assert_true(row_of(rows, 0).points[0].bytes == 10);
	assert_true(row_of(rows, 0).inuse.bytes == 10 * ONE);
}

#define LIVE_CNT 20000

/* 10 million blocks come and go, of which at any time the last 20,000 live. */
static void test_bounded(void **state)
{
	_cleanup_(heap_rows__freep) struct heap_rows *rows = heap_rows__new(1);
	size_t before = mallinfo2().uordblks, peak = 0, walks = 0;
	struct heap_sums s;
	uint64_t id, live;

	for (id = 1; id <= 10000000; id++) {
		struct heap_alloc a = alloc_of(id, 1);

		a.time_ns = id * 1000; /* a microsecond each */
		assert_int_equal(heap_rows__add(rows, (uint32_t)(id % 100), &a, true), 0);
		if (heap_rows__ids(rows) > peak)
			peak = heap_rows__ids(rows);
		if (!heap_rows__wants_walk(rows))
			continue;
		walks++;
		heap_rows__begin_walk(rows, a.time_ns, -1);
		for (live = id > LIVE_CNT ? id - LIVE_CNT + 1 : 1; live <= id; live++) {
			a = alloc_of(live, 1);
			assert_int_equal(heap_rows__see(rows, &a, 1, &s), 1);
		}
		heap_rows__end_walk(rows);
	}
	/* 100 ms worth of them are always kept, 100,000 here */
	assert_in_range(peak, LIVE_CNT, 250000);
	assert_in_range(walks, 10, 400);
	assert_true(mallinfo2().uordblks - before < 24 << 20);
	heap_rows__begin_walk(rows, 20000 * SECOND, -1);
	heap_rows__end_walk(rows);
	assert_int_equal(heap_rows__ids(rows), 0);
	assert_true(mallinfo2().uordblks - before < 1 << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_estimator),    cmocka_unit_test(test_slices),
		cmocka_unit_test(test_rounded_once), cmocka_unit_test(test_walk),
		cmocka_unit_test(test_ages),         cmocka_unit_test(test_walk_without_point),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
