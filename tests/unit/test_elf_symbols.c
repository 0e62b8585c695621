/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf_image.c and elf_symbols.c: who covers an address, ties, gaps, missing and lying tables; and a
 * second, slow implementation of the same rules over our own executable and libc.
 */
#include "elf_builder.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gelf.h>
#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/array.h"
#include "parse/elf_image.h"
#include "parse/elf_symbols.h"

#define FUNC(n, v, s)                                                                              \
	{                                                                                          \
		n, v, s, STT_FUNC, STB_GLOBAL, BUILT_TEXT                                          \
	}
#define NOTYPE(n, v, s)                                                                            \
	{                                                                                          \
		n, v, s, STT_NOTYPE, STB_GLOBAL, BUILT_TEXT                                        \
	}
#define T0 BUILT_TEXT_VADDR

static void check_names(const struct built_elf *spec, const uint64_t *addresses,
			const char *const *expected, size_t cnt)
{
	struct elf_symbol found[32];
	struct elf_image image;
	int fd = file_of_elf(spec);

	assert_true(cnt <= ARRAY_SIZE(found));
	assert_int_equal(elf_image__open(fd, &image), PARSE_OK);
	assert_int_equal(elf_symbols__find(&image, addresses, cnt, found), PARSE_OK);
	for (size_t i = 0; i < cnt; i++) {
		char name[64];

		if (!expected[i]) {
			assert_null(found[i].name);
			continue;
		}
		assert_non_null(found[i].name);
		snprintf(name, sizeof(name), "%.*s", (int)found[i].name_len, found[i].name);
		assert_string_equal(name, expected[i]);
	}
	elf_image__done(&image);
	close(fd);
}

static void test_covering(void **state)
{
	const struct built_symbol symbols[] = {
		FUNC("outer", T0 + 0x100, 0x100),
		FUNC("inner", T0 + 0x140, 0x20),
		FUNC("other", T0 + 0x300, 0x10),
		{ NULL },
	};
	const uint64_t addresses[] = { T0 + 0xff,  T0 + 0x100, T0 + 0x13f, T0 + 0x140,
				       T0 + 0x15f, T0 + 0x160, T0 + 0x160, T0 + 0x1ff,
				       T0 + 0x200, T0 + 0x2ff, T0 + 0x30f, T0 + 0x310 };
	const char *const names[] = { NULL,    "outer", "outer", "inner", "inner", "outer",
				      "outer", "outer", NULL,    NULL,    "other", NULL };

	check_names(&(struct built_elf){ .symtab = symbols }, addresses, names,
		    ARRAY_SIZE(addresses));
}

/* Size 0 reaches to the next symbol, of any kind, of its section, and not out of the section. */
static void test_zero_size(void **state)
{
	const struct built_symbol symbols[] = {
		NOTYPE("asm_entry", T0 + 0x100, 0),
		FUNC("sized", T0 + 0x180, 0x10),
		NOTYPE("asm_loop", T0 + 0x200, 0),
		{ "table", T0 + 0x280, 0x20, STT_OBJECT, STB_LOCAL, BUILT_TEXT },
		NOTYPE("last", T0 + 0x700, 0),
		{ "absolute", T0 + 0x110, 0, STT_NOTYPE, STB_GLOBAL, SHN_ABS },
		{ "undefined", T0 + 0x110, 0x10, STT_FUNC, STB_GLOBAL, SHN_UNDEF },
		{ "data", T0 + 0x118, 0x10, STT_NOTYPE, STB_GLOBAL, BUILT_DATA },
		{ "$x", T0 + 0x120, 0, STT_NOTYPE, STB_LOCAL, BUILT_TEXT },
		{ "$d.7", T0 + 0x124, 0, STT_NOTYPE, STB_LOCAL, BUILT_TEXT },
		{ "", T0 + 0x128, 0, STT_NOTYPE, STB_LOCAL, BUILT_TEXT },
		{ NULL },
	};
	const uint64_t addresses[] = { T0 + 0xff,    T0 + 0x100,         T0 + 0x119,
				       T0 + 0x130,   T0 + 0x17f,         T0 + 0x180,
				       T0 + 0x190,   T0 + 0x200,         T0 + 0x27f,
				       T0 + 0x290,   T0 + 0x700,         BUILT_SECOND - 1,
				       BUILT_SECOND, BUILT_SECOND + 0x10 };
	const char *const names[] = { NULL,    "asm_entry", "asm_entry", "asm_entry", "asm_entry",
				      "sized", NULL,        "asm_loop",  "asm_loop",  NULL,
				      "last",  "last",      NULL,        NULL };

	check_names(&(struct built_elf){ .symtab = symbols }, addresses, names,
		    ARRAY_SIZE(addresses));
}

