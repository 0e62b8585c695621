/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * profile/top, profile/prune, profile/shown_name: the figures and names pprof shows.
 */
#include "fixed_profile.h"
#include "profile/prune.h"
#include "profile/shown_name.h"

static struct profile *new_profile(void)
{
	struct profile *p = profile__new();

	assert_non_null(p);
	assert_int_equal(profile__add_sample_type(p, "v", "count"), 0);
	return p;
}

static void add(struct profile *p, const uint32_t *stack, uint32_t depth, int64_t value)
{
	assert_int_equal(profile__add(p, stack, depth, NULL, 0, &value), 0);
}

#define ADD(p, value, ...)                                                                         \
	add((p), (uint32_t[]){ __VA_ARGS__ }, sizeof((uint32_t[]){ __VA_ARGS__ }) / 4, (value))

static struct top_table *compute(const struct profile *p, struct top_options opts)
{
	struct top_table *t = NULL;

	assert_int_equal(top__compute(p, &opts, &t), 0);
	return t;
}

static const struct top_entry *entry(const struct top_table *t, const char *name)
{
	size_t i;

	for (i = 0; i < t->entries_cnt; i++)
		if (!strcmp(t->entries[i].name, name))
			return &t->entries[i];
	return NULL;
}

static void assert_entry(const struct top_table *t, const char *name, int64_t flat, int64_t cum)
{
	const struct top_entry *e = entry(t, name);

	if (!e)
		fail_msg("no entry %s", name);
	assert_int_equal(e->flat, flat);
	assert_int_equal(e->cum, cum);
}

static void test_fixed_profile(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_profile();
	_cleanup_(top__freep) struct top_table *t = compute(p, (struct top_options){ 0 });

	assert_int_equal(t->total, 100);
	assert_entry(t, "app::helper(int)", 61, 67);
	assert_entry(t, "app::burn()", 0, 67);
	assert_entry(t, "main", 0, 91);
	assert_entry(t, "do_syscall_64", 20, 20);
	assert_entry(t, "[libc.so.6]", 0, 20);
	assert_entry(t, "[JIT]", 6, 6);
	assert_entry(t, "[lost]", 0, 3);
	assert_entry(t, "[ring_full]", 3, 3);
	assert_entry(t, "[truncated: frame_pointer]", 0, 6);
	assert_int_equal(entry(t, "app::helper(int)")->inlining, TOP_INLINED);
	assert_int_equal(entry(t, "app::burn()")->inlining, TOP_NOT_INLINED);
	assert_string_equal(entry(t, "main")->module, "app");
	assert_string_equal(entry(t, "[libc.so.6]")->module, "libc.so.6");
	assert_string_equal(entry(t, "do_syscall_64")->module, "[kernel.kallsyms]");
	assert_string_equal(entry(t, "[lost]")->module, "");
	assert_string_equal(entry(t, "app::burn()")->file, "/src/app/burn.cpp");
	assert_string_equal(t->entries[0].name, "app::helper(int)");
	assert_int_equal(t->dropped_cnt, 0);
	assert_int_equal(t->kept_cnt, t->entries_cnt);
}

/* A function that calls itself counts once per sample. */
static void test_recursion(void **state)
{
	_cleanup_(profile__freep) struct profile *p = new_profile();
	uint32_t m = add_mapping(p, (struct profile_mapping){ .limit = 0x1000 }, "/x", "");
	uint32_t fib1 = add_code(p, m, 1, "fib"), fib2 = add_code(p, m, 2, "fib");
	uint32_t main_ = add_code(p, m, 3, "main"), leaf = add_code(p, m, 4, "leaf");
	struct top_table *t;

	ADD(p, 5, fib1, fib2, fib2, fib1, main_);
	ADD(p, 7, leaf, fib2, main_, fib1, main_);
	t = compute(p, (struct top_options){ .order = TOP_BY_CUM });
	assert_entry(t, "fib", 5, 12);
	assert_entry(t, "main", 0, 12);
	assert_entry(t, "leaf", 7, 7);
	assert_string_equal(t->entries[0].name, "fib"); /* a tie: by name */
	assert_string_equal(t->entries[1].name, "main");
	top__free(t);
}

