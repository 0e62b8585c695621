/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See pipeline.h. While the window lasts a stack is kept as locations (mapping, offset into the
 * module's file): processes may go, modules stay. Names are looked up once per location, at the end
 * (session/naming.c).
 */
#include "session/pipeline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "base/array.h"
#include "base/clock.h"
#include "base/log.h"
#include "profile/completeness.h"
#include "session/naming.h"
#include "session/outcome.h"

/* The aggregate's share of the collector's memory budget (40 MB with everything). */
#define PROFILE_MAX_BYTES (24U << 20)
#define STACK_MAX         (MAX_FRAMES + 2)
#define LABELS_MAX        8

/* String indices that every sample needs, per run. */
struct label_strings {
	uint32_t pid, tid, comm, thread, cpu;
};

struct run_state {
	struct label_strings strings;
	struct naming naming;
};

struct pipeline {
	struct pipeline_config config;
	struct run_state *states;         /* one per config.runs */
	bool is_titled;                   /* COMMAND's executable has been seen */
	uint64_t walked[MAX_USER_FRAMES]; /* of the copy being walked */
};

/* A stack under construction, leaf first. */
struct stack {
	uint32_t locations[STACK_MAX];
	uint32_t cnt;
};

static struct kind_run *find_run(struct pipeline *p, const struct probe *probe,
				 struct run_state **ret)
{
	size_t i;

	for (i = 0; i < p->config.runs_cnt; i++) {
		if (p->config.runs[i].probe != probe)
			continue;
		*ret = &p->states[i];
		return &p->config.runs[i];
	}
	return NULL;
}

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

static int push_kernel_stack(struct stack *stack, struct kind_run *run, struct run_state *state,
			     const struct sample *s)
{
	uint32_t i, mapping;
	int err;

	if (!s->kernel_cnt)
		return 0;
	err = naming__kernel_mapping(&state->naming, run->profile, &mapping);
	for (i = 0; !err && i < s->kernel_cnt; i++)
		err = push_location(stack, run->profile, mapping, s->kernel[i] - (i > 0));
	return err;
}

/* One frame; *ret_known is false when the address belongs to no executable mapping. */
static int push_user_frame(struct pipeline *p, struct stack *stack, struct kind_run *run,
			   struct run_state *state, struct process *process, uint64_t address,
			   bool *ret_known)
{
	const struct mapping *m = process__mapping(p->config.processes, process, address);
	uint32_t mapping;
	int err;

	*ret_known = m != NULL;
	if (!m)
		return 0;
	if (m->module->kind == MODULE_FILE && m->module->fd < 0)
		module__pin(p->config.processes, process, m, m->module);
	err = naming__module_mapping(&state->naming, run->profile, m->module, &mapping);
	if (err)
		return err;
	address -= m->start;
	if (m->module->kind != MODULE_JIT) /* has no file to be an offset into */
		address += m->offset;
	return push_location(stack, run->profile, mapping, address);
}

/* The process a sample is of. A different start time means another process had the pid when the
 * table last heard of it: its mappings would give wrong names. */
static struct process *find_process(struct pipeline *p, const struct sample *s)
{
	struct process *process = process_table__find(p->config.processes, s->pid);
	uint64_t start_ticks = s->start_ns / NSEC_PER_USER_TICK;

	if (process && !process->start_ticks)
		process->start_ticks = start_ticks; /* its FORK does not tell */
	return process && process->start_ticks == start_ticks ? process : NULL;
}

/* Frames of a sample whose stack came as a copy. *ret is the sample with them in place. */
static void walk_copy(struct pipeline *p, struct process *process, const struct sample *s,
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
	ret->user = p->walked;
	ret->user_cnt = (uint32_t)unwind__walk(p->config.unwind, process, &in, p->walked,
					       MAX_USER_FRAMES, &ret->outcome, NULL);
}

static int push_user_stack(struct pipeline *p, struct stack *stack, struct kind_run *run,
			   struct run_state *state, const struct sample *s)
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
	process = find_process(p, s);
	if (!process) {
		run->stacks_unknown++;
		return push_synthetic(stack, run->profile, "[unknown]");
	}
	if (s->regs) {
		walk_copy(p, process, s, &walked);
		s = &walked;
		outcome = walked.outcome;
	}
	for (i = 0; !err && i < s->user_cnt; i++) {
		err = push_user_frame(p, stack, run, state, process, s->user[i], &known);
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

static int add_number(struct profile_label *labels, uint32_t *cnt, uint32_t key, int64_t value)
{
	labels[(*cnt)++] = (struct profile_label){ .key = key, .num = value, .num_unit = key };
	return 0;
}

static int add_text(struct profile *profile, struct profile_label *labels, uint32_t *cnt,
		    uint32_t key, const char *value)
{
	struct profile_label *l = &labels[*cnt];

	if (!*value)
		return 0; /* an empty string would read as a number of 0 */
	*l = (struct profile_label){ .key = key };
	(*cnt)++;
	return profile__string(profile, value, &l->str);
}

/* Numbers carry a unit, or a value of 0 would be dropped on decoding by pprof. */
static int make_labels(const struct pipeline *p, const struct kind_run *run,
		       const struct run_state *state, const struct sample *s,
		       struct profile_label labels[LABELS_MAX], uint32_t *ret_cnt)
{
	const struct label_strings *str = &state->strings;
	unsigned int wanted = p->config.opts->labels;
	int err = 0;

	*ret_cnt = 0;
	if (wanted & LABEL_PID)
		err = add_number(labels, ret_cnt, str->pid, s->pid);
	if (!err && (wanted & LABEL_COMM))
		err = add_text(run->profile, labels, ret_cnt, str->comm, s->leader_comm);
	if (!err && (wanted & LABEL_THREAD))
		err = add_text(run->profile, labels, ret_cnt, str->thread, s->comm);
	if (!err && (wanted & LABEL_TID))
		err = add_number(labels, ret_cnt, str->tid, s->tid);
	if (!err && (wanted & LABEL_CPU))
		err = add_number(labels, ret_cnt, str->cpu, s->cpu);
	return err;
}

static int aggregate(struct pipeline *p, struct kind_run *run, struct run_state *state,
		     const struct sample *s)
{
	struct profile_label labels[LABELS_MAX];
	int64_t values[] = { 1, run->profile->period };
	struct stack stack = { .cnt = 0 };
	uint32_t labels_cnt;
	int err;

	err = push_kernel_stack(&stack, run, state, s);
	if (!err)
		err = push_user_stack(p, &stack, run, state, s);
	if (!err && !stack.cnt)
		err = push_synthetic(&stack, run->profile, "[unknown]");
	if (!err)
		err = make_labels(p, run, state, s, labels, &labels_cnt);
	if (!err)
		err = profile__add(run->profile, stack.locations, stack.cnt, labels, labels_cnt,
				   values);
	return err;
}

int pipeline__sample(struct pipeline *p, const struct sample *s)
{
	struct run_state *state;
	struct kind_run *run = find_run(p, s->probe, &state);
	int err;

	if (!run)
		return 0;
	err = aggregate(p, run, state, s);
	if (err == -ENOSPC) {
		run->account.dropped_profile_full++;
		return 0;
	}
	if (err) {
		run->account.dropped_no_memory++;
		return err;
	}
	run->account.aggregated++;
	return 0;
}

static int add_dangling_mapping(const struct pipeline *p, struct profile *profile)
{
	char host[256] = "", file[512];
	const struct options *opts = p->config.opts;
	struct profile_mapping mapping = { 0 };
	uint32_t id;
	int err;

	gethostname(host, sizeof(host) - 1);
	if (opts->target == TARGET_COMM)
		snprintf(file, sizeof(file), "%s (comm %s)", host, opts->comm);
	else if (opts->target == TARGET_CGROUP)
		snprintf(file, sizeof(file), "%s (cgroup)", host);
	else
		snprintf(file, sizeof(file), "%s (all processes)", host);
	err = profile__string(profile, file, &mapping.file);
	return err ?: profile__add_mapping(profile, &mapping, &id);
}

/* pprof titles a profile by its first mapping: the TARGET's executable, or the host. */
static int add_first_mapping(struct pipeline *p, struct profile *profile, struct run_state *state)
{
	struct module *module = NULL;
	struct process *process;
	uint32_t id;

	if (p->config.opts->target == TARGET_COMMAND)
		return naming__reserve_first(&state->naming, profile, p->config.opts->command[0]);
	if (p->config.main_pid) {
		process = process_table__find(p->config.processes, p->config.main_pid);
		module = process ? process__executable(p->config.processes, process) : NULL;
	}
	if (module)
		return naming__module_mapping(&state->naming, profile, module, &id);
	return add_dangling_mapping(p, profile);
}

/* COMMAND's executable is known once its exec has been seen. */
static int title_by_command(struct pipeline *p, const struct process_event *ev)
{
	struct process *process;
	struct module *module;
	size_t i;
	int err = 0;

	if (p->config.opts->target != TARGET_COMMAND || ev->pid != p->config.main_pid ||
	    ev->kind != PROCESS_EVENT_MMAP || p->is_titled)
		return 0;
	process = process_table__find(p->config.processes, ev->pid);
	module = process ? process__executable(p->config.processes, process) : NULL;
	for (i = 0; module && !err && i < p->config.runs_cnt; i++)
		err = naming__bind_first(&p->states[i].naming, p->config.runs[i].profile, module);
	p->is_titled = module != NULL;
	return err;
}

int pipeline__event(struct pipeline *p, const struct process_event *ev)
{
	int err = process_table__apply(p->config.processes, ev);

	if (ev->kind == PROCESS_EVENT_MMAP || ev->kind == PROCESS_EVENT_EXEC ||
	    ev->kind == PROCESS_EVENT_EXIT)
		unwind__process_changed(p->config.unwind, ev->pid);
	return err ?: title_by_command(p, ev);
}

static int start_profile(struct pipeline *p, struct kind_run *run, struct run_state *state)
{
	const struct probe *probe = run->probe;
	struct profile *profile = run->profile = profile__new();
	struct label_strings *str = &state->strings;
	size_t i;
	int err = 0;

	if (!profile)
		return -ENOMEM;
	for (i = 0; !err && i < probe->sample_types_cnt; i++)
		err = profile__add_sample_type(profile, probe->sample_types[i].type,
					       probe->sample_types[i].unit);
	if (!err)
		err = profile__set_period(profile, probe->period_type.type, probe->period_type.unit,
					  (int64_t)(NSEC_PER_SEC / p->config.opts->freq_hz));
	if (!err)
		err = profile__string(profile, probe->sample_types[probe->default_type].type,
				      &profile->default_sample_type);
	if (!err)
		err = profile__string(profile, "pid", &str->pid);
	if (!err)
		err = profile__string(profile, "tid", &str->tid);
	if (!err)
		err = profile__string(profile, "comm", &str->comm);
	if (!err)
		err = profile__string(profile, "thread", &str->thread);
	if (!err)
		err = profile__string(profile, "cpu", &str->cpu);
	profile->time_ns = (int64_t)p->config.start_real_ns;
	profile->bytes_max = PROFILE_MAX_BYTES;
	return err ?: add_first_mapping(p, profile, state);
}

int pipeline__new(struct pipeline **ret, const struct pipeline_config *config)
{
	_cleanup_(pipeline__freep) struct pipeline *p = calloc(1, sizeof(*p));
	size_t i;
	int err;

	if (!p)
		return -ENOMEM;
	p->config = *config;
	p->states = calloc(config->runs_cnt, sizeof(*p->states));
	if (!p->states)
		return -ENOMEM;
	for (i = 0; i < config->runs_cnt; i++) {
		err = start_profile(p, &config->runs[i], &p->states[i]);
		if (err)
			return err;
	}
	*ret = take_ptr(p);
	return 0;
}

void pipeline__free(struct pipeline *p)
{
	size_t i;

	if (!p)
		return;
	for (i = 0; p->states && i < p->config.runs_cnt; i++)
		naming__done(&p->states[i].naming);
	free(p->states);
	free(p);
}

/* What was dropped keeps its weight: totals stay true. */
static int add_lost(struct kind_run *run)
{
	int64_t values[2];
	uint32_t stack[2];
	size_t i;
	int err = 0;

	for (i = 0; !err && i < drop_reasons_cnt; i++) {
		uint64_t dropped = accounting__dropped(&run->account, &drop_reasons[i]);
		char name[64];

		if (!dropped)
			continue;
		snprintf(name, sizeof(name), "[%s]", drop_reasons[i].name);
		values[0] = (int64_t)dropped;
		values[1] = (int64_t)dropped * run->profile->period;
		err = profile__synthetic(run->profile, name, &stack[0]);
		if (!err)
			err = profile__synthetic(run->profile, "[lost]", &stack[1]);
		if (!err)
			err = profile__add(run->profile, stack, 2, NULL, 0, values);
	}
	return err;
}

static void sum_profiled(struct kind_run *run)
{
	size_t i;

	run->account.profiled = 0;
	for (i = 0; i < run->profile->samples_cnt; i++)
		run->account.profiled += (uint64_t)run->profile->samples[i].values[0];
}

/* "#stacks cpu complete=… cut=… unknown=…", and how the walks ended. */
static int add_stacks_comment(struct kind_run *run)
{
	_cleanup_(completeness__done) struct completeness c = { 0 };
	_cleanup_buf_ struct buf text = BUF_INIT;
	size_t i;
	int err;

	err = completeness__compute(&c, run->profile);
	if (err)
		return err;
	buf__printf(&text, "#stacks %s complete=%" PRId64 " cut=%" PRId64 " unknown=%" PRId64,
		    run->probe->name, c.complete, c.cut, c.unknown);
	for (i = UNWIND_END + 1; i < UNWIND_OUTCOME_CNT; i++)
		if (run->outcomes[i])
			buf__printf(&text, " %s=%" PRIu64, outcome__name(i), run->outcomes[i]);
	return buf__error(&text) ?: profile__add_comment(run->profile, text.data);
}

static int add_comments(const struct pipeline *p, struct kind_run *run)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	const struct options *opts = p->config.opts;
	struct utsname uts;
	size_t i;
	int err;

	buf__printf(&text, "cprofd %s: %s at %u Hz", CPROF_VERSION, run->probe->name,
		    opts->freq_hz);
	err = buf__error(&text) ?: profile__add_comment(run->profile, text.data);
	if (!err && uname(&uts) == 0) {
		buf__clear(&text);
		buf__printf(&text, "kernel: %s %s", uts.release, uts.machine);
		err = buf__error(&text) ?: profile__add_comment(run->profile, text.data);
	}
	for (i = 0; !err && i < opts->tags_cnt; i++) {
		buf__clear(&text);
		buf__printf(&text, "%s=%s", opts->tags[i].key, opts->tags[i].value);
		err = buf__error(&text) ?: profile__add_comment(run->profile, text.data);
	}
	buf__clear(&text);
	buf__printf(&text, "#%s ", run->probe->name);
	accounting__print(&run->account, &text);
	err = err ?: buf__error(&text) ?: profile__add_comment(run->profile, text.data);
	return err ?: add_stacks_comment(run);
}

int pipeline__finish(struct pipeline *p, struct kind_run *run)
{
	struct run_state *state = &p->states[run - p->config.runs];
	int err;

	run->profile->duration_ns = (int64_t)run->window_ns;
	run->profile->bytes_max = 0; /* names are not what fills it */
	err = naming__resolve(&state->naming, run->profile, p->config.symbolizer, &run->names);
	if (!err)
		err = add_lost(run);
	sum_profiled(run);
	return err ?: add_comments(p, run);
}
