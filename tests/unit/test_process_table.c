/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process table under synthetic event sequences, with pids nobody has. What it makes of real
 * processes is in test_process_live.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "process/process.h"
#include "process/process_table.h"

/* Above what any kernel hands out (PID_MAX_LIMIT is 4 M): /proc knows none of them. */
#define P 5000001
#define C 5000002
#define T 5000003
#define U 5000004

struct feed {
	struct process_table *t;
	uint64_t now_ns;
};

static void feed(struct feed *f, struct process_event ev)
{
	f->now_ns += 1000000;
	ev.time_ns = f->now_ns;
	assert_int_equal(process_table__apply(f->t, &ev), 0);
}

static void fork_(struct feed *f, pid_t ppid, pid_t pid)
{
	feed(f, (struct process_event){
			.kind = PROCESS_EVENT_FORK, .pid = pid, .tid = pid, .ppid = ppid });
}

static void thread_(struct feed *f, pid_t pid, pid_t tid)
{
	feed(f, (struct process_event){
			.kind = PROCESS_EVENT_FORK, .pid = pid, .tid = tid, .ppid = pid });
}

static void exit_(struct feed *f, pid_t pid, pid_t tid)
{
	feed(f, (struct process_event){ .kind = PROCESS_EVENT_EXIT, .pid = pid, .tid = tid });
}

static void comm_(struct feed *f, pid_t pid, pid_t tid, const char *comm, bool exec)
{
	struct process_event ev = { .kind = exec ? PROCESS_EVENT_EXEC : PROCESS_EVENT_COMM,
				    .pid = pid,
				    .tid = tid };

	snprintf(ev.comm, sizeof(ev.comm), "%s", comm);
	feed(f, ev);
}

static void exec_(struct feed *f, pid_t pid, const char *comm)
{
	comm_(f, pid, pid, comm, true);
}

static void mmap_(struct feed *f, pid_t pid, uint64_t start, uint64_t end, const char *path,
		  uint64_t inode)
{
	feed(f, (struct process_event){ .kind = PROCESS_EVENT_MMAP,
					.pid = pid,
					.tid = pid,
					.start = start,
					.end = end,
					.dev_major = inode ? 0xfff : 0,
					.inode = inode,
					.path = (char *)path });
}

static void mmap_build_id(struct feed *f, pid_t pid, uint64_t start, uint64_t end, const char *path,
			  uint8_t id)
{
	feed(f, (struct process_event){ .kind = PROCESS_EVENT_MMAP,
					.pid = pid,
					.tid = pid,
					.start = start,
					.end = end,
					.build_id = { id },
					.build_id_len = 20,
					.path = (char *)path });
}

static const char *path_at(struct feed *f, pid_t pid, uint64_t addr)
{
	struct process *p = process_table__find(f->t, pid);
	const struct mapping *m = p ? process__mapping(f->t, p, addr) : NULL;

	return m ? m->module->path : "nothing";
}

static int setup(void **state)
{
	struct feed *f = calloc(1, sizeof(*f));

	f->t = process_table__new(NULL, 0, false);
	f->now_ns = clock__mono_ns();
	*state = f;
	return f->t ? 0 : -1;
}

static int teardown(void **state)
{
	struct feed *f = *state;

	process_table__free(f->t);
	free(f);
	return 0;
}

static void test_fork_shares_then_parts(void **state)
{
	struct feed *f = *state;
	struct process *p;

	fork_(f, 1, P);
	exec_(f, P, "parent");
	mmap_(f, P, 0x1000, 0x3000, "/bin/parent", 1);
	fork_(f, P, C);
	p = process_table__find(f->t, C);
	assert_string_equal(p->comm, "parent");
	assert_int_equal(p->ppid, P);
	assert_int_equal(p->execs, 0);
	assert_string_equal(path_at(f, C, 0x1000), "/bin/parent");
	assert_ptr_equal(process__executable(f->t, p),
			 process__executable(f->t, process_table__find(f->t, P)));
	mmap_(f, C, 0x8000, 0x9000, "/lib/child", 2);
	assert_string_equal(path_at(f, C, 0x8000), "/lib/child");
	assert_string_equal(path_at(f, P, 0x8000), "nothing");
	mmap_(f, P, 0x2000, 0x3000, "/lib/parent", 3);
	assert_string_equal(path_at(f, P, 0x2000), "/lib/parent");
	assert_string_equal(path_at(f, P, 0x1fff), "/bin/parent");
	assert_string_equal(path_at(f, C, 0x2000), "/bin/parent");
}