static void test_order_and_rows(void **state)
{
	_cleanup_(profile__freep) struct profile *p = new_profile();
	uint32_t a = add_code(p, 0, 1, "a"), b = add_code(p, 0, 2, "b"), c = add_code(p, 0, 3, "c");
	struct top_table *t;

	ADD(p, 10, a);
	ADD(p, -30, b);
	ADD(p, 10, c, a);
	t = compute(p, (struct top_options){ 0 });
	assert_int_equal(t->total, 50);
	assert_string_equal(t->entries[0].name, "b"); /* by magnitude */
	assert_string_equal(t->entries[1].name, "a");
	assert_string_equal(t->entries[2].name, "c");
	top__free(t);
	t = compute(p, (struct top_options){ .order = TOP_BY_CUM, .rows_max = 2 });
	assert_int_equal(t->entries_cnt, 2);
	assert_int_equal(t->kept_cnt, 3);
	assert_int_equal(t->entries[0].cum, -30);
	assert_int_equal(t->entries[1].cum, 20);
	top__free(t);
}

/* 0.5 % of 1000 is 5: what has less is dropped, what has as much stays. */
static void test_small_nodes_are_dropped(void **state)
{
	_cleanup_(profile__freep) struct profile *p = new_profile();
	struct top_table *t;

	ADD(p, 986, add_code(p, 0, 1, "big"));
	ADD(p, 5, add_code(p, 0, 2, "five"));
	ADD(p, 4, add_code(p, 0, 3, "four"));
	ADD(p, 5, add_code(p, 0, 4, "leaf of four"), add_code(p, 0, 5, "root"));
	t = compute(p, (struct top_options){ .node_fraction = TOP_NODE_FRACTION });
	assert_int_equal(t->entries_cnt, 4);
	assert_int_equal(t->dropped_cnt, 1);
	assert_null(entry(t, "four"));
	assert_int_equal(t->total, 1000);
	top__free(t);
	t = compute(p, (struct top_options){ 0 });
	assert_int_equal(t->entries_cnt, 5);
	assert_int_equal(t->dropped_cnt, 0);
	top__free(t);
}

static void test_partly_inlined(void **state)
{
	_cleanup_(profile__freep) struct profile *p = new_profile();
	uint32_t both = add_location(p, 0, 1), alone = add_code(p, 0, 2, "inl");
	uint32_t root = add_code(p, 0, 3, "root");
	struct profile_line lines[2] = { 0 };
	struct top_table *t;

	lines[0].function = add_function(p, "inl", "inl", "");
	lines[1].function = add_function(p, "outer", "outer", "");
	assert_int_equal(profile__set_lines(p, both, lines, 2), 0);
	ADD(p, 50, both, root);
	t = compute(p, (struct top_options){ 0 });
	assert_int_equal(entry(t, "inl")->inlining, TOP_INLINED);
	top__free(t);
	ADD(p, 50, alone, root);
	t = compute(p, (struct top_options){ 0 });
	assert_int_equal(entry(t, "inl")->inlining, TOP_PARTLY_INLINED);
	top__free(t);
	/* With nothing shown that calls it, nothing can be said. */
	t = compute(p, (struct top_options){ .rows_max = 1 });
	assert_string_equal(t->entries[0].name, "inl");
	assert_int_equal(t->entries[0].inlining, TOP_NOT_INLINED);
	top__free(t);
}

static void test_nameless_code(void **state)
{
	_cleanup_(profile__freep) struct profile *p = new_profile();
	uint32_t one = add_mapping(p, (struct profile_mapping){ .limit = 9 }, "/a/lib.so", "1");
	uint32_t two = add_mapping(p, (struct profile_mapping){ .limit = 9 }, "/b/lib.so", "2");
	uint32_t dir = add_mapping(p, (struct profile_mapping){ .limit = 9 }, "/opt/x/", "3");
	uint32_t none = add_mapping(p, (struct profile_mapping){ .limit = 9 }, "", "4");
	uint32_t vdso = add_mapping(p, (struct profile_mapping){ .limit = 9 }, "[vdso]", "5");
	struct top_table *t;

	ADD(p, 1, add_location(p, one, 1));
	ADD(p, 2, add_location(p, one, 2));
	ADD(p, 4, add_location(p, two, 1));
	ADD(p, 8, add_location(p, 0, 1));
	ADD(p, 16, add_location(p, none, 1));
	ADD(p, 32, add_location(p, dir, 1));
	ADD(p, 64, add_location(p, vdso, 1));
	ADD(p, 128, add_code(p, two, 2, ""));
	t = compute(p, (struct top_options){ 0 });
	assert_int_equal(t->entries_cnt, 5);
	assert_string_equal(t->entries[0].name, "[lib.so]"); /* two: 4 + 128 */
	assert_int_equal(t->entries[0].flat, 132);
	assert_string_equal(t->entries[1].name, "[vdso]");
	assert_string_equal(t->entries[2].name, "[x]");
	assert_string_equal(t->entries[3].name, "<unknown>");
	assert_int_equal(t->entries[3].flat, 24);
	assert_string_equal(t->entries[4].name, "[lib.so]");
	assert_int_equal(t->entries[4].flat, 3);
	top__free(t);
}

