/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One pass over the text of /proc/kallsyms. As in elf_symbols.c the questions are sorted, not the
 * symbols: each symbol falls into the gap between two questions it starts in, each gap keeps its
 * greatest start, and the nearest start below a question names it, symbols having no size here.
 *
 * Where that would be wrong nothing is named: outside [_stext, _etext) symbols of the kernel itself
 * count only as borders (init text is freed and reused, data does not run), and a module's or
 * BPF program's symbol reaches MODULE_REACH_BYTES at most, because nothing says where it ends.
 */
#include "parse/kallsyms.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/hash.h"

#define MODULE_REACH_BYTES (64u << 10)
#define BPF_REACH_BYTES    (8u << 20)
#define BPF_OFFSET_BITS    24
#define PAGE_OFFSET_MASK   0xfffULL
#define READ_BYTES         (64u << 10)

_Static_assert(BPF_REACH_BYTES <= 1u << BPF_OFFSET_BITS, "an offset in a program has its bits");

struct module {
	char name[KALLSYMS_MODULE_BYTES]; /* key */
	uint32_t answer_idx; /* in the result's modules[]; 0: nothing asked lies in it yet */
	uint64_t lowest_text;
	UT_hash_handle hh;
};

/* The symbol with the greatest start between two questions. */
struct gap {
	bool used, is_text, is_marker;
	uint8_t bind_rank;
	struct module *module; /* NULL: the kernel */
	uint64_t start;
	char name[PARSE_KALLSYMS_NAME_BYTES];
};

struct symbol_line {
	uint64_t address;
	char type;
	const char *name, *module; /* terminated; module NULL: the kernel */
};

struct pass {
	const uint64_t *addresses;
	size_t cnt;
	struct gap *gaps;
	char *buf; /* READ_BYTES */
	struct module *modules, *last_module;
	uint32_t modules_cnt;
	uint64_t text, stext, etext;
	uint64_t last_core; /* address of the kernel symbol before this one */
	bool core_sorted;
	bool any_address;
};

static bool is_text_type(char type)
{
	return type == 't' || type == 'T' || type == 'w' || type == 'W';
}

/* Section borders of the linker script, which share an address with the first function. */
static bool is_marker(const char *name)
{
	size_t len = strlen(name);

	if (!strcmp(name, "_text") || !strcmp(name, "_stext") || !strcmp(name, "_etext"))
		return true;
	return !strncmp(name, "__", 2) && ((len > 8 && !strcmp(name + len - 6, "_start")) ||
					   (len > 6 && !strcmp(name + len - 4, "_end")));
}

/* --- lines -------------------------------------------------------------------------------------
 */
static bool parse_address(const char **p, uint64_t *ret)
{
	uint64_t v = 0;
	int digits = 0;

	for (;; (*p)++, digits++) {
		char c = **p;

		if (c >= '0' && c <= '9')
			v = v << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (uint64_t)(c - 'a' + 10);
		else
			break;
	}
	*ret = v;
	return digits > 0 && digits <= 16;
}

/* "ffffffff81000000 T name[\t[module]]", terminated, which it is cut up for. */
static bool parse_line(char *line, struct symbol_line *ret)
{
	const char *p = line;
	char *name, *tab;

	if (!parse_address(&p, &ret->address) || p[0] != ' ' || !p[1] || p[2] != ' ' || !p[3])
		return false;
	ret->type = p[1];
	name = line + (p - line) + 3;
	ret->name = name;
	ret->module = NULL;
	tab = strchr(name, '\t');
	if (tab) {
		char *close = strrchr(tab, ']');

		if (tab[1] != '[' || !close)
			return false;
		*tab = *close = '\0';
		ret->module = tab + 2;
		if (!*ret->module || strlen(ret->module) >= KALLSYMS_MODULE_BYTES)
			return false;
	}
	return *name && strlen(name) < PARSE_KALLSYMS_NAME_BYTES;
}

static enum parse_status find_module(struct pass *p, const char *name, struct module **ret)
{
	struct module *m = p->last_module;

	if (!m || strcmp(m->name, name) != 0)
		HASH_FIND_STR(p->modules, name, m);
	if (!m) {
		if (p->modules_cnt == PARSE_KALLSYMS_MODULES_MAX)
			return PARSE_LIMIT;
		m = calloc(1, sizeof(*m));
		if (!m)
			return PARSE_LIMIT;
		memcpy(m->name, name, strlen(name) + 1);
		p->modules_cnt++;
		m->lowest_text = UINT64_MAX;
		HASH_ADD_STR(p->modules, name, m);
		if (hash__add_failed(m)) {
			free(m);
			return PARSE_LIMIT;
		}
	}
	p->last_module = *ret = m;
	return PARSE_OK;
}

