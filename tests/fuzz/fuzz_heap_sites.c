/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Allocators' sites, from bytes nobody vouches for. The first byte says what the rest is: bit 0 a
 * whole ELF file; else the code of a few functions of an allocator, 64 bytes each. Whatever comes
 * out must lie in the file, be of a known shape, and be the same when asked again.
 */
#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/array.h"
#include "base/file.h"
#include "parse/heap_sites.h"
#include "parse/insn.h"

#define CODE_OFFSET   0x1000u
#define CODE_VADDR    0x401000u
#define FUNCTION_STEP 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = { "malloc",   "free",  "calloc", "realloc", "posix_memalign",
				     "memalign", "_Znwm", "_ZdlPv", "_Znam",   "valloc" };

enum { SECTION_NULL, SECTION_TEXT, SECTION_SYMBOLS, SECTION_STRINGS, SECTIONS };

struct file {
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr;
	Elf64_Shdr sections[SECTIONS];
	Elf64_Sym symbols[ARRAY_SIZE(names) + 1];
	char strings[256];
};
_Static_assert(sizeof(struct file) <= CODE_OFFSET, "code comes behind");

static void describe_file(struct file *f, size_t code_bytes)
{
	size_t strings = 1;

	f->ehdr = (Elf64_Ehdr){ .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
					     ELFDATA2LSB, EV_CURRENT },
				.e_type = ET_DYN,
				.e_machine = EM_X86_64,
				.e_version = EV_CURRENT,
				.e_phoff = offsetof(struct file, phdr),
				.e_shoff = offsetof(struct file, sections),
				.e_ehsize = sizeof(f->ehdr),
				.e_phentsize = sizeof(f->phdr),
				.e_phnum = 1,
				.e_shentsize = sizeof(f->sections[0]),
				.e_shnum = SECTIONS };
	f->phdr = (Elf64_Phdr){ .p_type = PT_LOAD,
				.p_flags = PF_R | PF_X,
				.p_offset = CODE_OFFSET,
				.p_vaddr = CODE_VADDR,
				.p_filesz = code_bytes,
				.p_memsz = code_bytes };
	f->sections[SECTION_TEXT] = (Elf64_Shdr){ .sh_type = SHT_PROGBITS,
						  .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
						  .sh_addr = CODE_VADDR,
						  .sh_offset = CODE_OFFSET,
						  .sh_size = code_bytes };
	f->sections[SECTION_SYMBOLS] = (Elf64_Shdr){ .sh_type = SHT_DYNSYM,
						     .sh_offset = offsetof(struct file, symbols),
						     .sh_size = sizeof(f->symbols),
						     .sh_entsize = sizeof(f->symbols[0]),
						     .sh_link = SECTION_STRINGS };
	f->sections[SECTION_STRINGS] = (Elf64_Shdr){ .sh_type = SHT_STRTAB,
						     .sh_offset = offsetof(struct file, strings),
						     .sh_size = sizeof(f->strings) };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		f->symbols[i + 1] = (Elf64_Sym){ .st_name = (Elf64_Word)strings,
						 .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
						 .st_shndx = SECTION_TEXT,
						 .st_value = CODE_VADDR + i * FUNCTION_STEP,
						 .st_size = FUNCTION_STEP };
		memcpy(f->strings + strings, names[i], strlen(names[i]));
		strings += strlen(names[i]) + 1;
	}
}

static int open_input(const uint8_t *data, size_t size, bool is_file)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0)
		abort();
	if (!is_file) {
		static struct {
			struct file file;
			char padding[CODE_OFFSET - sizeof(struct file)];
		} head;

		describe_file(&head.file, size);
		if (file__write_all(fd, &head, sizeof(head)))
			abort();
	}
	if (file__write_all(fd, data, size))
		abort();
	return fd;
}

static void check(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

static void check_site(const struct elf_image *image, const struct heap_site *s)
{
	struct insn insn;

	check(s->offset < image->size, "a site beyond the file");
	check(s->call >= HEAP_CALL_ALLOC && s->call < HEAP_CALLS, "an unknown call");
	check(s->size_reg <= HEAP_NO_REG && s->count_reg <= HEAP_NO_REG &&
		      s->ptr_reg <= HEAP_NO_REG && s->out_reg <= HEAP_NO_REG,
	      "an unknown register");
	check(insn__decode(image->map + s->offset, image->size - s->offset, 0, &insn),
	      "a site without instruction");
	check(insn.probe != INSN_PROBE_REFUSED, "a site that the kernel refuses");
	if (s->call < HEAP_CALL_USDT_ALLOC)
		check((insn.probe == INSN_PROBE_STEPPED) == !!(s->flags & HEAP_SITE_STEPPED),
		      "a site whose cost is not told");
	check(s->call == HEAP_CALL_FREE || !(s->flags & HEAP_SITE_PUSHED),
	      "a return that would not be seen");
}

static enum parse_status run(int fd, struct heap_sites *ret)
{
	enum parse_status status;
	struct elf_image image;

	memset(ret, 0, sizeof(*ret));
	status = elf_image__open(fd, &image);
	if (status != PARSE_OK)
		return status;
	status = heap_sites__find(&image, ret);
	if (status == PARSE_OK) {
		check(ret->sites_cnt <= HEAP_SITES_MAX && ret->ranges_cnt <= HEAP_RANGES_MAX,
		      "too many");
		for (size_t i = 0; i < ret->sites_cnt; i++)
			check_site(&image, &ret->sites[i]);
		for (size_t i = 0; i < ret->ranges_cnt; i++)
			check(ret->ranges[i].start < ret->ranges[i].end &&
				      ret->ranges[i].end <= image.size,
			      "a range beyond the file");
	}
	elf_image__done(&image);
	return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct heap_sites first, second;
	enum parse_status status;
	int fd;

	if (!size)
		return 0;
	fd = open_input(data + 1, size - 1, data[0] & 1);
	status = run(fd, &first);
	check(status == run(fd, &second) && !memcmp(&first, &second, sizeof(first)),
	      "not the same again");
	close(fd);
	return 0;
}
