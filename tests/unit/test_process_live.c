/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process table and the real world: ourselves and our children as /proc and the real side-band
 * show them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "process/process.h"
#include "process/process_table.h"
#include "process/sideband.h"

#define GONE_PID 5000001 /* above what any kernel hands out */

struct fixture {
	struct process_table *t;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->t = process_table__new(NULL, 0, false);
	*state = f;
	return f->t ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	process_table__free(f->t);
	free(f);
	return 0;
}

static void test_scan_finds_us(void **state)
{
	struct fixture *f = *state;
	char own_name[PROCESS_COMM_LEN];
	const struct mapping *m;
	struct process *p;

	assert_int_equal(process_table__scan(f->t), 0);
	p = process_table__find(f->t, getpid());
	assert_non_null(p);
	assert_int_equal(prctl(PR_GET_NAME, own_name), 0);
	assert_string_equal(p->comm, own_name);
	assert_int_equal(p->ppid, getppid());
	assert_true(p->start_ticks > 0);
	m = process__mapping(f->t, p, (uint64_t)(uintptr_t)&test_scan_finds_us);
	assert_non_null(m);
	assert_ptr_equal(m->module, process__executable(f->t, p));
	assert_true(m->module->inode > 0);
	assert_null(process__mapping(f->t, p, 0x10));
	/* Known before: a second scan changes nothing. */
	assert_int_equal(process_table__scan(f->t), 0);
	assert_ptr_equal(process_table__find(f->t, getpid()), p);
}

static void test_mappings_ascend(void **state)
{
	struct fixture *f = *state;
	struct process *p = process_table__find(f->t, getpid());
	const struct mapping *m;
	size_t cnt;

	assert_non_null(p);
	cnt = process__mappings(f->t, p, &m);
	assert_true(cnt > 2); /* this program, libc, the loader */
	for (size_t i = 0; i + 1 < cnt; i++)
		assert_true(m[i].start < m[i].end && m[i].end <= m[i + 1].start);
	for (size_t i = 0; i < cnt; i++)
		assert_ptr_equal(process__mapping(f->t, p, m[i].end - 1), &m[i]);
	address_space__unref(take_ptr(process_entry__of(p)->as));
	assert_int_equal(process__mappings(f->t, p, &m), 0);
}

static void test_new_mapping_is_found(void **state)
{
	struct fixture *f = *state;
	struct process *p = process_table__find(f->t, getpid());
	void *code;

	assert_non_null(p);
	/* The look-up of us has just read the maps: not again within the second. */
	code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(code, MAP_FAILED);
	assert_null(process__mapping(f->t, p, (uint64_t)(uintptr_t)code));
	process_entry__of(p)->maps_read_ns -= 1100000000;
	assert_non_null(process__mapping(f->t, p, (uint64_t)(uintptr_t)code));
	assert_int_equal(process__mapping(f->t, p, (uint64_t)(uintptr_t)code)->module->kind,
			 MODULE_JIT);
	munmap(code, 4096);
}

/* A scan leaves maps for later; a child that is gone before it is asked for still has its parent's.
 */
static void test_fork_of_unread_parent(void **state)
{
	struct fixture *f = *state;
	struct process_event ev = { .time_ns = 1,
				    .kind = PROCESS_EVENT_FORK,
				    .pid = GONE_PID,
				    .tid = GONE_PID,
				    .ppid = getpid() };
	struct process *p;

	assert_int_equal(process_table__scan(f->t), 0);
	assert_true(process_table__lookup(f->t, getpid())->unread);
	assert_int_equal(process_table__apply(f->t, &ev), 0);
	ev.kind = PROCESS_EVENT_EXIT;
	assert_int_equal(process_table__apply(f->t, &ev), 0);
	p = process_table__find(f->t, GONE_PID);
	assert_non_null(p);
	assert_true(p->exited);
	assert_non_null(
		process__mapping(f->t, p, (uint64_t)(uintptr_t)&test_fork_of_unread_parent));
}

