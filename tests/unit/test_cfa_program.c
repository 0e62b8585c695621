/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cfa_program.c: what each instruction does to the rows, what has no rule, what is refused.
 */
#include "cfi_builder.h"

#include <stdio.h>
#include <stdlib.h>
#include "base/array.h"
#include "parse/cfa_program.h"

#define START 0x1000u
#define END   0x1100u

#define SP(cfa)                                                                                    \
	{                                                                                          \
		.kind = UNWIND_RULE_SP, .cfa_offset = (cfa)                                        \
	}
#define FP(cfa)                                                                                    \
	{                                                                                          \
		.kind = UNWIND_RULE_FP, .cfa_offset = (cfa)                                        \
	}
#define SP_SAVED(cfa, fp)                                                                          \
	{                                                                                          \
		UNWIND_RULE_SP, UNWIND_FP_AT_CFA, 0, 0, (cfa), (fp)                                \
	}
#define FP_SAVED(cfa, fp)                                                                          \
	{                                                                                          \
		UNWIND_RULE_FP, UNWIND_FP_AT_CFA, 0, 0, (cfa), (fp)                                \
	}
#define NO_RULE                                                                                    \
	{                                                                                          \
		.kind = UNWIND_RULE_UNSUPPORTED                                                    \
	}

#define ADVANCE(n) DW_CFA_advance_loc | (n)

struct expected_row {
	uint64_t pc;
	struct unwind_rule rule;
};

struct program_case {
	const char *name;
	const uint8_t *bytes;
	size_t bytes_cnt;
	struct expected_row rows[5];
	size_t rows_cnt;
	bool failed;
};

static void usual_context(struct cfa_context *context)
{
	*context = (struct cfa_context){ .code_align = 1, .data_align = -8 };
	assert_true(cfa_program__run_initial(context, BYTES(CFI_USUAL)));
}

static void check_case(const struct program_case *c)
{
	struct cfa_context context;
	struct cfa_program program;
	struct unwind_rule rule;
	uint64_t pc;
	size_t i = 0;

	usual_context(&context);
	cfa_program__start(&program, &context, c->bytes, c->bytes_cnt, START, END);
	while (cfa_program__next(&program, &pc, &rule)) {
		if (i == c->rows_cnt || pc != c->rows[i].pc ||
		    memcmp(&rule, &c->rows[i].rule, sizeof(rule)) != 0)
			fail_msg("%s: row %zu at %#lx: kind %u arg %u cfa %d fp %u %d ra %u",
				 c->name, i, pc, rule.kind, rule.arg, rule.cfa_offset, rule.fp_kind,
				 rule.fp_offset, rule.ra_kind);
		i++;
	}
	if (i != c->rows_cnt || program.failed != c->failed)
		fail_msg("%s: %zu rows, failed %d", c->name, i, program.failed);
}

/* A case of one row, at START. */
#define ONE(text, rule_, ...)                                                                      \
	{                                                                                          \
		.name = text, .bytes = (const uint8_t[]){ __VA_ARGS__ },                           \
		.bytes_cnt = sizeof((const uint8_t[]){ __VA_ARGS__ }),                             \
		.rows = { { START, rule_ } }, .rows_cnt = 1                                        \
	}

/* The same, where the program cannot be understood. */
#define BAD(text, ...)                                                                             \
	{                                                                                          \
		.name = text, .bytes = (const uint8_t[]){ __VA_ARGS__ },                           \
		.bytes_cnt = sizeof((const uint8_t[]){ __VA_ARGS__ }),                             \
		.rows = { { START, NO_RULE } }, .rows_cnt = 1, .failed = true                      \
	}

