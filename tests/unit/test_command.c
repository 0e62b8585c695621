/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * COMMAND: held before its exec, let go, its status passed on, nothing of ours left in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "base/file.h"
#include "capture.h"
#include "session/command.h"

/* Runs argv to its end; returns its status, what it printed in *ret_out (may be NULL). */
static int run(char *const *argv, const char *user, char **ret_out)
{
	struct capture capture = capture__start(STDOUT_FILENO);
	struct command *c = NULL;
	int fork_err = command__fork(&c, argv, user, NULL);
	int exec_err = fork_err ? 0 : command__exec(c);
	int status = -1;
	char *out;

	if (!fork_err && !exec_err)
		command__wait(c, &status);
	command__free(c);
	out = capture__finish(&capture);
	assert_int_equal(fork_err, 0);
	assert_int_equal(exec_err, 0);
	if (ret_out)
		*ret_out = out;
	else
		free(out);
	return status;
}

static int run_shell(const char *script, const char *user, char **ret_out)
{
	char *argv[] = { (char *)"/bin/sh", (char *)"-c", (char *)script, NULL };

	return run(argv, user, ret_out);
}

/* errno of a COMMAND that cannot be run. */
static int exec_error(const char *path)
{
	char *argv[] = { (char *)path, NULL };
	struct command *c;
	int err, status;

	assert_int_equal(command__fork(&c, argv, NULL, NULL), 0);
	err = command__exec(c);
	assert_true(command__has_exited(c, &status));
	command__free(c);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	return err;
}

static void test_status_is_passed_on(void **state)
{
	assert_int_equal(run_shell("exit 0", NULL, NULL), 0);
	assert_int_equal(run_shell("exit 37", NULL, NULL), 37);
	assert_int_equal(run_shell("kill -TERM $$", NULL, NULL), 128 + SIGTERM);
	assert_int_equal(run_shell("kill -KILL $$", NULL, NULL), 128 + SIGKILL);
}

static void test_what_cannot_be_run(void **state)
{
	char path[] = "/tmp/test_command.XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(exec_error(path), -EACCES);
	assert_int_equal(exec_error("/"), -EACCES);
	assert_int_equal(exec_error("/nonexistent/x"), -ENOENT);
	assert_int_equal(exec_error("no-such-program-of-ours"), -ENOENT);
	assert_int_equal(exec_error(""), -ENOENT);
	close(fd);
	unlink(path);
}

static void test_held_until_exec(void **state)
{
	char path[] = "/tmp/test_command.XXXXXX";
	char *argv[] = { (char *)"touch", path, NULL };
	struct command *c;
	int status;

	close(mkstemp(path));
	unlink(path);
	assert_int_equal(command__fork(&c, argv, NULL, NULL), 0);
	assert_int_equal(kill(command__pid(c), 0), 0);
	usleep(50 * 1000);
	assert_int_equal(access(path, F_OK), -1);
	assert_false(command__has_exited(c, &status));
	assert_int_equal(command__exec(c), 0);
	assert_int_equal(command__wait(c, &status), 0);
	assert_int_equal(status, 0);
	assert_int_equal(access(path, F_OK), 0);
	command__free(c);
	unlink(path);
}

static void test_free_kills_only_while_held(void **state)
{
	char *argv[] = { (char *)"sleep", (char *)"60", NULL };
	struct command *c;
	pid_t pid;
	int status;

	assert_int_equal(command__fork(&c, argv, NULL, NULL), 0);
	pid = command__pid(c);
	command__free(c);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);

	assert_int_equal(command__fork(&c, argv, NULL, NULL), 0);
	pid = command__pid(c);
	assert_int_equal(command__exec(c), 0);
	command__free(c);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	command__free(NULL);
}

static void test_killed_while_held(void **state)
{
	char *argv[] = { (char *)"true", NULL };
	struct command *c;
	int status;

	assert_int_equal(command__fork(&c, argv, NULL, NULL), 0);
	kill(command__pid(c), SIGKILL);
	while (!command__has_exited(c, &status))
		usleep(1000);
	assert_int_equal(status, 128 + SIGKILL);
	assert_int_equal(command__exec(c), -ESRCH);
	command__free(c);
}

static void test_pidfd_tells_the_end(void **state)
{
	char *argv[] = { (char *)"sleep", (char *)"0.1", NULL };
	struct command *c;
	struct pollfd pfd;
	int status;

	assert_int_equal(command__fork(&c, argv, NULL, NULL), 0);
	pfd = (struct pollfd){ .fd = command__pidfd(c), .events = POLLIN };
	assert_int_equal(command__exec(c), 0);
	assert_false(command__has_exited(c, &status));
	assert_int_equal(poll(&pfd, 1, 10000), 1);
	assert_true(command__has_exited(c, &status));
	assert_int_equal(status, 0);
	assert_int_equal(command__wait(c, &status), 0); /* a second time */
	command__free(c);
}

