/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What abi/unwind_table.h promises the kernel of every table, whatever it was made from. For the
 * unit tests and the fuzzer.
 */
#ifndef TESTS_UNIT_UNWIND_ROWS_CHECK_H
#define TESTS_UNIT_UNWIND_ROWS_CHECK_H

#include <string.h>
#include "parse/unwind_rows.h"

static inline const char *broken_block(const struct unwind_rows *rows, size_t block)
{
	const uint32_t first = rows->blocks[block], next = rows->blocks[block + 1];
	const uint32_t page_end = (first | (UNWIND_LEAF_ROWS - 1)) + 1;
	const uint32_t end = next < page_end ? next : page_end;
	uint32_t i;

	if (first >= next || next > rows->rows_cnt)
		return "blocks out of order";
	if (next > page_end && next % UNWIND_LEAF_ROWS && next - page_end >= UNWIND_LEAF_ROWS)
		return "a block begins a page too late";
	if (UNWIND_ROW_BYTE(rows->rows[first]) != 0)
		return "a block without a row at byte 0";
	for (i = first; i < end && rows->rows[i] != UNWIND_ROW_PAD; i++) {
		const uint32_t byte = UNWIND_ROW_BYTE(rows->rows[i]);

		if (UNWIND_ROW_RULE(rows->rows[i]) >= rows->rules_cnt)
			return "a row without a rule";
		if (byte >= UNWIND_BLOCK_BYTES)
			return "a row beyond its block";
		if (i > first && byte <= UNWIND_ROW_BYTE(rows->rows[i - 1]))
			return "rows of a block out of order";
	}
	if (i < end && end != page_end)
		return "padding inside a page";
	for (; i < next; i++)
		if (rows->rows[i] != UNWIND_ROW_PAD)
			return "a block that straddles two pages";
	return NULL;
}

static inline bool rule_is_canonical(const struct unwind_rule *r)
{
	const bool plain = r->kind == UNWIND_RULE_FP_CHAIN || r->kind == UNWIND_RULE_END ||
			   r->kind == UNWIND_RULE_SIGNAL || r->kind == UNWIND_RULE_UNSUPPORTED;
	const bool saved = r->fp_kind >= UNWIND_FP_AT_CFA && r->fp_kind <= UNWIND_FP_AT_SP;

	if (plain && (r->arg || r->fp_kind || r->ra_kind || r->cfa_offset))
		return false;
	return r->kind < UNWIND_RULE_KIND_CNT && (saved || !r->fp_offset) &&
	       r->fp_kind < UNWIND_IN_REGISTER + UNWIND_REG_CNT &&
	       (r->kind != UNWIND_RULE_REG || r->arg < UNWIND_REG_CNT) &&
	       (!r->ra_kind || (r->ra_kind >= UNWIND_IN_REGISTER &&
				r->ra_kind < UNWIND_IN_REGISTER + UNWIND_REG_CNT));
}

/* NULL, or what is wrong. */
static inline const char *broken_rows(const struct unwind_rows *rows)
{
	size_t blocks = 0;

	for (size_t i = 0; i < rows->ranges_cnt; i++) {
		const struct unwind_range *r = &rows->ranges[i];

		if (r->first_block != blocks || !r->blocks_cnt || r->start % UNWIND_BLOCK_BYTES)
			return "a range that is none";
		if (i && r->start < r[-1].start + (uint64_t)r[-1].blocks_cnt * UNWIND_BLOCK_BYTES)
			return "ranges that overlap";
		blocks += r->blocks_cnt;
	}
	if (!blocks || blocks != rows->blocks_cnt || rows->blocks[blocks] != rows->rows_cnt)
		return "blocks of no range";
	for (size_t i = 0; i < blocks; i++)
		if (broken_block(rows, i))
			return broken_block(rows, i);
	if (rows->rules_cnt > PARSE_UNWIND_RULES_MAX || rows->rules[0].kind != UNWIND_RULE_FP_CHAIN)
		return "no dictionary";
	for (size_t i = 0; i < rows->rules_cnt; i++)
		if (!rule_is_canonical(&rows->rules[i]))
			return "a rule that says more than it means";
	return NULL;
}

#endif
