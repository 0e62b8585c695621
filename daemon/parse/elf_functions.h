/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names → the functions an ELF image defines under them: through its hash table where it has one,
 * and through .symtab in one pass. Called by heap_sites.c; knows nothing of what the names mean.
 */
#ifndef PARSE_ELF_FUNCTIONS_H
#define PARSE_ELF_FUNCTIONS_H

#include <stdbool.h>
#include "parse/elf_image.h"

#define ELF_FUNCTIONS_NAMES_MAX 256
#define ELF_FUNCTIONS_MAX       256 /* found in one image */
#define ELF_FUNCTIONS_PER_NAME  4   /* versions of one symbol */

struct elf_function {
	uint16_t name_idx;
	uint64_t address, size; /* size as the symbol says it: 0 is not known */
};

struct elf_functions {
	struct elf_function items[ELF_FUNCTIONS_MAX];
	size_t cnt;
	bool has_symbols; /* some function is defined, whatever its name */
};

/*
 * Looks up names[0..cnt), at most ELF_FUNCTIONS_NAMES_MAX, each below 64 bytes. Functions
 * that are chosen when the program starts (STT_GNU_IFUNC) are not found: their code is a chooser.
 * PARSE_OK also where nothing is found; PARSE_CORRUPT or PARSE_LIMIT.
 */
enum parse_status elf_functions__find(const struct elf_image *image, const char *const *names,
				      size_t cnt, struct elf_functions *ret);

/* Whether the dynamic symbol table defines an object of this name. */
bool elf_functions__exports_object(const struct elf_image *image, const char *name);

#endif
