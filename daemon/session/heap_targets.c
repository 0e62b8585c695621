/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_targets.h. Whom to probe: finds the TARGET's processes at the start and follows those
 * that come, change and go; where each is probed is heap_choice.c's business, what that costs
 * heap_tick.c's.
 */
#include "session/heap_targets.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "base/clock.h"
#include "base/log.h"
#include "session/heap_facts.h"
#include "session/heap_targets_state.h"

#define SAID_MAX 8 /* lines about processes that cannot be probed */

struct heap_target *heap_targets__find(const struct heap_targets *t, pid_t pid)
{
	struct heap_target *target;

	HASH_FIND(hh, t->processes, &pid, sizeof(pid), target);
	return target;
}

/* What it holds is not live any more. That the live set cannot be read is no reason to end a run.
 */
static int forget_memory(struct heap_targets *t, pid_t pid, uint64_t time_ns)
{
	int err = heap_run__forget_process(t->run->heap, t->s->collector, pid, time_ns);

	if (err && err != -ENOMEM)
		log_debug("heap: what pid %d held: %s, ignoring", pid, strerror(-err));
	return err == -ENOMEM ? err : 0;
}

static int follow(struct heap_targets *t, const struct process *p, struct heap_target **ret)
{
	struct heap_target *target = calloc(1, sizeof(*target));
	bool is_new = t->start_ns != 0;

	if (!target)
		return -ENOMEM;
	target->pid = p->pid;
	target->ppid = p->ppid;
	target->start_ticks = p->start_ticks;
	memcpy(target->comm, p->comm, sizeof(target->comm));
	target->is_final = t->s->opts->target == TARGET_PIDS || p->pid == t->command_pid;
	HASH_ADD(hh, t->processes, pid, sizeof(target->pid), target);
	if (hash__add_failed(target)) {
		free(target);
		return -ENOMEM;
	}
	*ret = target;
	return heap_tick__enter(t, target, is_new);
}

/* It has ended, or is not of the TARGET any more. 0 or -ENOMEM. */
static int leave(struct heap_targets *t, struct heap_target *target, bool has_ended,
		 uint64_t time_ns)
{
	int err = 0;

	t->missed_cnt += has_ended && !target->is_probed && target->attach_err == -ESRCH;
	if (!has_ended || !target->is_final)
		err = forget_memory(t, target->pid, time_ns);
	if (!t->is_detached)
		heap_probes__drop(t->links, target->pid);
	heap_tick__leave(t, target);
	HASH_DEL(t->processes, target);
	free(target);
	return err;
}

static bool is_wanted(const struct heap_targets *t, const struct process *p)
{
	switch (t->s->opts->target) {
	case TARGET_COMMAND:
		return p->pid == t->command_pid || heap_targets__find(t, p->ppid);
	case TARGET_COMM:
		return !strcmp(p->comm, t->s->opts->comm);
	case TARGET_CGROUP:
		return t->cgroup_path && heap_facts__is_in_cgroup(p->pid, t->cgroup_path);
	case TARGET_HOST:
		return p->pid != getpid();
	case TARGET_PIDS: /* all of them are followed from the start */
		break;
	}
	return false;
}

static void keep_first_refusal(struct heap_targets *t, const struct heap_target *target,
			       const char *reason)
{
	if (!t->first_refusal[0])
		snprintf(t->first_refusal, sizeof(t->first_refusal),
			 "pid %d (%s) cannot be probed: %s", target->pid, target->comm, reason);
}

/* A line for each of a few; nobody reads those of a whole host. */
static void say_why_not(struct heap_targets *t, struct heap_target *target)
{
	bool is_loud = t->s->opts->target != TARGET_HOST && t->said_cnt < SAID_MAX;
	struct process *p;
	char reason[256];

	if (target->is_probed || target->has_said)
		return;
	target->has_said = true;
	p = process_table__find(t->s->processes, target->pid);
	heap_choice__reason(t, target, p, reason, sizeof(reason));
	keep_first_refusal(t, target, reason);
	t->said_cnt += is_loud;
	log__write(is_loud ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG,
		   "heap: pid %d (%s) cannot be probed: %s", target->pid, target->comm, reason);
}

/* The TARGET's processes that are there at the start. 0 or -ENOMEM. */
static int take_in(struct heap_targets *t, pid_t pid)
{
	struct process *p = process_table__find(t->s->processes, pid);
	struct heap_target *target;
	int err;

	if (!p || p->exited)
		return 0;
	err = follow(t, p, &target);
	if (!err && !heap_probes__is_shared(t->links))
		unwind__prepare(t->s->unwind, p);
	return err ?: heap_choice__process(t, target, p);
}

static int take_in_if_wanted(pid_t pid, void *ctx)
{
	struct heap_targets *t = ctx;
	struct process *p;

	if (heap_targets__find(t, pid) || procfs__is_kernel_thread(pid))
		return 0;
	p = process_table__find(t->s->processes, pid);
	return p && is_wanted(t, p) ? take_in(t, pid) : 0;
}

