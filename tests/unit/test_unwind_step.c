/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bpf/abi/unwind_step.h, the code that runs in the kernel, compiled for the host and fed with
 * stacks made by hand and with our own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <linux/types.h>

/* The only memory that can be read: a window, as the nofault reads of BPF see unmapped pages. */
static uint64_t window_start, window_end;

static int unwind_read(void *dst, __u32 size, __u64 address)
{
	if (address < window_start || address > window_end - size)
		return -14;
	memcpy(dst, (const void *)(uintptr_t)address, size);
	return 0;
}

#include "abi/unwind_step.h"

static void open_window(const void *start, size_t bytes)
{
	window_start = (uintptr_t)start;
	window_end = window_start + bytes;
}

static void test_walks_a_chain(void **state)
{
	uint64_t stack[16] = { 0 };
	struct unwind_frame f = { .pc = 1, .sp = (uintptr_t)stack, .fp = (uintptr_t)&stack[2] };

	open_window(stack, sizeof(stack));
	stack[2] = (uintptr_t)&stack[8];
	stack[3] = 0x1111;
	stack[8] = 0;
	stack[9] = 0x2222;
	assert_int_equal(unwind_step(&f), UNWIND_CONTINUE);
	assert_int_equal(f.pc, 0x1111);
	assert_int_equal(f.sp, (uintptr_t)&stack[4]);
	assert_int_equal(unwind_step(&f), UNWIND_CONTINUE);
	assert_int_equal(f.pc, 0x2222);
	assert_int_equal(unwind_step(&f), UNWIND_FP_ZERO);
	assert_int_equal(f.pc, 0x2222); /* left as it was */
}

static void test_return_address_zero_ends(void **state)
{
	uint64_t stack[4] = { 0 };
	struct unwind_frame f = { .pc = 1, .sp = (uintptr_t)stack, .fp = (uintptr_t)stack };

	open_window(stack, sizeof(stack));
	stack[0] = (uintptr_t)&stack[2];
	assert_int_equal(unwind_step(&f), UNWIND_END);
}

static void test_what_is_no_frame_pointer(void **state)
{
	uint64_t stack[4] = { 0 };
	uintptr_t base = (uintptr_t)stack;
	struct unwind_frame below = { .sp = base + 16, .fp = base };
	struct unwind_frame odd = { .sp = base, .fp = base + 3 };
	struct unwind_frame far = { .sp = base, .fp = base + 4096 };
	struct unwind_frame wraps = { .sp = base, .fp = ~7ULL };

	open_window(stack, sizeof(stack));
	assert_int_equal(unwind_step(&below), UNWIND_FP_INVALID);
	assert_int_equal(unwind_step(&odd), UNWIND_FP_INVALID);
	assert_int_equal(unwind_step(&far), UNWIND_UNREADABLE);
	assert_int_equal(unwind_step(&wraps), UNWIND_UNREADABLE);
}

/* A chain that points at itself cannot loop: each frame must lie above the one before. */
static void test_a_loop_ends(void **state)
{
	uint64_t stack[8] = { 0 };
	struct unwind_frame f = { .sp = (uintptr_t)stack, .fp = (uintptr_t)&stack[2] };

	open_window(stack, sizeof(stack));
	stack[2] = (uintptr_t)&stack[2];
	stack[3] = 0x1111;
	assert_int_equal(unwind_step(&f), UNWIND_CONTINUE);
	assert_int_equal(unwind_step(&f), UNWIND_FP_INVALID);
}

static __attribute__((noinline)) int walk_ourselves(const void *expected_caller)
{
	struct unwind_frame f = {
		.pc = 1,
		.sp = (uintptr_t)__builtin_frame_address(0),
		.fp = (uintptr_t)__builtin_frame_address(0),
	};

	open_window(__builtin_frame_address(0), 4096);
	assert_int_equal(unwind_step(&f), UNWIND_CONTINUE);
	assert_ptr_equal((void *)(uintptr_t)f.pc, __builtin_return_address(0));
	assert_true((const char *)(uintptr_t)f.pc > (const char *)expected_caller);
	return (int)f.pc;
}

static void test_own_stack(void **state)
{
	assert_int_not_equal(walk_ourselves((const void *)test_own_stack), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walks_a_chain),
		cmocka_unit_test(test_return_address_zero_ends),
		cmocka_unit_test(test_what_is_no_frame_pointer),
		cmocka_unit_test(test_a_loop_ends),
		cmocka_unit_test(test_own_stack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
