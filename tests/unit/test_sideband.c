/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * perf records: hand-made ones decoded, lying ones refused, and (live, root) the real side-band of
 * programs started here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "process/sideband.h"
#include "process/sideband_decode.h"

#define MAIN_EVENT     1001
#define BUILD_ID_EVENT 1002

struct record {
	_Alignas(8) uint8_t data[SIDEBAND_RECORD_MAX + 1];
	size_t len;
};

static void put(struct record *r, const void *bytes, size_t len)
{
	memcpy(r->data + r->len, bytes, len);
	r->len += len;
}

static void put32(struct record *r, uint32_t v)
{
	put(r, &v, sizeof(v));
}

static void put64(struct record *r, uint64_t v)
{
	put(r, &v, sizeof(v));
}

static void begin(struct record *r, uint32_t type, uint16_t misc)
{
	struct perf_event_header h = { .type = type, .misc = misc };

	memset(r, 0, sizeof(*r));
	put(r, &h, sizeof(h));
}

static void put_string(struct record *r, const char *s)
{
	put(r, s, strlen(s) + 1);
	while (r->len % 8)
		put(r, "", 1);
}

static const struct perf_event_header *finish(struct record *r, uint32_t pid, uint64_t time_ns,
					      uint64_t event)
{
	struct perf_event_header *h = (struct perf_event_header *)r->data;

	put32(r, pid);
	put32(r, pid);
	put64(r, time_ns);
	put64(r, event);
	h->size = (uint16_t)r->len;
	return h;
}

static const struct perf_event_header *make_mmap(struct record *r, const char *path, uint32_t prot,
						 bool build_id, uint64_t event)
{
	static const uint8_t id[20] = { 0xde, 0xad, 0xbe, 0xef };

	begin(r, PERF_RECORD_MMAP2,
	      PERF_RECORD_MISC_USER | (build_id ? PERF_RECORD_MISC_MMAP_BUILD_ID : 0));
	put32(r, 77);
	put32(r, 78);
	put64(r, 0x400000);
	put64(r, 0x3000);
	put64(r, 0x1000);
	if (build_id) {
		put32(r, 20);
		put(r, id, sizeof(id));
	} else {
		put32(r, 8);
		put32(r, 1);
		put64(r, 12345);
		put64(r, 9);
	}
	put32(r, prot);
	put32(r, MAP_PRIVATE);
	put_string(r, path);
	return finish(r, 77, 555, event);
}

static const struct perf_event_header *make_task(struct record *r, uint32_t type, uint64_t event)
{
	begin(r, type, 0);
	put32(r, 100);
	put32(r, 90);
	put32(r, 101);
	put32(r, 90);
	put64(r, 444);
	return finish(r, 90, 556, event);
}

static const struct perf_event_header *make_comm(struct record *r, const char *comm, bool exec)
{
	begin(r, PERF_RECORD_COMM, exec ? PERF_RECORD_MISC_COMM_EXEC : 0);
	put32(r, 100);
	put32(r, 101);
	put_string(r, comm);
	return finish(r, 100, 557, MAIN_EVENT);
}

static struct record rec;

static void test_decode_task(void **state)
{
	struct process_event ev;

	assert_int_equal(sideband__decode(make_task(&rec, PERF_RECORD_FORK, MAIN_EVENT),
					  BUILD_ID_EVENT, &ev),
			 1);
	assert_int_equal(ev.kind, PROCESS_EVENT_FORK);
	assert_int_equal(ev.pid, 100);
	assert_int_equal(ev.ppid, 90);
	assert_int_equal(ev.tid, 101);
	assert_int_equal(ev.time_ns, 556);
	assert_int_equal(sideband__decode(make_task(&rec, PERF_RECORD_EXIT, MAIN_EVENT),
					  BUILD_ID_EVENT, &ev),
			 1);
	assert_int_equal(ev.kind, PROCESS_EVENT_EXIT);
	/* Told twice by the kernel, once by us. */
	assert_int_equal(sideband__decode(make_task(&rec, PERF_RECORD_FORK, BUILD_ID_EVENT),
					  BUILD_ID_EVENT, &ev),
			 0);
}

