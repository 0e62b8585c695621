/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who runs on this host and what they have mapped, as of the time stamp of the event applied last.
 * Fed by the session, in time order, with perf side-band records (process/sideband.h); filled once
 * from /proc at the start and again where the table turns out not to know somebody. Knows no BPF,
 * no profile, no samples.
 *
 * Identity of a process is (pid, start time, execs seen); a pid that comes back is a new process.
 * Modules are shared by all processes that map them and outlive them: they are what a profile
 * refers to. Pointers to processes are valid until the next apply or scan; modules until the table
 * is freed. Not thread-safe. Names and paths are other processes' bytes: hostile.
 */
#ifndef PROCESS_PROCESS_H
#define PROCESS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/cleanup.h"

#define PROCESS_COMM_LEN    16
#define MODULE_BUILD_ID_MAX 20

enum module_kind {
	MODULE_FILE = 0,
	MODULE_VDSO = 1,
	MODULE_JIT = 2,   /* anonymous executable memory, //anon, memfd: shown as [JIT] */
	MODULE_OTHER = 3, /* [vsyscall], devices …: never opened */
};

/* Why a module's file could not be had; counted and shown. */
enum module_open_status {
	MODULE_NOT_TRIED = 0,
	MODULE_OPENED = 1,
	MODULE_GONE = 2, /* process and path are gone, or another file is there now */
	MODULE_NOT_REGULAR = 3,
	MODULE_FOREIGN_FS = 4,     /* FUSE or network file system: never touched */
	MODULE_DEVICE_UNKNOWN = 5, /* device in no mountinfo, map_files not usable */
	MODULE_DENIED = 6,
	MODULE_TOO_MANY_OPEN = 7, /* 4,096 descriptors, or 3/4 of RLIMIT_NOFILE, are pinned */
	MODULE_OPEN_STATUS_CNT,
};

struct module {
	uint32_t idx; /* dense, from 0, in order of first sight */
	enum module_kind kind;
	char *path; /* in the mount namespace of the process that mapped it; " (deleted)" stripped
		     */
	uint32_t dev_major, dev_minor; /* 0:0 when the record carried a build-id instead */
	uint64_t inode, inode_generation;
	bool generation_known; /* /proc/PID/maps does not tell it, side-band records do */
	uint8_t build_id[MODULE_BUILD_ID_MAX];
	/* 0: not known. Else who reads the file behind fd must find it there: by path, and where
	 * device and inode could not tell, another file may have been opened. */
	uint32_t build_id_len;
	int fd; /* read-only descriptor pinned by module__pin(), or -1; owned by the table */
	enum module_open_status open_status;
};

struct mapping {
	uint64_t start, end; /* address range, end exclusive; only executable ones are kept */
	uint64_t offset;     /* file offset of start; MODULE_JIT: start itself */
	struct module *module;
};

struct process {
	pid_t pid, ppid;
	uint64_t start_ticks; /* /proc/PID/stat field 22; 0: not known (seen by its FORK only) */
	uint32_t execs;       /* execs seen by us */
	bool exited;
	char comm[PROCESS_COMM_LEN]; /* of the thread group's leader, NUL-terminated */
};

enum process_event_kind {
	PROCESS_EVENT_FORK = 1, /* new process (tid == pid) or thread */
	PROCESS_EVENT_EXEC = 2, /* COMM with the exec flag: mappings are gone */
	PROCESS_EVENT_COMM = 3,
	PROCESS_EVENT_MMAP = 4,
	PROCESS_EVENT_EXIT = 5, /* of one thread */
	PROCESS_EVENT_LOST = 6, /* the kernel dropped 'lost' records of one CPU's ring */
};

/* A decoded side-band record. Plain data that can be queued; 'path' is owned by the event. */
struct process_event {
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	enum process_event_kind kind;
	pid_t pid, tid;
	pid_t ppid; /* FORK */
	char comm[PROCESS_COMM_LEN];
	uint64_t lost;
	uint64_t start, end, offset; /* MMAP */
	uint32_t dev_major, dev_minor;
	uint64_t inode, inode_generation;
	uint8_t build_id[MODULE_BUILD_ID_MAX];
	uint32_t build_id_len;
	char *path;
};

