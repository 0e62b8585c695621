/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * native_walk.c: stacks made by hand, walked by one rule per mapping; every outcome it can have.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/array.h"
#include "unwind/native_walk.h"

#define STACK_START 0x7ffc00001000ULL
#define WORDS       64

/* Code from 'start' on; its file's address 'start' - 'bias' has 'rule', all others none. */
struct code {
	uint64_t start, end, bias;
	uint32_t file;
	struct unwind_rule rule;
	struct module module;
};

static struct code codes[8];
static size_t codes_cnt;

/* Instead of tables.c: file i has the one rule of codes[i]. */
const struct unwind_rule *tables__find(const struct tables *t, uint32_t file, uint64_t address)
{
	const struct code *c = &codes[file];

	assert_true(file < codes_cnt);
	assert_in_range(address, c->start - c->bias, c->end - c->bias - 1);
	return &c->rule;
}

static bool find_code(uint64_t address, struct walk_code *ret, void *ctx)
{
	for (size_t i = 0; i < codes_cnt; i++) {
		if (address < codes[i].start || address >= codes[i].end)
			continue;
		ret->module = &codes[i].module;
		ret->file = codes[i].file;
		ret->bias = codes[i].bias;
		return true;
	}
	return false;
}

static void add_code(uint64_t start, struct unwind_rule rule)
{
	codes[codes_cnt] = (struct code){
		.start = start,
		.end = start + 0x1000,
		.bias = start - 0x400,
		.file = (uint32_t)codes_cnt,
		.rule = rule,
	};
	codes_cnt++;
}

struct stack {
	uint64_t words[WORDS];
	uint64_t regs[UNWIND_REG_CNT + 1];
	uint64_t frames[WORDS];
	size_t frames_max, below_words, skipped_words;
	enum unwind_outcome outcome;
	const struct module *stop;
};

static int setup(void **state)
{
	static struct stack s;

	s = (struct stack){ .frames_max = WORDS };
	codes_cnt = 0;
	s.regs[UNWIND_REG_SP] = STACK_START;
	*state = &s;
	return 0;
}

/* words[0] is at the stack pointer, or below_words below it. */
static size_t walk(struct stack *s, size_t words_cnt)
{
	const struct unwind_input in = {
		.regs = s->regs,
		.stack = (const uint8_t *)s->words,
		.stack_bytes = words_cnt * 8,
		.below_bytes = s->below_words * 8,
		.skipped_bytes = s->skipped_words * 8,
	};

	return native_walk(NULL, &in, find_code, NULL, s->frames, s->frames_max, &s->outcome,
			   &s->stop);
}

static const struct unwind_rule sp_16 = { .kind = UNWIND_RULE_SP, .cfa_offset = 16 };
static const struct unwind_rule end = { .kind = UNWIND_RULE_END };

static void test_complete(void **state)
{
	struct stack *s = *state;

	add_code(0x10000, sp_16);
	add_code(0x20000, (struct unwind_rule){ .kind = UNWIND_RULE_SP,
						.cfa_offset = 32,
						.fp_kind = UNWIND_FP_AT_CFA,
						.fp_offset = -16 });
	add_code(0x30000, (struct unwind_rule){ .kind = UNWIND_RULE_FP, .cfa_offset = 16 });
	add_code(0x40000, end);
	s->regs[UNWIND_REG_RA] = 0x10004;
	s->words[1] = 0x20010;
	s->words[4] = STACK_START + 10 * 8; /* the frame pointer, saved */
	s->words[5] = 0x30010;
	s->words[11] = 0x40010;
	assert_int_equal(walk(s, 16), 4);
	assert_int_equal(s->outcome, UNWIND_END);
	assert_null(s->stop);
	assert_int_equal(s->frames[0], 0x10004);
	assert_int_equal(s->frames[1], 0x2000f);
	assert_int_equal(s->frames[2], 0x3000f);
	assert_int_equal(s->frames[3], 0x4000f);
}

/* A return address may be the first byte after its function: the byte before it counts. Where a
 * thread stood, that very byte does. */