static int take_in_command(struct heap_targets *t)
{
	struct process *p = process_table__find(t->s->processes, t->command_pid);
	const struct process unknown = { .pid = t->command_pid };
	struct heap_target *target;
	int err = follow(t, p ?: &unknown, &target);

	return err ?: heap_choice__command(t, target, p);
}

static int take_in_all(struct heap_targets *t)
{
	const struct session *s = t->s;
	size_t i;
	int err = 0;

	switch (s->opts->target) {
	case TARGET_PIDS:
		for (i = 0; i < s->targets.cnt && !err; i++)
			err = take_in(t, s->targets.list[i].pid);
		return err;
	case TARGET_COMMAND:
		return take_in_command(t);
	case TARGET_CGROUP:
		t->cgroup_path = heap_facts__cgroup_path(s->targets.cgroup_fd);
		break;
	case TARGET_COMM:
	case TARGET_HOST:
		break;
	}
	return procfs__each_pid(take_in_if_wanted, t);
}

static int make(struct heap_targets *t)
{
	const struct options *opts = t->s->opts;
	bool many = opts->target == TARGET_HOST || t->s->targets.cnt > HEAP_OWN_PROCESSES;
	uint64_t seed = 0;

	t->returns_are_safe = heap_facts__seccomp_allows_returns();
	t->command_pid = t->s->command ? command__pid(t->s->command) : 0;
	t->files = heap_files__new(t->s->processes, t->s->worker);
	/* One link for all hits processes that it had better not. */
	t->links = heap_probes__new(&heap_probes__collector, t->s->collector, t->returns_are_safe);
	if (!t->files || !t->links)
		return -ENOMEM;
	if (opts->target == TARGET_HOST && !t->returns_are_safe) {
		log_err("--heap-host-wide: this kernel ends processes under seccomp that return "
			"through a probe; Linux 6.14 does not; give a TARGET");
		return -ENOSYS;
	}
	if (many && t->returns_are_safe)
		heap_probes__share(t->links);
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		seed = clock__mono_ns();
	heap_budget__init(&t->budget, opts->heap_budget_percent, opts->heap_is_live, seed);
	return 0;
}

/* Where nobody of named processes can be probed the run is over before it begins: a young one may
 * still load what it lacks. */
static int check_start(struct heap_targets *t)
{
	struct heap_target *target = NULL, *next = NULL;
	bool is_over = t->s->opts->target == TARGET_PIDS && !t->probed_cnt;
	struct process *p;
	char reason[256];

	if (is_over && targets__all_gone(&t->s->targets)) {
		log_err("pid %d exited before it could be profiled", t->s->targets.list[0].pid);
		return EXIT_STATUS_NO_TARGET;
	}
	HASH_ITER (hh, t->processes, target, next) {
		if (target->is_probed || target->pid == t->command_pid)
			continue;
		p = process_table__find(t->s->processes, target->pid);
		if (p && heap_choice__is_loading(t, target, p))
			is_over = false;
		else if (!is_over)
			say_why_not(t, target);
		else if (!t->first_refusal[0]) {
			heap_choice__reason(t, target,
					    process_table__find(t->s->processes, target->pid),
					    reason, sizeof(reason));
			keep_first_refusal(t, target, reason);
		}
	}
	if (!is_over)
		return EXIT_STATUS_OK;
	log_err("heap: %s",
		t->first_refusal[0] ? t->first_refusal : "nobody is there to be probed");
	return EXIT_STATUS_FAILURE;
}

int heap_targets__start(struct heap_targets **ret, struct session *s, struct kind_run *run)
{
	_cleanup_(heap_targets__freep) struct heap_targets *t = calloc(1, sizeof(*t));
	int err = -ENOMEM, status;

	if (t) {
		t->s = s;
		t->run = run;
		err = make(t);
	}
	if (!err)
		err = take_in_all(t);
	if (err == -ENOSYS)
		return EXIT_STATUS_KERNEL;
	if (err) {
		log_errno(err, "probing the heap");
		return EXIT_STATUS_FAILURE;
	}
	status = check_start(t);
	if (status)
		return status;
	heap_tick__start(t);
	*ret = take_ptr(t);
	return EXIT_STATUS_OK;
}

void heap_targets__free(struct heap_targets *t)
{
	struct heap_target *target = NULL, *next = NULL;

	if (!t)
		return;
	HASH_ITER (hh, t->processes, target, next) {
		HASH_DEL(t->processes, target);
		free(target);
	}
	heap_probes__free(t->links);
	heap_files__free(t->files);
	free(t->cgroup_path);
	free(t);
}

/* Whoever begins to be of the TARGET: by its fork, its exec, or its name. */
static int consider(struct heap_targets *t, pid_t pid, bool has_mappings)
{
	struct process *p = process_table__find(t->s->processes, pid);
	struct heap_target *target;
	int err;

	if (!p || p->exited || !is_wanted(t, p))
		return 0;
	err = follow(t, p, &target);
	return err || !has_mappings ? err : heap_choice__process(t, target, p);
}

