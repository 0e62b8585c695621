/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An allocator's functions share code, call and jump to each other, so an allocation can pass
 * several of them. It has to be counted once:
 *  - names of one address are one function;
 *  - one that only passes on is not probed, the other is (heap_flow.c);
 *  - one that sometimes passes on by a jump carries a flag that says when: realloc of NULL,
 *    memalign with an alignment that malloc has anyway. valloc and pvalloc need none, a page is
 *    larger than that;
 *  - one that calls another, itself or in a part of it that has no name, is a range: what returns
 *    into it is nested.
 */
#include "parse/heap_sites.h"

#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "parse/heap_flow.h"
#include "parse/heap_site_rule.h"
#include "parse/usdt_notes.h"

/* Of gcc and of clang; sanitizers with an allocator of their own. */
static const char *const sanitizers[] = {
	"libasan.so",       "libhwasan.so",       "liblsan.so",       "libtsan.so",
	"libclang_rt.asan", "libclang_rt.hwasan", "libclang_rt.lsan", "libclang_rt.tsan",
};
#define MUSL_LOADER "ld-musl"

/* --- the file ----------------------------------------------------------------------------------
 */
static bool names_a_library(const struct elf_image *image, const GElf_Phdr *dynamic)
{
	Elf_Data *data = NULL;

	if (dynamic->p_offset <= image->size && dynamic->p_filesz <= PARSE_NOTE_BYTES &&
	    dynamic->p_filesz <= image->size - dynamic->p_offset)
		data = elf_getdata_rawchunk(image->elf, (int64_t)dynamic->p_offset,
					    dynamic->p_filesz, ELF_T_DYN);
	for (int i = 0; data; i++) {
		GElf_Dyn dyn;

		if (!gelf_getdyn(data, i, &dyn) || dyn.d_tag == DT_NULL)
			break;
		if (dyn.d_tag == DT_NEEDED)
			return true;
	}
	return false;
}

static bool is_static(const struct elf_image *image)
{
	size_t cnt;

	if (elf_getphdrnum(image->elf, &cnt))
		return false;
	for (size_t i = 0; i < cnt; i++) {
		GElf_Phdr phdr;

		if (gelf_getphdr(image->elf, (int)i, &phdr) &&
		    (phdr.p_type == PT_INTERP ||
		     (phdr.p_type == PT_DYNAMIC && names_a_library(image, &phdr))))
			return false;
	}
	return true;
}

static bool is_sanitizers(const char *library)
{
	for (size_t i = 0; i < ARRAY_SIZE(sanitizers); i++)
		if (!strncmp(library, sanitizers[i], strlen(sanitizers[i])))
			return true;
	return false;
}

static bool names_sanitizer(const struct elf_image *image, const GElf_Shdr *dynamic)
{
	Elf_Data *data = NULL;
	GElf_Dyn dyn;

	if (dynamic->sh_offset <= image->size && dynamic->sh_size <= PARSE_NOTE_BYTES &&
	    dynamic->sh_size <= image->size - dynamic->sh_offset)
		data = elf_getdata_rawchunk(image->elf, (int64_t)dynamic->sh_offset,
					    dynamic->sh_size, ELF_T_DYN);
	for (int i = 0; data && gelf_getdyn(data, i, &dyn) && dyn.d_tag != DT_NULL; i++) {
		bool is_name = dyn.d_tag == DT_NEEDED || dyn.d_tag == DT_SONAME;
		const char *name =
			is_name ? elf_strptr(image->elf, dynamic->sh_link, dyn.d_un.d_val) : NULL;

		if (name && is_sanitizers(name))
			return true;
	}
	return false;
}

static bool has_sanitizer(const struct elf_image *image)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(image->elf, scn))) {
		GElf_Shdr shdr;

		if (!gelf_getshdr(scn, &shdr))
			return false;
		if (shdr.sh_type == SHT_DYNAMIC)
			return names_sanitizer(image, &shdr);
	}
	return false;
}

static bool is_musl(const struct elf_image *image)
{
	size_t cnt;

	if (elf_getphdrnum(image->elf, &cnt))
		return false;
	for (size_t i = 0; i < cnt; i++) {
		Elf_Data *data = NULL;
		GElf_Phdr phdr;

		if (!gelf_getphdr(image->elf, (int)i, &phdr) || phdr.p_type != PT_INTERP)
			continue;
		if (phdr.p_offset <= image->size && phdr.p_filesz <= PARSE_NOTE_BYTES &&
		    phdr.p_filesz <= image->size - phdr.p_offset)
			data = elf_getdata_rawchunk(image->elf, (int64_t)phdr.p_offset,
						    phdr.p_filesz, ELF_T_BYTE);
		return data && memmem(data->d_buf, data->d_size, MUSL_LOADER, strlen(MUSL_LOADER));
	}
	return false;
}