static void test_call_is_last_instruction(void **state)
{
	struct stack *s = *state;

	add_code(0x10000, sp_16);
	add_code(0x11000, end);
	add_code(0x20000, end);
	s->regs[UNWIND_REG_RA] = 0x10000;
	s->words[1] = 0x11000;
	s->words[3] = 0x20800;
	assert_int_equal(walk(s, 16), 3);
	assert_int_equal(s->outcome, UNWIND_END);
	assert_int_equal(s->frames[1], 0x10fff);
	assert_int_equal(s->frames[2], 0x207ff);
}

static void test_nothing_mapped_at_top(void **state)
{
	struct stack *s = *state;

	s->regs[UNWIND_REG_RA] = 0xdead;
	assert_int_equal(walk(s, 16), 1);
	assert_int_equal(s->outcome, UNWIND_NOT_CODE);
	assert_int_equal(s->frames[0], 0xdead);
	assert_null(s->stop);
}

/* The frame that no code belongs to is none; who led there is to blame. */
static void test_caller_is_no_code(void **state)
{
	struct stack *s = *state;

	add_code(0x10000, sp_16);
	s->regs[UNWIND_REG_RA] = 0x10004;
	s->words[1] = 0xdead;
	assert_int_equal(walk(s, 16), 1);
	assert_int_equal(s->outcome, UNWIND_NOT_CODE);
	assert_ptr_equal(s->stop, &codes[0].module);
}

static void test_beyond_the_copy(void **state)
{
	struct stack *s = *state;

	add_code(0x10000, sp_16);
	s->regs[UNWIND_REG_RA] = 0x10004;
	s->words[1] = 0x10010;
	s->words[3] = 0x10020;
	assert_int_equal(walk(s, 4), 3);
	assert_int_equal(s->outcome, UNWIND_UNREADABLE);
	assert_ptr_equal(s->stop, &codes[0].module);
	assert_int_equal(walk(s, 3), 2);
	assert_int_equal(s->outcome, UNWIND_UNREADABLE);
	assert_int_equal(walk(s, 0), 1);
	assert_int_equal(s->outcome, UNWIND_UNREADABLE);
}

/* The end of a large new frame is not there yet; its return address is. */
static void test_skipped(void **state)
{
	struct stack *s = *state;

	add_code(0x10000, (struct unwind_rule){ .kind = UNWIND_RULE_SP, .cfa_offset = 0x1008 });
	add_code(0x20000, end);
	s->regs[UNWIND_REG_RA] = 0x10004;
	s->skipped_words = 0x200 - 2;
	s->words[2] = 0x20010;
	assert_int_equal(walk(s, 3), 2);
	assert_int_equal(s->outcome, UNWIND_END);
	s->skipped_words++;
	s->words[2] = 0;
	s->words[1] = 0x20010;
	assert_int_equal(walk(s, 2), 2);
	s->skipped_words += 2;
	assert_int_equal(walk(s, 2), 1);
	assert_int_equal(s->outcome, UNWIND_UNREADABLE);
}

static void test_too_deep(void **state)
{
	struct stack *s = *state;

	add_code(0x10000, sp_16);
	s->regs[UNWIND_REG_RA] = 0x10004;
	for (size_t i = 0; i < WORDS; i++)
		s->words[i] = 0x10010;
	s->frames_max = 3;
	assert_int_equal(walk(s, WORDS), 3);
	assert_int_equal(s->outcome, UNWIND_TOO_DEEP);
	assert_int_equal(s->frames[2], 0x1000f);
	/* As many frames as there is room for, and the end with them: complete. */
	add_code(0x20000, end);
	s->words[3] = 0x20010;
	assert_int_equal(walk(s, WORDS), 3);
	assert_int_equal(s->outcome, UNWIND_END);
}

