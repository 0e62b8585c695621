/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * eh_frame.c: the chain of entries, what is left out of it, what ends it, and its order. Sections
 * lie at the end of mapped memory here, so that reading one byte too many is a crash.
 */
#include "cfi_builder.h"

#include <stdlib.h>
#include "base/array.h"
#include "parse/eh_frame.h"

static const struct text_range text = { .start = CFI_TEXT, .end = CFI_TEXT + CFI_TEXT_BYTES };

struct guarded {
	unsigned char *map;
	size_t map_bytes;
	struct cfi_section section;
};

/* A copy of the bytes that ends where an unreadable page begins. */
static struct guarded guard(const struct buf *b)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct guarded g = { .map_bytes = (b->len + 2 * page - 1) / page * page + page };

	assert_int_equal(buf__error(b), 0);
	g.map = mmap(NULL, g.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(g.map, MAP_FAILED);
	assert_int_equal(mprotect(g.map + g.map_bytes - page, page, PROT_NONE), 0);
	g.section = (struct cfi_section){
		.data = g.map + g.map_bytes - page - b->len,
		.bytes = b->len,
		.vaddr = CFI_VADDR,
	};
	if (b->len)
		memcpy(g.map + g.map_bytes - page - b->len, b->data, b->len);
	return g;
}

static void unguard(struct guarded *g)
{
	munmap(g->map, g->map_bytes);
}

static enum parse_status read_guarded(struct guarded *g, struct eh_frame *ret)
{
	return eh_frame__read(&g->section, 1, &text, 1, ret);
}

/* Reads the section and expects so many FDEs and bad entries. */
static void check_counts(struct guarded *g, size_t entries, uint64_t bad)
{
	struct eh_frame f;

	assert_int_equal(read_guarded(g, &f), PARSE_OK);
	assert_int_equal(f.entries_cnt, entries);
	assert_int_equal(f.bad_cnt, bad);
	eh_frame__done(&f);
}

static void check_status(const struct buf *b, enum parse_status status)
{
	struct guarded g = guard(b);
	struct eh_frame f = { .entries_cnt = 0 };

	assert_int_equal(read_guarded(&g, &f), status);
	eh_frame__done(&f);
	unguard(&g);
}

static void test_order(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	static const uint64_t starts[] = { 0x900, 0x10, 0x900, 0x8000, 0x20, 0x10 };
	static const uint64_t sorted[] = { 0x10, 0x10, 0x20, 0x900, 0x900, 0x8000 };
	size_t cie = cfi_usual_cie(&b);
	struct guarded g;
	struct eh_frame f;

	for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
		cfi_fde(&b, cie, CFI_TEXT + starts[i], 16,
			BYTES(DW_CFA_def_cfa_offset, (uint8_t)(8 * i)));
	g = guard(&b);
	assert_int_equal(read_guarded(&g, &f), PARSE_OK);
	assert_int_equal(f.entries_cnt, ARRAY_SIZE(sorted));
	for (size_t i = 0; i < f.entries_cnt; i++) {
		struct cfi_fde fde;

		assert_true(eh_frame__get(&f, i, &fde));
		assert_int_equal(fde.start, CFI_TEXT + sorted[i]);
		assert_int_equal(fde.end, fde.start + 16);
		assert_int_equal(starts[fde.instructions[1] / 8], sorted[i]);
		assert_int_equal(fde.cie->context.data_align, -8);
	}
	/* Of equal addresses the file's order stays. */
	assert_true(f.entries[0].position < f.entries[1].position);
	assert_true(f.entries[3].position < f.entries[4].position);
	eh_frame__done(&f);
	unguard(&g);
}

