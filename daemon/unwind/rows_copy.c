/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One pass, each value read once: whoever wrote them may still be writing. The walk in the kernel
 * stays inside the tables whatever they hold; what is checked here is that a file's rows are those
 * it was given, all of them, and that every look-up in them has one answer.
 */
#include "unwind/rows_copy.h"

#include <errno.h>

#define PAGE_OF(position) ((position) >> UNWIND_LEAF_SHIFT)
#define ROW_OF(position)  ((position) & (UNWIND_LEAF_ROWS - 1))

/* Behind the last row of a page that is full: on no page at all. */
#define POSITION_END UINT32_MAX

static uint32_t read_once(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static bool is_register(unsigned int kind)
{
	return kind >= UNWIND_IN_REGISTER && kind < UNWIND_IN_REGISTER + UNWIND_REG_CNT;
}

bool rows_copy__rule_is_valid(const struct unwind_rule *rule)
{
	if (rule->kind >= UNWIND_RULE_KIND_CNT)
		return false;
	if (rule->kind == UNWIND_RULE_REG && rule->arg >= UNWIND_REG_CNT)
		return false;
	return (rule->fp_kind <= UNWIND_FP_UNDEFINED || is_register(rule->fp_kind)) &&
	       (rule->ra_kind == UNWIND_RA_AT_CFA || is_register(rule->ra_kind));
}

int rows_copy__rows_cnt(const struct file_rows *rows, uint32_t *ret)
{
	uint32_t cnt = read_once(&rows->blocks[rows->blocks_cnt]);

	if (!cnt || cnt > rows->rows_cnt)
		return -EBADMSG;
	*ret = cnt;
	return 0;
}

/* Rows [first, end) of one page, a block's: ascending from byte 0; behind them padding, if the
 * block is its page's last one. */
static int copy_block(const struct file_rows *rows, const struct rows_target *t, uint32_t first,
		      uint32_t end)
{
	uint32_t *to = t->leaf[t->pages[PAGE_OF(first)]].words + ROW_OF(first);
	const uint32_t *from = rows->rows + first, *from_end = rows->rows + end;
	uint32_t lowest = 0;

	for (; from < from_end; from++, to++) {
		uint32_t row = read_once(from), byte = UNWIND_ROW_BYTE(row);

		if (row == UNWIND_ROW_PAD && lowest && !ROW_OF(end)) {
			lowest = UNWIND_BLOCK_BYTES;
			*to = row;
			continue;
		}
		if (byte < lowest || byte >= UNWIND_BLOCK_BYTES || (!lowest && byte) ||
		    UNWIND_ROW_RULE(row) >= rows->rules_cnt)
			return -EBADMSG;
		*to = UNWIND_ROW(byte, t->rules[UNWIND_ROW_RULE(row)]);
		lowest = byte + 1;
	}
	return 0;
}

/* Whether a block that begins at 'first' may have the next one begin at 'next'. */
static bool block_may_end(uint32_t first, uint32_t next, uint32_t rows_cnt)
{
	if (next < first || next > rows_cnt)
		return false;
	return PAGE_OF(next) == PAGE_OF(first) ||
	       (PAGE_OF(next) == PAGE_OF(first) + 1 && !ROW_OF(next));
}

static uint32_t position_in_leaf(const struct rows_target *t, uint32_t row)
{
	return t->pages[PAGE_OF(row)] << UNWIND_LEAF_SHIFT | ROW_OF(row);
}

static void pad_page(const struct rows_target *t, uint32_t row)
{
	struct unwind_page *page = &t->leaf[t->pages[PAGE_OF(row)]];

	for (uint32_t i = ROW_OF(row); i < UNWIND_LEAF_ROWS; i++)
		page->words[i] = UNWIND_ROW_PAD;
}

int rows_copy__run(const struct file_rows *rows, const struct rows_target *t)
{
	uint32_t first = read_once(&rows->blocks[0]), next;

	if (first)
		return -EBADMSG;
	for (size_t i = 0; i < rows->blocks_cnt; i++, first = next) {
		int err;

		next = i + 1 < rows->blocks_cnt ? read_once(&rows->blocks[i + 1]) : t->rows_cnt;
		if (first == t->rows_cnt || !block_may_end(first, next, t->rows_cnt))
			return -EBADMSG;
		t->blocks[i] = position_in_leaf(t, first);
		/* A block without rows has the first one of the next that has any. */
		err = first < next ? copy_block(rows, t, first, next) : 0;
		if (err)
			return err;
	}
	if (ROW_OF(t->rows_cnt)) {
		t->blocks[rows->blocks_cnt] = position_in_leaf(t, t->rows_cnt);
		pad_page(t, t->rows_cnt);
	} else {
		t->blocks[rows->blocks_cnt] = POSITION_END;
	}
	return 0;
}