static int on_fork(struct heap_targets *t, const struct process_event *ev)
{
	/* Who is known already was seen by the scan. */
	if (ev->pid != ev->tid || heap_targets__find(t, ev->pid))
		return 0;
	return t->s->opts->target == TARGET_PIDS ? 0 : consider(t, ev->pid, true);
}

static int on_exec(struct heap_targets *t, const struct process_event *ev)
{
	struct heap_target *target = heap_targets__find(t, ev->pid);
	struct process *p = process_table__find(t->s->processes, ev->pid);
	int err;

	if (!target)
		return t->s->opts->target == TARGET_PIDS ? 0 : consider(t, ev->pid, false);
	if (t->s->opts->target == TARGET_COMM && p && !is_wanted(t, p))
		return leave(t, target, false, ev->time_ns);
	err = forget_memory(t, ev->pid, ev->time_ns);
	heap_choice__forget_image(target);
	/* Another thread has called it: links of the old leader do not see the new image. */
	if (target->has_lost_leader && !t->is_detached)
		heap_probes__drop(t->links, target->pid);
	target->has_lost_leader = false;
	memcpy(target->comm, ev->comm, sizeof(target->comm));
	return err;
}

static int on_comm(struct heap_targets *t, const struct process_event *ev)
{
	struct heap_target *target = heap_targets__find(t, ev->pid);
	struct process *p;

	if (ev->pid != ev->tid)
		return 0;
	if (target)
		memcpy(target->comm, ev->comm, sizeof(target->comm));
	if (t->s->opts->target != TARGET_COMM)
		return 0;
	p = process_table__find(t->s->processes, ev->pid);
	if (!target)
		return consider(t, ev->pid, true);
	return p && !is_wanted(t, p) ? leave(t, target, false, ev->time_ns) : 0;
}

static int on_mmap(struct heap_targets *t, const struct process_event *ev)
{
	struct heap_target *target = heap_targets__find(t, ev->pid);
	struct process *p = target ? process_table__find(t->s->processes, ev->pid) : NULL;
	const struct mapping *m = p ? process__mapping(t->s->processes, p, ev->start) : NULL;

	return m ? heap_choice__mapping(t, target, p, m) : 0;
}

static int on_exit_of(struct heap_targets *t, const struct process_event *ev)
{
	struct heap_target *target = heap_targets__find(t, ev->pid);

	if (target && ev->tid == ev->pid)
		target->has_lost_leader = true;
	if (!target || !process_table__is_gone(t->s->processes, ev->pid))
		return 0;
	if (target->is_final)
		say_why_not(t, target);
	return leave(t, target, true, ev->time_ns);
}

/* Whoever came or went unseen. */
static int on_lost(struct heap_targets *t, const struct process_event *ev)
{
	struct heap_target *target = NULL, *next = NULL;
	int err = 0;

	HASH_ITER (hh, t->processes, target, next) {
		if (!err && process_table__is_gone(t->s->processes, target->pid))
			err = leave(t, target, true, ev->time_ns);
	}
	if (err || t->s->opts->target == TARGET_PIDS || t->s->opts->target == TARGET_COMMAND)
		return err;
	return procfs__each_pid(take_in_if_wanted, t);
}

int heap_targets__event(struct heap_targets *t, const struct process_event *ev)
{
	switch (ev->kind) {
	case PROCESS_EVENT_FORK:
		return on_fork(t, ev);
	case PROCESS_EVENT_EXEC:
		return on_exec(t, ev);
	case PROCESS_EVENT_COMM:
		return on_comm(t, ev);
	case PROCESS_EVENT_MMAP:
		return on_mmap(t, ev);
	case PROCESS_EVENT_EXIT:
		return on_exit_of(t, ev);
	case PROCESS_EVENT_LOST:
		return on_lost(t, ev);
	}
	return 0;
}

void heap_targets__detach(struct heap_targets *t)
{
	if (t->is_detached)
		return;
	heap_tick__finish(t);
	t->is_detached = true;
}

void heap_targets__costs(const struct heap_targets *t, struct heap_cost_totals *ret)
{
	*ret = t->totals;
}

unsigned int heap_targets__sources(const struct heap_targets *t)
{
	return t->sources;
}

int heap_targets__check(const struct heap_targets *t)
{
	if (t->missed_cnt)
		log_warn("heap: %" PRIu64 " processes ended before they could be probed: what they "
			 "allocated is missing",
			 t->missed_cnt);
	if (t->probed_cnt)
		return EXIT_STATUS_OK;
	log_err("--heap: nobody of the TARGET could be probed%s%s", t->first_refusal[0] ? ": " : "",
		t->first_refusal);
	return EXIT_STATUS_FAILURE;
}
