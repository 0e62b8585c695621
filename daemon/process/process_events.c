/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Side-band events applied to the process table, in time order. Each may tell again what a scan of
 * /proc has seen: every rule here ends in the right state when applied twice.
 */
#include "process/process_table.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"

/* Kernel samples of its exit path come after a process's last EXIT record. */
#define GONE_GRACE_NS (2 * NSEC_PER_SEC)

static void drop_expired(struct process_table *t)
{
	struct process_entry *e;

	while ((e = t->gone_head) && t->now_ns > e->exited_ns + GONE_GRACE_NS) {
		process_table__untrack(t, e->pub.pid);
		process_table__drop(t, e);
	}
}

/* The entry an event other than a FORK or EXIT speaks of; an unknown process lives all the same. */
static struct process_entry *get_entry(struct process_table *t, pid_t pid)
{
	struct process_entry *e = process_table__lookup(t, pid);

	if (e) {
		process_table__revive(t, e);
		return e;
	}
	e = process_table__add(t, pid);
	if (e)
		e->unread = true;
	return e;
}

static void set_comm(struct process_entry *e, const char comm[PROCESS_COMM_LEN])
{
	memcpy(e->pub.comm, comm, PROCESS_COMM_LEN);
	e->pub.comm[PROCESS_COMM_LEN - 1] = '\0';
}

/* Whether the FORK is of the process we know already: from a scan, and nothing ended it since. */
static bool is_known(const struct process_entry *e, const struct process_event *ev)
{
	return !e->pub.exited && !e->forked_ns && e->pub.start_ticks &&
	       process_scan__is_same_start(e->pub.start_ticks, ev->time_ns);
}

/* A new process: whatever had the pid is gone, the parent's memory is the child's. */
static int fork_process(struct process_table *t, const struct process_event *ev)
{
	struct process_entry *old = process_table__lookup(t, ev->pid);
	struct process_entry *parent = process_table__lookup(t, ev->ppid);
	bool parent_read = parent && !parent->unread;
	struct process_entry *e;
	uint64_t start_ticks = 0;

	if (old && is_known(old, ev))
		start_ticks = old->pub.start_ticks;
	else if (old && t->only)
		process_table__untrack(t, ev->pid);
	if (old)
		process_table__drop(t, old);
	/* The child may be gone before anybody asks for it, and has no maps of its own to read
	 * then. */
	if (parent && parent->unread && !parent->pub.exited)
		(void)process_scan__unread(t, parent);
	if (t->only && t->follow_children && process_table__tracks(t, ev->ppid)) {
		int err = process_table__mark_tracked(t, ev->pid);

		if (err)
			return err;
	}
	if (!process_table__tracks(t, ev->pid))
		return 0;
	e = process_table__add(t, ev->pid);
	if (!e)
		return -ENOMEM;
	e->pub.ppid = ev->ppid;
	e->pub.start_ticks = start_ticks;
	e->forked_ns = ev->time_ns;
	e->unread = !parent_read;
	if (parent) {
		memcpy(e->pub.comm, parent->pub.comm, sizeof(e->pub.comm));
		e->as = address_space__ref(parent->as);
		e->executable = parent->executable;
	}
	return process_entry__add_tid(e, ev->tid);
}

static int fork_thread(struct process_table *t, const struct process_event *ev)
{
	struct process_entry *e = get_entry(t, ev->pid);

	return e ? process_entry__add_tid(e, ev->tid) : -ENOMEM;
}

static int apply_exec(struct process_table *t, const struct process_event *ev)
{
	struct process_entry *e = get_entry(t, ev->pid);

	if (!e)
		return -ENOMEM;
	address_space__unref(e->before_exec);
	e->before_exec = take_ptr(e->as);
	e->executable = NULL;
	e->executable_asked = false;
	e->unread = false; /* whatever was missed before is gone too */
	e->pub.execs++;
	t->stats.execs_seen++;
	set_comm(e, ev->comm);
	/* The other threads are dead, and the one that called has taken the leader's id. */
	return process_entry__only_tid(e, ev->pid);
}

static int apply_comm(struct process_table *t, const struct process_event *ev)
{
	struct process_entry *e;

	if (ev->tid != ev->pid)
		return 0;
	e = get_entry(t, ev->pid);
	if (!e)
		return -ENOMEM;
	set_comm(e, ev->comm);
	return 0;
}

static int apply_mmap(struct process_table *t, const struct process_event *ev)
{
	struct mapping m = { .start = ev->start, .end = ev->end, .offset = ev->offset };
	struct module_spec spec = {
		.dev_major = ev->dev_major,
		.dev_minor = ev->dev_minor,
		.inode = ev->inode,
		.inode_generation = ev->inode_generation,
		.build_id = ev->build_id,
		.build_id_len = ev->build_id_len,
	};
	struct process_entry *e;
	int err;

	if (!ev->path || ev->start >= ev->end || ev->build_id_len > MODULE_BUILD_ID_MAX)
		return 0;
	e = get_entry(t, ev->pid);
	if (!e)
		return -ENOMEM;
	spec.generation_known = module_spec__has_file(&spec);
	module_spec__classify(&spec, ev->path, ev->start);
	if (spec.kind == MODULE_JIT)
		m.offset = m.start;
	err = process_table__map(t, &e->as, e->as, &m, &spec);
	if (err)
		return err;
	t->stats.mmaps_seen++;
	/* The kernel maps the program before its interpreter and everything else. */
	if (!e->executable && e->pub.execs > 0 && m.module->kind == MODULE_FILE)
		e->executable = m.module;
	return 0;
}

static void apply_exit(struct process_table *t, const struct process_event *ev)
{
	struct process_entry *e = process_table__lookup(t, ev->pid);

	if (!e || e->pub.exited)
		return;
	process_entry__remove_tid(e, ev->tid);
	if (e->tids_cnt > 0)
		return;
	/* Nobody told us of all its threads: this was perhaps not the last. */
	if (e->unread && process_scan__unread(t, e) == 0)
		process_entry__remove_tid(e, ev->tid);
	if (e->tids_cnt == 0)
		process_table__mark_gone(t, e);
}

static int apply_lost(struct process_table *t, const struct process_event *ev)
{
	t->stats.events_lost += ev->lost;
	t->rescan_wanted = true;
	return 0;
}

int process_table__apply(struct process_table *t, const struct process_event *ev)
{
	if (ev->time_ns > t->now_ns)
		t->now_ns = ev->time_ns;
	drop_expired(t);
	if (ev->kind == PROCESS_EVENT_LOST)
		return apply_lost(t, ev);
	if (ev->pid <= 0 || ev->tid <= 0)
		return 0;
	if (ev->kind == PROCESS_EVENT_FORK && ev->pid != ev->ppid)
		return fork_process(t, ev);
	if (!process_table__tracks(t, ev->pid))
		return 0;
	switch (ev->kind) {
	case PROCESS_EVENT_FORK:
		return fork_thread(t, ev);
	case PROCESS_EVENT_EXEC:
		return apply_exec(t, ev);
	case PROCESS_EVENT_COMM:
		return apply_comm(t, ev);
	case PROCESS_EVENT_MMAP:
		return apply_mmap(t, ev);
	case PROCESS_EVENT_EXIT:
		apply_exit(t, ev);
		return 0;
	default:
		return 0;
	}
}