/* What has an interpreter, or needs nobody. */
static bool is_program(const struct elf_image *image)
{
	size_t cnt;

	if (elf_getphdrnum(image->elf, &cnt))
		return false;
	for (size_t i = 0; i < cnt; i++) {
		GElf_Phdr phdr;

		if (gelf_getphdr(image->elf, (int)i, &phdr) && phdr.p_type == PT_INTERP)
			return true;
	}
	return is_static(image);
}

static bool is_go(const struct elf_image *image)
{
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_getshdrstrndx(image->elf, &names))
		return false;
	while ((scn = elf_nextscn(image->elf, scn))) {
		const char *name;
		GElf_Shdr shdr;

		if (!gelf_getshdr(scn, &shdr))
			return false;
		name = elf_strptr(image->elf, names, shdr.sh_name);
		if (name && (!strcmp(name, ".note.go.buildid") || !strcmp(name, ".go.buildinfo")))
			return true;
	}
	return false;
}

/* --- candidates --------------------------------------------------------------------------------
 */
static enum parse_status find_functions(const struct elf_image *image, struct elf_functions *ret)
{
	const char *names[ELF_FUNCTIONS_NAMES_MAX];

	if (heap_functions_cnt > ELF_FUNCTIONS_NAMES_MAX)
		return PARSE_LIMIT;
	for (size_t i = 0; i < heap_functions_cnt; i++)
		names[i] = heap_functions[i].name;
	return elf_functions__find(image, names, heap_functions_cnt, ret);
}

/* Which families are an allocator's here. */
static bool find_families(const struct elf_functions *found, bool ret_families[HEAP_FAMILIES])
{
	bool has_malloc[HEAP_FAMILIES] = { false }, has_free[HEAP_FAMILIES] = { false };
	bool any = false;

	for (size_t i = 0; i < found->cnt; i++) {
		const struct heap_function *f = &heap_functions[found->items[i].name_idx];

		has_malloc[f->family] |= heap_function__is_malloc(f);
		has_free[f->family] |= heap_function__is_free(f);
	}
	for (int i = 0; i < HEAP_FAMILIES; i++) {
		ret_families[i] = has_malloc[i] && has_free[i];
		any |= ret_families[i];
	}
	ret_families[HEAP_FAMILY_CXX] = any;
	return any;
}

/* By address; of one address the line that comes first in heap_functions. */
static int compare_candidates(const void *a, const void *b)
{
	const struct heap_candidate *ca = a, *cb = b;

	if (ca->address != cb->address)
		return ca->address > cb->address ? 1 : -1;
	return (ca->function > cb->function) - (ca->function < cb->function);
}

static void take_candidates(const struct elf_image *image, const struct elf_functions *found,
			    const bool families[HEAP_FAMILIES], struct heap_program *p)
{
	size_t cnt = 0;

	for (size_t i = 0; i < found->cnt; i++) {
		const struct elf_function *f = &found->items[i];
		struct heap_candidate c = { .function = &heap_functions[f->name_idx],
					    .address = f->address,
					    .size = f->size,
					    .body = -1 };
		size_t bytes;

		c.throws = heap_function__throws(c.function);
		if (families[c.function->family] &&
		    elf_image__code(image, c.address, &bytes, &c.offset))
			p->items[p->cnt++] = c;
	}
	qsort(p->items, p->cnt, sizeof(p->items[0]), compare_candidates);
	for (size_t i = 0; i < p->cnt; i++) {
		if (!cnt || p->items[cnt - 1].address != p->items[i].address)
			p->items[cnt++] = p->items[i];
		else
			p->items[cnt - 1].throws |= p->items[i].throws;
	}
	p->cnt = cnt;
}

/* --- code --------------------------------------------------------------------------------------
 */
/* Whether an instruction of 'b' leads out of it to code that has no name here. */
static bool leads_to_part(const struct heap_program *p, const struct code_body *b,
			  const struct insn *insn)
{
	return insn->target_kind == INSN_TARGET_ADDRESS &&
	       (insn->target < b->start || insn->target >= b->end) &&
	       !heap_program__find(p, insn->target);
}

