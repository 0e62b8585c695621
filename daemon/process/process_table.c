/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pid -> process, and the questions the session asks. Events come in through process_events.c, the
 * contents of /proc through process_scan.c; this file owns the entries and their lives.
 */
#include "process/process_table.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "base/array.h"
#include "base/clock.h"

#define MISSING_MAX      4096
#define MISSING_NS       NSEC_PER_SEC
#define RESCAN_PERIOD_NS NSEC_PER_SEC
#define MAPS_PERIOD_NS   NSEC_PER_SEC
#define PINNED_FDS_MAX   4096
#define FDS_RESERVED     64

static int add_mark(struct pid_mark **marks, pid_t pid, uint64_t until_ns)
{
	struct pid_mark *m;

	HASH_FIND_INT(*marks, &pid, m);
	if (m) {
		m->until_ns = until_ns;
		return 0;
	}
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->pid = pid;
	m->until_ns = until_ns;
	HASH_ADD_INT(*marks, pid, m);
	if (hash__add_failed(m)) {
		free(m);
		return -ENOMEM;
	}
	return 0;
}

static struct pid_mark *find_mark(struct pid_mark *marks, pid_t pid)
{
	struct pid_mark *m;

	HASH_FIND_INT(marks, &pid, m);
	return m;
}

static void clear_marks(struct pid_mark **marks)
{
	struct pid_mark *m, *tmp;

	HASH_ITER (hh, *marks, m, tmp) {
		HASH_DEL(*marks, m);
		free(m);
	}
}

static size_t pinned_fds_max(void)
{
	struct rlimit lim = { .rlim_cur = RLIM_INFINITY };
	rlim_t max = PINNED_FDS_MAX;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur / 4 * 3 < max)
		max = lim.rlim_cur / 4 * 3;
	/* The rest of the program has perf events and must still be able to write its files. */
	if (lim.rlim_cur < FDS_RESERVED)
		max = 0;
	else if (lim.rlim_cur - FDS_RESERVED < max)
		max = lim.rlim_cur - FDS_RESERVED;
	return (size_t)max;
}

struct process_table *process_table__new(const pid_t *only, size_t only_cnt, bool follow_children)
{
	_cleanup_(process_table__freep) struct process_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->modules = module_set__new();
	if (!t->modules)
		return NULL;
	t->only = only_cnt > 0;
	t->follow_children = follow_children;
	t->fds_max = pinned_fds_max();
	for (size_t i = 0; i < only_cnt; i++)
		if (add_mark(&t->tracked, only[i], 0) < 0)
			return NULL;
	return take_ptr(t);
}

static void unlink_gone(struct process_table *t, struct process_entry *e)
{
	if (e->gone_prev)
		e->gone_prev->gone_next = e->gone_next;
	else if (t->gone_head == e)
		t->gone_head = e->gone_next;
	if (e->gone_next)
		e->gone_next->gone_prev = e->gone_prev;
	else if (t->gone_tail == e)
		t->gone_tail = e->gone_prev;
	e->gone_prev = NULL;
	e->gone_next = NULL;
}

void process_table__drop(struct process_table *t, struct process_entry *e)
{
	unlink_gone(t, e);
	HASH_DEL(t->by_pid, e);
	address_space__unref(e->as);
	address_space__unref(e->before_exec);
	free(e->tids);
	free(e);
}

void process_table__free(struct process_table *t)
{
	struct process_entry *e, *tmp;

	if (!t)
		return;
	HASH_ITER (hh, t->by_pid, e, tmp)
		process_table__drop(t, e);
	clear_marks(&t->tracked);
	clear_marks(&t->missing);
	for (size_t i = 0; i < MOUNTINFO_CACHE_CNT; i++)
		mountinfo__done(&t->mounts[i].mi);
	module_set__free(t->modules);
	free(t);
}

struct process_entry *process_table__lookup(struct process_table *t, pid_t pid)
{
	struct process_entry *e;

	HASH_FIND(hh, t->by_pid, &pid, sizeof(pid), e);
	return e;
}

struct process_entry *process_table__add(struct process_table *t, pid_t pid)
{
	struct process_entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->pub.pid = pid;
	HASH_ADD(hh, t->by_pid, pub.pid, sizeof(pid), e);
	if (hash__add_failed(e)) {
		free(e);
		return NULL;
	}
	t->stats.processes_seen++;
	return e;
}

void process_table__mark_gone(struct process_table *t, struct process_entry *e)
{
	if (e->pub.exited)
		return;
	e->pub.exited = true;
	e->exited_ns = t->now_ns;
	e->unread = false;
	e->tids_cnt = 0;
	e->gone_prev = t->gone_tail;
	if (t->gone_tail)
		t->gone_tail->gone_next = e;
	else
		t->gone_head = e;
	t->gone_tail = e;
}

/* A sign of life of a process believed gone: a thread was unknown to us. */
void process_table__revive(struct process_table *t, struct process_entry *e)
{
	if (!e->pub.exited)
		return;
	unlink_gone(t, e);
	e->pub.exited = false;
}

bool process_table__tracks(const struct process_table *t, pid_t pid)
{
	return !t->only || find_mark(t->tracked, pid) != NULL;
}

