/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Restrictions the worker puts on itself. The order matters: a network namespace and the bounding
 * set need capabilities, changing the user drops them, and a change of user also forgets the
 * parent-death signal and resets the dumpable flag.
 *
 * What the kernel refuses only because we were not started as root (no capability to give away, so
 * nothing to lose) is let pass; everything that protects regardless must succeed.
 *
 * Sanitizer builds keep address space, dumpable flag and file size: they cannot start, or cannot
 * report, without them.
 */
#include "worker/worker_sandbox.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include "base/array.h"
#include "worker/protocol.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

#define NOBODY_ID         65534
#define DATA_BYTES        (512ULL << 20)
#define OPEN_FILES        8
#define JOB_CPU_SECONDS   10
#define JOB_ALARM_SECONDS 20 /* behind the collector's own patience, which may lack CAP_KILL */

static void on_bus_error(int sig)
{
	_exit(WORKER_EXIT_FILE_CHANGED);
}

static int set_signals(void)
{
	const struct sigaction bus = { .sa_handler = on_bus_error };
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	/* RLIMIT_FSIZE is to fail a write to a redirected stderr, not to end us. */
	const int ignored[] = { SIGINT, SIGPIPE, SIGXFSZ };

	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		if (sigaction(ignored[i], &ignore, NULL))
			return -errno;
	return sigaction(SIGBUS, &bus, NULL) ? -errno : 0;
}

static int close_other_fds(int socket_fd)
{
	const unsigned int keep_low = STDERR_FILENO, keep_high = (unsigned int)socket_fd;

	if (socket_fd <= STDERR_FILENO)
		return -EINVAL;
	if (close_range(0, keep_low - 1, 0) || close_range(keep_high + 1, UINT_MAX, 0))
		return -errno;
	if (keep_high > keep_low + 1 && close_range(keep_low + 1, keep_high - 1, 0))
		return -errno;
	return 0;
}

static int set_limit(int resource, rlim_t value)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit))
		return -errno;
	/* A lower hard limit that is there already is as good. */
	if (limit.rlim_max < value)
		value = limit.rlim_max;
	limit = (struct rlimit){ .rlim_cur = value, .rlim_max = value };
	return setrlimit(resource, &limit) ? -errno : 0;
}

static int set_limits(void)
{
	int err;

	err = set_limit(RLIMIT_CORE, 0);
	if (!err)
		err = set_limit(RLIMIT_NOFILE, OPEN_FILES);
	if (!err && !SANITIZED)
		err = set_limit(RLIMIT_DATA, DATA_BYTES);
	if (!err && !SANITIZED)
		err = set_limit(RLIMIT_FSIZE, 0);
	return err;
}

/* Without privilege there is no network namespace to be had; seccomp is what holds then. */
static int leave_network(void)
{
	if (unshare(CLONE_NEWNET) && errno != EPERM && errno != ENOSYS && errno != EINVAL)
		return -errno;
	return 0;
}

static int drop_bounding_set(void)
{
	for (cap_value_t cap = 0; cap < cap_max_bits(); cap++)
		if (cap_get_bound(cap) == 1 && cap_drop_bound(cap) && errno != EPERM)
			return -errno;
	return 0;
}

/* uid 0 without capabilities still owns root's files; nobody owns nothing. */
static int become_nobody(void)
{
	if (geteuid() != 0 && getuid() != 0)
		return 0;
	/* Refused inside a user namespace that does not map the id: stay who we are. */
	if ((setgroups(0, NULL) || setresgid(NOBODY_ID, NOBODY_ID, NOBODY_ID) ||
	     setresuid(NOBODY_ID, NOBODY_ID, NOBODY_ID)) &&
	    errno != EPERM && errno != EINVAL)
		return -errno;
	return 0;
}

static int drop_capabilities(void)
{
	cap_t none = cap_init();
	int err = 0;

	if (!none)
		return -ENOMEM;
	if ((cap_reset_ambient() && errno != EINVAL) || cap_set_proc(none))
		err = -errno;
	cap_free(none);
	return err;
}

int sandbox__enter(int socket_fd)
{
	int err;

	err = set_signals();
	if (!err)
		err = close_other_fds(socket_fd);
	if (!err && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		err = -errno;
	if (!err)
		err = leave_network();
	if (!err)
		err = drop_bounding_set();
	if (!err)
		err = become_nobody();
	if (!err)
		err = drop_capabilities();
	if (!err)
		err = set_limits();
	if (!err && prctl(PR_SET_DUMPABLE, SANITIZED, 0, 0, 0))
		err = -errno;
	if (!err && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
		err = -errno;
	return err;
}

int sandbox__begin_job(void)
{
	struct rlimit limit;
	struct timespec used;

	if (getrlimit(RLIMIT_CPU, &limit) || clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used))
		return -errno;
	limit.rlim_cur = (rlim_t)used.tv_sec + 1 + JOB_CPU_SECONDS;
	if (limit.rlim_cur > limit.rlim_max)
		limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_CPU, &limit))
		return -errno;
	alarm(JOB_ALARM_SECONDS);
	return 0;
}

void sandbox__end_job(void)
{
	alarm(0);
}
