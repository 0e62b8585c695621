/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /proc lines: as the kernel writes them, as a hostile process shapes them, and our own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "process/line_reader.h"
#include "process/procfs.h"

#define STAT_TAIL                                                                                  \
	"S 17 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 9876543210 1000 200 18446744073709551615"

static void test_stat(void **state)
{
	struct proc_stat st;

	assert_int_equal(procfs__parse_stat("12 (cat) " STAT_TAIL, &st), 0);
	assert_string_equal(st.comm, "cat");
	assert_int_equal(st.state, 'S');
	assert_int_equal(st.ppid, 17);
	assert_int_equal(st.flags, 4194560);
	assert_int_equal(st.threads_cnt, 3);
	assert_int_equal(st.start_ticks, 9876543210ULL);
	assert_false(procfs__stat_is_kernel_thread(&st));
}

static void test_stat_hostile(void **state)
{
	static const char *const bad[] = { "",
					   "12",
					   "12 cat S 1",
					   "12 )cat( S 1",
					   "12 (cat",
					   "12 (cat)",
					   "12 (cat) S 1 2 3",
					   "12 (cat) S 17 1 1 0 -1 1 1 2 3 4 5 6 7 8 20 0 -3 0 1" };
	struct proc_stat st;

	assert_int_equal(procfs__parse_stat("12 (a) R 1 (b)) " STAT_TAIL, &st), 0);
	assert_string_equal(st.comm, "a) R 1 (b)");
	assert_int_equal(st.ppid, 17);
	assert_int_equal(procfs__parse_stat("12 (a name that is longer than comm) " STAT_TAIL, &st),
			 0);
	assert_int_equal(strlen(st.comm), PROCESS_COMM_LEN - 1);
	assert_int_equal(procfs__parse_stat("12 () " STAT_TAIL, &st), 0);
	assert_string_equal(st.comm, "");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(procfs__parse_stat(bad[i], &st), -EBADMSG);
}

static int parse_maps(const char *text, struct maps_line *ret, char *buf, size_t size)
{
	assert_true(strlen(text) < size);
	strcpy(buf, text);
	return procfs__parse_maps_line(buf, ret);
}

static void test_maps(void **state)
{
	struct maps_line l;
	char buf[512];

	assert_int_equal(parse_maps("55d0c000-55d10000 r-xp 00002000 fe:0a 247849"
				    "                     /usr/bin/a b",
				    &l, buf, sizeof(buf)),
			 0);
	assert_true(l.executable);
	assert_int_equal(l.start, 0x55d0c000);
	assert_int_equal(l.end, 0x55d10000);
	assert_int_equal(l.offset, 0x2000);
	assert_int_equal(l.dev_major, 0xfe);
	assert_int_equal(l.dev_minor, 0xa);
	assert_int_equal(l.inode, 247849);
	assert_string_equal(l.path, "/usr/bin/a b");
	assert_int_equal(parse_maps("1000-2000 rwxp 00000000 00:00 0 ", &l, buf, sizeof(buf)), 0);
	assert_true(l.executable);
	assert_string_equal(l.path, "");
	assert_int_equal(parse_maps("1000-2000 rw-p 00000000 00:00 0 ", &l, buf, sizeof(buf)), 0);
	assert_false(l.executable);
	assert_int_equal(parse_maps("ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0"
				    "                  [vsyscall]",
				    &l, buf, sizeof(buf)),
			 0);
	assert_string_equal(l.path, "[vsyscall]");
	assert_int_equal(
		parse_maps("1000-2000 r-xp 0 0:0 1 /tmp/a\\012b\\012", &l, buf, sizeof(buf)), 0);
	assert_string_equal(l.path, "/tmp/a\nb\n");
}

static void test_maps_hostile(void **state)
{
	static const char *const bad[] = {
		"",
		"-",
		"1000",
		"1000-",
		"1000-2000",
		"1000-2000 ",
		"1000-2000 r-x",
		"1000-2000 r-xp",
		"1000-2000 r-xp 0",
		"1000-2000 r-xp 0 0:0",
		"1000-2000 r-xp 0 0 1 /a",
		"2000-1000 r-xp 0 0:0 1 /a",
		"1000-1000 r-xp 0 0:0 1 /a",
		"+1000-2000 r-xp 0 0:0 1 /a",
		" 1000-2000 r-xp 0 0:0 1 /a",
		"0x1000-0x2000 r-xp 0 0:0 1 /a",
		"10000000000000000-20000000000000000 r-xp 0 0:0 1 /a",
		"1000-2000 r-xp 0 0:0 99999999999999999999 /a",
		"1000-2000 r-xp 0 100000000:0 1 /a",
	};
	struct maps_line l;
	char buf[512];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse_maps(bad[i], &l, buf, sizeof(buf)), -EBADMSG);
}

