/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export/sink: a file appears whole or not at all.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "export/sink.h"

static const struct sink_owner nobody_asked = { (uid_t)-1, (gid_t)-1 };

struct fixture {
	char dir[64];
	char path[128];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/cprof-test-sink-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/out.folded", f->dir);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	unlink(f->path);
	rmdir(f->path);
	assert_int_equal(rmdir(f->dir), 0); /* nothing else was left in it */
	free(f);
	return 0;
}

static int entries_cnt(const char *path)
{
	DIR *dir = opendir(path);
	int cnt = -2; /* . and .. */

	assert_non_null(dir);
	while (readdir(dir))
		cnt++;
	closedir(dir);
	return cnt;
}

static void assert_content(const char *path, const char *want)
{
	_cleanup_buf_ struct buf got = BUF_INIT;

	assert_int_equal(file__read(path, 1 << 20, &got), 0);
	assert_int_equal(got.len, strlen(want));
	assert_memory_equal(got.data ?: "", want, got.len);
}

static void test_new_file(void **state)
{
	struct fixture *f = *state;
	mode_t before = umask(0777);
	struct stat st;

	assert_int_equal(sink__write_file(f->path, "hello", 5, &nobody_asked), 0);
	umask(before);
	assert_content(f->path, "hello");
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(entries_cnt(f->dir), 1);
}

static void test_replaces(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(sink__write_file(f->path, "long old content", 16, NULL), 0);
	assert_int_equal(chmod(f->path, 0644), 0);
	assert_int_equal(sink__write_file(f->path, "new", 3, NULL), 0);
	assert_content(f->path, "new");
	assert_int_equal(sink__write_file(f->path, NULL, 0, NULL), 0);
	assert_content(f->path, "");
	assert_int_equal(entries_cnt(f->dir), 1);
}

static void test_relative_path(void **state)
{
	struct fixture *f = *state;
	char *before = getcwd(NULL, 0);

	assert_non_null(before);
	assert_int_equal(chdir(f->dir), 0);
	assert_int_equal(sink__check_file("out.folded"), 0);
	assert_int_equal(sink__write_file("out.folded", "x", 1, NULL), 0);
	assert_int_equal(chdir(before), 0);
	free(before);
	assert_content(f->path, "x");
}

static void test_owner(void **state)
{
	struct fixture *f = *state;
	struct sink_owner owner = { 1234, 4321 };
	struct stat st;

	if (geteuid() != 0) {
		print_message("skipped: only root gives files away\n");
		skip();
	}
	assert_int_equal(sink__write_file(f->path, "x", 1, &owner), 0);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 4321);
}

/* The write fails half way: what was there stays, and nothing is left behind. */
static void test_full(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, small;
	static char big[100000];
	int err;

	assert_int_equal(sink__write_file(f->path, "old", 3, NULL), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	small = before;
	small.rlim_cur = 5000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	err = sink__write_file(f->path, big, sizeof(big), NULL);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(err, -EFBIG);
	assert_content(f->path, "old");
	assert_int_equal(entries_cnt(f->dir), 1);
}

static void assert_refused(const char *path, int err)
{
	assert_int_equal(sink__check_file(path), err);
	assert_int_equal(sink__write_file(path, "x", 1, NULL), err);
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	char path[NAME_MAX + 256];

	assert_refused("", -ENOENT);
	assert_refused("/", -EISDIR);
	assert_refused(f->dir, -EISDIR);
	snprintf(path, sizeof(path), "%s/", f->dir);
	assert_refused(path, -EISDIR);
	snprintf(path, sizeof(path), "%s/none/x.json", f->dir);
	assert_refused(path, -ENOENT);
	snprintf(path, sizeof(path), "%s/%0*d", f->dir, NAME_MAX + 1, 0);
	assert_refused(path, -ENAMETOOLONG);
	assert_refused("/dev/null", -EEXIST); /* a device must not be replaced */
	assert_refused("/dev/null/x", -ENOTDIR);
	assert_int_equal(mkfifo(f->path, 0600), 0);
	assert_refused(f->path, -EEXIST);
	assert_int_equal(entries_cnt(f->dir), 1);
}

static void test_longest_name(void **state)
{
	struct fixture *f = *state;
	char path[NAME_MAX + 256];

	snprintf(path, sizeof(path), "%s/%0*d", f->dir, NAME_MAX, 0);
	assert_int_equal(sink__check_file(path), 0);
	assert_int_equal(sink__write_file(path, "x", 1, NULL), 0);
	assert_content(path, "x");
	assert_int_equal(unlink(path), 0);
}

static void test_check_leaves_nothing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(sink__check_file(f->path), 0);
	assert_int_equal(entries_cnt(f->dir), 0);
	assert_int_equal(sink__write_file(f->path, "x", 1, NULL), 0);
	assert_int_equal(sink__check_file(f->path), 0);
	assert_content(f->path, "x");
}

static void test_read_only_directory(void **state)
{
	assert_int_equal(access("/proc/sys/kernel", F_OK), 0);
	assert_int_not_equal(sink__check_file("/proc/sys/kernel/x.json"), 0);
	assert_int_not_equal(sink__write_file("/proc/sys/kernel/x.json", "x", 1, NULL), 0);
}

/* A link is replaced, not followed: what it points to is somebody else's. */
static void test_symlink(void **state)
{
	struct fixture *f = *state;
	char target[128];
	struct stat st;

	snprintf(target, sizeof(target), "%s/target", f->dir);
	assert_int_equal(sink__write_file(target, "theirs", 6, NULL), 0);
	assert_int_equal(symlink(target, f->path), 0);
	assert_int_equal(sink__write_file(f->path, "ours", 4, NULL), 0);
	assert_content(target, "theirs");
	assert_content(f->path, "ours");
	assert_int_equal(lstat(f->path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(unlink(target), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_new_file),
		TEST(test_replaces),
		TEST(test_relative_path),
		TEST(test_owner),
		TEST(test_full),
		TEST(test_refused),
		TEST(test_longest_name),
		TEST(test_check_leaves_nothing),
		TEST(test_read_only_directory),
		TEST(test_symlink),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
