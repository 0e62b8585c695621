/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export/sched_text, sched_text_who and columns: what is on the screen, that it fits there, and
 * that no name leaves it.
 */
#include "fixed_sched_report.h"
#include "export/columns.h"
#include "export/printable.h"

static struct buf view(const struct sched_report *r, size_t width, bool color)
{
	struct sched_view v = { .width = width, .color = color };
	struct buf out = BUF_INIT;

	assert_int_equal(sched_text__view(r, &v, &out), 0);
	return out;
}

/* No line wider than 'width', none with a blank at its end, no byte that moves the cursor. */
static void assert_fits(const struct buf *out, size_t width)
{
	const char *line = out->data, *end;

	for (; *line; line = end + 1) {
		end = strchr(line, '\n');
		assert_non_null(end);
		if (printable__width(line, (size_t)(end - line)) > width)
			fail_msg("too wide: %.*s", (int)(end - line), line);
		assert_true(end == line || end[-1] != ' ');
		for (; line < end; line++)
			assert_true((unsigned char)*line >= ' ');
	}
}

static void test_golden(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_sched();
	_cleanup_buf_ struct buf out = view(p->sched, 0, false);

	assert_golden("sched_view.txt", &out);
	assert_fits(&out, 80);
}

static void test_golden_by_cgroup(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_sched_by(SCHED_BY_CGROUP);
	_cleanup_buf_ struct buf out = view(p->sched, 100, true);

	assert_golden("sched_view_by_color.txt", &out);
}

static void test_narrow_and_wide(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_sched_by(SCHED_BY_CGROUP);
	static const size_t widths[] = { 1, 79, 80, 81, 99, 132, 200, 100000 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(widths); i++) {
		_cleanup_buf_ struct buf out = view(p->sched, widths[i], false);

		assert_fits(&out, widths[i] < 80 ? 80 : widths[i] > 200 ? 200 : widths[i]);
	}
}

static void test_no_waits(void **state)
{
	struct sched_report r = { .duration_ns = 2500000000LL };
	_cleanup_buf_ struct buf out = view(&r, 0, false);

	assert_string_equal(out.data, "Scheduler latency: no thread waited for a CPU in 2.50s\n");
}

/* Everything at its largest: nothing overflows, lines still fit as far as names go. */
static void test_extremes(void **state)
{
	_cleanup_(sched_report__freep) struct sched_report *r = calloc(1, sizeof(*r));
	_cleanup_buf_ struct buf out = BUF_INIT;
	size_t i, k;

	for (i = 0; i < SCHED_HISTOGRAMS; i++) {
		for (k = 0; k < LATENCY_SLOTS; k++)
			r->histograms[i].slots[k] = 1;
		r->histograms[i].cnt = LATENCY_SLOTS;
		r->histograms[i].sum_ns = r->histograms[i].max_ns = 200000000000ULL;
	}
	for (i = 0; i < SCHED_NOTES; i++)
		r->notes[i] = 1234567;
	r->unaccounted_ns = 999499;
	out = view(r, 0, false);
	assert_fits(&out, 80);
	assert_non_null(strstr(out.data, "       more"));
	assert_non_null(strstr(
		out.data, "note: 1,234,567 waits that run_delay omits are in no sum (999us)\n"));
	buf__done(&out);
	for (i = 0; i < SCHED_HISTOGRAMS; i++)
		r->histograms[i].sum_ns = r->histograms[i].max_ns = UINT64_MAX;
	r->time_ns = INT64_MIN;
	r->duration_ns = INT64_MAX;
	out = view(r, 0, false);
}

