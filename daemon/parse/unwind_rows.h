/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ELF file → its unwind rows in the shape of abi/unwind_table.h, with local numbers: rows and
 * blocks count from 0, rules are this file's own dictionary. Whoever loads them into the kernel
 * adds what its pages and its dictionary ask for, in one pass. Runs only in the worker.
 */
#ifndef PARSE_UNWIND_ROWS_H
#define PARSE_UNWIND_ROWS_H

#include "abi/unwind_table.h"
#include "parse/eh_frame.h"
#include "parse/elf_image.h"

/* The blocks of one executable segment, from its first to its last FDE. */
struct unwind_range {
	uint64_t start; /* ELF virtual address, a multiple of UNWIND_BLOCK_BYTES */
	uint32_t first_block;
	uint32_t blocks_cnt;
};

struct unwind_rows {
	struct unwind_range ranges[PARSE_EXEC_MAX]; /* by address, disjoint */
	size_t ranges_cnt;
	uint32_t *blocks; /* first row of each; blocks[blocks_cnt] is rows_cnt */
	size_t blocks_cnt, blocks_cap;
	uint32_t *rows; /* whole leaf pages but for the last */
	size_t rows_cnt, rows_cap;
	struct unwind_rule *rules; /* rules[0] is UNWIND_RULE_FP_CHAIN */
	size_t rules_cnt, rules_cap;

	uint64_t fdes_cnt;
	uint64_t fdes_bad_cnt;      /* left out or cut short: hostile, or of an unknown kind */
	uint64_t fdes_overlaid_cnt; /* another one describes the same address */
	uint64_t rows_made_cnt;     /* without inherited ones and padding */
};

/*
 * PARSE_OK: release with unwind_rows__done(). PARSE_NO_CFI: nothing to unwind by but the frame
 * pointer (also: not x86-64). Else PARSE_CORRUPT or PARSE_LIMIT.
 *
 * Overlaps: an FDE holds from its start to the next one's start at most, as for every unwinder that
 * searches .eh_frame_hdr; of several with one start the first in the file holds; .debug_frame holds
 * where .eh_frame says nothing. Gaps follow the frame pointer, save those of alignment (shorter
 * than 16 bytes, up to a multiple of 16), which no pc is in: they continue the function before.
 */
enum parse_status unwind_rows__read(const struct elf_image *image, struct unwind_rows *ret);

/* The same of sections found already; text as eh_frame__read() wants it. 'entry' is the file's
 * entry point: from there to the next FDE, where it is in none, UNWIND_RULE_END holds. */
enum parse_status unwind_rows__build(const struct cfi_section *sections, size_t cnt,
				     const struct text_range *text, size_t text_cnt, uint64_t entry,
				     struct unwind_rows *ret);
void unwind_rows__done(struct unwind_rows *rows); /* safe on a zeroed one */

/* The rule of an ELF virtual address, as the kernel will find it; for tests and tools. */
struct unwind_rule unwind_rows__find(const struct unwind_rows *rows, uint64_t vaddr);

/* What the kernel maps executable of the file, sorted, without overlaps, at least one byte each;
 * there is room for PARSE_EXEC_MAX. Returns how many. */
size_t unwind_rows__text(const struct elf_image *image, struct text_range *ret);

#endif
