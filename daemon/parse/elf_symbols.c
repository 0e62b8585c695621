/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Symbol look-up in one pass. A profile asks for a few hundred addresses of a table of up to a
 * million symbols, so the symbols are not sorted or copied: the questions are, and each symbol is
 * searched among them. Strings are touched only for symbols that answer one.
 *
 * What covers an address:
 *  - a symbol with a size, within [start, start + size). Of several the innermost: the greatest
 *    start. Equal starts: function before untyped, global before weak before local, then the
 *    shortest name, then byte order.
 *  - else a symbol of size 0 that no other symbol of its section separates from the address. To
 *    know that without an index, every symbol is dropped into the gap between two questions it
 *    starts in, and each gap keeps its greatest start. Walking the gaps upwards afterwards gives
 * for each question the nearest start below it.
 *
 * .symtab answers first. What it covers by no sized symbol is asked of .dynsym too. Whether that
 * happens for one address does not depend on which others were asked.
 */
#include "parse/elf_symbols.h"

#include <elf.h>
#include <errno.h>
#include <gelf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "parse/symbol_table.h"

struct candidate {
	uint64_t start;
	const char *name; /* NULL: none */
	uint32_t name_len;
	uint16_t section;
	uint8_t type_rank, bind_rank; /* the lower wins */
};

struct query {
	uint64_t address;
	struct candidate sized;
	bool settled; /* by an earlier table */

	/* Symbols that start above the query before this one and not above this one. */
	bool gap_used;
	uint64_t gap_start;        /* the greatest start among them */
	struct candidate gap_zero; /* of size 0, at gap_start */
};

struct search {
	const struct elf_image *image;
	const uint8_t *section_is_code;
	struct query *queries;
	size_t queries_cnt;
	uint64_t coverings;
};

/* --- tables ------------------------------------------------------------------------------------
 */
/* Notes which sections hold code and where the two symbol tables are (NULL: none). */
static enum parse_status read_sections(const struct elf_image *image, uint8_t *is_code,
				       Elf_Scn **ret_symtab, Elf_Scn **ret_dynsym)
{
	Elf_Scn *scn = NULL;

	*ret_symtab = *ret_dynsym = NULL;
	while ((scn = elf_nextscn(image->elf, scn))) {
		size_t idx = elf_ndxscn(scn);
		GElf_Shdr shdr;

		if (!gelf_getshdr(scn, &shdr) || idx >= image->sections_cnt)
			return PARSE_CORRUPT;
		is_code[idx] = (shdr.sh_flags & SHF_EXECINSTR) && (shdr.sh_flags & SHF_ALLOC);
		if (shdr.sh_type == SHT_SYMTAB && !*ret_symtab)
			*ret_symtab = scn;
		else if (shdr.sh_type == SHT_DYNSYM && !*ret_dynsym)
			*ret_dynsym = scn;
	}
	return PARSE_OK;
}

/* --- candidates --------------------------------------------------------------------------------
 */
/* Takes the name, less "@VERSION". False: empty, beyond the table, too long, or a mapping symbol.
 */
static bool take_name(const struct symbol_table *t, uint32_t offset, struct candidate *c)
{
	const char *name, *end, *version;
	size_t room;

	if (offset >= t->strings_bytes)
		return false;
	name = t->strings + offset;
	room = t->strings_bytes - offset;
	end = memchr(name, '\0', room < PARSE_NAME_BYTES ? room : PARSE_NAME_BYTES);
	if (!end || end == name)
		return false;
	/* $x, $d, $a, $t and $x.name mark code and data on ARM; they name nothing. */
	if (name[0] == '$' && name[1] && strchr("adtx", name[1]) && (!name[2] || name[2] == '.'))
		return false;
	version = memchr(name + 1, '@', (size_t)(end - name - 1));
	c->name = name;
	c->name_len = (uint32_t)((version ? version : end) - name);
	return true;
}

static bool candidate_is_better(const struct candidate *a, const struct candidate *b)
{
	size_t shorter;
	int order;

	if (!b->name || a->start != b->start)
		return !b->name || a->start > b->start;
	if (a->type_rank != b->type_rank)
		return a->type_rank < b->type_rank;
	if (a->bind_rank != b->bind_rank)
		return a->bind_rank < b->bind_rank;
	if (a->name_len != b->name_len)
		return a->name_len < b->name_len;
	shorter = a->name_len;
	order = memcmp(a->name, b->name, shorter);
	return order < 0;
}

static struct candidate make_candidate(const Elf64_Sym *sym)
{
	const unsigned int type = ELF64_ST_TYPE(sym->st_info), bind = ELF64_ST_BIND(sym->st_info);

	return (struct candidate){
		.start = sym->st_value,
		.section = sym->st_shndx,
		.type_rank = type == STT_NOTYPE,
		.bind_rank = bind == STB_LOCAL  ? 2
			     : bind == STB_WEAK ? 1
						: 0,
	};
}

/* Index of the first query at or above the address; queries_cnt if there is none. */
static size_t first_query_from(const struct search *s, uint64_t address)
{
	size_t low = 0, high = s->queries_cnt;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->queries[mid].address < address)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void note_start(struct query *q, const struct symbol_table *t, const Elf64_Sym *sym,
		       bool may_name)
{
	struct candidate c = make_candidate(sym);

	if (q->gap_used && sym->st_value < q->gap_start)
		return;
	/* Only what has no size can be a mapping symbol, which does not end another one either. */
	if (!sym->st_size && !take_name(t, sym->st_name, &c))
		return;
	if (!q->gap_used || sym->st_value > q->gap_start) {
		q->gap_used = true;
		q->gap_start = sym->st_value;
		q->gap_zero.name = NULL;
	}
	if (!sym->st_size && may_name && candidate_is_better(&c, &q->gap_zero))
		q->gap_zero = c;
}

