/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who owns what in the tables, and in which order it becomes visible. A file's rows are written to
 * pages nobody reads, then its blocks, then its number of blocks; a file is thrown out by setting
 * that to 0 inside a change of generation, after which a walk that still reads its pages finds out
 * at its end. Pages, words and rules may be used again at once for that reason.
 */
#include "unwind/tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "unwind/block_space.h"
#include "unwind/rows_copy.h"
#include "unwind/rule_dictionary.h"

_Static_assert(sizeof(struct unwind_page) == UNWIND_PAGE_WORDS * sizeof(uint32_t), "no padding");
_Static_assert(sizeof(struct unwind_page) % 8 == 0 && sizeof(struct unwind_file) % 8 == 0 &&
		       sizeof(struct unwind_rule_entry) % 8 == 0 &&
		       sizeof(struct unwind_slot) % 8 == 0 &&
		       sizeof(struct unwind_control) % 8 == 0,
	       "the kernel's stride is the size");
_Static_assert(UNWIND_LEAF_ROWS == UNWIND_PAGE_WORDS, "one word is one row");

/* A position (page, row) is 32 bits, the highest page is none (rows_copy.c). */
#define LEAF_PAGES_MAX  (1u << (31 - UNWIND_LEAF_SHIFT))
#define BLOCK_PAGES_MAX (1u << 20)

/* What one file owns besides its run of block words. */
struct owned {
	uint32_t *pages; /* of leaf */
	uint32_t pages_cnt;
	uint16_t *rules; /* one use each; by the file's own index */
	uint32_t rules_cnt;
	uint32_t rows_cnt; /* padding between blocks included */
};

struct table_space {
	struct rule_dictionary dictionary;
	struct block_space blocks;
	struct owned files[UNWIND_FILES_MAX];
	uint32_t free_files[UNWIND_FILES_MAX], free_files_cnt;
	uint32_t *free_pages, free_pages_cnt; /* of leaf */
	uint32_t change_depth;
	uint64_t rows_cnt, evictions;
};

struct evictor {
	void (*report)(uint32_t file, void *ctx);
	void *ctx;
};

/* --- the life of the memory --------------------------------------------------------------------
 */
int tables__init(struct tables *t)
{
	struct table_space *s;

	if (t->leaf_pages > LEAF_PAGES_MAX || t->block_pages > BLOCK_PAGES_MAX)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->free_pages = calloc(t->leaf_pages, sizeof(*s->free_pages));
	if (!s->free_pages) {
		free(s);
		return -ENOMEM;
	}
	/* Taken from the end: low numbers first, so that what was never used stays untouched. */
	while (s->free_pages_cnt < t->leaf_pages) {
		s->free_pages[s->free_pages_cnt] = t->leaf_pages - 1 - s->free_pages_cnt;
		s->free_pages_cnt++;
	}
	while (s->free_files_cnt < UNWIND_FILES_MAX) {
		s->free_files[s->free_files_cnt] = UNWIND_FILES_MAX - 1 - s->free_files_cnt;
		s->free_files_cnt++;
	}
	s->blocks.words = t->block_pages * UNWIND_PAGE_WORDS;
	rule_dictionary__init(&s->dictionary, t->rules);
	t->space = s;
	return 0;
}

void tables__done(struct tables *t)
{
	struct table_space *s = t->space;

	for (uint32_t i = 0; s && i < UNWIND_FILES_MAX; i++) {
		free(s->files[i].pages);
		free(s->files[i].rules);
	}
	if (s)
		free(s->free_pages);
	free(s);
	t->space = NULL;
}

