/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One symbol table of an ELF image with its strings, read in place. Shared by elf_symbols.c (by
 * address) and elf_functions.c (by name); chooses nothing.
 */
#ifndef PARSE_SYMBOL_TABLE_H
#define PARSE_SYMBOL_TABLE_H

#include <elf.h>
#include "parse/elf_image.h"

struct symbol_table {
	int class; /* of the image */
	const unsigned char *symbols;
	size_t symbols_cnt;
	const char *strings;
	size_t strings_bytes;
};

/* The bytes of a section as they lie in the file; PARSE_CORRUPT or PARSE_LIMIT. */
enum parse_status section__raw(Elf_Scn *scn, const unsigned char **ret, size_t *ret_bytes);

/* Valid as long as the image. PARSE_OK, PARSE_CORRUPT or PARSE_LIMIT. */
enum parse_status symbol_table__open(const struct elf_image *image, Elf_Scn *scn,
				     struct symbol_table *ret);

/* Symbol idx, which is below symbols_cnt. */
void symbol_table__read(const struct symbol_table *t, size_t idx, Elf64_Sym *ret);

#endif