/* The descriptors of this process that have no close-on-exec are not command.c's doing. */
static void test_no_descriptor_leaks(void **state)
{
	char *out, *direct = NULL;
	size_t len = 0;
	FILE *f;

	f = popen("ls /proc/self/fd | wc -l", "r");
	assert_true(getline(&direct, &len, f) > 0);
	pclose(f);
	run_shell("ls /proc/self/fd | wc -l", NULL, &out);
	assert_string_equal(out, direct);
	free(out);
	free(direct);
}

/* Not by way of a shell, which clears its signal mask. */
/* glibc keeps 32 and 33 to itself: who started us may ignore them, and nobody can change that. */
static void assert_signals(const char *status, unsigned long blocked, unsigned long ignored)
{
	const unsigned long ours = ~(3UL << 31);
	unsigned long blk, ign;

	assert_int_equal(sscanf(status, "SigBlk: %lx SigIgn: %lx", &blk, &ign), 2);
	assert_int_equal(blk & ours, blocked);
	assert_int_equal(ign & ours, ignored);
}

static void test_signals_as_they_were(void **state)
{
	char *argv[] = { (char *)"grep", (char *)"-E", (char *)"^Sig(Blk|Ign)",
			 (char *)"/proc/self/status", NULL };
	char *plain, *changed;
	sigset_t usr2, old;

	run(argv, NULL, &plain);
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	sigprocmask(SIG_BLOCK, &usr2, &old);
	signal(SIGCHLD, SIG_IGN);
	run(argv, NULL, &changed);
	assert_ptr_equal(signal(SIGCHLD, SIG_DFL), SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	assert_signals(plain, 0, 0);
	assert_signals(changed, 1UL << (SIGUSR2 - 1), 1UL << (SIGCHLD - 1));
	free(plain);
	free(changed);
}

/* A process that forks a COMMAND, lets it exec or not, and dies; returns COMMAND's pid. */
static pid_t orphan(bool with_exec)
{
	char *argv[] = { (char *)"sleep", (char *)"60", NULL };
	struct command *c;
	pid_t parent, pid;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	parent = fork();
	if (!parent) {
		if (command__fork(&c, argv, NULL, NULL) || (with_exec && command__exec(c)))
			_exit(1);
		pid = command__pid(c);
		_exit(write(fds[1], &pid, sizeof(pid)) != sizeof(pid));
	}
	assert_int_equal(read(fds[0], &pid, sizeof(pid)), sizeof(pid));
	close(fds[0]);
	close(fds[1]);
	waitpid(parent, NULL, 0);
	return pid;
}

static void test_outlives_us_only_once_it_runs(void **state)
{
	pid_t pid;
	int i;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid = orphan(false);
	for (i = 0; i < 1000 && waitpid(pid, NULL, WNOHANG) != pid; i++)
		usleep(10 * 1000);
	assert_true(i < 1000);
	pid = orphan(true);
	usleep(50 * 1000);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void test_user(void **state)
{
	char *argv[] = { (char *)"true", NULL };
	struct command *c;
	char *out;

	assert_int_equal(command__fork(&c, argv, "no-such-user-here", NULL), -ENOENT);
	if (geteuid()) {
		print_message("skipped the rest: becoming another user needs root\n");
		return;
	}
	run_shell("id -un; id -Gn; grep -E '^(Uid|CapEff)' /proc/self/status; "
		  "echo $USER $LOGNAME $HOME",
		  "daemon", &out);
	assert_string_equal(out, "daemon\ndaemon\nUid:\t1\t1\t1\t1\nCapEff:\t0000000000000000\n"
				 "daemon daemon /usr/sbin\n");
	free(out);
}

static void test_environment(void **state)
{
	char *argv[] = { (char *)"/bin/sh", (char *)"-c",
			 (char *)"echo $TEST_COMMAND_NEW $TEST_COMMAND_OLD", NULL };
	char *env[] = { (char *)"TEST_COMMAND_NEW=a b", (char *)"TEST_COMMAND_OLD=new", NULL };
	struct capture capture;
	struct command *c;
	int status = -1;
	char *out;

	setenv("TEST_COMMAND_OLD", "old", 1);
	capture = capture__start(STDOUT_FILENO);
	if (!command__fork(&c, argv, NULL, env) && !command__exec(c))
		command__wait(c, &status);
	command__free(c);
	out = capture__finish(&capture);
	assert_int_equal(status, 0);
	assert_string_equal(out, "a b new\n");
	assert_null(getenv("TEST_COMMAND_NEW"));
	assert_string_equal(getenv("TEST_COMMAND_OLD"), "old");
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_is_passed_on),
		cmocka_unit_test(test_what_cannot_be_run),
		cmocka_unit_test(test_held_until_exec),
		cmocka_unit_test(test_free_kills_only_while_held),
		cmocka_unit_test(test_killed_while_held),
		cmocka_unit_test(test_pidfd_tells_the_end),
		cmocka_unit_test(test_no_descriptor_leaks),
		cmocka_unit_test(test_signals_as_they_were),
		cmocka_unit_test(test_outlives_us_only_once_it_runs),
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_environment),
	};

	sigset_t none;
	int sig;

	/* Whoever runs the tests may ignore or block some: start from what a shell has. */
	for (sig = 1; sig < SIGRTMIN; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
