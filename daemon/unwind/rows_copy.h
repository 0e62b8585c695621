/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows from the worker into pages of the tables: the one place where they are read, and checked on
 * the way. Private to unwind/.
 */
#ifndef UNWIND_ROWS_COPY_H
#define UNWIND_ROWS_COPY_H

#include "unwind/tables.h"

/* Where they go; nobody reads there yet. */
struct rows_target {
	const uint16_t *rules; /* index in the dictionary by the file's own, rows->rules_cnt */
	struct unwind_page *leaf;
	const uint32_t *pages; /* those of leaf that the rows get, in their order */
	uint32_t rows_cnt;     /* what rows_copy__rows_cnt() said; the pages are for that many */
	uint32_t *blocks;      /* blocks_cnt + 1 words */
};

/* The rows that the blocks lay claim to; -EBADMSG: none, or more than there are. */
int rows_copy__rows_cnt(const struct file_rows *rows, uint32_t *ret);

/* 0, or -EBADMSG: they contradict abi/unwind_table.h; what was written means nothing then. */
int rows_copy__run(const struct file_rows *rows, const struct rows_target *target);

/* Whether the rule is one that the walk knows. */
bool rows_copy__rule_is_valid(const struct unwind_rule *rule);

#endif
