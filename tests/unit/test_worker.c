/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker from the collector's side: names and batches from the real one (this program started
 * with --worker), restarts, and what becomes of one that dies, hangs or lies.
 */
#include "worker_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"

/* --- answers -----------------------------------------------------------------------------------
 */
static void test_names(void **state)
{
	const uint64_t offsets[] = {
		OFF(T0 + 0x310), OFF(T0 + 0x100), OFF(T0 + 0x145), 0x10,
		OFF(T0 + 0x30f), OFF(T0 + 0x145), OFF(T0 + 0x200), UINT64_MAX
	};
	const char *const names[] = { "mycrate::foo",
				      "outer",
				      "ns::Class::method",
				      NULL,
				      "core::fmt::Formatter::pad",
				      "ns::Class::method",
				      NULL,
				      NULL };
	int fd = file_of_elf(&plain_elf);
	struct worker_reply r;

	assert_int_equal(worker__resolve_elf(*state, fd, offsets, ARRAY_SIZE(offsets), &r), 0);
	assert_int_equal(r.status, PARSE_OK);
	assert_int_equal(r.symbols_cnt, ARRAY_SIZE(offsets));
	assert_int_equal(r.build_id_len, sizeof(built_build_id));
	assert_memory_equal(r.build_id, built_build_id, sizeof(built_build_id));
	assert_int_equal(r.segments_cnt, 1);
	assert_int_equal(r.segments[0].vaddr, T0);
	for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
		const struct worker_symbol *s = &r.symbols[i];
		bool inside = OFF(s->address) == offsets[i] && s->segment == 0;

		assert_true(inside || (s->segment == -1 && s->address == offsets[i]));
		if (names[i])
			assert_string_equal(s->name, names[i]);
		else
			assert_null(s->name);
		assert_int_equal(!s->name, !s->system_name);
	}
	assert_string_equal(r.symbols[2].system_name, "_ZN2ns5Class6methodEi");
	assert_string_equal(r.symbols[1].system_name, "outer");
	worker_reply__done(&r);
	close(fd);
}

static void test_stripped(void **state)
{
	const uint64_t offsets[] = { OFF(T0 + 0x100), 0x10 };
	int fd = file_of_elf(&(struct built_elf){ .symtab = NULL });
	struct worker_reply r;

	assert_int_equal(worker__resolve_elf(*state, fd, offsets, 2, &r), 0);
	assert_int_equal(r.status, PARSE_NO_SYMBOLS);
	assert_int_equal(r.build_id_len, sizeof(built_build_id));
	assert_int_equal(r.symbols[0].address, T0 + 0x100);
	assert_int_equal(r.symbols[0].segment, 0);
	assert_null(r.symbols[0].name);
	assert_int_equal(r.symbols[1].segment, -1);
	worker_reply__done(&r);
	close(fd);
}

static void test_nothing_asked(void **state)
{
	int fd = file_of_elf(&plain_elf);
	struct worker_reply r;

	assert_int_equal(worker__resolve_elf(*state, fd, NULL, 0, &r), 0);
	assert_int_equal(r.status, PARSE_OK);
	assert_int_equal(r.symbols_cnt, 0);
	assert_int_equal(r.segments_cnt, 1);
	worker_reply__done(&r);
	close(fd);
}

/* More than fits in one request, unsorted, over both tables of the answer. */
static void test_batches(void **state)
{
	const size_t cnt = 2 * WIRE_ADDRESSES_MAX + 100;
	_cleanup_free_ uint64_t *offsets = calloc(cnt, sizeof(*offsets));
	int fd = file_of_elf(&plain_elf);
	struct worker_stats stats;
	struct worker_reply r;

	for (size_t i = 0; i < cnt; i++)
		offsets[i] = OFF(T0 + (i * 7919) % 0x400);
	assert_int_equal(worker__resolve_elf(*state, fd, offsets, cnt, &r), 0);
	assert_int_equal(r.status, PARSE_OK);
	assert_int_equal(r.symbols_cnt, cnt);
	for (size_t i = 0; i < cnt; i++) {
		uint64_t at = (i * 7919) % 0x400;
		const char *name = r.symbols[i].name;

		assert_int_equal(r.symbols[i].address, T0 + at);
		if (at >= 0x140 && at < 0x160)
			assert_string_equal(name, "ns::Class::method");
		else if (at >= 0x100 && at < 0x200)
			assert_string_equal(name, "outer");
		else if (at < 0x300)
			assert_null(name);
	}
	worker_reply__done(&r);
	worker__stats(*state, &stats);
	assert_int_equal(stats.requests, 3);
	assert_int_equal(stats.restarts, 0);
	assert_int_equal(stats.status[PARSE_OK], 1);
	assert_true(stats.peak_rss_bytes > 100000);
	close(fd);
}

