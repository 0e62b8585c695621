/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One frame of a user stack, from one rule. Pure: the same lines run in the BPF programs and,
 * compiled natively, in daemon/unwind/ (stacks that came as a copy), in tests and in a fuzzer. The
 * includer provides what differs: its context and how a word of the target's memory is read.
 *
 *	struct unwind_context;
 *	static int unwind_load(struct unwind_context *c, __u64 address, __u64 *ret);	0 if
 *readable
 */
#ifndef ABI_UNWIND_STEP_H
#define ABI_UNWIND_STEP_H

#include "abi/event.h"
#include "abi/unwind_table.h"

/* struct ucontext at a signal frame's sp: uc_flags, uc_link, uc_stack are 40 bytes, then the
 * registers in the order of the kernel's struct sigcontext (arch/x86/include/uapi). */
#define UCONTEXT_FP (40 + 10 * 8)
#define UCONTEXT_SP (40 + 15 * 8)
#define UCONTEXT_PC (40 + 16 * 8)

#define UNWIND_INLINE static inline __attribute__((always_inline))

/* The walk by frame pointers, for code without call frame information: [fp] is the caller's frame
 * pointer, [fp + 8] the return address. */
UNWIND_INLINE int unwind_step_chain(struct unwind_context *c, struct unwind_frame *f)
{
	__u64 fp, pc;

	if (!f->fp)
		return UNWIND_FP_ZERO;
	if ((f->fp & 7) || f->fp < f->sp)
		return UNWIND_FP_INVALID;
	if (unwind_load(c, f->fp, &fp) || unwind_load(c, f->fp + 8, &pc))
		return UNWIND_UNREADABLE;
	if (!pc)
		return UNWIND_END;
	f->sp = f->fp + 16;
	f->fp = fp;
	f->pc = pc;
	f->exact = 0;
	f->has_regs = 0;
	return UNWIND_CONTINUE;
}

/* A signal handler returns to where the thread was interrupted, on whatever stack that was. */
UNWIND_INLINE int unwind_step_signal(struct unwind_context *c, struct unwind_frame *f)
{
	__u64 fp, sp, pc;

	if (unwind_load(c, f->sp + UCONTEXT_FP, &fp) || unwind_load(c, f->sp + UCONTEXT_SP, &sp) ||
	    unwind_load(c, f->sp + UCONTEXT_PC, &pc))
		return UNWIND_UNREADABLE;
	if (!pc)
		return UNWIND_END;
	f->fp = fp;
	f->sp = sp;
	f->pc = pc;
	f->exact = 1;
	f->has_regs = 0;
	return UNWIND_CONTINUE;
}

UNWIND_INLINE int unwind_cfa(struct unwind_context *c, const struct unwind_frame *f,
			     const struct unwind_rule *r, __u64 reg, __u64 *ret)
{
	__u64 base;

	switch (r->kind) {
	case UNWIND_RULE_SP:
		*ret = f->sp + (__s64)r->cfa_offset;
		return UNWIND_CONTINUE;
	case UNWIND_RULE_FP:
		*ret = f->fp + (__s64)r->cfa_offset;
		return UNWIND_CONTINUE;
	case UNWIND_RULE_DEREF_SP:
	case UNWIND_RULE_DEREF_FP:
		base = r->kind == UNWIND_RULE_DEREF_SP ? f->sp : f->fp;
		if (unwind_load(c, base + (__s64)r->cfa_offset, ret))
			return UNWIND_UNREADABLE;
		*ret += (__u64)r->arg * 8;
		return UNWIND_CONTINUE;
	case UNWIND_RULE_PLT:
		*ret = f->sp + (__s64)r->cfa_offset + ((f->pc & 15) >= r->arg ? 8 : 0);
		return UNWIND_CONTINUE;
	case UNWIND_RULE_REG:
		if (!f->has_regs)
			return UNWIND_UNSUPPORTED;
		*ret = reg + (__s64)r->cfa_offset;
		return UNWIND_CONTINUE;
	}
	return UNWIND_UNSUPPORTED;
}

UNWIND_INLINE int unwind_caller_fp(struct unwind_context *c, const struct unwind_frame *f,
				   const struct unwind_rule *r, __u64 cfa, __u64 reg, __u64 *ret)
{
	*ret = f->fp;
	switch (r->fp_kind) {
	case UNWIND_FP_SAME:
		return 0;
	case UNWIND_FP_AT_CFA:
		return unwind_load(c, cfa + (__s64)r->fp_offset, ret);
	case UNWIND_FP_AT_FP:
		return unwind_load(c, f->fp + (__s64)r->fp_offset, ret);
	case UNWIND_FP_AT_SP:
		return unwind_load(c, f->sp + (__s64)r->fp_offset, ret);
	case UNWIND_FP_UNDEFINED:
		*ret = 0;
		return 0;
	}
	*ret = f->has_regs ? reg : 0;
	return 0;
}

/*
 * Replaces *f by its caller's frame and returns UNWIND_CONTINUE, or leaves it and returns the
 * outcome. The three registers are those the rule names (arg, fp_kind, ra_kind), looked up by the
 * includer; they mean something only while f->has_regs.
 */
UNWIND_INLINE int unwind_step(struct unwind_context *c, struct unwind_frame *f,
			      const struct unwind_rule *r, __u64 cfa_reg, __u64 fp_reg,
			      __u64 ra_reg)
{
	__u64 cfa, fp, pc;
	int outcome;

	if (r->kind == UNWIND_RULE_END)
		return UNWIND_END;
	if (r->kind == UNWIND_RULE_FP_CHAIN)
		return unwind_step_chain(c, f);
	if (r->kind == UNWIND_RULE_SIGNAL)
		return unwind_step_signal(c, f);
	outcome = unwind_cfa(c, f, r, cfa_reg, &cfa);
	if (outcome != UNWIND_CONTINUE)
		return outcome;
	/* A return address in a register leaves nothing on the stack; only a top frame has one. */
	if (cfa < f->sp || (cfa == f->sp && r->ra_kind < UNWIND_IN_REGISTER))
		return UNWIND_BAD_CFA;
	if (r->ra_kind >= UNWIND_IN_REGISTER) {
		if (!f->has_regs)
			return UNWIND_UNSUPPORTED;
		pc = ra_reg;
	} else if (unwind_load(c, cfa - 8, &pc)) {
		return UNWIND_UNREADABLE;
	}
	if (unwind_caller_fp(c, f, r, cfa, fp_reg, &fp))
		return UNWIND_UNREADABLE;
	if (!pc)
		return UNWIND_END;
	f->pc = pc;
	f->sp = cfa;
	f->fp = fp;
	f->exact = 0;
	f->has_regs = 0;
	return UNWIND_CONTINUE;
}

#endif
