/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Call frame information byte by byte, alone and as an ELF file around it, for the tests of parse/:
 * text at CFI_TEXT, the section far behind it so that any amount of text fits (the file is sparse).
 */
#ifndef TESTS_UNIT_CFI_BUILDER_H
#define TESTS_UNIT_CFI_BUILDER_H

#include <dwarf.h>
#include <elf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/buf.h"

#define CFI_BASE          0x400000u
#define CFI_TEXT_OFFSET   0x1000u
#define CFI_TEXT          (CFI_BASE + CFI_TEXT_OFFSET)
#define CFI_TEXT_BYTES    0x10000u
#define CFI_HEADER_OFFSET 0x10000000u
#define CFI_OFFSET        (CFI_HEADER_OFFSET + 16)
#define CFI_VADDR         (CFI_BASE + CFI_OFFSET)

/* For literal bytes: BYTES(1, 2, 3) is "pointer, count". */
#define BYTES(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

/* CFA = rsp + 8, return address at CFA - 8: what every compiler begins with. */
#define CFI_USUAL DW_CFA_def_cfa, 7, 8, DW_CFA_offset | 16, 1

static inline void cfi_u32(struct buf *b, uint32_t value)
{
	buf__append(b, &value, sizeof(value));
}

static inline void cfi_u64(struct buf *b, uint64_t value)
{
	buf__append(b, &value, sizeof(value));
}

/* Writes the length of the entry at 'offset', which ends here. */
static inline void cfi_end(struct buf *b, size_t offset)
{
	uint32_t length;

	while (b->len % 4)
		buf__putc(b, DW_CFA_nop);
	length = (uint32_t)(b->len - offset - 4);
	memcpy(b->data + offset, &length, sizeof(length));
}

static inline size_t cfi_begin(struct buf *b, uint32_t id)
{
	size_t offset = b->len;

	cfi_u32(b, 0);
	cfi_u32(b, id);
	return offset;
}

/* A CIE as gcc writes it: "zR", pc-relative 32-bit addresses. Its offset. */
static inline size_t cfi_cie(struct buf *b, const uint8_t *instructions, size_t bytes)
{
	static const uint8_t head[] = { 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b };
	size_t offset = cfi_begin(b, 0);

	buf__append(b, head, sizeof(head));
	buf__append(b, instructions, bytes);
	cfi_end(b, offset);
	return offset;
}

static inline size_t cfi_usual_cie(struct buf *b)
{
	return cfi_cie(b, BYTES(CFI_USUAL));
}

/* An FDE of such a CIE for [start, start + size), in a section at CFI_VADDR. Its offset. */
static inline size_t cfi_fde(struct buf *b, size_t cie, uint64_t start, uint32_t size,
			     const uint8_t *instructions, size_t bytes)
{
	size_t offset = cfi_begin(b, (uint32_t)(b->len + 4 - cie));

	cfi_u32(b, (uint32_t)(start - (CFI_VADDR + b->len)));
	cfi_u32(b, size);
	buf__putc(b, 0);
	if (bytes)
		buf__append(b, instructions, bytes);
	cfi_end(b, offset);
	return offset;
}

/* The same in .debug_frame: no augmentation, absolute addresses. */
static inline size_t cfi_debug_cie(struct buf *b, const uint8_t *instructions, size_t bytes)
{
	static const uint8_t head[] = { 4, 0, 8, 0, 1, 0x78, 16 };
	size_t offset = cfi_begin(b, UINT32_MAX);

	buf__append(b, head, sizeof(head));
	buf__append(b, instructions, bytes);
	cfi_end(b, offset);
	return offset;
}

static inline void cfi_debug_fde(struct buf *b, size_t cie, uint64_t start, uint64_t size,
				 const uint8_t *instructions, size_t bytes)
{
	size_t offset = cfi_begin(b, (uint32_t)cie);

	cfi_u64(b, start);
	cfi_u64(b, size);
	buf__append(b, instructions, bytes);
	cfi_end(b, offset);
}

/* --- files -------------------------------------------------------------------------------------
 */
struct cfi_file {
	struct buf eh_frame, debug_frame;
	uint64_t text_bytes;         /* 0: CFI_TEXT_BYTES */
	bool no_header, no_sections; /* without PT_GNU_EH_FRAME; without section headers */
	uint64_t debug_frame_flags;  /* SHF_COMPRESSED: debug_frame is compressed already */
};

static inline void cfi_write(int fd, const void *data, size_t bytes, uint64_t offset)
{
	assert_int_equal(pwrite(fd, data, bytes, (off_t)offset), (ssize_t)bytes);
}

