/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a function ends is taken from the call frame information, which compilers write for every
 * function and strip(1) leaves; else from its symbol; else the code is followed until nothing leads
 * further. Functions of one library often reach each other through its own linkage table, so that
 * whoever is preloaded comes first: the table's relocations say who is meant here.
 */
#include "parse/code.h"

#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "parse/symbol_table.h"
#include "parse/unwind_rows.h"

#define BODY_INSNS_MAX 4096
#define BODY_BYTES_MAX (64u << 10)
#define INSNS_MAX      (1u << 18)
#define SLOTS_MAX      (1u << 16)
#define RELOCS_MAX     (4u << 20)
#define STUB_BYTES     16

/* --- slots -------------------------------------------------------------------------------------
 */
static enum parse_status read_slots(struct code *c, Elf_Scn *scn, const GElf_Shdr *shdr)
{
	const unsigned char *relocs;
	struct symbol_table symbols;
	Elf_Scn *symbols_scn;
	size_t bytes, cnt;

	symbols_scn = elf_getscn(c->image->elf, shdr->sh_link);
	if (!shdr->sh_link || !symbols_scn || shdr->sh_entsize != sizeof(Elf64_Rela) ||
	    symbol_table__open(c->image, symbols_scn, &symbols) != PARSE_OK ||
	    section__raw(scn, &relocs, &bytes) != PARSE_OK)
		return PARSE_OK;
	cnt = bytes / sizeof(Elf64_Rela);
	if (cnt > RELOCS_MAX)
		cnt = RELOCS_MAX;
	for (size_t i = 0; i < cnt && c->slots_cnt < SLOTS_MAX; i++) {
		Elf64_Rela r;
		Elf64_Sym sym;

		memcpy(&r, relocs + i * sizeof(r), sizeof(r));
		if ((ELF64_R_TYPE(r.r_info) != R_X86_64_JUMP_SLOT &&
		     ELF64_R_TYPE(r.r_info) != R_X86_64_GLOB_DAT) ||
		    ELF64_R_SYM(r.r_info) >= symbols.symbols_cnt)
			continue;
		symbol_table__read(&symbols, ELF64_R_SYM(r.r_info), &sym);
		if (sym.st_shndx == SHN_UNDEF || ELF64_ST_TYPE(sym.st_info) != STT_FUNC)
			continue;
		if (array__reserve(c->slots, c->slots_cap, c->slots_cnt + 1))
			return PARSE_LIMIT;
		c->slots[c->slots_cnt++] =
			(struct code_slot){ .address = r.r_offset, .target = sym.st_value };
	}
	return PARSE_OK;
}

static int compare_slots(const void *a, const void *b)
{
	const struct code_slot *sa = a, *sb = b;

	return (sa->address > sb->address) - (sa->address < sb->address);
}

static enum parse_status read_all_slots(struct code *c)
{
	enum parse_status status = PARSE_OK;
	Elf_Scn *scn = NULL;

	while (status == PARSE_OK && (scn = elf_nextscn(c->image->elf, scn))) {
		GElf_Shdr shdr;

		if (!gelf_getshdr(scn, &shdr))
			break;
		if (shdr.sh_type == SHT_RELA && (shdr.sh_flags & SHF_ALLOC))
			status = read_slots(c, scn, &shdr);
	}
	if (c->slots_cnt)
		qsort(c->slots, c->slots_cnt, sizeof(*c->slots), compare_slots);
	return status;
}

static bool read_slot(const struct code *c, uint64_t address, uint64_t *ret)
{
	const struct code_slot key = { .address = address };
	const struct code_slot *found =
		c->slots_cnt ? bsearch(&key, c->slots, c->slots_cnt, sizeof(key), compare_slots)
			     : NULL;

	if (found)
		*ret = found->target;
	return found;
}

/* A stub of the linkage table: endbr64 where there is one, then a jump through a slot. */
static bool read_stub(const struct code *c, uint64_t address, uint64_t *ret)
{
	static const unsigned char endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	const unsigned char *bytes;
	uint64_t offset;
	size_t cnt;

	bytes = elf_image__code(c->image, address, &cnt, &offset);
	for (size_t used = 0; bytes && used < STUB_BYTES && used < cnt;) {
		struct insn insn;

		if (!insn__decode(bytes + used, cnt - used, address + used, &insn))
			return false;
		if (insn.kind == INSN_JUMP && insn.target_kind == INSN_TARGET_SLOT)
			return read_slot(c, insn.target, ret);
		if (insn.length != sizeof(endbr64) ||
		    memcmp(bytes + used, endbr64, sizeof(endbr64)))
			return false;
		used += insn.length;
	}
	return false;
}

/* Replaces a target that is a slot or a stub by what is meant. */
static void resolve_target(const struct code *c, const struct code_body *b, struct insn *insn)
{
	uint64_t target;

	if (insn->target_kind == INSN_TARGET_SLOT && read_slot(c, insn->target, &target)) {
		insn->target_kind = INSN_TARGET_ADDRESS;
		insn->target = target;
	} else if (insn->target_kind == INSN_TARGET_ADDRESS &&
		   (insn->target < b->start || insn->target >= b->end) &&
		   read_stub(c, insn->target, &target)) {
		insn->target = target;
	}
}

/* --- bodies ------------------------------------------------------------------------------------
 */