/* A symbol with a size wins over a nearer one without. */
static void test_zero_size_inside_sized(void **state)
{
	const struct built_symbol symbols[] = {
		FUNC("sized", T0 + 0x100, 0x40),
		NOTYPE("label", T0 + 0x120, 0),
		{ NULL },
	};
	const uint64_t addresses[] = { T0 + 0x11f, T0 + 0x120, T0 + 0x13f, T0 + 0x140 };
	const char *const names[] = { "sized", "sized", "sized", "label" };

	check_names(&(struct built_elf){ .symtab = symbols }, addresses, names,
		    ARRAY_SIZE(addresses));
}

static void test_ties(void **state)
{
	const struct built_symbol symbols[] = {
		{ "a", T0 + 0x00, 8, STT_NOTYPE, STB_GLOBAL, BUILT_TEXT },
		{ "function", T0 + 0x00, 8, STT_FUNC, STB_LOCAL, BUILT_TEXT },
		{ "w", T0 + 0x10, 8, STT_FUNC, STB_WEAK, BUILT_TEXT },
		{ "global", T0 + 0x10, 8, STT_FUNC, STB_GLOBAL, BUILT_TEXT },
		{ "l", T0 + 0x10, 8, STT_FUNC, STB_LOCAL, BUILT_TEXT },
		{ "longer", T0 + 0x20, 8, STT_FUNC, STB_GLOBAL, BUILT_TEXT },
		{ "short", T0 + 0x20, 8, STT_GNU_IFUNC, STB_GLOBAL, BUILT_TEXT },
		{ "bbb", T0 + 0x30, 8, STT_FUNC, STB_GLOBAL, BUILT_TEXT },
		{ "aaa", T0 + 0x30, 8, STT_FUNC, STB_GLOBAL, BUILT_TEXT },
		{ "ccc", T0 + 0x30, 8, STT_FUNC, STB_GLOBAL, BUILT_TEXT },
		{ "memcpy@@GLIBC_2.14", T0 + 0x40, 8, STT_FUNC, STB_GLOBAL, BUILT_TEXT },
		{ "zero_b", T0 + 0x50, 0, STT_NOTYPE, STB_LOCAL, BUILT_TEXT },
		{ "zero_a", T0 + 0x50, 0, STT_NOTYPE, STB_LOCAL, BUILT_TEXT },
		{ NULL },
	};
	const uint64_t addresses[] = { T0, T0 + 0x10, T0 + 0x20, T0 + 0x30, T0 + 0x40, T0 + 0x55 };
	const char *const names[] = { "function", "global", "short", "aaa", "memcpy", "zero_a" };

	check_names(&(struct built_elf){ .symtab = symbols }, addresses, names,
		    ARRAY_SIZE(addresses));
}

static void test_dynsym_fills_in(void **state)
{
	const struct built_symbol symtab[] = {
		FUNC("from_symtab", T0 + 0x100, 0x10),
		NOTYPE("label", T0 + 0x200, 0),
		{ NULL },
	};
	const struct built_symbol dynsym[] = {
		FUNC("dyn_inner", T0 + 0x108, 0x08),
		FUNC("dyn_only", T0 + 0x210, 0x10),
		{ NULL },
	};
	const uint64_t addresses[] = { T0 + 0x10c, T0 + 0x20f, T0 + 0x218, T0 + 0x220 };
	const char *const names[] = { "from_symtab", "label", "dyn_only", NULL };
	const char *const dynamic[] = { "dyn_inner", NULL, "dyn_only", NULL };

	check_names(&(struct built_elf){ .symtab = symtab, .dynsym = dynsym }, addresses, names,
		    ARRAY_SIZE(addresses));
	check_names(&(struct built_elf){ .dynsym = dynsym }, addresses, dynamic,
		    ARRAY_SIZE(addresses));
	/* An answer does not depend on what else is asked. */
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++)
		check_names(&(struct built_elf){ .symtab = symtab, .dynsym = dynsym },
			    &addresses[i], &names[i], 1);
}

