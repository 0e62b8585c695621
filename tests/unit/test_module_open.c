/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening the files of real processes: deleted, replaced, no regular file, too many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/process.h"

static bool is_root(void)
{
	if (geteuid() == 0)
		return true;
	print_message("[  SKIPPED ] opening other processes' files needs root\n");
	return false;
}

/* A process that runs a copy of /bin/sleep, so that the file can be done with as the test likes. */
struct sleeper {
	char dir[64], path[128];
	pid_t pid;
};

static void copy_file(const char *from, const char *to)
{
	_cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	char buf[65536];
	ssize_t n;

	assert_true(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		assert_int_equal(write(out, buf, (size_t)n), n);
	assert_int_equal(n, 0);
}

static void wait_for_exec(pid_t pid, const char *path)
{
	char link[64], exe[PATH_MAX];

	snprintf(link, sizeof(link), "/proc/%d/exe", (int)pid);
	for (int i = 0; i < 5000; i++) {
		ssize_t n = readlink(link, exe, sizeof(exe) - 1);

		if (n > 0 && (exe[n] = '\0', strcmp(exe, path) == 0)) {
			usleep(20000); /* its libraries too */
			return;
		}
		usleep(1000);
	}
	fail_msg("%s did not start", path);
}

static void start_sleeper(struct sleeper *s, const char *dir)
{
	snprintf(s->dir, sizeof(s->dir), "%s/cprof-module-XXXXXX", dir);
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/sleeper", s->dir);
	copy_file("/bin/sleep", s->path);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (s->pid == 0) {
		execl(s->path, "sleeper", "60", NULL);
		_exit(127);
	}
	wait_for_exec(s->pid, s->path);
}

static void kill_sleeper(struct sleeper *s)
{
	if (s->pid > 0) {
		kill(s->pid, SIGKILL);
		waitpid(s->pid, NULL, 0);
		s->pid = 0;
	}
}

static void stop_sleeper(struct sleeper *s)
{
	kill_sleeper(s);
	unlink(s->path);
	rmdir(s->dir);
}

static struct module *find_module(struct process_table *t, const char *path)
{
	for (size_t i = 0; i < process_table__modules_cnt(t); i++)
		if (strcmp(process_table__module(t, i)->path, path) == 0)
			return process_table__module(t, i);
	return NULL;
}

/* The mapping of the module, looked for where its executable text is. */
static const struct mapping *find_mapping(struct process_table *t, struct process *p,
					  const struct module *m)
{
	char path[64], line[4096];
	_cleanup_fclose_ FILE *f = NULL;
	unsigned long long start;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)p->pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, " r-xp ") || !strstr(line, m->path))
			continue;
		assert_int_equal(sscanf(line, "%llx", &start), 1);
		return process__mapping(t, p, start);
	}
	return NULL;
}

