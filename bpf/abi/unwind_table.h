/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How code is unwound without frame pointers: rows made from call frame information by
 * daemon/parse/unwind_rows.c and looked up by the walk. Pure data; both sides include it.
 *
 * The text of one executable segment is cut into blocks of 1 KiB. A block index says where each
 * block's rows begin; a row says from which byte of the block on which rule holds, until the next
 * row. A block's first row is always at byte 0 (what holds is inherited from the block before), so
 * no look-up leaves its block. Rows lie in leaf pages of 1,024; a block never straddles two, and
 * what is left of a page is filled with UNWIND_ROW_PAD, which sorts behind every address. Hence:
 *
 *	first = blocks[b], next = blocks[b + 1]		(one entry stands behind the last block)
 *	cnt   = same page ? next - first : UNWIND_LEAF_ROWS - (first in its page)
 *	the last of these cnt rows that is <= ((byte in block) << 16 | 0xffff) holds
 *
 * An address outside every block is unwound by UNWIND_RULE_FP_CHAIN, as are gaps between functions:
 * code without call frame information (JIT, hand-written assembly) either keeps frame pointers or
 * cannot be unwound at all.
 */
#ifndef ABI_UNWIND_TABLE_H
#define ABI_UNWIND_TABLE_H

#include <linux/types.h>

#define UNWIND_BLOCK_SHIFT 10
#define UNWIND_BLOCK_BYTES (1u << UNWIND_BLOCK_SHIFT)
#define UNWIND_LEAF_SHIFT  10
#define UNWIND_LEAF_ROWS   (1u << UNWIND_LEAF_SHIFT)

#define UNWIND_ROW_PAD                  0xffffffffu
#define UNWIND_ROW(byte_in_block, rule) ((__u32)(byte_in_block) << 16 | (rule))
#define UNWIND_ROW_RULE(row)            ((row)&0xffffu)
#define UNWIND_ROW_BYTE(row)            ((row) >> 16)

/*
 * How the caller's stack pointer (CFA) follows from this frame's registers; sp and fp are this
 * frame's everywhere below. Registers other than these two are known in a topmost frame and in one
 * that a signal interrupted, nowhere else. Numbers are the ABI.
 */
enum unwind_rule_kind {
	UNWIND_RULE_FP_CHAIN = 0,    /* no CFI: CFA = fp + 16, fp = [fp], pc = [fp + 8] */
	UNWIND_RULE_END = 1,         /* the return address is undefined: outermost frame */
	UNWIND_RULE_SP = 2,          /* sp + cfa_offset */
	UNWIND_RULE_FP = 3,          /* fp + cfa_offset */
	UNWIND_RULE_DEREF_SP = 4,    /* [sp + cfa_offset] + arg * 8 */
	UNWIND_RULE_DEREF_FP = 5,    /* [fp + cfa_offset] + arg * 8 */
	UNWIND_RULE_PLT = 6,         /* sp + cfa_offset, + 8 where (pc & 15) >= arg */
	UNWIND_RULE_SIGNAL = 7,      /* sp is at a struct ucontext, which holds every register */
	UNWIND_RULE_REG = 8,         /* register arg + cfa_offset, where that is known */
	UNWIND_RULE_UNSUPPORTED = 9, /* CFI says something that has no rule */
	UNWIND_RULE_KIND_CNT = 10,
};

/* Where the caller's frame pointer is. From UNWIND_IN_REGISTER on: in register (value - 16). */
enum unwind_fp_kind {
	UNWIND_FP_SAME = 0,   /* not changed by this frame */
	UNWIND_FP_AT_CFA = 1, /* [CFA + fp_offset] */
	UNWIND_FP_AT_FP = 2,  /* [fp + fp_offset]: functions that realign their stack */
	UNWIND_FP_AT_SP = 3,  /* [sp + fp_offset] */
	UNWIND_FP_UNDEFINED = 4,
};

/* Where the return address is. From UNWIND_IN_REGISTER on as above (vfork, longjmp). */
enum unwind_ra_kind {
	UNWIND_RA_AT_CFA = 0, /* [CFA - 8] */
};

#define UNWIND_IN_REGISTER 16

/* DWARF's numbers of the x86-64 registers, as in arg and behind UNWIND_IN_REGISTER. */
#define UNWIND_REG_FP  6
#define UNWIND_REG_SP  7
#define UNWIND_REG_RA  16
#define UNWIND_REG_CNT 16

/* What a rule does not use is 0, so that equal rules are equal bytes. */
struct unwind_rule {
	__u8 kind;    /* enum unwind_rule_kind */
	__u8 fp_kind; /* enum unwind_fp_kind */
	__u8 arg;
	__u8 ra_kind; /* enum unwind_ra_kind */
	__s32 cfa_offset;
	__s32 fp_offset;
};

_Static_assert(sizeof(struct unwind_rule) == 12, "no hidden padding");
_Static_assert(UNWIND_BLOCK_BYTES <= UNWIND_LEAF_ROWS, "a block of one-byte rows fits a page");

#endif
