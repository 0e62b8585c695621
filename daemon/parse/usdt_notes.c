/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A note holds three addresses as the linker saw them (the probe, .stapsdt.base, the semaphore) and
 * three strings: provider, name, arguments. Where .stapsdt.base has been moved since, all of them
 * have. An argument is "SIZE@OPERAND" as the assembler writes it, the size negative where signed.
 */
#include "parse/usdt_notes.h"

#include <gelf.h>
#include <stdbool.h>
#include <string.h>
#include "parse/insn.h"
#include "parse/symbol_table.h"

#define NOTE_TYPE     3
#define NOTE_OWNER    "stapsdt"
#define PROVIDER      "otel_memory"
#define SECTION_MAX   (16u << 20)
#define ARGUMENTS_MAX 3
#define ADDRESSES     3

struct note {
	uint64_t pc, base, semaphore;
	const char *provider, *name, *arguments;
};

static Elf_Scn *find_section(const struct elf_image *image, const char *name, GElf_Shdr *ret_shdr)
{
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_getshdrstrndx(image->elf, &names))
		return NULL;
	while ((scn = elf_nextscn(image->elf, scn))) {
		const char *found;

		if (!gelf_getshdr(scn, ret_shdr))
			return NULL;
		found = elf_strptr(image->elf, names, ret_shdr->sh_name);
		if (found && !strcmp(found, name))
			return scn;
	}
	return NULL;
}

/* --- one note ----------------------------------------------------------------------------------
 */
/* The string at *at, which is moved behind it; NULL: it does not end in time. */
static const char *take_string(const unsigned char **at, const unsigned char *end)
{
	const char *s = (const char *)*at;
	const unsigned char *nul = memchr(*at, '\0', (size_t)(end - *at));

	if (!nul)
		return NULL;
	*at = nul + 1;
	return s;
}

static bool read_note(const unsigned char *desc, size_t bytes, struct note *ret)
{
	const unsigned char *at = desc + ADDRESSES * sizeof(uint64_t), *end = desc + bytes;
	uint64_t addresses[ADDRESSES];

	if (bytes < sizeof(addresses))
		return false;
	memcpy(addresses, desc, sizeof(addresses));
	ret->pc = addresses[0];
	ret->base = addresses[1];
	ret->semaphore = addresses[2];
	ret->provider = take_string(&at, end);
	ret->name = ret->provider ? take_string(&at, end) : NULL;
	ret->arguments = ret->name ? take_string(&at, end) : NULL;
	return ret->arguments;
}

/* "%rdi": only whole registers have eight bytes. */
static uint8_t find_register(const char *name, size_t len)
{
	static const char *const names[INSN_REGS] = {
		"%rax", "%rdx", "%rcx", "%rbx", "%rsi", "%rdi", "%rbp", "%rsp",
		"%r8",  "%r9",  "%r10", "%r11", "%r12", "%r13", "%r14", "%r15",
	};

	for (uint8_t i = 0; i < INSN_REGS; i++)
		if (strlen(names[i]) == len && !memcmp(names[i], name, len))
			return i;
	return HEAP_NO_REG;
}

/* Returns how many arguments there are, all in registers; -1 where one is not. */
static int read_arguments(const char *text, uint8_t ret_regs[ARGUMENTS_MAX])
{
	int cnt = 0;

	for (;;) {
		size_t len;

		text += strspn(text, " ");
		if (!*text)
			return cnt;
		if (*text == '-')
			text++;
		if (cnt == ARGUMENTS_MAX || strncmp(text, "8@", 2) != 0)
			return -1;
		text += 2;
		len = strcspn(text, " ");
		ret_regs[cnt] = find_register(text, len);
		if (ret_regs[cnt++] == HEAP_NO_REG)
			return -1;
		text += len;
	}
}

/* Where in the file an address of any loaded segment lies. */
static bool offset_of(const struct elf_image *image, uint64_t address, uint64_t *ret)
{
	size_t cnt;

	if (elf_getphdrnum(image->elf, &cnt))
		return false;
	for (size_t i = 0; i < cnt; i++) {
		GElf_Phdr phdr;

		if (!gelf_getphdr(image->elf, (int)i, &phdr))
			return false;
		if (phdr.p_type == PT_LOAD && address >= phdr.p_vaddr &&
		    address - phdr.p_vaddr < phdr.p_filesz && phdr.p_offset < image->size &&
		    address - phdr.p_vaddr < image->size - phdr.p_offset) {
			*ret = phdr.p_offset + (address - phdr.p_vaddr);
			return true;
		}
	}
	return false;
}

