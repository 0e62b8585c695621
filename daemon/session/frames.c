/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See frames.h. A pid may have changed hands and a mapping may be unknown: every frame is looked up
 * against what its process had mapped at the time of the sample.
 */
#include "session/frames.h"

#include <errno.h>
#include "session/outcome.h"

static int push_location(struct stack *stack, struct profile *profile, uint32_t mapping,
			 uint64_t address)
{
	if (stack->cnt >= STACK_MAX)
		return 0;
	return profile__location(profile, mapping, address, &stack->locations[stack->cnt++]);
}

static int push_synthetic(struct stack *stack, struct profile *profile, const char *name)
{
	if (stack->cnt >= STACK_MAX)
		return 0;
	return profile__synthetic(profile, name, &stack->locations[stack->cnt++]);
}

static int push_kernel_stack(struct stack *stack, struct kind_run *run, struct naming *naming,
			     const struct sample *s)
{
	uint32_t i, mapping;
	int err;

	if (!s->kernel_cnt)
		return 0;
	err = naming__kernel_mapping(naming, run->profile, &mapping);
	for (i = 0; !err && i < s->kernel_cnt; i++)
		err = push_location(stack, run->profile, mapping, s->kernel[i] - (i > 0));
	return err;
}

/* One frame; *ret_known is false when the address belongs to no executable mapping. */
static int push_user_frame(struct frames *f, struct stack *stack, struct kind_run *run,
			   struct naming *naming, struct process *process, uint64_t address,
			   bool *ret_known)
{
	const struct mapping *m = process__mapping(f->processes, process, address);
	uint32_t mapping;
	int err;

	*ret_known = m != NULL;
	if (!m)
		return 0;
	if (m->module->kind == MODULE_FILE && m->module->fd < 0)
		module__pin(f->processes, process, m, m->module);
	err = naming__module_mapping(naming, run->profile, m->module, &mapping);
	if (err)
		return err;
	address -= m->start;
	if (m->module->kind != MODULE_JIT) /* has no file to be an offset into */
		address += m->offset;
	return push_location(stack, run->profile, mapping, address);
}

/* The process a sample is of. A different start time means another process had the pid when the
 * table last heard of it: its mappings would give wrong names. */
static struct process *find_process(struct frames *f, const struct sample *s)
{
	struct process *process = process_table__find(f->processes, s->pid);
	uint64_t start_ticks = s->start_ns / NSEC_PER_USER_TICK;

	if (process && !process->start_ticks)
		process->start_ticks = start_ticks; /* its FORK does not tell */
	return process && process->start_ticks == start_ticks ? process : NULL;
}

/* Frames of a sample whose stack came as a copy. *ret is the sample with them in place. */
static void walk_copy(struct frames *f, struct process *process, const struct sample *s,
		      struct sample *ret)
{
	const struct unwind_input in = {
		.pid = s->pid,
		.start_ns = s->start_ns,
		.exec_id = s->exec_id,
		.regs = s->regs,
		.stack = s->stack,
		.stack_bytes = s->stack_bytes,
		.skipped_bytes = s->skipped_bytes,
	};

	*ret = *s;
	ret->user = f->walked;
	ret->user_cnt = (uint32_t)unwind__walk(f->unwind, process, &in, f->walked, MAX_USER_FRAMES,
					       &ret->outcome, NULL);
}

static int push_user_stack(struct frames *f, struct stack *stack, struct kind_run *run,
			   struct naming *naming, const struct sample *s)
{
	enum unwind_outcome outcome = s->outcome;
	struct process *process;
	struct sample walked;
	const char *root;
	bool known = true;
	uint32_t i;
	int err = 0;

	if (outcome == UNWIND_KERNEL_THREAD || outcome == UNWIND_NO_STACK) {
		run->outcomes[outcome]++;
		return 0;
	}
	process = find_process(f, s);
	if (!process) {
		run->stacks_unknown++;
		return push_synthetic(stack, run->profile, "[unknown]");
	}
	if (s->regs) {
		walk_copy(f, process, s, &walked);
		s = &walked;
		outcome = walked.outcome;
	}
	for (i = 0; !err && i < s->user_cnt; i++) {
		err = push_user_frame(f, stack, run, naming, process, s->user[i], &known);
		if (known)
			continue;
		if (i == 0)
			err = err ?: push_synthetic(stack, run->profile, "[unknown]");
		outcome = UNWIND_NOT_CODE;
		break;
	}
	run->outcomes[outcome]++;
	root = outcome__root(outcome, s->user_cnt);
	if (!err && root)
		err = push_synthetic(stack, run->profile, root);
	return err;
}

int frames__make(struct frames *f, struct kind_run *run, struct naming *naming,
		 const struct sample *s, struct stack *ret)
{
	int err;

	ret->cnt = 0;
	err = push_kernel_stack(ret, run, naming, s);
	if (!err)
		err = push_user_stack(f, ret, run, naming, s);
	if (!err && !ret->cnt)
		err = push_synthetic(ret, run->profile, "[unknown]");
	return err;
}

int frames__synthetic(struct profile *profile, const char *leaf, const char *root,
		      struct stack *ret)
{
	int err;

	ret->cnt = 0;
	err = push_synthetic(ret, profile, leaf);
	if (!err && root)
		err = push_synthetic(ret, profile, root);
	return err;
}
