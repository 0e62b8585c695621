/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See command.h. Two pipes tie the child to us: 'go' holds it (a byte lets it exec, end of file
 * means that we are gone), 'error' brings back the errno of what failed on its way to the new
 * image, and is closed by a successful exec. While it is held the child also dies with us by
 * PDEATHSIG and has all signals blocked: a ^C that reaches the terminal's foreground group waits
 * and then ends COMMAND itself, as it would have without us.
 */
#include "session/command.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/clock.h"

#define PASSWD_MAX_BYTES (1024 * 1024)
#define GROUPS_MAX       65536 /* NGROUPS_MAX */

struct command {
	pid_t pid;
	int pidfd;
	int go_fd, error_fd; /* our ends; -1 once used */
	bool is_held;        /* has not been let go */
	bool is_reaped;
	int status; /* as a shell reports it, once reaped */
	uint64_t cpu_ns;
};

/* Who COMMAND becomes; looked up before the fork, because NSS may open files and sockets. */
struct identity {
	uid_t uid;
	gid_t gid;
	gid_t *groups;
	int groups_cnt;
	char *name, *home;
};

static void identity__done(struct identity *id)
{
	free(id->groups);
	free(id->name);
	free(id->home);
}

static int find_groups(struct identity *id)
{
	int cnt = 32;

	for (;;) {
		gid_t *groups = reallocarray(id->groups, (size_t)cnt, sizeof(*groups));
		int room = cnt;

		if (!groups)
			return -ENOMEM;
		id->groups = groups;
		id->groups_cnt = room;
		if (getgrouplist(id->name, id->gid, groups, &id->groups_cnt) >= 0)
			return 0;
		if (room >= GROUPS_MAX)
			return -E2BIG;
		cnt = room * 2;
	}
}

static int find_identity(const char *user, struct identity *id)
{
	struct passwd pw, *found = NULL;
	size_t size = 1024;
	int err = ERANGE;

	while (err == ERANGE && size <= PASSWD_MAX_BYTES) {
		_cleanup_free_ char *text = malloc(size);

		if (!text)
			return -ENOMEM;
		err = getpwnam_r(user, &pw, text, size, &found);
		if (!err && found) {
			id->uid = pw.pw_uid;
			id->gid = pw.pw_gid;
			id->name = strdup(pw.pw_name);
			id->home = strdup(pw.pw_dir);
			return id->name && id->home ? find_groups(id) : -ENOMEM;
		}
		size *= 4;
	}
	return err ? -err : -ENOENT;
}

static int become(const struct identity *id)
{
	/* Capabilities that a cprofd without root was given for itself. */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (setgroups((size_t)id->groups_cnt, id->groups) || setresgid(id->gid, id->gid, id->gid) ||
	    setresuid(id->uid, id->uid, id->uid))
		return -errno;
	if (setenv("HOME", id->home, 1) || setenv("USER", id->name, 1) ||
	    setenv("LOGNAME", id->name, 1))
		return -errno;
	return 0;
}

struct child_setup {
	char *const *argv, *const *env;
	const struct identity *id; /* NULL: stays who we are */
	pid_t parent;
	int go_fd, error_fd;
	sigset_t mask;         /* to restore */
	struct sigaction chld; /* likewise: our own is SIG_DFL, to be able to wait */
};

static int exec_child(const struct child_setup *s)
{
	int err = s->id ? become(s->id) : 0;
	char *const *e;

	for (e = s->env; !err && e && *e; e++)
		err = putenv(*e) ? -errno : 0;
	if (err)
		return err;
	/* From here on COMMAND outlives us. A changed uid has cleared this already. */
	prctl(PR_SET_PDEATHSIG, 0);
	sigaction(SIGCHLD, &s->chld, NULL);
	sigprocmask(SIG_SETMASK, &s->mask, NULL);
	execvp(s->argv[0], s->argv);
	return -errno;
}

static void __attribute__((noreturn)) run_child(const struct child_setup *s)
{
	ssize_t n;
	char go;
	int err;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != s->parent)
		_exit(EXIT_FAILURE);
	do {
		n = read(s->go_fd, &go, 1);
	} while (n < 0 && errno == EINTR);
	if (n != 1)
		_exit(EXIT_FAILURE);
	err = exec_child(s);
	do {
		n = write(s->error_fd, &err, sizeof(err));
	} while (n < 0 && errno == EINTR);
	_exit(127);
}

static int open_pipes(struct command *c, struct child_setup *s)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	s->go_fd = fds[0];
	c->go_fd = fds[1];
	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	c->error_fd = fds[0];
	s->error_fd = fds[1];
	return 0;
}