/* No prefix and no single changed byte of a good line may crash or be read beyond its NUL. */
static void test_maps_mutations(void **state)
{
	static const char good[] = "55d0c000-55d10000 r-xp 00002000 fe:0a 247849 /usr/\\012x";
	struct maps_line l;

	for (size_t len = 0; len < sizeof(good); len++) {
		_cleanup_free_ char *cut = strndup(good, len);

		assert_non_null(cut);
		(void)procfs__parse_maps_line(cut, &l);
		for (int c = 1; c < 256 && len < sizeof(good) - 1; c++) {
			_cleanup_free_ char *changed = strdup(good);

			assert_non_null(changed);
			changed[len] = (char)c;
			if (procfs__parse_maps_line(changed, &l) == 0)
				assert_true(l.start < l.end);
		}
	}
}

static void test_line_reader(void **state)
{
	char name[] = "/tmp/cprof-lines-XXXXXX";
	_cleanup_close_ int fd = mkstemp(name);
	_cleanup_fclose_ FILE *f = NULL;
	struct line_reader *r;
	char *line;
	int err;

	assert_true(fd >= 0);
	f = fdopen(dup(fd), "w");
	assert_non_null(f);
	fprintf(f, "short\n\n%0*d\nafter\n%0*d\nlast", 200000, 7, LINE_READER_BYTES - 1, 8);
	assert_int_equal(fflush(f), 0);
	r = line_reader__open(name, &err);
	unlink(name);
	assert_non_null(r);
	assert_int_equal(line_reader__next(r, &line), 1);
	assert_string_equal(line, "short");
	assert_int_equal(line_reader__next(r, &line), 1);
	assert_string_equal(line, "");
	assert_int_equal(line_reader__next(r, &line), 1);
	assert_int_equal(strlen(line), LINE_READER_BYTES - 1);
	assert_int_equal(line_reader__next(r, &line), 1);
	assert_string_equal(line, "after");
	assert_int_equal(line_reader__next(r, &line), 1);
	assert_int_equal(strlen(line), LINE_READER_BYTES - 1);
	assert_int_equal(line[LINE_READER_BYTES - 2], '8');
	assert_int_equal(line_reader__next(r, &line), 1);
	assert_string_equal(line, "last");
	assert_int_equal(line_reader__next(r, &line), 0);
	assert_int_equal(line_reader__next(r, &line), 0);
	line_reader__free(r);
	line_reader__free(NULL);
	assert_null(line_reader__open("/nonexistent", &err));
	assert_int_equal(err, -ENOENT);
}

static int find_code(const struct maps_line *l, void *ctx)
{
	uint64_t code = (uint64_t)(uintptr_t)&find_code;

	if (l->start > code || l->end <= code)
		return 0;
	assert_true(l->path[0] == '/');
	assert_true(l->inode > 0);
	*(bool *)ctx = true;
	return 42;
}

static int find_self(pid_t pid, void *ctx)
{
	return pid == *(pid_t *)ctx ? 1 : 0;
}

static void test_own(void **state)
{
	pid_t self = getpid();
	struct proc_stat st;
	char comm[PROCESS_COMM_LEN];
	uint64_t ticks;
	bool found = false;

	assert_int_equal(prctl(PR_SET_NAME, "a\nb) R\\c\x1b"), 0);
	assert_int_equal(procfs__stat(self, &st), 0);
	assert_string_equal(st.comm, "a\nb) R\\c\x1b");
	assert_int_equal(st.ppid, getppid());
	assert_int_equal(st.threads_cnt, 1);
	assert_int_equal(procfs__comm(self, comm), 0);
	assert_string_equal(comm, "a\nb) R\\c\x1b");
	assert_int_equal(procfs__start_ticks(self, &ticks), 0);
	assert_int_equal(ticks, st.start_ticks);
	assert_false(procfs__is_kernel_thread(self));
	assert_int_equal(procfs__each_mapping(self, find_code, &found), 42);
	assert_true(found);
	assert_int_equal(procfs__each_pid(find_self, &self), 1);
	assert_int_equal(procfs__each_tid(self, find_self, &self), 1);
}

static void test_nobody(void **state)
{
	struct proc_stat st;
	char comm[PROCESS_COMM_LEN];
	uint64_t ticks;

	assert_int_equal(procfs__stat(INT32_MAX, &st), -ESRCH);
	assert_int_equal(procfs__comm(INT32_MAX, comm), -ESRCH);
	assert_int_equal(procfs__start_ticks(INT32_MAX, &ticks), -ESRCH);
	assert_int_equal(procfs__each_mapping(INT32_MAX, find_code, NULL), -ESRCH);
	assert_int_equal(procfs__each_tid(INT32_MAX, find_self, NULL), -ESRCH);
	assert_false(procfs__is_kernel_thread(INT32_MAX));
}

static void test_kernel_thread(void **state)
{
	char comm[PROCESS_COMM_LEN];

	if (procfs__comm(2, comm) < 0 || strcmp(comm, "kthreadd") != 0) {
		print_message(
			"[  SKIPPED ] pid 2 is not kthreadd: not in the initial PID namespace\n");
		skip();
	}
	assert_true(procfs__is_kernel_thread(2));
	assert_true(procfs__in_initial_pid_ns());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stat),
		cmocka_unit_test(test_stat_hostile),
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_maps_hostile),
		cmocka_unit_test(test_maps_mutations),
		cmocka_unit_test(test_line_reader),
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_kernel_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
