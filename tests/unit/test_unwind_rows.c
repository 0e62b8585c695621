/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unwind_rows.c: from files to tables. Where sections are found, how functions, gaps and overlaps
 * become rows, how rows are packed; hostile sizes; and random FDEs against one rule per byte.
 */
#include "cfi_builder.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <zlib.h>
#include <dlfcn.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "unwind_rows_check.h"

static enum parse_status read_fd(int fd, struct unwind_rows *ret)
{
	enum parse_status status;
	struct elf_image image;

	status = elf_image__open(fd, &image);
	if (status != PARSE_OK)
		return status;
	status = unwind_rows__read(&image, ret);
	elf_image__done(&image);
	if (status == PARSE_OK && broken_rows(ret))
		fail_msg("%s", broken_rows(ret));
	return status;
}

static enum parse_status read_file(const struct cfi_file *file, struct unwind_rows *ret)
{
	_cleanup_close_ int fd = cfi_file_open(file);

	return read_fd(fd, ret);
}

static void check_kind(const struct unwind_rows *rows, uint64_t vaddr, enum unwind_rule_kind kind,
		       int32_t cfa_offset)
{
	const struct unwind_rule rule = unwind_rows__find(rows, vaddr);

	if (rule.kind != kind || rule.cfa_offset != cfa_offset)
		fail_msg("%#lx: kind %u, offset %d", vaddr, rule.kind, rule.cfa_offset);
}

#define CHECK_SP(vaddr, offset) check_kind(&rows, (vaddr), UNWIND_RULE_SP, (offset))
#define CHECK_GAP(vaddr)        check_kind(&rows, (vaddr), UNWIND_RULE_FP_CHAIN, 0)

static void test_packing(void **state)
{
	struct cfi_file file = { .no_header = false };
	size_t cie = cfi_usual_cie(&file.eh_frame);
	struct unwind_rows rows;

	cfi_fde(&file.eh_frame, cie, CFI_TEXT + 0x10, 0x20,
		BYTES(DW_CFA_advance_loc | 1, DW_CFA_def_cfa_offset, 16, DW_CFA_advance_loc | 4,
		      DW_CFA_def_cfa_offset, 8));
	/* Three blocks and a bit; its end is no row, but the last block's rest. */
	cfi_fde(&file.eh_frame, cie, CFI_TEXT + 0x30, 0xc00,
		BYTES(DW_CFA_advance_loc2, 0xd0, 3, DW_CFA_def_cfa_offset, 24));
	assert_int_equal(read_file(&file, &rows), PARSE_OK);
	assert_int_equal(rows.ranges_cnt, 1);
	assert_int_equal(rows.ranges[0].start, CFI_TEXT);
	assert_int_equal(rows.ranges[0].blocks_cnt, 4);
	assert_int_equal(rows.rules_cnt, 5); /* fp chain, unsupported, sp + 8, 16, 24 */
	{
		const uint32_t expected[] = {
			UNWIND_ROW(0, 0),    UNWIND_ROW(0x10, 2), UNWIND_ROW(0x11, 3),
			UNWIND_ROW(0x15, 2), UNWIND_ROW(0, 4),    UNWIND_ROW(0, 4),
			UNWIND_ROW(0, 4),    UNWIND_ROW(0x30, 0),
		};
		const uint32_t blocks[] = { 0, 4, 5, 6, 8 };

		assert_int_equal(rows.rows_cnt, ARRAY_SIZE(expected));
		assert_memory_equal(rows.rows, expected, sizeof(expected));
		assert_memory_equal(rows.blocks, blocks, sizeof(blocks));
	}
	CHECK_GAP(CFI_TEXT);
	CHECK_GAP(CFI_TEXT - 1);
	CHECK_SP(CFI_TEXT + 0x10, 8);
	CHECK_SP(CFI_TEXT + 0x11, 16);
	CHECK_SP(CFI_TEXT + 0x15, 8);
	CHECK_SP(CFI_TEXT + 0x3ff, 8);
	CHECK_SP(CFI_TEXT + 0x400, 24);
	CHECK_SP(CFI_TEXT + 0xc2f, 24);
	CHECK_GAP(CFI_TEXT + 0xc30);
	CHECK_GAP(CFI_TEXT + 0xfff);
	CHECK_GAP(CFI_TEXT + 0x1000);
	CHECK_GAP(0);
	CHECK_GAP(UINT64_MAX);
	assert_int_equal(rows.fdes_cnt, 2);
	unwind_rows__done(&rows);
	cfi_file_done(&file);
}