static void test_pin_deleted(void **state)
{
	struct process_table *t;
	const struct mapping *map;
	struct sleeper s = { .pid = 0 };
	struct module *m;
	struct process *p;
	struct stat before, after;

	if (!is_root())
		skip();
	start_sleeper(&s, "/tmp");
	assert_int_equal(stat(s.path, &before), 0);
	assert_int_equal(unlink(s.path), 0);
	t = process_table__new(&s.pid, 1, false);
	assert_non_null(t);
	assert_int_equal(process_table__scan(t), 0);
	p = process_table__find(t, s.pid);
	assert_non_null(p);
	assert_string_equal(p->comm, "sleeper");
	m = find_module(t, s.path);
	assert_non_null(m);
	assert_ptr_equal(process__executable(t, p), m);
	map = find_mapping(t, p, m);
	assert_non_null(map);
	assert_ptr_equal(map->module, m);
	/* Something else at its place must not be taken for it. */
	copy_file("/bin/true", s.path);
	module__pin(t, p, map, m);
	assert_int_equal(m->open_status, MODULE_OPENED);
	assert_int_equal(fstat(m->fd, &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	assert_int_equal(after.st_size, before.st_size);
	assert_int_equal(fcntl(m->fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(fcntl(m->fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	process_table__free(t);
	stop_sleeper(&s);
}

/* The range we know is two of the kernel's, joined: only maps tells the link's name. */
static void test_pin_other_range(void **state)
{
	struct process_table *t;
	struct sleeper s = { .pid = 0 };
	struct mapping wrong;
	struct module *m;
	struct process *p;

	if (!is_root())
		skip();
	start_sleeper(&s, "/tmp");
	t = process_table__new(&s.pid, 1, false);
	assert_int_equal(process_table__scan(t), 0);
	p = process_table__find(t, s.pid);
	m = find_module(t, s.path);
	wrong = *find_mapping(t, p, m);
	wrong.start += 0x1000;
	wrong.end += 0x1000;
	unlink(s.path);
	module__pin(t, p, &wrong, m);
	assert_int_equal(m->open_status, MODULE_OPENED);
	process_table__free(t);
	stop_sleeper(&s);
}

static struct process_event exit_of(pid_t pid)
{
	return (struct process_event){
		.time_ns = 1, .kind = PROCESS_EVENT_EXIT, .pid = pid, .tid = pid
	};
}

static void test_pin_after_exit(void **state)
{
	struct process_event gone;
	struct process_table *t;
	struct sleeper s = { .pid = 0 };
	struct stat before, after;
	struct module *m;
	struct process *p;

	if (!is_root())
		skip();
	start_sleeper(&s, "/tmp");
	t = process_table__new(&s.pid, 1, false);
	assert_int_equal(process_table__scan(t), 0);
	m = find_module(t, s.path);
	assert_non_null(m);
	assert_int_equal(stat(s.path, &before), 0);
	gone = exit_of(s.pid);
	kill_sleeper(&s);
	assert_int_equal(process_table__apply(t, &gone), 0);
	p = process_table__find(t, gone.pid);
	assert_non_null(p);
	assert_true(p->exited);
	/* By path, as device and inode are those of the record. */
	module__pin(t, p, NULL, m);
	assert_int_equal(m->open_status, MODULE_OPENED);
	assert_int_equal(fstat(m->fd, &after), 0);
	assert_int_equal(after.st_ino, before.st_ino);
	process_table__free(t);
	stop_sleeper(&s);
}

enum replacement { REPLACED_BY_FILE, REPLACED_BY_FIFO, REPLACED_BY_LINK, REPLACED_BY_NOTHING };

static enum module_open_status pin_replaced(enum replacement how)
{
	enum module_open_status status;
	struct process_event gone;
	struct process_table *t;
	struct sleeper s = { .pid = 0 };
	char kept[160];
	struct module *m;

	start_sleeper(&s, "/tmp");
	t = process_table__new(&s.pid, 1, false);
	assert_int_equal(process_table__scan(t), 0);
	m = find_module(t, s.path);
	assert_non_null(m);
	gone = exit_of(s.pid);
	kill_sleeper(&s);
	assert_int_equal(process_table__apply(t, &gone), 0);
	snprintf(kept, sizeof(kept), "%s.kept", s.path);
	assert_int_equal(rename(s.path, kept), 0);
	if (how == REPLACED_BY_FILE)
		copy_file("/bin/true", s.path);
	if (how == REPLACED_BY_FIFO)
		assert_int_equal(mkfifo(s.path, 0600), 0);
	if (how == REPLACED_BY_LINK)
		assert_int_equal(symlink(kept, s.path), 0);
	module__pin(t, process_table__find(t, gone.pid), NULL, m);
	status = m->open_status;
	assert_true((m->fd >= 0) == (status == MODULE_OPENED));
	process_table__free(t);
	unlink(kept);
	stop_sleeper(&s);
	return status;
}

static void test_pin_replaced(void **state)
{
	if (!is_root())
		skip();
	assert_int_equal(pin_replaced(REPLACED_BY_FILE), MODULE_GONE);
	assert_int_equal(pin_replaced(REPLACED_BY_FIFO), MODULE_NOT_REGULAR);
	/* Even a link to the right file: the kernel's paths have none, somebody is playing. */
	assert_int_equal(pin_replaced(REPLACED_BY_LINK), MODULE_GONE);
	assert_int_equal(pin_replaced(REPLACED_BY_NOTHING), MODULE_GONE);
}

/* A record whose device is in no mountinfo and a process without map_files (gone, no build-id). */
static void test_pin_unknown_device(void **state)
{
	struct process_table *t;
	struct process_event map = {
		.time_ns = 1,
		.kind = PROCESS_EVENT_MMAP,
		.pid = INT32_MAX,
		.tid = INT32_MAX,
		.start = 0x1000,
		.end = 0x2000,
		.dev_major = 0xfff,
		.dev_minor = 0xfffff,
		.inode = 7,
		.path = (char *)"/bin/true",
	};
	struct process_event gone = exit_of(INT32_MAX);
	struct module *m;
	struct process *p;

	t = process_table__new(NULL, 0, false);
	assert_int_equal(process_table__apply(t, &map), 0);
	assert_int_equal(process_table__apply(t, &gone), 0);
	p = process_table__find(t, INT32_MAX);
	assert_non_null(p);
	assert_true(p->exited);
	m = process__mapping(t, p, 0x1000)->module;
	module__pin(t, p, process__mapping(t, p, 0x1000), m);
	assert_int_equal(m->open_status, MODULE_DEVICE_UNKNOWN);
	assert_int_equal(m->fd, -1);
	process_table__free(t);
}

/* Known by build-id only: the file at the path is taken, to be compared by who reads it. */
static void test_pin_by_build_id(void **state)
{
	struct process_table *t;
	struct process_event map = {
		.time_ns = 1,
		.kind = PROCESS_EVENT_MMAP,
		.pid = INT32_MAX,
		.tid = INT32_MAX,
		.start = 0x1000,
		.end = 0x2000,
		.build_id = { 1, 2, 3 },
		.build_id_len = 20,
	};
	_cleanup_free_ char *path = realpath("/bin/true", NULL);
	struct process_stats stats;
	struct module *m;
	struct process *p;

	map.path = path;
	t = process_table__new(NULL, 0, false);
	assert_int_equal(process_table__apply(t, &map), 0);
	p = process_table__find(t, INT32_MAX);
	m = process__mapping(t, p, 0x1000)->module;
	module__pin(t, p, NULL, m);
	assert_int_equal(m->open_status, MODULE_OPENED);
	process_table__stats(t, &stats);
	assert_int_equal(stats.modules_by_status[MODULE_OPENED], 1);
	process_table__free(t);
}

static void test_pin_descriptor_cap(void **state)
{
	struct rlimit old, low = { .rlim_cur = 64 + 3 };
	struct process_table *t;
	struct sleeper s = { .pid = 0 };
	struct process_stats stats;
	struct process *p;

	if (!is_root())
		skip();
	start_sleeper(&s, "/tmp");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	t = process_table__new(&s.pid, 1, false);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(process_table__scan(t), 0);
	p = process_table__find(t, s.pid);
	for (uint64_t i = 0; i < 4; i++) {
		struct process_event map = {
			.time_ns = 1,
			.kind = PROCESS_EVENT_MMAP,
			.pid = s.pid,
			.tid = s.pid,
			.start = 0x1000 * (i + 1),
			.end = 0x1000 * (i + 2),
			.build_id = { 1, (uint8_t)i },
			.build_id_len = 20,
			.path = s.path,
		};

		assert_int_equal(process_table__apply(t, &map), 0);
		module__pin(t, p, NULL, process__mapping(t, p, map.start)->module);
	}
	process_table__stats(t, &stats);
	assert_int_equal(stats.modules_by_status[MODULE_OPENED], 3);
	assert_int_equal(stats.modules_by_status[MODULE_TOO_MANY_OPEN], 1);
	process_table__free(t);
	stop_sleeper(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pin_deleted),        cmocka_unit_test(test_pin_other_range),
		cmocka_unit_test(test_pin_after_exit),     cmocka_unit_test(test_pin_replaced),
		cmocka_unit_test(test_pin_unknown_device), cmocka_unit_test(test_pin_by_build_id),
		cmocka_unit_test(test_pin_descriptor_cap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
