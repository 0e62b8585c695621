/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session/cgroup_paths: ids to paths in a directory tree, and which mount is asked.
 */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>
#include "session/cgroup_paths.h"

static char root[64];

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static int setup(void **state)
{
	strcpy(root, "/tmp/test_cgroup_paths.XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	return nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static uint64_t make_directory(const char *path)
{
	char full[512];
	struct stat st;

	snprintf(full, sizeof(full), "%s%s", root, path);
	assert_true(!mkdir(full, 0700) || errno == EEXIST);
	assert_int_equal(stat(full, &st), 0);
	return st.st_ino;
}

static void write_file(const char *path, const char *text)
{
	char full[512];
	FILE *f;

	snprintf(full, sizeof(full), "%s%s", root, path);
	f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void test_paths(void **state)
{
	struct cgroup_paths c = { 0 };
	uint64_t top = make_directory(""), a = make_directory("/system.slice");
	uint64_t b = make_directory("/system.slice/nginx.service"), d = make_directory("/user");
	uint64_t unwanted = make_directory("/user/unwanted");

	write_file("/user/cgroup.procs", "1\n");
	assert_int_equal(cgroup_paths__want(&c, b), 0);
	assert_int_equal(cgroup_paths__want(&c, top), 0);
	assert_int_equal(cgroup_paths__want(&c, b), 0);
	assert_int_equal(cgroup_paths__want(&c, 0x7fffffffffffffff), 0);
	assert_int_equal(cgroup_paths__want(&c, d), 0);
	assert_int_equal(cgroup_paths__want(&c, a), 0);
	assert_int_equal(cgroup_paths__resolve(&c, root), 0);
	assert_string_equal(cgroup_paths__find(&c, top), "/");
	assert_string_equal(cgroup_paths__find(&c, a), "/system.slice");
	assert_string_equal(cgroup_paths__find(&c, b), "/system.slice/nginx.service");
	assert_string_equal(cgroup_paths__find(&c, d), "/user");
	assert_null(cgroup_paths__find(&c, 0x7fffffffffffffff));
	assert_null(cgroup_paths__find(&c, unwanted));
	cgroup_paths__done(&c);
}

/* A link must not lead out of the hierarchy, nor a file be taken for a cgroup. */
static void test_only_directories_count(void **state)
{
	struct cgroup_paths c = { 0 };
	uint64_t target = make_directory("/target");
	char from[512], to[512];
	struct stat st;

	write_file("/file", "");
	snprintf(from, sizeof(from), "%s/target", root);
	snprintf(to, sizeof(to), "%s/a-link", root);
	assert_int_equal(symlink(from, to), 0);
	snprintf(from, sizeof(from), "%s/file", root);
	assert_int_equal(stat(from, &st), 0);
	assert_int_equal(cgroup_paths__want(&c, st.st_ino), 0);
	assert_int_equal(cgroup_paths__want(&c, target), 0);
	assert_int_equal(lstat(to, &st), 0);
	assert_int_equal(cgroup_paths__want(&c, st.st_ino), 0);
	assert_int_equal(cgroup_paths__resolve(&c, root), 0);
	assert_string_equal(cgroup_paths__find(&c, target), "/target");
	assert_null(cgroup_paths__find(&c, st.st_ino));
	cgroup_paths__done(&c);
}

static void test_nothing_there(void **state)
{
	struct cgroup_paths c = { 0 };

	assert_null(cgroup_paths__find(&c, 1));
	assert_int_equal(cgroup_paths__resolve(&c, root), 0);
	assert_int_equal(cgroup_paths__want(&c, 1), 0);
	assert_int_equal(cgroup_paths__resolve(&c, "/no/such/directory"), 0);
	assert_null(cgroup_paths__find(&c, 1));
	cgroup_paths__done(&c);
}

static void test_deeper_than_a_path_is_long(void **state)
{
	static const char name[] = "/deep-deep-deep-deep-deep-deep-deep-deep-deep-deep";
	struct cgroup_paths c = { 0 };
	uint64_t last = 0;
	char here[512];
	struct stat st;
	int i;

	assert_non_null(getcwd(here, sizeof(here)));
	assert_int_equal(chdir(root), 0);
	for (i = 0; i < 120; i++) {
		assert_int_equal(mkdir(name + 1, 0700), 0);
		assert_int_equal(chdir(name + 1), 0);
	}
	assert_int_equal(stat(".", &st), 0);
	last = st.st_ino;
	assert_int_equal(cgroup_paths__want(&c, last), 0);
	assert_int_equal(cgroup_paths__resolve(&c, root), 0);
	assert_null(cgroup_paths__find(&c, last));
	cgroup_paths__done(&c);
	for (i = 0; i < 120; i++) {
		assert_int_equal(chdir(".."), 0);
		assert_int_equal(rmdir(name + 1), 0);
	}
	assert_int_equal(chdir(here), 0);
}

/* NULL: there is none. */
static void expect_root(const char *mounts, const char *want)
{
	char path[512], *got = NULL;
	int err;

	write_file("/mounts", mounts);
	snprintf(path, sizeof(path), "%s/mounts", root);
	err = cgroup_paths__root(path, &got);
	assert_int_equal(err, want ? 0 : -ENOENT);
	if (want)
		assert_string_equal(got, want);
	free(got);
}

static void test_which_mount(void **state)
{
	char *path = NULL;

	expect_root("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n", "/sys/fs/cgroup");
	expect_root("cgroup2 /u cgroup2 rw 0 0\ncgroup /c cgroup rw,relatime,cpuacct,cpu 0 0\n",
		    "/c");
	/* cpuset and cpuacct are other controllers. */
	expect_root("cgroup /s cgroup rw,cpuset 0 0\ncgroup /a cgroup rw,cpuacct 0 0\n"
		    "cgroup2 /u cgroup2 rw 0 0\n",
		    "/u");
	expect_root("cgroup /with\\040space cgroup rw,cpu 0 0\n", "/with space");
	expect_root("tmpfs /tmp tmpfs rw,cpu 0 0\n", NULL);
	expect_root("", NULL);
	assert_int_equal(cgroup_paths__root("/no/such/file", &path), -ENOENT);
	assert_null(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_directories_count, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deeper_than_a_path_is_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_which_mount, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
