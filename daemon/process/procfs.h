/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What /proc says about one process. Private to process/; the functions that others may call are in
 * process.h. Every line is written by, or after the wishes of, the process it describes.
 */
#ifndef PROCESS_PROCFS_H
#define PROCESS_PROCFS_H

#include "process/process.h"

struct proc_stat {
	char comm[PROCESS_COMM_LEN];
	char state;
	pid_t ppid;
	uint32_t flags;
	uint32_t threads_cnt;
	uint64_t start_ticks;
};

struct maps_line {
	uint64_t start, end, offset;
	uint32_t dev_major, dev_minor;
	uint64_t inode;
	bool executable;
	const char *path; /* "" for anonymous memory; borrowed from the line */
};

/* A line of /proc/PID/stat. 0 or -EBADMSG. */
int procfs__parse_stat(const char *line, struct proc_stat *ret);

/* A line of /proc/PID/maps, changed in place ("\012" in the path becomes a newline). 0 or -EBADMSG.
 * Lines that are not executable are told apart before the rest of them is looked at. */
int procfs__parse_maps_line(char *line, struct maps_line *ret);

/* 0 or -errno; -ESRCH when there is no such process. */
int procfs__stat(pid_t pid, struct proc_stat *ret);

bool procfs__stat_is_kernel_thread(const struct proc_stat *st);
/* The leader, not necessarily its threads, has exited or is about to. */
bool procfs__stat_is_dead(const struct proc_stat *st);

/* Calls fn for each executable mapping, in address order, until it returns non-zero, which is
 * returned. 0 or -errno. */
int procfs__each_mapping(pid_t pid, int (*fn)(const struct maps_line *line, void *ctx), void *ctx);

/* As procfs__each_pid(), for the threads of a process. */
int procfs__each_tid(pid_t pid, int (*fn)(pid_t tid, void *ctx), void *ctx);

#endif
