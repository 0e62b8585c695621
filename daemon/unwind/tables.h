/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory behind abi/unwind_table.h: pages given to files, rules to a dictionary, files thrown
 * out when memory is short. Written through mappings of the BPF arrays; the same memory serves the
 * native walk. Private to unwind/.
 */
#ifndef UNWIND_TABLES_H
#define UNWIND_TABLES_H

#include "unwind/unwind.h"

struct tables {
	struct unwind_page *leaf, *block; /* mapped, writable */
	struct unwind_file *files;
	struct unwind_rule_entry *rules;
	struct unwind_slot *slots;
	struct unwind_control *control;
	uint32_t leaf_pages, block_pages;
	struct table_space *space; /* who owns what: tables.c */
};

/* Rows of one file as the worker gives them. Hostile, and the arrays may be changing while they are
 * read: every value is read once and checked. */
struct file_rows {
	uint64_t base;          /* ELF address of block 0 */
	const uint32_t *blocks; /* blocks_cnt + 1 positions in rows */
	size_t blocks_cnt;
	const uint32_t *rows; /* pages of UNWIND_LEAF_ROWS; the last need not be whole */
	size_t rows_cnt;
	const struct unwind_rule *rules;
	size_t rules_cnt;
};

int tables__map(struct tables *t, const struct unwind_maps *maps);
void tables__unmap(struct tables *t);

/* The same over memory that is there already: pointers and page counts are set, all of it is zero.
 * The memory stays the caller's. */
int tables__init(struct tables *t);
void tables__done(struct tables *t);

/*
 * Copies the rows in and publishes them as a file. -EBADMSG: the rows contradict
 * abi/unwind_table.h; -ENOSPC: does not fit even after throwing out every file not used in this
 * epoch; -ENFILE: no file id or no rule left; -ENOMEM. Files thrown out are reported by 'on_evict',
 * inside the change that retires them, before their pages are reused. It must not add or remove.
 */
int tables__add(struct tables *t, const struct file_rows *rows, uint32_t *ret_file,
		void (*on_evict)(uint32_t file, void *ctx), void *ctx);
void tables__remove(struct tables *t, uint32_t file);

/* The rule for an ELF address of a file; NULL where the file says nothing (frame pointers). The
 * same look-up as bpf/unwind.bpf.c's; counts as a use of the file, too. */
const struct unwind_rule *tables__find(const struct tables *t, uint32_t file, uint64_t address);

/* Fills what the tables know of: files, rows, rules, pages used, evictions. */
void tables__stats(const struct tables *t, struct unwind_stats *ret);

/* Around changes that a walk in the kernel may be reading right now. They nest. */
void tables__begin_change(struct tables *t);
void tables__end_change(struct tables *t);

#endif