static void test_large_order(void **state)
{
	const struct text_range wide = { .start = CFI_TEXT, .end = CFI_TEXT + (1ull << 32) };
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t cie = cfi_debug_cie(&b, BYTES(CFI_USUAL));
	unsigned int seed = 1;
	struct guarded g;
	struct eh_frame f;

	for (int i = 0; i < 10000; i++) {
		uint64_t at = ((uint64_t)rand_r(&seed) << 4 ^ (uint64_t)rand_r(&seed)) & UINT32_MAX;

		cfi_debug_fde(&b, cie, CFI_TEXT + at, 1, BYTES(DW_CFA_nop));
	}
	g = guard(&b);
	g.section.is_debug_frame = true;
	assert_int_equal(eh_frame__read(&g.section, 1, &wide, 1, &f), PARSE_OK);
	assert_int_equal(f.entries_cnt, 10000);
	for (size_t i = 1; i < f.entries_cnt; i++)
		assert_true(f.entries[i - 1].start <= f.entries[i].start);
	eh_frame__done(&f);
	unguard(&g);
}

static void test_terminators(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t cie = cfi_usual_cie(&b);
	struct guarded g;

	cfi_fde(&b, cie, CFI_TEXT, 16, NULL, 0);
	cfi_u32(&b, 0);
	cfi_fde(&b, cie, CFI_TEXT + 16, 16, NULL, 0);
	cfi_u32(&b, 0);
	g = guard(&b);
	check_counts(&g, 2, 0);
	g.section.ends_at_zero = true;
	check_counts(&g, 1, 0);
	unguard(&g);
}

static void test_debug_frame(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct cfi_fde fde;
	struct guarded g;
	struct eh_frame f;

	/* The CIE comes last: 28 bytes on. */
	cfi_debug_fde(&b, 28, CFI_TEXT + 4, 8, BYTES(DW_CFA_nop, 0, 0, 0));
	assert_int_equal(b.len, 28);
	cfi_debug_cie(&b, BYTES(CFI_USUAL));
	g = guard(&b);
	g.section.is_debug_frame = true;
	assert_int_equal(read_guarded(&g, &f), PARSE_OK);
	assert_int_equal(f.entries_cnt, 1);
	assert_true(eh_frame__get(&f, 0, &fde));
	assert_int_equal(fde.start, CFI_TEXT + 4);
	assert_int_equal(fde.end, CFI_TEXT + 12);
	assert_true(fde.is_debug_frame);
	eh_frame__done(&f);
	unguard(&g);
}

/* 64-bit DWARF: a length of 0xffffffff, then the real one, and ids of 8 bytes. */
static void test_dwarf64(void **state)
{
	static const uint8_t cie[] = { 4, 0, 8, 0, 1, 0x78, 16, CFI_USUAL };
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct guarded g;

	cfi_u32(&b, UINT32_MAX);
	cfi_u64(&b, 8 + sizeof(cie));
	cfi_u64(&b, UINT64_MAX);
	buf__append(&b, cie, sizeof(cie));
	cfi_u32(&b, UINT32_MAX);
	cfi_u64(&b, 24);
	cfi_u64(&b, 0);
	cfi_u64(&b, CFI_TEXT);
	cfi_u64(&b, 0x40);
	g = guard(&b);
	g.section.is_debug_frame = true;
	check_counts(&g, 1, 0);
	unguard(&g);
}

static void test_lying_lengths(void **state)
{
	static const uint32_t lengths[] = { 0x7fffffff, 0xfffffff0, 0xfffffffe, 100, 1, 3 };

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		size_t cie = cfi_usual_cie(&b);

		cfi_fde(&b, cie, CFI_TEXT, 16, NULL, 0);
		cfi_u32(&b, lengths[i]);
		cfi_u32(&b, 0);
		check_status(&b, PARSE_CORRUPT);
	}
	for (uint64_t length = UINT64_MAX; length; length /= 0x1000) {
		_cleanup_buf_ struct buf b = BUF_INIT;

		cfi_u32(&b, UINT32_MAX);
		cfi_u64(&b, length);
		check_status(&b, PARSE_CORRUPT);
	}
}