static void test_gaps(void **state)
{
	struct cfi_file file = { .no_header = false };
	size_t cie = cfi_usual_cie(&file.eh_frame);
	struct unwind_rows rows;

	cfi_fde(&file.eh_frame, cie, CFI_TEXT, 0x18, NULL, 0);        /* then alignment */
	cfi_fde(&file.eh_frame, cie, CFI_TEXT + 0x20, 0x10, NULL, 0); /* then a gap of 16 */
	cfi_fde(&file.eh_frame, cie, CFI_TEXT + 0x40, 0x18, NULL, 0); /* then one of 7 */
	cfi_fde(&file.eh_frame, cie, CFI_TEXT + 0x5f, 1, NULL, 0);
	assert_int_equal(read_file(&file, &rows), PARSE_OK);
	CHECK_SP(CFI_TEXT + 0x18, 8);
	CHECK_SP(CFI_TEXT + 0x2f, 8);
	CHECK_GAP(CFI_TEXT + 0x30);
	CHECK_GAP(CFI_TEXT + 0x3f);
	CHECK_SP(CFI_TEXT + 0x40, 8);
	CHECK_SP(CFI_TEXT + 0x57, 8);
	CHECK_GAP(CFI_TEXT + 0x58);
	CHECK_GAP(CFI_TEXT + 0x5e);
	CHECK_SP(CFI_TEXT + 0x5f, 8);
	CHECK_GAP(CFI_TEXT + 0x60);
	unwind_rows__done(&rows);
	cfi_file_done(&file);
}

static void test_overlaps(void **state)
{
	struct cfi_file file = { .no_header = false };
	struct buf *eh = &file.eh_frame, *debug = &file.debug_frame;
	size_t cie = cfi_usual_cie(eh), debug_cie = cfi_debug_cie(debug, BYTES(CFI_USUAL));
	struct unwind_rows rows;

	cfi_fde(eh, cie, CFI_TEXT + 0x100, 0x100, BYTES(DW_CFA_def_cfa_offset, 16));
	cfi_fde(eh, cie, CFI_TEXT + 0x140, 0x10, BYTES(DW_CFA_def_cfa_offset, 24));
	cfi_fde(eh, cie, CFI_TEXT + 0x140, 0x80, BYTES(DW_CFA_def_cfa_offset, 32));
	cfi_fde(eh, cie, CFI_TEXT + 0x400, 0x10, BYTES(DW_CFA_def_cfa_offset, 40));
	/* At the start of one, inside one, before one and into it, alone. */
	cfi_debug_fde(debug, debug_cie, CFI_TEXT + 0x100, 0x100, BYTES(DW_CFA_def_cfa_offset, 64));
	cfi_debug_fde(debug, debug_cie, CFI_TEXT + 0x148, 0x100, BYTES(DW_CFA_def_cfa_offset, 64));
	cfi_debug_fde(debug, debug_cie, CFI_TEXT + 0x3f0, 0x100, BYTES(DW_CFA_def_cfa_offset, 72));
	cfi_debug_fde(debug, debug_cie, CFI_TEXT + 0x600, 0x10, BYTES(DW_CFA_def_cfa_offset, 80));
	assert_int_equal(read_file(&file, &rows), PARSE_OK);
	CHECK_SP(CFI_TEXT + 0x100, 16);
	CHECK_SP(CFI_TEXT + 0x13f, 16);
	CHECK_SP(CFI_TEXT + 0x140, 24);
	CHECK_SP(CFI_TEXT + 0x14f, 24);
	CHECK_GAP(CFI_TEXT + 0x150);
	CHECK_GAP(CFI_TEXT + 0x1ff);
	CHECK_SP(CFI_TEXT + 0x3f0, 72);
	CHECK_SP(CFI_TEXT + 0x3ff, 72);
	CHECK_SP(CFI_TEXT + 0x400, 40);
	CHECK_GAP(CFI_TEXT + 0x410);
	CHECK_SP(CFI_TEXT + 0x60f, 80);
	CHECK_GAP(CFI_TEXT + 0x610);
	assert_int_equal(rows.fdes_overlaid_cnt, 3);
	unwind_rows__done(&rows);
	cfi_file_done(&file);
}

