/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The set of selected blocks: exact, with and without other threads, and when it is full.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include "preload/heap_live_set.h"

static struct heap_live_set set;

static void *block(uint64_t idx)
{
	return (void *)(uintptr_t)(0x7f0000000010ULL + idx * 16);
}

static int setup(void **state)
{
	memset(&set, 0, sizeof(set));
	return 0;
}

static void test_add_and_take(void **state)
{
	assert_false(heap_live_set__may_hold(&set, block(0)));
	assert_false(heap_live_set__take(&set, block(0)));
	assert_int_equal(heap_live_set__add(&set, block(0)), 0);
	assert_true(heap_live_set__may_hold(&set, block(0)));
	assert_false(heap_live_set__take(&set, block(1)));
	assert_true(heap_live_set__take(&set, block(0)));
	assert_false(heap_live_set__take(&set, block(0)));
	assert_false(heap_live_set__may_hold(&set, block(0)));
	assert_int_equal(set.live_cnt, 0);
}

/* Its free went past us: the new block takes its place, after its end is reported. */
static void test_add_twice(void **state)
{
	assert_int_equal(heap_live_set__add(&set, block(5)), 0);
	assert_int_equal(heap_live_set__add(&set, block(5)), 1);
	assert_int_equal(set.live_cnt, 1);
	assert_true(heap_live_set__take(&set, block(5)));
	assert_false(heap_live_set__take(&set, block(5)));
	assert_false(heap_live_set__may_hold(&set, block(5)));
}

static void test_odd_address(void **state)
{
	assert_int_equal(heap_live_set__add(&set, (char *)block(0) + 1), -ENOSPC);
	assert_int_equal(heap_live_set__add(&set, (char *)block(0) + 8), 0);
	assert_int_equal(set.live_cnt, 1);
}

static void test_null(void **state)
{
	uint64_t i = 0;

	while (heap_live_set__filter_idx(block(i)) != heap_live_set__filter_idx(NULL))
		i++;
	assert_int_equal(heap_live_set__add(&set, block(i)), 0);
	assert_true(heap_live_set__may_hold(&set, NULL));
	assert_false(heap_live_set__take(&set, NULL));
	assert_null(heap_live_set__begin_move(&set, NULL));
	assert_true(heap_live_set__may_hold(&set, block(i)));
	assert_true(heap_live_set__take(&set, block(i)));
}

static void test_many(void **state)
{
	const uint64_t cnt = 200000;

	for (uint64_t i = 0; i < cnt; i++)
		assert_int_equal(heap_live_set__add(&set, block(i * 7)), 0);
	assert_int_equal(set.live_cnt, cnt);
	for (uint64_t i = 0; i < cnt; i++)
		assert_true(heap_live_set__may_hold(&set, block(i * 7)));
	for (uint64_t i = 0; i < cnt; i++) {
		assert_true(heap_live_set__take(&set, block(i * 7)));
		assert_false(heap_live_set__take(&set, block(i * 7 + 1)));
	}
	assert_int_equal(set.live_cnt, 0);
}

static void test_full(void **state)
{
	uint64_t added = 0, refused = 0;

	for (uint64_t i = 0; i < 1000000; i++) {
		int err = heap_live_set__add(&set, block(i));

		assert_true(err == 0 || err == -ENOSPC);
		added += !err;
		refused += err == -ENOSPC;
	}
	assert_true(refused > 0);
	assert_int_equal(set.live_cnt, added);
	/* Two thirds of all slots at least are of use. */
	assert_true(added > (1ULL << HEAP_LEVEL_2_BITS) * HEAP_SLOTS_OF_GROUP * 2 / 3);
	for (uint64_t i = 0; i < 1000000; i++)
		added -= heap_live_set__take(&set, block(i));
	assert_int_equal(added, 0);
	assert_int_equal(heap_live_set__add(&set, block(1000001)), 0);
}