static inline void cfi_write_sections(int fd, const struct cfi_file *file, uint64_t offset)
{
	static const char names[] = "\0.eh_frame\0.debug_frame\0.shstrtab";
	const uint64_t debug = CFI_OFFSET + file->eh_frame.len;
	const Elf64_Shdr sections[4] = {
		{ .sh_type = SHT_NULL },
		{ .sh_name = 1,
		  .sh_type = file->eh_frame.len ? SHT_PROGBITS : SHT_NOBITS,
		  .sh_flags = SHF_ALLOC,
		  .sh_addr = CFI_VADDR,
		  .sh_offset = CFI_OFFSET,
		  .sh_size = file->eh_frame.len },
		{ .sh_name = 11,
		  .sh_type = file->debug_frame.len ? SHT_PROGBITS : SHT_NOBITS,
		  .sh_flags = file->debug_frame_flags,
		  .sh_offset = debug,
		  .sh_size = file->debug_frame.len },
		{ .sh_name = 24,
		  .sh_type = SHT_STRTAB,
		  .sh_offset = offset + sizeof(sections),
		  .sh_size = sizeof(names) },
	};

	if (file->debug_frame.len)
		cfi_write(fd, file->debug_frame.data, file->debug_frame.len, debug);
	cfi_write(fd, sections, sizeof(sections), offset);
	cfi_write(fd, names, sizeof(names), offset + sizeof(sections));
}

/* A memfd; the caller closes it and releases the two buffers. */
static inline int cfi_file_open(const struct cfi_file *file)
{
	const uint64_t loaded = CFI_OFFSET + file->eh_frame.len;
	const uint64_t shoff = (loaded + file->debug_frame.len + 15) & ~15ul;
	const uint64_t text_bytes = file->text_bytes ?: CFI_TEXT_BYTES;
	const uint8_t header[] = { 1, DW_EH_PE_udata4, DW_EH_PE_omit, DW_EH_PE_omit };
	const uint32_t pointer = CFI_VADDR;
	const Elf64_Phdr segments[] = {
		{ .p_type = PT_LOAD,
		  .p_flags = PF_R | PF_X,
		  .p_offset = CFI_TEXT_OFFSET,
		  .p_vaddr = CFI_TEXT,
		  .p_filesz = text_bytes,
		  .p_memsz = text_bytes },
		{ .p_type = PT_LOAD,
		  .p_flags = PF_R,
		  .p_offset = CFI_HEADER_OFFSET,
		  .p_vaddr = CFI_BASE + CFI_HEADER_OFFSET,
		  .p_filesz = loaded - CFI_HEADER_OFFSET,
		  .p_memsz = loaded - CFI_HEADER_OFFSET },
		{ .p_type = file->no_header ? PT_NULL : PT_GNU_EH_FRAME,
		  .p_offset = CFI_HEADER_OFFSET,
		  .p_vaddr = CFI_BASE + CFI_HEADER_OFFSET,
		  .p_filesz = sizeof(header) + sizeof(pointer),
		  .p_memsz = sizeof(header) + sizeof(pointer) },
	};
	const Elf64_Ehdr ehdr = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_DYN,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(ehdr),
		.e_ehsize = sizeof(ehdr),
		.e_phentsize = sizeof(segments[0]),
		.e_phnum = 3,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shoff = file->no_sections ? 0 : shoff,
		.e_shnum = file->no_sections ? 0 : 4,
		.e_shstrndx = file->no_sections ? 0 : 3,
	};
	int fd = memfd_create("cfi", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(buf__error(&file->eh_frame), 0);
	assert_int_equal(buf__error(&file->debug_frame), 0);
	assert_int_equal(ftruncate(fd, (off_t)(text_bytes + shoff)), 0);
	cfi_write(fd, &ehdr, sizeof(ehdr), 0);
	cfi_write(fd, segments, sizeof(segments), sizeof(ehdr));
	cfi_write(fd, header, sizeof(header), CFI_HEADER_OFFSET);
	cfi_write(fd, &pointer, sizeof(pointer), CFI_HEADER_OFFSET + sizeof(header));
	if (file->eh_frame.len)
		cfi_write(fd, file->eh_frame.data, file->eh_frame.len, CFI_OFFSET);
	if (!file->no_sections)
		cfi_write_sections(fd, file, shoff);
	return fd;
}

static inline void cfi_file_done(struct cfi_file *file)
{
	buf__done(&file->eh_frame);
	buf__done(&file->debug_frame);
}

#endif
