/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One pass over the sorted FDEs. Rows go straight into their packed form: one is held back, because
 * the next may take its place (same address) or be no row at all (same rule). A block that would
 * straddle two leaf pages moves to the second while it is being filled.
 */
#include "parse/unwind_rows.h"

#include <elf.h>
#include <stdlib.h>
#include "base/array.h"
#include "base/cleanup.h"

#define ALIGNMENT_BYTES 16 /* of functions: what compilers align them to */

#define RULE_FP_CHAIN    0 /* index in rules */
#define RULE_UNSUPPORTED 1
#define RULE_NONE        UINT32_MAX

/* Open addressing; never more than half full. */
#define RULE_SLOTS (2 * PARSE_UNWIND_RULES_MAX)

_Static_assert((RULE_SLOTS & (RULE_SLOTS - 1)) == 0, "a mask finds a slot");
_Static_assert(PARSE_UNWIND_RULES_MAX <= 1u << 16, "a row's rule has 16 bits");

struct builder {
	struct unwind_rows *rows;
	uint16_t *slots; /* of RULE_SLOTS: index in rules + 1 */
	struct unwind_rule last_rule;
	uint32_t last_rule_idx;

	/* The range and block being filled. */
	uint64_t range_start; /* address; its blocks begin at range_block */
	size_t range_block;
	bool range_open;
	size_t block_row; /* where the last block's rows begin */

	uint64_t entry;    /* of the file: where a process begins */
	uint32_t in_force; /* rule of the last row written */
	uint64_t held_pc;
	uint32_t held_rule; /* RULE_NONE: nothing is held back */
};

/* --- rules -------------------------------------------------------------------------------------
 */