static enum parse_status note_covered(struct search *s, const struct symbol_table *t,
				      const Elf64_Sym *sym, size_t first)
{
	struct candidate c = make_candidate(sym);

	for (size_t i = first; i < s->queries_cnt; i++) {
		struct query *q = &s->queries[i];

		if (q->address - sym->st_value >= sym->st_size)
			break;
		if (++s->coverings > PARSE_COVERINGS_MAX)
			return PARSE_LIMIT;
		if (q->settled || (q->sized.name && q->sized.start > c.start))
			continue;
		if (!c.name && !take_name(t, sym->st_name, &c))
			break;
		if (candidate_is_better(&c, &q->sized))
			q->sized = c;
	}
	return PARSE_OK;
}

static enum parse_status search_table(struct search *s, const struct symbol_table *t)
{
	enum parse_status status = PARSE_OK;

	for (size_t i = 0; i < t->symbols_cnt && status == PARSE_OK; i++) {
		unsigned int type;
		bool may_name;
		Elf64_Sym sym;
		size_t first;

		symbol_table__read(t, i, &sym);
		type = ELF64_ST_TYPE(sym.st_info);
		if (sym.st_shndx == SHN_UNDEF || sym.st_shndx >= SHN_LORESERVE ||
		    sym.st_shndx >= s->image->sections_cnt || !s->section_is_code[sym.st_shndx] ||
		    type == STT_SECTION || type == STT_FILE || type == STT_TLS)
			continue;
		first = first_query_from(s, sym.st_value);
		if (first == s->queries_cnt)
			continue;
		may_name = type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE;
		note_start(&s->queries[first], t, &sym, may_name);
		if (may_name && sym.st_size)
			status = note_covered(s, t, &sym, first);
	}
	return status;
}

/* --- answers -----------------------------------------------------------------------------------
 */
static bool section_contains(const struct elf_image *image, size_t idx, uint64_t address)
{
	Elf_Scn *scn = elf_getscn(image->elf, idx);
	GElf_Shdr shdr;

	return scn && gelf_getshdr(scn, &shdr) && address >= shdr.sh_addr &&
	       address - shdr.sh_addr < shdr.sh_size;
}

static void collect_answers(const struct search *s, struct elf_symbol *ret)
{
	const struct query *nearest = NULL;

	for (size_t i = 0; i < s->queries_cnt; i++) {
		const struct query *q = &s->queries[i];
		const struct candidate *c = NULL;

		if (q->gap_used)
			nearest = q;
		if (q->sized.name)
			c = &q->sized;
		else if (nearest && nearest->gap_zero.name &&
			 section_contains(s->image, nearest->gap_zero.section, q->address))
			c = &nearest->gap_zero;
		if (c)
			ret[i] = (struct elf_symbol){ .start = c->start,
						      .name = c->name,
						      .name_len = c->name_len };
	}
}

static bool settle_queries(struct search *s)
{
	bool all = true;

	for (size_t i = 0; i < s->queries_cnt; i++) {
		s->queries[i].settled = s->queries[i].sized.name != NULL;
		all &= s->queries[i].settled;
	}
	return all;
}

static enum parse_status search_tables(struct search *s, Elf_Scn *symtab, Elf_Scn *dynsym)
{
	Elf_Scn *const scns[] = { symtab, dynsym };

	for (size_t i = 0; i < 2; i++) {
		enum parse_status status;
		struct symbol_table table;

		if (!scns[i])
			continue;
		status = symbol_table__open(s->image, scns[i], &table);
		if (status == PARSE_OK)
			status = search_table(s, &table);
		if (status != PARSE_OK)
			return status;
		if (settle_queries(s))
			break;
	}
	return PARSE_OK;
}

enum parse_status elf_symbols__find(const struct elf_image *image, const uint64_t *addresses,
				    size_t cnt, struct elf_symbol *ret)
{
	_cleanup_free_ struct query *queries = NULL;
	_cleanup_free_ uint8_t *is_code = NULL;
	Elf_Scn *symtab, *dynsym;
	enum parse_status status;
	struct search s;

	memset(ret, 0, cnt * sizeof(*ret));
	is_code = calloc(image->sections_cnt + 1, 1);
	queries = calloc(cnt + 1, sizeof(*queries));
	if (!is_code || !queries)
		return PARSE_LIMIT;
	for (size_t i = 0; i < cnt; i++)
		queries[i].address = addresses[i];
	status = read_sections(image, is_code, &symtab, &dynsym);
	if (status != PARSE_OK)
		return status;
	if (!symtab && !dynsym)
		return PARSE_NO_SYMBOLS;
	if (!cnt)
		return PARSE_OK;
	s = (struct search){
		.image = image,
		.section_is_code = is_code,
		.queries = queries,
		.queries_cnt = cnt,
	};
	status = search_tables(&s, symtab, dynsym);
	if (status == PARSE_OK)
		collect_answers(&s, ret);
	return status;
}
