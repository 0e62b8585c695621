/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening of hostile ELF files. The file is mapped by us and given to libelf as memory, so that
 * only the pages looked at are read. What libelf allocates by is checked first: the number of
 * sections may come from a 64-bit field of the file.
 */
#include "parse/elf_image.h"

#include <elf.h>
#include <errno.h>
#include <gelf.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE_DATA ELFDATA2LSB
#else
#define NATIVE_DATA ELFDATA2MSB
#endif

/* libelf hides its error numbers; a failed allocation is seen by what malloc leaves behind. */
static enum parse_status libelf_failure(void)
{
	return errno == ENOMEM ? PARSE_LIMIT : PARSE_CORRUPT;
}

static enum parse_status map_file(int fd, struct elf_image *image)
{
	struct stat st;
	void *map;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return PARSE_IO;
	if (st.st_size < (off_t)sizeof(Elf32_Ehdr))
		return PARSE_NOT_ELF;
	/* Shared: into private mappings the kernel puts the breakpoints of whoever probes the file
	 * in every process, and what is read would not be what is in the file. */
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return errno == ENOMEM ? PARSE_LIMIT : PARSE_IO;
	image->map = map;
	image->size = (size_t)st.st_size;
	return PARSE_OK;
}

static bool machine_is_ours(unsigned int machine)
{
	/* 32-bit programs run on these hosts too. */
	return machine == EM_X86_64 || machine == EM_AARCH64 || machine == EM_386;
}

/* Section count as libelf will take it: e_shnum, or sh_size of section 0 where that is 0. */
static enum parse_status check_section_cnt(const struct elf_image *image)
{
	uint64_t shoff, cnt;

	if (image->class == ELFCLASS64) {
		Elf64_Ehdr ehdr;
		Elf64_Shdr first;

		memcpy(&ehdr, image->map, sizeof(ehdr));
		shoff = ehdr.e_shoff;
		cnt = ehdr.e_shnum;
		if (!cnt && shoff && shoff <= image->size && image->size - shoff >= sizeof(first)) {
			memcpy(&first, image->map + shoff, sizeof(first));
			cnt = first.sh_size;
		}
	} else {
		Elf32_Ehdr ehdr;
		Elf32_Shdr first;

		memcpy(&ehdr, image->map, sizeof(ehdr));
		shoff = ehdr.e_shoff;
		cnt = ehdr.e_shnum;
		if (!cnt && shoff && shoff <= image->size && image->size - shoff >= sizeof(first)) {
			memcpy(&first, image->map + shoff, sizeof(first));
			cnt = first.sh_size;
		}
	}
	return cnt > PARSE_SECTIONS_MAX ? PARSE_LIMIT : PARSE_OK;
}

static enum parse_status check_ident(struct elf_image *image)
{
	const unsigned char *ident = image->map;

	if (memcmp(ident, ELFMAG, SELFMAG) || ident[EI_VERSION] != EV_CURRENT ||
	    ident[EI_DATA] != NATIVE_DATA)
		return PARSE_NOT_ELF;
	image->class = ident[EI_CLASS];
	if (image->class != ELFCLASS32 && image->class != ELFCLASS64)
		return PARSE_NOT_ELF;
	if (image->class == ELFCLASS64 && image->size < sizeof(Elf64_Ehdr))
		return PARSE_NOT_ELF;
	return check_section_cnt(image);
}

static enum parse_status open_libelf(struct elf_image *image)
{
	GElf_Ehdr ehdr;

	elf_version(EV_CURRENT);
	errno = 0;
	/* libelf does not write to an image whose byte order is ours; its prototype cannot say so.
	 */
	image->elf = elf_memory((char *)(uintptr_t)image->map, image->size);
	if (!image->elf)
		return libelf_failure();
	if (elf_kind(image->elf) != ELF_K_ELF || !gelf_getehdr(image->elf, &ehdr) ||
	    (ehdr.e_type != ET_EXEC && ehdr.e_type != ET_DYN) || !machine_is_ours(ehdr.e_machine))
		return PARSE_NOT_ELF;
	image->machine = ehdr.e_machine;
	image->entry = ehdr.e_entry;
	if (elf_getshdrnum(image->elf, &image->sections_cnt))
		return PARSE_CORRUPT;
	return image->sections_cnt > PARSE_SECTIONS_MAX ? PARSE_LIMIT : PARSE_OK;
}

static enum parse_status add_segment(struct elf_image *image, const GElf_Phdr *phdr)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), mask = page - 1;
	struct elf_segment *s;
	uint64_t end;

	if (!phdr->p_memsz)
		return PARSE_OK;
	if (phdr->p_offset > image->size || phdr->p_filesz > image->size - phdr->p_offset ||
	    phdr->p_filesz > phdr->p_memsz ||
	    __builtin_add_overflow(phdr->p_vaddr, phdr->p_memsz, &end) || end > UINT64_MAX - mask ||
	    ((phdr->p_vaddr ^ phdr->p_offset) & mask))
		return PARSE_CORRUPT;
	if (image->segments_cnt == PARSE_EXEC_MAX)
		return PARSE_LIMIT;
	s = &image->segments[image->segments_cnt++];
	s->vaddr = phdr->p_vaddr & ~mask;
	s->limit = (end + mask) & ~mask;
	s->offset = phdr->p_offset & ~mask;
	s->file_end = (phdr->p_offset + phdr->p_filesz + mask) & ~mask;
	return PARSE_OK;
}