/* An FDE beyond its segment is cut; one that cannot be understood keeps its range. */
static void test_odd_fdes(void **state)
{
	struct cfi_file file = { .text_bytes = 0x2000 };
	size_t cie = cfi_usual_cie(&file.eh_frame);
	struct unwind_rows rows;

	cfi_fde(&file.eh_frame, cie, CFI_TEXT + 0x1000, 0x7fffffff, NULL, 0);
	cfi_fde(&file.eh_frame, cie, CFI_TEXT, 0x80, BYTES(DW_CFA_advance_loc | 8, 0x3f));
	assert_int_equal(read_file(&file, &rows), PARSE_OK);
	CHECK_SP(CFI_TEXT + 7, 8);
	check_kind(&rows, CFI_TEXT + 8, UNWIND_RULE_UNSUPPORTED, 0);
	check_kind(&rows, CFI_TEXT + 0x7f, UNWIND_RULE_UNSUPPORTED, 0);
	CHECK_GAP(CFI_TEXT + 0x80);
	CHECK_SP(CFI_TEXT + 0x1fff, 8);
	CHECK_GAP(CFI_TEXT + 0x2000);
	assert_int_equal(rows.ranges[0].blocks_cnt, 8);
	assert_int_equal(rows.fdes_bad_cnt, 1);
	unwind_rows__done(&rows);
	cfi_file_done(&file);
}

static void add_alternating(struct buf *b, size_t cie, uint64_t start, uint32_t rows)
{
	_cleanup_buf_ struct buf program = BUF_INIT;

	for (uint32_t i = 0; i < rows; i++) {
		buf__putc(&program, DW_CFA_def_cfa_offset);
		buf__putc(&program, i % 2 ? 8 : 16);
		buf__putc(&program, DW_CFA_advance_loc | 1);
	}
	assert_int_equal(buf__error(&program), 0);
	cfi_fde(b, cie, start, rows, (const uint8_t *)program.data, program.len);
}

/* A row per byte, a few hundred bytes at a time: blocks that must move to the next page. */
static void test_pages(void **state)
{
	struct cfi_file file = { .no_header = false };
	size_t cie = cfi_usual_cie(&file.eh_frame);
	struct unwind_rows rows;

	for (uint32_t i = 0; i < 60; i++)
		add_alternating(&file.eh_frame, cie, CFI_TEXT + 1024 * i + 13 * i, 300 + 10 * i);
	assert_int_equal(read_file(&file, &rows), PARSE_OK);
	for (uint32_t i = 0; i < 60; i++)
		for (uint32_t byte = 0; byte < 300 + 10 * i; byte++)
			CHECK_SP(CFI_TEXT + 1037 * i + byte, byte % 2 ? 8 : 16);
	unwind_rows__done(&rows);
	cfi_file_done(&file);
}

static void test_too_many_rows(void **state)
{
	struct cfi_file file = { .text_bytes = 12u << 20 };
	size_t cie = cfi_usual_cie(&file.eh_frame);
	struct unwind_rows rows;

	for (uint32_t i = 0; i < 8; i++)
		add_alternating(&file.eh_frame, cie, CFI_TEXT + (i << 20), 1u << 20);
	assert_int_equal(read_file(&file, &rows), PARSE_LIMIT);
	cfi_file_done(&file);
}

/* One range per segment, each from its first to its last FDE; none reaches out of its own. */
#define NO_ENTRY UINT64_MAX

