/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export/sched_json: the exact bytes, and that a parser reads them back with the report's sums.
 */
#include "fixed_sched_report.h"
#include <jansson.h>

static json_t *encode_and_parse(const struct profile *p)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	json_error_t error;
	json_t *root;

	assert_int_equal(sched_json__encode(p, &out), 0);
	root = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, &error);
	if (!root)
		fail_msg("line %d: %s", error.line, error.text);
	return root;
}

/* "a.b.c" or "list.0.c" */
static json_t *get(json_t *value, const char *path)
{
	char key[64];
	size_t len;

	for (; *path; path += len + (path[len] == '.')) {
		len = strcspn(path, ".");
		snprintf(key, sizeof(key), "%.*s", (int)len, path);
		value = json_is_array(value) ? json_array_get(value, strtoul(key, NULL, 10))
					     : json_object_get(value, key);
	}
	assert_non_null(value);
	return value;
}

static uint64_t get_u64(json_t *root, const char *path)
{
	assert_true(json_is_integer(get(root, path)));
	return (uint64_t)json_integer_value(get(root, path));
}

static const char *get_text(json_t *root, const char *path)
{
	assert_true(json_is_string(get(root, path)));
	return json_string_value(get(root, path));
}

static uint64_t sum_of(json_t *array, const char *key)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < json_array_size(array); i++)
		sum += get_u64(json_array_get(array, i), key);
	return sum;
}

static void test_golden(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_sched();
	_cleanup_buf_ struct buf out = BUF_INIT;

	assert_int_equal(sched_json__encode(p, &out), 0);
	assert_golden("sched.json", &out);
}

static void test_sums(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_sched();
	const struct sched_histogram *h = p->sched->histograms;
	json_t *root = encode_and_parse(p), *threads = get(root, "threads");

	assert_int_equal(get_u64(root, "duration_ns"), 10000000000);
	assert_int_equal(get_u64(root, "totals.waits"), 9000);
	assert_int_equal(get_u64(root, "totals.latency_ns"), h[SCHED_LATENCY].sum_ns);
	assert_int_equal(get_u64(root, "totals.latency_ns"),
			 get_u64(root, "totals.preempted_ns") + get_u64(root, "totals.delayed_ns") +
				 get_u64(root, "totals.runnable_ns"));
	assert_int_equal(sum_of(threads, "waits"), 9000);
	assert_int_equal(sum_of(threads, "preempted_ns"), h[SCHED_PREEMPTED].sum_ns);
	assert_int_equal(sum_of(threads, "delayed_ns"), h[SCHED_DELAYED].sum_ns);
	assert_int_equal(sum_of(threads, "runnable_ns"), h[SCHED_RUNNABLE].sum_ns);
	assert_int_equal(sum_of(get(root, "histograms.latency.buckets"), "cnt"), 9000);
	assert_int_equal(sum_of(get(root, "matrix.cells"), "ns") +
				 get_u64(root, "matrix.unknown.ns"),
			 get_u64(root, "matrix.total.ns"));
	assert_int_equal(get_u64(root, "matrix.total.waits"), 9000);
	assert_int_equal(get_u64(root, "causes.delayed.rt"), h[SCHED_DELAYED].sum_ns);
	assert_int_equal(get_u64(root, "causes.waits.rt"), 91);
	assert_int_equal(get_u64(root, "histograms.latency.max_ns"), 48123456);
	assert_int_equal(
		get_u64(json_object_get(get(root, "histograms.latency"), "quantiles_ns"), "p50"),
		sched_histogram__quantile(&h[SCHED_LATENCY], 0.5));
	json_decref(root);
}

static void test_rows(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_sched();
	json_t *root = encode_and_parse(p);

	assert_int_equal(get_u64(root, "threads.0.pid"), 200);
	assert_int_equal(get_u64(root, "threads.0.tid"), 201);
	assert_string_equal(get_text(root, "threads.0.thread"), "mysqld");
	assert_int_equal(get_u64(root, "worst.0.wait_ns"), 48123456);
	assert_int_equal(get_u64(root, "worst.0.delayed_ns"), 48000000);
	assert_string_equal(get_text(root, "worst.0.reason"), "delayed");
	assert_string_equal(get_text(root, "worst.0.cause"), "rt");
	assert_int_equal(get_u64(root, "worst.0.cpu"), 3);
	assert_string_equal(get_text(root, "worst.0.victim.cgroup"), "/system.slice/nginx.service");
	assert_string_equal(get_text(root, "worst.0.culprit.thread"), "migration/0");
	assert_true(json_is_null(get(root, "worst.0.culprit.cgroup")));
	assert_true(json_is_null(get(root, "worst.1.culprit")));
	assert_string_equal(get_text(root, "matrix.by"), "comm");
	assert_string_equal(get_text(root, "matrix.cells.0.culprit"), "mysqld");
	assert_string_equal(get_text(root, "tags.env"), "prod \"eu\"");
	assert_int_equal(get_u64(root, "notes.unaccounted"), 12);
	assert_null(json_object_get(root, "groups"));
	json_decref(root);
}

