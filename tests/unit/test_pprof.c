/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export/pprof_encode: golden bytes, round trips, what readers rely on; the table of encoders.
 */
#include "fixed_profile.h"
#include "base/escape.h"
#include "proto/profile.pb-c.h"

typedef Perftools__Profiles__Profile pb_profile;

static void assert_str_equal(const struct profile *a, uint32_t x, const struct profile *b,
			     uint32_t y)
{
	assert_string_equal(profile__str(a, x), profile__str(b, y));
}

static void assert_same_mapping(const struct profile *a, uint32_t x, const struct profile *b,
				uint32_t y)
{
	const struct profile_mapping *m, *n;

	assert_int_equal(!x, !y);
	if (!x)
		return;
	m = &a->mappings[x - 1];
	n = &b->mappings[y - 1];
	assert_true(m->start == n->start && m->limit == n->limit && m->offset == n->offset);
	assert_str_equal(a, m->file, b, n->file);
	assert_str_equal(a, m->build_id, b, n->build_id);
	assert_int_equal(m->is_kernel, n->is_kernel);
	assert_int_equal(m->has_functions, n->has_functions);
	assert_int_equal(m->has_filenames, n->has_filenames);
	assert_int_equal(m->has_line_numbers, n->has_line_numbers);
	assert_int_equal(m->has_inline_frames, n->has_inline_frames);
}

static void assert_same_location(const struct profile *a, uint32_t x, const struct profile *b,
				 uint32_t y)
{
	const struct profile_location *l = &a->locations[x - 1], *m = &b->locations[y - 1];
	size_t i;

	assert_true(l->address == m->address);
	assert_int_equal(l->is_folded, m->is_folded);
	assert_same_mapping(a, l->mapping, b, m->mapping);
	assert_int_equal(l->lines_cnt, m->lines_cnt);
	for (i = 0; i < l->lines_cnt; i++) {
		const struct profile_function *f = &a->functions[l->lines[i].function - 1];
		const struct profile_function *g = &b->functions[m->lines[i].function - 1];

		assert_int_equal(l->lines[i].line, m->lines[i].line);
		assert_str_equal(a, f->name, b, g->name);
		assert_str_equal(a, f->system_name, b, g->system_name);
		assert_str_equal(a, f->filename, b, g->filename);
		assert_int_equal(f->start_line, g->start_line);
	}
}

static void assert_same_sample(const struct profile *a, const struct profile_sample *s,
			       const struct profile *b, const struct profile_sample *t)
{
	uint32_t i;

	assert_int_equal(s->locations_cnt, t->locations_cnt);
	for (i = 0; i < s->locations_cnt; i++)
		assert_same_location(a, s->locations[i], b, t->locations[i]);
	assert_int_equal(s->labels_cnt, t->labels_cnt);
	for (i = 0; i < s->labels_cnt; i++) {
		assert_str_equal(a, s->labels[i].key, b, t->labels[i].key);
		assert_str_equal(a, s->labels[i].str, b, t->labels[i].str);
		assert_str_equal(a, s->labels[i].num_unit, b, t->labels[i].num_unit);
		assert_true(s->labels[i].num == t->labels[i].num);
	}
	for (i = 0; i < a->sample_types_cnt; i++)
		assert_true(s->values[i] == t->values[i]);
}

static void assert_same_headers(const struct profile *a, const struct profile *b)
{
	size_t i;

	assert_int_equal(a->sample_types_cnt, b->sample_types_cnt);
	for (i = 0; i < a->sample_types_cnt; i++) {
		assert_str_equal(a, a->sample_types[i].type, b, b->sample_types[i].type);
		assert_str_equal(a, a->sample_types[i].unit, b, b->sample_types[i].unit);
	}
	assert_str_equal(a, a->default_sample_type, b, b->default_sample_type);
	assert_str_equal(a, a->period_type.type, b, b->period_type.type);
	assert_str_equal(a, a->period_type.unit, b, b->period_type.unit);
	assert_str_equal(a, a->drop_frames, b, b->drop_frames);
	assert_str_equal(a, a->keep_frames, b, b->keep_frames);
	assert_str_equal(a, a->doc_url, b, b->doc_url);
	assert_true(a->period == b->period && a->time_ns == b->time_ns &&
		    a->duration_ns == b->duration_ns);
	assert_int_equal(a->comments_cnt, b->comments_cnt);
	for (i = 0; i < a->comments_cnt; i++)
		assert_str_equal(a, a->comments[i], b, b->comments[i]);
}

static void assert_same_profile(const struct profile *a, const struct profile *b)
{
	size_t i;

	assert_same_headers(a, b);
	assert_int_equal(a->samples_cnt, b->samples_cnt);
	for (i = 0; i < a->samples_cnt; i++)
		assert_same_sample(a, &a->samples[i], b, &b->samples[i]);
	if (a->mappings_cnt)
		assert_same_mapping(a, 1, b, 1);
}

