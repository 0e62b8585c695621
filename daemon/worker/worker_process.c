/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Life and death of the worker process: our own executable started again, with one end of a socket
 * pair and stderr. It is killed without asking and waited for one second; what is stuck in the
 * kernel for longer (a page of a hung file system) is set aside and reaped later, so that it never
 * holds up the collector.
 */
#include "worker/worker_internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/file.h"

#define REAP_MS         1000
#define CHILD_SOCKET_FD 3
#define PROC_STATUS_MAX (64u << 10)

extern char **environ;

/* --- reaping -----------------------------------------------------------------------------------
 */
static bool reap_abandoned(struct worker *w)
{
	bool has_room = false;

	for (size_t i = 0; i < WORKER_ABANDONED_MAX; i++) {
		if (w->abandoned[i] && waitpid(w->abandoned[i], NULL, WNOHANG) != 0)
			w->abandoned[i] = 0;
		has_room |= !w->abandoned[i];
	}
	return has_room;
}

static void abandon(struct worker *w, pid_t pid)
{
	for (size_t i = 0; i < WORKER_ABANDONED_MAX; i++) {
		if (!w->abandoned[i]) {
			w->abandoned[i] = pid;
			return;
		}
	}
}

/* Returns true with the wait status once the process has ended, false after REAP_MS. */
static bool wait_for_end(const struct worker *w, int *ret_wait_status)
{
	struct pollfd p = { .fd = w->pidfd, .events = POLLIN };
	pid_t pid;

	while (poll(&p, 1, REAP_MS) < 0 && errno == EINTR)
		;
	pid = waitpid(w->pid, ret_wait_status, WNOHANG);
	if (pid < 0)
		*ret_wait_status = W_EXITCODE(1, 0); /* somebody else reaped it */
	return pid != 0;
}

static enum parse_status status_of_end(int wait_status, enum parse_status fallback)
{
	if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == WORKER_EXIT_FILE_CHANGED)
		return PARSE_FILE_CHANGED;
	if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGXCPU)
		return PARSE_LIMIT;
	if (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGALRM)
		return PARSE_TIMEOUT;
	return fallback;
}

enum parse_status worker_process__stop(struct worker *w, enum parse_status fallback,
				       bool *ret_clean)
{
	enum parse_status status = fallback;
	int wait_status = 0;
	bool clean = false;

	if (w->socket >= 0)
		close(w->socket);
	w->socket = -1;
	if (w->pid) {
		/*
		 * A process on its way out keeps the status it left with. Without CAP_KILL the
		 * signal is refused (the worker has changed its user): its own alarm ends it then.
		 */
		kill(w->pid, SIGKILL);
		if (wait_for_end(w, &wait_status)) {
			clean = WIFEXITED(wait_status) &&
				WEXITSTATUS(wait_status) == WORKER_EXIT_DONE;
			status = status_of_end(wait_status, fallback);
		} else {
			abandon(w, w->pid);
		}
	}
	if (w->pidfd >= 0)
		close(w->pidfd);
	w->pidfd = -1;
	w->pid = 0;
	if (ret_clean)
		*ret_clean = clean;
	return status;
}

/* --- starting ----------------------------------------------------------------------------------
 */
/* Nothing is inherited but stderr and the socket: all our descriptors are close-on-exec, and the
 * worker closes what is left before it reads anything. */
static int spawn(int child_socket, pid_t *ret_pid)
{
	char socket_fd[16];
	char *const argv[] = { "cprofd", "--worker", socket_fd, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int err;

	snprintf(socket_fd, sizeof(socket_fd), "%d", CHILD_SOCKET_FD);
	err = posix_spawn_file_actions_init(&actions);
	if (err)
		return -err;
	err = posix_spawnattr_init(&attr);
	if (err) {
		posix_spawn_file_actions_destroy(&actions);
		return -err;
	}
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &all);
	/* A session of its own: ^C on our terminal is not meant for it. */
	err = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
						      POSIX_SPAWN_SETSIGDEF);
	if (!err)
		err = posix_spawn_file_actions_adddup2(&actions, child_socket, CHILD_SOCKET_FD);
	if (!err)
		err = posix_spawn(ret_pid, "/proc/self/exe", &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -err;
}

static bool is_alive(const struct worker *w)
{
	struct pollfd p = { .fd = w->socket, .events = POLLIN };

	/* Between requests there is nothing to read but the end of the stream. */
	return w->pid && poll(&p, 1, 0) == 0;
}

int worker_process__start(struct worker *w)
{
	int sockets[2], err;
	bool has_room;

	if (is_alive(w))
		return 0;
	worker_process__stop(w, PARSE_CRASHED, NULL);
	has_room = reap_abandoned(w);
	if (!has_room)
		return -EBUSY;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets))
		return -errno;
	err = spawn(sockets[1], &w->pid);
	close(sockets[1]);
	w->socket = sockets[0];
	if (err) {
		w->pid = 0;
	} else {
		w->stats.restarts += w->started_before;
		w->started_before = true;
		w->pidfd = (int)syscall(SYS_pidfd_open, w->pid, 0);
		err = w->pidfd < 0 ? -errno : worker_channel__hello(w);
	}
	if (err)
		worker_process__stop(w, PARSE_CRASHED, NULL);
	return err;
}

/* ru_maxrss will not do: it counts what the address space before the exec had reached, ours. */
void worker_process__sample_rss(struct worker *w)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	const char *line;
	char path[64];

	if (!w->pid)
		return;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)w->pid);
	if (file__read(path, PROC_STATUS_MAX, &text))
		return;
	line = strstr(text.data, "\nVmHWM:");
	if (line)
		w->stats.peak_rss_bytes = strtoull(line + strlen("\nVmHWM:"), NULL, 10) * 1024;
}
