/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs may lack the section headers, static ones the program header; .debug_frame is what Go
 * has, compressed. libelf would inflate it, but writes to the image in doing so, which is
 * read-only.
 */
#include "parse/cfi_section.h"

#include <dwarf.h>
#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include "base/gzip.h"
#include "parse/cfa_program.h"

#define EH_FRAME_HDR_VERSION 1

/* Bytes of the file that are loaded at vaddr, up to the end of their segment; NULL: none. */
static const unsigned char *loaded_at(const struct elf_image *image, uint64_t vaddr,
				      size_t *ret_bytes)
{
	size_t cnt;

	if (elf_getphdrnum(image->elf, &cnt))
		return NULL;
	for (size_t i = 0; i < cnt; i++) {
		GElf_Phdr phdr;

		if (!gelf_getphdr(image->elf, (int)i, &phdr) || phdr.p_type != PT_LOAD ||
		    vaddr < phdr.p_vaddr || vaddr - phdr.p_vaddr >= phdr.p_filesz ||
		    phdr.p_offset > image->size || phdr.p_filesz > image->size - phdr.p_offset)
			continue;
		*ret_bytes = phdr.p_filesz - (vaddr - phdr.p_vaddr);
		return image->map + phdr.p_offset + (vaddr - phdr.p_vaddr);
	}
	return NULL;
}

/* What .eh_frame_hdr points to. Its table is not believed, only its pointer. */
static bool find_by_header(const struct elf_image *image, struct cfi_section *ret)
{
	GElf_Phdr phdr = { .p_type = PT_NULL };
	struct cfi_reader r = { .at = NULL };
	const unsigned char *header;
	uint8_t version, encoding;
	size_t cnt, bytes;

	if (elf_getphdrnum(image->elf, &cnt))
		return false;
	for (size_t i = 0; i < cnt && phdr.p_type != PT_GNU_EH_FRAME; i++)
		if (!gelf_getphdr(image->elf, (int)i, &phdr))
			return false;
	if (phdr.p_type != PT_GNU_EH_FRAME)
		return false;
	header = loaded_at(image, phdr.p_vaddr, &bytes);
	if (!header)
		return false;
	r = (struct cfi_reader){ .at = header, .end = header + bytes };
	version = cfi_reader__u8(&r);
	encoding = cfi_reader__u8(&r);
	cfi_reader__skip(&r, 2); /* encodings of the table */
	ret->vaddr = cfa_program__pointer(&r, encoding, header, phdr.p_vaddr);
	if (r.failed || version != EH_FRAME_HDR_VERSION)
		return false;
	ret->data = loaded_at(image, ret->vaddr, &ret->bytes);
	ret->ends_at_zero = true;
	return ret->data != NULL;
}

static bool is_in_file(const struct elf_image *image, const GElf_Shdr *shdr)
{
	return shdr->sh_type != SHT_NOBITS && shdr->sh_offset <= image->size &&
	       shdr->sh_size <= image->size - shdr->sh_offset;
}

/* The first section of this name that has bytes in the file. */
static bool find_section(const struct elf_image *image, const char *name, GElf_Shdr *ret_shdr)
{
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_getshdrstrndx(image->elf, &names))
		return false;
	while ((scn = elf_nextscn(image->elf, scn))) {
		const char *found;

		if (!gelf_getshdr(scn, ret_shdr))
			return false;
		found = elf_strptr(image->elf, names, ret_shdr->sh_name);
		if (found && !strcmp(found, name) && is_in_file(image, ret_shdr))
			return true;
	}
	return false;
}

static bool find_eh_frame(const struct elf_image *image, struct cfi_section *ret)
{
	bool by_header = find_by_header(image, ret);
	GElf_Shdr shdr;

	if (!find_section(image, ".eh_frame", &shdr) || (shdr.sh_flags & SHF_COMPRESSED) ||
	    (by_header && shdr.sh_addr != ret->vaddr))
		return by_header;
	*ret = (struct cfi_section){
		.data = image->map + shdr.sh_offset,
		.bytes = shdr.sh_size,
		.vaddr = shdr.sh_addr,
	};
	return true;
}

/* Deflate cannot do better than 1,032:1; what claims more would only make us allocate. */
#define INFLATE_RATIO_MAX 1032

static enum parse_status inflate(const struct elf_image *image, const GElf_Shdr *shdr,
				 struct cfi_sections *sections, struct cfi_section *ret)
{
	const unsigned char *packed = image->map + shdr->sh_offset;
	Elf64_Chdr chdr;
	size_t bytes;
	int err;

	if (image->class != ELFCLASS64 || shdr->sh_size < sizeof(chdr))
		return PARSE_CORRUPT;
	memcpy(&chdr, packed, sizeof(chdr));
	bytes = shdr->sh_size - sizeof(chdr);
	if (chdr.ch_type != ELFCOMPRESS_ZLIB)
		return PARSE_NO_CFI;
	if (chdr.ch_size / INFLATE_RATIO_MAX > bytes)
		return PARSE_CORRUPT;
	if (chdr.ch_size > PARSE_CFI_INFLATED_MAX)
		return PARSE_LIMIT;
	sections->inflated = malloc(chdr.ch_size + 1);
	if (!sections->inflated)
		return PARSE_LIMIT;
	err = zlib__inflate(packed + sizeof(chdr), bytes, sections->inflated, chdr.ch_size);
	if (err)
		return err == -ENOMEM ? PARSE_LIMIT : PARSE_CORRUPT;
	ret->data = sections->inflated;
	ret->bytes = chdr.ch_size;
	return PARSE_OK;
}

static enum parse_status find_debug_frame(const struct elf_image *image,
					  struct cfi_sections *sections, struct cfi_section *ret)
{
	GElf_Shdr shdr;

	if (!find_section(image, ".debug_frame", &shdr))
		return PARSE_NO_CFI;
	*ret = (struct cfi_section){
		.data = image->map + shdr.sh_offset,
		.bytes = shdr.sh_size,
		.is_debug_frame = true,
	};
	return shdr.sh_flags & SHF_COMPRESSED ? inflate(image, &shdr, sections, ret) : PARSE_OK;
}

static enum parse_status find_both(const struct elf_image *image, struct cfi_sections *sections)
{
	enum parse_status status;

	if (find_eh_frame(image, &sections->items[0]))
		sections->cnt = 1;
	status = find_debug_frame(image, sections, &sections->items[sections->cnt]);
	if (status == PARSE_OK)
		sections->cnt++;
	else if (status != PARSE_NO_CFI)
		return status;
	for (size_t i = 0; i < sections->cnt; i++) {
		struct cfi_section *s = &sections->items[i];

		if (s->bytes > PARSE_CFI_BYTES_MAX && !s->ends_at_zero)
			return PARSE_LIMIT;
		if (s->bytes > PARSE_CFI_BYTES_MAX)
			s->bytes = PARSE_CFI_BYTES_MAX;
	}
	return sections->cnt ? PARSE_OK : PARSE_NO_CFI;
}

enum parse_status cfi_sections__find(const struct elf_image *image, struct cfi_sections *ret)
{
	struct cfi_sections sections = { .cnt = 0 };
	enum parse_status status = find_both(image, &sections);

	if (status == PARSE_OK)
		*ret = sections;
	else
		cfi_sections__done(&sections);
	return status;
}

void cfi_sections__done(struct cfi_sections *sections)
{
	free(sections->inflated);
	*sections = (struct cfi_sections){ .cnt = 0 };
}