static void test_segments(void **state)
{
	const struct text_range text[] = {
		{ .start = CFI_TEXT, .end = CFI_TEXT + 0x1000 },
		{ .start = CFI_TEXT + 0x1000, .end = CFI_TEXT + 0x2000 },
		{ .start = CFI_TEXT + 0x80000000, .end = CFI_TEXT + 0x80010000 },
		{ .start = CFI_TEXT + 0x90000000, .end = CFI_TEXT + 0x90010000 },
	};
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t cie = cfi_debug_cie(&b, BYTES(CFI_USUAL));
	struct cfi_section section = { .is_debug_frame = true };
	struct unwind_rows rows;

	cfi_debug_fde(&b, cie, CFI_TEXT + 0x800, 0x8000, BYTES(DW_CFA_def_cfa_offset, 16));
	cfi_debug_fde(&b, cie, CFI_TEXT + 0x1c10, 0x10, BYTES(DW_CFA_def_cfa_offset, 24));
	cfi_debug_fde(&b, cie, CFI_TEXT + 0x9000ffff, 8, BYTES(DW_CFA_def_cfa_offset, 32));
	section.data = (const unsigned char *)b.data;
	section.bytes = b.len;
	assert_int_equal(unwind_rows__build(&section, 1, text, ARRAY_SIZE(text), NO_ENTRY, &rows),
			 PARSE_OK);
	assert_null(broken_rows(&rows));
	assert_int_equal(rows.ranges_cnt, 3);
	assert_int_equal(rows.ranges[0].start, CFI_TEXT + 0x800);
	assert_int_equal(rows.ranges[0].blocks_cnt, 2);
	assert_int_equal(rows.ranges[1].start, CFI_TEXT + 0x1c00);
	assert_int_equal(rows.ranges[1].blocks_cnt, 1);
	assert_int_equal(rows.ranges[2].start, CFI_TEXT + 0x9000fc00);
	CHECK_SP(CFI_TEXT + 0xfff, 16);
	CHECK_GAP(CFI_TEXT + 0x1000);
	CHECK_GAP(CFI_TEXT + 0x1c0f);
	CHECK_SP(CFI_TEXT + 0x1c10, 24);
	CHECK_GAP(CFI_TEXT + 0x1c20);
	CHECK_SP(CFI_TEXT + 0x9000ffff, 32);
	CHECK_GAP(CFI_TEXT + 0x90010000);
	unwind_rows__done(&rows);
}

/* More rules than a dictionary holds: the rest is unsupported, nothing is mixed up. */
static void test_too_many_rules(void **state)
{
	_cleanup_buf_ struct buf program = BUF_INIT;
	struct cfi_file file = { .no_header = false };
	size_t cie = cfi_usual_cie(&file.eh_frame);
	struct unwind_rows rows;

	for (uint32_t i = 0; i < PARSE_UNWIND_RULES_MAX + 100; i++) {
		const uint8_t offset[] = { DW_CFA_def_cfa_offset, (i & 0x7f) | 0x80,
					   (i >> 7 & 0x7f) | 0x80, (uint8_t)(i >> 14),
					   DW_CFA_advance_loc | 2 };

		buf__append(&program, offset, sizeof(offset));
	}
	cfi_fde(&file.eh_frame, cie, CFI_TEXT, 0x9000, (const uint8_t *)program.data, program.len);
	assert_int_equal(read_file(&file, &rows), PARSE_OK);
	assert_int_equal(rows.rules_cnt, PARSE_UNWIND_RULES_MAX);
	for (uint32_t i = 0; i < PARSE_UNWIND_RULES_MAX - 2; i++)
		CHECK_SP(CFI_TEXT + 2 * i, (int32_t)i);
	for (uint32_t i = PARSE_UNWIND_RULES_MAX - 2; i < PARSE_UNWIND_RULES_MAX + 100; i++)
		check_kind(&rows, CFI_TEXT + 2 * i, UNWIND_RULE_UNSUPPORTED, 0);
	unwind_rows__done(&rows);
	cfi_file_done(&file);
}

/* --- files -------------------------------------------------------------------------------------
 */