static void test_basename(void **state)
{
	static const struct {
		const char *path, *base;
	} cases[] = { { "", "." },   { "/", "/" },           { "///", "/" },
		      { "a", "a" },  { "/a/b", "b" },        { "/a/b//", "b" },
		      { "a/", "a" }, { "[vdso]", "[vdso]" }, { "//anon", "anon" } };
	size_t i, len;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *base = top__basename(cases[i].path, &len);

		assert_int_equal(len, strlen(cases[i].base));
		assert_memory_equal(base, cases[i].base, len);
	}
}

/* Names equal to system_name go through pprof's idea of C++. */
static void test_shown_names(void **state)
{
	static const struct {
		const char *name, *system_name, *shown;
	} cases[] = {
		{ "main.(*T).f", "main.(*T).f", "main.(*T).f" },
		{ "main.apply[...]", "main.apply[...]", "main.apply[...]" },
		{ "main.(*list[...]).push", "main.(*list[...]).push", "main.(*list[...]).push" },
		{ "a::b(int, c<d>)", "a::b(int, c<d>)", "a::b" },
		{ "a::b(int)", "_Z1b", "a::b(int)" },
		{ "vector<int, a<b>>::at(x)", "vector<int, a<b>>::at(x)", "vector::at" },
		{ "", "raw::name(x)", "raw::name" },
		{ "a::b)(", "a::b)(", "a::b)(" },
		{ "a::b(c", "a::b(c", "a::b(c" },
		{ "Foo.<init>", "Foo.<init>", "Foo.<init>" },
		{ "[lost]", "", "[lost]" },
		{ "", "", "" },
	};
	_cleanup_(profile__freep) struct profile *p = new_profile();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t id = add_function(p, cases[i].name, cases[i].system_name, "");
		_cleanup_free_ char *owned = NULL;

		assert_string_equal(shown_name__get(p, &p->functions[id - 1], &owned),
				    cases[i].shown);
	}
}

/* Two names that are shown alike are one entry. */
static void test_shown_names_are_merged(void **state)
{
	_cleanup_(profile__freep) struct profile *p = new_profile();
	_cleanup_(top__freep) struct top_table *t = NULL;

	ADD(p, 1, add_code(p, 0, 1, "a::b(int)"));
	ADD(p, 2, add_code(p, 0, 2, "a::b(long)"));
	ADD(p, 4, add_code(p, 0, 3, "a::b"));
	t = compute(p, (struct top_options){ 0 });
	assert_int_equal(t->entries_cnt, 1);
	assert_entry(t, "a::b", 7, 7);
}

static void test_drop_frames(void **state)
{
	_cleanup_(profile__freep) struct profile *p = new_profile();
	uint32_t main_ = add_code(p, 0, 1, "main"), malloc_ = add_code(p, 0, 2, "malloc");
	uint32_t inner = add_code(p, 0, 3, "sysmalloc"), kept = add_code(p, 0, 5, "malloc_trim");
	uint32_t mixed = add_location(p, 0, 4);
	struct profile_line lines[2] = { 0 };
	struct top_table *t;

	lines[0].function = add_function(p, "operator new(unsigned long)", "_Znwm", "");
	lines[1].function = add_function(p, "make", "make", "");
	assert_int_equal(profile__set_lines(p, mixed, lines, 2), 0);
	p->drop_frames = str(p, "(?:c?malloc|operator new.*|malloc_.*)");
	p->keep_frames = str(p, "malloc_tri\\w");
	ADD(p, 1, inner, malloc_, main_);
	ADD(p, 2, inner, mixed, main_); /* cut inside a location: make stays */
	ADD(p, 4, inner, malloc_);      /* nothing but what would be dropped */
	ADD(p, 8, inner, kept, main_);
	t = compute(p, (struct top_options){ 0 });
	assert_entry(t, "main", 1, 11);
	assert_entry(t, "make", 2, 2);
	assert_entry(t, "sysmalloc", 12, 12);
	assert_entry(t, "malloc", 0, 4);
	assert_entry(t, "malloc_trim", 0, 8);
	assert_null(entry(t, "operator new(unsigned long)"));
	top__free(t);
}

