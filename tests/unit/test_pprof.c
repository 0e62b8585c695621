/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export/pprof_encode and pprof_decode: golden bytes, round trips, what readers rely on, and
 * thousands of broken files.
 */
#include "fixed_profile.h"
#include "base/clock.h"
#include "base/escape.h"
#include "base/gzip.h"
#include "proto/profile.pb-c.h"

typedef Perftools__Profiles__Profile pb_profile;

#define INFLATED_MAX (1 << 24)

static struct buf encode(const struct profile *p)
{
	struct buf out = BUF_INIT;

	assert_int_equal(pprof__encode(p, &out), 0);
	return out;
}

static struct buf inflate(const struct buf *gz)
{
	struct buf out = BUF_INIT;

	assert_int_equal(gzip__decompress(gz->data, gz->len, INFLATED_MAX, &out), 0);
	return out;
}

static struct profile *decode(const void *data, size_t len)
{
	struct profile *p = NULL;
	const char *why = "untouched";

	if (pprof__decode(data, len, &p, &why))
		fail_msg("not decoded: %s", why);
	assert_null(why);
	return p;
}

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

/* The hostile name of the fixed profile comes back escaped; all else must be as it was. */
static struct profile *clean_profile(void)
{
	struct profile *p = fixed_profile();
	size_t i;

	for (i = 0; i < p->strings_cnt; i++)
		if (!escape__is_clean(p->strings[i], strlen(p->strings[i]), ESCAPE_UTF8, ";"))
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

		assert_true(escape__is_clean(s, strcspn(s, "\\"), ESCAPE_UTF8, NULL));
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

/* --- foreign producers ----------------------------------------------------------------------- */

/* "label" is a tag and a length, both in one byte. */
#define MSG(number, len) (char)((number) << 3 | 2), (char)(len)
#define INT(number, v)   (char)((number) << 3), (char)(v)

/* "", "samples", "count", "f", as field 6; one sample type. */
#define STRINGS                                                                                    \
	MSG(6, 0), MSG(6, 7), 's', 'a', 'm', 'p', 'l', 'e', 's', MSG(6, 5), 'c', 'o', 'u', 'n',    \
		't', MSG(6, 1), 'f'
#define TYPE MSG(1, 4), INT(1, 1), INT(2, 2)

static struct profile *decode_or_why(const char *data, size_t len, const char **why)
{
	struct profile *p = NULL;
	int err = pprof__decode(data, len, &p, why);