static bool line_beats_gap(const struct gap *new, const struct gap *old, const char *name)
{
	size_t new_len, old_len;

	if (!old->used || new->start != old->start)
		return !old->used || new->start > old->start;
	if (new->is_text != old->is_text)
		return new->is_text;
	if (new->is_marker != old->is_marker)
		return old->is_marker;
	if (new->bind_rank != old->bind_rank)
		return new->bind_rank < old->bind_rank;
	new_len = strlen(name);
	old_len = strlen(old->name);
	return new_len != old_len ? new_len < old_len : strcmp(name, old->name) < 0;
}

static void drop_into_gap(struct pass *p, const struct symbol_line *line, struct module *module)
{
	size_t low = 0, high = p->cnt;
	struct gap gap, *old;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (p->addresses[mid] < line->address)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == p->cnt)
		return;
	old = &p->gaps[low];
	if (old->used && line->address < old->start)
		return;
	gap.used = true;
	gap.is_text = is_text_type(line->type);
	gap.is_marker = !module && is_marker(line->name);
	gap.bind_rank = line->type == 'T' ? 0 : line->type == 't' ? 2 : 1;
	gap.module = module;
	gap.start = line->address;
	if (!line_beats_gap(&gap, old, line->name))
		return;
	memcpy(old, &gap, offsetof(struct gap, name));
	memcpy(old->name, line->name, strlen(line->name) + 1);
}

static void note_core_symbol(struct pass *p, const struct symbol_line *line)
{
	if (line->address < p->last_core)
		p->core_sorted = false;
	p->last_core = line->address;
	if (line->name[0] != '_')
		return;
	if (!strcmp(line->name, "_text"))
		p->text = line->address;
	else if (!strcmp(line->name, "_stext"))
		p->stext = line->address;
	else if (!strcmp(line->name, "_etext"))
		p->etext = line->address;
}

static enum parse_status take_line(struct pass *p, char *text)
{
	struct module *module = NULL;
	struct symbol_line line;
	enum parse_status status;

	if (!parse_line(text, &line))
		return PARSE_CORRUPT;
	/* Absolute symbols are numbers, per-CPU offsets mostly. */
	if (!line.address || line.type == 'A' || line.type == 'a')
		return PARSE_OK;
	p->any_address = true;
	if (line.module) {
		status = find_module(p, line.module, &module);
		if (status != PARSE_OK)
			return status;
		if (is_text_type(line.type) && line.address < module->lowest_text)
			module->lowest_text = line.address;
	} else {
		note_core_symbol(p, &line);
	}
	drop_into_gap(p, &line, module);
	return PARSE_OK;
}

/* --- the pass ----------------------------------------------------------------------------------
 */
/* The kernel writes its own symbols in order, so that nothing after _etext matters to questions
 * below it: about half of the text, and all modules. */
static bool has_all_answers(const struct pass *p)
{
	return p->core_sorted && p->etext && p->stext && p->text && p->cnt &&
	       p->addresses[0] >= p->stext && p->addresses[p->cnt - 1] < p->etext;
}

/* Takes the complete lines read; *len becomes what is left of the last one. */
static enum parse_status take_lines(struct pass *p, size_t *len)
{
	char *at = p->buf, *end = p->buf + *len, *newline;
	enum parse_status status;

	while ((newline = memchr(at, '\n', (size_t)(end - at)))) {
		*newline = '\0';
		status = take_line(p, at);
		if (status != PARSE_OK)
			return status;
		at = newline + 1;
	}
	*len = (size_t)(end - at);
	memmove(p->buf, at, *len);
	return PARSE_OK;
}

static enum parse_status read_symbols(struct pass *p, int fd)
{
	enum parse_status status;
	size_t len = 0, total = 0;

