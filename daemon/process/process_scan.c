/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fills the process table from /proc: all of it at the start and after lost events, one process
 * where the table turns out not to know it. What is read is of now, while the table may be a moment
 * behind; the events that follow lead both to the same state.
 *
 * A scan of the host reads who is there but leaves the maps for later: the kernel writes them at
 * 0.15 ms for a process with 25 libraries, and most processes of a host are asleep. They are read
 * when a process is asked for or forks. The price: one that sleeps from before the scan until the
 * last moments of its life has no mappings.
 */
#include "process/process_table.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* A start time is cut to a tick of 10 ms, and the forking task may be preempted or throttled before
 * the FORK record is written. */
#define SAME_START_NS 200000000ULL

bool process_scan__is_same_start(uint64_t start_ticks, uint64_t forked_ns)
{
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
	uint64_t suspended_ns = clock__now_ns(CLOCK_BOOTTIME) - clock__mono_ns();
	uint64_t start_ns;

	if (start_ticks > UINT64_MAX / NSEC_PER_SEC)
		return false;
	start_ns = start_ticks * NSEC_PER_SEC / hz;
	return start_ns < forked_ns + suspended_ns + SAME_START_NS &&
	       forked_ns + suspended_ns < start_ns + SAME_START_NS;
}

struct maps_reading {
	struct process_table *t;
	const struct address_space *old;
	struct address_space *fresh;
};

static int add_line(const struct maps_line *line, void *ctx)
{
	struct maps_reading *r = ctx;
	struct mapping m = { .start = line->start, .end = line->end, .offset = line->offset };
	struct module_spec spec = {
		.dev_major = line->dev_major,
		.dev_minor = line->dev_minor,
		.inode = line->inode,
	};

	module_spec__classify(&spec, line->path, line->start);
	if (spec.kind == MODULE_JIT)
		m.offset = m.start;
	return process_table__map(r->t, &r->fresh, r->old, &m, &spec);
}

static uint64_t vdso_start(const struct address_space *as)
{
	for (size_t i = 0; i < address_space__cnt(as); i++)
		if (address_space__get(as, i)->module->kind == MODULE_VDSO)
			return address_space__get(as, i)->start;
	return 0;
}

/* An exec puts the vDSO elsewhere: these maps are of a program whose EXEC event is still to come.
 */
static bool is_other_image(const struct address_space *old, const struct address_space *fresh)
{
	uint64_t before = vdso_start(old), after = vdso_start(fresh);

	return before && after && before != after;
}

static int read_maps(struct process_table *t, struct process_entry *e, bool any_image)
{
	struct maps_reading r = { .t = t, .old = e->as };
	_cleanup_(address_space__unrefp) struct address_space *fresh = NULL;
	int err;

	e->maps_read_ns = clock__mono_ns();
	err = procfs__each_mapping(process_entry__proc_id(e), add_line, &r);
	fresh = r.fresh;
	if (err)
		return err;
	if (!any_image && is_other_image(e->as, fresh))
		return -ESTALE;
	/* The memory of an exiting process is gone before the process is. */
	if (!fresh)
		return 0;
	address_space__unref(e->as);
	e->as = take_ptr(fresh);
	e->executable_asked = false;
	return 0;
}

/* Whether the process /proc shows under the entry's pid is the entry's. */
static bool is_same_process(const struct process_entry *e, const struct proc_stat *st)
{
	if (e->pub.start_ticks)
		return e->pub.start_ticks == st->start_ticks;
	return e->forked_ns == 0 || process_scan__is_same_start(st->start_ticks, e->forked_ns);
}

static int add_tid(pid_t tid, void *ctx)
{
	return process_entry__add_tid(ctx, tid);
}

static int read_tids(struct process_entry *e, const struct proc_stat *st)
{
	int err;

	e->tids_cnt = 0;
	if (st->threads_cnt > 1) {
		err = procfs__each_tid(e->pub.pid, add_tid, e);
		if (err == -ENOMEM)
			return err;
	} else {
		err = process_entry__add_tid(e, e->pub.pid);
		if (err)
			return err;
	}
	if (procfs__stat_is_dead(st))
		process_entry__remove_tid(e, e->pub.pid);
	return 0;
}

/* Takes over all that /proc/PID/stat and task say. */
static int renew(struct process_table *t, struct process_entry *e, const struct proc_stat *st)
{
	int err;

	e->pub.start_ticks = st->start_ticks;
	e->pub.ppid = st->ppid;
	e->scan_seq = t->scan_seq;
	memcpy(e->pub.comm, st->comm, sizeof(e->pub.comm));
	err = read_tids(e, st);
	if (err)
		return err;
	e->unread = !procfs__stat_is_kernel_thread(st);
	if (e->tids_cnt == 0)
		process_table__mark_gone(t, e);
	return 0;
}

