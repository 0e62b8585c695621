/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bounded reads and complete writes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/file.h"

static int make_file(const void *data, size_t len)
{
	char path[] = "/tmp/test_file.XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(file__write_all(fd, data, len), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void test_limits(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	int fd = make_file("0123456789", 10);

	assert_int_equal(file__read_fd(fd, 10, &out), 0);
	assert_string_equal(out.data, "0123456789");
	assert_int_equal(file__read_fd(fd, 0, &out), 0); /* at its end */
	lseek(fd, 4, SEEK_SET);
	assert_int_equal(file__read_fd(fd, 6, &out), 0);
	assert_string_equal(out.data, "0123456789456789");
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(file__read_fd(fd, 9, &out), -EFBIG);
	close(fd);
}

static void test_large(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	const size_t len = 1000003;
	char *data = malloc(len);
	size_t i;
	int fd;

	for (i = 0; i < len; i++)
		data[i] = (char)(i * 7 + i / 251);
	fd = make_file(data, len);
	assert_int_equal(file__read_fd(fd, len, &out), 0);
	assert_int_equal(out.len, len);
	assert_memory_equal(out.data, data, len);
	close(fd);
	free(data);
}

static void test_endless_file(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT;

	assert_int_equal(file__read("/dev/zero", 100000, &out), -EFBIG);
	assert_true(out.len <= 100000);
}

static void test_paths(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	int dir = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(file__read("/nonexistent/x", 10, &out), -ENOENT);
	assert_int_equal(file__read("/proc", 10, &out), -EISDIR);
	assert_int_equal(file__read_fd(-1, 10, &out), -EBADF);
	assert_int_equal(out.len, 0);
	assert_int_equal(file__read_at(dir, "comm", 100, &out), 0); /* st_size is 0 */
	assert_int_equal(strncmp(out.data, "test_file", 9), 0);
	close(dir);
}

/* A pipe takes 64 KiB at once: the rest goes in when the reader has made room. */
static void test_short_writes(void **state)
{
	const size_t len = 300000;
	char *data = calloc(1, len);
	int fds[2], status, err;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		_cleanup_buf_ struct buf in = BUF_INIT;

		close(fds[1]);
		err = file__read_fd(fds[0], len, &in);
		_exit(err || in.len != len);
	}
	close(fds[0]);
	err = file__write_all(fds[1], data, len);
	close(fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(err, 0);
	assert_int_equal(status, 0);
	free(data);
}

static void test_failing_writes(void **state)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC), fds[2];

	assert_int_equal(file__write_all(fd, "x", 1), -ENOSPC);
	assert_int_equal(file__write_all(fd, "", 0), 0);
	close(fd);
	assert_int_equal(file__write_all(-1, "x", 1), -EBADF);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	close(fds[0]);
	assert_int_equal(file__write_all(fds[1], "x", 1), -EPIPE);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),       cmocka_unit_test(test_large),
		cmocka_unit_test(test_endless_file), cmocka_unit_test(test_paths),
		cmocka_unit_test(test_short_writes), cmocka_unit_test(test_failing_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
