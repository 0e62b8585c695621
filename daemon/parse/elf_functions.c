/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Most files asked have none of the names, so what counts is how quickly that is known: the GNU
 * hash table answers a name with one read of its filter. The names are hashed once; a table without
 * hash is walked and each of its names hashed instead. Walks of chains have one common budget, so
 * that a table of ten million equal hashes costs what one honest table costs.
 */
#include "parse/elf_functions.h"

#include <gelf.h>
#include <string.h>
#include "parse/symbol_table.h"

#define NAME_BYTES_MAX  64
#define BUCKETS         256
#define NONE            UINT16_MAX
#define CHAIN_STEPS_MAX (1u << 18)

struct search {
	const struct elf_image *image;
	const char *const *names;
	size_t names_cnt;
	uint32_t hashes[ELF_FUNCTIONS_NAMES_MAX];
	uint16_t buckets[BUCKETS], next[ELF_FUNCTIONS_NAMES_MAX];
	bool first_letters[256];
	uint16_t by_name[ELF_FUNCTIONS_NAMES_MAX][ELF_FUNCTIONS_PER_NAME];
	uint8_t by_name_cnt[ELF_FUNCTIONS_NAMES_MAX];
	struct elf_functions *found;
};

/* .gnu.hash as it lies in the file. */
struct gnu_hash {
	const unsigned char *filter, *buckets, *chains;
	uint32_t buckets_cnt, first_symbol, filter_cnt, filter_shift;
	size_t chains_cnt;
};

static uint32_t hash_name(const char *name, size_t len)
{
	uint32_t hash = 5381;

	for (size_t i = 0; i < len; i++)
		hash = hash * 33 + (unsigned char)name[i];
	return hash;
}

static uint32_t read_u32(const unsigned char *at, size_t idx)
{
	uint32_t value;

	memcpy(&value, at + idx * sizeof(value), sizeof(value));
	return value;
}

static uint64_t read_u64(const unsigned char *at, size_t idx)
{
	uint64_t value;

	memcpy(&value, at + idx * sizeof(value), sizeof(value));
	return value;
}

static void index_names(struct search *s)
{
	memset(s->buckets, 0xff, sizeof(s->buckets));
	for (size_t i = 0; i < s->names_cnt; i++) {
		uint32_t hash = hash_name(s->names[i], strlen(s->names[i]));

		s->hashes[i] = hash;
		s->next[i] = s->buckets[hash % BUCKETS];
		s->buckets[hash % BUCKETS] = (uint16_t)i;
		s->first_letters[(unsigned char)s->names[i][0]] = true;
	}
}

/* --- symbols -----------------------------------------------------------------------------------
 */
static bool is_defined(const Elf64_Sym *sym)
{
	return sym->st_shndx != SHN_UNDEF && sym->st_shndx < SHN_LORESERVE;
}

/* The name without its version; NULL where it is longer than any that is looked for. */
static const char *name_of(const struct symbol_table *t, const Elf64_Sym *sym, size_t *ret_len)
{
	const char *name, *end, *version;
	size_t room;

	if (sym->st_name >= t->strings_bytes)
		return NULL;
	name = t->strings + sym->st_name;
	room = t->strings_bytes - sym->st_name;
	if (room > NAME_BYTES_MAX)
		room = NAME_BYTES_MAX;
	version = memchr(name, '@', room);
	end = memchr(name, '\0', version ? (size_t)(version - name) : room);
	if (!end && !version)
		return NULL;
	*ret_len = (size_t)((end ? end : version) - name);
	return name;
}

static bool names_are_equal(const char *name, size_t len, const char *wanted)
{
	return strlen(wanted) == len && !memcmp(name, wanted, len);
}

static void add_function(struct search *s, uint16_t name_idx, const Elf64_Sym *sym)
{
	uint8_t *same_cnt = &s->by_name_cnt[name_idx];
	struct elf_functions *f = s->found;

	for (size_t i = 0; i < *same_cnt; i++)
		if (f->items[s->by_name[name_idx][i]].address == sym->st_value)
			return;
	if (f->cnt == ELF_FUNCTIONS_MAX || *same_cnt == ELF_FUNCTIONS_PER_NAME)
		return;
	s->by_name[name_idx][(*same_cnt)++] = (uint16_t)f->cnt;
	f->items[f->cnt++] = (struct elf_function){ .name_idx = name_idx,
						    .address = sym->st_value,
						    .size = sym->st_size };
}