static int map_array(void **ret, int fd, size_t elements_cnt, size_t element_bytes)
{
	void *p =
		mmap(NULL, elements_cnt * element_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	return 0;
}

#define map_elements(ret, fd, cnt) map_array((void **)(ret), fd, cnt, sizeof(**(ret)))

int tables__map(struct tables *t, const struct unwind_maps *maps)
{
	int err;

	*t = (struct tables){ .leaf_pages = maps->leaf_pages, .block_pages = maps->block_pages };
	err = map_elements(&t->leaf, maps->leaf, t->leaf_pages);
	if (!err)
		err = map_elements(&t->block, maps->block, t->block_pages);
	if (!err)
		err = map_elements(&t->files, maps->files, UNWIND_FILES_MAX);
	if (!err)
		err = map_elements(&t->rules, maps->rules, UNWIND_RULES_MAX);
	if (!err)
		err = map_elements(&t->slots, maps->slots, UNWIND_SLOTS);
	if (!err)
		err = map_elements(&t->control, maps->control, 1);
	if (!err)
		err = tables__init(t);
	if (err)
		tables__unmap(t);
	return err;
}

static void unmap_array(void *p, size_t elements_cnt, size_t element_bytes)
{
	if (p)
		munmap(p, elements_cnt * element_bytes);
}

#define unmap_elements(p, cnt) unmap_array(p, cnt, sizeof(*(p)))

void tables__unmap(struct tables *t)
{
	tables__done(t);
	unmap_elements(t->leaf, t->leaf_pages);
	unmap_elements(t->block, t->block_pages);
	unmap_elements(t->files, UNWIND_FILES_MAX);
	unmap_elements(t->rules, UNWIND_RULES_MAX);
	unmap_elements(t->slots, UNWIND_SLOTS);
	unmap_elements(t->control, 1);
	*t = (struct tables){ .leaf = NULL };
}

/* --- changes -----------------------------------------------------------------------------------
 */
void tables__begin_change(struct tables *t)
{
	uint64_t *generation = (uint64_t *)&t->control->generation;

	if (t->space->change_depth++)
		return;
	__atomic_store_n(generation, *generation + 1, __ATOMIC_RELAXED);
	/* No change may be seen before the odd number is. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void tables__end_change(struct tables *t)
{
	uint64_t *generation = (uint64_t *)&t->control->generation;

	if (--t->space->change_depth)
		return;
	__atomic_store_n(generation, *generation + 1, __ATOMIC_RELEASE);
	/* What is written from now on (to what the change set free) comes behind it. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* --- throwing out ------------------------------------------------------------------------------
 */
static void release_file(struct table_space *s, uint32_t file)
{
	struct owned *o = &s->files[file];

	for (uint32_t i = 0; i < o->pages_cnt; i++)
		s->free_pages[s->free_pages_cnt++] = o->pages[i];
	for (uint32_t i = 0; i < o->rules_cnt; i++)
		rule_dictionary__put(&s->dictionary, o->rules[i]);
	s->rows_cnt -= o->rows_cnt;
	free(o->pages);
	free(o->rules);
	*o = (struct owned){ .pages = NULL };
	block_space__put(&s->blocks, file);
	s->free_files[s->free_files_cnt++] = file;
}

static void retire(struct tables *t, uint32_t file, const struct evictor *evictor)
{
	tables__begin_change(t);
	__atomic_store_n(&t->files[file].block_cnt, 0, __ATOMIC_RELAXED);
	if (evictor->report)
		evictor->report(file, evictor->ctx);
	tables__end_change(t);
	release_file(t->space, file);
}

void tables__remove(struct tables *t, uint32_t file)
{
	if (file < UNWIND_FILES_MAX && t->files[file].block_cnt)
		retire(t, file, &(struct evictor){ .report = NULL });
}

/* Epochs since a walk came by; the programs write it while it is read. */
static uint32_t age_of(const struct tables *t, uint32_t file)
{
	int32_t age = (int32_t)(t->control->epoch -
				__atomic_load_n(&t->files[file].epoch, __ATOMIC_RELAXED));

	return age > 0 ? (uint32_t)age : 0;
}

static bool evict_oldest(struct tables *t, const struct evictor *evictor)
{
	uint32_t oldest = 0, oldest_age = 0;

	for (uint32_t i = 0; i < UNWIND_FILES_MAX; i++) {
		if (t->files[i].block_cnt && age_of(t, i) > oldest_age) {
			oldest = i;
			oldest_age = age_of(t, i);
		}
	}
	if (!oldest_age)
		return false;
	t->space->evictions++;
	retire(t, oldest, evictor);
	return true;
}

/* Whether so much could be had by throwing out what is old; nothing is where it would not help. */
static bool may_fit(const struct tables *t, uint32_t pages, uint32_t words)
{
	const struct table_space *s = t->space;
	uint64_t pages_free = s->free_pages_cnt,
		 words_free = s->blocks.words - s->blocks.words_used;

	for (uint32_t i = 0; i < UNWIND_FILES_MAX; i++) {
		if (!t->files[i].block_cnt || !age_of(t, i))
			continue;
		pages_free += s->files[i].pages_cnt;
		words_free += t->files[i].block_cnt + 1;
	}
	return pages_free >= pages && words_free >= words;
}

/* --- adding ------------------------------------------------------------------------------------
 */
/* A place and memory for one file; what it has got so far is in *o. */
static int take_space(struct tables *t, uint32_t file, uint32_t pages, uint32_t words,
		      const struct evictor *evictor, struct owned *o, uint32_t *ret_first_block)
{
	struct table_space *s = t->space;

	if (!may_fit(t, pages, words))
		return -ENOSPC;
	while (s->free_pages_cnt < pages || s->blocks.words - s->blocks.words_used < words)
		if (!evict_oldest(t, evictor))
			return -ENOSPC;
	if (block_space__take(&s->blocks, words, file, ret_first_block)) {
		tables__begin_change(t);
		block_space__compact(&s->blocks, t->block->words, t->files);
		tables__end_change(t);
		if (block_space__take(&s->blocks, words, file, ret_first_block))
			return -ENOSPC;
	}
	while (o->pages_cnt < pages)
		o->pages[o->pages_cnt++] = s->free_pages[--s->free_pages_cnt];
	return 0;
}

static int take_rules(struct tables *t, const struct file_rows *rows, const struct evictor *evictor,
		      struct owned *o)
{
	for (size_t i = 0; i < rows->rules_cnt; i++) {
		struct unwind_rule rule;
		int idx;

		/* A copy is what is checked and what is kept. */
		memcpy(&rule, &rows->rules[i], sizeof(rule));
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		if (!rows_copy__rule_is_valid(&rule))
			return -EBADMSG;
		do
			idx = rule_dictionary__take(&t->space->dictionary, &rule);
		while (idx < 0 && evict_oldest(t, evictor));
		if (idx < 0)
			return idx;
		o->rules[o->rules_cnt++] = (uint16_t)idx;
	}
	return 0;
}

static void publish(struct tables *t, uint32_t file, uint64_t base, uint32_t first_block,
		    uint32_t block_cnt)
{
	struct unwind_file *f = &t->files[file];

	f->base = base;
	f->first_block = first_block;
	__atomic_store_n(&f->epoch, t->control->epoch, __ATOMIC_RELAXED);
	__atomic_store_n(&f->block_cnt, block_cnt, __ATOMIC_RELEASE);
}

static int fill_file(struct tables *t, const struct file_rows *rows, uint32_t file,
		     const struct evictor *evictor, struct owned *o)
{
	const uint32_t words = (uint32_t)rows->blocks_cnt + 1;
	struct rows_target target = { .rules = NULL };
	uint32_t rows_cnt, pages, first_block;
	int err;

	err = rows_copy__rows_cnt(rows, &rows_cnt);
	if (err)
		return err;
	pages = (rows_cnt - 1) / UNWIND_LEAF_ROWS + 1;
	if (pages > t->leaf_pages)
		return -ENOSPC;
	o->pages = calloc(pages, sizeof(*o->pages));
	o->rules = calloc(rows->rules_cnt, sizeof(*o->rules));
	if (!o->pages || !o->rules)
		return -ENOMEM;
	err = take_rules(t, rows, evictor, o);
	if (!err)
		err = take_space(t, file, pages, words, evictor, o, &first_block);
	if (err)
		return err;
	target = (struct rows_target){
		.rules = o->rules,
		.leaf = t->leaf,
		.pages = o->pages,
		.rows_cnt = rows_cnt,
		.blocks = t->block->words + first_block,
	};
	err = rows_copy__run(rows, &target);
	if (err)
		return err;
	o->rows_cnt = rows_cnt;
	t->space->rows_cnt += rows_cnt;
	publish(t, file, rows->base, first_block, (uint32_t)rows->blocks_cnt);
	return 0;
}

int tables__add(struct tables *t, const struct file_rows *rows, uint32_t *ret_file,
		void (*on_evict)(uint32_t file, void *ctx), void *ctx)
{
	const struct evictor evictor = { .report = on_evict, .ctx = ctx };
	struct table_space *s = t->space;
	uint32_t file;
	int err;

	if (!rows->blocks_cnt || !rows->rows_cnt || !rows->rules_cnt ||
	    rows->rules_cnt > UNWIND_RULES_MAX || rows->base % UNWIND_BLOCK_BYTES ||
	    rows->blocks_cnt > (UINT64_MAX - rows->base) / UNWIND_BLOCK_BYTES)
		return -EBADMSG;
	if (rows->blocks_cnt >= s->blocks.words)
		return -ENOSPC;
	while (!s->free_files_cnt)
		if (!evict_oldest(t, &evictor))
			return -ENFILE;
	file = s->free_files[--s->free_files_cnt];
	err = fill_file(t, rows, file, &evictor, &s->files[file]);
	if (err) {
		release_file(s, file);
		return err;
	}
	*ret_file = file;
	return 0;
}

/* --- reading -----------------------------------------------------------------------------------
 */
const struct unwind_rule *tables__find(const struct tables *t, uint32_t file, uint64_t address)
{
	const uint32_t key = UNWIND_ROW(address & (UNWIND_BLOCK_BYTES - 1), 0xffff);
	uint32_t first, next, row, cnt;
	struct unwind_file *f;
	const uint32_t *rows;
	uint64_t block, entry;

	/* Bounded as bpf/unwind.bpf.c is: a reader beside a change sees halves of two tables, and
	 * must live to notice that the generation is another. */
	if (file >= UNWIND_FILES_MAX)
		return NULL;
	f = &t->files[file];
	block = (address - f->base) >> UNWIND_BLOCK_SHIFT;
	if (address < f->base || block >= f->block_cnt)
		return NULL;
	__atomic_store_n(&f->epoch, t->control->epoch, __ATOMIC_RELAXED);
	entry = f->first_block + block;
	if (entry + 1 >= (uint64_t)t->block_pages * UNWIND_PAGE_WORDS)
		return NULL;
	first = t->block->words[entry];
	next = t->block->words[entry + 1];
	if (first >> UNWIND_LEAF_SHIFT >= t->leaf_pages)
		return NULL;
	rows = t->leaf[first >> UNWIND_LEAF_SHIFT].words;
	row = first & (UNWIND_LEAF_ROWS - 1);
	cnt = first >> UNWIND_LEAF_SHIFT == next >> UNWIND_LEAF_SHIFT ? next - first
								      : UNWIND_LEAF_ROWS - row;
	while (cnt > 1) {
		uint32_t half = cnt / 2;

		if (rows[(row + half) & (UNWIND_LEAF_ROWS - 1)] <= key)
			row += half;
		cnt -= half;
	}
	first = UNWIND_ROW_RULE(rows[row & (UNWIND_LEAF_ROWS - 1)]);
	return first < UNWIND_RULES_MAX ? &t->rules[first].rule : NULL;
}

void tables__stats(const struct tables *t, struct unwind_stats *ret)
{
	const struct table_space *s = t->space;

	ret->files = UNWIND_FILES_MAX - s->free_files_cnt;
	ret->rows = s->rows_cnt;
	ret->rules = s->dictionary.cnt;
	ret->leaf_pages_used = t->leaf_pages - s->free_pages_cnt;
	ret->block_pages_used = (s->blocks.words_used + UNWIND_PAGE_WORDS - 1) / UNWIND_PAGE_WORDS;
	ret->evictions = s->evictions;
}