/* Every prefix and every single changed byte of a good section: an answer, no read beyond. */
static void test_mutations(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t cie = cfi_usual_cie(&b);

	cfi_fde(&b, cie, CFI_TEXT, 16, BYTES(DW_CFA_def_cfa_offset, 16, DW_CFA_advance_loc | 1));
	cfi_fde(&b, cie, CFI_TEXT + 16, 16, NULL, 0);
	for (size_t cut = 0; cut <= b.len; cut++) {
		struct buf part = { .data = b.data, .len = cut };
		struct guarded g = guard(&part);
		struct eh_frame f = { .entries_cnt = 0 };
		enum parse_status status = read_guarded(&g, &f);

		assert_true(status == PARSE_OK || status == PARSE_CORRUPT);
		eh_frame__done(&f);
		unguard(&g);
	}
	for (size_t i = 0; i < b.len; i++)
		for (unsigned int change = 1; change < 256; change += 7) {
			struct eh_frame f = { .entries_cnt = 0 };
			enum parse_status status;
			struct cfi_fde fde;
			struct guarded g;

			b.data[i] ^= (char)change;
			g = guard(&b);
			status = read_guarded(&g, &f);
			assert_true(status == PARSE_OK || status == PARSE_CORRUPT);
			for (size_t j = 0; j < f.entries_cnt; j++)
				assert_true(eh_frame__get(&f, j, &fde));
			eh_frame__done(&f);
			unguard(&g);
			b.data[i] ^= (char)change;
		}
}

static void test_bad_fdes(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t cie = cfi_usual_cie(&b), offset;
	struct guarded g;

	cfi_fde(&b, cie + 4, CFI_TEXT, 16, NULL, 0);      /* of no CIE */
	cfi_fde(&b, b.len, CFI_TEXT, 16, NULL, 0);        /* of itself */
	cfi_fde(&b, b.len + 64, CFI_TEXT, 16, NULL, 0);   /* of one before the section */
	offset = cfi_fde(&b, cie, CFI_TEXT, 16, NULL, 0); /* an endless augmentation */
	b.data[offset + 16] = 0x7f;
	cfi_fde(&b, cie, CFI_TEXT, 0, NULL, 0);      /* of nothing */
	cfi_fde(&b, cie, CFI_TEXT - 1, 16, NULL, 0); /* of nothing executable */
	cfi_fde(&b, cie, CFI_TEXT + CFI_TEXT_BYTES, 1, NULL, 0);
	cfi_fde(&b, cie, CFI_TEXT + CFI_TEXT_BYTES - 1, 0x7fffffff, NULL, 0); /* good */
	g = guard(&b);
	check_counts(&g, 1, 4);
	unguard(&g);
}

static void test_range_wraps(void **state)
{
	const struct text_range all = { .start = UINT64_MAX - 0xffff, .end = UINT64_MAX };
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t cie = cfi_debug_cie(&b, BYTES(CFI_USUAL));
	struct guarded g;
	struct eh_frame f;

	cfi_debug_fde(&b, cie, UINT64_MAX - 8, 16, BYTES(DW_CFA_nop));
	cfi_debug_fde(&b, cie, UINT64_MAX - 8, UINT64_MAX, BYTES(DW_CFA_nop));
	g = guard(&b);
	g.section.is_debug_frame = true;
	assert_int_equal(eh_frame__read(&g.section, 1, &all, 1, &f), PARSE_OK);
	assert_int_equal(f.entries_cnt, 0);
	assert_int_equal(f.bad_cnt, 2);
	eh_frame__done(&f);
	unguard(&g);
}

struct cie_case {
	const char *name;
	const uint8_t *bytes;
	size_t bytes_cnt;
	bool good;
};

#define CIE(text, good_, ...)                                                                      \
	{                                                                                          \
		text, BYTES(__VA_ARGS__), good_                                                    \
	}