static bool rules_are_equal(const struct unwind_rule *a, const struct unwind_rule *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static uint32_t hash_rule(const struct unwind_rule *rule)
{
	uint32_t words[3];
	uint64_t hash;

	memcpy(words, rule, sizeof(words));
	hash = (words[0] | (uint64_t)words[1] << 32) ^ (uint64_t)words[2] * 0x85ebca6b;
	return (uint32_t)((hash * 0x9e3779b97f4a7c15ull) >> 40);
}

/* Index of the rule; RULE_UNSUPPORTED when the dictionary is full, RULE_NONE without memory. */
static uint32_t intern_rule(struct builder *b, const struct unwind_rule *rule)
{
	struct unwind_rows *rows = b->rows;
	uint32_t slot = hash_rule(rule) & (RULE_SLOTS - 1);

	if (rules_are_equal(rule, &b->last_rule))
		return b->last_rule_idx;
	while (b->slots[slot] && !rules_are_equal(&rows->rules[b->slots[slot] - 1u], rule))
		slot = (slot + 1) & (RULE_SLOTS - 1);
	if (!b->slots[slot]) {
		if (rows->rules_cnt == PARSE_UNWIND_RULES_MAX)
			return RULE_UNSUPPORTED;
		if (array__reserve(rows->rules, rows->rules_cap, rows->rules_cnt + 1))
			return RULE_NONE;
		rows->rules[rows->rules_cnt] = *rule;
		b->slots[slot] = (uint16_t)++rows->rules_cnt;
	}
	b->last_rule = *rule;
	b->last_rule_idx = b->slots[slot] - 1u;
	return b->last_rule_idx;
}

/* --- rows --------------------------------------------------------------------------------------
 */
/* Room for one more row that stays in the leaf page its block began in. */
static enum parse_status reserve_row(struct builder *b)
{
	struct unwind_rows *rows = b->rows;
	const size_t page = rows->rows_cnt & ~(size_t)(UNWIND_LEAF_ROWS - 1);
	size_t moved;

	if (rows->rows_cnt + UNWIND_LEAF_ROWS > PARSE_UNWIND_ROWS_MAX ||
	    array__reserve(rows->rows, rows->rows_cap, rows->rows_cnt + UNWIND_LEAF_ROWS))
		return PARSE_LIMIT;
	if (rows->rows_cnt != page || b->block_row == page)
		return PARSE_OK;
	moved = page - b->block_row;
	memcpy(rows->rows + page, rows->rows + b->block_row, moved * sizeof(*rows->rows));
	for (size_t i = b->block_row; i < page; i++)
		rows->rows[i] = UNWIND_ROW_PAD;
	b->block_row = page;
	rows->blocks[rows->blocks_cnt - 1] = (uint32_t)page;
	rows->rows_cnt = page + moved;
	return PARSE_OK;
}

static enum parse_status append_row(struct builder *b, unsigned int byte, uint32_t rule)
{
	enum parse_status status = reserve_row(b);

	if (status == PARSE_OK)
		b->rows->rows[b->rows->rows_cnt++] = UNWIND_ROW(byte, rule);
	return status;
}

/* Opens the next block, with 'rule' at its byte 0. */
static enum parse_status open_block(struct builder *b, uint32_t rule)
{
	struct unwind_rows *rows = b->rows;

	/* One entry more than there are blocks. */
	if (array__reserve(rows->blocks, rows->blocks_cap, rows->blocks_cnt + 2))
		return PARSE_LIMIT;
	b->block_row = rows->rows_cnt;
	rows->blocks[rows->blocks_cnt++] = (uint32_t)rows->rows_cnt;
	return append_row(b, 0, rule);
}

static enum parse_status write_held(struct builder *b)
{
	const uint64_t block = (b->held_pc - b->range_start) >> UNWIND_BLOCK_SHIFT;
	const unsigned int byte = b->held_pc & (UNWIND_BLOCK_BYTES - 1);
	enum parse_status status = PARSE_OK;

	if (b->held_rule == RULE_NONE || b->held_rule == b->in_force)
		return PARSE_OK;
	b->rows->rows_made_cnt++;
	while (status == PARSE_OK && b->rows->blocks_cnt - b->range_block <= block) {
		bool starts_here = b->rows->blocks_cnt - b->range_block == block && !byte;

		status = open_block(b, starts_here ? b->held_rule : b->in_force);
	}
	if (status == PARSE_OK && byte)
		status = append_row(b, byte, b->held_rule);
	b->in_force = b->held_rule;
	return status;
}

/* From pc on 'rule' holds; addresses never fall. */
static enum parse_status add_row(struct builder *b, uint64_t pc, uint32_t rule)
{
	enum parse_status status = PARSE_OK;

	if (pc != b->held_pc)
		status = write_held(b);
	b->held_pc = pc;
	b->held_rule = rule;
	return status;
}

static void begin_range(struct builder *b, uint64_t pc)
{
	b->range_start = pc & ~(uint64_t)(UNWIND_BLOCK_BYTES - 1);
	b->range_block = b->rows->blocks_cnt;
	b->range_open = true;
	b->in_force = RULE_NONE;
	b->held_pc = b->range_start;
	b->held_rule = RULE_FP_CHAIN;
}

/* Ends the range before 'end'; what remains of its last block follows the frame pointer. */
static enum parse_status end_range(struct builder *b, uint64_t end)
{
	struct unwind_rows *rows = b->rows;
	enum parse_status status = PARSE_OK;
	uint64_t last;

	if (!b->range_open)
		return PARSE_OK;
	b->range_open = false;
	status = add_row(b, end, RULE_FP_CHAIN);
	if (status == PARSE_OK && (end & (UNWIND_BLOCK_BYTES - 1)))
		status = write_held(b);
	last = (end - 1 - b->range_start) >> UNWIND_BLOCK_SHIFT;
	while (status == PARSE_OK && rows->blocks_cnt - b->range_block <= last)
		status = open_block(b, b->in_force);
	rows->ranges[rows->ranges_cnt++] = (struct unwind_range){
		.start = b->range_start,
		.first_block = (uint32_t)b->range_block,
		.blocks_cnt = (uint32_t)(rows->blocks_cnt - b->range_block),
	};
	return status;
}

/* --- FDEs --------------------------------------------------------------------------------------
 */
static enum parse_status add_fde(struct builder *b, struct cfa_program *program,
				 const struct cfi_fde *fde, uint64_t end)
{
	enum parse_status status = PARSE_OK;
	struct unwind_rule rule;
	uint64_t pc;

	cfa_program__start(program, &fde->cie->context, fde->instructions, fde->bytes, fde->start,
			   end);
	while (status == PARSE_OK && cfa_program__next(program, &pc, &rule)) {
		uint32_t idx = intern_rule(b, &rule);

		status = idx == RULE_NONE ? PARSE_LIMIT : add_row(b, pc, idx);
	}
	b->rows->fdes_cnt++;
	b->rows->fdes_bad_cnt += program->failed;
	return status;
}

/* Decodes the first good FDE from *idx on, and moves *idx behind it. */
static bool next_fde(struct builder *b, const struct eh_frame *frames, size_t *idx,
		     struct cfi_fde *ret)
{
	while (*idx < frames->entries_cnt) {
		if (eh_frame__get(frames, (*idx)++, ret))
			return true;
		b->rows->fdes_bad_cnt++;
	}
	return false;
}

/* The FDE that follows 'fde' where they overlap as they may; false: there is none. */
static bool next_visible_fde(struct builder *b, const struct eh_frame *frames, size_t *idx,
			     const struct cfi_fde *fde, struct cfi_fde *ret)
{
	while (next_fde(b, frames, idx, ret)) {
		if (ret->start != fde->start &&
		    (!ret->is_debug_frame || fde->is_debug_frame || ret->start >= fde->end))
			return true;
		b->rows->fdes_overlaid_cnt++;
	}
	return false;
}

static const struct text_range *text_at(const struct text_range *text, uint64_t address)
{
	while (address >= text->end)
		text++;
	return text;
}

static bool is_alignment(uint64_t from, uint64_t to)
{
	return to - from < ALIGNMENT_BYTES && to % ALIGNMENT_BYTES == 0;
}

/*
 * Between FDEs. The entry point of ld.so, and of C libraries whose start-up code has no call frame
 * information, lies in such a gap: up to the next FDE nobody called, the stack is complete.
 */
static enum parse_status add_gap(struct builder *b, uint64_t from, uint64_t to)
{
	static const struct unwind_rule end = { .kind = UNWIND_RULE_END };
	enum parse_status status = PARSE_OK;
	uint32_t rule;

	if (b->entry < from || b->entry >= to)
		return from == to || is_alignment(from, to) ? PARSE_OK
							    : add_row(b, from, RULE_FP_CHAIN);
	rule = intern_rule(b, &end);
	if (rule == RULE_NONE)
		return PARSE_LIMIT;
	if (b->entry > from)
		status = add_row(b, from, RULE_FP_CHAIN);
	return status == PARSE_OK ? add_row(b, b->entry, rule) : status;
}

static enum parse_status add_fdes(struct builder *b, const struct eh_frame *frames,
				  const struct text_range *text)
{
	enum parse_status status = PARSE_OK;
	struct cfa_program program;
	struct cfi_fde fde, next = { .start = 0 };
	size_t idx = 0;
	bool more;

	for (more = next_fde(b, frames, &idx, &fde); more && status == PARSE_OK; fde = next) {
		uint64_t end;

		text = text_at(text, fde.start);
		end = fde.end < text->end ? fde.end : text->end;
		more = next_visible_fde(b, frames, &idx, &fde, &next);
		if (more && next.start < end)
			end = next.start;
		if (!b->range_open) {
			uint64_t first = fde.start;

			if (b->entry >= text->start && b->entry < first)
				first = b->entry;
			begin_range(b, first);
			status = add_gap(b, first, fde.start);
		}
		if (status == PARSE_OK)
			status = add_fde(b, &program, &fde, end);
		if (status != PARSE_OK)
			break;
		if (!more || next.start >= text->end)
			status = end_range(b, end);
		else
			status = add_gap(b, end, next.start);
	}
	return status;
}

static int compare_text(const void *a, const void *b)
{
	const struct text_range *ta = a, *tb = b;

	return (ta->start > tb->start) - (ta->start < tb->start);
}

size_t unwind_rows__text(const struct elf_image *image, struct text_range *ret)
{
	size_t cnt = 0;

	for (size_t i = 0; i < image->segments_cnt; i++) {
		const struct elf_segment *s = &image->segments[i];

		ret[i] = (struct text_range){ .start = s->vaddr,
					      .end = s->vaddr + (s->file_end - s->offset) };
		if (ret[i].end < ret[i].start || ret[i].end > s->limit)
			ret[i].end = s->limit;
	}
	qsort(ret, image->segments_cnt, sizeof(*ret), compare_text);
	for (size_t i = 0; i < image->segments_cnt; i++) {
		struct text_range t = ret[i];

		if (cnt && t.start < ret[cnt - 1].end)
			t.start = ret[cnt - 1].end;
		if (t.start < t.end)
			ret[cnt++] = t;
	}
	return cnt;
}

static enum parse_status build(struct unwind_rows *rows, const struct eh_frame *frames,
			       const struct text_range *text, uint64_t entry)
{
	static const struct unwind_rule first_rules[] = {
		[RULE_FP_CHAIN] = { .kind = UNWIND_RULE_FP_CHAIN },
		[RULE_UNSUPPORTED] = { .kind = UNWIND_RULE_UNSUPPORTED },
	};
	_cleanup_free_ uint16_t *slots = calloc(RULE_SLOTS, sizeof(*slots));
	struct builder b = { .rows = rows, .slots = slots, .entry = entry };
	enum parse_status status;

	if (!slots)
		return PARSE_LIMIT;
	/* Makes the memo of the last rule differ from the first one looked up. */
	b.last_rule.kind = UNWIND_RULE_KIND_CNT;
	for (uint32_t i = 0; i < ARRAY_SIZE(first_rules); i++)
		if (intern_rule(&b, &first_rules[i]) != i)
			return PARSE_LIMIT;
	status = add_fdes(&b, frames, text);
	if (status != PARSE_OK)
		return status;
	if (!rows->blocks_cnt)
		return PARSE_NO_CFI;
	rows->blocks[rows->blocks_cnt] = (uint32_t)rows->rows_cnt;
	return PARSE_OK;
}

enum parse_status unwind_rows__build(const struct cfi_section *sections, size_t cnt,
				     const struct text_range *text, size_t text_cnt, uint64_t entry,
				     struct unwind_rows *ret)
{
	struct unwind_rows rows = { .blocks = NULL };
	enum parse_status status;
	struct eh_frame frames;

	status = eh_frame__read(sections, cnt, text, text_cnt, &frames);
	if (status != PARSE_OK)
		return status;
	rows.fdes_bad_cnt = frames.bad_cnt;
	status = frames.entries_cnt ? build(&rows, &frames, text, entry) : PARSE_NO_CFI;
	eh_frame__done(&frames);
	if (status == PARSE_OK)
		*ret = rows;
	else
		unwind_rows__done(&rows);
	return status;
}

enum parse_status unwind_rows__read(const struct elf_image *image, struct unwind_rows *ret)
{
	struct text_range text[PARSE_EXEC_MAX];
	struct cfi_sections sections;
	enum parse_status status;

	if (image->class != ELFCLASS64 || image->machine != EM_X86_64)
		return PARSE_NO_CFI;
	status = cfi_sections__find(image, &sections);
	if (status != PARSE_OK)
		return status;
	status = unwind_rows__build(sections.items, sections.cnt, text,
				    unwind_rows__text(image, text), image->entry, ret);
	cfi_sections__done(&sections);
	return status;
}

void unwind_rows__done(struct unwind_rows *rows)
{
	free(rows->blocks);
	free(rows->rows);
	free(rows->rules);
	*rows = (struct unwind_rows){ .blocks = NULL };
}

static const struct unwind_range *find_range(const struct unwind_rows *rows, uint64_t vaddr)
{
	for (size_t i = 0; i < rows->ranges_cnt; i++) {
		const struct unwind_range *range = &rows->ranges[i];

		if (vaddr >= range->start &&
		    (vaddr - range->start) >> UNWIND_BLOCK_SHIFT < range->blocks_cnt)
			return range;
	}
	return NULL;
}

struct unwind_rule unwind_rows__find(const struct unwind_rows *rows, uint64_t vaddr)
{
	const uint32_t key = UNWIND_ROW(vaddr & (UNWIND_BLOCK_BYTES - 1), 0xffff);
	const struct unwind_range *range = find_range(rows, vaddr);
	uint32_t first, next, cnt;
	size_t block;

	if (!range)
		return (struct unwind_rule){ .kind = UNWIND_RULE_FP_CHAIN };
	block = range->first_block + ((vaddr - range->start) >> UNWIND_BLOCK_SHIFT);
	first = rows->blocks[block];
	next = rows->blocks[block + 1];
	cnt = first >> UNWIND_LEAF_SHIFT == next >> UNWIND_LEAF_SHIFT
		      ? next - first
		      : UNWIND_LEAF_ROWS - (first & (UNWIND_LEAF_ROWS - 1));
	while (cnt > 1) {
		uint32_t half = cnt / 2;

		if (rows->rows[first + half] <= key)
			first += half;
		cnt -= half;
	}
	return rows->rules[UNWIND_ROW_RULE(rows->rows[first])];
}
