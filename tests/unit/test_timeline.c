/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session/timeline: order across the two streams, the horizon, what happens to errors.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "session/timeline.h"

struct log {
	char text[256];
	int fail_at; /* the callback of this index fails */
	int calls;
	uint64_t frames_sum;
};

static int record(struct log *log, char what, uint64_t time_ns)
{
	size_t len = strlen(log->text);

	snprintf(log->text + len, sizeof(log->text) - len, "%c%llu ", what,
		 (unsigned long long)time_ns);
	return log->calls++ == log->fail_at ? -ENOMEM : 0;
}

static int on_sample(const struct sample *s, void *ctx)
{
	struct log *log = ctx;
	uint32_t i;

	for (i = 0; i < s->kernel_cnt; i++)
		log->frames_sum += s->kernel[i];
	for (i = 0; i < s->user_cnt; i++)
		log->frames_sum += s->user[i];
	return record(log, 's', s->time_ns);
}

static int on_event(const struct process_event *ev, void *ctx)
{
	return record(ctx, 'e', ev->time_ns);
}

static void push_sample(struct timeline *t, uint64_t time_ns)
{
	uint64_t frames[] = { 1, 10, 100 }; /* the timeline must not keep this pointer */
	const struct sample s = {
		.time_ns = time_ns,
		.kernel = frames,
		.kernel_cnt = 1,
		.user = frames + 1,
		.user_cnt = 2,
	};

	assert_int_equal(timeline__push_sample(t, &s), 0);
	memset(frames, 0xff, sizeof(frames));
}

static void push_event(struct timeline *t, uint64_t time_ns)
{
	struct process_event ev = { .time_ns = time_ns, .path = strdup("/bin/true") };

	assert_int_equal(timeline__push_event(t, &ev), 0);
	assert_null(ev.path);
}

static void test_order_and_horizon(void **state)
{
	_cleanup_(timeline__freep) struct timeline *t = timeline__new();
	struct log log = { .fail_at = -1 };
	const struct timeline_ops ops = { on_sample, on_event, &log };

	push_sample(t, 30);
	push_sample(t, 10);
	push_event(t, 20);
	push_event(t, 10); /* the mapping of a sample with the same stamp comes first */
	push_sample(t, 40);
	assert_int_equal(timeline__flush(t, 30, &ops), 0);
	assert_string_equal(log.text, "e10 s10 e20 ");
	push_event(t, 35);
	assert_int_equal(timeline__flush(t, UINT64_MAX, &ops), 0);
	assert_string_equal(log.text, "e10 s10 e20 s30 e35 s40 ");
	assert_int_equal(log.frames_sum, 3 * 111);
	assert_int_equal(timeline__flush(t, UINT64_MAX, &ops), 0);
	assert_int_equal(log.calls, 6);
}

static void test_equal_stamps_keep_order_of_arrival(void **state)
{
	_cleanup_(timeline__freep) struct timeline *t = timeline__new();
	struct log log = { .fail_at = -1 };
	const struct timeline_ops ops = { on_sample, on_event, &log };
	struct process_event ev = { .time_ns = 5 };
	int i;

	for (i = 0; i < 100; i++)
		assert_int_equal(timeline__push_event(t, &ev), 0);
	push_sample(t, 4);
	assert_int_equal(timeline__flush(t, 5, &ops), 0);
	assert_string_equal(log.text, "s4 ");
}

static void test_an_error_stops_nothing(void **state)
{
	_cleanup_(timeline__freep) struct timeline *t = timeline__new();
	struct log log = { .fail_at = 1 };
	const struct timeline_ops ops = { on_sample, on_event, &log };

	push_sample(t, 1);
	push_sample(t, 2);
	push_sample(t, 3);
	assert_int_equal(timeline__flush(t, UINT64_MAX, &ops), -ENOMEM);
	assert_string_equal(log.text, "s1 s2 s3 ");
}

static int on_wait(const struct sample *s, void *ctx)
{
	if (s->kind == SAMPLE_WAIT) {
		assert_int_equal(s->stack_id, 7);
		assert_int_equal(s->wait.reason_ns[SCHED_DELAYED], 42);
		assert_int_equal(s->kernel_cnt + s->user_cnt, 0);
	}
	return record(ctx, s->kind == SAMPLE_WAIT ? 'w' : 's', s->time_ns);
}

/* A wait has no frames, and comes behind the stack that its thread left before. */
static void test_waits(void **state)
{
	_cleanup_(timeline__freep) struct timeline *t = timeline__new();
	struct log log = { .fail_at = -1 };
	const struct timeline_ops ops = { on_wait, on_event, &log };
	const struct sample wait = {
		.kind = SAMPLE_WAIT,
		.stack_id = 7,
		.time_ns = 20,
		.wait = { .inverse_q = 1, .reason_ns = { [SCHED_DELAYED] = 42 } },
	};

	assert_int_equal(timeline__push_sample(t, &wait), 0);
	push_sample(t, 10);
	push_sample(t, 30);
	assert_int_equal(timeline__flush(t, 25, &ops), 0);
	assert_string_equal(log.text, "s10 w20 ");
}

static void test_free_with_items(void **state)
{
	const struct timeline_ops ops = { on_sample, on_event, NULL };
	struct timeline *t = timeline__new();

	assert_int_equal(timeline__flush(t, UINT64_MAX, &ops), 0); /* nothing has ever come */
	push_event(t, 1);
	push_sample(t, 2);
	timeline__free(t); /* leaks show under the sanitizers */
	timeline__free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_horizon),
		cmocka_unit_test(test_equal_stamps_keep_order_of_arrival),
		cmocka_unit_test(test_an_error_stops_nothing),
		cmocka_unit_test(test_waits),
		cmocka_unit_test(test_free_with_items),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
