/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of process/ share of the process table. Private to process/.
 */
#ifndef PROCESS_PROCESS_TABLE_H
#define PROCESS_PROCESS_TABLE_H

#include "process/address_space.h"
#include "process/module.h"
#include "process/mountinfo.h"
#include "process/process.h"
#include "process/procfs.h"
#include "base/hash.h"

struct process_entry {
	struct process pub; /* first: the public pointer is the entry's */
	struct address_space *as;
	/* Of the image that called exec, until the new one is seen to run: the kernel's samples
	 * from inside execve still have its registers. */
	struct address_space *before_exec;
	struct module *executable; /* borrowed; NULL: not known yet */
	bool executable_asked;     /* of /proc, in vain */
	pid_t *tids;               /* ascending; the threads that are alive */
	size_t tids_cnt, tids_cap;
	uint64_t forked_ns;    /* time of its FORK record, 0: none seen */
	uint64_t exited_ns;    /* event time */
	uint64_t maps_read_ns; /* our clock, 0: never */
	bool unread;       /* part of its life was not seen: ask /proc when somebody asks for it */
	uint32_t scan_seq; /* of the last scan that saw it */
	struct process_entry *gone_prev, *gone_next;
	UT_hash_handle hh;
};

/* A pid and until when something holds for it. */
struct pid_mark {
	pid_t pid;
	uint64_t until_ns;
	UT_hash_handle hh;
};

#define MOUNTINFO_CACHE_CNT 8

struct mountinfo_cache {
	uint64_t mnt_ns; /* inode of the mount namespace, 0: empty slot */
	uint64_t read_ns;
	struct mountinfo mi;
};

struct process_table {
	struct process_entry *by_pid;
	struct process_entry *gone_head, *gone_tail; /* exited, oldest first */
	struct module_set *modules;
	bool only, follow_children;
	struct pid_mark *tracked; /* with 'only' */
	struct pid_mark *missing; /* pids that /proc did not know a moment ago */
	uint64_t now_ns;          /* time of the event applied last */
	bool rescan_wanted;
	uint64_t scanned_ns; /* our clock */
	uint32_t scan_seq;
	struct mountinfo_cache mounts[MOUNTINFO_CACHE_CNT];
	size_t fds_cnt, fds_max;
	struct process_stats stats;
};

static inline struct process_entry *process_entry__of(const struct process *p)
{
	return (struct process_entry *)p;
}

/* The id below /proc that shows the process's memory and root: those of a leader that is dead while
 * other threads run on are empty, and any thread's id is found there. */
static inline pid_t process_entry__proc_id(const struct process_entry *e)
{
	for (size_t i = 0; i < e->tids_cnt; i++)
		if (e->tids[i] == e->pub.pid)
			return e->pub.pid;
	return e->tids_cnt ? e->tids[0] : e->pub.pid;
}

/* process_table.c */
struct process_entry *process_table__lookup(struct process_table *t, pid_t pid);
struct process_entry *process_table__add(struct process_table *t, pid_t pid);
void process_table__drop(struct process_table *t, struct process_entry *e);
void process_table__mark_gone(struct process_table *t, struct process_entry *e);
void process_table__revive(struct process_table *t, struct process_entry *e);
bool process_table__tracks(const struct process_table *t, pid_t pid);
int process_table__mark_tracked(struct process_table *t, pid_t pid);
void process_table__untrack(struct process_table *t, pid_t pid);
int process_entry__add_tid(struct process_entry *e, pid_t tid);
void process_entry__remove_tid(struct process_entry *e, pid_t tid);
/* Forgets the threads but keeps 'tid'. */
int process_entry__only_tid(struct process_entry *e, pid_t tid);
/* Lays a mapping described by spec over the process's. 0 or -ENOMEM. */
int process_table__map(struct process_table *t, struct address_space **as,
		       const struct address_space *old, struct mapping *m,
		       const struct module_spec *spec);

/* process_scan.c: what /proc says. */
/* Makes or renews the entry of pid; without maps it is left unread. -ESRCH: nobody; -ENOMEM. */
int process_scan__process(struct process_table *t, pid_t pid, bool with_maps,
			  struct process_entry **ret);
/* Reads an unread entry in full, once. -ESRCH: gone, or another process has the pid; -errno. */
int process_scan__unread(struct process_table *t, struct process_entry *e);
/* Reads the maps of a known process again. 0; as above; -ESTALE: of an exec we do not know yet. */
int process_scan__maps(struct process_table *t, struct process_entry *e);
/* True when a process that started at start_ticks can be the one forked at forked_ns. */
bool process_scan__is_same_start(uint64_t start_ticks, uint64_t forked_ns);

#endif