static void test_rows(void **state)
{
	static const uint8_t usual[] = { ADVANCE(1),
					 DW_CFA_def_cfa_offset,
					 16,
					 DW_CFA_offset | 6,
					 2,
					 ADVANCE(3),
					 DW_CFA_def_cfa_register,
					 6,
					 DW_CFA_advance_loc1,
					 0x80,
					 DW_CFA_def_cfa,
					 7,
					 8,
					 DW_CFA_restore | 6 };
	static const uint8_t remembered[] = { DW_CFA_def_cfa_offset,
					      16,
					      DW_CFA_remember_state,
					      ADVANCE(8),
					      DW_CFA_def_cfa_offset,
					      8,
					      DW_CFA_advance_loc2,
					      0x10,
					      0,
					      DW_CFA_restore_state,
					      DW_CFA_advance_loc4,
					      0x10,
					      0,
					      0,
					      0,
					      DW_CFA_undefined,
					      16 };
	static const uint8_t beyond[] = { ADVANCE(0),
					  DW_CFA_def_cfa_offset,
					  24,
					  ADVANCE(63),
					  DW_CFA_advance_loc4,
					  0xff,
					  0xff,
					  0xff,
					  0xff,
					  DW_CFA_def_cfa_offset,
					  32 };
	const struct program_case cases[] = {
		{ "prologue and epilogue",
		  usual,
		  sizeof(usual),
		  { { START, SP(8) },
		    { START + 1, SP_SAVED(16, -16) },
		    { START + 4, FP_SAVED(16, -16) },
		    { START + 0x84, SP(8) } },
		  4,
		  false },
		{ "remember and restore",
		  remembered,
		  sizeof(remembered),
		  { { START, SP(16) },
		    { START + 8, SP(8) },
		    { START + 0x18, SP(16) },
		    { START + 0x28, { .kind = UNWIND_RULE_END } } },
		  4,
		  false },
		{ "no row behind the end",
		  beyond,
		  sizeof(beyond),
		  { { START, SP(24) }, { START + 63, SP(24) } },
		  2,
		  false },
		{ "nothing", NULL, 0, { { START, SP(8) } }, 1, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_case(&cases[i]);
}

static void test_cfa(void **state)
{
	const struct program_case cases[] = {
		ONE("def_cfa_sf", SP(32), DW_CFA_def_cfa_sf, 7, 0x7c),
		ONE("def_cfa_offset_sf", SP(-8), DW_CFA_def_cfa_offset_sf, 1),
		ONE("a register of the leaf",
		    ((struct unwind_rule){ .kind = UNWIND_RULE_REG, .arg = 10, .cfa_offset = 8 }),
		    DW_CFA_def_cfa_register, 10),
		ONE("no such register", ((struct unwind_rule)NO_RULE), DW_CFA_def_cfa_register, 16),
		ONE("an offset of 33 bits", ((struct unwind_rule)NO_RULE), DW_CFA_def_cfa_offset,
		    0x80, 0x80, 0x80, 0x80, 0x10),
		ONE("a padded offset", SP(1), DW_CFA_def_cfa_offset, 0x81, 0x80, 0x80, 0x80, 0x80,
		    0x80, 0x80, 0x80, 0x80, 0),
		ONE("defined again after what has no rule", SP(64), DW_CFA_def_cfa_expression, 1,
		    DW_OP_lit0, DW_CFA_def_cfa, 7, 64),
		ONE("half defined after what has no rule", ((struct unwind_rule)NO_RULE),
		    DW_CFA_def_cfa_expression, 1, DW_OP_lit0, DW_CFA_def_cfa_offset, 64),
		ONE("a register after an expression", ((struct unwind_rule)NO_RULE),
		    DW_CFA_def_cfa_expression, 3, DW_OP_breg6, 0x78, DW_OP_deref,
		    DW_CFA_def_cfa_register, 7),
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_case(&cases[i]);
}

static void test_expressions(void **state)
{
	const struct unwind_rule plt = { .kind = UNWIND_RULE_PLT, .arg = 11, .cfa_offset = 8 };
	const struct unwind_rule deref = { .kind = UNWIND_RULE_DEREF_FP, .cfa_offset = -8 };
	const struct unwind_rule deref_add = { .kind = UNWIND_RULE_DEREF_SP,
					       .arg = 7,
					       .cfa_offset = 48 };
	const struct unwind_rule signal = { .kind = UNWIND_RULE_SIGNAL };
	const struct unwind_rule none = NO_RULE;
	const struct program_case cases[] = {
		ONE("plt", plt, DW_CFA_def_cfa_expression, 11, DW_OP_breg7, 8, DW_OP_breg16, 0,
		    DW_OP_lit15, DW_OP_and, DW_OP_lit11, DW_OP_ge, DW_OP_lit3, DW_OP_shl,
		    DW_OP_plus),
		ONE("almost plt", none, DW_CFA_def_cfa_expression, 11, DW_OP_breg7, 8, DW_OP_breg16,
		    0, DW_OP_lit15, DW_OP_and, DW_OP_lit11, DW_OP_gt, DW_OP_lit3, DW_OP_shl,
		    DW_OP_plus),
		ONE("plt cut short", none, DW_CFA_def_cfa_expression, 10, DW_OP_breg7, 8,
		    DW_OP_breg16, 0, DW_OP_lit15, DW_OP_and, DW_OP_lit11, DW_OP_ge, DW_OP_lit3,
		    DW_OP_shl),
		ONE("realigned", deref, DW_CFA_def_cfa_expression, 3, DW_OP_breg6, 0x78,
		    DW_OP_deref),
		ONE("saved", deref_add, DW_CFA_def_cfa_expression, 5, DW_OP_breg7, 48, DW_OP_deref,
		    DW_OP_plus_uconst, 56),
		ONE("not a multiple of 8", none, DW_CFA_def_cfa_expression, 5, DW_OP_breg7, 48,
		    DW_OP_deref, DW_OP_plus_uconst, 57),
		ONE("something behind", none, DW_CFA_def_cfa_expression, 4, DW_OP_breg7, 48,
		    DW_OP_deref, DW_OP_deref),
		ONE("another register", none, DW_CFA_def_cfa_expression, 3, DW_OP_breg3, 0,
		    DW_OP_deref),
		ONE("a loop", none, DW_CFA_def_cfa_expression, 3, DW_OP_skip, 0xfd, 0xff),
		ONE("an empty one", none, DW_CFA_def_cfa_expression, 0),
		ONE("sigreturn", signal, DW_CFA_def_cfa_expression, 4, DW_OP_breg7, 0xa0, 1,
		    DW_OP_deref, DW_CFA_expression, 16, 3, DW_OP_breg7, 0xa8, 1),
		BAD("longer than the program", DW_CFA_def_cfa_expression, 4, DW_OP_breg7, 0),
		BAD("its length endless", DW_CFA_def_cfa_expression, 0x80, 0x80, 0x80, 0x80, 0x80,
		    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0),
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_case(&cases[i]);
}

#define SP8_FP(fp_, offset) ((struct unwind_rule){ UNWIND_RULE_SP, (fp_), 0, 0, 8, (offset) })
#define SP8_RA(ra_)         ((struct unwind_rule){ UNWIND_RULE_SP, 0, 0, (ra_), 8, 0 })

static void test_registers(void **state)
{
	const struct unwind_rule none = NO_RULE, end = { .kind = UNWIND_RULE_END };
	const struct unwind_rule jump = {
		.kind = UNWIND_RULE_REG,
		.arg = 8,
		.fp_kind = UNWIND_IN_REGISTER + 9,
		.ra_kind = UNWIND_IN_REGISTER + 1,
	};
	const struct program_case cases[] = {
		ONE("offset_extended", SP8_FP(UNWIND_FP_AT_CFA, -24), DW_CFA_offset_extended, 6, 3),
		ONE("offset_extended_sf", SP8_FP(UNWIND_FP_AT_CFA, 8), DW_CFA_offset_extended_sf, 6,
		    0x7f),
		ONE("negative_offset", SP8_FP(UNWIND_FP_AT_CFA, 8),
		    DW_CFA_GNU_negative_offset_extended, 6, 1),
		ONE("beside a realigned stack", SP8_FP(UNWIND_FP_AT_FP, 0), DW_CFA_expression, 6, 2,
		    DW_OP_breg6, 0),
		ONE("beside a realigned stack, by sp", SP8_FP(UNWIND_FP_AT_SP, 160),
		    DW_CFA_expression, 6, 3, DW_OP_breg7, 0xa0, 1),
		ONE("by another expression", none, DW_CFA_expression, 6, 2, DW_OP_breg3, 0),
		ONE("a value", none, DW_CFA_val_expression, 6, 2, DW_OP_breg6, 0),
		ONE("a value at an offset", none, DW_CFA_val_offset, 6, 1),
		ONE("in a register", SP8_FP(UNWIND_IN_REGISTER + 9, 0), DW_CFA_register, 6, 9),
		ONE("in no register", none, DW_CFA_register, 6, 17),
		ONE("undefined", SP8_FP(UNWIND_FP_UNDEFINED, 0), DW_CFA_undefined, 6),
		ONE("same", SP8_FP(UNWIND_FP_SAME, 0), DW_CFA_offset | 6, 2, DW_CFA_same_value, 6),
		ONE("restored", SP8_FP(UNWIND_FP_SAME, 0), DW_CFA_offset | 6, 2,
		    DW_CFA_restore_extended, 6),
		ONE("an offset of 64 bits", none, DW_CFA_offset_extended, 6, 0xff, 0xff, 0xff, 0xff,
		    0xff, 0xff, 0xff, 0xff, 0x7f),
		ONE("return address in a register", SP8_RA(UNWIND_IN_REGISTER + 5), DW_CFA_register,
		    16, 5),
		ONE("return address elsewhere", none, DW_CFA_offset | 16, 2),
		ONE("return address the same", none, DW_CFA_same_value, 16),
		ONE("return address undefined", end, DW_CFA_undefined, 16, DW_CFA_def_cfa_register,
		    17),
		ONE("return address restored", SP(8), DW_CFA_undefined, 16, DW_CFA_restore | 16),
		ONE("all in registers", jump, DW_CFA_def_cfa, 5, 0, DW_CFA_register, 7, 8,
		    DW_CFA_register, 6, 9, DW_CFA_register, 16, 1),
		ONE("only the stack pointer", none, DW_CFA_register, 7, 8),
		ONE("the frame pointer not", none, DW_CFA_register, 7, 8, DW_CFA_register, 16, 1,
		    DW_CFA_offset | 6, 2),
		ONE("stack pointer restored", SP(8), DW_CFA_register, 7, 8, DW_CFA_restore | 7),
		ONE("others do not matter", SP(8), DW_CFA_offset | 3, 2, DW_CFA_val_offset_sf, 12,
		    2, DW_CFA_expression, 13, 1, DW_OP_lit1, DW_CFA_register, 14, 15,
		    DW_CFA_undefined, 1, DW_CFA_GNU_args_size, 0x90, 1, DW_CFA_nop),
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_case(&cases[i]);
}

static void test_refused(void **state)
{
	const struct program_case cases[] = {
		BAD("no such instruction", 0x17),
		BAD("an operand missing", DW_CFA_def_cfa, 7),
		BAD("a location missing", DW_CFA_advance_loc4, 1, 2, 3),
		BAD("nothing to restore", DW_CFA_restore_state),
		BAD("backwards", DW_CFA_set_loc, 0, 0, 0, 0, 0, 0, 0, 0),
	};
	static const uint8_t late[] = { ADVANCE(4), DW_CFA_def_cfa_offset, 16, ADVANCE(4), 0x3f };
	const struct program_case understood_till_then = {
		"understood till then",
		late,
		sizeof(late),
		{ { START, SP(8) }, { START + 4, SP(16) }, { START + 8, NO_RULE } },
		3,
		true
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_case(&cases[i]);
	check_case(&understood_till_then);
}

static void test_long_expressions(void **state)
{
	static uint8_t bytes[PARSE_CFA_EXPRESSION_MAX + 4] = { DW_CFA_expression, 3, 0x80, 8 };
	struct program_case c = { "long", bytes, sizeof(bytes), { { START, SP(8) } }, 1, false };

	check_case(&c);
	bytes[2] = 0x81; /* one byte more, and there is none behind it */
	c.bytes_cnt--;
	c.rows[0] = (struct expected_row){ START, NO_RULE };
	c.failed = true;
	check_case(&c);
	bytes[0] = DW_CFA_def_cfa_expression;
	bytes[1] = 0x81;
	bytes[2] = 8;
	c.bytes_cnt = sizeof(bytes);
	check_case(&c);
}

static void test_depth(void **state)
{
	uint8_t deep[2 * PARSE_CFA_STACK_MAX + 2];
	struct program_case c = { .name = "deep", .bytes = deep, .rows_cnt = 1 };

	memset(deep, DW_CFA_remember_state, sizeof(deep));
	memset(deep + PARSE_CFA_STACK_MAX, DW_CFA_restore_state, PARSE_CFA_STACK_MAX);
	c.bytes_cnt = 2 * PARSE_CFA_STACK_MAX;
	c.rows[0] = (struct expected_row){ START, SP(8) };
	check_case(&c);
	memset(deep, DW_CFA_remember_state, sizeof(deep));
	c.bytes_cnt = PARSE_CFA_STACK_MAX + 1;
	c.rows[0] = (struct expected_row){ START, NO_RULE };
	c.failed = true;
	check_case(&c);
}

static void test_factors(void **state)
{
	struct cfa_context context = { .code_align = UINT64_MAX, .data_align = INT64_MIN };
	struct cfa_program program;
	struct unwind_rule rule;
	uint64_t pc;

	assert_true(cfa_program__run_initial(&context, BYTES(DW_CFA_def_cfa, 7, 8)));
	cfa_program__start(&program, &context, BYTES(DW_CFA_offset | 16, 2, ADVANCE(2)), START,
			   END);
	assert_true(cfa_program__next(&program, &pc, &rule));
	assert_int_equal(rule.kind, UNWIND_RULE_UNSUPPORTED);
	assert_false(cfa_program__next(&program, &pc, &rule));
	context = (struct cfa_context){ .code_align = 4, .data_align = -4 };
	assert_true(cfa_program__run_initial(&context,
					     BYTES(DW_CFA_def_cfa, 7, 8, DW_CFA_offset | 16, 2)));
	cfa_program__start(&program, &context, BYTES(ADVANCE(2), DW_CFA_offset | 6, 4), START, END);
	assert_true(cfa_program__next(&program, &pc, &rule));
	assert_int_equal(rule.kind, UNWIND_RULE_SP);
	assert_true(cfa_program__next(&program, &pc, &rule));
	assert_int_equal(pc, START + 8);
	assert_int_equal(rule.fp_offset, -16);
	assert_false(cfa_program__next(&program, &pc, &rule));
}

static void test_initial(void **state)
{
	struct cfa_context context = { .code_align = 1, .data_align = -8 };

	assert_false(cfa_program__run_initial(&context, BYTES(CFI_USUAL, ADVANCE(1))));
	assert_false(cfa_program__run_initial(&context, BYTES(CFI_USUAL, DW_CFA_restore_state)));
	assert_false(cfa_program__run_initial(&context, BYTES(DW_CFA_def_cfa, 7)));
	assert_true(cfa_program__run_initial(&context, NULL, 0));
	assert_int_equal(context.initial.cfa, CFA_NONE);
}

static void test_pointers(void **state)
{
	static const uint8_t data[] = { 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f };
	static const struct {
		uint8_t encoding, bytes;
		uint64_t value;
	} good[] = {
		{ DW_EH_PE_absptr, 8, 0xfffffffffffffffe },
		{ DW_EH_PE_udata2, 2, 0xfffe },
		{ DW_EH_PE_sdata2, 2, UINT64_MAX - 1 },
		{ DW_EH_PE_udata4, 4, 0xfffffffe },
		{ DW_EH_PE_sdata4, 4, UINT64_MAX - 1 },
		{ DW_EH_PE_udata8, 8, UINT64_MAX - 1 },
		{ DW_EH_PE_uleb128, 9, 0x7ffffffffffffffe },
		{ DW_EH_PE_sleb128, 9, UINT64_MAX - 1 },
		{ DW_EH_PE_pcrel | DW_EH_PE_sdata4, 4, 0x4ffe },
	};
	static const uint8_t bad[] = { DW_EH_PE_omit,
				       DW_EH_PE_textrel,
				       DW_EH_PE_datarel,
				       DW_EH_PE_funcrel,
				       DW_EH_PE_aligned,
				       DW_EH_PE_indirect,
				       5 };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct cfi_reader r = { .at = data, .end = data + sizeof(data) };

		assert_int_equal(cfa_program__pointer(&r, good[i].encoding, data, 0x5000),
				 good[i].value);
		assert_false(r.failed);
		assert_int_equal(r.at - data, good[i].bytes);
		r = (struct cfi_reader){ .at = data, .end = data + good[i].bytes - 1 };
		cfa_program__pointer(&r, good[i].encoding, data, 0x5000);
		assert_true(r.failed);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct cfi_reader r = { .at = data, .end = data + sizeof(data) };

		cfa_program__pointer(&r, bad[i], data, 0x5000);
		assert_true(r.failed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_cfa),
		cmocka_unit_test(test_expressions),
		cmocka_unit_test(test_registers),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_long_expressions),
		cmocka_unit_test(test_factors),
		cmocka_unit_test(test_initial),
		cmocka_unit_test(test_pointers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