	if (lseek(fd, 0, SEEK_SET) < 0)
		return PARSE_IO;
	while (!has_all_answers(p)) {
		ssize_t n;

		if (len == READ_BYTES)
			return PARSE_CORRUPT; /* one line fills the buffer */
		n = read(fd, p->buf + len, READ_BYTES - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return PARSE_IO;
		if (n == 0)
			return len ? PARSE_CORRUPT : PARSE_OK;
		total += (size_t)n;
		if (total > PARSE_KALLSYMS_BYTES_MAX)
			return PARSE_LIMIT;
		len += (size_t)n;
		status = take_lines(p, &len);
		if (status != PARSE_OK)
			return status;
	}
	return PARSE_OK;
}

/* --- answers -----------------------------------------------------------------------------------
 */
static uint64_t bpf_address(const char *program, uint64_t offset)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *program; program++)
		hash = (hash ^ (unsigned char)*program) * 16777619u;
	return (uint64_t)(hash >> 8) << BPF_OFFSET_BITS | offset;
}

static int32_t answer_module(struct kallsyms_result *r, struct module *module)
{
	if (!module->answer_idx) {
		module->answer_idx = (uint32_t)r->modules_cnt++;
		memcpy(r->modules[module->answer_idx], module->name, sizeof(module->name));
	}
	return (int32_t)module->answer_idx;
}

static enum parse_status answer(const struct pass *p, uint64_t address, const struct gap *nearest,
				struct kallsyms_result *r, struct kallsyms_match *ret)
{
	struct module *module;
	bool is_bpf;

	*ret = (struct kallsyms_match){ .address = KALLSYMS_UNKNOWN_BIT |
						   (address & PAGE_OFFSET_MASK) };
	if (address >= p->stext && address < p->etext) {
		ret->address = address - p->text;
		if (!nearest || nearest->module || !nearest->is_text)
			return PARSE_OK;
	} else {
		module = nearest ? nearest->module : NULL;
		is_bpf = module && !strcmp(module->name, "bpf");
		if (!module || !nearest->is_text ||
		    address - nearest->start >= (is_bpf ? BPF_REACH_BYTES : MODULE_REACH_BYTES))
			return PARSE_OK;
		ret->address = is_bpf ? bpf_address(nearest->name, address - nearest->start)
				      : address - module->lowest_text;
		ret->module = answer_module(r, module);
	}
	ret->name = strdup(nearest->name);
	return ret->name ? PARSE_OK : PARSE_LIMIT;
}

static enum parse_status collect_answers(const struct pass *p, struct kallsyms_result *r)
{
	const struct gap *nearest = NULL;

	r->modules = calloc(p->modules_cnt + 1, sizeof(*r->modules));
	r->matches = calloc(p->cnt + 1, sizeof(*r->matches));
	if (!r->modules || !r->matches)
		return PARSE_LIMIT;
	r->modules_cnt = 1;
	r->matches_cnt = p->cnt;
	for (size_t i = 0; i < p->cnt; i++) {
		enum parse_status status;

		if (p->gaps[i].used)
			nearest = &p->gaps[i];
		status = answer(p, p->addresses[i], nearest, r, &r->matches[i]);
		if (status != PARSE_OK)
			return status;
	}
	return PARSE_OK;
}

static void release_pass(struct pass *p)
{
	struct module *m, *next;

	HASH_ITER (hh, p->modules, m, next) {
		HASH_DEL(p->modules, m);
		free(m);
	}
	free(p->gaps);
	free(p->buf);
}

enum parse_status kallsyms__find(int fd, const uint64_t *addresses, size_t cnt,
				 struct kallsyms_result *ret)
{
	struct pass p = { .addresses = addresses, .cnt = cnt, .core_sorted = true };
	struct kallsyms_result result = { .matches = NULL };
	bool hidden = false;
	enum parse_status status = PARSE_LIMIT;

	p.gaps = calloc(cnt + 1, sizeof(*p.gaps));
	p.buf = malloc(READ_BYTES);
	if (p.gaps && p.buf)
		status = read_symbols(&p, fd);
	if (status == PARSE_OK) {
		if (!p.text)
			p.text = p.stext;
		/* Without the borders of its text no address of the kernel can be placed. */
		hidden = !p.any_address || !p.stext || p.etext <= p.stext || p.text > p.stext;
		if (hidden)
			p.stext = p.etext = 0;
		status = collect_answers(&p, &result);
	}
	release_pass(&p);
	if (status != PARSE_OK) {
		kallsyms_result__done(&result);
		return status;
	}
	*ret = result;
	return hidden ? PARSE_NO_SYMBOLS : PARSE_OK;
}

void kallsyms_result__done(struct kallsyms_result *r)
{
	for (size_t i = 0; i < r->matches_cnt; i++)
		free(r->matches[i].name);
	free(r->matches);
	free(r->modules);
	*r = (struct kallsyms_result){ .matches = NULL };
}