static void fill_simple(struct cfi_file *file)
{
	size_t cie = cfi_usual_cie(&file->eh_frame);

	cfi_fde(&file->eh_frame, cie, CFI_TEXT, 0x40, NULL, 0);
	cfi_u32(&file->eh_frame, 0);
}

static void test_finding(void **state)
{
	static const struct cfi_file kinds[] = {
		{ .no_header = true },
		{ .no_sections = true },
		{ .no_header = true, .no_sections = true },
	};
	static const enum parse_status expected[] = { PARSE_OK, PARSE_OK, PARSE_NO_CFI };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct cfi_file file = kinds[i];
		struct unwind_rows rows;

		fill_simple(&file);
		assert_int_equal(read_file(&file, &rows), expected[i]);
		if (expected[i] == PARSE_OK) {
			CHECK_SP(CFI_TEXT, 8);
			unwind_rows__done(&rows);
		}
		cfi_file_done(&file);
	}
}

/* A section header that contradicts the program header is not believed, nor one without bytes. */
static void test_section_headers(void **state)
{
	for (int has_header = 0; has_header < 2; has_header++) {
		struct cfi_file file = { .no_header = !has_header };
		_cleanup_close_ int fd = -1;
		struct unwind_rows rows;
		Elf64_Shdr section;
		Elf64_Ehdr ehdr;

		fill_simple(&file);
		fd = cfi_file_open(&file);
		cfi_file_done(&file);
		assert_int_equal(pread(fd, &ehdr, sizeof(ehdr), 0), sizeof(ehdr));
		ehdr.e_shoff += sizeof(section);
		assert_int_equal(pread(fd, &section, sizeof(section), (off_t)ehdr.e_shoff),
				 sizeof(section));
		section.sh_type = has_header ? SHT_PROGBITS : SHT_NOBITS;
		section.sh_addr += 4;
		section.sh_offset += 4;
		cfi_write(fd, &section, sizeof(section), ehdr.e_shoff);
		assert_int_equal(read_fd(fd, &rows), has_header ? PARSE_OK : PARSE_NO_CFI);
		if (has_header)
			unwind_rows__done(&rows);
	}
}

static void fill_debug_frame(struct buf *b)
{
	size_t cie = cfi_debug_cie(b, BYTES(CFI_USUAL));

	cfi_debug_fde(b, cie, CFI_TEXT + 0x20, 0x20, BYTES(DW_CFA_def_cfa_offset, 48));
}

static void test_debug_frame(void **state)
{
	struct cfi_file file = { .no_header = true };
	struct unwind_rows rows;

	fill_debug_frame(&file.debug_frame);
	assert_int_equal(read_file(&file, &rows), PARSE_OK);
	CHECK_GAP(CFI_TEXT + 0x1f);
	CHECK_SP(CFI_TEXT + 0x20, 48);
	unwind_rows__done(&rows);
	cfi_file_done(&file);
}

/* Reads a file whose .debug_frame claims to inflate to 'claimed' bytes (0: what it does). */
static enum parse_status read_compressed(uint64_t claimed, uint32_t type, size_t cut,
					 struct unwind_rows *ret)
{
	_cleanup_buf_ struct buf plain = BUF_INIT;
	struct cfi_file file = { .no_header = true, .debug_frame_flags = SHF_COMPRESSED };
	enum parse_status status;
	unsigned char packed[512];
	uLongf packed_bytes = sizeof(packed);
	Elf64_Chdr chdr = { .ch_type = type, .ch_addralign = 1 };

	fill_debug_frame(&plain);
	chdr.ch_size = claimed ?: plain.len;
	assert_int_equal(compress(packed, &packed_bytes, (const Bytef *)plain.data, plain.len),
			 Z_OK);
	buf__append(&file.debug_frame, &chdr, sizeof(chdr));
	buf__append(&file.debug_frame, packed, packed_bytes);
	file.debug_frame.len -= cut;
	status = read_file(&file, ret);
	cfi_file_done(&file);
	return status;
}

