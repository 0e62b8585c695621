/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See block_space.h. Linear in the number of files, of which there are at most a few thousand, and
 * called when a file comes or goes.
 */
#include "unwind/block_space.h"

#include <errno.h>
#include <string.h>

static void insert_run(struct block_space *s, uint32_t idx, struct block_run run)
{
	memmove(&s->runs[idx + 1], &s->runs[idx], (s->runs_cnt - idx) * sizeof(*s->runs));
	s->runs[idx] = run;
	s->runs_cnt++;
	s->words_used += run.words;
}

int block_space__take(struct block_space *s, uint32_t words, uint32_t file, uint32_t *ret_first)
{
	uint32_t first = 0;

	if (s->runs_cnt == UNWIND_FILES_MAX)
		return -ENOSPC;
	for (uint32_t i = 0; i <= s->runs_cnt; i++) {
		uint32_t end = i < s->runs_cnt ? s->runs[i].first : s->words;

		if (end - first >= words) {
			insert_run(s, i, (struct block_run){ first, words, file });
			*ret_first = first;
			return 0;
		}
		if (i < s->runs_cnt)
			first = s->runs[i].first + s->runs[i].words;
	}
	return -ENOSPC;
}

void block_space__put(struct block_space *s, uint32_t file)
{
	for (uint32_t i = 0; i < s->runs_cnt; i++) {
		if (s->runs[i].file != file)
			continue;
		s->words_used -= s->runs[i].words;
		s->runs_cnt--;
		memmove(&s->runs[i], &s->runs[i + 1], (s->runs_cnt - i) * sizeof(*s->runs));
		return;
	}
}

void block_space__compact(struct block_space *s, uint32_t *words, struct unwind_file *files)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < s->runs_cnt; i++) {
		struct block_run *run = &s->runs[i];

		memmove(words + at, words + run->first, run->words * sizeof(*words));
		run->first = at;
		files[run->file].first_block = at;
		at += run->words;
	}
}