static void test_exec_replaces(void **state)
{
	struct feed *f = *state;
	struct process_stats stats;
	struct process *p;

	fork_(f, 1, P);
	exec_(f, P, "first");
	mmap_(f, P, 0x1000, 0x3000, "/bin/first", 1);
	thread_(f, P, T);
	exec_(f, P, "second");
	p = process_table__find(f->t, P);
	assert_int_equal(p->execs, 2);
	assert_string_equal(p->comm, "second");
	assert_null(process__executable(f->t, p));
	/* Still inside execve, with the registers of who called it. */
	assert_string_equal(path_at(f, P, 0x2fff), "/bin/first");
	mmap_(f, P, 0x1000, 0x2000, "/bin/second", 2);
	assert_string_equal(path_at(f, P, 0x2fff), "/bin/first");
	assert_string_equal(path_at(f, P, 0x1000), "/bin/second");
	assert_string_equal(path_at(f, P, 0x2fff), "nothing");
	mmap_(f, P, 0x5000, 0x6000, "/lib/ld.so", 3);
	assert_string_equal(process__executable(f->t, p)->path, "/bin/second");
	/* The threads died by the exec: whether or when their EXIT comes does not matter. */
	exit_(f, P, T);
	assert_false(process_table__is_gone(f->t, P));
	exit_(f, P, P);
	assert_true(process_table__is_gone(f->t, P));
	process_table__stats(f->t, &stats);
	assert_int_equal(stats.execs_seen, 2);
	assert_int_equal(stats.mmaps_seen, 3);
}

static void test_exec_of_other_thread(void **state)
{
	struct feed *f = *state;

	fork_(f, 1, P);
	thread_(f, P, T);
	/* T calls exec: the leader is killed, then T takes its id. */
	exit_(f, P, P);
	assert_false(process_table__is_gone(f->t, P));
	exec_(f, P, "new");
	assert_false(process_table__is_gone(f->t, P));
	exit_(f, P, P);
	assert_true(process_table__is_gone(f->t, P));
}

static void test_leader_exits_first(void **state)
{
	struct feed *f = *state;

	fork_(f, 1, P);
	exec_(f, P, "threads");
	mmap_(f, P, 0x1000, 0x2000, "/bin/threads", 1);
	thread_(f, P, T);
	thread_(f, P, U);
	exit_(f, P, P);
	assert_false(process_table__is_gone(f->t, P));
	assert_string_equal(path_at(f, P, 0x1000), "/bin/threads");
	exit_(f, P, T);
	exit_(f, P, T);
	assert_false(process_table__is_gone(f->t, P));
	exit_(f, P, U);
	assert_true(process_table__is_gone(f->t, P));
}

static void test_gone_stays_a_while(void **state)
{
	struct feed *f = *state;

	fork_(f, 1, P);
	exec_(f, P, "short");
	mmap_(f, P, 0x1000, 0x2000, "/bin/short", 1);
	exit_(f, P, P);
	f->now_ns += 1900000000;
	fork_(f, 1, C);
	assert_non_null(process_table__find(f->t, P));
	assert_true(process_table__find(f->t, P)->exited);
	assert_string_equal(path_at(f, P, 0x1000), "/bin/short");
	f->now_ns += 200000000;
	fork_(f, 1, T);
	assert_null(process_table__find(f->t, P));
	assert_true(process_table__is_gone(f->t, P));
	/* What a profile refers to stays. */
	assert_int_equal(process_table__modules_cnt(f->t), 1);
	assert_string_equal(process_table__module(f->t, 0)->path, "/bin/short");
}

static void test_pid_reuse(void **state)
{
	struct feed *f = *state;

	fork_(f, 1, P);
	exec_(f, P, "old");
	mmap_(f, P, 0x1000, 0x2000, "/bin/old", 1);
	exit_(f, P, P);
	fork_(f, 1, C);
	exec_(f, C, "shell");
	mmap_(f, C, 0x7000, 0x8000, "/bin/shell", 2);
	fork_(f, C, P);
	assert_false(process_table__is_gone(f->t, P));
	assert_string_equal(process_table__find(f->t, P)->comm, "shell");
	assert_int_equal(process_table__find(f->t, P)->execs, 0);
	assert_string_equal(path_at(f, P, 0x1000), "nothing");
	assert_string_equal(path_at(f, P, 0x7000), "/bin/shell");
	/* The old one's grace must not end the new one. */
	f->now_ns += 3000000000;
	thread_(f, C, U);
	assert_non_null(process_table__find(f->t, P));
	/* And without an EXIT in between, when that was lost. */
	fork_(f, 1, P);
	assert_string_equal(path_at(f, P, 0x7000), "nothing");
}