/* No table: by frame pointers. */
static void test_chain(void **state)
{
	struct stack *s = *state;

	add_code(0x10000, end);
	codes[0].file = UNWIND_FILE_CHAIN;
	s->regs[UNWIND_REG_RA] = 0x10004;
	s->regs[UNWIND_REG_FP] = STACK_START + 16;
	s->words[3] = 0x10010;
	assert_int_equal(walk(s, 16), 2);
	assert_int_equal(s->frames[1], 0x1000f);
	assert_int_equal(s->outcome, UNWIND_FP_ZERO);
	s->words[2] = STACK_START;
	assert_int_equal(walk(s, 16), 2);
	assert_int_equal(s->outcome, UNWIND_FP_INVALID);
	assert_ptr_equal(s->stop, &codes[0].module);
}

/* The frame pointer's slot lies below the stack pointer once it is popped, for one instruction. */
static void test_red_zone(void **state)
{
	struct stack *s = *state;

	add_code(0x10000, (struct unwind_rule){ .kind = UNWIND_RULE_SP,
						.cfa_offset = 8,
						.fp_kind = UNWIND_FP_AT_CFA,
						.fp_offset = -16 });
	add_code(0x20000, (struct unwind_rule){ .kind = UNWIND_RULE_FP, .cfa_offset = 16 });
	add_code(0x30000, end);
	s->regs[UNWIND_REG_RA] = 0x10004;
	s->below_words = 2;
	s->words[1] = STACK_START + 8 * 8;
	s->words[2] = 0x20010;
	s->words[11] = 0x30010;
	assert_int_equal(walk(s, 16), 3);
	assert_int_equal(s->outcome, UNWIND_END);
}

/* Without those bytes: it is in its register, where it was popped to. */
static void test_red_zone_not_copied(void **state)
{
	struct stack *s = *state;

	add_code(0x10000, (struct unwind_rule){ .kind = UNWIND_RULE_SP,
						.cfa_offset = 8,
						.fp_kind = UNWIND_FP_AT_CFA,
						.fp_offset = -16 });
	add_code(0x20000, (struct unwind_rule){ .kind = UNWIND_RULE_FP, .cfa_offset = 16 });
	add_code(0x30000, end);
	s->regs[UNWIND_REG_RA] = 0x10004;
	s->regs[UNWIND_REG_FP] = STACK_START + 6 * 8;
	s->words[0] = 0x20010;
	s->words[7] = 0x30010;
	assert_int_equal(walk(s, 16), 3);
	assert_int_equal(s->outcome, UNWIND_END);
	/* Of a slot above the stack pointer nothing is guessed. */
	codes[0].rule.cfa_offset = 8 * 8;
	s->words[7] = 0x20010;
	codes[0].rule.fp_offset = 1024;
	assert_int_equal(walk(s, 16), 1);
	assert_int_equal(s->outcome, UNWIND_UNREADABLE);
}

/* Other registers are known in the topmost frame only. */
static void test_registers(void **state)
{
	static const struct unwind_rule by_r10 = { .kind = UNWIND_RULE_REG,
						   .arg = 10,
						   .fp_kind = UNWIND_IN_REGISTER + 3 };
	struct stack *s = *state;

	add_code(0x10000, by_r10);
	add_code(0x20000, (struct unwind_rule){ .kind = UNWIND_RULE_FP, .cfa_offset = 16 });
	s->regs[UNWIND_REG_RA] = 0x10004;
	s->regs[10] = STACK_START + 4 * 8;
	s->regs[3] = STACK_START + 6 * 8;
	s->words[3] = 0x20010;
	s->words[7] = 0x10010;
	assert_int_equal(walk(s, 16), 3);
	assert_int_equal(s->outcome, UNWIND_UNSUPPORTED);
	assert_ptr_equal(s->stop, &codes[0].module);
}

/* At the jump that ends _Unwind_Resume() the return address is popped into a register, and the
 * caller's stack pointer is ours. */
static void test_return_address_in_register(void **state)
{
	struct stack *s = *state;

	add_code(0x10000,
		 (struct unwind_rule){ .kind = UNWIND_RULE_SP, .ra_kind = UNWIND_IN_REGISTER + 5 });
	add_code(0x20000, end);
	s->regs[UNWIND_REG_RA] = 0x10004;
	s->regs[5] = 0x20010;
	assert_int_equal(walk(s, 16), 2);
	assert_int_equal(s->frames[1], 0x2000f);
	assert_int_equal(s->outcome, UNWIND_END);
}

