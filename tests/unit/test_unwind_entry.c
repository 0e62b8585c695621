/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * parse/unwind_rows: the code a process begins in, where it has no call frame information.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "cfi_builder.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "unwind_rows_check.h"

static void check_kind(const struct unwind_rows *rows, uint64_t vaddr, enum unwind_rule_kind kind)
{
	assert_int_equal(unwind_rows__find(rows, vaddr).kind, kind);
}

/* ld.so begins in code without an FDE: the stack is complete there, and nowhere else in the gap. */
static void test_entry_point(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t cie = cfi_debug_cie(&b, BYTES(CFI_USUAL));
	const struct text_range text[] = { { .start = CFI_TEXT, .end = CFI_TEXT + 0x1000 } };
	const uint64_t entries[] = { CFI_TEXT + 0x40, CFI_TEXT + 0x240 };
	struct cfi_section section = { .is_debug_frame = true };

	cfi_debug_fde(&b, cie, CFI_TEXT + 0x100, 0x100, BYTES(DW_CFA_nop));
	cfi_debug_fde(&b, cie, CFI_TEXT + 0x300, 0x100, BYTES(DW_CFA_nop));
	section.data = (const unsigned char *)b.data;
	section.bytes = b.len;
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
		struct unwind_rows rows;

		assert_int_equal(unwind_rows__build(&section, 1, text, 1, entries[i], &rows),
				 PARSE_OK);
		check_kind(&rows, entries[i], UNWIND_RULE_END);
		check_kind(&rows, entries[i] + 0x20, UNWIND_RULE_END);
		check_kind(&rows, entries[i] - 1, UNWIND_RULE_FP_CHAIN);
		check_kind(&rows, CFI_TEXT + 0x100, UNWIND_RULE_SP);
		check_kind(&rows, CFI_TEXT + 0x300, UNWIND_RULE_SP);
		check_kind(&rows, CFI_TEXT + 0x400, UNWIND_RULE_FP_CHAIN);
		unwind_rows__done(&rows);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entry_point),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