static void test_comm_of_thread(void **state)
{
	struct feed *f = *state;

	fork_(f, 1, P);
	exec_(f, P, "leader");
	thread_(f, P, T);
	comm_(f, P, T, "worker", false);
	assert_string_equal(process_table__find(f->t, P)->comm, "leader");
	comm_(f, P, P, "renamed", false);
	assert_string_equal(process_table__find(f->t, P)->comm, "renamed");
	assert_int_equal(process_table__find(f->t, P)->execs, 1);
}

/* A sequence told twice, as when a scan raced with it, ends where it ended the first time. */
static void test_told_twice(void **state)
{
	struct feed *f = *state;

	for (int i = 0; i < 2; i++) {
		fork_(f, 1, P);
		exec_(f, P, "twice");
		mmap_(f, P, 0x1000, 0x2000, "/bin/twice", 1);
		mmap_(f, P, 0x1000, 0x2000, "/bin/twice", 1);
		thread_(f, P, T);
		thread_(f, P, T);
		exit_(f, P, T);
	}
	assert_string_equal(path_at(f, P, 0x1000), "/bin/twice");
	assert_int_equal(process_table__modules_cnt(f->t), 1);
	assert_false(process_table__is_gone(f->t, P));
	exit_(f, P, P);
	assert_true(process_table__is_gone(f->t, P));
	exit_(f, P, P);
	assert_true(process_table__is_gone(f->t, P));
}

static void test_kinds_of_memory(void **state)
{
	struct feed *f = *state;
	struct process *p;

	fork_(f, 1, P);
	mmap_(f, P, 0x10000, 0x11000, "//anon", 0);
	mmap_(f, P, 0x11000, 0x13000, "//anon", 0);
	mmap_(f, P, 0x7fff00000000, 0x7fff00002000, "[vdso]", 0);
	mmap_(f, P, 0x20000, 0x21000, "/tmp/x (deleted)", 5);
	p = process_table__find(f->t, P);
	assert_int_equal(process__mapping(f->t, p, 0x10000)->module->kind, MODULE_JIT);
	assert_int_equal(process__mapping(f->t, p, 0x12fff)->start, 0x10000);
	assert_int_equal(process__mapping(f->t, p, 0x12fff)->offset, 0x10000);
	assert_int_equal(process__mapping(f->t, p, 0x7fff00000010)->module->kind, MODULE_VDSO);
	assert_string_equal(path_at(f, P, 0x20000), "/tmp/x");
}

/* The side-band's two records of one mapping, in either order, and one seen by build-id alone. */
static void test_build_id_repeats(void **state)
{
	struct feed *f = *state;
	struct module *m;

	fork_(f, 1, P);
	mmap_(f, P, 0x1000, 0x2000, "/lib/a", 1);
	mmap_build_id(f, P, 0x1000, 0x2000, "/lib/a", 0xaa);
	mmap_build_id(f, P, 0x3000, 0x4000, "/lib/b", 0xbb);
	mmap_(f, P, 0x3000, 0x4000, "/lib/b", 2);
	assert_int_equal(process_table__modules_cnt(f->t), 2);
	for (size_t i = 0; i < 2; i++) {
		m = process_table__module(f->t, i);
		assert_int_equal(m->inode, i + 1);
		assert_int_equal(m->build_id_len, 20);
		assert_int_equal(m->build_id[0], i ? 0xbb : 0xaa);
	}
	/* Another process maps both: found by inode, nothing new. */
	fork_(f, 1, C);
	mmap_(f, C, 0x9000, 0xa000, "/lib/b", 2);
	mmap_build_id(f, C, 0x9000, 0xa000, "/lib/b", 0xbb);
	assert_int_equal(process_table__modules_cnt(f->t), 2);
	/* Another file under the same path: the old one's mapping is not renamed. */
	mmap_(f, P, 0x1000, 0x2000, "/lib/a", 7);
	mmap_build_id(f, P, 0x1000, 0x2000, "/lib/a", 0xcc);
	assert_int_equal(process_table__modules_cnt(f->t), 3);
	assert_int_equal(process_table__module(f->t, 0)->build_id[0], 0xaa);
	assert_int_equal(process_table__module(f->t, 2)->build_id[0], 0xcc);
}

static void test_nonsense_is_ignored(void **state)
{
	struct feed *f = *state;

	fork_(f, 1, 0);
	fork_(f, 1, -1);
	exit_(f, P, P);
	mmap_(f, P, 0x2000, 0x1000, "/a", 1);
	feed(f, (struct process_event){ .kind = PROCESS_EVENT_MMAP, .pid = P, .tid = P, .end = 1 });
	feed(f, (struct process_event){ .kind = (enum process_event_kind)99, .pid = P, .tid = P });
	assert_null(process_table__find(f->t, 0));
	assert_null(process_table__find(f->t, -1));
	assert_null(process_table__find(f->t, P));
	assert_true(process_table__is_gone(f->t, P));
}