static void test_segments_and_build_id(void **state)
{
	int fd = file_of_elf(&(struct built_elf){ .symtab = NULL });
	const uint64_t address = T0;
	struct elf_symbol found;
	struct elf_image image;
	int32_t segment;

	assert_int_equal(elf_image__open(fd, &image), PARSE_OK);
	assert_int_equal(image.segments_cnt, 1);
	assert_int_equal(image.segments[0].vaddr, BUILT_TEXT_VADDR);
	assert_int_equal(image.segments[0].limit, BUILT_TEXT_VADDR + BUILT_TEXT_BYTES);
	assert_int_equal(image.segments[0].offset, BUILT_TEXT_OFFSET);
	assert_int_equal(image.build_id_len, sizeof(built_build_id));
	assert_memory_equal(image.build_id, built_build_id, sizeof(built_build_id));
	assert_int_equal(elf_image__vaddr(&image, BUILT_TEXT_OFFSET + 0x123, &segment),
			 BUILT_TEXT_VADDR + 0x123);
	assert_int_equal(segment, 0);
	assert_int_equal(elf_image__vaddr(&image, 0x200, &segment), 0x200);
	assert_int_equal(segment, -1);
	assert_int_equal(elf_image__vaddr(&image, UINT64_MAX, &segment), -1);
	assert_int_equal(segment, -1);
	assert_int_equal(elf_symbols__find(&image, &address, 1, &found), PARSE_NO_SYMBOLS);
	assert_null(found.name);
	elf_image__done(&image);
	close(fd);
}

static enum parse_status open_bytes(const void *data, size_t len)
{
	struct elf_image image = { .map = NULL };
	int fd = file_of_bytes(data, len);
	enum parse_status status;

	status = elf_image__open(fd, &image);
	if (status == PARSE_OK)
		elf_image__done(&image);
	close(fd);
	return status;
}

/* One header field changed, and what that is called. */
static void test_lying_headers(void **state)
{
	const struct {
		size_t offset, bytes;
		uint64_t value;
		enum parse_status expected;
	} lies[] = {
		{ 0, 1, 0x7e, PARSE_NOT_ELF },
		{ EI_CLASS, 1, 3, PARSE_NOT_ELF },
		{ EI_DATA, 1, ELFDATA2MSB, PARSE_NOT_ELF },
		{ offsetof(Elf64_Ehdr, e_machine), 2, EM_S390, PARSE_NOT_ELF },
		{ offsetof(Elf64_Ehdr, e_type), 2, ET_REL, PARSE_NOT_ELF },
		{ offsetof(Elf64_Ehdr, e_type), 2, ET_CORE, PARSE_NOT_ELF },
		/* the code segment: offset, address, sizes */
		{ 64 + offsetof(Elf64_Phdr, p_offset), 8, UINT64_MAX - 0xfff, PARSE_CORRUPT },
		{ 64 + offsetof(Elf64_Phdr, p_offset), 8, 0x1001, PARSE_CORRUPT },
		{ 64 + offsetof(Elf64_Phdr, p_vaddr), 8, UINT64_MAX - 0xfff, PARSE_CORRUPT },
		{ 64 + offsetof(Elf64_Phdr, p_filesz), 8, UINT64_MAX, PARSE_CORRUPT },
		{ 64 + offsetof(Elf64_Phdr, p_memsz), 8, 1, PARSE_CORRUPT },
		/* the note: sizes that would be read over */
		{ 64 + 56 + offsetof(Elf64_Phdr, p_filesz), 8, UINT64_MAX, PARSE_OK },
		{ 64 + 56 + offsetof(Elf64_Phdr, p_offset), 8, UINT64_MAX, PARSE_OK },
		{ 0x200, 4, UINT32_MAX, PARSE_OK },
		{ 0x204, 4, UINT32_MAX, PARSE_OK },
	};
	_cleanup_buf_ struct buf elf = BUF_INIT;

	build_elf(&(struct built_elf){ .symtab = NULL }, &elf);
	assert_int_equal(open_bytes(elf.data, elf.len), PARSE_OK);
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		char saved[8];

		memcpy(saved, elf.data + lies[i].offset, lies[i].bytes);
		memcpy(elf.data + lies[i].offset, &lies[i].value, lies[i].bytes);
		assert_int_equal(open_bytes(elf.data, elf.len), lies[i].expected);
		memcpy(elf.data + lies[i].offset, saved, lies[i].bytes);
	}
	assert_int_equal(open_bytes("", 0), PARSE_NOT_ELF);
	assert_int_equal(open_bytes(elf.data, 63), PARSE_NOT_ELF);
	assert_int_equal(open_bytes(elf.data, 0x1800), PARSE_CORRUPT);
}