static void test_decode_comm(void **state)
{
	struct process_event ev;

	assert_int_equal(sideband__decode(make_comm(&rec, "\x1b[31mred", false), 0, &ev), 1);
	assert_int_equal(ev.kind, PROCESS_EVENT_COMM);
	assert_int_equal(ev.tid, 101);
	assert_string_equal(ev.comm, "\x1b[31mred");
	assert_int_equal(
		sideband__decode(make_comm(&rec, "a name longer than a comm", true), 0, &ev), 1);
	assert_int_equal(ev.kind, PROCESS_EVENT_EXEC);
	assert_int_equal(strlen(ev.comm), PROCESS_COMM_LEN - 1);
}

static void test_decode_mmap(void **state)
{
	struct process_event ev;
	const struct perf_event_header *h;

	h = make_mmap(&rec, "/usr/lib/a.so", PROT_READ | PROT_EXEC, false, MAIN_EVENT);
	assert_int_equal(sideband__decode(h, BUILD_ID_EVENT, &ev), 1);
	assert_int_equal(ev.kind, PROCESS_EVENT_MMAP);
	assert_int_equal(ev.pid, 77);
	assert_int_equal(ev.start, 0x400000);
	assert_int_equal(ev.end, 0x403000);
	assert_int_equal(ev.offset, 0x1000);
	assert_int_equal(ev.dev_major, 8);
	assert_int_equal(ev.dev_minor, 1);
	assert_int_equal(ev.inode, 12345);
	assert_int_equal(ev.inode_generation, 9);
	assert_int_equal(ev.build_id_len, 0);
	assert_string_equal(ev.path, "/usr/lib/a.so");
	free(ev.path);
	h = make_mmap(&rec, "/usr/lib/a.so", PROT_EXEC, true, BUILD_ID_EVENT);
	assert_int_equal(sideband__decode(h, BUILD_ID_EVENT, &ev), 1);
	assert_int_equal(ev.build_id_len, 20);
	assert_int_equal(ev.build_id[3], 0xef);
	assert_int_equal(ev.inode, 0);
	assert_int_equal(ev.time_ns, 555);
	free(ev.path);
	/* The bit left behind by another listener: the inode is there all the same. */
	h = make_mmap(&rec, "/usr/lib/a.so", PROT_EXEC, false, MAIN_EVENT);
	((struct perf_event_header *)rec.data)->misc |= PERF_RECORD_MISC_MMAP_BUILD_ID;
	assert_int_equal(sideband__decode(h, BUILD_ID_EVENT, &ev), 1);
	assert_int_equal(ev.inode, 12345);
	assert_int_equal(ev.build_id_len, 0);
	free(ev.path);
	/* Data, and what the second event says without a build-id. */
	h = make_mmap(&rec, "/usr/lib/a.so", PROT_READ, false, MAIN_EVENT);
	assert_int_equal(sideband__decode(h, BUILD_ID_EVENT, &ev), 0);
	h = make_mmap(&rec, "[vdso]", PROT_EXEC, false, BUILD_ID_EVENT);
	assert_int_equal(sideband__decode(h, BUILD_ID_EVENT, &ev), 0);
}

static void test_decode_lost(void **state)
{
	struct process_event ev;

	begin(&rec, PERF_RECORD_LOST, 0);
	put64(&rec, BUILD_ID_EVENT);
	put64(&rec, 321);
	/* Whichever event found room again: what is lost is lost. */
	assert_int_equal(sideband__decode(finish(&rec, 1, 9, BUILD_ID_EVENT), BUILD_ID_EVENT, &ev),
			 1);
	assert_int_equal(ev.kind, PROCESS_EVENT_LOST);
	assert_int_equal(ev.lost, 321);
	begin(&rec, PERF_RECORD_THROTTLE, 0);
	put64(&rec, 1);
	assert_int_equal(sideband__decode(finish(&rec, 1, 9, MAIN_EVENT), BUILD_ID_EVENT, &ev), 0);
}

/* Any length, of records of any kind: refused or decoded, never read beyond. The copy is exact, so
 * that a sanitizer sees the first byte too many. */
