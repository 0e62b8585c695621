/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unwind.c and module_rules.c: which tables are made and when, what becomes of those that are not.
 */
#include "unwind_fixture.h"

static void test_table_and_slot(void **state)
{
	struct fixture *f = *state;
	const struct module *a, *b;

	fill_rows(&files[0], 0, 1);
	fill_rows(&files[1], 1, 1);
	start_process(f, P);
	a = map_at(f, P, 0x401000, TEXT_SZ, TEXT, "/a", 0);
	b = map_at(f, P, 0x7f0000001000, TEXT_SZ, TEXT, "/b", 1);
	map_at(f, P, 0x500000, 0x1000, 0, "//anon", -1);
	map_at(f, P, 0x600000, 0x1000, 0, "[vsyscall]", -1);
	f->stack[1] = 0x500010; /* the rule of /a: sp + 16 */
	assert_int_equal(walk(f, P, 0x401004), 2);
	assert_int_equal(f->outcome, UNWIND_FP_ZERO);
	assert_string_equal(f->stop->path, "[JIT]");
	assert_int_equal(files[0].asked, 1);
	assert_int_equal(files[1].asked, 0);
	assert_int_equal(unwind__module_state(f->unwind, a), UNWIND_MODULE_READY);
	assert_int_equal(unwind__module_state(f->unwind, b), UNWIND_MODULE_NEW);
	assert_entry(f, 0, 0, 0x401000, 0x405000, 0x401000 - TEXT, 0);
	assert_entry(f, 0, 1, 0x500000, 0x501000, 0, UNWIND_FILE_CHAIN);
	assert_entry(f, 0, 2, 0x600000, 0x601000, 0, UNWIND_FILE_CHAIN);
	assert_entry(f, 0, 3, 0x7f0000001000, 0x7f0000005000, 0, UNWIND_FILE_COLD);
	for (size_t i = 4; i < UNWIND_MAPPINGS; i++)
		assert_entry(f, 0, i, ~0ULL, ~0ULL, 0, UNWIND_FILE_COLD);
	f->stack[1] = 0x7f0000001010;
	assert_int_equal(walk(f, P, 0x401004), 2);
	assert_int_equal(f->outcome, UNWIND_END);
	assert_null(f->stop);
	assert_int_equal(files[0].asked, 1);
	assert_entry(f, 0, 3, 0x7f0000001000, 0x7f0000005000, 0x7f0000001000 - TEXT, 1);
	assert_int_equal(stats_of(f).slots_used, 1);
	assert_int_equal(stats_of(f).files, 2);
	assert_true(stats_of(f).rules >= 2);
	assert_int_equal(stats_of(f).leaf_pages_used, 2);
	assert_int_equal(stats_of(f).block_pages_used, 1);
	assert_int_equal(stats_of(f).modules_by_state[UNWIND_MODULE_READY], 2);
}

/* Segments lie elsewhere in memory than in the file, each by its own distance. A mapping of the
 * whole file is cut into what belongs to each, and what belongs to none. */
static void test_bias_of_each_segment(void **state)
{
	struct fixture *f = *state;
	struct worker_rows *r = &files[0].rows;

	fill_rows(&files[0], 0, 1);
	r->segments[0] =
		(struct worker_segment){ .vaddr = TEXT, .limit = 0x4000, .offset = 0x1000 };
	r->segments[1] =
		(struct worker_segment){ .vaddr = 0x5000, .limit = 0x6000, .offset = 0x3000 };
	r->segments[2] = (struct worker_segment){ .vaddr = 0x6000, .limit = 0x6000, .offset = 0 };
	r->segments_cnt = 3;
	start_process(f, P);
	map_at(f, P, 0x402000, 0x2000, 0x1000, "/a", 0);
	map_at(f, P, 0x405000, 0x1000, 0x3000, "/a", 0);
	map_at(f, P, 0x800000, 0x8000, 0, "/a", 0);
	f->stack[1] = 0x405800;
	assert_int_equal(walk(f, P, 0x402004), 2);
	assert_int_equal(f->outcome, UNWIND_END);
	assert_entry(f, 0, 0, 0x402000, 0x404000, 0x400000, 0);
	assert_entry(f, 0, 1, 0x405000, 0x406000, 0x400000, 0);
	assert_entry(f, 0, 2, 0x800000, 0x801000, 0, UNWIND_FILE_CHAIN);
	assert_entry(f, 0, 3, 0x801000, 0x803000, 0x800000 - 0x1000, 0);
	assert_entry(f, 0, 4, 0x803000, 0x804000, 0x800000 - 0x2000, 0);
	assert_entry(f, 0, 5, 0x804000, 0x808000, 0, UNWIND_FILE_CHAIN);
	assert_entry(f, 0, 6, ~0ULL, ~0ULL, 0, UNWIND_FILE_COLD);
}

