/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables in plain memory, and files made at random beside a naive description of them: one rule per
 * address.
 */
#ifndef TESTS_UNIT_UNWIND_TABLES_FIXTURE_H
#define TESTS_UNIT_UNWIND_TABLES_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "unwind/tables.h"

/* One file, as given to the tables and as it is meant. */
struct made_file {
	struct file_rows rows;
	uint32_t *blocks, *row_words;
	size_t rows_cap;
	struct unwind_rule *rules;
	uint16_t *by_address; /* index in rules, of each byte */
};

static inline uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(*state >> 33);
}

static inline struct tables tables_in_memory(uint32_t leaf_pages, uint32_t block_pages)
{
	struct tables t = {
		.leaf = calloc(leaf_pages, sizeof(*t.leaf)),
		.block = calloc(block_pages, sizeof(*t.block)),
		.files = calloc(UNWIND_FILES_MAX, sizeof(*t.files)),
		.rules = calloc(UNWIND_RULES_MAX, sizeof(*t.rules)),
		.control = calloc(1, sizeof(*t.control)),
		.leaf_pages = leaf_pages,
		.block_pages = block_pages,
	};

	assert_true(t.leaf && t.block && t.files && t.rules && t.control);
	assert_int_equal(tables__init(&t), 0);
	t.control->epoch = 1;
	return t;
}

static inline void tables_in_memory__done(struct tables *t)
{
	tables__done(t);
	free(t->leaf);
	free(t->block);
	free(t->files);
	free(t->rules);
	free(t->control);
}

/* Rules with the same number are equal in every file. */
static inline struct unwind_rule numbered_rule(uint32_t number)
{
	return (struct unwind_rule){ .kind = number % 2 ? UNWIND_RULE_SP : UNWIND_RULE_FP,
				     .fp_kind = UNWIND_FP_AT_CFA,
				     .cfa_offset = (int32_t)number,
				     .fp_offset = -16 };
}

static inline void made_file__done(struct made_file *f)
{
	free(f->blocks);
	free(f->row_words);
	free(f->rules);
	free(f->by_address);
	*f = (struct made_file){ .blocks = NULL };
}

static inline void push_row(struct made_file *f, uint32_t row)
{
	assert_int_equal(array__reserve(f->row_words, f->rows_cap, f->rows.rows_cnt + 1), 0);
	f->row_words[f->rows.rows_cnt++] = row;
}

/* A block's rows, about one in 'sparse' bytes, in one page. */
static inline void make_block(struct made_file *f, size_t block, uint64_t *random, uint32_t sparse)
{
	uint16_t *by_byte = f->by_address + block * UNWIND_BLOCK_BYTES;
	uint32_t bytes[UNWIND_BLOCK_BYTES], cnt = 0, room;

	for (uint32_t i = 0; i < UNWIND_BLOCK_BYTES; i++)
		if (!i || next_random(random) % sparse == 0)
			bytes[cnt++] = i;
	room = UNWIND_LEAF_ROWS - f->rows.rows_cnt % UNWIND_LEAF_ROWS;
	while (cnt > room && f->rows.rows_cnt % UNWIND_LEAF_ROWS)
		push_row(f, UNWIND_ROW_PAD);
	f->blocks[block] = (uint32_t)f->rows.rows_cnt;
	for (uint32_t i = 0; i < cnt; i++) {
		uint16_t rule = (uint16_t)(next_random(random) % f->rows.rules_cnt);
		uint32_t end = i + 1 < cnt ? bytes[i + 1] : UNWIND_BLOCK_BYTES;

		push_row(f, UNWIND_ROW(bytes[i], rule));
		for (uint32_t k = bytes[i]; k < end; k++)
			by_byte[k] = rule;
	}
}

/* Blocks without rows of their own: all of the block has the first rule of the next one. */
static inline void share_block(struct made_file *f, size_t block)
{
	uint16_t *by_byte = f->by_address + block * UNWIND_BLOCK_BYTES;

	f->blocks[block] = f->blocks[block + 1];
	for (uint32_t i = 0; i < UNWIND_BLOCK_BYTES; i++)
		by_byte[i] = by_byte[UNWIND_BLOCK_BYTES];
}

struct file_plan {
	size_t blocks_cnt, rules_cnt;
	uint32_t first_rule; /* rules are numbered from here on */
	uint32_t sparse;
	uint32_t shared_in; /* one of so many blocks has no rows; 0: none */
};

static inline struct made_file make_file(const struct file_plan *p, uint64_t *random)
{
	struct made_file f = {
		.rows = { .blocks_cnt = p->blocks_cnt, .rules_cnt = p->rules_cnt },
		.blocks = calloc(p->blocks_cnt + 1, sizeof(*f.blocks)),
		.rules = calloc(p->rules_cnt, sizeof(*f.rules)),
		.by_address = calloc(p->blocks_cnt * UNWIND_BLOCK_BYTES, sizeof(*f.by_address)),
	};
	bool *shared = calloc(p->blocks_cnt, sizeof(*shared));

	assert_true(f.blocks && f.rules && f.by_address && shared);
	for (size_t i = 0; i < p->rules_cnt; i++)
		f.rules[i] = numbered_rule(p->first_rule + (uint32_t)i);
	for (size_t i = 0; i < p->blocks_cnt; i++) {
		shared[i] = p->shared_in && i + 1 < p->blocks_cnt &&
			    next_random(random) % p->shared_in == 0;
		if (!shared[i])
			make_block(&f, i, random, p->sparse);
	}
	f.blocks[p->blocks_cnt] = (uint32_t)f.rows.rows_cnt;
	for (size_t i = p->blocks_cnt; i-- > 0;)
		if (shared[i])
			share_block(&f, i);
	free(shared);
	f.rows.base = (uint64_t)next_random(random) << UNWIND_BLOCK_SHIFT;
	f.rows.blocks = f.blocks;
	f.rows.rows = f.row_words;
	f.rows.rules = f.rules;
	return f;
}

static inline uint32_t pages_of(const struct made_file *f)
{
	return (uint32_t)((f->rows.rows_cnt + UNWIND_LEAF_ROWS - 1) / UNWIND_LEAF_ROWS);
}

static inline void assert_found(const struct tables *t, uint32_t file, const struct made_file *f,
				size_t offset)
{
	const struct unwind_rule *found = tables__find(t, file, f->rows.base + offset);

	assert_non_null(found);
	assert_memory_equal(found, &f->rules[f->by_address[offset]], sizeof(*found));
}

static inline void assert_all_found(const struct tables *t, uint32_t file,
				    const struct made_file *f)
{
	const size_t bytes = f->rows.blocks_cnt * UNWIND_BLOCK_BYTES;

	for (size_t i = 0; i < bytes; i++)
		assert_found(t, file, f, i);
	assert_null(tables__find(t, file, f->rows.base - 1));
	assert_null(tables__find(t, file, f->rows.base + bytes));
}

#endif
