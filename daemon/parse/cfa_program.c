/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DW_CFA_* (DWARF 5 section 6.4.2 and the GNU extensions). What compilers and hand-written assembly
 * really use has a rule; of expressions these:
 *
 *	breg7 8; breg16 0; lit15; and; litN; ge; lit3; shl; plus	the lazy binding stubs (PLT)
 *	breg7 160; deref						glibc's sigreturn: the CFA
 *is the rsp saved in the ucontext bregSP|FP n; deref [; plus_uconst m] saved CFA: realigned stacks
 *	bregSP|FP n (of the frame pointer)				saved beside a realigned
 *stack
 *
 * Everything else makes a row UNSUPPORTED, and an instruction that cannot be skipped makes the rest
 * of its FDE so: a wrong caller is worse than none.
 */
#include "parse/cfa_program.h"

#include <dwarf.h>

#define SIGNAL_SP_OFFSET 160 /* of gregs[REG_RSP] in struct ucontext */

#define PRIMARY(op) ((op)&0xc0u) /* DW_CFA_advance_loc, offset, restore keep an operand in */
#define OPERAND(op) ((op)&0x3fu) /* the low six bits */

uint64_t cfa_program__pointer(struct cfi_reader *r, uint8_t encoding, const unsigned char *section,
			      uint64_t section_vaddr)
{
	const uint64_t here = section_vaddr + (uint64_t)(r->at - section);
	uint64_t value = 0;

	switch (encoding & 0x0f) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		value = cfi_reader__u64(r);
		break;
	case DW_EH_PE_uleb128:
		value = cfi_reader__uleb(r);
		break;
	case DW_EH_PE_sleb128:
		value = (uint64_t)cfi_reader__sleb(r);
		break;
	case DW_EH_PE_udata2:
		value = cfi_reader__u16(r);
		break;
	case DW_EH_PE_sdata2:
		value = (uint64_t)(int16_t)cfi_reader__u16(r);
		break;
	case DW_EH_PE_udata4:
		value = cfi_reader__u32(r);
		break;
	case DW_EH_PE_sdata4:
		value = (uint64_t)(int32_t)cfi_reader__u32(r);
		break;
	default:
		cfi_reader__fail(r);
	}
	switch (encoding & 0xf0) {
	case DW_EH_PE_absptr:
		return value;
	case DW_EH_PE_pcrel:
		return value + here;
	default: /* indirect, or relative to what only a running program has */
		cfi_reader__fail(r);
		return 0;
	}
}

/* --- rules -------------------------------------------------------------------------------------
 */
static void set_cfa_offset(struct cfa_state *s, int64_t offset)
{
	if (offset != (int32_t)offset)
		s->cfa = CFA_NONE;
	s->cfa_offset = (int32_t)offset;
}

static void set_cfa(struct cfa_state *s, uint64_t reg, int64_t offset)
{
	s->cfa = reg < UNWIND_REG_CNT ? CFA_REGISTER : CFA_NONE;
	s->cfa_reg = (uint8_t)reg;
	s->cfa_arg = 0;
	set_cfa_offset(s, offset);
}

static void save_register(struct cfa_state *s, uint64_t reg, enum cfa_saved saved, int64_t offset)
{
	if (offset != (int32_t)offset)
		saved = CFA_SAVED_OTHER;
	if (reg == UNWIND_REG_FP) {
		s->fp = (uint8_t)saved;
		s->fp_offset = (int32_t)offset;
	} else if (reg == UNWIND_REG_RA) {
		s->ra = (uint8_t)saved;
		s->ra_offset = (int32_t)offset;
	}
}

static void restore_register(struct cfa_state *s, uint64_t reg, const struct cfa_state *initial)
{
	if (reg == UNWIND_REG_FP)
		save_register(s, reg, initial->fp, initial->fp_offset);
	else if (reg == UNWIND_REG_RA)
		save_register(s, reg, initial->ra, initial->ra_offset);
	else if (reg == UNWIND_REG_SP)
		s->sp = initial->sp;
}

static bool is_plt(const unsigned char *e, size_t bytes)
{
	static const unsigned char head[] = { DW_OP_breg7, 8,           DW_OP_breg16,
					      0,           DW_OP_lit15, DW_OP_and };
	static const unsigned char tail[] = { DW_OP_ge, DW_OP_lit3, DW_OP_shl, DW_OP_plus };

	return bytes == sizeof(head) + 1 + sizeof(tail) && !memcmp(e, head, sizeof(head)) &&
	       e[sizeof(head)] >= DW_OP_lit0 && e[sizeof(head)] <= DW_OP_lit15 &&
	       !memcmp(e + sizeof(head) + 1, tail, sizeof(tail));
}