/* A file that has other rows is another file, whatever build-id it claims. */
static void test_equal_rows_share(void **state)
{
	struct fixture *f = *state;

	fill_rows(&files[0], 0, 1);
	fill_rows(&files[1], 0, 1);
	fill_rows(&files[2], 1, 1);
	files[2].rows.build_id[0] = files[0].rows.build_id[0];
	start_process(f, P);
	map_at(f, P, 0x401000, TEXT_SZ, TEXT, "/a", 0);
	map_at(f, P, 0x501000, TEXT_SZ, TEXT, "/b", 1);
	map_at(f, P, 0x601000, TEXT_SZ, TEXT, "/c", 2);
	walk(f, P, 0x401004);
	walk(f, P, 0x501004);
	walk(f, P, 0x601004);
	assert_entry(f, 0, 0, 0x401000, 0x405000, 0x401000 - TEXT, 0);
	assert_entry(f, 0, 1, 0x501000, 0x505000, 0x501000 - TEXT, 0);
	assert_entry(f, 0, 2, 0x601000, 0x605000, 0x601000 - TEXT, 1);
	assert_int_equal(stats_of(f).files, 2);
}

/* Without a table code is walked by frame pointers, and the worker is asked once. */
static void test_no_table(void **state)
{
	static const struct {
		enum parse_status status;
		enum unwind_module_state state;
	} cases[] = {
		{ PARSE_NO_CFI, UNWIND_MODULE_NO_CFI },
		{ PARSE_CORRUPT, UNWIND_MODULE_BAD_FILE },
		{ PARSE_TIMEOUT, UNWIND_MODULE_BAD_FILE },
		{ PARSE_OK, UNWIND_MODULE_BAD_ROWS },
	};
	struct fixture *f = *state;
	char path[] = "/a";

	start_process(f, P);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t start = 0x401000 + i * 0x10000;
		const struct module *m;

		path[1] = (char)('a' + i);
		m = map_at(f, P, start, TEXT_SZ, TEXT, path, (int)i);
		fill_rows(&files[i], i, 1);
		files[i].rows.status = cases[i].status;
		files[i].words[2] = UINT32_MAX; /* what is not looked at when the status is bad */
		f->regs[UNWIND_REG_FP] = STACK + 16;
		f->stack[3] = start + 0x10;
		assert_int_equal(walk(f, P, start + 4), 2);
		assert_int_equal(f->frames[1], start + 0x10 - 1);
		assert_int_equal(f->outcome, UNWIND_FP_ZERO);
		assert_int_equal(unwind__module_state(f->unwind, m), cases[i].state);
		assert_entry(f, 0, i, start, start + TEXT_SZ, 0, UNWIND_FILE_CHAIN);
		assert_int_equal(files[i].asked, 1);
	}
	assert_int_equal(stats_of(f).modules_by_state[UNWIND_MODULE_BAD_FILE], 2);
	assert_int_equal(stats_of(f).files, 0);
}

static void test_other_file(void **state)
{
	struct fixture *f = *state;
	struct module *m;

	fill_rows(&files[0], 0, 1);
	start_process(f, P);
	m = map_at(f, P, 0x401000, TEXT_SZ, TEXT, "/a", 0);
	m->build_id_len = 20;
	m->build_id[0] = files[0].rows.build_id[0];
	m->build_id[19] = 7;
	assert_int_equal(walk(f, P, 0x401004), 1);
	assert_int_equal(f->outcome, UNWIND_FP_ZERO);
	assert_int_equal(unwind__module_state(f->unwind, m), UNWIND_MODULE_OTHER_FILE);
}

/* A file nobody could open may be opened for the next process. */
static void test_file_is_found_later(void **state)
{
	struct fixture *f = *state;
	struct module *m;

	fill_rows(&files[0], 0, 1);
	start_process(f, P);
	start_process(f, Q);
	m = map_at(f, P, 0x401000, TEXT_SZ, TEXT, "/a", -1);
	assert_int_equal(walk(f, P, 0x401004), 1);
	assert_int_equal(unwind__module_state(f->unwind, m), UNWIND_MODULE_NO_FILE);
	assert_entry(f, 0, 0, 0x401000, 0x405000, 0, UNWIND_FILE_CHAIN);
	map_at(f, Q, 0x501000, TEXT_SZ, TEXT, "/a", 0);
	assert_int_equal(walk(f, Q, 0x501004), 1);
	assert_int_equal(f->outcome, UNWIND_END);
	assert_int_equal(unwind__module_state(f->unwind, m), UNWIND_MODULE_READY);
	assert_entry(f, 0, 0, 0x401000, 0x405000, 0x401000 - TEXT, 0);
	assert_entry(f, 1, 0, 0x501000, 0x505000, 0x501000 - TEXT, 0);
}

