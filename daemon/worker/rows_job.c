/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file's table has one block index from its first address to its last. Where there are several
 * segments the gaps between them are blocks that follow the frame pointer and share one row; what
 * comes behind is laid into leaf pages anew.
 */
#include "worker/rows_job.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "base/cleanup.h"

_Static_assert(WIRE_RULES_MAX >= PARSE_UNWIND_RULES_MAX, "all rules fit");
_Static_assert(WIRE_ROWS_MAX >= PARSE_UNWIND_ROWS_MAX, "all rows of one segment fit");
_Static_assert((uint64_t)WIRE_BLOCKS_MAX << UNWIND_BLOCK_SHIFT >= PARSE_UNWIND_SPAN_MAX,
	       "all blocks fit");

struct packer {
	uint32_t *blocks, *rows;
	size_t blocks_cnt, rows_cnt, rows_cap;
};

static size_t room_in_page(size_t rows_cnt)
{
	return UNWIND_LEAF_ROWS - rows_cnt % UNWIND_LEAF_ROWS;
}

/* Writes rows that share a page; *ret_first is where they begin. */
static bool put_rows(struct packer *p, const uint32_t *rows, size_t cnt, size_t *ret_first)
{
	size_t room = room_in_page(p->rows_cnt), padding = cnt > room ? room : 0;

	if (p->rows_cap - p->rows_cnt < padding + cnt)
		return false;
	memset(p->rows + p->rows_cnt, 0xff, padding * sizeof(*rows));
	p->rows_cnt += padding;
	*ret_first = p->rows_cnt;
	memcpy(p->rows + p->rows_cnt, rows, cnt * sizeof(*rows));
	p->rows_cnt += cnt;
	return true;
}

static bool put_gap(struct packer *p, uint64_t blocks_cnt)
{
	const uint32_t row = UNWIND_ROW(0, 0); /* rule 0 is UNWIND_RULE_FP_CHAIN */
	size_t first;

	if (!blocks_cnt)
		return true;
	if (!put_rows(p, &row, 1, &first))
		return false;
	for (; blocks_cnt; blocks_cnt--)
		p->blocks[p->blocks_cnt++] = (uint32_t)first;
	return true;
}

/* Rows of a block without the padding of its page. */
static size_t rows_of_block(const struct unwind_rows *rows, size_t block)
{
	size_t first = rows->blocks[block], end = rows->blocks[block + 1];

	while (end > first && rows->rows[end - 1] == UNWIND_ROW_PAD)
		end--;
	return end - first;
}

static bool put_range(struct packer *p, const struct unwind_rows *rows,
		      const struct unwind_range *range, size_t skip)
{
	for (size_t i = skip; i < range->blocks_cnt; i++) {
		size_t block = range->first_block + i, first;

		if (!put_rows(p, rows->rows + rows->blocks[block], rows_of_block(rows, block),
			      &first))
			return false;
		p->blocks[p->blocks_cnt++] = (uint32_t)first;
	}
	return true;
}

static bool put_ranges(struct packer *p, const struct unwind_rows *rows)
{
	uint64_t at = rows->ranges[0].start;

	for (size_t i = 0; i < rows->ranges_cnt; i++) {
		const struct unwind_range *r = &rows->ranges[i];
		uint64_t end = r->start + ((uint64_t)r->blocks_cnt << UNWIND_BLOCK_SHIFT);
		uint64_t gap = r->start > at ? (r->start - at) >> UNWIND_BLOCK_SHIFT : 0;
		/* Segments that meet within a block: it is the first one's. */
		uint64_t skip = r->start < at ? (at - r->start) >> UNWIND_BLOCK_SHIFT : 0;

		if (end <= at)
			continue;
		if (!put_gap(p, gap) || !put_range(p, rows, r, skip))
			return false;
		at = end;
	}
	p->blocks[p->blocks_cnt] = (uint32_t)p->rows_cnt;
	return true;
}

static uint64_t count_blocks(const struct unwind_rows *rows)
{
	uint64_t start = rows->ranges[0].start, end = start;

	for (size_t i = 0; i < rows->ranges_cnt; i++) {
		const struct unwind_range *r = &rows->ranges[i];
		uint64_t range_end = r->start + ((uint64_t)r->blocks_cnt << UNWIND_BLOCK_SHIFT);

		if (range_end > end)
			end = range_end;
	}
	return (end - start) >> UNWIND_BLOCK_SHIFT;
}

enum parse_status rows_job__pack(const struct unwind_rows *rows, int fd, struct wire_reply *reply)
{
	const uint64_t blocks_cnt = count_blocks(rows);
	struct packer p = { .rows_cap = WIRE_ROWS_MAX };
	struct unwind_rule *rules;
	struct stat st;
	void *memory;
	bool fits;

	if (fstat(fd, &st) || st.st_size < (off_t)WIRE_ROWS_BYTES)
		return PARSE_IO;
	if (!blocks_cnt || blocks_cnt > WIRE_BLOCKS_MAX || rows->rules_cnt > WIRE_RULES_MAX)
		return PARSE_LIMIT;
	memory = mmap(NULL, WIRE_ROWS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return errno == ENOMEM ? PARSE_LIMIT : PARSE_IO;
	p.blocks = memory;
	rules = (struct unwind_rule *)(p.blocks + blocks_cnt + 1);
	p.rows = (uint32_t *)(rules + rows->rules_cnt);
	memcpy(rules, rows->rules, rows->rules_cnt * sizeof(*rules));
	fits = put_ranges(&p, rows);
	munmap(memory, WIRE_ROWS_BYTES);
	if (!fits)
		return PARSE_LIMIT;
	reply->rows_base = rows->ranges[0].start;
	reply->blocks_cnt = (uint32_t)p.blocks_cnt;
	reply->rules_cnt = (uint32_t)rows->rules_cnt;
	reply->rows_cnt = (uint32_t)p.rows_cnt;
	return PARSE_OK;
}