/* "bregSP|FP n" at the start of an expression. */
static bool read_base(struct cfi_reader *e, uint8_t *ret_reg, int64_t *ret_offset)
{
	uint8_t op = cfi_reader__u8(e);

	*ret_offset = cfi_reader__sleb(e);
	*ret_reg = (uint8_t)(op - DW_OP_breg0);
	return !e->failed && (op == DW_OP_breg7 || op == DW_OP_breg6) &&
	       *ret_offset == (int32_t)*ret_offset;
}

static void set_cfa_expression(struct cfa_state *s, struct cfi_reader e)
{
	uint64_t add = 0;
	int64_t offset;
	uint8_t reg;

	s->cfa = CFA_NONE;
	s->cfa_arg = 0;
	if (is_plt(e.at, cfi_reader__left(&e))) {
		s->cfa = CFA_PLT;
		s->cfa_arg = (uint8_t)(e.at[6] - DW_OP_lit0);
		s->cfa_offset = 8;
		return;
	}
	if (!read_base(&e, &reg, &offset) || cfi_reader__u8(&e) != DW_OP_deref)
		return;
	if (cfi_reader__left(&e)) {
		if (cfi_reader__u8(&e) != DW_OP_plus_uconst)
			return;
		add = cfi_reader__uleb(&e);
	}
	if (e.failed || cfi_reader__left(&e) || add % 8 || add / 8 > UINT8_MAX)
		return;
	if (reg == UNWIND_REG_SP && offset == SIGNAL_SP_OFFSET && !add) {
		s->cfa = CFA_SIGNAL;
		return;
	}
	s->cfa = CFA_DEREF;
	s->cfa_reg = reg;
	s->cfa_arg = (uint8_t)(add / 8);
	s->cfa_offset = (int32_t)offset;
}

static void save_by_expression(struct cfa_state *s, uint64_t reg, struct cfi_reader e)
{
	enum cfa_saved saved = CFA_SAVED_OTHER;
	int64_t offset = 0;
	uint8_t base;

	if (reg != UNWIND_REG_FP && reg != UNWIND_REG_RA)
		return;
	if (read_base(&e, &base, &offset) && !cfi_reader__left(&e))
		saved = base == UNWIND_REG_FP ? CFA_SAVED_AT_FP : CFA_SAVED_AT_SP;
	save_register(s, reg, saved, saved == CFA_SAVED_OTHER ? 0 : offset);
}

/* The end of longjmp: everything is in registers, and the CFA is where they were saved. */
static struct unwind_rule rule_of_registers(const struct cfa_state *s)
{
	if (s->ra < CFA_SAVED_IN_REGISTER ||
	    (s->fp < CFA_SAVED_IN_REGISTER && s->fp != CFA_SAVED_SAME &&
	     s->fp != CFA_SAVED_UNDEFINED))
		return (struct unwind_rule){ .kind = UNWIND_RULE_UNSUPPORTED };
	return (struct unwind_rule){
		.kind = UNWIND_RULE_REG,
		.arg = s->sp - CFA_SAVED_IN_REGISTER,
		.fp_kind = s->fp,
		.ra_kind = s->ra,
	};
}

static struct unwind_rule rule_of(const struct cfa_state *s)
{
	struct unwind_rule rule = { .kind = UNWIND_RULE_UNSUPPORTED };

	if (s->cfa == CFA_SIGNAL)
		return (struct unwind_rule){ .kind = UNWIND_RULE_SIGNAL };
	if (s->ra == CFA_SAVED_UNDEFINED)
		return (struct unwind_rule){ .kind = UNWIND_RULE_END };
	if (s->sp >= CFA_SAVED_IN_REGISTER)
		return rule_of_registers(s);
	if (s->cfa == CFA_NONE || s->fp == CFA_SAVED_OTHER)
		return rule;
	if (s->ra >= CFA_SAVED_IN_REGISTER)
		rule.ra_kind = s->ra;
	else if (s->ra != CFA_SAVED_AT_CFA || s->ra_offset != -8)
		return rule;
	switch (s->cfa) {
	case CFA_REGISTER:
		rule.kind = s->cfa_reg == UNWIND_REG_SP   ? UNWIND_RULE_SP
			    : s->cfa_reg == UNWIND_REG_FP ? UNWIND_RULE_FP
							  : UNWIND_RULE_REG;
		rule.arg = rule.kind == UNWIND_RULE_REG ? s->cfa_reg : 0;
		break;
	case CFA_DEREF:
		rule.kind =
			s->cfa_reg == UNWIND_REG_SP ? UNWIND_RULE_DEREF_SP : UNWIND_RULE_DEREF_FP;
		rule.arg = s->cfa_arg;
		break;
	case CFA_PLT:
		rule.kind = UNWIND_RULE_PLT;
		rule.arg = s->cfa_arg;
		break;
	}
	rule.cfa_offset = s->cfa_offset;
	rule.fp_kind = s->fp;
	if (s->fp >= CFA_SAVED_AT_CFA && s->fp <= CFA_SAVED_AT_SP)
		rule.fp_offset = s->fp_offset;
	return rule;
}

