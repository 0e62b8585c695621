/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See native_walk.h. Memory that was not copied is memory that cannot be read.
 */
#include "unwind/native_walk.h"

#include <string.h>

struct unwind_context {
	const uint64_t *regs;
	const uint8_t *bytes;
	uint64_t start; /* address of bytes[0] */
	size_t bytes_cnt;
};

static int unwind_load(struct unwind_context *c, __u64 address, __u64 *ret)
{
	uint64_t offset = address - c->start;

	if (c->bytes_cnt < sizeof(*ret) || offset > c->bytes_cnt - sizeof(*ret))
		return -1;
	memcpy(ret, c->bytes + offset, sizeof(*ret));
	return 0;
}

#include "abi/unwind_step.h"

static uint64_t register_of(const struct unwind_context *c, uint8_t kind)
{
	return c->regs[(uint8_t)(kind - UNWIND_IN_REGISTER) % UNWIND_REG_CNT];
}

static int step_by_rule(struct unwind_context *c, struct unwind_frame *f,
			const struct unwind_rule *r)
{
	return unwind_step(c, f, r, c->regs[r->arg % UNWIND_REG_CNT], register_of(c, r->fp_kind),
			   register_of(c, r->ra_kind));
}

/* Whether the caller's frame pointer is below the stack pointer: popped, and in its register, but
 * the rule does not change for the one instruction that is left. */
static bool is_popped(const struct unwind_frame *f, const struct unwind_rule *r)
{
	return f->has_regs && r->kind == UNWIND_RULE_SP && r->fp_kind == UNWIND_FP_AT_CFA &&
	       (int64_t)r->cfa_offset + r->fp_offset < 0;
}

static int step(struct unwind_context *c, struct unwind_frame *f, const struct unwind_rule *r)
{
	struct unwind_rule popped;
	int outcome;

	if (!r)
		return unwind_step_chain(c, f);
	if (r->kind == UNWIND_RULE_UNSUPPORTED)
		return UNWIND_UNSUPPORTED;
	outcome = step_by_rule(c, f, r);
	if (outcome != UNWIND_UNREADABLE || !is_popped(f, r))
		return outcome;
	/* What lies there was not copied. */
	popped = *r;
	popped.fp_kind = UNWIND_FP_SAME;
	return step_by_rule(c, f, &popped);
}

static const struct unwind_rule *find_rule(const struct tables *t, const struct walk_code *code,
					   uint64_t address)
{
	if (code->file >= UNWIND_FILES_MAX)
		return NULL;
	return tables__find(t, code->file, address - code->bias);
}

size_t native_walk(const struct tables *t, const struct unwind_input *in,
		   walk_find_code_fn find_code, void *ctx, uint64_t *frames, size_t frames_max,
		   enum unwind_outcome *ret_outcome, const struct module **ret_stop)
{
	struct unwind_context c = {
		.regs = in->regs,
		.bytes = in->stack,
		.start = in->regs[UNWIND_REG_SP] - in->below_bytes + in->skipped_bytes,
		.bytes_cnt = in->stack_bytes,
	};
	struct unwind_frame f = {
		.pc = in->regs[UNWIND_REG_RA],
		.sp = in->regs[UNWIND_REG_SP],
		.fp = in->regs[UNWIND_REG_FP],
		.exact = 1,
		.has_regs = 1,
	};
	struct walk_code code = { 0 };
	int outcome = UNWIND_CONTINUE;
	size_t depth;

	for (depth = 0; depth < frames_max && outcome == UNWIND_CONTINUE; depth++) {
		uint64_t address = f.pc - !f.exact;

		if (!find_code(address, &code, ctx)) {
			outcome = UNWIND_NOT_CODE;
			if (depth)
				break;
		}
		frames[depth] = address;
		if (outcome == UNWIND_CONTINUE)
			outcome = step(&c, &f, find_rule(t, &code, address));
	}
	if (outcome == UNWIND_CONTINUE)
		outcome = UNWIND_TOO_DEEP;
	*ret_outcome = outcome;
	if (ret_stop)
		*ret_stop = outcome == UNWIND_END ? NULL : code.module;
	return depth;
}
