/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sections are taken raw: libelf never copies or converts them then, and the byte order is ours,
 * checked on opening.
 */
#include "parse/symbol_table.h"

#include <errno.h>
#include <gelf.h>
#include <string.h>

enum parse_status section__raw(Elf_Scn *scn, const unsigned char **ret, size_t *ret_bytes)
{
	GElf_Shdr shdr;
	Elf_Data *data;

	if (!gelf_getshdr(scn, &shdr))
		return PARSE_CORRUPT;
	if (shdr.sh_flags & SHF_COMPRESSED)
		return PARSE_LIMIT;
	errno = 0;
	data = elf_rawdata(scn, NULL);
	if (!data || (data->d_size && !data->d_buf))
		return errno == ENOMEM ? PARSE_LIMIT : PARSE_CORRUPT;
	*ret = data->d_buf;
	*ret_bytes = data->d_size;
	return PARSE_OK;
}

enum parse_status symbol_table__open(const struct elf_image *image, Elf_Scn *scn,
				     struct symbol_table *ret)
{
	const size_t entry = image->class == ELFCLASS64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
	struct symbol_table t = { .class = image->class };
	const unsigned char *strings;
	GElf_Shdr shdr, string_shdr;
	enum parse_status status;
	Elf_Scn *string_scn;
	size_t bytes;

	if (!gelf_getshdr(scn, &shdr) || shdr.sh_entsize != entry)
		return PARSE_CORRUPT;
	string_scn = elf_getscn(image->elf, shdr.sh_link);
	if (!string_scn || !gelf_getshdr(string_scn, &string_shdr) ||
	    string_shdr.sh_type != SHT_STRTAB)
		return PARSE_CORRUPT;
	status = section__raw(scn, &t.symbols, &bytes);
	if (status != PARSE_OK)
		return status;
	t.symbols_cnt = bytes / entry;
	if (t.symbols_cnt > PARSE_SYMBOLS_MAX)
		return PARSE_LIMIT;
	status = section__raw(string_scn, &strings, &t.strings_bytes);
	if (status != PARSE_OK)
		return status;
	t.strings = (const char *)strings;
	*ret = t;
	return PARSE_OK;
}

void symbol_table__read(const struct symbol_table *t, size_t idx, Elf64_Sym *ret)
{
	Elf32_Sym sym;

	if (t->class == ELFCLASS64) {
		memcpy(ret, t->symbols + idx * sizeof(*ret), sizeof(*ret));
		return;
	}
	memcpy(&sym, t->symbols + idx * sizeof(sym), sizeof(sym));
	*ret = (Elf64_Sym){
		.st_name = sym.st_name,
		.st_info = sym.st_info,
		.st_other = sym.st_other,
		.st_shndx = sym.st_shndx,
		.st_value = sym.st_value,
		.st_size = sym.st_size,
	};
}