/* Unread ones have nothing to contradict, whatever image /proc shows is theirs. */
static int read_if_unread(struct process_table *t, struct process_entry *e)
{
	int err;

	if (!e->unread || e->pub.exited)
		return 0;
	e->unread = false;
	err = read_maps(t, e, true);
	return err == -ENOMEM ? err : 0;
}

int process_scan__maps(struct process_table *t, struct process_entry *e)
{
	struct proc_stat st;
	int err;

	e->maps_read_ns = clock__mono_ns();
	err = procfs__stat(e->pub.pid, &st);
	if (err)
		return err;
	if (!is_same_process(e, &st))
		return -ESRCH;
	e->pub.start_ticks = st.start_ticks;
	return procfs__stat_is_kernel_thread(&st) ? 0 : read_maps(t, e, false);
}

int process_scan__unread(struct process_table *t, struct process_entry *e)
{
	struct proc_stat st;
	int err;

	e->unread = false;
	err = procfs__stat(e->pub.pid, &st);
	if (err)
		return err;
	if (!is_same_process(e, &st))
		return -ESRCH;
	err = renew(t, e, &st);
	return err ? err : read_if_unread(t, e);
}

int process_scan__process(struct process_table *t, pid_t pid, bool with_maps,
			  struct process_entry **ret)
{
	struct process_entry *e = process_table__lookup(t, pid);
	struct proc_stat st;
	int err;

	err = procfs__stat(pid, &st);
	if (err)
		return err;
	if (e && !is_same_process(e, &st)) {
		process_table__drop(t, e);
		e = NULL;
		if (t->only) {
			process_table__untrack(t, pid);
			return -ESRCH;
		}
	}
	if (!e)
		e = process_table__add(t, pid);
	if (!e)
		return -ENOMEM;
	e->scan_seq = t->scan_seq;
	*ret = e;
	/* Every thread's EXIT was seen; /proc shows what its parent has not waited for. */
	if (e->pub.exited)
		return 0;
	err = renew(t, e, &st);
	if (err || !with_maps)
		return err;
	return read_if_unread(t, e);
}

/* A child whose FORK was lost is still told by its parent. */
static bool is_wanted(struct process_table *t, pid_t pid)
{
	struct proc_stat st;

	if (process_table__tracks(t, pid))
		return true;
	return t->follow_children && procfs__stat(pid, &st) == 0 &&
	       process_table__tracks(t, st.ppid) && process_table__mark_tracked(t, pid) == 0;
}

static int scan_pid(pid_t pid, void *ctx)
{
	struct process_table *t = ctx;
	struct process_entry *e;
	int err;

	if (!is_wanted(t, pid))
		return 0;
	err = process_scan__process(t, pid, t->only, &e);
	return err == -ENOMEM ? err : 0;
}

static int scan_tracked(struct process_table *t)
{
	struct pid_mark *m = NULL, *next = NULL;
	int err;

	HASH_ITER (hh, t->tracked, m, next) {
		err = scan_pid(m->pid, t);
		if (err)
			return err;
	}
	return 0;
}

int process_table__scan(struct process_table *t)
{
	struct process_entry *e = NULL, *tmp = NULL;
	int err;

	t->scan_seq++;
	t->scanned_ns = clock__mono_ns();
	t->rescan_wanted = false;
	if (t->only && !t->follow_children)
		err = scan_tracked(t);
	else
		err = procfs__each_pid(scan_pid, t);
	if (err)
		return err;
	HASH_ITER (hh, t->by_pid, e, tmp) {
		if (e->scan_seq != t->scan_seq)
			process_table__mark_gone(t, e);
	}
	return 0;
}

static struct module *find_by_path(const struct address_space *as, const char *path)
{
	for (size_t i = 0; i < address_space__cnt(as); i++) {
		struct module *m = address_space__get(as, i)->module;

		if (m->kind == MODULE_FILE && strcmp(m->path, path) == 0)
			return m;
	}
	return NULL;
}

static struct module *ask_executable(const struct process_entry *e)
{
	char link[64], path[PATH_MAX];
	struct module_spec spec = { 0 };
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)process_entry__proc_id(e));
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return NULL;
	path[n] = '\0';
	module_spec__classify(&spec, path, 0);
	if (spec.kind != MODULE_FILE)
		return NULL;
	path[spec.path_len] = '\0';
	return find_by_path(e->as, path);
}

struct module *process__executable(struct process_table *t, struct process *p)
{
	struct process_entry *e = process_entry__of(p);

	if (e->executable || e->executable_asked || e->pub.exited)
		return e->executable;
	e->executable_asked = true;
	e->executable = ask_executable(e);
	return e->executable;
}
