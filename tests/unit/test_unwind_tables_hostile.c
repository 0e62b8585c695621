/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows that break the rules of abi/unwind_table.h, also while they are read: -EBADMSG, nothing
 * published, nothing kept.
 */
#include "unwind_tables_fixture.h"

#include <errno.h>
#include <pthread.h>

#define LEAF_PAGES 64

/* Blocks of known shape: 4 of four rows, a page of one-byte rows, then 3 more. */
static struct made_file good_file(void)
{
	const uint32_t bytes[] = { 0, 7, 100, 1023 };
	struct made_file f = {
		.rows = { .base = 0x400000, .blocks_cnt = 8, .rules_cnt = 3 },
		.blocks = calloc(9, sizeof(*f.blocks)),
		.rules = calloc(3, sizeof(*f.rules)),
	};

	for (uint32_t i = 0; i < 3; i++)
		f.rules[i] = numbered_rule(i + 1);
	for (size_t block = 0; block < 8; block++) {
		while (block == 4 && f.rows.rows_cnt % UNWIND_LEAF_ROWS)
			push_row(&f, UNWIND_ROW_PAD);
		f.blocks[block] = (uint32_t)f.rows.rows_cnt;
		for (uint32_t i = 0; i < (block == 4 ? UNWIND_LEAF_ROWS : 4); i++)
			push_row(&f, UNWIND_ROW(block == 4 ? i : bytes[i], i % 3));
	}
	f.blocks[8] = (uint32_t)f.rows.rows_cnt;
	f.rows.blocks = f.blocks;
	f.rows.rows = f.row_words;
	f.rows.rules = f.rules;
	return f;
}

static void assert_untouched(const struct tables *t)
{
	struct unwind_stats stats = { 0 };

	tables__stats(t, &stats);
	assert_int_equal(stats.files, 0);
	assert_int_equal(stats.rules, 1);
	assert_int_equal(stats.leaf_pages_used, 0);
	assert_int_equal(stats.block_pages_used, 0);
	for (size_t i = 0; i < UNWIND_FILES_MAX; i++)
		assert_int_equal(t->files[i].block_cnt, 0);
	assert_int_equal(t->control->generation, 0);
}

/* --- one wrong value ---------------------------------------------------------------------------
 */
enum lie_target { BLOCK, ROW, BASE, BLOCKS_CNT, ROWS_CNT, RULES_CNT, RULE };

struct lie {
	const char *what;
	enum lie_target target;
	size_t idx;
	uint64_t value;
};

static const struct lie lies[] = {
	{ "the first block does not begin at the first row", BLOCK, 0, 1 },
	{ "a block begins before the one before", BLOCK, 2, 3 },
	{ "a block begins behind the next one", BLOCK, 2, 13 },
	{ "a block begins behind all rows", BLOCK, 7, 5000 },
	{ "a block begins nowhere", BLOCK, 3, UINT32_MAX },
	{ "a block begins in the middle of one", BLOCK, 2, 9 },
	{ "the last block has no rows", BLOCK, 7, 2060 },
	{ "more rows than there are", BLOCK, 8, 2061 },
	{ "rows without end", BLOCK, 8, UINT32_MAX },
	{ "no rows", BLOCK, 8, 0 },
	{ "a block that straddles pages", BLOCK, 4, 16 },
	{ "a page left before its end", BLOCK, 4, 1025 },
	{ "a page left out", BLOCK, 4, 2048 },
	{ "rows of the next block are its own", BLOCK, 6, 2056 },
	{ "no row at byte 0", ROW, 4, UNWIND_ROW(1, 0) },
	{ "rows not ascending", ROW, 6, UNWIND_ROW(7, 0) },
	{ "rows descending", ROW, 6, UNWIND_ROW(3, 0) },
	{ "a row behind its block", ROW, 7, UNWIND_ROW(1024, 0) },
	{ "a row far behind its block", ROW, 7, UNWIND_ROW(0xffff, 0) },
	{ "a rule there is not", ROW, 5, UNWIND_ROW(7, 3) },
	{ "the highest rule", ROW, 5, UNWIND_ROW(7, 0xffff) },
	{ "padding between rows", ROW, 5, UNWIND_ROW_PAD },
	{ "padding at the end of a block", ROW, 7, UNWIND_ROW_PAD },
	{ "padding at the beginning", ROW, 0, UNWIND_ROW_PAD },
	{ "padding in the last page", ROW, 2059, UNWIND_ROW_PAD },
	{ "a row amid the padding", ROW, 900, UNWIND_ROW(5, 0) },
	{ "a row behind the padding", ROW, 1023, UNWIND_ROW(1023, 0) },
	{ "base not that of a block", BASE, 0, 0x400001 },
	{ "base not that of a block", BASE, 0, 0x400200 },
	{ "beyond the last address", BASE, 0, UINT64_MAX & ~0x3ffULL },
	{ "no blocks", BLOCKS_CNT, 0, 0 },
	{ "fewer rows than the blocks say", ROWS_CNT, 0, 2059 },
	{ "no rows", ROWS_CNT, 0, 0 },
	{ "fewer rules than the rows say", RULES_CNT, 0, 2 },
	{ "no rules", RULES_CNT, 0, 0 },
	{ "more rules than a row can name", RULES_CNT, 0, UNWIND_RULES_MAX + 1 },
	{ "a kind there is not", RULE, offsetof(struct unwind_rule, kind), UNWIND_RULE_KIND_CNT },
	{ "a kind there is not", RULE, offsetof(struct unwind_rule, kind), 255 },
	{ "a frame pointer kind there is not", RULE, offsetof(struct unwind_rule, fp_kind), 5 },
	{ "a register there is not", RULE, offsetof(struct unwind_rule, fp_kind), 32 },
	{ "a return address kind there is not", RULE, offsetof(struct unwind_rule, ra_kind), 1 },
	{ "a register there is not", RULE, offsetof(struct unwind_rule, ra_kind), 32 },
};

