/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rules and rows, registers and stack bytes that nobody vouches for → the tables and the walk. Two
 * walkers: native_walk() over a copy of the stack, and here a bare loop around abi/unwind_step.h as
 * in bpf/unwind.bpf.c, whose reads fail wherever the input says. Whatever comes in: the walk ends,
 * stays inside the copy, says one of the outcomes it may, and climbs.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "unwind/native_walk.h"

#define CODE       0x0000555555554000ULL
#define CODE_BIAS  0x0000555555550000ULL
#define JIT        0x00007f0000000000ULL
#define JIT_BYTES  0x1000
#define BLOCKS_MAX 8
#define ROWS_MAX   2048
#define RULES_MAX  32
#define WORDS_MAX  512

#define REQUIRE(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- the bare loop -----------------------------------------------------------------------------
 */
struct unwind_context {
	const uint8_t *bytes;
	uint64_t start, bytes_cnt;
	uint64_t faults; /* word w of memory is there if bit w % 64 is not set */
};

static int unwind_load(struct unwind_context *c, __u64 address, __u64 *ret)
{
	uint64_t offset = address - c->start;

	if (address < c->start || offset > c->bytes_cnt || c->bytes_cnt - offset < sizeof(*ret) ||
	    c->faults >> (address / 8 % 64) & 1)
		return -1;
	memcpy(ret, c->bytes + offset, sizeof(*ret));
	return 0;
}

#include "abi/unwind_step.h"

/* What the fuzzer's bytes were made into. */
struct input {
	const uint8_t *at;
	size_t left;

	uint8_t flags;
	struct unwind_rule rules[RULES_MAX];
	uint32_t blocks[BLOCKS_MAX + 1], rows[ROWS_MAX];
	struct file_rows file;
	uint64_t regs[UNWIND_REG_CNT + 1];
	uint64_t faults;
	size_t below_bytes, stack_bytes, frames_max;
	uint8_t *stack; /* exactly stack_bytes */
};

enum input_flags {
	ROWS_RAW = 1,   /* rows, blocks and rules as they come, else such as the tables accept */
	STACK_HIGH = 2, /* near the end of the address space */
	STACK_LOW = 4,
};

static void take(struct input *in, void *ret, size_t bytes)
{
	size_t got = bytes < in->left ? bytes : in->left;

	memset(ret, 0, bytes);
	memcpy(ret, in->at, got);
	in->at += got;
	in->left -= got;
}

static uint8_t take_u8(struct input *in)
{
	uint8_t byte;

	take(in, &byte, sizeof(byte));
	return byte;
}

static uint64_t stack_base(const struct input *in)
{
	return in->flags & STACK_HIGH  ? 0 - 0x10000ULL
	       : in->flags & STACK_LOW ? 0x1000
				       : 0x00007ffc00000000ULL;
}

/* Random words hardly ever point anywhere: some are turned into addresses of what there is. */
static uint64_t take_word(struct input *in)
{
	uint64_t word;

	take(in, &word, sizeof(word));
	switch (word >> 56) {
	case 0xc0:
		return CODE + (word & 0x1fff);
	case 0xc1:
		return JIT + (word & (JIT_BYTES - 1));
	case 0x5a:
		return stack_base(in) + (word & 0xfff);
	default:
		return word;
	}
}

static uint8_t valid_kind(uint8_t kind, uint8_t plain_cnt)
{
	return kind & 0x80 ? UNWIND_IN_REGISTER + kind % UNWIND_REG_CNT : kind % plain_cnt;
}

static void take_rules(struct input *in, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++) {
		struct unwind_rule *r = &in->rules[i];

		take(in, r, sizeof(*r));
		if (in->flags & ROWS_RAW)
			continue;
		r->kind %= UNWIND_RULE_KIND_CNT;
		r->arg %= UNWIND_REG_CNT;
		r->fp_kind = valid_kind(r->fp_kind, UNWIND_FP_UNDEFINED + 1);
		r->ra_kind = valid_kind(r->ra_kind, 1);
	}
	in->file.rules = in->rules;
	in->file.rules_cnt = cnt;
}

/* One row at byte 0 of each block, then as many as the input wants. */
static void make_rows(struct input *in)
{
	size_t cnt = 0;

	for (size_t b = 0; b < in->file.blocks_cnt; b++) {
		uint32_t byte = 0;

		in->blocks[b] = (uint32_t)cnt;
		for (uint8_t more = take_u8(in) % 16; byte < UNWIND_BLOCK_BYTES; more--) {
			in->rows[cnt++] =
				UNWIND_ROW(byte, take_u8(in) % (uint32_t)in->file.rules_cnt);
			if (!more)
				break;
			byte += 1u + take_u8(in);
		}
	}
	in->blocks[in->file.blocks_cnt] = (uint32_t)cnt;
	in->file.rows_cnt = cnt;
}