/* A pid that /proc does not know is not looked for again within the second. */
static void test_missing_is_remembered(void **state)
{
	struct fixture *f = *state;
	struct pid_mark *m;

	assert_null(process_table__find(f->t, GONE_PID));
	assert_int_equal(HASH_COUNT(f->t->missing), 1);
	m = f->t->missing;
	assert_int_equal(m->pid, GONE_PID);
	assert_in_range(m->until_ns, clock__mono_ns(), clock__mono_ns() + NSEC_PER_SEC);
	/* The mark of somebody who is there is believed as long as it holds. */
	HASH_DEL(f->t->missing, m);
	m->pid = getpid();
	HASH_ADD_INT(f->t->missing, pid, m);
	assert_null(process_table__find(f->t, getpid()));
	m->until_ns = 0;
	assert_non_null(process_table__find(f->t, getpid()));
}

/* The vDSO is elsewhere: an exec happened that no event has told yet. */
static void test_other_image_is_not_taken(void **state)
{
	struct fixture *f = *state;
	struct process *p = process_table__find(f->t, getpid());
	uint64_t code = (uint64_t)(uintptr_t)&test_scan_finds_us;
	struct process_entry *e = process_entry__of(p);
	struct mapping vdso = { 0 };

	for (size_t i = 0; i < address_space__cnt(e->as); i++)
		if (address_space__get(e->as, i)->module->kind == MODULE_VDSO)
			vdso = *address_space__get(e->as, i);
	if (!vdso.module) {
		print_message("[  SKIPPED ] no vDSO\n");
		skip();
	}
	address_space__unref(take_ptr(e->as));
	vdso.start -= 0x1000000;
	vdso.end -= 0x1000000;
	assert_int_equal(address_space__add(&e->as, &vdso), 0);
	e->maps_read_ns = 0;
	assert_null(process__mapping(f->t, p, code));
	assert_int_equal(address_space__cnt(e->as), 1);
}

/* A process that is not the one we knew is not asked for its maps. */
static void test_other_process_is_not_asked(void **state)
{
	struct fixture *f = *state;
	struct process *p = process_table__find(f->t, getpid());
	uint64_t code = (uint64_t)(uintptr_t)&test_scan_finds_us;
	struct process_entry *e = process_entry__of(p);

	address_space__unref(take_ptr(e->as));
	e->maps_read_ns = 0;
	e->pub.start_ticks++;
	assert_null(process__mapping(f->t, p, code));
	e->pub.start_ticks--;
	e->maps_read_ns = 0;
	assert_non_null(process__mapping(f->t, p, code));
}