static void test_compressed(void **state)
{
	struct unwind_rows rows;

	assert_int_equal(read_compressed(0, ELFCOMPRESS_ZLIB, 0, &rows), PARSE_OK);
	CHECK_SP(CFI_TEXT + 0x20, 48);
	unwind_rows__done(&rows);
	assert_int_equal(read_compressed(0, 99, 0, &rows), PARSE_NO_CFI);
	assert_int_equal(read_compressed(0, ELFCOMPRESS_ZLIB, 1, &rows), PARSE_CORRUPT);
	assert_int_equal(read_compressed(1, ELFCOMPRESS_ZLIB, 0, &rows), PARSE_CORRUPT);
	assert_int_equal(read_compressed(1000, ELFCOMPRESS_ZLIB, 0, &rows), PARSE_CORRUPT);
	assert_int_equal(read_compressed(1ull << 40, ELFCOMPRESS_ZLIB, 0, &rows), PARSE_CORRUPT);
	assert_int_equal(read_compressed(UINT64_MAX, ELFCOMPRESS_ZLIB, 0, &rows), PARSE_CORRUPT);
}

static void test_no_cfi(void **state)
{
	struct cfi_file file = { .no_header = false };
	const uint16_t arm = EM_AARCH64;
	struct unwind_rows rows;
	int fd;

	/* FDEs of nothing executable only. */
	cfi_fde(&file.eh_frame, cfi_usual_cie(&file.eh_frame), CFI_VADDR, 0x40, NULL, 0);
	assert_int_equal(read_file(&file, &rows), PARSE_NO_CFI);
	cfi_file_done(&file);
	fill_simple(&file);
	fd = cfi_file_open(&file);
	cfi_write(fd, &arm, sizeof(arm), offsetof(Elf64_Ehdr, e_machine));
	assert_int_equal(read_fd(fd, &rows), PARSE_NO_CFI);
	close(fd);
	cfi_file_done(&file);
}

/* --- real code ---------------------------------------------------------------------------------
 */
static void test_vdso(void **state)
{
	const char *vdso = (const char *)(uintptr_t)getauxval(AT_SYSINFO_EHDR);
	_cleanup_close_ int fd = memfd_create("vdso", MFD_CLOEXEC);
	struct unwind_rows rows;
	Elf64_Ehdr ehdr;

	assert_non_null(vdso);
	memcpy(&ehdr, vdso, sizeof(ehdr));
	assert_int_equal(
		file__write_all(fd, vdso, ehdr.e_shoff + (size_t)ehdr.e_shnum * ehdr.e_shentsize),
		0);
	assert_int_equal(read_fd(fd, &rows), PARSE_OK);
	assert_true(rows.rows_made_cnt > 4);
	unwind_rows__done(&rows);
}

static void *volatile restorer;

static void note_restorer(int sig)
{
	restorer = __builtin_return_address(0);
}