static void take_rows(struct input *in)
{
	in->file.base = CODE - CODE_BIAS;
	in->file.blocks_cnt = 1 + take_u8(in) % BLOCKS_MAX;
	in->file.blocks = in->blocks;
	in->file.rows = in->rows;
	if (!(in->flags & ROWS_RAW)) {
		make_rows(in);
		return;
	}
	take(in, &in->file.base, sizeof(in->file.base));
	for (size_t i = 0; i <= in->file.blocks_cnt; i++)
		take(in, &in->blocks[i], 2);
	in->file.rows_cnt = take_u8(in) * 8u;
	take(in, in->rows, in->file.rows_cnt * sizeof(*in->rows));
}

/* False: no memory. */
static bool read_input(struct input *in, const uint8_t *data, size_t size)
{
	size_t words;

	*in = (struct input){ .at = data, .left = size };
	in->flags = take_u8(in);
	take(in, &in->faults, sizeof(in->faults));
	in->frames_max = 1 + take_u8(in) * 2u;
	in->below_bytes = take_u8(in);
	take_rules(in, 1 + take_u8(in) % RULES_MAX);
	take_rows(in);
	for (size_t i = 0; i <= UNWIND_REG_CNT; i++)
		in->regs[i] = take_word(in);
	words = in->left / sizeof(uint64_t);
	if (words > WORDS_MAX)
		words = WORDS_MAX;
	in->stack_bytes = words * sizeof(uint64_t) + in->left % sizeof(uint64_t);
	in->stack = malloc(in->stack_bytes ?: 1);
	if (!in->stack)
		return false;
	memset(in->stack, 0x11, in->stack_bytes);
	for (size_t i = 0; i < words; i++) {
		uint64_t word = take_word(in);

		memcpy(in->stack + i * sizeof(word), &word, sizeof(word));
	}
	if (in->below_bytes > in->stack_bytes)
		in->below_bytes = in->stack_bytes;
	return true;
}

/* --- what must hold ----------------------------------------------------------------------------
 */
static bool is_step_outcome(int outcome)
{
	return outcome == UNWIND_END || outcome == UNWIND_FP_ZERO || outcome == UNWIND_FP_INVALID ||
	       outcome == UNWIND_UNREADABLE || outcome == UNWIND_UNSUPPORTED ||
	       outcome == UNWIND_BAD_CFA;
}

static bool find_code(uint64_t address, struct walk_code *ret, void *ctx)
{
	if (address >= CODE && address < CODE + BLOCKS_MAX * UNWIND_BLOCK_BYTES)
		*ret = (struct walk_code){ .file = *(uint32_t *)ctx, .bias = CODE_BIAS };
	else if (address >= JIT && address < JIT + JIT_BYTES)
		*ret = (struct walk_code){ .file = UNWIND_FILE_CHAIN };
	else
		return false;
	return true;
}

static void check_step(const struct unwind_frame *before, const struct unwind_frame *f,
		       const struct unwind_rule *r, int outcome)
{
	const bool is_signal = r && r->kind == UNWIND_RULE_SIGNAL;

	if (outcome != UNWIND_CONTINUE) {
		REQUIRE(is_step_outcome(outcome));
		REQUIRE(!memcmp(before, f, sizeof(*f)));
		return;
	}
	REQUIRE(f->pc && !f->has_regs);
	REQUIRE(!!f->exact == is_signal);
	/* Only a signal leads to another stack; nothing else may keep a walk going in circles. */
	if (!is_signal)
		REQUIRE(f->sp > before->sp || (f->sp == before->sp && before->has_regs &&
					       r->ra_kind >= UNWIND_IN_REGISTER));
}

static int step(struct unwind_context *c, const struct input *in, struct unwind_frame *f,
		const struct unwind_rule *r)
{
	if (!r)
		return unwind_step_chain(c, f);
	return unwind_step(c, f, r, in->regs[r->arg % UNWIND_REG_CNT],
			   in->regs[(uint8_t)(r->fp_kind - UNWIND_IN_REGISTER) % UNWIND_REG_CNT],
			   in->regs[(uint8_t)(r->ra_kind - UNWIND_IN_REGISTER) % UNWIND_REG_CNT]);
}

