/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who owns which words of the block index: one run of words per file, kept in the order they lie in
 * memory. What is free are the gaps between them, so there is no free list to leak or to merge.
 * Private to unwind/.
 */
#ifndef UNWIND_BLOCK_SPACE_H
#define UNWIND_BLOCK_SPACE_H

#include <stdint.h>
#include "abi/unwind_table.h"

struct block_run {
	uint32_t first, words, file;
};

struct block_space {
	struct block_run runs[UNWIND_FILES_MAX]; /* ascending */
	uint32_t runs_cnt;
	uint32_t words, words_used; /* all there are, those in runs */
};

/* First fit. -ENOSPC: no gap is wide enough, though together they may be. */
int block_space__take(struct block_space *s, uint32_t words, uint32_t file, uint32_t *ret_first);
void block_space__put(struct block_space *s, uint32_t file);

/* Moves all runs, their contents and the files' first_block to the front: one gap remains. What a
 * walk reads changes under it. */
void block_space__compact(struct block_space *s, uint32_t *words, struct unwind_file *files);

#endif