/* All signals are blocked meanwhile: the child must not run a handler of ours. */
static int fork_child(struct command *c, struct child_setup *s)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t all;
	pid_t pid;
	int err = 0;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &s->mask);
	sigaction(SIGCHLD, NULL, &s->chld);
	if (s->chld.sa_handler == SIG_IGN)
		sigaction(SIGCHLD, &dfl, NULL);
	pid = fork();
	if (!pid) {
		/* Our ends: held open here, they would hide that we are gone. */
		close(c->go_fd);
		close(c->error_fd);
		run_child(s);
	}
	if (pid < 0)
		err = -errno;
	sigprocmask(SIG_SETMASK, &s->mask, NULL);
	if (err)
		return err;
	c->pid = pid;
	c->is_held = true;
	c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	return c->pidfd < 0 ? -errno : 0;
}

int command__fork(struct command **ret, char *const *argv, const char *user, char *const *env)
{
	_cleanup_(identity__done) struct identity id = { 0 };
	struct child_setup s = {
		.argv = argv, .env = env, .parent = getpid(), .go_fd = -1, .error_fd = -1
	};
	struct command *c;
	int err;

	if (user) {
		err = find_identity(user, &id);
		if (err)
			return err;
		s.id = &id;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->pidfd = c->go_fd = c->error_fd = -1;
	err = open_pipes(c, &s) ?: fork_child(c, &s);
	close_fdp(&s.go_fd);
	close_fdp(&s.error_fd);
	if (err) {
		command__free(c);
		return err;
	}
	*ret = c;
	return 0;
}

pid_t command__pid(const struct command *c)
{
	return c->pid;
}

int command__pidfd(const struct command *c)
{
	return c->pidfd;
}

static uint64_t timeval_ns(const struct timeval *tv)
{
	return (uint64_t)tv->tv_sec * NSEC_PER_SEC + (uint64_t)tv->tv_usec * 1000;
}

/* The child is reaped with its status kept, or still runs (-EAGAIN, only with WNOHANG). */
static int reap(struct command *c, int flags)
{
	struct rusage usage;
	int status;
	pid_t pid;

	if (c->is_reaped)
		return 0;
	do {
		pid = wait4(c->pid, &status, flags, &usage);
	} while (pid < 0 && errno == EINTR);
	if (pid < 0)
		return -errno;
	if (!pid)
		return -EAGAIN;
	c->is_reaped = true;
	c->cpu_ns = timeval_ns(&usage.ru_utime) + timeval_ns(&usage.ru_stime);
	c->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return 0;
}

static void close_pipes(struct command *c)
{
	close_fdp(&c->go_fd);
	close_fdp(&c->error_fd);
	c->go_fd = c->error_fd = -1;
}

/* SIGPIPE would end us when the child has died meanwhile: MSG_NOSIGNAL does not work on pipes. */
static int write_go(int fd)
{
	struct timespec no_wait = { 0 };
	sigset_t pipe_only, old;
	int err = 0;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	sigprocmask(SIG_BLOCK, &pipe_only, &old);
	if (write(fd, "", 1) != 1)
		err = -errno;
	if (err == -EPIPE && !sigismember(&old, SIGPIPE))
		sigtimedwait(&pipe_only, NULL, &no_wait);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return err;
}

int command__exec(struct command *c)
{
	int err = 0;
	ssize_t n;

	if (!c->is_held)
		return -EINVAL;
	err = write_go(c->go_fd);
	c->is_held = false;
	if (err) {
		/* Somebody killed it while it waited. */
		close_pipes(c);
		reap(c, 0);
		return err == -EPIPE ? -ESRCH : err;
	}
	do {
		n = read(c->error_fd, &err, sizeof(err));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		err = -errno;
	close_pipes(c);
	if (n == 0)
		return 0;
	if (n > 0)
		reap(c, 0);
	return err < 0 ? err : -EIO;
}

int command__wait(struct command *c, int *ret_status)
{
	int err = reap(c, 0);

	if (err)
		return err;
	*ret_status = c->status;
	return 0;
}

bool command__has_exited(struct command *c, int *ret_status)
{
	if (reap(c, WNOHANG))
		return false;
	*ret_status = c->status;
	return true;
}

uint64_t command__cpu_ns(const struct command *c)
{
	return c->cpu_ns;
}

void command__free(struct command *c)
{
	if (!c)
		return;
	if (c->is_held && !c->is_reaped) {
		kill(c->pid, SIGKILL);
		reap(c, 0);
	}
	close_pipes(c);
	close_fdp(&c->pidfd);
	free(c);
}