static size_t find_tid(const struct process_entry *e, pid_t tid)
{
	size_t lo = 0, hi = e->tids_cnt;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (e->tids[mid] < tid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int process_entry__add_tid(struct process_entry *e, pid_t tid)
{
	size_t i = find_tid(e, tid);

	if (i < e->tids_cnt && e->tids[i] == tid)
		return 0;
	if (array__reserve(e->tids, e->tids_cap, e->tids_cnt + 1) < 0)
		return -ENOMEM;
	memmove(&e->tids[i + 1], &e->tids[i], (e->tids_cnt - i) * sizeof(*e->tids));
	e->tids[i] = tid;
	e->tids_cnt++;
	return 0;
}

void process_entry__remove_tid(struct process_entry *e, pid_t tid)
{
	size_t i = find_tid(e, tid);

	if (i == e->tids_cnt || e->tids[i] != tid)
		return;
	e->tids_cnt--;
	memmove(&e->tids[i], &e->tids[i + 1], (e->tids_cnt - i) * sizeof(*e->tids));
}

int process_entry__only_tid(struct process_entry *e, pid_t tid)
{
	e->tids_cnt = 0;
	return process_entry__add_tid(e, tid);
}

int process_table__map(struct process_table *t, struct address_space **as,
		       const struct address_space *old, struct mapping *m,
		       const struct module_spec *spec)
{
	const struct mapping *same = address_space__find_exact(old, m->start, m->end);
	int err;

	m->module = NULL;
	if (same && same->offset == m->offset)
		m->module = module_set__unify(t->modules, same->module, spec);
	if (!m->module)
		m->module = module_set__intern(t->modules, spec);
	if (!m->module)
		return -ENOMEM;
	err = address_space__add(as, m);
	if (err == -ENOMEM)
		return err;
	if (err)
		t->stats.mappings_dropped++;
	return 0;
}

int process_table__mark_tracked(struct process_table *t, pid_t pid)
{
	return t->only ? add_mark(&t->tracked, pid, 0) : 0;
}

void process_table__untrack(struct process_table *t, pid_t pid)
{
	struct pid_mark *m = find_mark(t->tracked, pid);

	if (!m)
		return;
	HASH_DEL(t->tracked, m);
	free(m);
}

static void remember_missing(struct process_table *t, pid_t pid, uint64_t now_ns)
{
	if (HASH_COUNT(t->missing) >= MISSING_MAX)
		clear_marks(&t->missing);
	/* Without memory for it /proc is asked again next time: nothing worse. */
	(void)add_mark(&t->missing, pid, now_ns + MISSING_NS);
}

static struct process *find_in_proc(struct process_table *t, pid_t pid)
{
	struct pid_mark *m = find_mark(t->missing, pid);
	uint64_t now_ns = clock__mono_ns();
	struct process_entry *e;

	if (m && now_ns < m->until_ns)
		return NULL;
	if (process_scan__process(t, pid, true, &e) < 0) {
		remember_missing(t, pid, now_ns);
		return NULL;
	}
	(void)process_table__mark_tracked(t, pid);
	return &e->pub;
}

static void rescan_if_wanted(struct process_table *t)
{
	uint64_t now_ns;

	if (!t->rescan_wanted)
		return;
	now_ns = clock__mono_ns();
	if (t->scanned_ns && now_ns - t->scanned_ns < RESCAN_PERIOD_NS)
		return;
	/* What could not be read now is read on demand; the next LOST asks again. */
	(void)process_table__scan(t);
	t->stats.rescans++;
}

struct process *process_table__find(struct process_table *t, pid_t pid)
{
	struct process_entry *e;

	if (pid <= 0)
		return NULL;
	rescan_if_wanted(t);
	e = process_table__lookup(t, pid);
	if (!e)
		return find_in_proc(t, pid);
	if (e->unread)
		(void)process_scan__unread(t, e);
	return &e->pub;
}

const struct mapping *process__mapping(struct process_table *t, struct process *p, uint64_t addr)
{
	struct process_entry *e = process_entry__of(p);
	const struct mapping *m = address_space__find(e->as, addr);
	uint64_t now_ns;

	if (m) {
		address_space__unref(take_ptr(e->before_exec));
		return m;
	}
	m = address_space__find(e->before_exec, addr);
	if (m || e->pub.exited)
		return m;
	now_ns = clock__mono_ns();
	if (e->maps_read_ns && now_ns - e->maps_read_ns < MAPS_PERIOD_NS)
		return NULL;
	if (process_scan__maps(t, e) < 0)
		return NULL;
	return address_space__find(e->as, addr);
}

size_t process__mappings(struct process_table *t, struct process *p, const struct mapping **ret)
{
	const struct address_space *as = process_entry__of(p)->as;
	size_t cnt = address_space__cnt(as);

	*ret = cnt ? address_space__get(as, 0) : NULL;
	return cnt;
}

/* Asked at every EXIT of the host: must not read maps, nor take notice of whom nobody asked for. */
bool process_table__is_gone(struct process_table *t, pid_t pid)
{
	struct process_entry *e;
	struct proc_stat st;

	if (pid <= 0)
		return true;
	rescan_if_wanted(t);
	e = process_table__lookup(t, pid);
	if (e)
		return e->pub.exited;
	if (kill(pid, 0) < 0 && errno == ESRCH)
		return true;
	return procfs__stat(pid, &st) < 0 || (st.threads_cnt <= 1 && procfs__stat_is_dead(&st));
}

size_t process_table__modules_cnt(const struct process_table *t)
{
	return module_set__cnt(t->modules);
}

struct module *process_table__module(const struct process_table *t, size_t idx)
{
	return module_set__get(t->modules, idx);
}

void process_table__stats(const struct process_table *t, struct process_stats *ret)
{
	*ret = t->stats;
	for (size_t i = 0; i < module_set__cnt(t->modules); i++)
		ret->modules_by_status[module_set__get(t->modules, i)->open_status]++;
}