struct process_table;

struct process_stats {
	uint64_t processes_seen, execs_seen, mmaps_seen, events_lost, rescans;
	uint64_t mappings_dropped; /* over the cap of one process */
	uint64_t modules_by_status[MODULE_OPEN_STATUS_CNT];
};

/*
 * With 'only' (cnt > 0) events of other processes are dropped on reading; children of those are
 * tracked when 'follow_children'. Returns NULL when out of memory.
 */
struct process_table *process_table__new(const pid_t *only, size_t only_cnt, bool follow_children);
void process_table__free(struct process_table *t);
DEFINE_CLEANUP(struct process_table *, process_table__free);

/* Reads /proc for all tracked processes; without 'only' their maps are left for when they are asked
 * for, or fork. Single processes that vanish meanwhile are skipped. */
int process_table__scan(struct process_table *t);

/*
 * Applies one event; what the scan has seen already may be told again. Returns 0 or -ENOMEM. LOST
 * asks for a re-scan, done before the next find, at most one a second.
 */
int process_table__apply(struct process_table *t, const struct process_event *ev);

/*
 * The process 'pid' as of now. Unknown ones are looked for in /proc once (a failed look-up is
 * remembered for a second). NULL: neither the events nor /proc know it; it is not fatal.
 */
struct process *process_table__find(struct process_table *t, pid_t pid);

/* The executable mapping that covers addr, or NULL. After an exec those of the old image still
 * count until an address of the new one is asked for. Reads /proc/PID/maps again, at most once per
 * process and second, when nothing covers the address. Valid until the next apply, scan or find. */
const struct mapping *process__mapping(struct process_table *t, struct process *p, uint64_t addr);

/* All executable mappings, ascending by address. Borrowed as above. Returns their number. */
size_t process__mappings(struct process_table *t, struct process *p, const struct mapping **ret);

/* The module of the process's main executable, or NULL. */
struct module *process__executable(struct process_table *t, struct process *p);

/*
 * Opens the module's file and keeps it open, once, so that it can be symbolized after the process
 * is gone. Through /proc/PID/map_files, else openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS) below
 * the root of the process, of its parent, or ours, taken only if device and inode, or build-id,
 * are those of the record. Regular files only; FUSE and network file systems are told by the
 * device's entry in mountinfo before anything is opened. 'm' may be NULL for the path alone.
 * The outcome is in module->open_status.
 */
void module__pin(struct process_table *t, const struct process *p, const struct mapping *m,
		 struct module *module);

size_t process_table__modules_cnt(const struct process_table *t);
struct module *process_table__module(const struct process_table *t, size_t idx);
void process_table__stats(const struct process_table *t, struct process_stats *ret);

/* True when every known thread of the process has exited, or nobody has the pid. Cheap: adds no
 * process to the table and reads no maps. */
bool process_table__is_gone(struct process_table *t, pid_t pid);

/* Value of `filter` and identity checks: field 22 of /proc/PID/stat. 0 or -errno (-ESRCH). */
int procfs__start_ticks(pid_t pid, uint64_t *ret_ticks);
/* comm of the leader, from /proc/PID/comm. 0 or -errno. */
int procfs__comm(pid_t pid, char ret_comm[PROCESS_COMM_LEN]);
/* True for kernel threads (PF_KTHREAD in /proc/PID/stat's flags). */
bool procfs__is_kernel_thread(pid_t pid);
/* Calls fn for each numeric entry of /proc until it returns non-zero, which is returned. */
int procfs__each_pid(int (*fn)(pid_t pid, void *ctx), void *ctx);
/* True when our /proc/self/ns/pid is the initial PID namespace. */
bool procfs__in_initial_pid_ns(void);

#endif