static void walk_bare(const struct tables *t, const struct input *in, uint32_t file)
{
	struct unwind_context c = {
		.bytes = in->stack,
		.start = stack_base(in),
		.bytes_cnt = in->stack_bytes,
		.faults = in->faults,
	};
	struct unwind_frame f = {
		.pc = in->regs[UNWIND_REG_RA],
		.sp = in->regs[UNWIND_REG_SP],
		.fp = in->regs[UNWIND_REG_FP],
		.exact = 1,
		.has_regs = 1,
	};
	int outcome = UNWIND_CONTINUE;

	for (unsigned int depth = 0; depth < MAX_USER_FRAMES && outcome == UNWIND_CONTINUE;
	     depth++) {
		const struct unwind_frame before = f;
		const struct unwind_rule *r = NULL;
		struct walk_code code;
		uint64_t address = f.pc - !f.exact;

		if (!find_code(address, &code, &file))
			break;
		if (code.file != UNWIND_FILE_CHAIN)
			r = tables__find(t, code.file, address - code.bias);
		outcome = step(&c, in, &f, r);
		check_step(&before, &f, r, outcome);
	}
}

static size_t walk_copy(const struct tables *t, const struct input *in, uint32_t file,
			uint64_t *frames, enum unwind_outcome *ret_outcome)
{
	const struct unwind_input copy = {
		.regs = in->regs,
		.stack = in->stack,
		.stack_bytes = in->stack_bytes,
		.below_bytes = in->below_bytes,
		.skipped_bytes = in->faults >> 60 << 3,
	};

	return native_walk(t, &copy, find_code, &file, frames, in->frames_max, ret_outcome, NULL);
}

static void check_walk(const struct tables *t, const struct input *in, uint32_t file)
{
	/* Exactly as many, so that one too many is seen. */
	uint64_t *frames = calloc(in->frames_max, sizeof(*frames));
	enum unwind_outcome outcome = UNWIND_CONTINUE, again = UNWIND_CONTINUE;
	struct walk_code code;
	size_t cnt;

	if (!frames)
		return;
	cnt = walk_copy(t, in, file, frames, &outcome);
	REQUIRE(cnt >= 1 && cnt <= in->frames_max);
	REQUIRE(is_step_outcome(outcome) || outcome == UNWIND_TOO_DEEP ||
		outcome == UNWIND_NOT_CODE);
	REQUIRE(outcome != UNWIND_TOO_DEEP || cnt == in->frames_max);
	REQUIRE(frames[0] == in->regs[UNWIND_REG_RA]);
	for (size_t i = 1; i < cnt; i++)
		REQUIRE(find_code(frames[i], &code, &file));
	REQUIRE(walk_copy(t, in, file, frames, &again) == cnt && again == outcome);
	free(frames);
}

/* --- tables ------------------------------------------------------------------------------------
 */
static struct tables *get_tables(void)
{
	static struct tables t;

	if (t.space)
		return &t;
	t.leaf_pages = t.block_pages = 4;
	t.leaf = calloc(t.leaf_pages, sizeof(*t.leaf));
	t.block = calloc(t.block_pages, sizeof(*t.block));
	t.files = calloc(UNWIND_FILES_MAX, sizeof(*t.files));
	t.rules = calloc(UNWIND_RULES_MAX, sizeof(*t.rules));
	t.control = calloc(1, sizeof(*t.control));
	REQUIRE(t.leaf && t.block && t.files && t.rules && t.control && !tables__init(&t));
	return &t;
}

/* What was refused or taken out leaves nothing behind. */
static void check_empty(const struct tables *t)
{
	struct unwind_stats stats = { .files = 0 };

	tables__stats(t, &stats);
	REQUIRE(!stats.files && !stats.rows && stats.rules == 1 && !stats.leaf_pages_used &&
		!stats.block_pages_used);
	REQUIRE(t->control->generation % 2 == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tables *t = get_tables();
	uint32_t file = UNWIND_FILE_CHAIN;
	static struct input in;
	int err;

	if (!read_input(&in, data, size))
		return 0;
	err = tables__add(t, &in.file, &file, NULL, NULL);
	REQUIRE(!err || in.flags & ROWS_RAW);
	if (err)
		check_empty(t);
	check_walk(t, &in, file);
	walk_bare(t, &in, file);
	if (!err)
		tables__remove(t, file);
	check_empty(t);
	free(in.stack);
	return 0;
}