/* --- instructions ------------------------------------------------------------------------------
 */
/* An offset in units of data_align, as all are that are saved. */
static int64_t factored(const struct cfa_context *c, int64_t offset)
{
	int64_t product;

	return __builtin_mul_overflow(offset, c->data_align, &product) ? INT64_MAX : product;
}

static struct cfi_reader read_expression(struct cfi_reader *r)
{
	uint64_t bytes = cfi_reader__uleb(r);
	struct cfi_reader e = { .at = r->at };

	if (bytes > PARSE_CFA_EXPRESSION_MAX)
		cfi_reader__fail(r);
	else
		cfi_reader__skip(r, bytes);
	e.end = r->failed ? e.at : e.at + bytes;
	return e;
}

static void read_saved_in_register(struct cfa_state *s, struct cfi_reader *r)
{
	uint64_t reg = cfi_reader__uleb(r), in = cfi_reader__uleb(r);

	save_register(s, reg, CFA_SAVED_OTHER, 0);
	if (in < UNWIND_REG_CNT && reg == UNWIND_REG_FP)
		s->fp = (uint8_t)(CFA_SAVED_IN_REGISTER + in);
	else if (in < UNWIND_REG_CNT && reg == UNWIND_REG_RA)
		s->ra = (uint8_t)(CFA_SAVED_IN_REGISTER + in);
	else if (in < UNWIND_REG_CNT && reg == UNWIND_REG_SP)
		s->sp = (uint8_t)(CFA_SAVED_IN_REGISTER + in);
}

static bool remember_state(struct cfa_program *p)
{
	if (p->depth == PARSE_CFA_STACK_MAX)
		return false;
	p->stack[p->depth++] = p->state;
	return true;
}

static bool restore_state(struct cfa_program *p)
{
	if (!p->depth)
		return false;
	p->state = p->stack[--p->depth];
	return true;
}

/* Instructions about the CFA. False: not one of them. */
static bool run_cfa_instruction(struct cfa_program *p, uint8_t op)
{
	const struct cfa_context *c = p->context;
	struct cfi_reader *r = &p->reader;
	struct cfa_state *s = &p->state;
	uint64_t reg;

	switch (op) {
	case DW_CFA_def_cfa:
		reg = cfi_reader__uleb(r);
		set_cfa(s, reg, (int64_t)cfi_reader__uleb(r));
		return true;
	case DW_CFA_def_cfa_sf:
		reg = cfi_reader__uleb(r);
		set_cfa(s, reg, factored(c, cfi_reader__sleb(r)));
		return true;
	case DW_CFA_def_cfa_register:
		reg = cfi_reader__uleb(r);
		if (s->cfa == CFA_REGISTER)
			set_cfa(s, reg, s->cfa_offset);
		else
			s->cfa = CFA_NONE;
		return true;
	case DW_CFA_def_cfa_offset:
	case DW_CFA_def_cfa_offset_sf:
		if (s->cfa != CFA_REGISTER)
			s->cfa = CFA_NONE;
		set_cfa_offset(s, op == DW_CFA_def_cfa_offset ? (int64_t)cfi_reader__uleb(r)
							      : factored(c, cfi_reader__sleb(r)));
		return true;
	case DW_CFA_def_cfa_expression:
		set_cfa_expression(s, read_expression(r));
		return true;
	default:
		return false;
	}
}

/* Instructions about registers. False: not one of them either. */
static bool run_register_instruction(struct cfa_program *p, uint8_t op)
{
	const struct cfa_context *c = p->context;
	struct cfi_reader *r = &p->reader;
	struct cfa_state *s = &p->state;
	uint64_t reg;

	if (op == DW_CFA_register) {
		read_saved_in_register(s, r);
		return true;
	}
	reg = cfi_reader__uleb(r);
	switch (op) {
	case DW_CFA_offset_extended:
		save_register(s, reg, CFA_SAVED_AT_CFA, factored(c, (int64_t)cfi_reader__uleb(r)));
		return true;
	case DW_CFA_offset_extended_sf:
		save_register(s, reg, CFA_SAVED_AT_CFA, factored(c, cfi_reader__sleb(r)));
		return true;
	case DW_CFA_GNU_negative_offset_extended:
		save_register(s, reg, CFA_SAVED_AT_CFA,
			      factored(c, (int64_t)(0 - cfi_reader__uleb(r))));
		return true;
	case DW_CFA_restore_extended:
		restore_register(s, reg, &c->initial);
		return true;
	case DW_CFA_undefined:
		save_register(s, reg, CFA_SAVED_UNDEFINED, 0);
		return true;
	case DW_CFA_same_value:
		save_register(s, reg, CFA_SAVED_SAME, 0);
		return true;
	case DW_CFA_val_offset:
	case DW_CFA_val_offset_sf:
		cfi_reader__leb(r, false);
		save_register(s, reg, CFA_SAVED_OTHER, 0);
		return true;
	case DW_CFA_expression:
		save_by_expression(s, reg, read_expression(r));
		return true;
	case DW_CFA_val_expression:
		read_expression(r);
		save_register(s, reg, CFA_SAVED_OTHER, 0);
		return true;
	case DW_CFA_GNU_args_size: /* what was read is the size, of no use here */
		return true;
	default:
		return false;
	}
}

