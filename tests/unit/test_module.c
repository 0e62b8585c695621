/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which records mean the same file, what kind of memory a path stands for, and (live) how a file is
 * opened: deleted, replaced, on a foreign file system, not regular.
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
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/module.h"
#include "process/process.h"

static const uint8_t id_a[20] = "aaaaaaaaaaaaaaaaaaa", id_b[20] = "bbbbbbbbbbbbbbbbbbb";

static struct module_spec file(const char *path, uint64_t inode)
{
	return (struct module_spec){
		.kind = MODULE_FILE,
		.path = path,
		.path_len = strlen(path),
		.dev_major = 8,
		.dev_minor = 1,
		.inode = inode,
	};
}

static struct module_spec with_generation(struct module_spec s, uint64_t generation)
{
	s.inode_generation = generation;
	s.generation_known = true;
	return s;
}

static struct module_spec by_build_id(const char *path, const uint8_t id[20])
{
	return (struct module_spec){
		.kind = MODULE_FILE,
		.path = path,
		.path_len = strlen(path),
		.build_id = id,
		.build_id_len = 20,
	};
}

static struct module *intern(struct module_set *set, struct module_spec s)
{
	struct module *m = module_set__intern(set, &s);

	assert_non_null(m);
	return m;
}

static void test_classify(void **state)
{
	static const struct {
		const char *path;
		enum module_kind kind;
		const char *name;
	} cases[] = {
		{ "/usr/bin/a", MODULE_FILE, "/usr/bin/a" },
		{ "/usr/bin/a (deleted)", MODULE_FILE, "/usr/bin/a" },
		{ "/ (deleted)", MODULE_FILE, "/" },
		{ "/dev/shm/lib.so", MODULE_FILE, "/dev/shm/lib.so" },
		{ "/memfdx", MODULE_FILE, "/memfdx" },
		{ "", MODULE_JIT, "[JIT]" },
		{ "//anon", MODULE_JIT, "[JIT]" },
		{ "[heap]", MODULE_JIT, "[JIT]" },
		{ "[stack]", MODULE_JIT, "[JIT]" },
		{ "[anon:v8]", MODULE_JIT, "[JIT]" },
		{ "/memfd:jit (deleted)", MODULE_JIT, "[JIT]" },
		{ "/dev/zero (deleted)", MODULE_JIT, "[JIT]" },
		{ "/SYSV00000000 (deleted)", MODULE_JIT, "[JIT]" },
		{ "/anon_hugepage (deleted)", MODULE_JIT, "[JIT]" },
		{ "[vdso]", MODULE_VDSO, "[vdso]" },
		{ "[vsyscall]", MODULE_OTHER, "[vsyscall]" },
		{ "[uprobes]", MODULE_OTHER, "[uprobes]" },
		{ "/dev/nvidia0", MODULE_OTHER, "/dev/nvidia0" },
		{ "anon_inode:[x]", MODULE_OTHER, "anon_inode:[x]" },
	};
	struct module_spec s;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		s = (struct module_spec){ 0 };
		module_spec__classify(&s, cases[i].path, 0x7fff00000000);
		assert_int_equal(s.kind, cases[i].kind);
		assert_int_equal(s.path_len, strlen(cases[i].name));
		assert_memory_equal(s.path, cases[i].name, s.path_len);
	}
	module_spec__classify(&s, "[vdso]", 0xf7fc0000);
	assert_int_equal(s.kind, MODULE_OTHER);
}

static void test_same_inode(void **state)
{
	struct module_set *set = module_set__new();
	struct module *scanned = intern(set, file("/lib/a", 10));

	assert_int_equal(scanned->idx, 0);
	assert_int_equal(scanned->fd, -1);
	assert_ptr_equal(intern(set, file("/lib/a", 10)), scanned);
	/* The side-band adds the generation, and then tells links and reused inodes apart by it. */
	assert_ptr_equal(intern(set, with_generation(file("/lib/a", 10), 5)), scanned);
	assert_true(scanned->generation_known);
	assert_ptr_equal(intern(set, with_generation(file("/lib/link", 10), 5)), scanned);
	assert_ptr_not_equal(intern(set, with_generation(file("/lib/a", 10), 6)), scanned);
	assert_ptr_not_equal(intern(set, file("/lib/other", 10)), scanned);
	assert_ptr_not_equal(intern(set, file("/lib/a", 11)), scanned);
	/* The newest of several is meant by a record that cannot tell. */
	assert_int_equal(intern(set, file("/lib/a", 10))->inode_generation, 6);
	assert_int_equal(module_set__cnt(set), 4);
	assert_null(module_set__get(set, 4));
	module_set__free(set);
}