/* Woken and switched to at once: neither a cause nor a culprit is unknown of that. */
static void test_waits_of_no_length(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_sched();
	struct sched_report *r = p->sched;
	_cleanup_buf_ struct buf out = BUF_INIT;
	char line[128];

	observe(&r->histograms[SCHED_LATENCY], 0, 7000);
	observe(&r->histograms[SCHED_RUNNABLE], 0, 7000);
	r->cause_waits[SCHED_CAUSE_UNKNOWN] += 7000;
	r->unknown_waits += 7000;
	out = view(r, 0, false);
	assert_fits(&out, 80);
	assert_non_null(strstr(out.data, "\n(no wait)         7,000       0      0%          0"));
	snprintf(line, sizeof(line), "\n%-51s%12s       0      0%%\n", "(no wait)", "7,000");
	assert_non_null(strstr(out.data, line));
	snprintf(line, sizeof(line), "\n%-51s%12s  40.5ms", "(unknown)", "9");
	assert_non_null(strstr(out.data, line));
	assert_null(strstr(out.data, "\nunknown"));
	buf__done(&out);
	/* one more of which it is not known */
	observe(&r->histograms[SCHED_LATENCY], 500, 1);
	r->cause_waits[SCHED_CAUSE_UNKNOWN]++;
	r->cause_ns[SCHED_RUNNABLE][SCHED_CAUSE_UNKNOWN] = 500;
	out = view(r, 0, false);
	assert_non_null(strstr(out.data, "\nunknown               1   500ns   <0.1%"));
}

static size_t count_text(const char *text, const char *what)
{
	size_t cnt = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		cnt++;
	return cnt;
}

/* However wide the waits spread: at most 20 rows, each wait in one of them. */
static void test_histogram_rows(void **state)
{
	size_t low, high, rows;
	char *at;

	for (low = 0; low < LATENCY_SLOTS; low += 23) {
		for (high = low; high < LATENCY_SLOTS; high += 17) {
			struct sched_report r = { .histograms[SCHED_LATENCY] = { .cnt = 4 } };
			_cleanup_buf_ struct buf out = BUF_INIT;

			r.histograms[SCHED_LATENCY].slots[low] += 1;
			r.histograms[SCHED_LATENCY].slots[high] += 3;
			out = view(&r, 0, false);
			at = strstr(out.data, "latency up to");
			assert_non_null(at);
			*strstr(at, "\n\n") = '\0';
			rows = count_text(at, "\n");
			assert_in_range(rows, 1, 20);
			if (strstr(at, "75.0%")) {
				assert_int_equal(count_text(at, "75.0%"), 1);
				assert_int_equal(count_text(at, "25.0%   25.0%  ####"), 1);
			} else {
				assert_int_equal(count_text(at, "100%    100%  ####"), 1);
			}
		}
	}
}

static void assert_rows(const uint64_t *waits_ns, size_t cnt, size_t rows, const char *first,
			const char *last)
{
	struct sched_report r = { .duration_ns = 0 };
	_cleanup_buf_ struct buf out = BUF_INIT;
	size_t i;
	char *at;

	for (i = 0; i < cnt; i++)
		observe(&r.histograms[SCHED_LATENCY], waits_ns[i], 1);
	out = view(&r, 0, false);
	at = strstr(out.data, "latency up to");
	*strstr(at, "\n\n") = '\0';
	assert_int_equal(count_text(at, "\n"), rows);
	at = strchr(at, '\n') + 1;
	assert_int_equal(strncmp(at + strspn(at, " "), first, strlen(first)), 0);
	at = strrchr(at, '\n') ? strrchr(at, '\n') + 1 : at;
	assert_int_equal(strncmp(at + strspn(at, " "), last, strlen(last)), 0);
}

/* What is below a microsecond is one row, unless there is nothing else; what is alike is finer. */
static void test_histogram_detail(void **state)
{
	assert_rows((const uint64_t[]){ 0, 1, 400000000 }, 3, 20, "953ns", "500ms");
	assert_rows((const uint64_t[]){ 0, 4000000000 }, 2, 20, "7.63us", "4.00s");
	assert_rows((const uint64_t[]){ 0, 100 }, 2, 14, "1ns", "119ns");
	assert_rows((const uint64_t[]){ 900, 30000 }, 2, 11, "953ns", "30.5us");
	assert_rows((const uint64_t[]){ 100000 }, 1, 1, "103us", "103us");
	assert_rows((const uint64_t[]){ 1, 200000000000 }, 2, 20, "488us", "more");
}