/* --- by the hash table -------------------------------------------------------------------------
 */
static bool open_hash(Elf_Scn *scn, struct gnu_hash *ret)
{
	struct gnu_hash h;
	const unsigned char *data;
	size_t bytes, used;

	if (section__raw(scn, &data, &bytes) != PARSE_OK || bytes < 4 * sizeof(uint32_t))
		return false;
	h.buckets_cnt = read_u32(data, 0);
	h.first_symbol = read_u32(data, 1);
	h.filter_cnt = read_u32(data, 2);
	h.filter_shift = read_u32(data, 3);
	used = 4 * sizeof(uint32_t);
	if (!h.buckets_cnt || !h.filter_cnt || h.filter_shift >= 32 ||
	    (bytes - used) / sizeof(uint64_t) < h.filter_cnt)
		return false;
	h.filter = data + used;
	used += h.filter_cnt * sizeof(uint64_t);
	if ((bytes - used) / sizeof(uint32_t) < h.buckets_cnt)
		return false;
	h.buckets = data + used;
	used += h.buckets_cnt * sizeof(uint32_t);
	h.chains = data + used;
	h.chains_cnt = (bytes - used) / sizeof(uint32_t);
	*ret = h;
	return true;
}

static bool filter_passes(const struct gnu_hash *h, uint32_t hash)
{
	uint64_t word = read_u64(h->filter, hash / 64 % h->filter_cnt);

	return word >> hash % 64 & word >> (hash >> h->filter_shift) % 64 & 1;
}

typedef void (*on_symbol_fn)(void *ctx, const Elf64_Sym *sym);

static enum parse_status walk_chain(const struct gnu_hash *h, const struct symbol_table *t,
				    const char *name, uint32_t hash, uint32_t *steps,
				    on_symbol_fn on_symbol, void *ctx)
{
	uint32_t idx;

	if (!filter_passes(h, hash))
		return PARSE_OK;
	idx = read_u32(h->buckets, hash % h->buckets_cnt);
	if (!idx)
		return PARSE_OK;
	for (;; idx++) {
		const char *found;
		uint32_t entry;
		Elf64_Sym sym;
		size_t len;

		if (idx < h->first_symbol || idx - h->first_symbol >= h->chains_cnt ||
		    idx >= t->symbols_cnt)
			return PARSE_CORRUPT;
		if (!(*steps)--)
			return PARSE_LIMIT;
		entry = read_u32(h->chains, idx - h->first_symbol);
		if ((entry | 1) == (hash | 1)) {
			symbol_table__read(t, idx, &sym);
			found = name_of(t, &sym, &len);
			if (found && names_are_equal(found, len, name) && is_defined(&sym))
				on_symbol(ctx, &sym);
		}
		if (entry & 1)
			return PARSE_OK;
	}
}

struct found_name {
	struct search *search;
	uint16_t name_idx;
};

static void take_function(void *ctx, const Elf64_Sym *sym)
{
	struct found_name *f = ctx;

	if (ELF64_ST_TYPE(sym->st_info) == STT_FUNC)
		add_function(f->search, f->name_idx, sym);
}

static enum parse_status search_hash(struct search *s, const struct gnu_hash *h,
				     const struct symbol_table *t)
{
	enum parse_status status = PARSE_OK;
	uint32_t steps = CHAIN_STEPS_MAX;

	for (size_t i = 0; i < s->names_cnt && status == PARSE_OK; i++) {
		struct found_name f = { .search = s, .name_idx = (uint16_t)i };

		status = walk_chain(h, t, s->names[i], s->hashes[i], &steps, take_function, &f);
	}
	return status;
}

/* --- by walking --------------------------------------------------------------------------------
 */
static void search_symbol(struct search *s, const struct symbol_table *t, const Elf64_Sym *sym)
{
	const char *name;
	uint32_t hash;
	size_t len;

	if (sym->st_name >= t->strings_bytes ||
	    !s->first_letters[(unsigned char)t->strings[sym->st_name]])
		return;
	name = name_of(t, sym, &len);
	if (!name)
		return;
	hash = hash_name(name, len);
	for (uint16_t i = s->buckets[hash % BUCKETS]; i != NONE; i = s->next[i])
		if (s->hashes[i] == hash && names_are_equal(name, len, s->names[i]))
			add_function(s, i, sym);
}