/* Decodes what a candidate reaches directly: by jumps always, since they may lead back; by calls
 * where it allocates. */
static void decode_parts(struct heap_program *p, const struct heap_candidate *c)
{
	size_t insns_cnt = p->code.bodies[c->body].insns_cnt;

	for (size_t i = 0; i < insns_cnt; i++) {
		/* Decoding moves the bodies. */
		const struct code_body *b = &p->code.bodies[c->body];
		const struct insn *insn = &b->insns[i];

		if (leads_to_part(p, b, insn) &&
		    (insn->kind != INSN_CALL || heap_candidate__allocates(c)))
			code__body(&p->code, insn->target, 0, false);
	}
}

static void decode_all(struct heap_program *p)
{
	for (size_t i = 0; i < p->cnt; i++)
		p->items[i].body =
			code__body(&p->code, p->items[i].address, p->items[i].size, true);
	for (size_t i = 0; i < p->cnt; i++)
		if (p->items[i].body >= 0)
			decode_parts(p, &p->items[i]);
	for (size_t i = 0; i < p->code.bodies_cnt; i++)
		p->facts[i] = heap_flow__facts(p, &p->code.bodies[i]);
	for (size_t i = 0; i < p->cnt; i++)
		p->items[i].forwards = heap_flow__forwards(p, &p->items[i]);
}

/* Index of the body that an instruction of 'b' leads to, if it is a part without a name; -1. */
static int part_at(const struct heap_program *p, const struct code_body *b, const struct insn *insn)
{
	return leads_to_part(p, b, insn) ? code__find(&p->code, insn->target) : -1;
}

/* --- ranges ------------------------------------------------------------------------------------
 */
static void add_range(const struct heap_program *p, const struct code_body *b, struct heap_sites *r)
{
	uint64_t start;
	size_t bytes;

	if (!elf_image__code(p->code.image, b->start, &bytes, &start) || b->end - b->start > bytes)
		return;
	for (size_t i = 0; i < r->ranges_cnt; i++)
		if (r->ranges[i].start == start)
			return;
	if (r->ranges_cnt == HEAP_RANGES_MAX)
		return;
	r->ranges[r->ranges_cnt].start = start;
	r->ranges[r->ranges_cnt++].end = start + (b->end - b->start);
}

static void add_ranges(const struct heap_program *p, const struct heap_candidate *c,
		       struct heap_sites *r)
{
	const struct code_body *b = &p->code.bodies[c->body];

	if (p->facts[c->body].calls_allocation)
		add_range(p, b, r);
	for (size_t i = 0; i < b->insns_cnt; i++) {
		int part = part_at(p, b, &b->insns[i]);

		if (part >= 0 && p->facts[part].calls_allocation)
			add_range(p, &p->code.bodies[part], r);
	}
}

/* --- sites -------------------------------------------------------------------------------------
 */
/* Whether an alignment up to that of malloc makes it go on to malloc. From a part that is called,
 * malloc returns into the caller: if that is a range the hit there is nested, and this one counts.
 */
static bool relays_small_alignment(const struct heap_program *p, const struct heap_candidate *c)
{
	const struct code_body *b = &p->code.bodies[c->body];

	if (!c->function->alignment)
		return false;
	if (p->facts[c->body].relays_small)
		return true;
	for (size_t i = 0; i < b->insns_cnt; i++) {
		int part = part_at(p, b, &b->insns[i]);

		if (part >= 0 && p->facts[part].relays_small &&
		    (b->insns[i].kind != INSN_CALL || !p->facts[c->body].calls_allocation))
			return true;
	}
	return false;
}

static bool add_site(const struct heap_program *p, const struct heap_candidate *c,
		     const struct branch_targets *targets, struct heap_sites *r)
{
	const struct code_body *b = &p->code.bodies[c->body];
	struct heap_site site = { .offset = c->offset, .call = c->function->call };
	uint8_t flags = 0;

	if (c->function->call == HEAP_CALL_REALLOC && heap_flow__jumps_to_malloc(p, b))
		flags |= HEAP_SITE_NULL_ELSEWHERE;
	if (relays_small_alignment(p, c))
		flags |= HEAP_SITE_SMALL_ALIGN_ELSEWHERE;
	if (c->throws)
		flags |= HEAP_SITE_THROWS;
	/* An allocator's libraries are known to throw for want of memory only, and so is an
	 * operator that is one of its functions by another name. */
	if (c->throws && c->function->family == HEAP_FAMILY_CXX && is_program(p->code.image))
		flags |= HEAP_SITE_THROWS_AT_WILL;
	if (r->sites_cnt == HEAP_SITES_MAX ||
	    !heap_site_rule__choose(b, targets, c->function, flags, &site))
		return false;
	r->sites[r->sites_cnt++] = site;
	return true;
}

