/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session/heap_probes: who is probed by a link of their own, when one for all takes over, and that
 * every link is given back.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "session/heap_probes.h"

#define ATTACHMENTS_MAX 256

struct heap_attachment {
	const struct heap_file *file;
	pid_t pid;
	bool is_paused;
};

/* The fake kernel: passed as the collector. */
struct collector {
	struct heap_attachment *list[ATTACHMENTS_MAX];
	size_t cnt, ever;
	size_t most_of_pid_and_shared; /* double probes of one file */
	int err;                       /* of the next attach */
};

static struct collector kernel; /* free() knows no collector */

static int fake_attach(struct collector *c, const struct heap_file *file, pid_t pid,
		       struct heap_attachment **ret)
{
	struct heap_attachment *a;
	size_t i;

	if (c->err)
		return c->err;
	for (i = 0; i < c->cnt; i++) {
		if (c->list[i]->file == file &&
		    (!c->list[i]->pid || !pid || c->list[i]->pid == pid))
			c->most_of_pid_and_shared++;
	}
	a = calloc(1, sizeof(*a));
	a->file = file;
	a->pid = pid;
	c->list[c->cnt++] = a;
	c->ever++;
	*ret = a;
	return 0;
}

static void fake_free(struct heap_attachment *a)
{
	size_t i;

	if (!a)
		return;
	for (i = 0; i < kernel.cnt; i++) {
		if (kernel.list[i] != a)
			continue;
		kernel.list[i] = kernel.list[--kernel.cnt];
		free(a);
		return;
	}
	fail_msg("freed twice");
}

static int fake_pause(struct heap_attachment *a)
{
	assert_false(a->is_paused);
	a->is_paused = true;
	return 0;
}

static int fake_resume(struct heap_attachment *a)
{
	assert_true(a->is_paused);
	a->is_paused = false;
	return 0;
}

static const struct heap_probe_ops ops = { fake_attach, fake_free, fake_pause, fake_resume };

static struct heap_site sites[] = {
	{ .call = HEAP_CALL_ALLOC },
	{ .call = HEAP_CALL_REALLOC, .flags = HEAP_SITE_STEPPED },
	{ .call = HEAP_CALL_FREE },
};
static struct heap_probed_file libc_file = { .file = { .sites = sites, .sites_cnt = 3 } },
			       other_file = { .file = { .sites = sites, .sites_cnt = 1 } };

static int setup(void **state)
{
	memset(&kernel, 0, sizeof(kernel));
	*state = heap_probes__new(&ops, &kernel, true);
	return 0;
}

/* Whatever a test did: nothing is left, and nothing was probed twice. */
static int teardown(void **state)
{
	heap_probes__free(*state);
	return kernel.cnt || kernel.most_of_pid_and_shared;
}

static size_t links_of(const struct heap_probed_file *file, pid_t pid)
{
	size_t i, cnt = 0;

	for (i = 0; i < kernel.cnt; i++)
		cnt += kernel.list[i]->file == &file->file && kernel.list[i]->pid == pid;
	return cnt;
}

static void test_once_per_process_and_file(void **state)
{
	struct heap_probes *l = *state;

	assert_int_equal(heap_probes__add(l, &libc_file, 10), 0);
	assert_int_equal(heap_probes__add(l, &libc_file, 10), 0);
	assert_int_equal(heap_probes__add(l, &other_file, 10), 0);
	assert_int_equal(heap_probes__add(l, &libc_file, 11), 0);
	assert_int_equal(kernel.cnt, 3);
	assert_int_equal(heap_probes__own_processes(l), 2);
	assert_true(heap_probes__has(l, &libc_file, 10));
	assert_false(heap_probes__has(l, &other_file, 11));
	heap_probes__drop(l, 10);
	assert_int_equal(kernel.cnt, 1);
	assert_int_equal(links_of(&libc_file, 11), 1);
	heap_probes__drop(l, 12);
	assert_int_equal(heap_probes__own_processes(l), 1);
}

static void test_one_for_all_beyond_sixteen(void **state)
{
	struct heap_probes *l = *state;
	pid_t pid;

	for (pid = 1; pid <= HEAP_OWN_PROCESSES; pid++) {
		assert_int_equal(heap_probes__add(l, &libc_file, pid), 0);
		assert_int_equal(heap_probes__add(l, &other_file, pid), 0);
	}
	assert_int_equal(kernel.cnt, 2 * HEAP_OWN_PROCESSES);
	assert_false(heap_probes__is_shared(l));
	assert_int_equal(heap_probes__add(l, &libc_file, 100), 0);
	assert_true(heap_probes__is_shared(l));
	assert_int_equal(kernel.cnt, 2);
	assert_int_equal(links_of(&libc_file, 0), 1);
	assert_int_equal(links_of(&other_file, 0), 1);
	assert_int_equal(heap_probes__own_processes(l), 0);
	assert_int_equal(heap_probes__add(l, &other_file, 101), 0);
	heap_probes__drop(l, 100);
	assert_int_equal(kernel.cnt, 2);
}