static void search_all(struct search *s, const struct symbol_table *t)
{
	for (size_t i = 0; i < t->symbols_cnt; i++) {
		Elf64_Sym sym;

		symbol_table__read(t, i, &sym);
		if (ELF64_ST_TYPE(sym.st_info) != STT_FUNC || !is_defined(&sym))
			continue;
		s->found->has_symbols = true;
		search_symbol(s, t, &sym);
	}
}

static bool defines_function(const struct symbol_table *t)
{
	for (size_t i = 0; i < t->symbols_cnt; i++) {
		Elf64_Sym sym;

		symbol_table__read(t, i, &sym);
		if (ELF64_ST_TYPE(sym.st_info) == STT_FUNC && is_defined(&sym))
			return true;
	}
	return false;
}

/* --- tables ------------------------------------------------------------------------------------
 */
struct sections {
	Elf_Scn *symtab, *dynsym, *gnu_hash;
};

static void find_sections(const struct elf_image *image, struct sections *ret)
{
	Elf_Scn *scn = NULL;

	*ret = (struct sections){ .symtab = NULL };
	while ((scn = elf_nextscn(image->elf, scn))) {
		GElf_Shdr shdr;

		if (!gelf_getshdr(scn, &shdr))
			return;
		if (shdr.sh_type == SHT_SYMTAB && !ret->symtab)
			ret->symtab = scn;
		else if (shdr.sh_type == SHT_DYNSYM && !ret->dynsym)
			ret->dynsym = scn;
		else if (shdr.sh_type == SHT_GNU_HASH && !ret->gnu_hash)
			ret->gnu_hash = scn;
	}
}

/* The filter's words are as wide as the file's addresses: read for 64 bits only. */
static bool has_hash(const struct elf_image *image, const struct sections *sections,
		     struct gnu_hash *ret)
{
	return sections->gnu_hash && image->class == ELFCLASS64 &&
	       open_hash(sections->gnu_hash, ret);
}

static enum parse_status search_dynamic(struct search *s, const struct sections *sections)
{
	struct symbol_table t;
	enum parse_status status;
	struct gnu_hash h;

	status = symbol_table__open(s->image, sections->dynsym, &t);
	if (status != PARSE_OK)
		return status;
	if (!has_hash(s->image, sections, &h)) {
		search_all(s, &t);
		return PARSE_OK;
	}
	s->found->has_symbols |= defines_function(&t);
	return search_hash(s, &h, &t);
}

enum parse_status elf_functions__find(const struct elf_image *image, const char *const *names,
				      size_t cnt, struct elf_functions *ret)
{
	struct search s = { .image = image, .names = names, .names_cnt = cnt, .found = ret };
	enum parse_status status = PARSE_OK;
	struct sections sections;

	ret->cnt = 0;
	ret->has_symbols = false;
	if (cnt > ELF_FUNCTIONS_NAMES_MAX)
		return PARSE_LIMIT;
	index_names(&s);
	find_sections(image, &sections);
	if (sections.dynsym)
		status = search_dynamic(&s, &sections);
	if (status == PARSE_OK && sections.symtab) {
		struct symbol_table t;

		status = symbol_table__open(image, sections.symtab, &t);
		if (status == PARSE_OK)
			search_all(&s, &t);
	}
	return status;
}

static void note_object(void *ctx, const Elf64_Sym *sym)
{
	bool *is_object = ctx;

	if (ELF64_ST_TYPE(sym->st_info) == STT_OBJECT)
		*is_object = true;
}

static void walk_table(const struct symbol_table *t, const char *wanted, bool *ret_is_object)
{
	for (size_t i = 0; i < t->symbols_cnt; i++) {
		const char *name;
		Elf64_Sym sym;
		size_t len;

		symbol_table__read(t, i, &sym);
		name = is_defined(&sym) ? name_of(t, &sym, &len) : NULL;
		if (name && names_are_equal(name, len, wanted))
			note_object(ret_is_object, &sym);
	}
}

bool elf_functions__exports_object(const struct elf_image *image, const char *name)
{
	uint32_t steps = CHAIN_STEPS_MAX;
	struct sections sections;
	bool is_object = false;
	struct symbol_table t;
	struct gnu_hash h;

	find_sections(image, &sections);
	if (!sections.dynsym || symbol_table__open(image, sections.dynsym, &t) != PARSE_OK)
		return false;
	if (has_hash(image, &sections, &h))
		walk_chain(&h, &t, name, hash_name(name, strlen(name)), &steps, note_object,
			   &is_object);
	else
		walk_table(&t, name, &is_object);
	return is_object;
}