static void test_decode_any_length(void **state)
{
	struct record kinds[5];

	make_task(&kinds[0], PERF_RECORD_FORK, MAIN_EVENT);
	make_comm(&kinds[1], "comm", true);
	make_mmap(&kinds[2], "/usr/lib/a.so", PROT_EXEC, false, MAIN_EVENT);
	make_mmap(&kinds[3], "/usr/lib/a.so", PROT_EXEC, true, BUILD_ID_EVENT);
	begin(&kinds[4], PERF_RECORD_LOST, 0);
	put64(&kinds[4], 1);
	put64(&kinds[4], 1);
	finish(&kinds[4], 1, 9, MAIN_EVENT);
	for (size_t k = 0; k < 5; k++) {
		for (size_t len = sizeof(struct perf_event_header); len <= kinds[k].len; len++) {
			_cleanup_free_ uint8_t *cut = malloc(len);
			struct process_event ev;
			int n;

			assert_non_null(cut);
			memcpy(cut, kinds[k].data, len);
			((struct perf_event_header *)cut)->size = (uint16_t)len;
			n = sideband__decode((struct perf_event_header *)cut, BUILD_ID_EVENT, &ev);
			assert_true(n == -EBADMSG || n == 0 || n == 1);
			if (len < sizeof(struct perf_event_header) + 24)
				assert_int_equal(n, -EBADMSG);
			if (n == 1)
				free(ev.path);
		}
	}
}

static void test_decode_contradictions(void **state)
{
	struct process_event ev;
	struct perf_event_header *h = (struct perf_event_header *)rec.data;
	uint64_t huge = UINT64_MAX;

	make_mmap(&rec, "/a", PROT_EXEC, false, MAIN_EVENT);
	memcpy(rec.data + 24, &huge, 8); /* length over the end of the address space */
	assert_int_equal(sideband__decode(h, 0, &ev), -EBADMSG);
	make_mmap(&rec, "/a", PROT_EXEC, true, BUILD_ID_EVENT);
	rec.data[40] = 21; /* build-id longer than its field */
	assert_int_equal(sideband__decode(h, BUILD_ID_EVENT, &ev), -EBADMSG);
	rec.data[40] = 0;
	assert_int_equal(sideband__decode(h, BUILD_ID_EVENT, &ev), -EBADMSG);
	make_mmap(&rec, "/a", PROT_EXEC, false, MAIN_EVENT);
	memset(rec.data + 72, 'x', rec.len - 72 - 24); /* no NUL before the trailer */
	assert_int_equal(sideband__decode(h, 0, &ev), -EBADMSG);
}

#define RING 4096

/* Lays records of varying length at every offset around the end of a ring and reads them back. */
static void test_ring_wraps(void **state)
{
	static _Alignas(8) uint8_t ring[RING];
	static uint8_t scratch[SIDEBAND_RECORD_MAX];

	for (uint64_t at = RING - 400; at <= RING + 8; at += 8) {
		uint64_t head = at, tail = at;
		bool lying = false;
		char comm[16];

		for (int i = 0; i < 8; i++) {
			snprintf(comm, sizeof(comm), "%.*s", 3 + i, "abcdefghijklmnop");
			make_comm(&rec, comm, false);
			for (size_t k = 0; k < rec.len; k++)
				ring[(head + k) % RING] = rec.data[k];
			head += rec.len;
		}
		for (int i = 0; i < 8; i++) {
			const struct perf_event_header *h;
			struct process_event ev;

			h = sideband__next_record(ring, RING, &tail, head, scratch, &lying);
			assert_non_null(h);
			assert_int_equal(sideband__decode(h, 0, &ev), 1);
			assert_int_equal(strlen(ev.comm), 3 + i);
		}
		assert_null(sideband__next_record(ring, RING, &tail, head, scratch, &lying));
		assert_int_equal(tail, head);
		assert_false(lying);
	}
}

