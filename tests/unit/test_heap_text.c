/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export/heap_text: what is on the screen, that it fits there, and that no name leaves it.
 */
#include "fixed_heap_report.h"
#include "export/columns.h"
#include "export/printable.h"

static struct buf view(const struct profile *p, size_t width, bool color)
{
	struct heap_view v = { .width = width, .color = color };
	struct buf out = BUF_INIT;

	assert_int_equal(heap_text__view(p, &v, &out), 0);
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

static size_t count_lines(const struct buf *out)
{
	size_t cnt = 0, i;

	for (i = 0; i < out->len; i++)
		cnt += out->data[i] == '\n';
	return cnt;
}

static void test_golden(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_heap();
	_cleanup_buf_ struct buf out = view(p, 80, false);

	assert_golden("heap_view.txt", &out);
	assert_fits(&out, 80);
}

/* What is not a terminal has no width: it is as one of 120 columns. */
static void test_not_a_terminal(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_heap();
	_cleanup_buf_ struct buf out = view(p, 0, false), same = view(p, 120, false);

	assert_string_equal(out.data, same.data);
}

/* Modules where there is room for them; else the calls have it. */
static void test_modules(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_heap();
	_cleanup_buf_ struct buf narrow = view(p, 119, false), wide = view(p, 120, false);

	assert_null(strstr(narrow.data, "module"));
	assert_non_null(strstr(narrow.data, "  build_index < load < main\n"));
	assert_non_null(strstr(wide.data, "  module"));
	assert_non_null(strstr(wide.data, "server       build_index < load < main\n"));
}

/* No sample, no interval: 0 would claim to know. */
static void test_without_samples(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_heap();
	_cleanup_buf_ struct buf out = BUF_INIT;

	p->heap->inuse = amount(0, 0, 0, 0);
	p->heap->sites[0].inuse.samples = 0;
	out = view(p, 80, false);
	assert_non_null(strstr(out.data, "live, part         0 ±       -             0 objects\n"));
	assert_non_null(strstr(out.data, "94.5MB  <0.1%       -    118,000        0  build_index"));
	assert_non_null(strstr(out.data, "13.6MB    120,000 9.60MB/s  build_index"));
}

static void test_golden_wide_color(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_heap();
	_cleanup_buf_ struct buf out = view(p, 120, true);

	assert_golden("heap_view_color.txt", &out);
}

static void test_golden_file(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_heap();
	_cleanup_buf_ struct buf out = BUF_INIT;

	assert_int_equal(heap_text__encode(p, &out), 0);
	assert_golden("heap.txt", &out);
	assert_fits(&out, 200);
}

static void test_golden_alloc(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_heap();
	_cleanup_buf_ struct buf out = BUF_INIT;

	p->heap->is_live = p->heap->is_partial = false;
	p->heap->alloc_since_ns = p->heap->time_ns + 4200000000LL;
	p->heap->sources = HEAP_SOURCE_UPROBE | HEAP_SOURCE_PRELOAD;
	p->heap->interval_bytes = 0;
	p->heap->cost.on_percent = 12.5;
	p->heap->cost.cpu_percent = -1;
	p->heap->cost.other_hits = 1234567;
	out = view(p, 80, false);
	assert_golden("heap_view_alloc.txt", &out);
	assert_fits(&out, 80);
	assert_null(strstr(out.data, "live"));
}

static void test_narrow_and_wide(void **state)
{
	static const size_t widths[] = { 1, 79, 80, 81, 99, 119, 120, 132, 200, 100000 };
	_cleanup_(profile__freep) struct profile *p = fixed_heap();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(widths); i++) {
		_cleanup_buf_ struct buf out = view(p, widths[i], false);

		assert_fits(&out, widths[i] < 80 ? 80 : widths[i] > 200 ? 200 : widths[i]);
	}
}

/* Nothing was allocated, nothing is known: no empty table, no share of nothing. */
static void test_nothing(void **state)
{
	_cleanup_(profile__freep) struct profile *p =
		fixed_heap_profile(calloc(1, sizeof(struct heap_report)));
	_cleanup_buf_ struct buf out = BUF_INIT;

	p->heap->is_live = true;
	p->heap->cost.on_percent = 100;
	out = view(p, 80, false);
	assert_fits(&out, 80);
	assert_null(strstr(out.data, "function <"));
	assert_null(strstr(out.data, "nan"));
	assert_non_null(strstr(out.data, "live               0 ±       -             0 objects\n"));
}

static void test_without_report(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_profile();
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct heap_view v = { .width = 0 };

	assert_int_equal(heap_text__view(p, &v, &out), -EINVAL);
	assert_int_equal(heap_text__encode(p, &out), -EINVAL);
	assert_int_equal(out.len, 0);
}

static void test_extremes(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_heap();
	struct heap_report_site *s = &p->heap->sites[0];
	_cleanup_buf_ struct buf out = BUF_INIT;
	size_t i;

	s->alloc = s->inuse = amount(1e300, 1e300, 1e300, UINT64_MAX);
	p->heap->alloc = p->heap->inuse = s->alloc;
	p->heap->time_ns = INT64_MIN;
	p->heap->duration_ns = 1;
	p->heap->cost.alloc_hits = p->heap->cost.free_hits = UINT64_MAX;
	p->heap->cost.ns_per_hit = 1e300;
	for (i = 0; i < HEAP_POINTS; i++)
		p->heap->points_ns[i] = UINT64_MAX;
	out = view(p, 0, true);
	assert_non_null(strstr(out.data, "PB"));
}

/* A typical run is one screen; more is cut, in the file it is not. */
static void test_rows(void **state)
{
	static const double constant[] = { 1, 1, 1 };
	_cleanup_(profile__freep) struct profile *p = fixed_heap();
	_cleanup_buf_ struct buf out = BUF_INIT;
	char name[32];
	size_t i;

	for (i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "site_%zu", i);
		add_site(p->heap, name, "server", amount(1, 1000 + (double)i, 1, 1),
			 amount(1, 1000 + (double)i, 1, 1), 0, constant)
			->has_grown = true;
	}
	heap_report__finish(p->heap);
	out = view(p, 0, false);
	assert_in_range(count_lines(&out), 30, 50);
	buf__done(&out);
	out = (struct buf)BUF_INIT;
	assert_int_equal(heap_text__encode(p, &out), 0);
	assert_non_null(strstr(out.data, "  site_0\n"));
	assert_in_range(count_lines(&out), 80, 200);
}

static void test_bytes(void **state)
{
	static const struct {
		double bytes;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 0.4, "0" },
		{ 0.5, "0B" },
		{ 1, "1B" },
		{ 999, "999B" },
		{ 999.6, "0.98kB" },
		{ 1024, "1.00kB" },
		{ 512 * KIB, "512kB" },
		{ 999.4 * KIB, "999kB" },
		{ 999.6 * KIB, "0.98MB" },
		{ 96 * MIB, "96.0MB" },
		{ 1152 * MIB, "1.12GB" },
		{ -5, "0" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT;

		columns__bytes(&out, cases[i].bytes);
		assert_string_equal(out.data, cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_not_a_terminal),
		cmocka_unit_test(test_modules),
		cmocka_unit_test(test_without_samples),
		cmocka_unit_test(test_golden_wide_color),
		cmocka_unit_test(test_golden_file),
		cmocka_unit_test(test_golden_alloc),
		cmocka_unit_test(test_narrow_and_wide),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_without_report),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