static void test_move(void **state)
{
	_Atomic uintptr_t *slot;

	assert_null(heap_live_set__begin_move(&set, block(1)));
	heap_live_set__add(&set, block(1));

	/* It fails: the block is there as before. */
	slot = heap_live_set__begin_move(&set, block(1));
	assert_non_null(slot);
	heap_live_set__cancel_move(slot, block(1));
	assert_true(heap_live_set__take(&set, block(1)));

	heap_live_set__add(&set, block(1));
	slot = heap_live_set__begin_move(&set, block(1));
	assert_true(heap_live_set__claim_move(slot, block(1)));
	heap_live_set__end_move(&set, slot, block(1));
	assert_false(heap_live_set__take(&set, block(1)));
	assert_false(heap_live_set__may_hold(&set, block(1)));
	assert_int_equal(set.live_cnt, 0);
}

/* The allocator has given the address to somebody else before the realloc returned. */
static void test_move_is_overtaken(void **state)
{
	_Atomic uintptr_t *slot;

	heap_live_set__add(&set, block(1));
	slot = heap_live_set__begin_move(&set, block(1));
	/* Blocks there that are not selected come and go. */
	assert_false(heap_live_set__take(&set, block(1)));
	assert_null(heap_live_set__begin_move(&set, block(1)));
	/* One that is reports the end of its predecessor, and is the only one to do so. */
	assert_int_equal(heap_live_set__add(&set, block(1)), 1);
	assert_false(heap_live_set__claim_move(slot, block(1)));
	assert_int_equal(set.live_cnt, 1);
	assert_true(heap_live_set__take(&set, block(1)));
	assert_false(heap_live_set__may_hold(&set, block(1)));
}

/* While the end of its predecessor is reported the successor waits, but not for ever. */
static void test_move_is_reported(void **state)
{
	_Atomic uintptr_t *slot;

	heap_live_set__add(&set, block(1));
	slot = heap_live_set__begin_move(&set, block(1));
	assert_true(heap_live_set__claim_move(slot, block(1)));
	assert_int_equal(heap_live_set__add(&set, block(1)), -EBUSY);
	heap_live_set__end_move(&set, slot, block(1));
	assert_int_equal(heap_live_set__add(&set, block(1)), 0);
}

static void test_forget(void **state)
{
	_Atomic uintptr_t *slot;

	for (uint64_t i = 0; i < 10000; i++)
		heap_live_set__add(&set, block(i));
	slot = heap_live_set__begin_move(&set, block(77));
	heap_live_set__forget(&set);
	assert_int_equal(set.live_cnt, 1);
	assert_true(heap_live_set__claim_move(slot, block(77)));
	heap_live_set__end_move(&set, slot, block(77));
	for (uint64_t i = 0; i < 10000; i++)
		assert_false(heap_live_set__may_hold(&set, block(i)));
}

static void test_clear(void **state)
{
	heap_live_set__pin(&set, block(20001));
	for (uint64_t i = 0; i < 10000; i++)
		heap_live_set__add(&set, block(i));
	heap_live_set__begin_move(&set, block(77));
	heap_live_set__clear(&set);
	assert_int_equal(set.live_cnt, 0);
	assert_true(heap_live_set__may_hold(&set, block(20001)));
	for (uint64_t i = 0; i < 10000; i++)
		assert_false(heap_live_set__take(&set, block(i)));
	for (size_t i = 0; i < sizeof(set.level_1) / (sizeof(uint64_t)); i++)
		assert_int_equal(((uint64_t *)set.level_1)[i], 0);
}

/* More blocks than a byte counts hash to one place: it stays, nothing is lost. */
static void test_filter_saturates(void **state)
{
	enum { BLOCKS = 300 };
	void *same[BLOCKS];
	size_t cnt = 0, idx = heap_live_set__filter_idx(block(0));

	for (uint64_t i = 0; cnt < BLOCKS; i++) {
		if (heap_live_set__filter_idx(block(i)) == idx)
			same[cnt++] = block(i);
	}
	for (size_t i = 0; i < cnt; i++)
		assert_int_equal(heap_live_set__add(&set, same[i]), 0);
	for (size_t i = 0; i < cnt; i++) {
		assert_true(heap_live_set__may_hold(&set, same[i]));
		assert_true(heap_live_set__take(&set, same[i]));
	}
	assert_true(heap_live_set__may_hold(&set, block(0)));
	assert_false(heap_live_set__take(&set, block(0)));
}