static bool find_fde(const struct code *c, uint64_t address, struct cfi_fde *ret)
{
	const struct eh_frame *f = &c->frames;
	size_t low = 0, high = f->entries_cnt;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (f->base + f->entries[mid].start <= address)
			low = mid + 1;
		else
			high = mid;
	}
	return low && eh_frame__get(f, low - 1, ret) && address >= ret->start && address < ret->end;
}

/* Decodes from start until the end, or, where that is not known (0), until no instruction before
 * leads further. */
static enum parse_status decode_body(struct code *c, struct code_body *b, size_t bytes_cnt)
{
	_cleanup_free_ struct insn *insns = NULL;
	uint64_t at = b->start, furthest = b->start;
	size_t cnt = 0, cap = 0;
	bool ended = false;

	while (!ended && cnt < BODY_INSNS_MAX && c->insns_left) {
		size_t used = (size_t)(at - b->start);
		struct insn *insn;

		if (used >= bytes_cnt || array__reserve(insns, cap, cnt + 1))
			break;
		insn = &insns[cnt];
		if (!insn__decode(b->bytes + used, bytes_cnt - used, at, insn))
			break;
		resolve_target(c, b, insn);
		cnt++;
		c->insns_left--;
		at += insn->length;
		if (b->end) {
			ended = at >= b->end;
			continue;
		}
		if (insn->kind == INSN_CONDITIONAL && insn->target_kind == INSN_TARGET_ADDRESS &&
		    insn->target > furthest)
			furthest = insn->target;
		ended = (insn->kind == INSN_JUMP || insn->kind == INSN_RETURN ||
			 insn->kind == INSN_STOP) &&
			at > furthest;
	}
	b->is_whole = ended && (!b->end || at == b->end);
	if (!b->end)
		b->end = at;
	b->insns_cnt = cnt;
	b->insns = take_ptr(insns);
	return cnt ? PARSE_OK : PARSE_CORRUPT;
}

static bool make_body(struct code *c, uint64_t start, uint64_t end, struct code_body *ret)
{
	struct code_body b = { .start = start, .end = end };
	uint64_t offset;
	size_t cnt;

	b.bytes = elf_image__code(c->image, start, &cnt, &offset);
	if (!b.bytes)
		return false;
	if (end && end - start < cnt)
		cnt = (size_t)(end - start);
	if (cnt > BODY_BYTES_MAX)
		cnt = BODY_BYTES_MAX;
	if (decode_body(c, &b, cnt) != PARSE_OK) {
		free(b.insns);
		return false;
	}
	*ret = b;
	return true;
}

int code__body(struct code *c, uint64_t address, uint64_t size, bool is_start)
{
	uint64_t start = address, end = 0;
	struct cfi_fde fde;
	struct code_body b;

	if (find_fde(c, address, &fde)) {
		end = fde.end;
		if (!is_start)
			start = fde.start;
	}
	/* Hand-written code has one entry for several functions, or none. */
	if ((!end || (is_start && fde.start != address)) && size &&
	    !__builtin_add_overflow(address, size, &end) && end <= address)
		end = 0;
	for (size_t i = 0; i < c->bodies_cnt; i++)
		if (c->bodies[i].start == start)
			return (int)i;
	if (c->bodies_cnt == CODE_BODIES_MAX ||
	    array__reserve(c->bodies, c->bodies_cap, c->bodies_cnt + 1) ||
	    !make_body(c, start, end, &b))
		return -1;
	c->bodies[c->bodies_cnt] = b;
	return (int)c->bodies_cnt++;
}

int code__find(const struct code *c, uint64_t address)
{
	for (size_t i = 0; i < c->bodies_cnt; i++)
		if (address >= c->bodies[i].start && address < c->bodies[i].end)
			return (int)i;
	return -1;
}

size_t code_body__find(const struct code_body *b, uint64_t address)
{
	size_t low = 0, high = b->insns_cnt;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (b->insns[mid].address < address)
			low = mid + 1;
		else
			high = mid;
	}
	return low < b->insns_cnt && b->insns[low].address == address ? low : b->insns_cnt;
}

bool code_body__effects(const struct code_body *b, size_t idx, struct insn_effects *ret)
{
	const struct insn *insn = &b->insns[idx];

	return insn__effects(b->bytes + (insn->address - b->start), insn->length, ret);
}

/* --- the object --------------------------------------------------------------------------------
 */
/* Bad frame information costs precision here, nothing else: no status. */
static void read_frames(struct code *c)
{
	enum parse_status status = cfi_sections__find(c->image, &c->sections);

	if (status == PARSE_OK && !c->sections.items[0].is_debug_frame)
		eh_frame__read(c->sections.items, 1, c->text, c->text_cnt, &c->frames);
}

enum parse_status code__init(struct code *c, const struct elf_image *image)
{
	enum parse_status status;

	*c = (struct code){ .image = image, .insns_left = INSNS_MAX };
	c->text_cnt = unwind_rows__text(image, c->text);
	read_frames(c);
	status = read_all_slots(c);
	if (status != PARSE_OK)
		code__done(c);
	return status;
}

void code__done(struct code *c)
{
	for (size_t i = 0; i < c->bodies_cnt; i++)
		free(c->bodies[i].insns);
	free(c->bodies);
	free(c->slots);
	eh_frame__done(&c->frames);
	cfi_sections__done(&c->sections);
	*c = (struct code){ .image = NULL };
}