static bool make_site(const struct elf_image *image, const struct note *note, uint64_t moved,
		      struct heap_site *ret)
{
	const bool is_alloc = !strcmp(note->name, "alloc");
	const int wanted = is_alloc ? 3 : 1;
	uint8_t regs[ARGUMENTS_MAX] = { HEAP_NO_REG, HEAP_NO_REG, HEAP_NO_REG };
	struct heap_site s = { .call = is_alloc ? HEAP_CALL_USDT_ALLOC : HEAP_CALL_USDT_FREE,
			       .out_reg = HEAP_NO_REG };
	uint64_t offset, semaphore = 0;
	const unsigned char *code;
	struct insn insn;
	size_t cnt;

	if ((!is_alloc && strcmp(note->name, "free") != 0) ||
	    read_arguments(note->arguments, regs) != wanted)
		return false;
	code = elf_image__code(image, note->pc + moved, &cnt, &offset);
	if (!code || !insn__decode(code, cnt, note->pc + moved, &insn) ||
	    insn.probe == INSN_PROBE_REFUSED)
		return false;
	if (note->semaphore && !offset_of(image, note->semaphore + moved, &semaphore))
		return false;
	/* Newer kernels emulate long nops, too. */
	if (insn.probe == INSN_PROBE_STEPPED && !insn__is_nop(code, cnt))
		s.flags = HEAP_SITE_STEPPED;
	s.offset = offset;
	s.semaphore_offset = semaphore;
	s.ptr_reg = regs[0];
	s.size_reg = regs[1];
	s.count_reg = regs[2];
	*ret = s;
	return true;
}

/* --- the section -------------------------------------------------------------------------------
 */
struct notes {
	const unsigned char *data;
	size_t bytes;
	uint64_t base; /* where .stapsdt.base is now; 0: not known */
};

static size_t padded(size_t bytes)
{
	return (bytes + 3) & ~(size_t)3;
}

/* The next note at *offset, which is moved behind it, whether or not it is one of ours. */
static bool next_note(const struct notes *n, size_t *offset, bool *ret_ours, struct note *ret)
{
	Elf64_Nhdr header;
	size_t left = n->bytes - *offset, name, desc;
	const unsigned char *at = n->data + *offset;

	if (left < sizeof(header))
		return false;
	memcpy(&header, at, sizeof(header));
	left -= sizeof(header);
	at += sizeof(header);
	name = padded(header.n_namesz);
	if (name > left)
		return false;
	left -= name;
	desc = padded(header.n_descsz);
	if (header.n_descsz > left)
		return false;
	if (desc > left)
		desc = left;
	*offset += sizeof(header) + name + desc;
	*ret_ours = header.n_type == NOTE_TYPE && header.n_namesz == sizeof(NOTE_OWNER) &&
		    !memcmp(at, NOTE_OWNER, sizeof(NOTE_OWNER)) &&
		    read_note(at + name, header.n_descsz, ret);
	return true;
}

size_t usdt_notes__find(const struct elf_image *image, struct heap_site *ret, size_t max)
{
	struct notes notes = { .data = NULL };
	size_t offset = 0, cnt = 0;
	struct note note;
	GElf_Shdr shdr;
	bool is_ours;
	Elf_Scn *scn;

	scn = find_section(image, ".note.stapsdt", &shdr);
	if (!scn || shdr.sh_type != SHT_NOTE ||
	    section__raw(scn, &notes.data, &notes.bytes) != PARSE_OK || notes.bytes > SECTION_MAX)
		return 0;
	if (find_section(image, ".stapsdt.base", &shdr))
		notes.base = shdr.sh_addr;
	while (cnt < max && next_note(&notes, &offset, &is_ours, &note)) {
		uint64_t moved = 0;

		if (!is_ours || strcmp(note.provider, PROVIDER) != 0)
			continue;
		if (notes.base && note.base)
			moved = notes.base - note.base;
		if (make_site(image, &note, moved, &ret[cnt]))
			cnt++;
	}
	return cnt;
}
