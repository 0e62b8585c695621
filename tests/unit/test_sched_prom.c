/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export/sched_prom: the exact bytes, that buckets are what they say, and that promtool (of
 * Debian's prometheus) has nothing to say about any of it.
 */
#include "fixed_sched_report.h"
#include <fcntl.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct buf encode_prom(const struct profile *p)
{
	struct buf out = BUF_INIT;

	assert_int_equal(sched_prom__encode(p, &out), 0);
	assert_int_equal(out.data[out.len - 1], '\n');
	return out;
}

/* The number behind this very series; fails when there is none, or two. */
static double value_of(const struct buf *text, const char *series)
{
	const char *at = text->data, *found = NULL;
	size_t len = strlen(series);

	for (; at && *at; at = strchr(at, '\n'), at += !!at) {
		if (strncmp(at, series, len) || at[len] != ' ')
			continue;
		assert_null(found);
		found = at + len;
	}
	if (!found)
		fail_msg("no series %s in:\n%s", series, text->data);
	return strtod(found, NULL);
}

/* Exit status of `promtool check metrics` with 'text' on its standard input; -1: not installed. */
static int run_promtool(const struct buf *text, char *ret_output, size_t output_bytes)
{
	int in = memfd_create("metrics", MFD_CLOEXEC), out = memfd_create("output", MFD_CLOEXEC);
	ssize_t len;
	int status;
	pid_t pid;

	assert_true(in >= 0 && out >= 0);
	assert_int_equal(write(in, text->data, text->len), text->len);
	assert_int_equal(lseek(in, 0, SEEK_SET), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(in, STDIN_FILENO);
		dup2(out, STDOUT_FILENO);
		dup2(out, STDERR_FILENO);
		execlp("promtool", "promtool", "check", "metrics", (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	len = pread(out, ret_output, output_bytes - 1, 0);
	ret_output[len > 0 ? len : 0] = '\0';
	close(in);
	close(out);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status) == 127 ? -1 : WEXITSTATUS(status);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Prometheus refuses a file in which a series is there twice; promtool does not look. */
static void assert_each_once(const struct buf *text)
{
	_cleanup_free_ char *copy = strdup(text->data);
	char *lines[20000], *line, *rest = copy;
	size_t cnt = 0, i;

	while ((line = strsep(&rest, "\n"))) {
		if (*line == '#' || !*line)
			continue;
		assert_true(cnt < ARRAY_SIZE(lines));
		/* Values hold no space; what is before the last one is the series. */
		*strrchr(line, ' ') = '\0';
		lines[cnt++] = line;
	}
	assert_true(cnt > 0);
	qsort(lines, cnt, sizeof(*lines), compare_lines);
	for (i = 1; i < cnt; i++)
		assert_string_not_equal(lines[i - 1], lines[i]);
}

static void assert_accepted(const struct buf *text)
{
	char output[4096];
	int status;

	assert_each_once(text);
	status = run_promtool(text, output, sizeof(output));
	if (status == -1) {
		print_message("skipped: no promtool; install the Debian package prometheus\n");
		skip();
	}
	if (status || *output)
		fail_msg("promtool: status %d: %s\n%s", status, output, text->data);
}

static void test_golden(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_sched();
	_cleanup_buf_ struct buf out = encode_prom(p);

	assert_golden("sched.prom", &out);
}

static void test_accepted(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_sched_by(SCHED_BY_CGROUP);
	_cleanup_buf_ struct buf by = encode_prom(p), plain = BUF_INIT, untagged = BUF_INIT;
	char output[4096];

	p->sched->by = SCHED_BY_NOTHING;
	plain = encode_prom(p);
	free(p->sched->tags[0]);
	p->sched->tags_cnt = 0;
	untagged = encode_prom(p);
	assert_accepted(&by);
	assert_accepted(&plain);
	assert_accepted(&untagged);
	/* And it would say so. */
	buf__puts(&untagged, "wait_ms 1\n");
	assert_int_not_equal(run_promtool(&untagged, output, sizeof(output)), 0);
}

/* Each le of each series: a power of two seconds that holds what is not longer, exactly. */
static void test_buckets(void **state)
{
	struct sched_report *r = calloc(1, sizeof(*r));
	_cleanup_(profile__freep) struct profile *p = fixed_sched_profile(r);
	static const char prefix[] = "cprofd_sched_wait_seconds_bucket{le=\"";
	_cleanup_buf_ struct buf out = BUF_INIT;
	uint64_t ns, want, observed[4000];
	size_t observed_cnt = 0, i, buckets = 0;
	const char *at;
	char *end;
	int exponent;
	double le;

	/* Around each bound, to both sides of it. */
	for (i = 0; i < LATENCY_BOUNDS; i++)
		for (ns = latency_bounds_ns[i] - 1; ns <= latency_bounds_ns[i] + 1; ns++)
			observed[observed_cnt++] = ns;
	for (i = 0; i < observed_cnt; i++)
		observe(&r->histograms[SCHED_LATENCY], observed[i], 1);
	out = encode_prom(p);
	for (at = strstr(out.data, prefix); at; at = strstr(at, prefix)) {
		at += strlen(prefix);
		le = strtod(at, &end);
		assert_int_equal(strncmp(end, "\"} ", 3), 0);
		if (isinf(le)) {
			assert_int_equal(strtoull(end + 3, NULL, 10), observed_cnt);
			continue;
		}
		assert_true(frexp(le, &exponent) == 0.5);
		assert_int_equal(exponent - 1, -20 + (int)buckets);
		buckets++;
		for (want = 0, i = 0; i < observed_cnt; i++)
			want += (long double)observed[i] <= (long double)le * 1e9L;
		assert_int_equal(strtoull(end + 3, NULL, 10), want);
	}
	assert_int_equal(buckets, 26);
}

static void test_values(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_sched();
	_cleanup_buf_ struct buf out = BUF_INIT;

	free(p->sched->tags[0]);
	p->sched->tags_cnt = 0;
	out = encode_prom(p);
	assert_true(value_of(&out, "cprofd_sched_wait_seconds_count") == 9000);
	assert_true(value_of(&out, "cprofd_sched_wait_seconds_sum") == 0.354423456);
	assert_true(value_of(&out, "cprofd_sched_latency_seconds_sum{reason=\"preempted\"}") ==
		    0.2295);
	assert_true(value_of(&out, "cprofd_sched_latency_seconds_sum{reason=\"delayed\"}") ==
		    0.0795);
	assert_true(value_of(&out, "cprofd_sched_latency_seconds_sum{reason=\"runnable\"}") ==
		    0.045423456);
	assert_true(value_of(&out, "cprofd_sched_latency_seconds_count{reason=\"delayed\"}") == 91);
	assert_true(value_of(&out, "cprofd_sched_cause_seconds_total{reason=\"delayed\","
				   "cause=\"rt\"}") == 0.0795);
	assert_true(value_of(&out, "cprofd_sched_cause_waits_total{cause=\"rt\"}") == 91);
	assert_true(value_of(&out, "cprofd_sched_unaccounted_seconds_total") == 0.000034567);
	assert_true(value_of(&out, "cprofd_sched_notes_total{note=\"unaccounted\"}") == 12);
	assert_true(value_of(&out, "cprofd_sched_wait_max_seconds") == 0.048123456);
	assert_true(value_of(&out, "cprofd_sched_window_seconds") == 10);
}

static void test_groups(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_sched_by(SCHED_BY_CGROUP);
	_cleanup_buf_ struct buf out = BUF_INIT;
	double sum;

	free(p->sched->tags[0]);
	p->sched->tags_cnt = 0;
	out = encode_prom(p);
	sum = value_of(&out,
		       "cprofd_sched_wait_seconds_count{cgroup=\"/user.slice/a b\\\\x2dc\"}") +
	      value_of(&out, "cprofd_sched_wait_seconds_count{cgroup=\"/system.slice/"
			     "nginx.service\"}") +
	      value_of(&out, "cprofd_sched_wait_seconds_count{cgroup=\"/system.slice/"
			     "e =\\\\x1b[1m\\\"\\\\\\\\x0a\\\\xff\"}");
	assert_true(sum == 9000);
	/* No series beside those of groups: a sum over all of them counts once. */
	assert_null(strstr(out.data, "cprofd_sched_wait_seconds_count "));
}

/* Names that only look different before they are shown. */
static void test_equal_looking_groups(void **state)
{
	struct sched_report *r = calloc(1, sizeof(*r));
	_cleanup_(profile__freep) struct profile *p = fixed_sched_profile(r);
	_cleanup_buf_ struct buf out = BUF_INIT;

	r->by = SCHED_BY_COMM;
	observe(&add_group(r, "a\x01")->histograms[SCHED_LATENCY], 10, 1);
	observe(&add_group(r, "a\\x01")->histograms[SCHED_LATENCY], 10, 2);
	observe(&add_group(r, "a\\x01_2")->histograms[SCHED_LATENCY], 10, 3);
	assert_int_equal(sched_report__finish(r), 0);
	out = encode_prom(p);
	assert_accepted(&out);
	assert_true(value_of(&out, "cprofd_sched_wait_seconds_count{comm=\"a\\\\x01_2\"}") == 3);
}

static void test_tags(void **state)
{
	static const char *const tags[] = {
		"env=prod", "le=1",       "reason=why", "cause=c", "note=n",
		"comm=c",   "__name__=x", "a-b=1",      "a.b=2",   "a_b_2=3",
		"1st=x",    "=empty",     "bare",       "",        "caf\xc3\xa9=\xc3\xa9\xff\"\\\n",
		"a=b=c",    "env=again",  "tag_le=2",
	};
	struct sched_report *r = calloc(1, sizeof(*r));
	_cleanup_(profile__freep) struct profile *p = fixed_sched_profile(r);
	_cleanup_buf_ struct buf out = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tags); i++)
		add_tag(r, tags[i]);
	r->by = SCHED_BY_COMM;
	observe(&add_group(r, "x")->histograms[SCHED_LATENCY], 10, 1);
	out = encode_prom(p);
	assert_non_null(strstr(
		out.data,
		"cprofd_sched_wait_seconds_count{comm=\"x\",env=\"prod\",tag_le=\"1\","
		"tag_reason=\"why\",tag_cause=\"c\",tag_note=\"n\",tag_comm=\"c\","
		"tag___name__=\"x\",a_b=\"1\",a_b_2=\"2\",a_b_2_2=\"3\",tag_1st=\"x\","
		"tag_=\"empty\",bare=\"\",tag__2=\"\",caf__=\"\xc3\xa9\\\\xff\\\"\\\\\\\\x0a\","
		"a=\"b=c\",env_2=\"again\",tag_le_2=\"2\"} 1\n"));
	assert_accepted(&out);
}

/* No waits, and as many as there can be. */
static void test_extremes(void **state)
{
	struct sched_report *r = calloc(1, sizeof(*r));
	_cleanup_(profile__freep) struct profile *p = fixed_sched_profile(r);
	_cleanup_buf_ struct buf empty = encode_prom(p), full = BUF_INIT, none = BUF_INIT;

	assert_true(value_of(&empty, "cprofd_sched_wait_seconds_count") == 0);
	assert_true(value_of(&empty, "cprofd_sched_wait_seconds_sum") == 0);
	assert_accepted(&empty);
	observe(&r->histograms[SCHED_LATENCY], 1, 1);
	observe(&r->histograms[SCHED_LATENCY], UINT64_MAX - 1, 1);
	full = encode_prom(p);
	assert_non_null(strstr(full.data, "cprofd_sched_wait_seconds_sum 18446744073.709551615\n"));
	assert_true(value_of(&full, "cprofd_sched_wait_seconds_bucket{le=\"32\"}") == 1);
	assert_true(value_of(&full, "cprofd_sched_wait_seconds_bucket{le=\"+Inf\"}") == 2);
	assert_accepted(&full);
	r->by = SCHED_BY_PID; /* and nobody waited */
	none = encode_prom(p);
	assert_accepted(&none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),  cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_buckets), cmocka_unit_test(test_values),
		cmocka_unit_test(test_groups),  cmocka_unit_test(test_equal_looking_groups),
		cmocka_unit_test(test_tags),    cmocka_unit_test(test_extremes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