static void test_build_id_is_no_proof(void **state)
{
	struct module_set *set = module_set__new();
	struct module *a = intern(set, by_build_id("/lib/a", id_a));
	struct module_spec rewritten = file("/lib/r", 12);
	struct module *before;

	assert_ptr_equal(intern(set, by_build_id("/lib/a", id_a)), a);
	assert_ptr_not_equal(intern(set, by_build_id("/lib/a", id_b)), a);
	assert_ptr_not_equal(intern(set, by_build_id("/tmp/forged", id_a)), a);
	/* A file whose build-id changed under its inode is another one. */
	rewritten.build_id = id_a;
	rewritten.build_id_len = 20;
	before = intern(set, rewritten);
	rewritten.build_id = id_b;
	assert_ptr_not_equal(intern(set, rewritten), before);
	rewritten.build_id_len = 21;
	assert_null(module_set__intern(set, &rewritten));
	module_set__free(set);
}

static void test_unify(void **state)
{
	struct module_set *set = module_set__new();
	struct module *by_id = intern(set, by_build_id("/lib/a", id_a));
	struct module_spec inode = with_generation(file("/lib/a", 20), 1);
	struct module_spec same_id = by_build_id("/lib/a", id_a),
			   other_id = by_build_id("/lib/a", id_b);
	struct module *other, *scanned;
	struct module_spec s;

	/* The inode is new: the module learns it and is found by it from now on. */
	assert_ptr_equal(module_set__unify(set, by_id, &inode), by_id);
	assert_int_equal(by_id->inode, 20);
	assert_ptr_equal(intern(set, inode), by_id);
	assert_ptr_equal(module_set__unify(set, by_id, &same_id), by_id);
	assert_null(module_set__unify(set, by_id, &other_id));
	s = file("/lib/b", 20);
	assert_null(module_set__unify(set, by_id, &s));
	/* The inode has a module already: that one learns the build-id and is used. */
	scanned = intern(set, file("/lib/c", 21));
	other = intern(set, by_build_id("/lib/c", id_b));
	s = file("/lib/c", 21);
	assert_ptr_equal(module_set__unify(set, other, &s), scanned);
	assert_int_equal(scanned->build_id_len, 20);
	assert_memory_equal(scanned->build_id, id_b, 20);
	/* Side-band order: the inode first, its build-id repeated afterwards. */
	scanned = intern(set, file("/lib/d", 22));
	s = by_build_id("/lib/d", id_a);
	assert_ptr_equal(module_set__unify(set, scanned, &s), scanned);
	assert_memory_equal(scanned->build_id, id_a, 20);
	module_set__free(set);
}

static void test_one_module_per_name(void **state)
{
	struct module_set *set = module_set__new();
	struct module_spec s = { 0 };
	struct module *jit;

	module_spec__classify(&s, "//anon", 0x1000);
	jit = intern(set, s);
	for (int i = 0; i < 1000; i++) {
		char name[64];

		snprintf(name, sizeof(name), "/memfd:%d (deleted)", i);
		module_spec__classify(&s, name, 0x1000);
		assert_ptr_equal(intern(set, s), jit);
	}
	assert_int_equal(module_set__cnt(set), 1);
	module_set__free(set);
}

static void test_floods_are_bounded(void **state)
{
	struct module_set *set = module_set__new();
	struct module *last = NULL;
	char path[64];

	/* One inode under ever new names, then ever new inodes. */
	for (int i = 0; i < 2000; i++) {
		snprintf(path, sizeof(path), "/tmp/%d", i);
		intern(set, file(path, 1));
	}
	for (uint64_t i = 0; i < MODULE_SET_MAX + 10; i++)
		last = intern(set, file("/tmp/x", 1000 + i));
	assert_int_equal(last->kind, MODULE_OTHER);
	assert_int_equal(module_set__cnt(set), MODULE_SET_MAX + 1);
	/* What was known before is still found. */
	assert_int_equal(intern(set, file("/tmp/x", 1000))->inode, 1000);
	module_set__free(set);
}

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
	assert_false(m->verify_build_id);
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
	assert_false(m->verify_build_id);
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
	assert_true(m->verify_build_id);
	process_table__stats(t, &stats);
	assert_int_equal(stats.modules_by_status[MODULE_OPENED], 1);
	process_table__free(t);
}

static void test_pin_descriptor_cap(void **state)
{
	struct rlimit old, low = { .rlim_cur = 4 };
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
		cmocka_unit_test(test_classify),
		cmocka_unit_test(test_same_inode),
		cmocka_unit_test(test_build_id_is_no_proof),
		cmocka_unit_test(test_unify),
		cmocka_unit_test(test_one_module_per_name),
		cmocka_unit_test(test_floods_are_bounded),
		cmocka_unit_test(test_pin_deleted),
		cmocka_unit_test(test_pin_other_range),
		cmocka_unit_test(test_pin_after_exit),
		cmocka_unit_test(test_pin_replaced),
		cmocka_unit_test(test_pin_unknown_device),
		cmocka_unit_test(test_pin_by_build_id),
		cmocka_unit_test(test_pin_descriptor_cap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
