/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker's cage, as the kernel shows it in /proc: capabilities, user, network, descriptors,
 * limits.
 */
#include "worker_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/array.h"

static void read_proc(pid_t pid, const char *file, struct buf *out)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	assert_int_equal(file__read(path, 1u << 20, out), 0);
}

static void assert_line(const char *text, const char *start, const char *expected)
{
	const char *line = strstr(text, start);

	assert_non_null(line);
	line += strlen(start);
	line += strspn(line, " \t");
	assert_memory_equal(line, expected, strlen(expected));
}

static void test_privileges(void **state)
{
	const char *const sets[] = { "\nCapInh:", "\nCapPrm:", "\nCapEff:", "\nCapAmb:" };
	_cleanup_buf_ struct buf status = BUF_INIT;
	struct worker *w = *state;

	assert_works(w);
	read_proc(w->pid, "status", &status);
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		assert_line(status.data, sets[i], "0000000000000000\n");
	assert_line(status.data, "\nNoNewPrivs:", "1\n");
	assert_int_equal(getsid(w->pid), w->pid);
	if (geteuid() != 0) {
		print_message("skipped: bounding set, user and network need root to be changed\n");
		return;
	}
	assert_line(status.data, "\nCapBnd:", "0000000000000000\n");
	assert_line(status.data, "\nUid:", "65534\t65534\t65534\t65534\n");
	assert_line(status.data, "\nGid:", "65534\t65534\t65534\t65534\n");
	assert_line(status.data, "\nGroups:", "\n");
}

static void test_network(void **state)
{
	char ours[64] = "", theirs[64] = "", path[64];
	struct worker *w = *state;

	if (geteuid() != 0) {
		print_message("skipped: a network namespace needs root\n");
		skip();
	}
	assert_works(w);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)w->pid);
	assert_true(readlink("/proc/self/ns/net", ours, sizeof(ours) - 1) > 0);
	assert_true(readlink(path, theirs, sizeof(theirs) - 1) > 0);
	assert_string_not_equal(ours, theirs);
}

static void test_descriptors(void **state)
{
	struct worker *w = *state;
	struct dirent *e;
	char path[64];
	int cnt = 0;
	DIR *dir;
	/* one that is inherited across exec must not stay */
	int leaked = open("/dev/null", O_RDONLY);

	assert_true(leaked >= 0);
	assert_works(w);
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)w->pid);
	dir = opendir(path);
	if (!dir) {
		close(leaked);
		print_message("skipped: '%s' can be read by root only\n", path);
		skip();
	}
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		assert_true(!strcmp(e->d_name, "2") || !strcmp(e->d_name, "3"));
		cnt++;
	}
	assert_in_range(cnt, 1, 2);
	closedir(dir);
	close(leaked);
}

static void test_limits(void **state)
{
	_cleanup_buf_ struct buf limits = BUF_INIT;
	struct worker *w = *state;

	assert_works(w);
	read_proc(w->pid, "limits", &limits);
	assert_line(limits.data, "\nMax core file size", "0 ");
	assert_line(limits.data, "\nMax open files", "8 ");
	assert_null(strstr(limits.data, "Max cpu time              unlimited"));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	assert_line(limits.data, "\nMax data size", "536870912            536870912 ");
	assert_line(limits.data, "\nMax file size", "0                    0 ");
#else
	print_message("sanitizer build: data and file size are not limited\n");
#endif
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		worker_test(test_privileges),
		worker_test(test_network),
		worker_test(test_descriptors),
		worker_test(test_limits),
	};

	if (argc == 3 && !strcmp(argv[1], "--worker"))
		return worker_stub__main(atoi(argv[2]));
	return cmocka_run_group_tests_name("worker_sandbox", tests, NULL, NULL);
}