/* The forms people use. */
static void test_good_expressions(void **state)
{
	static const struct {
		const char *expression, *match, *other;
	} cases[] = {
		{ "(?:__libc_)?(?:m|c|re)alloc", "__libc_calloc", "__libc_free" },
		{ "operator new(\\[\\])?", "operator new[]", "operator new_x" },
		{ "[^]a]+", "bcd", "bad" },
		{ "[(?:]x", "?x", "yx" },
		{ "a\\.b", "a.b", "axb" },
		{ "(a|b)+c", "abc", "ac?" },
		{ "\\w+_impl", "x1_impl", "x-_impl" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(profile__freep) struct profile *p = new_profile();
		uint32_t match = add_function(p, cases[i].match, "", "");
		uint32_t other = add_function(p, cases[i].other, "", "");
		struct profile_line line = { .function = match };
		_cleanup_(prune__freep) struct prune *pr = NULL;
		uint32_t a = add_location(p, 0, 1), b = add_location(p, 0, 2);

		assert_int_equal(profile__set_lines(p, a, &line, 1), 0);
		line.function = other;
		assert_int_equal(profile__set_lines(p, b, &line, 1), 0);
		p->drop_frames = str(p, cases[i].expression);
		ADD(p, 1, a, b);
		assert_int_equal(prune__new(p, &pr), 0);
		assert_non_null(pr);
		if (prune__first_location(pr, &p->samples[0]) != 1)
			fail_msg("%s", cases[i].expression);
	}
}

/* Expressions that do not compile, or whose cost has no bound, drop nothing. */
static void test_bad_expressions(void **state)
{
	static const char *const bad[] = { "",     "(",  "a{1,255}", "(a)\\1",
					   "a|^b", "a$", "\\b",      "((((((a+)+)+)+)+)+)",
					   "[a",   "a\\" };
	_cleanup_(profile__freep) struct profile *p = new_profile();
	_cleanup_free_ char *longest = calloc(1, 5001);
	struct prune *pr;
	size_t i;

	ADD(p, 1, add_code(p, 0, 1, "a"), add_code(p, 0, 2, "b"));
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		p->drop_frames = str(p, bad[i]);
		assert_int_equal(prune__new(p, &pr), 0);
		assert_null(pr);
	}
	memset(longest, 'a', 5000);
	p->drop_frames = str(p, longest);
	assert_int_equal(prune__new(p, &pr), 0);
	assert_null(pr);
	/* As long and as nested as it may be: in no time. */
	memset(longest, '(', 1000);
	memset(longest + 1000, 'a', 1000);
	memset(longest + 2000, ')', 1000);
	longest[3000] = '\0';
	p->drop_frames = str(p, longest);
	assert_int_equal(prune__new(p, &pr), 0);
	assert_non_null(pr);
	prune__free(pr);
	assert_int_equal(prune__first_location(NULL, &p->samples[0]), 0);
	assert_int_equal(prune__first_line(NULL, 1), 0);
	p->drop_frames = str(p, "a");
	p->keep_frames = str(p, "(");
	assert_int_equal(prune__new(p, &pr), 0);
	assert_null(pr);
}

/* Of a difference, what the base had is 100 %. */
/* Whose innermost frame it is, is told as the table tells it: summed by leaf, values are its flat.
 */
