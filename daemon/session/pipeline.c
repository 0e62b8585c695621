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
#include "session/frames.h"
#include "session/heap_run.h"
#include "session/labels.h"
#include "session/outcome.h"
#include "session/sched_run.h"

/* The aggregate's share of the collector's memory budget (40 MB with everything). */
#define PROFILE_MAX_BYTES (24U << 20)

struct run_state {
	struct label_keys keys;
	struct naming naming;
};

struct pipeline {
	struct pipeline_config config;
	struct run_state *states; /* one per config.runs */
	bool is_titled;           /* COMMAND's executable has been seen */
	struct frames frames;
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

static int make_labels(const struct pipeline *p, const struct kind_run *run,
		       const struct run_state *state, const struct sample *s, struct label_set *ret)
{
	const struct label_values values = {
		.pid = s->pid,
		.tid = s->tid,
		.comm = s->leader_comm,
		.thread = s->comm,
		.cpu = s->cpu,
	};

	return label_set__make(ret, &state->keys, run->profile, p->config.opts->labels, &values);
}

static int add_stack(struct pipeline *p, struct kind_run *run, struct run_state *state,
		     const struct sample *s)
{
	const int64_t values[] = { 1, run->profile->period };
	struct label_set labels;
	struct stack stack;
	int err;

	err = frames__make(&p->frames, run, &state->naming, s, &stack);
	if (!err)
		err = make_labels(p, run, state, s, &labels);
	if (err)
		return err;
	if (kind_run__has_own_stacks(run))
		return kind_run__keep_stack(run, s, stack.locations, stack.cnt, &labels);
	return profile__add(run->profile, stack.locations, stack.cnt, labels.labels, labels.cnt,
			    values);
}

/* A stack that what it counts is still to follow. */
static int keep_stack(struct pipeline *p, struct kind_run *run, struct run_state *state,
		      const struct sample *s)
{
	int err = add_stack(p, run, state, s);

	if (!err) {
		run->account.stacks_aggregated++;
		return 0;
	}
	if (err == -ENOSPC) {
		run->account.stacks_dropped_profile_full++;
		return kind_run__lose_stack(run, s);
	}
	run->account.stacks_dropped_no_memory++;
	return err;
}

int pipeline__sample(struct pipeline *p, const struct sample *s)
{
	struct run_state *state;
	struct kind_run *run = find_run(p, s->probe, &state);
	int err;

	if (!run)
		return 0;
	if (kind_run__has_own_stacks(run) && s->kind == SAMPLE_STACK)
		return keep_stack(p, run, state, s);
	err = kind_run__has_own_stacks(run) ? kind_run__count(run, s) : add_stack(p, run, state, s);
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

/* Kinds that sample at a rate have one, of time or of bytes. */
static int set_period(const struct pipeline *p, const struct probe *probe, struct profile *profile)
{
	const struct options *opts = p->config.opts;
	uint64_t period =
		probe->counts_allocs ? opts->heap_interval_bytes : NSEC_PER_SEC / opts->freq_hz;

	if (!probe->period_type.type)
		return 0;
	return profile__set_period(profile, probe->period_type.type, probe->period_type.unit,
				   (int64_t)period);
}

static int start_profile(struct pipeline *p, struct kind_run *run, struct run_state *state)
{
	int err = kind_run__init(run, p->config.opts);
	const struct probe *probe = run->probe;
	struct profile *profile = run->profile;
	size_t i;

	if (err)
		return err;
	for (i = 0; !err && i < probe->sample_types_cnt; i++)
		err = profile__add_sample_type(profile, probe->sample_types[i].type,
					       probe->sample_types[i].unit);
	if (!err)
		err = set_period(p, probe, profile);
	if (!err)
		err = profile__string(profile, probe->sample_types[probe->default_type].type,
				      &profile->default_sample_type);
	if (!err)
		err = label_keys__intern(&state->keys, profile);
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
	p->frames.processes = config->processes;
	p->frames.unwind = config->unwind;
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

/* What was dropped keeps its weight: totals stay true. Of samples that count by themselves. */
static int add_lost(struct kind_run *run)
{
	struct stack stack;
	size_t i;
	int err = 0;

	for (i = 0; !err && i < drop_reasons_cnt; i++) {
		uint64_t dropped = accounting__dropped(&run->account, &drop_reasons[i]);
		const int64_t values[] = { (int64_t)dropped,
					   (int64_t)dropped * run->profile->period };
		char name[64];

		if (!dropped)
			continue;
		snprintf(name, sizeof(name), "[%s]", drop_reasons[i].name);
		err = frames__synthetic(run->profile, name, "[lost]", &stack);
		if (!err)
			err = profile__add(run->profile, stack.locations, stack.cnt, NULL, 0,
					   values);
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

	buf__printf(&text, "cprofd %s: %s", CPROF_VERSION, run->probe->name);
	if (run->heap)
		buf__printf(&text, ", a sample every %" PRIu64 " bytes", run->profile->period);
	else if (run->profile->period)
		buf__printf(&text, " at %u Hz", opts->freq_hz);
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

static int add_waits(const struct pipeline *p, struct kind_run *run, const struct run_state *state)
{
	const struct sched_finish finish = {
		.opts = p->config.opts,
		.keys = &state->keys,
		.mounts = "/proc/self/mounts",
		.real_less_mono_ns = (int64_t)(clock__real_ns() - clock__mono_ns()),
	};

	return sched_run__finish(run->sched, run, &finish);
}

static int add_allocs(const struct pipeline *p, struct kind_run *run)
{
	const struct heap_finish finish = {
		.opts = p->config.opts,
		.cost = &run->heap_cost,
		.sources = run->heap_sources,
		.real_less_mono_ns = (int64_t)(clock__real_ns() - clock__mono_ns()),
		.live_full = run->heap_live_full,
	};

	return heap_run__finish(run->heap, run, &finish);
}

static int add_rows(const struct pipeline *p, struct kind_run *run, const struct run_state *state)
{
	if (run->heap)
		return add_allocs(p, run);
	return run->sched ? add_waits(p, run, state) : add_lost(run);
}

int pipeline__finish(struct pipeline *p, struct kind_run *run)
{
	struct run_state *state = &p->states[run - p->config.runs];
	int err;

	run->profile->duration_ns = (int64_t)run->window_ns;
	run->profile->bytes_max = 0; /* names are not what fills it */
	err = naming__resolve(&state->naming, run->profile, p->config.symbolizer, &run->names);
	if (!err)
		err = add_rows(p, run, state);
	if (!run->heap)
		sum_profiled(run);
	return err ?: add_comments(p, run);
}
