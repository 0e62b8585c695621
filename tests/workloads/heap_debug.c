/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small debugger: attaches to a process of one thread, lets it run, and detaches after a line on
 * standard input. With an address it sets a breakpoint there, as debuggers do, and steps over it
 * each time. "ready", then "stopped N" at the end.
 * heap_debug PID [ADDRESS]
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include "workload.h"

struct debugger {
	pid_t pid;
	unsigned long address; /* 0: none */
	long before;           /* what lies there */
	unsigned long stops;
};

static int set_word(const struct debugger *d, long word)
{
	return (int)ptrace(PTRACE_POKETEXT, d->pid, (void *)d->address, (void *)word);
}

static long with_breakpoint(long word)
{
	return (word & ~0xffL) | 0xcc;
}

static int wait_stopped(const struct debugger *d, int *ret_status)
{
	return waitpid(d->pid, ret_status, __WALL) == d->pid && WIFSTOPPED(*ret_status) ? 0 : -1;
}

/* Runs the instruction under the breakpoint. */
static int step_over(struct debugger *d)
{
	struct user_regs_struct regs;
	int status;

	if (ptrace(PTRACE_GETREGS, d->pid, NULL, &regs) || regs.rip != d->address + 1)
		return 0; /* a trap of somebody else */
	d->stops++;
	regs.rip = d->address;
	if (set_word(d, d->before) || ptrace(PTRACE_SETREGS, d->pid, NULL, &regs) ||
	    ptrace(PTRACE_SINGLESTEP, d->pid, NULL, NULL) || wait_stopped(d, &status))
		return -1;
	return set_word(d, with_breakpoint(d->before));
}

/* One stop of the target, if there is one; 1 when it has ended. */
static int serve(struct debugger *d)
{
	int status, sig;
	pid_t pid = waitpid(d->pid, &status, WNOHANG | __WALL);

	if (pid <= 0)
		return pid;
	if (!WIFSTOPPED(status))
		return 1;
	sig = WSTOPSIG(status);
	if (sig == SIGTRAP && status >> 16 == 0) {
		if (step_over(d))
			return -1;
		sig = 0;
	} else if (status >> 16) {
		sig = 0;
	}
	return (int)ptrace(PTRACE_CONT, d->pid, NULL, (void *)(long)sig);
}

static int attach(struct debugger *d)
{
	int status;

	if (ptrace(PTRACE_SEIZE, d->pid, NULL, NULL) ||
	    ptrace(PTRACE_INTERRUPT, d->pid, NULL, NULL) || wait_stopped(d, &status))
		return -1;
	if (d->address) {
		errno = 0;
		d->before = ptrace(PTRACE_PEEKTEXT, d->pid, (void *)d->address, NULL);
		if (errno || set_word(d, with_breakpoint(d->before)))
			return -1;
	}
	return (int)ptrace(PTRACE_CONT, d->pid, NULL, NULL);
}

static int detach(struct debugger *d)
{
	struct user_regs_struct regs;
	int status;

	if (ptrace(PTRACE_INTERRUPT, d->pid, NULL, NULL) || wait_stopped(d, &status))
		return -1;
	/* It may just have run into the breakpoint. */
	if (d->address && !ptrace(PTRACE_GETREGS, d->pid, NULL, &regs) &&
	    regs.rip == d->address + 1) {
		regs.rip = d->address;
		ptrace(PTRACE_SETREGS, d->pid, NULL, &regs);
	}
	if (d->address && set_word(d, d->before))
		return -1;
	return (int)ptrace(PTRACE_DETACH, d->pid, NULL, NULL);
}

int main(int argc, char **argv)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	struct debugger d = { 0 };
	int err;

	if (argc < 2)
		return 2;
	d.pid = atoi(argv[1]);
	d.address = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;
	if (attach(&d)) {
		printf("refused ptrace: %s\n", strerror(errno));
		return 1;
	}
	say_ready();
	while (poll(&in, 1, 0) == 0) {
		err = serve(&d);
		if (err)
			return 1;
		usleep(100);
	}
	if (detach(&d))
		return 1;
	printf("stopped %lu\n", d.stops);
	return 0;
}