static void *sleep_forever(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static pid_t fork_child_without_leader(void)
{
	pid_t pid = fork();
	pthread_t thread;

	if (pid != 0)
		return pid;
	if (pthread_create(&thread, NULL, sleep_forever, NULL) != 0)
		_exit(1);
	/* Not exit(): only this thread. */
	syscall(SYS_exit, 0);
	_exit(1);
}

static void wait_for_state(pid_t pid, char wanted)
{
	struct proc_stat st = { .state = '?' };

	for (int i = 0; i < 5000; i++) {
		if (procfs__stat(pid, &st) == 0 && st.state == wanted)
			return;
		usleep(1000);
	}
	fail_msg("pid %d did not become %c but %c", (int)pid, wanted, st.state);
}

/* The leader is a zombie with empty maps; a thread runs on. */
static void test_scan_without_leader(void **state)
{
	struct fixture *f = *state;
	pid_t pid = fork_child_without_leader();
	struct process *p;

	assert_true(pid > 0);
	wait_for_state(pid, 'Z');
	assert_int_equal(process_table__scan(f->t), 0);
	p = process_table__find(f->t, pid);
	assert_non_null(p);
	assert_false(p->exited);
	assert_non_null(process__mapping(f->t, p, (uint64_t)(uintptr_t)&test_scan_without_leader));
	assert_non_null(process__executable(f->t, p));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Known by one COMM record only: its first EXIT is not its last. */
static void test_exit_of_half_known(void **state)
{
	struct fixture *f = *state;
	struct process_event ev = { .time_ns = 1, .kind = PROCESS_EVENT_COMM, .comm = "x" };
	pid_t pid = fork_child_without_leader();

	assert_true(pid > 0);
	wait_for_state(pid, 'Z');
	ev.pid = ev.tid = pid;
	assert_int_equal(process_table__apply(f->t, &ev), 0);
	ev.kind = PROCESS_EVENT_EXIT;
	assert_int_equal(process_table__apply(f->t, &ev), 0);
	assert_false(process_table__lookup(f->t, pid)->pub.exited);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* The FORK of a target found by the scan is told late: still the target. Another one later is not.
 */
static void test_target_and_its_fork(void **state)
{
	struct process_event ev = { .kind = PROCESS_EVENT_FORK, .ppid = getpid() };
	struct process_table *t;
	pid_t pid;

	ev.time_ns = clock__mono_ns();
	pid = fork();
	if (pid == 0) {
		pause();
		_exit(0);
	}
	ev.pid = ev.tid = pid;
	t = process_table__new(&pid, 1, false);
	assert_non_null(t);
	assert_int_equal(process_table__scan(t), 0);
	assert_int_equal(process_table__apply(t, &ev), 0);
	assert_non_null(process_table__lookup(t, pid));
	ev.time_ns += 10 * NSEC_PER_SEC;
	assert_int_equal(process_table__apply(t, &ev), 0);
	assert_null(process_table__lookup(t, pid));
	process_table__free(t);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* To be asked after is not to be known. */
static void test_question_adds_nobody(void **state)
{
	struct fixture *f = *state;

	assert_false(process_table__is_gone(f->t, getpid()));
	assert_null(process_table__lookup(f->t, getpid()));
}

static void test_zombie_is_gone(void **state)
{
	struct fixture *f = *state;
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	wait_for_state(pid, 'Z');
	assert_true(process_table__is_gone(f->t, pid));
	assert_non_null(process_table__find(f->t, pid));
	waitpid(pid, NULL, 0);
}

static int apply(struct process_event *ev, void *ctx)
{
	return process_table__apply(ctx, ev);
}

static int compare_ns(const void *a, const void *b)
{
	uint64_t x = ((const struct process_event *)a)->time_ns;
	uint64_t y = ((const struct process_event *)b)->time_ns;

	return x < y ? -1 : x > y;
}

struct queue {
	struct process_event v[20000];
	size_t cnt;
};

static int enqueue(struct process_event *ev, void *ctx)
{
	struct queue *q = ctx;

	assert_true(q->cnt < sizeof(q->v) / sizeof(q->v[0]));
	q->v[q->cnt++] = *ev;
	ev->path = NULL;
	return 0;
}

static void apply_sorted(struct sideband *s, struct process_table *t)
{
	_cleanup_free_ struct queue *q = calloc(1, sizeof(*q));

	assert_non_null(q);
	assert_int_equal(sideband__read(s, enqueue, q), 0);
	qsort(q->v, q->cnt, sizeof(q->v[0]), compare_ns);
	for (size_t i = 0; i < q->cnt; i++) {
		assert_int_equal(apply(&q->v[i], t), 0);
		free(q->v[i].path);
	}
}

static struct sideband *open_all_cpus(void)
{
	struct sideband *s = NULL;
	int cpus[1024];
	size_t cnt = 0;
	cpu_set_t set;

	if (geteuid() != 0) {
		print_message("[  SKIPPED ] system-wide perf events need root\n");
		return NULL;
	}
	assert_int_equal(sched_getaffinity(1, sizeof(set), &set), 0);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set))
			cpus[cnt++] = i;
	assert_int_equal(sideband__open(&s, cpus, cnt), 0);
	return s;
}

/* fork, exec, end, all over before anybody looks: the events alone must tell it. */
static void test_live_short_process(void **state)
{
	struct fixture *f = *state;
	_cleanup_(sideband__freep) struct sideband *s = open_all_cpus();
	_cleanup_free_ char *path = realpath("/bin/true", NULL);
	struct module *exe;
	struct process *p;
	pid_t pid;

	if (!s)
		skip();
	assert_int_equal(process_table__scan(f->t), 0);
	pid = fork();
	if (pid == 0) {
		execl(path, "true", NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	apply_sorted(s, f->t);
	p = process_table__find(f->t, pid);
	assert_non_null(p);
	assert_string_equal(p->comm, "true");
	assert_int_equal(p->execs, 1);
	assert_int_equal(p->ppid, getpid());
	assert_true(p->exited);
	exe = process__executable(f->t, p);
	assert_non_null(exe);
	assert_string_equal(exe->path, path);
	module__pin(f->t, p, NULL, exe);
	assert_int_equal(exe->open_status, MODULE_OPENED);
}

/* What the scan saw and what the side-band says of the same libc is one module. */
static void test_live_one_module(void **state)
{
	struct fixture *f = *state;
	_cleanup_(sideband__freep) struct sideband *s = open_all_cpus();
	_cleanup_free_ char *loader = realpath("/lib64/ld-linux-x86-64.so.2", NULL);
	size_t libcs = 0, with_build_id = 0;
	pid_t pid;

	if (!s || !loader)
		skip();
	assert_int_equal(process_table__scan(f->t), 0);
	pid = fork();
	if (pid == 0) {
		execl("/bin/true", "true", NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	apply_sorted(s, f->t);
	for (size_t i = 0; i < process_table__modules_cnt(f->t); i++) {
		struct module *m = process_table__module(f->t, i);

		/* Others of that name, in containers, are other files. */
		if (strcmp(m->path, loader) != 0)
			continue;
		libcs++;
		with_build_id += m->build_id_len > 0 && m->generation_known;
	}
	if (libcs == 0)
		skip();
	assert_int_equal(libcs, 1);
	assert_int_equal(with_build_id, 1);
}

/* Events from before the scan, applied after it. */
static void test_live_scan_between(void **state)
{
	struct fixture *f = *state;
	_cleanup_(sideband__freep) struct sideband *s = open_all_cpus();
	uint64_t ticks;
	struct process *p;
	int gate[2];
	pid_t pid;
	char c;

	if (!s)
		skip();
	assert_int_equal(pipe(gate), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_NAME, "gated");
		(void)!write(gate[1], "x", 1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(gate[0], &c, 1), 1);
	close(gate[0]);
	close(gate[1]);
	assert_int_equal(process_table__scan(f->t), 0);
	ticks = process_table__find(f->t, pid)->start_ticks;
	apply_sorted(s, f->t);
	assert_int_equal(process_table__lookup(f->t, pid)->pub.start_ticks, ticks);
	p = process_table__find(f->t, pid);
	assert_non_null(p);
	assert_string_equal(p->comm, "gated");
	assert_int_equal(p->start_ticks, ticks);
	assert_non_null(process__mapping(f->t, p, (uint64_t)(uintptr_t)&test_live_scan_between));
	assert_false(process_table__is_gone(f->t, pid));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	apply_sorted(s, f->t);
	assert_true(process_table__is_gone(f->t, pid));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_scan_finds_us),
		TEST(test_mappings_ascend),
		TEST(test_new_mapping_is_found),
		TEST(test_fork_of_unread_parent),
		TEST(test_missing_is_remembered),
		TEST(test_other_image_is_not_taken),
		TEST(test_other_process_is_not_asked),
		TEST(test_scan_without_leader),
		TEST(test_exit_of_half_known),
		TEST(test_target_and_its_fork),
		TEST(test_question_adds_nobody),
		TEST(test_zombie_is_gone),
		TEST(test_live_short_process),
		TEST(test_live_one_module),
		TEST(test_live_scan_between),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