static void test_cies(void **state)
{
	const struct cie_case cases[] = {
		CIE("plain", true, 1, 0, 1, 0x78, 16),
		CIE("version 3", true, 3, 0, 1, 0x78, 0x90, 0),
		CIE("version 2", false, 2, 0, 1, 0x78, 16),
		CIE("version 4, 4-byte addresses", false, 4, 0, 4, 0, 1, 0x78, 16),
		CIE("version 4, segments", false, 4, 0, 8, 1, 1, 0x78, 16),
		CIE("eh", true, 1, 'e', 'h', 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x78, 16),
		CIE("an augmentation of unknown length", false, 1, 'R', 0, 1, 0x78, 16, 0x1b),
		CIE("an unknown letter", true, 1, 'z', 'Q', 0, 1, 0x78, 16, 2, 1, 2),
		CIE("personality, lsda, signal", true, 1, 'z', 'P', 'L', 'R', 'S', 0, 1, 0x78, 16,
		    7, 0x9b, 1, 2, 3, 4, 0x1b, 0),
		CIE("personality cut short", false, 1, 'z', 'P', 'R', 0, 1, 0x78, 16, 3, 0x9b, 1,
		    2),
		CIE("no personality", true, 1, 'z', 'P', 'R', 0, 1, 0x78, 16, 2, 0xff, 0),
		CIE("augmentation data too long", false, 1, 'z', 'R', 0, 1, 0x78, 16, 0x7f, 0),
		CIE("no end of augmentation", false, 1, 'z', 'z', 'z', 'z', 'z', 'z', 'z', 'z', 'z',
		    'z', 'z', 'z', 'z', 'z', 'z', 'z', 'z', 0, 1, 0x78, 16, 0),
		CIE("another return address", false, 1, 0, 1, 0x78, 17),
		CIE("nothing", false, 1),
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		size_t cie = cfi_begin(&b, 0);
		struct guarded g;
		struct eh_frame f;

		buf__append(&b, cases[i].bytes, cases[i].bytes_cnt);
		/* Not padded: what is missing must be missed. */
		b.data[cie] = (char)(b.len - cie - 4);
		g = guard(&b);
		assert_int_equal(read_guarded(&g, &f), PARSE_OK);
		if ((f.cies_cnt == 1) != cases[i].good || f.bad_cnt == cases[i].good)
			fail_msg("CIE \"%s\": %zu good", cases[i].name, f.cies_cnt);
		eh_frame__done(&f);
		unguard(&g);
	}
}

static void test_too_many(void **state)
{
	_cleanup_buf_ struct buf cies = BUF_INIT, fdes = BUF_INIT;
	size_t cie;

	for (size_t i = 0; i <= PARSE_CIES_MAX; i++)
		cfi_usual_cie(&cies);
	check_status(&cies, PARSE_LIMIT);
	cie = cfi_usual_cie(&fdes);
	for (size_t i = 0; i <= PARSE_FDES_MAX; i++)
		cfi_fde(&fdes, cie, CFI_TEXT, 16, NULL, 0);
	check_status(&fdes, PARSE_LIMIT);
}

static void test_span(void **state)
{
	const struct text_range far[] = {
		{ .start = CFI_TEXT, .end = CFI_TEXT + 1 },
		{ .start = CFI_TEXT + (1ull << 32), .end = CFI_TEXT + (1ull << 32) + 1 },
	};
	const struct cfi_section none = { .data = (const unsigned char *)"" };
	struct eh_frame f;

	assert_int_equal(eh_frame__read(&none, 1, far, 2, &f), PARSE_LIMIT);
	assert_int_equal(eh_frame__read(&none, 1, NULL, 0, &f), PARSE_OK);
	assert_int_equal(f.entries_cnt, 0);
	eh_frame__done(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),       cmocka_unit_test(test_large_order),
		cmocka_unit_test(test_terminators), cmocka_unit_test(test_debug_frame),
		cmocka_unit_test(test_dwarf64),     cmocka_unit_test(test_lying_lengths),
		cmocka_unit_test(test_mutations),   cmocka_unit_test(test_bad_fdes),
		cmocka_unit_test(test_range_wraps), cmocka_unit_test(test_cies),
		cmocka_unit_test(test_too_many),    cmocka_unit_test(test_span),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