static void tell(const struct lie *lie, struct made_file *f)
{
	switch (lie->target) {
	case BLOCK:
		f->blocks[lie->idx] = (uint32_t)lie->value;
		break;
	case ROW:
		f->row_words[lie->idx] = (uint32_t)lie->value;
		break;
	case BASE:
		f->rows.base = lie->value;
		break;
	case BLOCKS_CNT:
		f->rows.blocks_cnt = lie->value;
		break;
	case ROWS_CNT:
		f->rows.rows_cnt = lie->value;
		break;
	case RULES_CNT:
		f->rows.rules_cnt = lie->value;
		break;
	case RULE:
		((uint8_t *)&f->rules[1])[lie->idx] = (uint8_t)lie->value;
		break;
	}
}

static void test_lies(void **state)
{
	struct tables t = tables_in_memory(LEAF_PAGES, 1);
	struct made_file f;
	uint32_t file = 77;

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		int err;

		f = good_file();
		tell(&lies[i], &f);
		err = tables__add(&t, &f.rows, &file, NULL, NULL);
		if (err != -EBADMSG)
			fail_msg("%s (%zu): %d", lies[i].what, i, err);
		assert_int_equal(file, 77);
		assert_untouched(&t);
		made_file__done(&f);
	}
	f = good_file();
	assert_int_equal(f.rows.rows_cnt, 2060);
	assert_int_equal(tables__add(&t, &f.rows, &file, NULL, NULL), 0);
	made_file__done(&f);
	tables_in_memory__done(&t);
}

static void test_register_rules(void **state)
{
	struct tables t = tables_in_memory(LEAF_PAGES, 1);
	struct made_file f = good_file();
	uint32_t file;

	f.rules[1] = (struct unwind_rule){ .kind = UNWIND_RULE_REG, .arg = UNWIND_REG_CNT };
	assert_int_equal(tables__add(&t, &f.rows, &file, NULL, NULL), -EBADMSG);
	f.rules[1].arg = UNWIND_REG_CNT - 1;
	f.rules[1].fp_kind = f.rules[1].ra_kind = UNWIND_IN_REGISTER + UNWIND_REG_CNT - 1;
	assert_int_equal(tables__add(&t, &f.rows, &file, NULL, NULL), 0);
	made_file__done(&f);
	tables_in_memory__done(&t);
}

static void test_too_large(void **state)
{
	struct tables t = tables_in_memory(2, 1);
	struct made_file f = good_file();
	uint32_t file;

	assert_int_equal(tables__add(&t, &f.rows, &file, NULL, NULL), -ENOSPC);
	assert_untouched(&t);
	f.rows.blocks_cnt = UNWIND_PAGE_WORDS;
	assert_int_equal(tables__add(&t, &f.rows, &file, NULL, NULL), -ENOSPC);
	f.rows.blocks_cnt = SIZE_MAX;
	assert_int_equal(tables__add(&t, &f.rows, &file, NULL, NULL), -EBADMSG);
	assert_untouched(&t);
	made_file__done(&f);
	tables_in_memory__done(&t);
}

/* --- many wrong values -------------------------------------------------------------------------
 */
