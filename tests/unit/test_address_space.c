/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Overlay, joining and copy-on-write of executable mappings, checked against a plain array that
 * remembers for each page which mapping was laid over it last.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "process/address_space.h"

static struct module file_a = { .kind = MODULE_FILE, .idx = 0 };
static struct module file_b = { .kind = MODULE_FILE, .idx = 1 };

static int add(struct address_space **as, uint64_t start, uint64_t end, uint64_t offset,
	       struct module *m)
{
	return address_space__add(as, &(struct mapping){ start, end, offset, m });
}

static void expect(const struct address_space *as, size_t idx, uint64_t start, uint64_t end,
		   uint64_t offset, const struct module *m)
{
	const struct mapping *got = address_space__get(as, idx);

	assert_true(idx < address_space__cnt(as));
	assert_int_equal(got->start, start);
	assert_int_equal(got->end, end);
	assert_int_equal(got->offset, offset);
	assert_ptr_equal(got->module, m);
}

static void test_empty(void **state)
{
	struct address_space *as = NULL;

	assert_null(address_space__find(as, 0));
	assert_int_equal(address_space__cnt(as), 0);
	assert_int_equal(add(&as, 10, 10, 0, &file_a), -EINVAL);
	assert_int_equal(add(&as, 10, 5, 0, &file_a), -EINVAL);
	assert_null(as);
	address_space__unref(as);
}

static void test_find_bounds(void **state)
{
	_cleanup_(address_space__unrefp) struct address_space *as = NULL;

	assert_int_equal(add(&as, 0x2000, 0x3000, 0, &file_a), 0);
	assert_int_equal(add(&as, UINT64_MAX - 0xfff, UINT64_MAX, 0, &file_b), 0);
	assert_null(address_space__find(as, 0x1fff));
	assert_ptr_equal(address_space__find(as, 0x2000)->module, &file_a);
	assert_ptr_equal(address_space__find(as, 0x2fff)->module, &file_a);
	assert_null(address_space__find(as, 0x3000));
	assert_ptr_equal(address_space__find(as, UINT64_MAX - 1)->module, &file_b);
	assert_null(address_space__find(as, UINT64_MAX));
	assert_non_null(address_space__find_exact(as, 0x2000, 0x3000));
	assert_null(address_space__find_exact(as, 0x2000, 0x2800));
	assert_null(address_space__find_exact(as, 0x2800, 0x3000));
}

static void test_overlay_cuts(void **state)
{
	_cleanup_(address_space__unrefp) struct address_space *as = NULL;

	assert_int_equal(add(&as, 0x1000, 0x9000, 0x100000, &file_a), 0);
	assert_int_equal(add(&as, 0x3000, 0x4000, 0x500, &file_b), 0);
	assert_int_equal(address_space__cnt(as), 3);
	expect(as, 0, 0x1000, 0x3000, 0x100000, &file_a);
	expect(as, 1, 0x3000, 0x4000, 0x500, &file_b);
	expect(as, 2, 0x4000, 0x9000, 0x103000, &file_a);
	/* Over the end of one, all of the next and the head of a third. */
	assert_int_equal(add(&as, 0x2000, 0x5000, 0x9000, &file_b), 0);
	assert_int_equal(address_space__cnt(as), 3);
	expect(as, 0, 0x1000, 0x2000, 0x100000, &file_a);
	expect(as, 1, 0x2000, 0x5000, 0x9000, &file_b);
	expect(as, 2, 0x5000, 0x9000, 0x104000, &file_a);
}

static void test_neighbours_join(void **state)
{
	_cleanup_(address_space__unrefp) struct address_space *as = NULL;

	assert_int_equal(add(&as, 0x1000, 0x2000, 0x0, &file_a), 0);
	assert_int_equal(add(&as, 0x3000, 0x4000, 0x2000, &file_a), 0);
	assert_int_equal(address_space__cnt(as), 2);
	assert_int_equal(add(&as, 0x2000, 0x3000, 0x1000, &file_a), 0);
	assert_int_equal(address_space__cnt(as), 1);
	expect(as, 0, 0x1000, 0x4000, 0x0, &file_a);
	/* Adjacent, but other bytes of the file, or another file. */
	assert_int_equal(add(&as, 0x4000, 0x5000, 0x9000, &file_a), 0);
	assert_int_equal(add(&as, 0x5000, 0x6000, 0xa000, &file_b), 0);
	assert_int_equal(address_space__cnt(as), 3);
}

static void test_copy_on_write(void **state)
{
	struct address_space *parent = NULL, *child;

	assert_int_equal(add(&parent, 0x1000, 0x2000, 0, &file_a), 0);
	child = address_space__ref(parent);
	/* What both know already is no reason to copy. */
	assert_int_equal(add(&child, 0x1000, 0x2000, 0, &file_a), 0);
	assert_ptr_equal(parent, child);
	assert_int_equal(add(&child, 0x1000, 0x2000, 0, &file_b), 0);
	assert_ptr_not_equal(parent, child);
	assert_ptr_equal(address_space__find(parent, 0x1000)->module, &file_a);
	assert_ptr_equal(address_space__find(child, 0x1000)->module, &file_b);
	address_space__unref(parent);
	assert_ptr_equal(address_space__find(child, 0x1fff)->module, &file_b);
	address_space__unref(child);
}

static void test_cap(void **state)
{
	_cleanup_(address_space__unrefp) struct address_space *as = NULL;
	size_t refused = 0;

	for (uint64_t i = 0; i < ADDRESS_SPACE_MAPPINGS_MAX + 100; i++)
		refused += add(&as, i * 0x2000, i * 0x2000 + 0x1000, 0, &file_a) == -E2BIG;
	assert_in_range(refused, 100, 102);
	assert_true(address_space__cnt(as) <= ADDRESS_SPACE_MAPPINGS_MAX);
}

#define PAGES 64

static void test_against_model(void **state)
{
	struct module *modules[] = { &file_a, &file_b };

	srand(7);
	for (int round = 0; round < 500; round++) {
		_cleanup_(address_space__unrefp) struct address_space *as = NULL;
		const struct module *owner[PAGES] = { NULL };
		uint64_t offset[PAGES] = { 0 };

		for (int op = 0; op < 40; op++) {
			uint64_t from = (uint64_t)rand() % PAGES;
			uint64_t to = from + 1 + (uint64_t)rand() % (PAGES - from);
			struct module *m = modules[rand() % 2];
			uint64_t base = rand() % 2 ? from : (uint64_t)rand() % 1000;

			assert_int_equal(add(&as, from, to, base, m), 0);
			for (uint64_t i = from; i < to; i++) {
				owner[i] = m;
				offset[i] = base + i - from;
			}
		}
		for (uint64_t i = 0; i < PAGES; i++) {
			const struct mapping *m = address_space__find(as, i);

			assert_ptr_equal(m ? m->module : NULL, owner[i]);
			if (m)
				assert_int_equal(m->offset + i - m->start, offset[i]);
		}
		for (size_t i = 1; i < address_space__cnt(as); i++)
			assert_true(address_space__get(as, i - 1)->end <=
				    address_space__get(as, i)->start);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),         cmocka_unit_test(test_find_bounds),
		cmocka_unit_test(test_overlay_cuts),  cmocka_unit_test(test_neighbours_join),
		cmocka_unit_test(test_copy_on_write), cmocka_unit_test(test_cap),
		cmocka_unit_test(test_against_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