/* Nothing of the first len bytes needs to be escaped. */
static bool is_clean(const char *s, size_t len, const char *also)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	escape__append(&b, s, len, ESCAPE_UTF8, also);
	return b.len == len && (!len || !memcmp(b.data, s, len));
}

/* The hostile name of the fixed profile comes back escaped; all else must be as it was. */
static struct profile *clean_profile(void)
{
	struct profile *p = fixed_profile();
	size_t i;

	for (i = 0; i < p->strings_cnt; i++)
		if (!is_clean(p->strings[i], strlen(p->strings[i]), ";"))
			snprintf(p->strings[i], strlen(p->strings[i]) + 1, "x%zu", i);
	p->drop_frames = str(p, "malloc");
	p->keep_frames = str(p, "main");
	p->doc_url = str(p, "https://example.org/doc");
	p->locations[3].is_folded = true;
	p->mappings[1].has_filenames = true;
	p->mappings[2].has_line_numbers = true;
	p->mappings[3].has_inline_frames = true;
	return p;
}

static void test_golden(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_profile();
	_cleanup_buf_ struct buf gz = encode(p), raw = inflate(&gz);

	assert_golden("cpu.pb", &raw);
}

static void test_round_trip(void **state)
{
	_cleanup_(profile__freep) struct profile *p = clean_profile();
	_cleanup_buf_ struct buf gz = encode(p), raw = inflate(&gz);
	_cleanup_(profile__freep) struct profile *from_gz = decode(gz.data, gz.len);
	_cleanup_(profile__freep) struct profile *from_raw = decode(raw.data, raw.len);
	_cleanup_buf_ struct buf again = encode(from_gz);

	assert_same_profile(p, from_gz);
	assert_same_profile(p, from_raw);
	assert_int_equal(again.len, gz.len);
	assert_memory_equal(again.data, gz.data, gz.len);
}

/* What escaping made of a name is not escaped once more. */
static void test_escaping_is_stable(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_profile();
	_cleanup_buf_ struct buf gz = encode(p);
	_cleanup_(profile__freep) struct profile *once = decode(gz.data, gz.len);
	_cleanup_buf_ struct buf again = encode(once);
	_cleanup_(profile__freep) struct profile *twice = decode(again.data, again.len);
	size_t i;

	assert_same_profile(once, twice);
	for (i = 0; i < once->strings_cnt; i++) {
		const char *s = once->strings[i];

		assert_true(is_clean(s, strcspn(s, "\\"), NULL));
		assert_null(strpbrk(s, "\n\x1b"));
	}
}

/* Random profiles: depth, labels, values, lines of every size. */
static struct profile *random_profile(uint32_t seed)
{
	static const char *const units[] = { "count", "nanoseconds", "bytes", "", "items" };
	struct profile *p = profile__new();
	uint32_t types = 1 + seed % 4, i, k, stack[40];
	char name[64];

	srandom(seed);
	for (i = 0; i < types; i++)
		assert_int_equal(profile__add_sample_type(p, units[i], units[random() % 5]), 0);
	for (i = 0; i < 1 + seed % 5; i++)
		add_mapping(p,
			    (struct profile_mapping){ .start = i << 20,
						      .limit = (i + 1ULL) << 20,
						      .has_functions = random() % 2 },
			    i % 2 ? "/bin/x" : "[vdso]", units[random() % 5]);
	for (i = 0; i < 50; i++) {
		struct profile_line lines[5];
		uint32_t lines_cnt = (uint32_t)random() % 6;

		for (k = 0; k < lines_cnt; k++) {
			snprintf(name, sizeof(name), "f%ld(\xc3\xa9\\)", random() % 30);
			lines[k].function = add_function(p, name, k % 2 ? name : "", "");
			lines[k].line = random() - RAND_MAX / 2;
		}
		k = add_location(p, (uint32_t)random() % (p->mappings_cnt + 1),
				 (uint64_t)random() << 33 ^ (uint64_t)random());
		assert_int_equal(profile__set_lines(p, k, lines, lines_cnt), 0);
	}
	for (i = 0; i < 200; i++) {
		struct profile_label labels[3] = { 0 };
		uint32_t depth = (uint32_t)random() % ARRAY_SIZE(stack);
		int64_t values[4];

		for (k = 0; k < depth; k++)
			stack[k] = 1 + (uint32_t)random() % p->locations_cnt;
		for (k = 0; k < ARRAY_SIZE(labels); k++) {
			labels[k].key = str(p, k ? "key" : "other");
			if (random() % 2)
				labels[k].str = str(p, "value");
			else
				labels[k].num = random() - RAND_MAX / 2;
			labels[k].num_unit = labels[k].str ? 0 : str(p, units[random() % 5]);
		}
		for (k = 0; k < types; k++)
			values[k] = (random() - RAND_MAX / 2) * (int64_t)(random() % 1000);
		assert_int_equal(
			profile__add(p, stack, depth, labels, (uint32_t)random() % 4, values), 0);
	}
	return p;
}