static void test_ring_lies(void **state)
{
	static const uint16_t sizes[] = { 0, 1, 7, 9, 60, 72, 4096, 65535 };
	static _Alignas(8) uint8_t ring[RING];
	static uint8_t scratch[SIDEBAND_RECORD_MAX];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct perf_event_header h = { .type = PERF_RECORD_COMM, .size = sizes[i] };
		uint64_t tail = 64;
		bool lying = false;

		memcpy(ring + 64, &h, sizeof(h));
		assert_null(sideband__next_record(ring, RING, &tail, 64 + 64, scratch, &lying));
		assert_true(lying);
		assert_int_equal(tail, 128);
	}
	for (uint64_t left = 1; left < 8; left++) {
		uint64_t tail = 64;
		bool lying = false;

		assert_null(sideband__next_record(ring, RING, &tail, 64 + left, scratch, &lying));
		assert_true(lying);
	}
	/* A head that cannot be: behind the tail, or more than a ring ahead. */
	for (int i = 0; i < 2; i++) {
		uint64_t tail = 8192, head = i ? 8192 + RING + 8 : 8184;
		bool lying = false;

		assert_null(sideband__next_record(ring, RING, &tail, head, scratch, &lying));
		assert_true(lying);
		assert_int_equal(tail, head);
	}
}

/* --- live ------------------------------------------------------------------------------------ */

struct seen {
	pid_t pid;
	int forks, execs, exits, build_ids, files;
	bool true_by_inode, order_ok;
	ino_t true_inode;
	dev_t true_dev;
	const char *true_path;
	uint64_t last_ns;
	char comm[PROCESS_COMM_LEN];
};

static int see(struct process_event *ev, void *ctx)
{
	struct seen *s = ctx;

	if (ev->pid != s->pid)
		return 0;
	switch (ev->kind) {
	case PROCESS_EVENT_FORK:
		s->forks++;
		assert_int_equal(ev->ppid, getpid());
		break;
	case PROCESS_EVENT_EXEC:
		s->execs++;
		memcpy(s->comm, ev->comm, sizeof(s->comm));
		break;
	case PROCESS_EVENT_EXIT:
		s->exits++;
		break;
	case PROCESS_EVENT_MMAP:
		if (ev->build_id_len)
			s->build_ids++;
		else if (ev->path[0] == '/')
			s->files++;
		if (!ev->build_id_len && strcmp(ev->path, s->true_path) == 0)
			s->true_by_inode = ev->inode == s->true_inode &&
					   makedev(ev->dev_major, ev->dev_minor) == s->true_dev;
		break;
	default:
		break;
	}
	return 0;
}

static struct sideband *open_all_cpus(void)
{
	int cpus[1024];
	size_t cnt = 0;
	cpu_set_t set;
	struct sideband *s = NULL;
	int err;

	if (geteuid() != 0) {
		print_message("[  SKIPPED ] system-wide perf events need root\n");
		return NULL;
	}
	assert_int_equal(sched_getaffinity(1, sizeof(set), &set), 0);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &set))
			cpus[cnt++] = i;
	err = sideband__open(&s, cpus, cnt);
	if (err)
		fail_msg("sideband__open: %s", strerror(-err));
	return s;
}