static void test_those_who_ended_make_room(void **state)
{
	struct heap_probes *l = *state;
	pid_t pid;

	for (pid = 1; pid < 200; pid++) {
		assert_int_equal(heap_probes__add(l, &libc_file, pid), 0);
		if (pid >= HEAP_OWN_PROCESSES)
			heap_probes__drop(l, pid - HEAP_OWN_PROCESSES + 1);
	}
	assert_false(heap_probes__is_shared(l));
	assert_int_equal(kernel.cnt, HEAP_OWN_PROCESSES - 1);
}

static void test_never_one_for_all(void **state)
{
	struct heap_probes *l = heap_probes__new(&ops, &kernel, false);
	pid_t pid;

	for (pid = 1; pid <= 40; pid++)
		assert_int_equal(heap_probes__add(l, &libc_file, pid), 0);
	assert_int_equal(kernel.cnt, 40);
	heap_probes__free(l);
}

static void test_asked_for_all(void **state)
{
	struct heap_probes *l = *state;

	assert_int_equal(heap_probes__add(l, &libc_file, 0), 0);
	assert_int_equal(heap_probes__add(l, &libc_file, 5), 0);
	assert_int_equal(heap_probes__add(l, &other_file, 5), 0);
	assert_int_equal(kernel.cnt, 2);
	heap_probes__drop(l, 5);
	assert_int_equal(kernel.cnt, 1);
}

static void test_failures(void **state)
{
	struct heap_probes *l = *state;

	kernel.err = -ESRCH;
	assert_int_equal(heap_probes__add(l, &libc_file, 5), -ESRCH);
	assert_int_equal(heap_probes__own_processes(l), 0);
	assert_false(heap_probes__has(l, &libc_file, 5));
	kernel.err = 0;
	assert_int_equal(heap_probes__add(l, &libc_file, 5), 0);
	assert_int_equal(kernel.cnt, 1);
}

static void test_pause(void **state)
{
	struct heap_probes *l = *state;
	size_t i;

	heap_probes__add(l, &libc_file, 1);
	assert_int_equal(heap_probes__pause(l), 0);
	assert_int_equal(heap_probes__pause(l), 0);
	heap_probes__add(l, &libc_file, 2); /* while they are off */
	for (i = 0; i < kernel.cnt; i++)
		assert_true(kernel.list[i]->is_paused);
	assert_int_equal(heap_probes__resume(l), 0);
	for (i = 0; i < kernel.cnt; i++)
		assert_false(kernel.list[i]->is_paused);
}

/* Paused they stay so; what cannot be put back is gone. */
static void test_renew(void **state)
{
	struct heap_probes *l = *state;

	assert_int_equal(heap_probes__add(l, &libc_file, 0), 0);
	assert_int_equal(heap_probes__add(l, &other_file, 10), 0);
	assert_int_equal(heap_probes__pause(l), 0);
	assert_int_equal(heap_probes__renew(l, &libc_file), 0);
	assert_int_equal(kernel.ever, 3);
	assert_int_equal(links_of(&libc_file, 0), 1);
	assert_true(kernel.list[1]->is_paused);
	kernel.err = -ENOSPC;
	assert_int_equal(heap_probes__renew(l, &libc_file), -ENOSPC);
	assert_false(heap_probes__has(l, &libc_file, 10));
	assert_int_equal(heap_probes__resume(l), 0);
	assert_int_equal(kernel.cnt, 1);
	heap_probes__detach(l);
	assert_int_equal(heap_probes__renew(l, &other_file), 0);
	assert_int_equal(kernel.cnt, 0);
}

static void test_detach(void **state)
{
	struct heap_probes *l = *state;

	heap_probes__add(l, &libc_file, 1);
	heap_probes__add(l, &other_file, 0);
	heap_probes__detach(l);
	assert_int_equal(kernel.cnt, 0);
	/* What was probed is known, what was not is too late. */
	assert_int_equal(heap_probes__add(l, &libc_file, 1), 0);
	assert_int_equal(heap_probes__add(l, &libc_file, 2), -ESHUTDOWN);
	assert_int_equal(heap_probes__pause(l), 0);
	heap_probes__drop(l, 1);
	assert_int_equal(kernel.cnt, 0);
}

static void test_site_counts(void **state)
{
	struct heap_probes *l = *state;
	struct heap_site_counts counts;

	heap_probes__add(l, &libc_file, 1);
	heap_probes__add(l, &other_file, 1);
	heap_probes__site_counts(l, &counts);
	assert_int_equal(counts.allocs, 3);
	assert_int_equal(counts.allocs_stepped, 1);
	assert_int_equal(counts.frees, 1);
	assert_int_equal(counts.frees_stepped, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_once_per_process_and_file),
		TEST(test_one_for_all_beyond_sixteen),
		TEST(test_those_who_ended_make_room),
		TEST(test_never_one_for_all),
		TEST(test_asked_for_all),
		TEST(test_failures),
		TEST(test_pause),
		TEST(test_renew),
		TEST(test_detach),
		TEST(test_site_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