static void test_vdso(void **state)
{
	struct fixture *f = *state;
	struct module *m;

	start_process(f, P);
	m = map_at(f, P, 0x7fff00001000, 0x2000, 0, "[vdso]", -1);
	walk(f, P, 0x7fff00001004);
	assert_int_equal(vdso_asked, 1);
	assert_int_equal(unwind__module_state(f->unwind, m), UNWIND_MODULE_NO_CFI);
}

/* Room for one of two files: each throws the other out, once it was not used in this epoch. */
static void test_eviction(void **state)
{
	struct fixture *f = *state;
	struct module *a, *b;

	fill_rows(&files[0], 0, 1);
	start_process(f, P);
	a = map_at(f, P, 0x401000, TEXT_SZ, TEXT, "/a", 0);
	b = map_at(f, P, 0x501000, TEXT_SZ, TEXT, "/b", 1);
	walk(f, P, 0x401004);
	fill_rows(&files[1], 1, PAGES);
	walk(f, P, 0x501004);
	assert_int_equal(unwind__module_state(f->unwind, b), UNWIND_MODULE_MEMORY);
	assert_entry(f, 0, 1, 0x501000, 0x505000, 0, UNWIND_FILE_CHAIN);
	assert_int_equal(stats_of(f).memory_full, 1);
	/* It is tried again after a minute: then /a has not been used for long. */
	for (int i = 0; i < 60; i++)
		unwind__tick(f->unwind);
	assert_int_equal(unwind__module_state(f->unwind, b), UNWIND_MODULE_NEW);
	assert_int_equal(f->view.slots[0].file[1], UNWIND_FILE_COLD);
	walk(f, P, 0x501004);
	assert_int_equal(unwind__module_state(f->unwind, b), UNWIND_MODULE_READY);
	assert_int_equal(unwind__module_state(f->unwind, a), UNWIND_MODULE_NEW);
	assert_int_equal(f->view.slots[0].file[0], UNWIND_FILE_COLD);
	assert_entry(f, 0, 1, 0x501000, 0x505000, 0x501000 - TEXT, f->view.slots[0].file[1]);
	assert_true(f->view.slots[0].file[1] < UNWIND_FILES_MAX);
	assert_int_equal(f->view.control->generation % 2, 0);
	assert_int_equal(stats_of(f).evictions, 1);
	/* And back. */
	unwind__tick(f->unwind);
	fill_rows(&files[0], 0, 1);
	walk(f, P, 0x401004);
	assert_int_equal(f->outcome, UNWIND_END);
	assert_int_equal(unwind__module_state(f->unwind, a), UNWIND_MODULE_READY);
	assert_int_equal(unwind__module_state(f->unwind, b), UNWIND_MODULE_NEW);
	assert_entry(f, 0, 0, 0x401000, 0x405000, 0x401000 - TEXT, f->view.slots[0].file[0]);
	assert_int_equal(f->view.slots[0].file[1], UNWIND_FILE_COLD);
	assert_int_equal(stats_of(f).files, 1);
	assert_int_equal(files[0].asked, 2);
}

static void test_nobody(void **state)
{
	struct fixture *f = *state;
	const struct unwind_input in = { .regs = f->regs };

	f->regs[UNWIND_REG_RA] = 0x1234;
	assert_int_equal(unwind__walk(f->unwind, NULL, &in, f->frames, 64, &f->outcome, &f->stop),
			 1);
	assert_int_equal(f->outcome, UNWIND_NOT_CODE);
	assert_int_equal(f->frames[0], 0x1234);
	assert_null(f->stop);
}

static void test_plan_memory(void **state)
{
	uint32_t leaf, block;

	unwind__plan_memory(32 << 20, &leaf, &block);
	assert_int_equal(leaf, 7168);
	assert_int_equal(block, 1024);
	unwind__plan_memory(0, &leaf, &block);
	assert_int_equal(leaf, 1);
	assert_int_equal(block, 1);
	unwind__plan_memory(UINT64_MAX, &leaf, &block);
	assert_int_equal((uint64_t)leaf + block, UINT32_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_table_and_slot),
		TEST(test_bias_of_each_segment),
		TEST(test_equal_rows_share),
		TEST(test_no_table),
		TEST(test_other_file),
		TEST(test_file_is_found_later),
		TEST(test_vdso),
		TEST(test_eviction),
		TEST(test_nobody),
		cmocka_unit_test(test_plan_memory),
	};

	return cmocka_run_group_tests_name("unwind", tests, NULL, NULL);
}
