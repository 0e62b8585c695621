/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses of an ELF image → the symbols that cover them. Called by the worker's jobs; knows no
 * descriptors, no protocol, and leaves names as the linker wrote them.
 */
#ifndef PARSE_ELF_SYMBOLS_H
#define PARSE_ELF_SYMBOLS_H

#include "parse/elf_image.h"

struct elf_symbol {
	uint64_t start;
	const char *name; /* into the image, NOT terminated; NULL: no symbol covers the address */
	size_t name_len;  /* without symbol version; below PARSE_NAME_BYTES */
};

/*
 * Fills ret[i] for addresses[i]; addresses must be sorted, duplicates are fine. PARSE_OK,
 * PARSE_NO_SYMBOLS (no table at all: every name is NULL), PARSE_CORRUPT or PARSE_LIMIT.
 */
enum parse_status elf_symbols__find(const struct elf_image *image, const uint64_t *addresses,
				    size_t cnt, struct elf_symbol *ret);

#endif