static void test_signal_frame(void **state)
{
	_cleanup_close_ int fd = -1;
	struct unwind_rows rows;
	uint64_t vaddr;
	Dl_info info;

	signal(SIGUSR1, note_restorer);
	raise(SIGUSR1);
	signal(SIGUSR1, SIG_DFL);
	assert_non_null(restorer);
	assert_true(dladdr(restorer, &info));
	fd = open(info.dli_fname, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(read_fd(fd, &rows), PARSE_OK);
	vaddr = (uint64_t)((const char *)restorer - (const char *)info.dli_fbase);
	/* A caller's pc is looked up one byte before it, as every return address is. */
	check_kind(&rows, vaddr, UNWIND_RULE_SIGNAL, 0);
	check_kind(&rows, vaddr - 1, UNWIND_RULE_SIGNAL, 0);
	unwind_rows__done(&rows);
}

/* --- one rule per byte -------------------------------------------------------------------------
 */
struct random_fde {
	uint32_t start, size, steps;
	uint8_t offsets[8], deltas[8];
};

static int compare_starts(const void *a, const void *b)
{
	const struct random_fde *fa = a, *fb = b;

	return (fa->start > fb->start) - (fa->start < fb->start);
}

/* Sorted by address, no two at one, as far apart as it happens. */
static size_t make_fdes(struct random_fde *fdes, size_t cnt, uint32_t span, unsigned int *seed)
{
	size_t kept = 0;

	for (size_t i = 0; i < cnt; i++) {
		struct random_fde *f = &fdes[i];

		f->start = (uint32_t)rand_r(seed) % span;
		f->size = 1 + (uint32_t)rand_r(seed) % (rand_r(seed) % 8 ? 100 : 3000);
		f->steps = (uint32_t)rand_r(seed) % 9;
		for (size_t j = 0; j < 8; j++) {
			f->offsets[j] = (uint8_t)(8 * (rand_r(seed) % 6 + 1));
			f->deltas[j] = (uint8_t)(rand_r(seed) % 40);
		}
	}
	qsort(fdes, cnt, sizeof(*fdes), compare_starts);
	for (size_t i = 0; i < cnt; i++)
		if (!kept || fdes[kept - 1].start != fdes[i].start)
			fdes[kept++] = fdes[i];
	return kept;
}

/* The offset from sp at each byte; 0: a gap; 0xff: alignment, where anything is right. */
static void mark_bytes(uint8_t *map, uint32_t span, const struct random_fde *fdes, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++) {
		const struct random_fde *f = &fdes[i];
		uint32_t end = f->start + f->size, pc = f->start, step = 0, next = span;

		if (i + 1 < cnt)
			next = fdes[i + 1].start;
		if (end > next)
			end = next;
		for (uint8_t offset = 8; pc < end; step++) {
			uint32_t until = step < f->steps ? pc + f->deltas[step] : end;

			for (; pc < until && pc < end; pc++)
				map[pc] = offset;
			if (step < f->steps)
				offset = f->offsets[step];
		}
		if (i + 1 < cnt && next - end < 16 && next % 16 == 0)
			memset(map + end, 0xff, next - end);
	}
}

static void test_random(void **state)
{
	static uint8_t map[CFI_TEXT_BYTES];
	static struct random_fde fdes[600];
	unsigned int seed = 1;

	for (int round = 0; round < 40; round++) {
		struct cfi_file file = { .no_header = round % 2 };
		size_t cie = cfi_usual_cie(&file.eh_frame);
		size_t cnt = make_fdes(fdes, 1 + (size_t)rand_r(&seed) % 600, sizeof(map), &seed);
		struct unwind_rows rows;

		for (size_t i = cnt; i--;) {
			_cleanup_buf_ struct buf program = BUF_INIT;

			for (uint32_t j = 0; j < fdes[i].steps; j++) {
				buf__putc(&program, (char)(DW_CFA_advance_loc | fdes[i].deltas[j]));
				buf__putc(&program, DW_CFA_def_cfa_offset);
				buf__putc(&program, (char)fdes[i].offsets[j]);
			}
			cfi_fde(&file.eh_frame, cie, CFI_TEXT + fdes[i].start, fdes[i].size,
				(const uint8_t *)program.data, program.len);
		}
		memset(map, 0, sizeof(map));
		mark_bytes(map, sizeof(map), fdes, cnt);
		assert_int_equal(read_file(&file, &rows), PARSE_OK);
		for (uint32_t byte = 0; byte < sizeof(map); byte++) {
			if (!map[byte])
				CHECK_GAP(CFI_TEXT + byte);
			else if (map[byte] != 0xff)
				CHECK_SP(CFI_TEXT + byte, map[byte]);
		}
		unwind_rows__done(&rows);
		cfi_file_done(&file);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packing),         cmocka_unit_test(test_gaps),
		cmocka_unit_test(test_overlaps),        cmocka_unit_test(test_odd_fdes),
		cmocka_unit_test(test_pages),           cmocka_unit_test(test_too_many_rows),
		cmocka_unit_test(test_too_many_rules),  cmocka_unit_test(test_segments),
		cmocka_unit_test(test_section_headers), cmocka_unit_test(test_finding),
		cmocka_unit_test(test_debug_frame),     cmocka_unit_test(test_compressed),
		cmocka_unit_test(test_no_cfi),          cmocka_unit_test(test_vdso),
		cmocka_unit_test(test_signal_frame),    cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