/* Whatever was let in: each look-up ends in a row of this file's pages and a rule in use. */
static void assert_lookups_are_sane(const struct tables *t, uint32_t file)
{
	const struct unwind_file *f = &t->files[file];
	struct unwind_stats stats = { 0 };

	tables__stats(t, &stats);
	for (uint64_t offset = 0; offset < (uint64_t)f->block_cnt * UNWIND_BLOCK_BYTES; offset++) {
		const struct unwind_rule *rule = tables__find(t, file, f->base + offset);

		assert_in_range((uintptr_t)rule, (uintptr_t)t->rules,
				(uintptr_t)&t->rules[UNWIND_RULES_MAX - 1]);
		assert_true(rule->cfa_offset >= 1 && rule->cfa_offset <= 3);
	}
	for (uint32_t i = 0; i < f->block_cnt; i++) {
		uint32_t first = t->block->words[f->first_block + i];

		assert_true(first >> UNWIND_LEAF_SHIFT < stats.leaf_pages_used);
		assert_int_equal(UNWIND_ROW_BYTE(t->leaf[first >> UNWIND_LEAF_SHIFT]
							 .words[first % UNWIND_LEAF_ROWS]),
				 0);
	}
}

static uint32_t hostile_value(uint64_t *random)
{
	const uint32_t values[] = { 0,
				    1,
				    4,
				    1023,
				    1024,
				    1025,
				    2048,
				    2060,
				    2061,
				    0x7fffffff,
				    UINT32_MAX,
				    UNWIND_ROW(8, 1),
				    UNWIND_ROW(1023, 2) };
	uint32_t r = next_random(random);

	return r % 4 ? values[next_random(random) % ARRAY_SIZE(values)] : r;
}

static void test_random_lies(void **state)
{
	struct tables t = tables_in_memory(LEAF_PAGES, 1);
	uint64_t random = 99;
	int accepted = 0;

	for (int round = 0; round < 20000; round++) {
		struct made_file f = good_file();
		uint32_t file;
		int err;

		for (uint32_t i = 0; i <= next_random(&random) % 3; i++) {
			if (next_random(&random) % 2)
				f.blocks[next_random(&random) % 9] = hostile_value(&random);
			else
				f.row_words[next_random(&random) % 2060] = hostile_value(&random);
		}
		err = tables__add(&t, &f.rows, &file, NULL, NULL);
		assert_true(!err || err == -EBADMSG || err == -ENOSPC);
		if (!err) {
			accepted++;
			if (accepted % 16 == 0)
				assert_lookups_are_sane(&t, file);
			tables__remove(&t, file);
			t.control->generation = 0;
		}
		assert_untouched(&t);
		made_file__done(&f);
	}
	assert_in_range(accepted, 100, 15000);
	tables_in_memory__done(&t);
}

/* --- values that change while they are read ----------------------------------------------------
 */
struct scribbler {
	struct made_file *f;
	bool stop;
};

static void wait_a_little(uint32_t magnitude)
{
	for (uint32_t i = 1u << magnitude; i; i--)
		__asm__ volatile("" ::: "memory");
}

static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	uint64_t random = 5;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		uint32_t *word = next_random(&random) % 2
					 ? &s->f->blocks[next_random(&random) % 9]
					 : &s->f->row_words[next_random(&random) % 2060];
		uint32_t kept = *word;

		__atomic_store_n(word, hostile_value(&random), __ATOMIC_RELAXED);
		wait_a_little(next_random(&random) % 14);
		__atomic_store_n(word, kept, __ATOMIC_RELAXED);
		/* Long enough for a reader to find nothing wrong, now and then. */
		wait_a_little(next_random(&random) % 20);
	}
	return NULL;
}

static void test_changing_while_read(void **state)
{
	struct tables t = tables_in_memory(LEAF_PAGES, 1);
	struct made_file f = good_file();
	struct scribbler s = { .f = &f };
	int accepted = 0, refused = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, scribble, &s), 0);
	for (int i = 0; (i < 5000 || !accepted || !refused) && i < 200000; i++) {
		uint32_t file;
		int err = tables__add(&t, &f.rows, &file, NULL, NULL);

		assert_true(!err || err == -EBADMSG || err == -ENOSPC);
		accepted += !err;
		refused += err != 0;
		if (!err && i % 64 == 0)
			assert_lookups_are_sane(&t, file);
		if (!err)
			tables__remove(&t, file);
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_true(accepted > 0 && refused > 0);
	t.control->generation = 0;
	assert_untouched(&t);
	made_file__done(&f);
	tables_in_memory__done(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lies),
		cmocka_unit_test(test_register_rules),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_random_lies),
		cmocka_unit_test(test_changing_while_read),
	};

	return cmocka_run_group_tests_name("unwind_tables_hostile", tests, NULL, NULL);
}
