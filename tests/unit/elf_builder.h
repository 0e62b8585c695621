/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small ELF files with chosen symbols, for the tests of parse/ and worker/. One layout: code at
 * 0x401000-0x402000 in two sections, data behind it, a build-id note, .symtab and .dynsym where
 * asked.
 */
#ifndef TESTS_UNIT_ELF_BUILDER_H
#define TESTS_UNIT_ELF_BUILDER_H

#include <elf.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/buf.h"
#include "base/file.h"

#define BUILT_TEXT_OFFSET 0x1000u
#define BUILT_TEXT_VADDR  0x401000u
#define BUILT_TEXT_BYTES  0x1000u
#define BUILT_SECOND      0x401800u /* where the second code section begins */

enum built_section {
	BUILT_NULL = 0,
	BUILT_TEXT = 1,
	BUILT_TEXT2 = 2,
	BUILT_DATA = 3,
	BUILT_NOTE = 4,
	BUILT_SYMTAB = 5,
	BUILT_STRTAB = 6,
	BUILT_DYNSYM = 7,
	BUILT_DYNSTR = 8,
	BUILT_SECTIONS = 9,
};

struct built_symbol {
	const char *name;
	uint64_t value, size;
	uint8_t type, bind;
	uint16_t section;
};

struct built_elf {
	const struct built_symbol *symtab, *dynsym; /* ended by a NULL name; NULL: no such table */
	uint64_t symtab_flags;
};

static const uint8_t built_build_id[] = { 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4 };

static inline void built_pad(struct buf *out, size_t to)
{
	while (out->len < to)
		buf__putc(out, '\0');
}

/* Appends a table and then its strings, and describes both. */
static inline void built_table(struct buf *out, const struct built_symbol *symbols,
			       Elf64_Shdr *table, Elf64_Shdr *strings, uint32_t strings_idx)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	const Elf64_Sym null = { .st_name = 0 };

	if (!symbols)
		return;
	built_pad(out, (out->len + 7) & ~(size_t)7);
	table->sh_offset = out->len;
	table->sh_entsize = sizeof(Elf64_Sym);
	table->sh_link = strings_idx;
	buf__putc(&text, '\0');
	buf__append(out, &null, sizeof(null));
	for (const struct built_symbol *s = symbols; s->name; s++) {
		const Elf64_Sym sym = {
			.st_name = (Elf64_Word)text.len,
			.st_info = ELF64_ST_INFO(s->bind, s->type),
			.st_shndx = s->section,
			.st_value = s->value,
			.st_size = s->size,
		};

		buf__append(out, &sym, sizeof(sym));
		buf__append(&text, s->name, strlen(s->name) + 1);
	}
	table->sh_size = out->len - table->sh_offset;
	strings->sh_type = SHT_STRTAB;
	strings->sh_offset = out->len;
	strings->sh_size = text.len;
	buf__append(out, text.data, text.len);
}

static inline void build_elf(const struct built_elf *spec, struct buf *out)
{
	const Elf64_Nhdr note = { .n_namesz = 4,
				  .n_descsz = sizeof(built_build_id),
				  .n_type = NT_GNU_BUILD_ID };
	const size_t note_offset = 0x200, note_bytes = sizeof(note) + 4 + sizeof(built_build_id);
	Elf64_Shdr sections[BUILT_SECTIONS] = {
		[BUILT_TEXT] = { .sh_type = SHT_PROGBITS,
				 .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
				 .sh_addr = BUILT_TEXT_VADDR,
				 .sh_offset = BUILT_TEXT_OFFSET,
				 .sh_size = BUILT_SECOND - BUILT_TEXT_VADDR },
		[BUILT_TEXT2] = { .sh_type = SHT_PROGBITS,
				  .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
				  .sh_addr = BUILT_SECOND,
				  .sh_offset = BUILT_TEXT_OFFSET + 0x800,
				  .sh_size = 0x800 },
		[BUILT_DATA] = { .sh_type = SHT_NOBITS,
				 .sh_flags = SHF_ALLOC | SHF_WRITE,
				 .sh_addr = 0x403000,
				 .sh_size = 0x1000 },
		[BUILT_NOTE] = { .sh_type = SHT_NOTE,
				 .sh_offset = note_offset,
				 .sh_size = note_bytes,
				 .sh_addralign = 4 },
		[BUILT_SYMTAB] = { .sh_type = spec->symtab ? SHT_SYMTAB : SHT_NULL,
				   .sh_flags = spec->symtab_flags },
		[BUILT_DYNSYM] = { .sh_type = spec->dynsym ? SHT_DYNSYM : SHT_NULL },
	};
	const Elf64_Phdr segments[] = {
		{ .p_type = PT_LOAD,
		  .p_flags = PF_R | PF_X,
		  .p_offset = BUILT_TEXT_OFFSET,
		  .p_vaddr = BUILT_TEXT_VADDR,
		  .p_filesz = BUILT_TEXT_BYTES,
		  .p_memsz = BUILT_TEXT_BYTES,
		  .p_align = 0x1000 },
		{ .p_type = PT_NOTE,
		  .p_flags = PF_R,
		  .p_offset = note_offset,
		  .p_filesz = note_bytes,
		  .p_memsz = note_bytes,
		  .p_align = 4 },
	};
	Elf64_Ehdr ehdr = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_DYN,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(ehdr),
		.e_ehsize = sizeof(ehdr),
		.e_phentsize = sizeof(segments[0]),
		.e_phnum = 2,
		.e_shentsize = sizeof(sections[0]),
		.e_shnum = BUILT_SECTIONS,
	};

	buf__append(out, &ehdr, sizeof(ehdr));
	buf__append(out, segments, sizeof(segments));
	built_pad(out, note_offset);
	buf__append(out, &note, sizeof(note));
	buf__append(out, "GNU", 4);
	buf__append(out, built_build_id, sizeof(built_build_id));
	built_pad(out, BUILT_TEXT_OFFSET + BUILT_TEXT_BYTES);
	built_table(out, spec->symtab, &sections[BUILT_SYMTAB], &sections[BUILT_STRTAB],
		    BUILT_STRTAB);
	built_table(out, spec->dynsym, &sections[BUILT_DYNSYM], &sections[BUILT_DYNSTR],
		    BUILT_DYNSTR);
	built_pad(out, (out->len + 7) & ~(size_t)7);
	ehdr.e_shoff = out->len;
	buf__append(out, sections, sizeof(sections));
	assert_int_equal(buf__error(out), 0);
	memcpy(out->data, &ehdr, sizeof(ehdr));
}

/* A memfd with these bytes, at offset 0; the caller closes it. */
static inline int file_of_bytes(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(file__write_all(fd, data, len), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static inline int file_of_elf(const struct built_elf *spec)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT;

	build_elf(spec, &bytes);
	return file_of_bytes(bytes.data, bytes.len);
}

#endif
