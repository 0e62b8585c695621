/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory for allocations that come before there is an allocator.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "preload/heap_bootstrap.h"

static void test_blocks(void **state)
{
	static struct heap_bootstrap b;
	char *first = heap_bootstrap__alloc(&b, 0, 10), *second = heap_bootstrap__alloc(&b, 0, 0);
	char *third = heap_bootstrap__alloc(&b, 256, 100);

	assert_int_equal((uintptr_t)first % 16, 0);
	assert_true(second >= first + 10 && third > second);
	assert_int_equal((uintptr_t)third % 256, 0);
	assert_true(heap_bootstrap__holds(&b, first) && heap_bootstrap__holds(&b, third));
	assert_false(heap_bootstrap__holds(&b, &b.used_bytes));
	assert_false(heap_bootstrap__holds(&b, b.memory + sizeof(b.memory)));
	assert_int_equal(heap_bootstrap__readable_bytes(&b, b.memory), HEAP_BOOTSTRAP_BYTES);
	assert_null(heap_bootstrap__alloc(&b, 0, HEAP_BOOTSTRAP_BYTES));
	assert_null(heap_bootstrap__alloc(&b, 0, SIZE_MAX));
	assert_null(heap_bootstrap__alloc(&b, 1UL << 20, 1));
	assert_non_null(heap_bootstrap__alloc(&b, 0, HEAP_BOOTSTRAP_BYTES / 2));
	assert_null(heap_bootstrap__alloc(&b, 0, HEAP_BOOTSTRAP_BYTES / 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
