/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One x86-64 instruction: where it leads, what it writes, and what the kernel does with a probe on
 * it. The only user of Zydis; knows no files and no functions.
 */
#ifndef PARSE_INSN_H
#define PARSE_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Registers have their DWARF numbers, as in abi/heap.h. */
enum insn_reg {
	INSN_RAX = 0,
	INSN_RDX = 1,
	INSN_RCX = 2,
	INSN_RBX = 3,
	INSN_RSI = 4,
	INSN_RDI = 5,
	INSN_RBP = 6,
	INSN_RSP = 7,
	INSN_R8 = 8,
	INSN_R9 = 9,
	INSN_REGS = 16,
	INSN_NO_REG = 16,
};

enum insn_kind {
	INSN_OTHER,
	INSN_JUMP,
	INSN_CONDITIONAL,
	INSN_CALL,
	INSN_RETURN,
	INSN_STOP, /* never goes on: ud2, hlt, int3 */
};

enum insn_target {
	INSN_TARGET_NONE,    /* not a jump or call, or to where a register says */
	INSN_TARGET_ADDRESS, /* to 'target' */
	INSN_TARGET_SLOT,    /* to what is stored at address 'target' */
};

/* What the kernel does with a probe here. */
enum insn_probe {
	INSN_PROBE_REFUSED,
	INSN_PROBE_STEPPED,
	INSN_PROBE_EMULATED, /* by every kernel since 5.10 */
};

struct insn {
	uint64_t address, target;
	uint8_t length;
	uint8_t kind;        /* enum insn_kind */
	uint8_t target_kind; /* enum insn_target */
	uint8_t probe;       /* enum insn_probe */
	uint8_t condition;   /* of INSN_CONDITIONAL: INSN_IF_… */
	uint8_t reserved[3];
};

/* The condition codes that are asked for; others have their own numbers. */
enum insn_condition {
	INSN_IF_EQUAL = 0x4,
	INSN_IF_BELOW_OR_EQUAL = 0x6,
	INSN_IF_ABOVE = 0x7,
	INSN_IF_OTHER = 0xff, /* loop, jrcxz */
};

/* What an instruction does with the 16 general registers. */
struct insn_effects {
	uint32_t written;           /* mask of those it changes, wholly or in part */
	uint8_t copy_from, copy_to; /* mov of 64 bits between two of them; else INSN_NO_REG */
	uint8_t tested;             /* test REG,REG of 64 bits */
	uint8_t zeroed;             /* xor REG,REG */
	uint8_t compared;           /* cmp REG,constant of 64 bits */
	int64_t constant;
};

/* False: no instruction begins there. */
bool insn__decode(const unsigned char *bytes, size_t bytes_cnt, uint64_t address, struct insn *ret);
bool insn__effects(const unsigned char *bytes, size_t bytes_cnt, struct insn_effects *ret);

/* A no-operation of any length: what USDT probes are. */
bool insn__is_nop(const unsigned char *bytes, size_t bytes_cnt);

#endif
