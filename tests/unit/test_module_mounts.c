/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files of other mount namespaces, and a FUSE file system whose server never answers: whoever looks
 * a name up there hangs for good, so these tests fail by their alarm. All mounts are made in a
 * namespace of their own and end with it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/mountinfo.h"
#include "process/process.h"

#define GONE_PID 5000001 /* above what any kernel hands out */

/* Asserts that also work in a child, whose exit status is the line that failed. */
#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond))                                                                       \
			_exit(__LINE__ % 255 + 1);                                                 \
	} while (0)

static bool is_root(void)
{
	if (geteuid() == 0)
		return true;
	print_message("[  SKIPPED ] mounting needs root\n");
	return false;
}

static void own_namespace(void)
{
	CHECK(unshare(CLONE_NEWNS) == 0);
	CHECK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
}

static void copy_file(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	char buf[65536];
	ssize_t n;

	CHECK(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		CHECK(write(out, buf, (size_t)n) == n);
	CHECK(n == 0);
	close(in);
	close(out);
}

static struct process_event mapping_of(pid_t pid, const char *path)
{
	return (struct process_event){
		.time_ns = 1,
		.kind = PROCESS_EVENT_MMAP,
		.pid = pid,
		.tid = pid,
		.start = 0x1000,
		.end = 0x2000,
		.path = (char *)path,
	};
}

static enum module_open_status pin_record(const struct process_event *ev)
{
	struct process_table *t = process_table__new(NULL, 0, false);
	enum module_open_status status;
	const struct mapping *m;
	struct process *p;

	CHECK(t && process_table__apply(t, ev) == 0);
	p = process_table__find(t, ev->pid);
	CHECK(p);
	m = process__mapping(t, p, ev->start);
	CHECK(m);
	module__pin(t, p, m, m->module);
	CHECK((m->module->fd >= 0) == (m->module->open_status == MODULE_OPENED));
	status = m->module->open_status;
	process_table__free(t);
	return status;
}

static void in_child(void (*fn)(const char *dir))
{
	char dir[] = "/tmp/cprof-mounts-XXXXXX";
	int status;
	pid_t pid;

	assert_non_null(mkdtemp(dir));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(10);
		fn(dir);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	rmdir(dir);
	if (WIFSIGNALED(status))
		fail_msg("killed by signal %d%s", WTERMSIG(status),
			 WTERMSIG(status) == SIGALRM ? ": it hung" : "");
	if (WEXITSTATUS(status))
		fail_msg("check in line %d (modulo 255) failed", WEXITSTATUS(status) - 1);
}

static void on_silent_fuse(const char *dir)
{
	struct process_event ev;
	struct mountinfo mi = { 0 };
	const struct mount *m;
	char options[128], path[PATH_MAX];
	int fd;

	own_namespace();
	fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	CHECK(mount("silent", dir, "fuse", MS_NOSUID | MS_NODEV, options) == 0);
	snprintf(path, sizeof(path), "%s/lib.so", dir);
	/* By path, of a process that is gone. */
	ev = mapping_of(GONE_PID, path);
	ev.build_id[0] = 1;
	ev.build_id_len = 20;
	CHECK(pin_record(&ev) == MODULE_FOREIGN_FS);
	/* By the device of the record, under a path that looks harmless. */
	CHECK(mountinfo__read(&mi, "/proc/self/mountinfo") == 0);
	m = mountinfo__find_path(&mi, path);
	CHECK(m && strcmp(m->fs_type, "fuse") == 0);
	ev = mapping_of(GONE_PID, "/bin/true");
	ev.dev_major = m->dev_major;
	ev.dev_minor = m->dev_minor;
	ev.inode = 1;
	CHECK(pin_record(&ev) == MODULE_FOREIGN_FS);
	mountinfo__done(&mi);
	close(fd);
}

static void test_silent_fuse(void **state)
{
	if (!is_root())
		skip();
	if (access("/dev/fuse", R_OK | W_OK) < 0) {
		print_message("[  SKIPPED ] no /dev/fuse\n");
		skip();
	}
	in_child(on_silent_fuse);
}

/* Starts a sleeping process in a namespace of its own where dir is a tmpfs with its program. */
static pid_t start_container(const char *dir, const char *path)
{
	int gate[2];
	char c;
	pid_t pid;

	CHECK(pipe(gate) == 0);
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		own_namespace();
		CHECK(mount("none", dir, "tmpfs", 0, NULL) == 0);
		copy_file("/bin/sleep", path);
		/* The write end closes on exec. */
		CHECK(fcntl(gate[1], F_SETFD, FD_CLOEXEC) == 0);
		execl(path, "sleeper", "60", NULL);
		_exit(127);
	}
	close(gate[1]);
	CHECK(read(gate[0], &c, 1) == 0);
	close(gate[0]);
	return pid;
}

static void in_container(const char *dir)
{
	struct process_table *t;
	struct process_event ev;
	struct module *exe;
	struct process *p;
	char path[PATH_MAX], there[PATH_MAX + 64];
	struct stat inside;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/sleeper", dir);
	pid = start_container(dir, path);
	CHECK(access(path, F_OK) < 0);
	snprintf(there, sizeof(there), "/proc/%d/root%s", (int)pid, path);
	CHECK(stat(there, &inside) == 0);
	t = process_table__new(NULL, 0, false);
	CHECK(t);
	p = process_table__find(t, pid);
	CHECK(p && strcmp(p->comm, "sleeper") == 0);
	exe = process__executable(t, p);
	CHECK(exe && exe->inode == inside.st_ino && strcmp(exe->path, path) == 0);
	/* Without a mapping: below the root of the process. */
	module__pin(t, p, NULL, exe);
	CHECK(exe->open_status == MODULE_OPENED);
	process_table__free(t);
	/* A child of it that is gone: below the root of its parent. */
	t = process_table__new(NULL, 0, false);
	CHECK(t && process_table__find(t, pid));
	ev = (struct process_event){ .time_ns = 1,
				     .kind = PROCESS_EVENT_FORK,
				     .pid = GONE_PID,
				     .tid = GONE_PID,
				     .ppid = pid };
	CHECK(process_table__apply(t, &ev) == 0);
	ev = (struct process_event){
		.time_ns = 2, .kind = PROCESS_EVENT_EXIT, .pid = GONE_PID, .tid = GONE_PID
	};
	CHECK(process_table__apply(t, &ev) == 0);
	p = process_table__find(t, GONE_PID);
	CHECK(p && p->exited);
	exe = process__executable(t, p);
	if (!exe)
		exe = process__executable(t, process_table__find(t, pid));
	CHECK(exe);
	module__pin(t, p, NULL, exe);
	CHECK(exe->open_status == MODULE_OPENED);
	process_table__free(t);
	/* Nobody left to ask: the device is in no mountinfo any more. */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ev = mapping_of(GONE_PID, path);
	ev.dev_major = major(inside.st_dev);
	ev.dev_minor = minor(inside.st_dev);
	ev.inode = inside.st_ino;
	CHECK(pin_record(&ev) == MODULE_DEVICE_UNKNOWN);
}

static void test_other_mount_namespace(void **state)
{
	if (!is_root())
		skip();
	in_child(in_container);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_silent_fuse),
		cmocka_unit_test(test_other_mount_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
