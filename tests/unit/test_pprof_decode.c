/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * export/pprof_decode: what other producers write, what is refused, and thousands of broken files.
 */
#include "fixed_profile.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_foreign_encodings),   cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_gzip),        cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_many_empty_elements), cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