/* Above a signal frame a thread stood where it was interrupted, on whatever stack. */
static void test_signal(void **state)
{
	struct stack *s = *state;

	add_code(0x10000, sp_16);
	add_code(0x20000, (struct unwind_rule){ .kind = UNWIND_RULE_SIGNAL });
	add_code(0x30000, end);
	s->regs[UNWIND_REG_RA] = 0x10004;
	s->words[1] = 0x20010;
	s->words[2 + 5 + 15] = STACK_START + 40 * 8;
	s->words[2 + 5 + 16] = 0x30000; /* the function's very first byte */
	assert_int_equal(walk(s, WORDS), 3);
	assert_int_equal(s->frames[2], 0x30000);
	assert_int_equal(s->outcome, UNWIND_END);
}

static void test_rules_that_end_it(void **state)
{
	static const struct {
		struct unwind_rule rule;
		enum unwind_outcome outcome;
	} cases[] = {
		{ { .kind = UNWIND_RULE_UNSUPPORTED }, UNWIND_UNSUPPORTED },
		{ { .kind = UNWIND_RULE_KIND_CNT + 7 }, UNWIND_UNSUPPORTED },
		{ { .kind = UNWIND_RULE_SP }, UNWIND_BAD_CFA },
		{ { .kind = UNWIND_RULE_SP, .cfa_offset = -64 }, UNWIND_BAD_CFA },
		{ { .kind = UNWIND_RULE_SP, .cfa_offset = 8 }, UNWIND_END }, /* pc 0 */
		{ { .kind = UNWIND_RULE_DEREF_SP, .cfa_offset = -8 }, UNWIND_UNREADABLE },
		{ { .kind = UNWIND_RULE_DEREF_FP, .cfa_offset = 1 << 20 }, UNWIND_UNREADABLE },
	};
	struct stack *s = *state;

	s->regs[UNWIND_REG_RA] = 0x10004;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		codes_cnt = 0;
		add_code(0x10000, cases[i].rule);
		assert_int_equal(walk(s, 16), 1);
		assert_int_equal(s->outcome, cases[i].outcome);
		assert_ptr_equal(s->stop, cases[i].outcome == UNWIND_END ? NULL : &codes[0].module);
	}
}

/* Numbers of registers come from files: whatever they are, only registers are read. */
static void test_registers_out_of_range(void **state)
{
	struct stack *s = *state;

	s->regs[UNWIND_REG_RA] = 0x10004;
	for (unsigned int i = 0; i < 256; i++) {
		codes_cnt = 0;
		add_code(0x10000, (struct unwind_rule){ .kind = UNWIND_RULE_REG,
							.arg = (uint8_t)i,
							.fp_kind = (uint8_t)i,
							.ra_kind = (uint8_t)i });
		assert_int_equal(walk(s, 16), 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_complete, setup),
		cmocka_unit_test_setup(test_call_is_last_instruction, setup),
		cmocka_unit_test_setup(test_nothing_mapped_at_top, setup),
		cmocka_unit_test_setup(test_caller_is_no_code, setup),
		cmocka_unit_test_setup(test_beyond_the_copy, setup),
		cmocka_unit_test_setup(test_skipped, setup),
		cmocka_unit_test_setup(test_too_deep, setup),
		cmocka_unit_test_setup(test_chain, setup),
		cmocka_unit_test_setup(test_red_zone, setup),
		cmocka_unit_test_setup(test_red_zone_not_copied, setup),
		cmocka_unit_test_setup(test_registers, setup),
		cmocka_unit_test_setup(test_return_address_in_register, setup),
		cmocka_unit_test_setup(test_signal, setup),
		cmocka_unit_test_setup(test_rules_that_end_it, setup),
		cmocka_unit_test_setup(test_registers_out_of_range, setup),
	};

	return cmocka_run_group_tests_name("native_walk", tests, NULL, NULL);
}