static void take_build_id(struct elf_image *image, Elf_Data *data)
{
	size_t offset = 0, next, name, desc;
	GElf_Nhdr nhdr;

	if (!data || !data->d_buf)
		return;
	for (size_t i = 0; i < PARSE_NOTES_MAX && !image->build_id_len; i++, offset = next) {
		next = gelf_getnote(data, offset, &nhdr, &name, &desc);
		if (!next)
			return;
		if (nhdr.n_type != NT_GNU_BUILD_ID || nhdr.n_namesz != sizeof(ELF_NOTE_GNU) ||
		    !nhdr.n_descsz || nhdr.n_descsz > ELF_BUILD_ID_MAX ||
		    memcmp((char *)data->d_buf + name, ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU)) != 0)
			continue;
		memcpy(image->build_id, (char *)data->d_buf + desc, nhdr.n_descsz);
		image->build_id_len = nhdr.n_descsz;
	}
}

static void read_note_segment(struct elf_image *image, const GElf_Phdr *phdr)
{
	if (image->build_id_len || !phdr->p_filesz || phdr->p_filesz > PARSE_NOTE_BYTES ||
	    phdr->p_offset > image->size || phdr->p_filesz > image->size - phdr->p_offset)
		return;
	take_build_id(image,
		      elf_getdata_rawchunk(image->elf, (int64_t)phdr->p_offset, phdr->p_filesz,
					   phdr->p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR));
}

static enum parse_status read_segments(struct elf_image *image)
{
	enum parse_status status = PARSE_OK;
	size_t cnt;

	if (elf_getphdrnum(image->elf, &cnt))
		return PARSE_CORRUPT;
	if (cnt > PARSE_SEGMENTS_MAX)
		return PARSE_LIMIT;
	for (size_t i = 0; i < cnt && status == PARSE_OK; i++) {
		GElf_Phdr phdr;

		if (!gelf_getphdr(image->elf, (int)i, &phdr))
			return PARSE_CORRUPT;
		if (phdr.p_type == PT_LOAD && (phdr.p_flags & PF_X))
			status = add_segment(image, &phdr);
		else if (phdr.p_type == PT_NOTE)
			read_note_segment(image, &phdr);
	}
	return status;
}

static void read_note_sections(struct elf_image *image)
{
	Elf_Scn *scn = NULL;

	while (!image->build_id_len && (scn = elf_nextscn(image->elf, scn))) {
		GElf_Shdr shdr;

		if (!gelf_getshdr(scn, &shdr))
			return;
		if (shdr.sh_type == SHT_NOTE && !(shdr.sh_flags & SHF_COMPRESSED) &&
		    shdr.sh_size <= PARSE_NOTE_BYTES)
			take_build_id(image, elf_getdata(scn, NULL));
	}
}

enum parse_status elf_image__open(int fd, struct elf_image *ret)
{
	struct elf_image image = { .map = NULL };
	enum parse_status status;

	status = map_file(fd, &image);
	if (status == PARSE_OK)
		status = check_ident(&image);
	if (status == PARSE_OK)
		status = open_libelf(&image);
	if (status == PARSE_OK)
		status = read_segments(&image);
	if (status != PARSE_OK) {
		elf_image__done(&image);
		return status;
	}
	if (!image.build_id_len)
		read_note_sections(&image);
	*ret = image;
	return PARSE_OK;
}

void elf_image__done(struct elf_image *image)
{
	elf_end(image->elf);
	if (image->map)
		munmap((void *)(uintptr_t)image->map, image->size);
	*image = (struct elf_image){ .map = NULL };
}

uint64_t elf_image__vaddr(const struct elf_image *image, uint64_t offset, int32_t *ret_segment)
{
	for (size_t i = 0; i < image->segments_cnt; i++) {
		const struct elf_segment *s = &image->segments[i];

		if (offset >= s->offset && offset < s->file_end) {
			*ret_segment = (int32_t)i;
			return s->vaddr + (offset - s->offset);
		}
	}
	*ret_segment = -1;
	return offset;
}

const unsigned char *elf_image__code(const struct elf_image *image, uint64_t vaddr,
				     size_t *ret_bytes, uint64_t *ret_offset)
{
	for (size_t i = 0; i < image->segments_cnt; i++) {
		const struct elf_segment *s = &image->segments[i];
		uint64_t end = s->file_end < image->size ? s->file_end : image->size;
		uint64_t offset;

		if (vaddr < s->vaddr || vaddr >= s->limit)
			continue;
		offset = s->offset + (vaddr - s->vaddr);
		if (offset >= end)
			return NULL;
		*ret_bytes = end - offset;
		*ret_offset = offset;
		return image->map + offset;
	}
	return NULL;
}
