/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * profile/heap_callers: which of a site's chains is the heaviest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "profile/heap_callers.h"

#define SITES 1000

static void add(struct heap_callers *hc, size_t site, size_t caller, double inuse, double alloc)
{
	const struct heap_chain chain = { .frames = { site, caller },
					  .frames_cnt = caller ? 2 : 1,
					  .inuse_bytes = inuse,
					  .alloc_bytes = alloc };

	assert_int_equal(heap_callers__add(hc, &chain), 0);
}

static size_t caller_of(const struct heap_callers *hc, size_t site)
{
	const struct heap_chain *chain = heap_callers__heaviest(hc, site);

	assert_non_null(chain);
	assert_int_equal(chain->frames[0], site);
	assert_int_equal(chain->frames_cnt, 2);
	return chain->frames[1];
}

static void test_heaviest(void **state)
{
	_cleanup_(heap_callers__freep) struct heap_callers *hc = heap_callers__new(SITES);

	assert_null(heap_callers__heaviest(hc, 1));
	add(hc, 1, 10, 0, 100);
	assert_int_equal(caller_of(hc, 1), 10);
	add(hc, 1, 11, 0, 101);
	assert_int_equal(caller_of(hc, 1), 11);
	/* in use comes before allocated */
	add(hc, 1, 12, 1, 1);
	assert_int_equal(caller_of(hc, 1), 12);
	add(hc, 1, 10, 1, 0);
	assert_int_equal(caller_of(hc, 1), 10);
	/* equal ones are one */
	add(hc, 1, 13, 3, 0);
	add(hc, 1, 12, 2.5, 0);
	assert_int_equal(caller_of(hc, 1), 12);
	assert_true(heap_callers__heaviest(hc, 1)->inuse_bytes == 3.5);
	/* others are others' */
	add(hc, 2, 20, 1000, 1000);
	assert_int_equal(caller_of(hc, 1), 12);
	assert_int_equal(caller_of(hc, 2), 20);
	assert_null(heap_callers__heaviest(hc, 0));
	heap_callers__free(NULL);
}

/* A chain is not the beginning of a longer one. */
static void test_lengths(void **state)
{
	_cleanup_(heap_callers__freep) struct heap_callers *hc = heap_callers__new(SITES);

	add(hc, 7, 70, 2, 0);
	add(hc, 7, 0, 3, 0);
	assert_int_equal(heap_callers__heaviest(hc, 7)->frames_cnt, 1);
	add(hc, 7, 70, 2, 0);
	assert_int_equal(caller_of(hc, 7), 70);
}

static void test_many(void **state)
{
	_cleanup_(heap_callers__freep) struct heap_callers *hc = heap_callers__new(SITES);
	size_t site, caller, k;

	for (k = 0; k < 2; k++)
		for (site = 0; site < SITES; site++)
			for (caller = 1; caller <= 20; caller++)
				add(hc, site, caller, (double)((site + caller) % 20), 0);
	for (site = 0; site < SITES; site++) {
		assert_int_equal((site + caller_of(hc, site)) % 20, 19);
		assert_true(heap_callers__heaviest(hc, site)->inuse_bytes == 38);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heaviest),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