static enum parse_status choose_sites(struct heap_program *p, struct heap_sites *r)
{
	_cleanup_(branch_targets__done) struct branch_targets targets = { .items = NULL };
	enum parse_status status;

	decode_all(p);
	status = branch_targets__collect(&p->code, &targets);
	for (size_t i = 0; i < p->cnt && status == PARSE_OK; i++) {
		const struct heap_candidate *c = &p->items[i];

		/* Who is not counted himself must not keep others from being counted. */
		if (c->body >= 0 && !c->forwards && add_site(p, c, &targets, r) &&
		    heap_candidate__allocates(c))
			add_ranges(p, c, r);
	}
	return status;
}

static enum parse_status probe_functions(const struct elf_image *image,
					 const struct elf_functions *found,
					 const bool families[HEAP_FAMILIES], struct heap_sites *r)
{
	_cleanup_free_ struct heap_program *p = calloc(1, sizeof(*p));
	enum parse_status status;

	if (!p)
		return PARSE_LIMIT;
	take_candidates(image, found, families, p);
	if (!p->cnt)
		return PARSE_OK;
	status = code__init(&p->code, image);
	if (status != PARSE_OK)
		return status;
	status = choose_sites(p, r);
	code__done(&p->code);
	return status;
}

/* Allocations without their frees would stay for ever, frees alone tell nothing. */
static size_t find_usdt(const struct elf_image *image, struct heap_sites *r)
{
	size_t cnt = usdt_notes__find(image, r->sites, HEAP_SITES_MAX), allocs = 0;

	for (size_t i = 0; i < cnt; i++)
		allocs += r->sites[i].call == HEAP_CALL_USDT_ALLOC;
	return allocs && allocs < cnt ? cnt : 0;
}

/* Linked into the program, as clang does. */
static bool is_sanitizer(const struct elf_image *image)
{
	static const char *const names[] = { "__asan_init", "__hwasan_init", "__lsan_init",
					     "__msan_init", "__tsan_init" };
	struct elf_functions found;

	return elf_functions__find(image, names, ARRAY_SIZE(names), &found) == PARSE_OK &&
	       found.cnt;
}

/* A sanitizer looks at who has called it: another address in the place of the caller's it would
 * take for a leak, and end the program. */
static void leave_returns(struct heap_sites *r)
{
	r->has_sanitizer = true;
	for (size_t i = 0; i < r->sites_cnt; i++) {
		struct heap_site *s = &r->sites[i];

		if (s->call < HEAP_CALL_FREE)
			s->flags |= HEAP_SITE_THROWS | HEAP_SITE_THROWS_AT_WILL;
	}
}

enum parse_status heap_sites__find(const struct elf_image *image, struct heap_sites *ret)
{
	struct heap_sites r = { .is_static = is_static(image),
				.is_go = is_go(image),
				.has_sanitizer = has_sanitizer(image),
				.is_musl = is_musl(image) };
	bool families[HEAP_FAMILIES] = { false };
	struct elf_functions found;
	enum parse_status status;

	status = find_functions(image, &found);
	if (status != PARSE_OK)
		return status;
	r.is_stripped = !found.has_symbols;
	if (image->class != ELFCLASS64)
		r.refusal = HEAP_REFUSAL_32BIT;
	else if (image->machine == EM_X86_64)
		r.sites_cnt = find_usdt(image, &r);
	if (image->class == ELFCLASS64 && image->machine == EM_X86_64 && !r.sites_cnt &&
	    find_families(&found, families) &&
	    !elf_functions__exports_object(image, "_rtld_global"))
		status = probe_functions(image, &found, families, &r);
	r.has_malloc = families[HEAP_FAMILY_C];
	if (r.sites_cnt && (r.has_sanitizer || is_sanitizer(image)))
		leave_returns(&r);
	if (r.is_go && r.is_static && !r.sites_cnt)
		r.refusal = HEAP_REFUSAL_GO;
	if (status == PARSE_OK)
		*ret = r;
	return status;
}