/* DW_CFA_advance_loc1/2/4/8 and set_loc: the new address. False: another instruction. */
static bool read_location(struct cfa_program *p, uint8_t op, uint64_t *ret_pc)
{
	const struct cfa_context *c = p->context;
	struct cfi_reader *r = &p->reader;
	uint64_t delta;

	switch (op) {
	case DW_CFA_set_loc:
		*ret_pc =
			cfa_program__pointer(r, c->pointer_encoding, c->section, c->section_vaddr);
		return true;
	case DW_CFA_advance_loc1:
		delta = cfi_reader__u8(r);
		break;
	case DW_CFA_advance_loc2:
		delta = cfi_reader__u16(r);
		break;
	case DW_CFA_advance_loc4:
		delta = cfi_reader__u32(r);
		break;
	case DW_CFA_MIPS_advance_loc8:
		delta = cfi_reader__u64(r);
		break;
	default:
		return false;
	}
	if (__builtin_mul_overflow(delta, c->code_align, &delta) ||
	    __builtin_add_overflow(p->pc, delta, ret_pc))
		*ret_pc = UINT64_MAX; /* behind every end */
	return true;
}

/* Runs one instruction; *ret_pc is p->pc or where the next row begins. False: not understood. */
static bool run_instruction(struct cfa_program *p, uint64_t *ret_pc)
{
	const uint8_t op = cfi_reader__u8(&p->reader);

	*ret_pc = p->pc;
	switch (PRIMARY(op)) {
	case DW_CFA_advance_loc:
		if (__builtin_mul_overflow(OPERAND(op), p->context->code_align, ret_pc) ||
		    __builtin_add_overflow(p->pc, *ret_pc, ret_pc))
			*ret_pc = UINT64_MAX;
		return true;
	case DW_CFA_offset:
		save_register(&p->state, OPERAND(op), CFA_SAVED_AT_CFA,
			      factored(p->context, (int64_t)cfi_reader__uleb(&p->reader)));
		break;
	case DW_CFA_restore:
		restore_register(&p->state, OPERAND(op), &p->context->initial);
		break;
	default:
		if (op == DW_CFA_nop)
			return true;
		if (op == DW_CFA_remember_state)
			return remember_state(p);
		if (op == DW_CFA_restore_state)
			return restore_state(p);
		if (!run_cfa_instruction(p, op) && !read_location(p, op, ret_pc) &&
		    !run_register_instruction(p, op))
			return false;
	}
	return !p->reader.failed;
}

bool cfa_program__run_initial(struct cfa_context *context, const unsigned char *instructions,
			      size_t bytes)
{
	struct cfa_program p;
	uint64_t pc;

	context->initial = (struct cfa_state){ .cfa = CFA_NONE };
	cfa_program__start(&p, context, instructions, bytes, 0, 1);
	while (cfi_reader__left(&p.reader))
		if (!run_instruction(&p, &pc) || pc)
			return false;
	context->initial = p.state;
	return true;
}

void cfa_program__start(struct cfa_program *program, const struct cfa_context *context,
			const unsigned char *instructions, size_t bytes, uint64_t start,
			uint64_t end)
{
	program->context = context;
	program->reader = (struct cfi_reader){ .at = instructions, .end = instructions + bytes };
	program->state = context->initial;
	program->depth = 0;
	program->pc = start;
	program->end = end;
	program->failed = false;
}

bool cfa_program__next(struct cfa_program *program, uint64_t *ret_pc, struct unwind_rule *ret_rule)
{
	uint64_t next = program->pc;

	if (program->pc >= program->end)
		return false;
	*ret_pc = program->pc;
	while (cfi_reader__left(&program->reader)) {
		if (!run_instruction(program, &next) || next < program->pc) {
			program->failed = true;
			program->pc = program->end;
			*ret_rule = (struct unwind_rule){ .kind = UNWIND_RULE_UNSUPPORTED };
			return true;
		}
		if (next != program->pc)
			break;
	}
	*ret_rule = rule_of(&program->state);
	program->pc = next == program->pc ? program->end : next;
	return true;
}