static void test_random_round_trips(void **state)
{
	uint32_t seed;

	for (seed = 1; seed <= 100; seed++) {
		_cleanup_(profile__freep) struct profile *p = random_profile(seed);
		_cleanup_buf_ struct buf gz = encode(p);
		_cleanup_(profile__freep) struct profile *q = decode(gz.data, gz.len);

		assert_same_profile(p, q);
	}
}

/* What Go's runtime/pprof wrote (tests/integration/write_profiles.go) loses nothing. */
static void test_go_round_trips(void **state)
{
	static const struct {
		const char *path;
		size_t sample_types_cnt, samples_cnt;
	} files[] = {
		{ "tests/golden/go_cpu.pb.gz", 2, 27 },
		{ "tests/golden/go_heap.pb.gz", 4, 123 }, /* 124, two of them equal */
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_buf_ struct buf file = BUF_INIT;
		_cleanup_(profile__freep) struct profile *p = NULL, *q = NULL;
		_cleanup_buf_ struct buf gz = BUF_INIT;

		assert_int_equal(file__read(files[i].path, 1 << 20, &file), 0);
		p = decode(file.data, file.len);
		assert_int_equal(p->sample_types_cnt, files[i].sample_types_cnt);
		assert_int_equal(p->samples_cnt, files[i].samples_cnt);
		assert_int_equal(pprof__encode(p, &gz), 0);
		q = decode(gz.data, gz.len);
		assert_same_profile(p, q);
	}
}

/* What every reader relies on, looked at through protobuf-c alone. */
static void test_wire_contract(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_profile();
	uint32_t unused = add_code(p, 2, 0x4fff, "nobody_refers_to_this");
	_cleanup_buf_ struct buf gz = encode(p), raw = inflate(&gz);
	pb_profile *m =
		perftools__profiles__profile__unpack(NULL, raw.len, (const uint8_t *)raw.data);
	size_t i, k;

	assert_non_null(m);
	assert_string_equal(m->string_table[0], "");
	for (i = 0; i < m->n_string_table; i++)
		assert_string_not_equal(m->string_table[i], "nobody_refers_to_this");
	for (i = 0; i < m->n_mapping; i++)
		assert_int_equal(m->mapping[i]->id, i + 1);
	for (i = 0; i < m->n_location; i++)
		assert_int_equal(m->location[i]->id, i + 1);
	for (i = 0; i < m->n_function; i++)
		assert_int_equal(m->function[i]->id, i + 1);
	assert_int_equal(m->n_location, unused - 1);
	assert_string_equal(m->string_table[m->mapping[0]->filename], "web-01 (all processes)");
	for (i = 0; i < m->n_sample; i++) {
		assert_int_equal(m->sample[i]->n_value, m->n_sample_type);
		for (k = 0; k < m->sample[i]->n_label; k++)
			assert_true(m->sample[i]->label[k]->str == 0 ||
				    (m->sample[i]->label[k]->num == 0 &&
				     m->sample[i]->label[k]->num_unit == 0));
	}
	assert_string_equal(m->string_table[m->default_sample_type], "cpu");
	perftools__profiles__profile__free_unpacked(m, NULL);
}

static void test_encoders_table(void **state)
{
	_cleanup_buf_ struct buf list = BUF_INIT;
	size_t i;

	for (i = 0; i < export_encoders_cnt; i++) {
		const struct encoder *e = &export_encoders[i];
		char path[64];

		snprintf(path, sizeof(path), "/x/cpu%s", e->suffix);
		assert_ptr_equal(export__find_by_suffix(path, e->kind ?: "none"), e);
		assert_ptr_equal(export__find_by_name(e->name, e->kind ?: "none"), e);
	}
	export__list_suffixes("cpu", &list);
	assert_string_equal(list.data, ".pb.gz, .folded, .json, .txt");
	assert_null(export__find_by_suffix("cpu.pb", "cpu"));
	assert_null(export__find_by_suffix("", "cpu"));
	assert_null(export__find_by_name("svg", "cpu"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_escaping_is_stable),
		cmocka_unit_test(test_random_round_trips),
		cmocka_unit_test(test_go_round_trips),
		cmocka_unit_test(test_wire_contract),
		cmocka_unit_test(test_encoders_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