/* The number of sections is taken from section 0 when the header says 0; libelf allocates by it. */
static void test_section_count_is_limited(void **state)
{
	_cleanup_buf_ struct buf elf = BUF_INIT;
	Elf64_Shdr first;
	Elf64_Ehdr ehdr;

	build_elf(&(struct built_elf){ .symtab = NULL }, &elf);
	memcpy(&ehdr, elf.data, sizeof(ehdr));
	memcpy(&first, elf.data + ehdr.e_shoff, sizeof(first));
	ehdr.e_shnum = 0;
	first.sh_size = 1ULL << 40;
	memcpy(elf.data, &ehdr, sizeof(ehdr));
	memcpy(elf.data + ehdr.e_shoff, &first, sizeof(first));
	assert_int_equal(open_bytes(elf.data, elf.len), PARSE_LIMIT);
}

static enum parse_status find_in(const struct buf *elf, uint64_t address)
{
	int fd = file_of_bytes(elf->data, elf->len);
	enum parse_status status;
	struct elf_symbol found;
	struct elf_image image;

	status = elf_image__open(fd, &image);
	if (status == PARSE_OK) {
		status = elf_symbols__find(&image, &address, 1, &found);
		elf_image__done(&image);
	}
	close(fd);
	return status;
}

static void test_lying_tables(void **state)
{
	const struct built_symbol symbols[] = { FUNC("f", T0 + 0x100, 0x100), { NULL } };
	const struct {
		size_t section, offset, bytes;
		uint64_t value;
		enum parse_status expected;
	} lies[] = {
		{ BUILT_SYMTAB, offsetof(Elf64_Shdr, sh_flags), 8, SHF_COMPRESSED, PARSE_LIMIT },
		{ BUILT_STRTAB, offsetof(Elf64_Shdr, sh_flags), 8, SHF_COMPRESSED, PARSE_LIMIT },
		{ BUILT_SYMTAB, offsetof(Elf64_Shdr, sh_size), 8, UINT64_MAX, PARSE_CORRUPT },
		{ BUILT_SYMTAB, offsetof(Elf64_Shdr, sh_offset), 8, 1ULL << 40, PARSE_CORRUPT },
		{ BUILT_SYMTAB, offsetof(Elf64_Shdr, sh_entsize), 8, 1, PARSE_CORRUPT },
		{ BUILT_SYMTAB, offsetof(Elf64_Shdr, sh_entsize), 8, 0, PARSE_CORRUPT },
		{ BUILT_SYMTAB, offsetof(Elf64_Shdr, sh_link), 4, UINT32_MAX, PARSE_CORRUPT },
		{ BUILT_SYMTAB, offsetof(Elf64_Shdr, sh_link), 4, BUILT_SYMTAB, PARSE_CORRUPT },
		{ BUILT_STRTAB, offsetof(Elf64_Shdr, sh_size), 8, UINT64_MAX, PARSE_CORRUPT },
		{ BUILT_STRTAB, offsetof(Elf64_Shdr, sh_size), 8, 2, PARSE_OK },
	};
	_cleanup_buf_ struct buf elf = BUF_INIT;
	Elf64_Ehdr ehdr;

	build_elf(&(struct built_elf){ .symtab = symbols }, &elf);
	memcpy(&ehdr, elf.data, sizeof(ehdr));
	assert_int_equal(find_in(&elf, T0 + 0x100), PARSE_OK);
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		char *field = elf.data + ehdr.e_shoff + lies[i].section * sizeof(Elf64_Shdr) +
			      lies[i].offset;
		char saved[8];

		memcpy(saved, field, lies[i].bytes);
		memcpy(field, &lies[i].value, lies[i].bytes);
		assert_int_equal(find_in(&elf, T0 + 0x100), lies[i].expected);
		memcpy(field, saved, lies[i].bytes);
	}
}