static void test_leaves(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_profile();
	_cleanup_(top_leaves__freep) struct top_leaves *l = NULL;
	_cleanup_(top__freep) struct top_table *t = NULL;
	int64_t *flat;
	size_t i, leaf;

	p->drop_frames = str(p, "do_syscall_64|app::helper.*");
	t = compute(p, (struct top_options){ 0 });
	assert_int_equal(top_leaves__new(p, &l), 0);
	flat = calloc(top_leaves__cnt(l), sizeof(*flat));
	for (i = 0; i < p->samples_cnt; i++) {
		const struct profile_sample *s = &p->samples[i];

		assert_int_equal(top_leaves__frames(l, s->locations, s->locations_cnt, &leaf, 1),
				 1);
		assert_in_range(leaf, 0, top_leaves__cnt(l) - 1);
		flat[leaf] += s->values[0];
	}
	for (i = 0; i < top_leaves__cnt(l); i++) {
		const struct top_entry *e = top_leaves__entry(l, i);

		if (!flat[i])
			continue;
		assert_int_equal(entry(t, e->name)->flat, flat[i]);
		assert_string_equal(entry(t, e->name)->module, e->module);
	}
	free(flat);
	assert_int_equal(entry(t, "app::burn()")->flat, 67);
	assert_int_equal(entry(t, "[libc.so.6]")->flat, 20);
	assert_int_equal(top_leaves__frames(l, NULL, 0, &leaf, 1), 0);
	top_leaves__free(NULL);
}

static void test_total_of_a_difference(void **state)
{
	_cleanup_(profile__freep) struct profile *p = new_profile();
	struct profile_label base = { .key = str(p, "pprof::base"), .str = str(p, "true") };
	uint32_t f = add_code(p, 0, 1, "f");
	_cleanup_(top__freep) struct top_table *t = NULL;

	ADD(p, 30, f);
	assert_int_equal(profile__add(p, &f, 1, &base, 1, (int64_t[]){ -20 }), 0);
	t = compute(p, (struct top_options){ 0 });
	assert_int_equal(t->total, 20);
	assert_entry(t, "f", 10, 10);
}

static void test_empty(void **state)
{
	_cleanup_(profile__freep) struct profile *p = new_profile();
	_cleanup_(profile__freep) struct profile *untyped = profile__new();
	struct top_table *t = NULL;

	assert_int_equal(top__compute(p, &(struct top_options){ .value_idx = 1 }, &t), -EINVAL);
	assert_int_equal(top__compute(untyped, &(struct top_options){ 0 }, &t), -EINVAL);
	t = compute(p, (struct top_options){ .node_fraction = TOP_NODE_FRACTION });
	assert_int_equal(t->entries_cnt, 0);
	assert_int_equal(t->total, 0);
	top__free(t);
	ADD(p, 5, add_code(p, 0, 1, "f"));
	add(p, NULL, 0, 3); /* a sample without a stack is part of the total only */
	t = compute(p, (struct top_options){ 0 });
	assert_int_equal(t->total, 8);
	assert_int_equal(t->entries_cnt, 1);
	top__free(t);
	top__free(NULL);
}

/* Sums of foreign values wrap, as in pprof, and nothing else happens. */
static void test_extreme_values(void **state)
{
	_cleanup_(profile__freep) struct profile *p = new_profile();
	struct top_table *t;

	ADD(p, INT64_MIN, add_code(p, 0, 1, "f"));
	ADD(p, INT64_MAX, add_code(p, 0, 2, "g"));
	ADD(p, INT64_MAX, add_code(p, 0, 3, "h"), add_code(p, 0, 2, "g"));
	t = compute(p, (struct top_options){ .node_fraction = TOP_NODE_FRACTION });
	top__free(t);
	t = compute(p, (struct top_options){ 0 });
	assert_true(entry(t, "f")->flat == INT64_MIN);
	assert_true(entry(t, "g")->cum == -2);
	top__free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixed_profile),
		cmocka_unit_test(test_recursion),
		cmocka_unit_test(test_order_and_rows),
		cmocka_unit_test(test_small_nodes_are_dropped),
		cmocka_unit_test(test_partly_inlined),
		cmocka_unit_test(test_nameless_code),
		cmocka_unit_test(test_basename),
		cmocka_unit_test(test_shown_names),
		cmocka_unit_test(test_shown_names_are_merged),
		cmocka_unit_test(test_drop_frames),
		cmocka_unit_test(test_good_expressions),
		cmocka_unit_test(test_bad_expressions),
		cmocka_unit_test(test_leaves),
		cmocka_unit_test(test_total_of_a_difference),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_extreme_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