static void test_groups(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_sched_by(SCHED_BY_CGROUP);
	json_t *root = encode_and_parse(p), *values = get(root, "groups.values");

	assert_string_equal(get_text(root, "groups.by"), "cgroup");
	assert_string_equal(get_text(root, "matrix.by"), "cgroup");
	assert_int_equal(json_array_size(values), 3);
	assert_string_equal(get_text(values, "0.name"), "/user.slice/a b\\x2dc");
	assert_int_equal(get_u64(values, "0.histograms.latency.sum_ns") +
				 get_u64(values, "1.histograms.latency.sum_ns") +
				 get_u64(values, "2.histograms.latency.sum_ns"),
			 get_u64(root, "totals.latency_ns"));
	json_decref(root);
	p->sched->by = SCHED_BY_PID;
	root = encode_and_parse(p);
	assert_string_equal(get_text(root, "groups.by"), "pid");
	assert_string_equal(get_text(root, "matrix.by"), "comm");
	json_decref(root);
}

/* JSON is UTF-8: what is not comes out escaped, and what fills its field ends there. */
static void test_hostile_names(void **state)
{
	struct sched_report *r = fixed_sched_report();
	_cleanup_(profile__freep) struct profile *p = fixed_sched_profile(r);
	json_t *root;

	memset(r->threads[0].thread, 0xff, TASK_COMM_BYTES);
	memset(r->threads[0].comm, 'x', TASK_COMM_BYTES);
	memset(r->worst[0].victim.comm, 'y', TASK_COMM_BYTES);
	add_cell(r, HOSTILE_NAME, "", 1, 1);
	add_tag(r, HOSTILE_NAME "=" HOSTILE_NAME);
	add_tag(r, "no value");
	add_tag(r, "=no key");
	root = encode_and_parse(p);
	assert_string_equal(get_text(root, "threads.0.thread"),
			    "\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff"
			    "\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff");
	assert_string_equal(get_text(root, "threads.0.comm"), "xxxxxxxxxxxxxxxx");
	assert_string_equal(get_text(root, "worst.0.victim.thread"), "yyyyyyyyyyyyyyyy");
	assert_int_equal(json_object_size(get(root, "tags")), 4);
	assert_string_equal(get_text(root, "tags.no value"), "");
	json_decref(root);
}

static void test_extremes(void **state)
{
	struct sched_report *r = calloc(1, sizeof(*r));
	_cleanup_(profile__freep) struct profile *p = fixed_sched_profile(r);
	json_t *root = encode_and_parse(p);

	assert_int_equal(json_array_size(get(root, "threads")), 0);
	assert_int_equal(json_array_size(get(root, "histograms.latency.buckets")), 0);
	json_decref(root);
	observe(&r->histograms[SCHED_LATENCY], 128000000001, 1);
	r->unaccounted_ns = UINT64_MAX;
	root = encode_and_parse(p);
	assert_true(json_is_null(get(root, "histograms.latency.buckets.0.le")));
	assert_int_equal(get_u64(root, "unaccounted_ns"), INT64_MAX);
	json_decref(root);
}

/* 100,000 threads, a line each; the document stays one. */
static void test_many_threads(void **state)
{
	struct sched_report *r = calloc(1, sizeof(*r));
	_cleanup_(profile__freep) struct profile *p = fixed_sched_profile(r);
	struct fixed_wait wait = { 1, 0, 0, 1000, SCHED_CAUSE_FAIR, HOSTILE_COMM, NULL, 1, 1 };
	json_t *root;

	for (wait.tid = 1; wait.tid <= 100000; wait.tid++)
		add_thread(r, &wait);
	root = encode_and_parse(p);
	assert_int_equal(json_array_size(get(root, "threads")), 100000);
	assert_int_equal(sum_of(get(root, "threads"), "runnable_ns"), 100000000);
	assert_int_equal(get_u64(root, "threads.99999.tid"), 100000);
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),        cmocka_unit_test(test_sums),
		cmocka_unit_test(test_rows),          cmocka_unit_test(test_groups),
		cmocka_unit_test(test_hostile_names), cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
