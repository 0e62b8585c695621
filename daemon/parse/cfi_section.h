/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the call frame information of an ELF file lies. Called by unwind_rows.c; knows nothing of
 * what is in it.
 */
#ifndef PARSE_CFI_SECTION_H
#define PARSE_CFI_SECTION_H

#include <stdbool.h>
#include "parse/elf_image.h"

#define CFI_SECTIONS_MAX 2 /* .eh_frame and .debug_frame */

struct cfi_section {
	const unsigned char *data;
	size_t bytes;
	uint64_t vaddr;
	bool is_debug_frame;
	bool ends_at_zero; /* size not known: an entry of length 0 is its end */
};

struct cfi_sections {
	struct cfi_section items[CFI_SECTIONS_MAX]; /* into the image or 'inflated' */
	size_t cnt;
	unsigned char *inflated;
};

/*
 * .eh_frame by the program header's pointer, else by name, and after it .debug_frame. PARSE_OK:
 * release with cfi_sections__done(), the image outlives it. PARSE_NO_CFI, PARSE_CORRUPT (what is
 * compressed cannot be inflated), or PARSE_LIMIT for one that is too large.
 */
enum parse_status cfi_sections__find(const struct elf_image *image, struct cfi_sections *ret);
void cfi_sections__done(struct cfi_sections *sections); /* safe on a zeroed one */

#endif
