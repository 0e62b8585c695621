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
 * A block that begins where the next one does has no rows (cnt is 0): the row at first holds all
 * the same. A gap between segments thus costs one row and a word per block.
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

/*
 * How the tables lie in the kernel: arrays that user space maps and writes, and the programs only
 * read. 'leaf' and 'block' are cut into pages of 4 KiB so that an element of the array is a page.
 *
 * A walk reads unwind_control.generation before and after; user space makes it odd, changes what a
 * walk may be reading (pages taken from one file and given to another, the mappings of a process),
 * and makes it even again. What is only added is written before it is published: rows, then blocks,
 * then the file, then the mappings that point to it.
 */
#define UNWIND_PAGE_WORDS 1024

struct unwind_page {
	__u32 words[UNWIND_PAGE_WORDS]; /* rows (leaf), or positions of rows in all of leaf (block)
					 */
};

/* An element of the dictionary; padded to what the kernel rounds an array's elements up to. */
struct unwind_rule_entry {
	struct unwind_rule rule;
	__u32 reserved;
};

#define UNWIND_FILES_MAX 4096
#define UNWIND_RULES_MAX 16384
#define UNWIND_SLOTS     512 /* processes with mappings in the kernel at one time */
#define UNWIND_MAPPINGS  256 /* of one process; a power of two */

/* One file's table. block_cnt 0: none. */
struct unwind_file {
	__u64 base;        /* ELF virtual address of its first block */
	__u32 first_block; /* in all of block; block_cnt + 1 entries are its own */
	__u32 block_cnt;
	__u32 epoch; /* unwind_control.epoch of the last walk that came by; written by the programs
		      */
	__u32 reserved;
};

enum unwind_file_id {
	UNWIND_FILE_CHAIN = UNWIND_FILES_MAX,    /* no file: frame pointers (JIT) */
	UNWIND_FILE_COLD = UNWIND_FILES_MAX + 1, /* its table is not there (yet): ask user space */
};

/* The executable mappings of one process, ascending; start of unused ones is ~0. */
struct unwind_slot {
	__u64 start[UNWIND_MAPPINGS];
	__u64 end[UNWIND_MAPPINGS];
	__u64 bias[UNWIND_MAPPINGS]; /* pc - bias = ELF virtual address */
	__u32 file[UNWIND_MAPPINGS];
};

/* Value of map unwind_processes, key: tgid. */
struct unwind_process {
	__u64 start_ns; /* boot time of the leader's start: a pid that came back does not match */
	__u32 slot;
	__u32 exec_id; /* task->self_exec_id: after an exec the mappings are others */
};

struct unwind_control {
	__u64 generation; /* odd: being changed */
	__u32 epoch;      /* counted up by user space about once a second */
	__u32 reserved;
};

/* Where a walk stands. */
struct unwind_frame {
	__u64 pc; /* a caller's: its return address */
	__u64 sp;
	__u64 fp;
	__u32 exact; /* pc is where it stood, not a return address: the top, and above a signal */
	__u32 has_regs; /* the general registers are this frame's: the top only */
};

#endif