static void run_and_wait(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_live_program(void **state)
{
	_cleanup_(sideband__freep) struct sideband *s = open_all_cpus();
	_cleanup_free_ char *path = realpath("/bin/true", NULL);
	struct sideband_stats stats;
	struct seen seen = { .true_path = path };
	uint64_t before_ns = clock__mono_ns();
	struct stat st;

	if (!s)
		skip();
	assert_int_equal(stat(path, &st), 0);
	seen.true_inode = st.st_ino;
	seen.true_dev = st.st_dev;
	seen.pid = fork();
	if (seen.pid == 0) {
		execl(path, "true", NULL);
		_exit(127);
	}
	run_and_wait(seen.pid);
	assert_int_equal(sideband__read(s, see, &seen), 0);
	assert_int_equal(seen.forks, 1);
	assert_int_equal(seen.execs, 1);
	assert_int_equal(seen.exits, 1);
	assert_string_equal(seen.comm, "true");
	assert_true(seen.true_by_inode);
	assert_in_range(seen.files, 2, 50);
	/* Linux 5.12 and later: each file once more, by its build-id. */
	if (seen.build_ids)
		assert_int_equal(seen.build_ids, seen.files);
	else
		print_message("no build-ids: kernel before 5.12, or files without\n");
	sideband__stats(s, &stats);
	assert_true(stats.records >= 6);
	assert_int_equal(stats.malformed, 0);
	assert_true(clock__mono_ns() > before_ns);
}

/* Others listen too: ours must not be disturbed, whoever came first. */
static void test_live_two_listeners(void **state)
{
	_cleanup_(sideband__freep) struct sideband *older = open_all_cpus();
	_cleanup_(sideband__freep) struct sideband *newer = older ? open_all_cpus() : NULL;
	struct sideband *both[] = { older, newer };
	pid_t pid;

	if (!older)
		skip();
	pid = fork();
	if (pid == 0) {
		execl("/bin/true", "true", NULL);
		_exit(127);
	}
	run_and_wait(pid);
	for (int i = 0; i < 2; i++) {
		struct seen seen = { .pid = pid, .true_path = "" };
		struct sideband_stats stats;

		assert_int_equal(sideband__read(both[i], see, &seen), 0);
		sideband__stats(both[i], &stats);
		assert_int_equal(stats.malformed, 0);
		assert_int_equal(seen.forks, 1);
		assert_int_equal(seen.exits, 1);
		assert_in_range(seen.files, 2, 50);
	}
}

static int check_times(struct process_event *ev, void *ctx)
{
	uint64_t *range = ctx;

	assert_in_range(ev->time_ns, range[0], clock__mono_ns());
	range[1]++;
	return 0;
}

static void test_live_clock(void **state)
{
	uint64_t range[2] = { clock__mono_ns(), 0 };
	_cleanup_(sideband__freep) struct sideband *s = open_all_cpus();
	pid_t pid;

	if (!s)
		skip();
	pid = fork();
	if (pid == 0)
		_exit(0);
	run_and_wait(pid);
	assert_int_equal(sideband__read(s, check_times, range), 0);
	assert_true(range[1] >= 2);
}

/* Records of a process that believes to be pid 1 carry the pid by which we know it. */
static void test_live_pid_namespace(void **state)
{
	_cleanup_(sideband__freep) struct sideband *s = open_all_cpus();
	struct seen seen = { .true_path = "" };

	if (!s)
		skip();
	seen.pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
	if (seen.pid == 0)
		_exit(getpid() == 1 ? 0 : 1);
	assert_true(seen.pid > 1);
	run_and_wait(seen.pid);
	assert_int_equal(sideband__read(s, see, &seen), 0);
	assert_int_equal(seen.forks, 1);
	assert_int_equal(seen.exits, 1);
}

static int stop_at_first(struct process_event *ev, void *ctx)
{
	(*(int *)ctx)++;
	return -ECANCELED;
}

static int count(struct process_event *ev, void *ctx)
{
	(*(int *)ctx)++;
	return 0;
}

static void test_live_stop_and_resume(void **state)
{
	_cleanup_(sideband__freep) struct sideband *s = open_all_cpus();
	int first = 0, rest = 0;
	pid_t pid;

	if (!s)
		skip();
	pid = fork();
	if (pid == 0)
		_exit(0);
	run_and_wait(pid);
	assert_int_equal(sideband__read(s, stop_at_first, &first), -ECANCELED);
	assert_int_equal(first, 1);
	assert_int_equal(sideband__read(s, count, &rest), 0);
	assert_true(rest >= 1);
}

static void test_live_cpus(void **state)
{
	_cleanup_(sideband__freep) struct sideband *s = open_all_cpus();
	int events = 0;

	if (!s)
		skip();
	assert_int_equal(sideband__add_cpu(s, 0), -EEXIST);
	assert_int_equal(sideband__remove_cpu(s, 0), 0);
	assert_int_equal(sideband__remove_cpu(s, 0), -ENOENT);
	assert_int_equal(sideband__add_cpu(s, 0), 0);
	assert_true(sideband__add_cpu(s, 100000) < 0);
	assert_int_equal(sideband__read(s, count, &events), 0);
	sideband__free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode_task),
		cmocka_unit_test(test_decode_comm),
		cmocka_unit_test(test_decode_mmap),
		cmocka_unit_test(test_decode_lost),
		cmocka_unit_test(test_decode_any_length),
		cmocka_unit_test(test_decode_contradictions),
		cmocka_unit_test(test_ring_wraps),
		cmocka_unit_test(test_ring_lies),
		cmocka_unit_test(test_live_program),
		cmocka_unit_test(test_live_two_listeners),
		cmocka_unit_test(test_live_clock),
		cmocka_unit_test(test_live_pid_namespace),
		cmocka_unit_test(test_live_stop_and_resume),
		cmocka_unit_test(test_live_cpus),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