/* --- the same rules, spelled out over real files -----------------------------------------------
 */
struct slow_table {
	Elf_Data *data;
	Elf *elf;
	size_t strings;
};

static bool slow_usable(const struct slow_table *t, int i, GElf_Sym *sym)
{
	GElf_Shdr shdr;
	unsigned int type;

	assert_non_null(gelf_getsym(t->data, i, sym));
	type = GELF_ST_TYPE(sym->st_info);
	return sym->st_shndx != SHN_UNDEF && sym->st_shndx < SHN_LORESERVE &&
	       gelf_getshdr(elf_getscn(t->elf, sym->st_shndx), &shdr) &&
	       (shdr.sh_flags & SHF_EXECINSTR) && type != STT_SECTION && type != STT_FILE &&
	       type != STT_TLS;
}

/* Start of the innermost sized symbol that covers the address; 0: none. */
static uint64_t slow_sized(const struct slow_table *t, uint64_t address)
{
	int cnt = t->data ? (int)(t->data->d_size / sizeof(Elf64_Sym)) : 0;
	uint64_t best = 0;

	for (int i = 0; i < cnt; i++) {
		unsigned int type;
		GElf_Sym sym;

		if (!slow_usable(t, i, &sym))
			continue;
		type = GELF_ST_TYPE(sym.st_info);
		if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE)
			continue;
		if (address >= sym.st_value && address - sym.st_value < sym.st_size &&
		    sym.st_value > best)
			best = sym.st_value;
	}
	return best;
}

static void find_slow_tables(Elf *elf, struct slow_table *symtab, struct slow_table *dynsym)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(elf, scn))) {
		struct slow_table *t;
		GElf_Shdr shdr;

		assert_non_null(gelf_getshdr(scn, &shdr));
		if (shdr.sh_type != SHT_SYMTAB && shdr.sh_type != SHT_DYNSYM)
			continue;
		t = shdr.sh_type == SHT_SYMTAB ? symtab : dynsym;
		*t = (struct slow_table){ elf_getdata(scn, NULL), elf, shdr.sh_link };
	}
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void compare_with_slow(const char *path)
{
	struct slow_table symtab = { .data = NULL }, dynsym = { .data = NULL };
	struct elf_symbol found[300];
	uint64_t addresses[300];
	struct elf_image image;
	int fd = open(path, O_RDONLY | O_CLOEXEC), named = 0;

	assert_true(fd >= 0);
	assert_int_equal(elf_image__open(fd, &image), PARSE_OK);
	assert_true(image.segments_cnt > 0);
	find_slow_tables(image.elf, &symtab, &dynsym);
	srand(7);
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		const struct elf_segment *s = &image.segments[0];

		addresses[i] = s->vaddr + (uint64_t)rand() % (s->limit - s->vaddr);
	}
	qsort(addresses, ARRAY_SIZE(addresses), sizeof(addresses[0]), compare_u64);
	assert_int_equal(elf_symbols__find(&image, addresses, ARRAY_SIZE(addresses), found),
			 PARSE_OK);
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		uint64_t start = slow_sized(&symtab, addresses[i]);

		start = start ? start : slow_sized(&dynsym, addresses[i]);
		if (!start)
			continue;
		assert_non_null(found[i].name);
		assert_int_equal(found[i].start, start);
		named++;
	}
	assert_true(named > 50);
	elf_image__done(&image);
	close(fd);
}

static void test_against_slow_search(void **state)
{
	Dl_info libc;

	compare_with_slow("/proc/self/exe");
	assert_int_not_equal(dladdr((void *)gnu_get_libc_version, &libc), 0);
	compare_with_slow(libc.dli_fname);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_covering),
		cmocka_unit_test(test_zero_size),
		cmocka_unit_test(test_zero_size_inside_sized),
		cmocka_unit_test(test_ties),
		cmocka_unit_test(test_dynsym_fills_in),
		cmocka_unit_test(test_segments_and_build_id),
		cmocka_unit_test(test_lying_headers),
		cmocka_unit_test(test_section_count_is_limited),
		cmocka_unit_test(test_lying_tables),
		cmocka_unit_test(test_against_slow_search),
	};

	return cmocka_run_group_tests_name("elf_symbols", tests, NULL, NULL);
}