static void test_unknown_pid_is_remembered(void **state)
{
	struct feed *f = *state;

	assert_null(process_table__find(f->t, P));
	assert_null(process_table__find(f->t, P));
	/* An event tells that it is there after all. */
	fork_(f, 1, P);
	assert_non_null(process_table__find(f->t, P));
}

static void test_only(void **state)
{
	const pid_t only[] = { P };
	struct process_table *t = process_table__new(only, 1, false);
	struct feed f = { .t = t, .now_ns = 1 };
	struct process_stats stats;

	exec_(&f, P, "target");
	mmap_(&f, P, 0x1000, 0x2000, "/bin/target", 1);
	exec_(&f, U, "other");
	mmap_(&f, U, 0x1000, 0x2000, "/bin/other", 2);
	fork_(&f, P, C);
	mmap_(&f, C, 0x1000, 0x2000, "/bin/child", 3);
	assert_string_equal(path_at(&f, P, 0x1000), "/bin/target");
	assert_null(process_table__find(t, U));
	assert_null(process_table__find(t, C));
	process_table__stats(t, &stats);
	assert_int_equal(stats.processes_seen, 1);
	assert_int_equal(stats.mmaps_seen, 1);
	/* Its pid given to somebody else: that is not the target. */
	exit_(&f, P, P);
	fork_(&f, U, P);
	exec_(&f, P, "impostor");
	assert_null(process_table__find(t, P));
	process_table__free(t);
}

static void test_only_with_children(void **state)
{
	const pid_t only[] = { P };
	struct process_table *t = process_table__new(only, 1, true);
	struct feed f = { .t = t, .now_ns = 1 };

	exec_(&f, P, "target");
	fork_(&f, P, C);
	fork_(&f, C, T);
	fork_(&f, U, U + 1);
	mmap_(&f, T, 0x1000, 0x2000, "/bin/grandchild", 1);
	assert_non_null(process_table__find(t, C));
	assert_string_equal(path_at(&f, T, 0x1000), "/bin/grandchild");
	assert_null(process_table__find(t, U + 1));
	exit_(&f, P, P);
	assert_false(process_table__is_gone(t, C));
	process_table__free(t);
}

static void test_lost_rescans(void **state)
{
	struct feed *f = *state;
	struct process_stats stats;

	fork_(f, 1, P);
	assert_false(process_table__is_gone(f->t, P));
	feed(f, (struct process_event){ .kind = PROCESS_EVENT_LOST, .lost = 12 });
	/* P is not in /proc: its EXIT was among the lost. We are, and were never told of. */
	assert_true(process_table__is_gone(f->t, P));
	assert_non_null(process_table__find(f->t, getpid()));
	process_table__stats(f->t, &stats);
	assert_int_equal(stats.events_lost, 12);
	assert_int_equal(stats.rescans, 1);
	/* Not again within the second, whatever comes. */
	feed(f, (struct process_event){ .kind = PROCESS_EVENT_LOST, .lost = 1 });
	process_table__find(f->t, P);
	process_table__stats(f->t, &stats);
	assert_int_equal(stats.rescans, 1);
	assert_int_equal(stats.events_lost, 13);
}

static void test_storm_is_freed(void **state)
{
	struct feed *f = *state;

	fork_(f, 1, U);
	for (int i = 0; i < 20000; i++) {
		pid_t pid = 6000000 + i;

		fork_(f, U, pid);
		exec_(f, pid, "storm");
		mmap_(f, pid, 0x1000, 0x2000, "/bin/storm", 1);
		exit_(f, pid, pid);
	}
	/* 4 ms of event time each, 2 s of grace. */
	assert_in_range(HASH_COUNT(f->t->by_pid), 490, 510);
	assert_int_equal(process_table__modules_cnt(f->t), 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fork_shares_then_parts),
		TEST(test_exec_replaces),
		TEST(test_exec_of_other_thread),
		TEST(test_leader_exits_first),
		TEST(test_gone_stays_a_while),
		TEST(test_pid_reuse),
		TEST(test_comm_of_thread),
		TEST(test_told_twice),
		TEST(test_kinds_of_memory),
		TEST(test_build_id_repeats),
		TEST(test_nonsense_is_ignored),
		TEST(test_unknown_pid_is_remembered),
		TEST(test_only),
		TEST(test_only_with_children),
		TEST(test_lost_rescans),
		TEST(test_storm_is_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