#define THREADS 4
#define BLOCKS  512
#define ROUNDS  200000

/* Addresses that an allocator hands out: who takes one out of 'pool' owns it. */
static struct {
	_Atomic uintptr_t blocks[BLOCKS];
	_Atomic uint64_t added, ended, busy;
	_Atomic int64_t reported[BLOCKS]; /* alive as far as a listener knows: 0 or 1 */
	_Atomic uint64_t wrong;
} pool;

static void report(void *ptr, int change)
{
	size_t idx = ((uintptr_t)ptr - (uintptr_t)block(0)) / 16;
	int64_t now = atomic_fetch_add(&pool.reported[idx], change) + change;

	if (now < 0 || now > 1)
		pool.wrong++;
	if (change < 0)
		pool.ended++;
}

static void give_back(void *ptr)
{
	for (size_t i = 0;; i = (i + 1) % BLOCKS) {
		uintptr_t empty = 0;

		if (atomic_compare_exchange_strong(&pool.blocks[i], &empty, (uintptr_t)ptr))
			return;
	}
}

static void *get(uint64_t *x)
{
	for (;;) {
		uintptr_t ptr;

		*x = *x * 6364136223846793005ULL + 1442695040888963407ULL;
		ptr = atomic_exchange(&pool.blocks[(*x >> 33) % BLOCKS], 0);
		if (ptr)
			return (void *)ptr;
	}
}

/* Owns a block for a moment, then frees it or has it moved. */
static void *churn(void *arg)
{
	uint64_t x = (uintptr_t)arg;

	for (int i = 0; i < ROUNDS; i++) {
		void *ptr = get(&x);
		int err = heap_live_set__add(&set, ptr);

		if (err == -EBUSY) {
			pool.busy++;
			give_back(ptr);
			continue;
		}
		if (err == 1)
			report(ptr, -1);
		report(ptr, 1);
		pool.added++;
		if (x & (1ULL << 40)) {
			if (!heap_live_set__take(&set, ptr))
				pool.wrong++;
			report(ptr, -1);
			give_back(ptr);
		} else {
			_Atomic uintptr_t *slot = heap_live_set__begin_move(&set, ptr);

			give_back(ptr);
			if (heap_live_set__claim_move(slot, ptr)) {
				report(ptr, -1);
				heap_live_set__end_move(&set, slot, ptr);
			}
		}
	}
	return NULL;
}

/* Whatever threads do, a listener never sees an address begin twice or end twice. */
static void test_threads(void **state)
{
	pthread_t threads[THREADS];

	for (uint64_t i = 0; i < BLOCKS; i++)
		pool.blocks[i] = (uintptr_t)block(i);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, churn, (void *)(i + 1));
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(pool.wrong, 0);
	assert_int_equal(pool.added, pool.ended);
	assert_int_equal(pool.added + pool.busy, THREADS * ROUNDS);
	assert_int_equal(set.live_cnt, 0);
	for (uint64_t i = 0; i < BLOCKS; i++)
		assert_false(heap_live_set__take(&set, block(i)));
	for (size_t i = 0; i < sizeof(set.filter); i++)
		assert_int_equal(set.filter[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_add_and_take, setup),
		cmocka_unit_test_setup(test_add_twice, setup),
		cmocka_unit_test_setup(test_odd_address, setup),
		cmocka_unit_test_setup(test_null, setup),
		cmocka_unit_test_setup(test_many, setup),
		cmocka_unit_test_setup(test_full, setup),
		cmocka_unit_test_setup(test_move, setup),
		cmocka_unit_test_setup(test_move_is_overtaken, setup),
		cmocka_unit_test_setup(test_move_is_reported, setup),
		cmocka_unit_test_setup(test_forget, setup),
		cmocka_unit_test_setup(test_clear, setup),
		cmocka_unit_test_setup(test_filter_saturates, setup),
		cmocka_unit_test_setup(test_threads, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