/* More pairs and groups than are shown: the rest is summed. */
static void test_others(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_sched_by(SCHED_BY_COMM);
	struct sched_report *r = p->sched;
	_cleanup_buf_ struct buf out = BUF_INIT;
	char name[32];
	size_t i;

	for (i = 0; i < 9; i++) {
		snprintf(name, sizeof(name), "many%zu", i);
		add_cell(r, name, name, 100, 1);
		observe(&add_group(r, name)->histograms[SCHED_LATENCY], 1000, 2);
	}
	assert_int_equal(sched_report__finish(r), 0);
	out = view(r, 0, false);
	assert_fits(&out, 80);
	assert_non_null(strstr(out.data, "\n(2 other groups)"));
	assert_non_null(strstr(out.data, "           4  4.00us"));
	assert_non_null(strstr(out.data, "\n(4 other pairs)"));
	assert_non_null(strstr(out.data, "           4   400ns"));
}

static void test_durations(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 1, "1ns" },
		{ 999, "999ns" },
		{ 1000, "1.00us" },
		{ 9994, "9.99us" },
		{ 9996, "10.0us" },
		{ 99949, "99.9us" },
		{ 99951, "100us" },
		{ 999499, "999us" },
		{ 999500, "1.00ms" },
		{ 48123456, "48.1ms" },
		{ 999600000, "1.00s" },
		{ 120000000000, "120s" },
		{ UINT64_MAX, "18446744074s" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT;

		columns__duration(&out, cases[i].ns);
		assert_string_equal(out.data, cases[i].text);
	}
}

static void test_counts_and_percents(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT;

	columns__put_count(&out, 4, 0);
	columns__put_count(&out, 4, 999);
	columns__put_count(&out, 7, 1000);
	columns__put_count(&out, 2, UINT64_MAX);
	assert_string_equal(out.data, "   0 999  1,00018,446,744,073,709,551,615");
	buf__clear(&out);
	columns__put_percent(&out, 6, 0, 0);
	columns__put_percent(&out, 6, 0, 5);
	columns__put_percent(&out, 6, 5, 5);
	columns__put_percent(&out, 6, 1, 3);
	columns__put_percent(&out, 6, 1, 10000);
	columns__put_percent(&out, 7, 99999, 100000);
	columns__put_percent(&out, 6, UINT64_MAX / 2, UINT64_MAX);
	assert_string_equal(out.data, "    0%    0%  100% 33.3% <0.1% 100.0% 50.0%");
}

static void test_names(void **state)
{
	static const struct {
		const char *name;
		size_t width;
		enum columns_cut cut;
		const char *text;
	} cases[] = {
		{ "nginx", 8, COLUMNS_KEEP_HEAD, "nginx   " },
		{ "nginx", 5, COLUMNS_KEEP_HEAD, "nginx" },
		{ "nginx-worker", 8, COLUMNS_KEEP_HEAD, "nginx-.." },
		{ "/a/b/nginx.service", 10, COLUMNS_KEEP_TAIL, "...service" },
		{ "caf\xc3\xa9s", 5, COLUMNS_KEEP_HEAD, "caf\xc3\xa9s" },
		{ "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 4, COLUMNS_KEEP_HEAD,
		  "\xc3\xa9\xc3\xa9.." },
		{ "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 4, COLUMNS_KEEP_TAIL,
		  "..\xc3\xa9\xc3\xa9" },
		{ "\x1b[2J", 8, COLUMNS_KEEP_HEAD, "\\x1b[2J " },
		{ "toolong", 2, COLUMNS_KEEP_HEAD, ".." },
		{ "toolong", 1, COLUMNS_KEEP_TAIL, "." },
		{ "", 2, COLUMNS_KEEP_TAIL, "  " },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT;

		columns__put_name(&out, cases[i].width, cases[i].name, cases[i].cut);
		assert_string_equal(out.data, cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_golden_by_cgroup),
		cmocka_unit_test(test_narrow_and_wide),
		cmocka_unit_test(test_no_waits),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_waits_of_no_length),
		cmocka_unit_test(test_histogram_rows),
		cmocka_unit_test(test_histogram_detail),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_counts_and_percents),
		cmocka_unit_test(test_names),
	};

	setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
