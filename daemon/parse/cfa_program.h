/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interpreter of DWARF call frame instructions: the bytes of one FDE → (address, rule) rows. Only
 * what an unwinder of x86-64 in the kernel needs is kept: the CFA, the frame pointer and the return
 * address. Called by unwind_rows.c for each FDE; knows no files and no tables.
 */
#ifndef PARSE_CFA_PROGRAM_H
#define PARSE_CFA_PROGRAM_H

#include "abi/unwind_table.h"
#include "parse/cfi_reader.h"

enum cfa_kind {
	CFA_NONE = 0, /* not defined, or by something that has no rule */
	CFA_REGISTER = 1,
	CFA_DEREF = 2,
	CFA_PLT = 3,
	CFA_SIGNAL = 4,
};

/* How one register is found; from CFA_SAVED_IN_REGISTER on: in register (value - 16). */
enum cfa_saved {
	CFA_SAVED_SAME = 0,
	CFA_SAVED_AT_CFA = 1,
	CFA_SAVED_AT_FP = 2,
	CFA_SAVED_AT_SP = 3,
	CFA_SAVED_UNDEFINED = 4,
	CFA_SAVED_OTHER = 5, /* somewhere a rule cannot say */
	CFA_SAVED_IN_REGISTER = UNWIND_IN_REGISTER,
};

struct cfa_state {
	uint8_t cfa;     /* enum cfa_kind */
	uint8_t cfa_reg; /* of CFA_REGISTER and CFA_DEREF */
	uint8_t cfa_arg; /* as in struct unwind_rule */
	uint8_t fp;      /* enum cfa_saved */
	uint8_t ra;      /* enum cfa_saved */
	uint8_t sp;      /* CFA_SAVED_SAME: it is the CFA; or in a register */
	int32_t cfa_offset, fp_offset, ra_offset;
};

/* What all FDEs of one CIE share. */
struct cfa_context {
	uint64_t code_align;
	int64_t data_align;
	uint8_t pointer_encoding; /* of DW_CFA_set_loc: DW_EH_PE_* */
	uint64_t section_vaddr;   /* and what a relative one is relative to: vaddr of ... */
	const unsigned char *section;
	struct cfa_state initial; /* after the CIE's own instructions */
};

struct cfa_program {
	const struct cfa_context *context;
	struct cfi_reader reader;
	struct cfa_state state;
	struct cfa_state stack[PARSE_CFA_STACK_MAX];
	size_t depth;
	uint64_t pc, end;
	bool failed; /* an instruction could not be understood: the rest is UNSUPPORTED */
};

/* Runs a CIE's instructions and leaves what they say in context->initial. False: not understood. */
bool cfa_program__run_initial(struct cfa_context *context, const unsigned char *instructions,
			      size_t bytes);

/* Begins an FDE for [start, end); the bytes and the context must outlive the program. */
void cfa_program__start(struct cfa_program *program, const struct cfa_context *context,
			const unsigned char *instructions, size_t bytes, uint64_t start,
			uint64_t end);

/* The next row; addresses rise. The first is the FDE's start; false: there are no more. */
bool cfa_program__next(struct cfa_program *program, uint64_t *ret_pc, struct unwind_rule *ret_rule);

/* A pointer in one of the encodings of .eh_frame (DW_EH_PE_*), absolute or relative to itself. An
 * encoding without meaning in a file fails the reader. */
uint64_t cfa_program__pointer(struct cfi_reader *r, uint8_t encoding, const unsigned char *section,
			      uint64_t section_vaddr);

#endif