static void test_own_executable(void **state)
{
	uint64_t address = (uintptr_t)test_own_executable, offset = UINT64_MAX;
	_cleanup_fclose_ FILE *maps = fopen("/proc/self/maps", "re");
	_cleanup_close_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct worker_reply r;
	char line[4352];

	while (fgets(line, sizeof(line), maps)) {
		unsigned long from, to, at;

		if (sscanf(line, "%lx-%lx %*s %lx", &from, &to, &at) == 3 && address >= from &&
		    address < to)
			offset = address - from + at;
	}
	assert_int_equal(worker__resolve_elf(*state, fd, &offset, 1, &r), 0);
	assert_int_equal(r.status, PARSE_OK);
	assert_string_equal(r.symbols[0].name, "test_own_executable");
	worker_reply__done(&r);
}

static void test_kernel(void **state)
{
	const char text[] = "ffffffff81000000 T _text\nffffffff81000000 T _stext\n"
			    "ffffffff81000010 T do_idle\nffffffff81001000 T _etext\n"
			    "ffffffffc0000000 t f\t[one]\nffffffffc0100000 t g\t[two]\n";
	const size_t cnt = WIRE_ADDRESSES_MAX + 3;
	_cleanup_free_ uint64_t *addresses = calloc(cnt, sizeof(*addresses));
	int fd = file_of_bytes(text, strlen(text));
	struct worker_reply r;

	/* The batches meet modules in different orders. */
	for (size_t i = 0; i < cnt; i++)
		addresses[i] = 0xffffffff81000020;
	addresses[0] = 0xffffffffc0100004;
	addresses[cnt - 2] = 0xffffffffc0000008;
	addresses[cnt - 1] = 0xffffffffc010000c;
	assert_int_equal(worker__resolve_kernel(*state, fd, addresses, cnt, &r), 0);
	assert_int_equal(r.status, PARSE_OK);
	assert_int_equal(r.modules_cnt, 3);
	assert_string_equal(r.modules[0], "");
	assert_string_equal(r.symbols[1].name, "do_idle");
	assert_int_equal(r.symbols[1].segment, 0);
	assert_int_equal(r.symbols[1].address, 0x20);
	assert_string_equal(r.modules[r.symbols[0].segment], "two");
	assert_string_equal(r.modules[r.symbols[cnt - 2].segment], "one");
	assert_string_equal(r.modules[r.symbols[cnt - 1].segment], "two");
	assert_string_equal(r.symbols[cnt - 1].name, "g");
	assert_int_equal(r.symbols[cnt - 1].address, 0xc);
	worker_reply__done(&r);
	close(fd);
}

/* --- its life ----------------------------------------------------------------------------------
 */
static void test_killed_between_calls(void **state)
{
	struct worker *w = *state;
	struct worker_stats stats;
	siginfo_t info;
	pid_t first;

	assert_works(w);
	first = w->pid;
	assert_int_equal(kill(first, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)first, &info, WEXITED | WNOWAIT), 0);
	assert_works(w);
	assert_int_not_equal(w->pid, first);
	worker__stats(w, &stats);
	assert_int_equal(stats.restarts, 1);
	assert_int_equal(stats.status[PARSE_OK], 2);
	assert_int_equal(stats.status[PARSE_CRASHED], 0);
}

static void test_ends_with_its_owner(void **state)
{
	struct worker *w = worker__new();
	pid_t pid;

	assert_works(w);
	pid = w->pid;
	worker__free(w);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
	worker__free(NULL);
}

/* --- a worker that is not ours -----------------------------------------------------------------
 */
static void assert_stub(const char *mode, enum parse_status expected)
{
	struct worker *w = worker__new();
	const uint64_t offset = OFF(T0 + 0x100);
	int fd = file_of_elf(&plain_elf);
	uint64_t start = clock__mono_ns();
	struct worker_reply r;

	w->timeout_ms = 300;
	setenv(WORKER_STUB_ENV, mode, 1);
	assert_int_equal(worker__resolve_elf(w, fd, &offset, 1, &r), 0);
	assert_string_equal(parse_status__name(r.status), parse_status__name(expected));
	assert_int_equal(r.symbols_cnt, expected == PARSE_OK);
	worker_reply__done(&r);
	assert_true(clock__mono_ns() - start < 5 * NSEC_PER_SEC);
	/* The next call has a new worker, which is a good one. */
	unsetenv(WORKER_STUB_ENV);
	w->timeout_ms = WORKER_TIMEOUT_MS;
	if (expected != PARSE_OK) {
		assert_int_equal(w->pid, 0);
		assert_works(w);
	}
	worker__free(w);
	close(fd);
}

