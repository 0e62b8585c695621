/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What /proc says about a process that is to be probed: whether it may be, how large it is, which
 * cgroup it is in. Private to heap_*.c of the session.
 */
#ifndef SESSION_HEAP_FACTS_H
#define SESSION_HEAP_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct heap_facts {
	unsigned int seccomp; /* 0: none, 1: strict, 2: filters */
	pid_t tracer;         /* 0: nobody */
	bool has_leader;      /* false: its first thread has ended, others have not */
	bool is_translated;   /* its code is read, not run: by valgrind */
};

/* 0 or -errno; -ESRCH: there is no such process. */
int heap_facts__read(pid_t pid, struct heap_facts *ret);

/*
 * Whether that is the program of one of valgrind's tools, with these /proc/PID/maps. It translates
 * what it finds in memory, and what is found where a probe is ends the process.
 */
bool heap_facts__is_valgrind(const char *executable, const char *maps);

/* The text of /proc/PID/status. -EBADMSG: without these lines. */
int heap_facts__parse(const char *text, struct heap_facts *ret);

/*
 * Whether a return probe is safe in a process under seccomp. Since Linux 6.11 it comes back to the
 * kernel by a system call of its own, which filters refused until they were told not to (6.14 and
 * later stable kernels): then the process dies. Asked of the kernel by a child of ours.
 */
bool heap_facts__seccomp_allows_returns(void);

/*
 * Whether its allocator was told at its start to give less than there is: what finds no memory then
 * are small blocks, too. Where its environment cannot be read, it may be so.
 */
bool heap_facts__is_limited(pid_t pid);

/* The bytes of /proc/PID/environ. */
bool heap_facts__environment_limits(const char *data, size_t len);

/* Resident bytes; 0: not known. */
uint64_t heap_facts__rss(pid_t pid);

/* Path of an open cgroup directory as /proc/PID/cgroup would show it; owned by the caller. NULL:
 * not known. */
char *heap_facts__cgroup_path(int cgroup_fd);

/* Whether the process is in that cgroup or below it. */
bool heap_facts__is_in_cgroup(pid_t pid, const char *path);

/* The text of /proc/PID/cgroup. */
bool heap_facts__cgroup_matches(const char *text, const char *path);

#endif
