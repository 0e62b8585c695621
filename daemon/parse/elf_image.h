/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One foreign ELF file, mapped and checked: its executable segments, its build-id, and libelf's
 * view of it for elf_symbols.c. Runs only in the worker: a file cut short while it is mapped raises
 * SIGBUS, which is the worker's to handle. Knows no processes and no names.
 */
#ifndef PARSE_ELF_IMAGE_H
#define PARSE_ELF_IMAGE_H

#include <stddef.h>
#include <stdint.h>
#include <libelf.h>
#include "parse/limits.h"
#include "parse/parse_status.h"

#define ELF_BUILD_ID_MAX 20

struct elf_segment {
	uint64_t vaddr;    /* page-aligned down */
	uint64_t limit;    /* vaddr + memory size, page-aligned up */
	uint64_t offset;   /* file offset of vaddr */
	uint64_t file_end; /* end of what the kernel maps of the file, page-aligned up */
};

struct elf_image {
	const unsigned char *map; /* the whole file, read-only */
	size_t size;
	Elf *elf;
	int class;      /* ELFCLASS32 or ELFCLASS64 */
	int machine;    /* EM_X86_64, … */
	uint64_t entry; /* virtual address of the entry point */
	size_t sections_cnt;
	struct elf_segment segments[PARSE_EXEC_MAX]; /* executable PT_LOADs, in file order */
	size_t segments_cnt;
	uint8_t build_id[ELF_BUILD_ID_MAX];
	size_t build_id_len; /* 0: none */
};

/* Opens the file behind fd (which stays the caller's). On PARSE_OK release with elf_image__done();
 * on anything else there is nothing to release. */
enum parse_status elf_image__open(int fd, struct elf_image *ret);
void elf_image__done(struct elf_image *image); /* safe on a zeroed one */

/* Virtual address of a file offset as the kernel maps it; *ret_segment is an index into segments[].
 * Offsets outside executable segments: -1, and the offset itself. */
uint64_t elf_image__vaddr(const struct elf_image *image, uint64_t offset, int32_t *ret_segment);

/* The file's bytes from a virtual address of an executable segment to that segment's end, and where
 * in the file they lie; NULL: there are none. */
const unsigned char *elf_image__code(const struct elf_image *image, uint64_t vaddr,
				     size_t *ret_bytes, uint64_t *ret_offset);

#endif
