/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session/heap_environment: which file a COMMAND is, and when no library can be preloaded into it.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "session/heap_environment.h"
#include "session/heap_targets.h"

static char directory[] = "/tmp/test_heap_environment.XXXXXX";

static void write_file(const char *name, const char *text, mode_t mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static int setup(void **state)
{
	if (!mkdtemp(directory) || chdir(directory))
		return -1;
	write_file("program", "PROGRAM", 0755);
	write_file("no-program", "PROGRAM", 0644);
	write_file("script", "#! ./program -x\n", 0755);
	write_file("script-of-script", "#!./script", 0755);
	write_file("bad-script", "#!nowhere\n", 0755);
	write_file("endless", "#!./endless\n", 0755);
	return mkfifo("fifo", 0777) || mkdir("sub", 0755);
}

static int teardown(void **state)
{
	static const char *const names[] = { "program",    "no-program",
					     "script",     "script-of-script",
					     "bad-script", "endless",
					     "fifo" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(names[i]);
	rmdir("sub");
	return chdir("/") || rmdir(directory);
}

/* Which of our files 'name' leads to; "" and the error where to none. */
static int find(const char *name, char *ret, size_t size)
{
	char link[64];
	int fd = heap_environment__program(name, HEAP_INTERPRETERS_MAX);
	ssize_t len;

	ret[0] = '\0';
	if (fd < 0)
		return fd;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, ret, size - 1);
	close(fd);
	assert_true(len > 0);
	ret[len] = '\0';
	memmove(ret, strrchr(ret, '/') + 1, strlen(strrchr(ret, '/')));
	return 0;
}

static void test_programs(void **state)
{
	char name[512];

	assert_int_equal(find("./program", name, sizeof(name)), 0);
	assert_string_equal(name, "program");
	assert_int_equal(find("./script", name, sizeof(name)), 0);
	assert_string_equal(name, "program");
	assert_int_equal(find("./script-of-script", name, sizeof(name)), 0);
	assert_string_equal(name, "program");
	assert_int_equal(find("./endless", name, sizeof(name)), 0);
	assert_string_equal(name, "endless");
	assert_int_equal(find("./bad-script", name, sizeof(name)), -ENOENT);
	assert_int_equal(find("./no-program", name, sizeof(name)), -EACCES);
	assert_int_equal(find("./fifo", name, sizeof(name)), -EACCES);
	assert_int_equal(find("./sub", name, sizeof(name)), -EACCES);
	assert_int_equal(find("./missing", name, sizeof(name)), -ENOENT);
	assert_int_equal(find("", name, sizeof(name)), -ENOENT);
}

static void test_path(void **state)
{
	char name[512], path[600];
	char *old = strdup(getenv("PATH"));

	snprintf(path, sizeof(path), "/nonexistent:%s/sub:%s:/bin", directory, directory);
	setenv("PATH", path, 1);
	assert_int_equal(find("program", name, sizeof(name)), 0);
	assert_string_equal(name, "program");
	assert_int_equal(find("no-program", name, sizeof(name)), -EACCES);
	assert_int_equal(find("surely-no-such-program", name, sizeof(name)), -ENOENT);
	assert_int_equal(find("sh", name, sizeof(name)), 0);
	/* An empty entry is the working directory. */
	setenv("PATH", ":/bin", 1);
	assert_int_equal(find("program", name, sizeof(name)), 0);
	setenv("PATH", "/bin", 1);
	assert_int_equal(find("program", name, sizeof(name)), -ENOENT);
	setenv("PATH", old, 1);
	free(old);
}

static void test_nothing_for_others(void **state)
{
	struct options opts = { .target = TARGET_PIDS };
	char **env = NULL;

	assert_int_equal(heap_targets__environment(&opts, &env), EXIT_STATUS_OK);
	assert_null(env);
}

static void test_library_is_a_file(void **state)
{
	char *library = heap_environment__library();
	struct stat st;

	if (library) {
		assert_int_equal(stat(library, &st), 0);
		assert_true(S_ISREG(st.st_mode));
		assert_non_null(strstr(library, "/" HEAP_LIBRARY));
	}
	free(library);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_nothing_for_others),
		cmocka_unit_test(test_library_is_a_file),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
