/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bpf/abi/unwind_step.h, the code that runs in the kernel, compiled for the host: one step by every
 * kind of rule, over stacks made by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <linux/types.h>

/* The only memory that can be read. */
struct unwind_context {
	const uint64_t *words;
	size_t cnt;
};

static int unwind_load(struct unwind_context *c, __u64 address, __u64 *ret)
{
	uint64_t start = (uintptr_t)c->words;

	if (address < start || address - start > (c->cnt - 1) * 8)
		return -1;
	memcpy(ret, (const void *)(uintptr_t)address, sizeof(*ret));
	return 0;
}

#include "abi/unwind_step.h"

#define WORDS 64

static uint64_t stack[WORDS];
static struct unwind_context context = { .words = stack, .cnt = WORDS };

static uint64_t at(size_t word)
{
	return (uintptr_t)&stack[word];
}

static struct unwind_frame frame_at(size_t sp_word)
{
	memset(stack, 0, sizeof(stack));
	return (struct unwind_frame){ .pc = 0x1000, .sp = at(sp_word), .exact = 1, .has_regs = 1 };
}

static int step(struct unwind_frame *f, struct unwind_rule rule)
{
	return unwind_step(&context, f, &rule, at(40), 0xf00d, 0xcafe);
}

static void test_sp_rule(void **state)
{
	struct unwind_frame f = frame_at(4);

	stack[6] = at(20); /* saved frame pointer */
	stack[7] = 0x2000;
	assert_int_equal(step(&f, (struct unwind_rule){ .kind = UNWIND_RULE_SP,
							.fp_kind = UNWIND_FP_AT_CFA,
							.cfa_offset = 32,
							.fp_offset = -16 }),
			 UNWIND_CONTINUE);
	assert_int_equal(f.pc, 0x2000);
	assert_int_equal(f.sp, at(8));
	assert_int_equal(f.fp, at(20));
	assert_false(f.exact || f.has_regs);
}

static void test_fp_and_deref_rules(void **state)
{
	struct unwind_frame f = frame_at(0);

	f.fp = at(10);
	stack[11] = 0x2000;
	assert_int_equal(step(&f, (struct unwind_rule){ .kind = UNWIND_RULE_FP, .cfa_offset = 16 }),
			 UNWIND_CONTINUE);
	assert_int_equal(f.sp, at(12));
	f = frame_at(0);
	f.fp = at(10);
	stack[9] = at(30);
	stack[31] = 0x3000;
	assert_int_equal(step(&f, (struct unwind_rule){ .kind = UNWIND_RULE_DEREF_FP,
							.arg = 2,
							.cfa_offset = -8 }),
			 UNWIND_CONTINUE);
	assert_int_equal(f.pc, 0x3000);
	assert_int_equal(f.sp, at(32));
}

static void test_plt_rule(void **state)
{
	struct unwind_rule plt = { .kind = UNWIND_RULE_PLT, .arg = 11, .cfa_offset = 8 };
	struct unwind_frame f = frame_at(4);

	stack[4] = 0x2000;
	f.pc = 0x1010;
	assert_int_equal(step(&f, plt), UNWIND_CONTINUE);
	assert_int_equal(f.sp, at(5));
	f = frame_at(4);
	stack[5] = 0x3000;
	f.pc = 0x101b; /* behind the push */
	assert_int_equal(step(&f, plt), UNWIND_CONTINUE);
	assert_int_equal(f.pc, 0x3000);
	assert_int_equal(f.sp, at(6));
}

static void test_register_rules_only_on_top(void **state)
{
	struct unwind_rule reg = { .kind = UNWIND_RULE_REG, .arg = 10, .cfa_offset = 8 };
	struct unwind_rule ra = { .kind = UNWIND_RULE_SP,
				  .ra_kind = UNWIND_IN_REGISTER + 2,
				  .cfa_offset = 8 };
	struct unwind_frame f = frame_at(0);

	stack[40] = 0x2000;
	assert_int_equal(step(&f, reg), UNWIND_CONTINUE);
	assert_int_equal(f.pc, 0x2000);
	assert_int_equal(f.sp, at(41));
	assert_int_equal(step(&f, reg), UNWIND_UNSUPPORTED);
	f = frame_at(0);
	assert_int_equal(step(&f, ra), UNWIND_CONTINUE);
	assert_int_equal(f.pc, 0xcafe);
	assert_int_equal(step(&f, ra), UNWIND_UNSUPPORTED);
}

static void test_signal_frame_is_exact(void **state)
{
	struct unwind_frame f = frame_at(2);

	stack[2 + UCONTEXT_FP / 8] = 0x77;
	stack[2 + UCONTEXT_SP / 8] = at(50);
	stack[2 + UCONTEXT_PC / 8] = 0x4000;
	assert_int_equal(step(&f, (struct unwind_rule){ .kind = UNWIND_RULE_SIGNAL }),
			 UNWIND_CONTINUE);
	assert_int_equal(f.pc, 0x4000);
	assert_int_equal(f.sp, at(50));
	assert_int_equal(f.fp, 0x77);
	assert_true(f.exact);
}

static void test_chain(void **state)
{
	const struct unwind_rule chain = { .kind = UNWIND_RULE_FP_CHAIN };
	struct unwind_frame f = frame_at(0);

	f.fp = at(2);
	stack[2] = at(2); /* points at itself: must not loop */
	stack[3] = 0x2000;
	assert_int_equal(step(&f, chain), UNWIND_CONTINUE);
	assert_int_equal(f.pc, 0x2000);
	assert_int_equal(step(&f, chain), UNWIND_FP_INVALID);
	f.fp = 0;
	assert_int_equal(step(&f, chain), UNWIND_FP_ZERO);
	f.fp = at(20) + 4;
	assert_int_equal(step(&f, chain), UNWIND_FP_INVALID);
	f.fp = ~7ULL;
	assert_int_equal(step(&f, chain), UNWIND_UNREADABLE);
}

static void test_how_it_ends(void **state)
{
	struct unwind_frame f = frame_at(4);
	const struct unwind_frame before = f;

	assert_int_equal(step(&f, (struct unwind_rule){ .kind = UNWIND_RULE_END }), UNWIND_END);
	assert_int_equal(step(&f, (struct unwind_rule){ .kind = UNWIND_RULE_SP, .cfa_offset = 16 }),
			 UNWIND_END); /* a return address of 0 */
	stack[3] = 0x2000;
	assert_int_equal(step(&f, (struct unwind_rule){ .kind = UNWIND_RULE_SP, .cfa_offset = -8 }),
			 UNWIND_BAD_CFA);
	assert_int_equal(step(&f, (struct unwind_rule){ .kind = UNWIND_RULE_SP,
							.cfa_offset = 8 * (WORDS + 1) }),
			 UNWIND_UNREADABLE);
	assert_int_equal(step(&f, (struct unwind_rule){ .kind = UNWIND_RULE_UNSUPPORTED }),
			 UNWIND_UNSUPPORTED);
	assert_memory_equal(&f, &before, sizeof(f)); /* left as it was */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sp_rule),
		cmocka_unit_test(test_fp_and_deref_rules),
		cmocka_unit_test(test_plt_rule),
		cmocka_unit_test(test_register_rules_only_on_top),
		cmocka_unit_test(test_signal_frame_is_exact),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_how_it_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