static void test_dies_or_hangs(void **state)
{
	assert_stub("good", PARSE_OK);
	assert_stub("abort", PARSE_CRASHED);
	assert_stub("hang", PARSE_TIMEOUT);
	assert_stub("cpu_limit", PARSE_LIMIT);
	assert_stub("alarm", PARSE_TIMEOUT);
	assert_stub("bus", PARSE_FILE_CHANGED);
	assert_stub("half_header", PARSE_CRASHED);
	assert_stub("half_tables", PARSE_CRASHED);
	assert_stub("stalls", PARSE_TIMEOUT);
	assert_stub("garbage", PARSE_BAD_REPLY);
}

static void test_lies(void **state)
{
	for (size_t i = 0; worker_stub_lies[i]; i++)
		assert_stub(worker_stub_lies[i], PARSE_BAD_REPLY);
}

/* A worker that was idle and left just when it was asked loses nobody's answer. */
static void test_leaves_by_itself(void **state)
{
	char flag[] = "/tmp/test_worker.XXXXXX", mode[64];
	const uint64_t offset = OFF(T0 + 0x100);
	int fd = file_of_elf(&plain_elf), flag_fd = mkstemp(flag);
	struct worker *w = *state;
	struct worker_stats stats;
	struct worker_reply r;

	assert_true(flag_fd >= 0);
	close(flag_fd);
	snprintf(mode, sizeof(mode), "leave_once:%s", flag);
	setenv(WORKER_STUB_ENV, mode, 1);
	assert_int_equal(worker__resolve_elf(w, fd, &offset, 1, &r), 0);
	unsetenv(WORKER_STUB_ENV);
	assert_int_equal(r.status, PARSE_OK);
	worker_reply__done(&r);
	worker__stats(w, &stats);
	assert_int_equal(stats.requests, 2);
	assert_int_equal(stats.restarts, 1);
	assert_int_equal(access(flag, F_OK), -1);
	close(fd);
}

static void test_cannot_start(void **state)
{
	const uint64_t offset = OFF(T0 + 0x100);
	int fd = file_of_elf(&plain_elf);
	struct worker *w = *state;
	struct worker_reply r;

	w->timeout_ms = 200;
	setenv(WORKER_STUB_ENV, "no_hello", 1);
	assert_int_equal(worker__resolve_elf(w, fd, &offset, 1, &r), -ETIMEDOUT);
	worker_reply__done(&r);
	setenv(WORKER_STUB_ENV, "exit", 1);
	assert_int_equal(worker__resolve_elf(w, fd, &offset, 1, &r), -ECONNRESET);
	worker_reply__done(&r);
	setenv(WORKER_STUB_ENV, "wrong_hello", 1);
	assert_int_equal(worker__resolve_elf(w, fd, &offset, 1, &r), -EPROTO);
	worker_reply__done(&r);
	unsetenv(WORKER_STUB_ENV);
	w->timeout_ms = WORKER_TIMEOUT_MS;
	assert_works(w);
	close(fd);
}

static void test_status_names(void **state)
{
	assert_string_equal(parse_status__name(PARSE_OK), "ok");
	assert_string_equal(parse_status__name(PARSE_FILE_CHANGED), "file_changed");
	for (int i = 0; i < PARSE_STATUS_CNT; i++)
		assert_string_not_equal(parse_status__name((enum parse_status)i), "unknown");
	assert_string_equal(parse_status__name(PARSE_STATUS_CNT), "unknown");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		worker_test(test_names),
		worker_test(test_stripped),
		worker_test(test_nothing_asked),
		worker_test(test_batches),
		worker_test(test_own_executable),
		worker_test(test_kernel),
		worker_test(test_killed_between_calls),
		cmocka_unit_test(test_ends_with_its_owner),
		cmocka_unit_test(test_dies_or_hangs),
		cmocka_unit_test(test_lies),
		worker_test(test_leaves_by_itself),
		worker_test(test_cannot_start),
		cmocka_unit_test(test_status_names),
	};

	if (argc == 3 && !strcmp(argv[1], "--worker"))
		return worker_stub__main(atoi(argv[2]));
	return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
