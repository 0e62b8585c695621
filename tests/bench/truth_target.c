/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See truth_target.h. A thread is attached for one visit only: while it runs on, its signals are
 * nobody's business but its own.
 */
#include "truth_target.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "base/array.h"

#define THREADS_MAX 64

static bool is_running(pid_t pid, pid_t tid)
{
	char path[64], text[512] = "";
	const char *paren;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)pid, (int)tid);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	paren = strrchr(text, ')');
	return paren && paren[1] == ' ' && paren[2] == 'R';
}

/* One of its threads by chance: a running one, if there is any. 0: gone. */
static pid_t choose_thread(pid_t pid)
{
	pid_t running[THREADS_MAX], all[THREADS_MAX];
	size_t running_cnt = 0, all_cnt = 0;
	const struct dirent *entry;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((entry = readdir(dir)) && all_cnt < THREADS_MAX) {
		pid_t tid = atoi(entry->d_name);

		if (tid <= 0)
			continue;
		all[all_cnt++] = tid;
		if (is_running(pid, tid))
			running[running_cnt++] = tid;
	}
	closedir(dir);
	if (running_cnt)
		return running[(size_t)random() % running_cnt];
	return all_cnt ? all[(size_t)random() % all_cnt] : 0;
}

static void read_stack(struct truth_sample *s)
{
	const uint64_t page = 4096, sp = s->regs[UNWIND_REG_SP];
	struct iovec remote[TRUTH_STACK_BYTES / 4096 + 2];
	struct iovec local = { .iov_base = s->stack, .iov_len = sizeof(s->stack) };
	uint64_t at = sp - TRUTH_BELOW_BYTES, left = sizeof(s->stack);
	size_t n = 0;
	ssize_t got;

	/* By pages: what ends within the stack is cut there, not refused. */
	for (; left; n++) {
		uint64_t bytes = page - at % page < left ? page - at % page : left;

		remote[n].iov_base = (void *)(uintptr_t)at;
		remote[n].iov_len = bytes;
		at += bytes;
		left -= bytes;
	}
	got = process_vm_readv(s->tid, &local, 1, remote, n, 0);
	s->below_bytes = TRUTH_BELOW_BYTES;
	s->stack_bytes = got > TRUTH_BELOW_BYTES ? (size_t)got : 0;
}

static int take(struct truth_sample *s, struct user_regs_struct *r)
{

	if (ptrace(PTRACE_GETREGS, s->tid, NULL, r) < 0)
		return -errno;
	memcpy(s->regs,
	       (const uint64_t[]){ r->rax, r->rdx, r->rcx, r->rbx, r->rsi, r->rdi, r->rbp, r->rsp,
				   r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15,
				   r->rip },
	       sizeof(s->regs));
	read_stack(s);
	return s->stack_bytes ? 0 : -EFAULT;
}

/* A step into a system call may last for ever: a thread of a pool that nobody has work for. */
static bool may_block(pid_t tid, const struct user_regs_struct *r)
{
	const unsigned long syscall_insn = 0x050f;
	bool is_restarted = (long)r->orig_rax >= 0;

	errno = 0;
	return is_restarted ||
	       (ptrace(PTRACE_PEEKTEXT, tid, (void *)r->rip, NULL) & 0xffff) == syscall_insn ||
	       errno;
}

/* One instruction on. A signal that is due instead is delivered first; *sig is the one that still
 * is when this returns. */
static int step(pid_t tid, int *sig)
{
	int status;

	for (int tries = 0; tries < 4; tries++) {
		if (ptrace(PTRACE_SINGLESTEP, tid, NULL, (void *)(intptr_t)*sig) < 0)
			return -errno;
		*sig = 0;
		if (waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status))
			return -ESRCH;
		if (status >> 16)
			return -EINTR; /* a group stop: not ours to interfere with */
		if (WSTOPSIG(status) == SIGTRAP)
			return 0;
		*sig = WSTOPSIG(status);
	}
	return -EINTR;
}

/* Stopped by us, and for no other reason. */
static int stop(pid_t tid)
{
	int status, sig;

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) < 0)
		return -errno;
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0 || waitpid(tid, &status, __WALL) != tid ||
	    !WIFSTOPPED(status))
		return -ESRCH;
	if (status >> 16 == PTRACE_EVENT_STOP)
		return 0;
	sig = WSTOPSIG(status);
	ptrace(PTRACE_DETACH, tid, NULL, (void *)(intptr_t)sig);
	return -EINTR;
}

int truth_target__sample(pid_t pid, unsigned int steps, struct truth_sample *scratch,
			 void (*fn)(const struct truth_sample *s, void *ctx), void *ctx)
{
	struct user_regs_struct regs;
	int taken = 0, sig = 0, err;

	scratch->pid = pid;
	scratch->tid = choose_thread(pid);
	if (!scratch->tid)
		return -ESRCH;
	err = stop(scratch->tid);
	if (err)
		return err == -EINTR || err == -ESRCH || err == -EPERM ? 0 : err;
	for (unsigned int i = 0; i <= steps; i++) {
		if (take(scratch, &regs) < 0)
			break;
		fn(scratch, ctx);
		taken++;
		if (i < steps && (may_block(scratch->tid, &regs) || step(scratch->tid, &sig) < 0))
			break;
	}
	ptrace(PTRACE_DETACH, scratch->tid, NULL, (void *)(intptr_t)sig);
	return taken;
}