	assert_int_equal(err, *why ? -EBADMSG : 0);
	return p;
}

static void put_varint(struct buf *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf__putc(b, (char)(v | 0x80));
	buf__putc(b, (char)v);
}

static void put_int(struct buf *b, unsigned int number, uint64_t v)
{
	put_varint(b, number << 3);
	put_varint(b, v);
}

static void put_bytes(struct buf *b, unsigned int number, const void *data, size_t len)
{
	put_varint(b, number << 3 | 2);
	put_varint(b, len);
	buf__append(b, data, len);
}

/* Puts *m into b and empties it. */
static void put_msg(struct buf *b, unsigned int number, struct buf *m)
{
	put_bytes(b, number, m->data, m->len);
	buf__clear(m);
}

/* Repeated numbers one by one and packed, tables after their use, ids with holes, unknown fields.
 */
static void test_foreign_encodings(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT, m = BUF_INIT, line = BUF_INIT;
	_cleanup_(profile__freep) struct profile *p = NULL;
	const struct profile_location *l;
	const char *why;

	put_int(&m, 1, 200);
	put_int(&m, 1, 7);
	put_int(&m, 2, 5);
	put_int(&m, 900, 1);
	put_msg(&b, 2, &m);
	put_bytes(&m, 1, "\x07", 1);
	put_int(&m, 1, 200);
	put_int(&m, 2, 3);
	put_msg(&b, 2, &m);
	put_int(&line, 1, 1ULL << 40);
	put_int(&line, 2, 12);
	put_int(&line, 3, 80); /* a column */
	put_int(&m, 1, 200);
	put_int(&m, 2, 5); /* no such mapping: none */
	put_int(&m, 3, 99);
	put_msg(&m, 4, &line);
	put_msg(&b, 4, &m);
	put_int(&m, 1, 7);
	put_int(&m, 3, 77);
	put_msg(&b, 4, &m);
	put_int(&m, 1, 1ULL << 40);
	put_int(&m, 2, 3);
	put_msg(&b, 5, &m);
	put_int(&b, 9, 4);
	put_bytes(&b, 13, "\x01\x02", 2);
	put_int(&b, 13, 3);
	put_int(&b, 99, 1);
	buf__append(&b, (char[]){ STRINGS, TYPE }, 27);

	p = decode_or_why(b.data, b.len, &why);
	if (!p)
		fail_msg("%s", why);
	assert_int_equal(p->samples_cnt, 2);
	assert_int_equal(p->samples[0].values[0], 5);
	assert_int_equal(p->samples[1].values[0], 3);
	assert_int_equal(p->samples[0].locations_cnt, 2);
	assert_int_equal(p->samples[0].locations[0], p->samples[1].locations[1]);
	l = &p->locations[p->samples[0].locations[0] - 1];
	assert_int_equal(l->address, 99);
	assert_int_equal(l->mapping, 0);
	assert_int_equal(l->lines_cnt, 1);
	assert_int_equal(l->lines[0].line, 12);
	assert_string_equal(profile__str(p, p->functions[l->lines[0].function - 1].name), "f");
	assert_int_equal(p->locations[p->samples[1].locations[0] - 1].address, 77);
	assert_int_equal(p->time_ns, 4);
	assert_int_equal(p->comments_cnt, 3);
	assert_string_equal(profile__str(p, p->comments[2]), "f");
}

#define BAD(...)                                                                                   \
	{                                                                                          \
		(const char[]){ __VA_ARGS__ }, sizeof((const char[]){ __VA_ARGS__ })               \
	}

static void test_refused(void **state)
{
	const struct {
		const char *data;
		size_t len;
	} cases[] = {
		BAD('h', 'e', 'a', 'p', ':', ' ', '1'),
		BAD(STRINGS),                                        /* no sample type */
		BAD(TYPE),                                           /* no strings */
		BAD(STRINGS, TYPE, MSG(2, 4), INT(2, 1), INT(2, 1)), /* two values */
		BAD(STRINGS, TYPE, MSG(2, 0)),                       /* none */
		BAD(STRINGS, TYPE, MSG(2, 4), INT(1, 1), INT(2, 1)), /* no such location */
		BAD(STRINGS, TYPE, MSG(4, 0)),                       /* id 0 */
		BAD(STRINGS, TYPE, MSG(3, 0)),                       /* id 0 */
		BAD(STRINGS, TYPE, MSG(5, 0)),                       /* id 0 */
		BAD(STRINGS, TYPE, MSG(4, 2), INT(1, 1), MSG(4, 2), INT(1, 1)),
		BAD(STRINGS, TYPE, MSG(5, 2), INT(1, 1), MSG(5, 2), INT(1, 1)),
		BAD(STRINGS, TYPE, MSG(3, 2), INT(1, 1), MSG(3, 2), INT(1, 1)),
		BAD(STRINGS, TYPE, MSG(4, 6), INT(1, 1), MSG(4, 2), INT(1, 1)), /* no function */
		BAD(STRINGS, TYPE, MSG(5, 4), INT(1, 1), INT(2, 9)),            /* no such string */
		BAD(STRINGS, TYPE, MSG(5, 13), INT(1, 1), INT(2, 0xff), 0xff, 0xff, 0xff, 0xff,
		    0xff, 0xff, 0xff, 0xff, 1),           /* string -1 */
		BAD(STRINGS, TYPE, INT(14, 9)),           /* default type */
		BAD(STRINGS, TYPE, INT(13, 9)),           /* comment */
		BAD(MSG(6, 1), 'x', STRINGS, TYPE),       /* string 0 */
		BAD(STRINGS, TYPE, INT(9, 1), INT(9, 1)), /* two profiles */
		BAD(STRINGS, TYPE, INT(2, 1)),            /* a number as sample */
		BAD(STRINGS, TYPE, MSG(2, 100), 0),       /* past the end */
		BAD(STRINGS, TYPE, MSG(2, 0xff), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
		BAD(STRINGS, TYPE, 0x80),                  /* half a tag */
		BAD(STRINGS, TYPE, (2 << 3) | 3),          /* a group */
		BAD(STRINGS, TYPE, MSG(2, 2), MSG(3, 50)), /* a label past the end */
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct profile *p = NULL;
		const char *why = NULL;

		if (pprof__decode(cases[i].data, cases[i].len, &p, &why) != -EBADMSG)
			fail_msg("case %zu was not refused", i);
		assert_null(p);
		assert_non_null(why);
	}
}

static void test_refused_gzip(void **state)
{
	_cleanup_(profile__freep) struct profile *p = fixed_profile();
	_cleanup_buf_ struct buf gz = encode(p);
	struct profile *q = NULL;
	const char *why;
	size_t len;

	for (len = 0; len < gz.len; len++) {
		assert_int_equal(pprof__decode(gz.data, len, &q, &why), -EBADMSG);
		assert_null(q);
		assert_non_null(why);
	}
}

/* A few kilobytes that inflate to a gigabyte, and a file of a million empty rows. */
static void test_bombs(void **state)
{
	static char zeros[1 << 20];
	_cleanup_buf_ struct buf bomb = BUF_INIT;
	struct gzip_writer *w;
	struct profile *p = NULL;
	const char *why = NULL;
	int i;

	assert_int_equal(gzip_writer__new(&w, &bomb), 0);
	for (i = 0; i < 520; i++)
		assert_int_equal(gzip_writer__write(w, zeros, sizeof(zeros)), 0);
	assert_int_equal(gzip_writer__finish(w), 0);
	gzip_writer__free(w);
	assert_int_equal(pprof__decode(bomb.data, bomb.len, &p, &why), -EFBIG);
	assert_null(p);
	assert_non_null(why);
}

static void test_many_empty_elements(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_(profile__freep) struct profile *p = NULL;
	const char *why;
	int i;

	buf__append(&b, (char[]){ STRINGS, TYPE }, 27);
	for (i = 0; i < 1000000; i++)
		buf__append(&b, (char[]){ MSG(2, 2), INT(2, 1) }, 4);
	p = decode_or_why(b.data, b.len, &why);
	assert_non_null(p);
	assert_int_equal(p->samples_cnt, 1);
	assert_int_equal(p->samples[0].values[0], 1000000);
}

/* Bytes changed, taken out and cut off: never a crash, and what is accepted is valid. */
static void mutate(struct buf *b, uint32_t *seed)
{
	uint32_t changes, i;

#define RANDOM() ((*seed = *seed * 1664525 + 1013904223) >> 8)
	changes = 1 + RANDOM() % 4;
	for (i = 0; i < changes && b->len; i++) {
		size_t at = RANDOM() % b->len;

		switch (RANDOM() % 5) {
		case 0:
			b->data[at] ^= (char)(1 << RANDOM() % 8);
			break;
		case 1:
			b->data[at] = (char)RANDOM();
			break;
		case 2:
			b->data[at] = (char)0xff;
			break;
		case 3:
			memmove(b->data + at, b->data + at + 1, b->len - at - 1);
			b->len--;
			break;
		default:
			if (RANDOM() % 4 == 0)
				b->len = at;
		}
	}
#undef RANDOM
}

static void check_accepted(const struct profile *p)
{
	_cleanup_buf_ struct buf gz = encode(p), folded = BUF_INIT, text = BUF_INIT,
				 json = BUF_INIT;
	_cleanup_(profile__freep) struct profile *q = decode(gz.data, gz.len), *m = profile__new();

	assert_int_equal(p->samples_cnt, q->samples_cnt);
	assert_int_equal(folded__encode(p, &folded), 0);
	assert_int_equal(text__encode(p, &text), 0);
	assert_int_equal(json__encode(p, &json), 0);
	assert_true(profile__merge(m, p) == 0);
}

static void test_mutations(void **state)
{
	enum { ROUNDS = 20000 };
	_cleanup_(profile__freep) struct profile *p = fixed_profile();
	_cleanup_buf_ struct buf gz = encode(p), raw = inflate(&gz);
	uint32_t seed = 42;
	int round, accepted = 0;

	for (round = 0; round < ROUNDS; round++) {
		/* An exact allocation, so that a sanitizer sees any read behind it. */
		struct buf b = { .data = malloc(raw.len), .len = raw.len, .cap = raw.len };
		struct profile *q = NULL;
		const char *why = NULL;
		_cleanup_free_ char *exact = NULL;

		assert_non_null(b.data);
		memcpy(b.data, raw.data, raw.len);
		mutate(&b, &seed);
		exact = malloc(b.len + !b.len);
		memcpy(exact, b.data, b.len);
		if (!pprof__decode(exact, b.len, &q, &why)) {
			accepted++;
			if (round % 16 == 0)
				check_accepted(q);
		} else {
			assert_null(q);
			assert_non_null(why);
		}
		profile__free(q);
		buf__done(&b);
	}
	/* Some are harmless (a letter of a name), most are not. */
	assert_true(accepted > ROUNDS / 100);
	assert_true(accepted < ROUNDS * 9 / 10);
}

static void test_encoders_table(void **state)
{
	_cleanup_buf_ struct buf list = BUF_INIT;
	size_t i;

	for (i = 0; i < export_encoders_cnt; i++) {
		char path[64];

		buf__printf(&list, "%s%s", i ? ", " : "", export_encoders[i].suffix);
		snprintf(path, sizeof(path), "/x/cpu%s", export_encoders[i].suffix);
		assert_ptr_equal(export__find_by_suffix(path), &export_encoders[i]);
		assert_ptr_equal(export__find_by_name(export_encoders[i].name),
				 &export_encoders[i]);
	}
	assert_string_equal(list.data, export__suffix_list());
	assert_null(export__find_by_suffix("cpu.pb"));
	assert_null(export__find_by_suffix(""));
	assert_null(export__find_by_name("svg"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_escaping_is_stable),
		cmocka_unit_test(test_random_round_trips),
		cmocka_unit_test(test_wire_contract),
		cmocka_unit_test(test_foreign_encodings),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_gzip),
		cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_many_empty_elements),
		cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_encoders_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
