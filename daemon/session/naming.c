/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See naming.h.
 */
#include "session/naming.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/array.h"
#include "base/log.h"

/* One size for every kernel mapping, so that profiles of different boots merge; it covers what
 * worker.h gives to BPF programs and to addresses that no symbol covers. */
#define KERNEL_MAPPING_BYTES (1ULL << 48)
#define PAGE_ROUND_UP(x)     (((x) + 0xfff) & ~0xfffULL)

/* The locations of one provisional mapping and what they ask. */
struct batch {
	uint32_t *locations; /* ids */
	uint64_t *addresses;
	size_t cnt;
};

void naming__done(struct naming *n)
{
	free(n->mappings);
	free(n->by_module);
	*n = (struct naming){ 0 };
}

static const char *module_file(const struct module *module)
{
	switch (module->kind) {
	case MODULE_VDSO:
		return "[vdso]";
	case MODULE_JIT:
		return "JIT"; /* pprof adds the brackets to what has no name: "[JIT]" */
	default:
		return module->path ?: "";
	}
}

static int add_provisional(struct naming *n, struct profile *p, const struct module *module,
			   const char *file, uint32_t *ret_id)
{
	/* JIT: there is no file to look names up in, which keeps pprof from trying. */
	struct profile_mapping m = {
		.is_kernel = !module,
		.has_functions = module && module->kind == MODULE_JIT,
	};
	uint32_t id;
	int err;

	err = array__reserve(n->mappings, n->mappings_cap, n->mappings_cnt + 1);
	if (!err)
		err = profile__string(p, file, &m.file);
	if (!err)
		err = profile__add_mapping(p, &m, &id);
	if (err)
		return err;
	n->mappings[n->mappings_cnt++] =
		(struct provisional_mapping){ .mapping = id, .module = module };
	*ret_id = id;
	return 0;
}

static int set_by_module(struct naming *n, size_t idx, uint32_t id)
{
	size_t cnt = n->by_module_cnt;

	if (array__reserve(n->by_module, n->by_module_cap, idx + 1))
		return -ENOMEM;
	if (idx >= cnt) {
		memset(n->by_module + cnt, 0, (idx + 1 - cnt) * sizeof(*n->by_module));
		n->by_module_cnt = idx + 1;
	}
	n->by_module[idx] = id;
	return 0;
}

int naming__reserve_first(struct naming *n, struct profile *p, const char *name)
{
	struct profile_mapping m = { 0 };
	uint32_t id;
	int err;

	err = profile__string(p, name, &m.file);
	return err ?: profile__add_mapping(p, &m, &id);
}

int naming__bind_first(struct naming *n, struct profile *p, const struct module *module)
{
	uint32_t file;
	int err;

	/* Its first sample may have come before word of its mapping. */
	if (module->idx < n->by_module_cnt && n->by_module[module->idx])
		return 0;
	err = profile__string(p, module_file(module), &file);
	if (!err)
		err = array__reserve(n->mappings, n->mappings_cap, n->mappings_cnt + 1);
	if (!err)
		err = set_by_module(n, module->idx, 1);
	if (err)
		return err;
	p->mappings[0].file = file;
	n->mappings[n->mappings_cnt++] =
		(struct provisional_mapping){ .mapping = 1, .module = module };
	return 0;
}

/* All JIT memory of the host is one module of the profile: nothing else is known of it. */
static uint32_t find_jit(const struct naming *n)
{
	size_t i;

	for (i = 0; i < n->mappings_cnt; i++)
		if (n->mappings[i].module && n->mappings[i].module->kind == MODULE_JIT)
			return n->mappings[i].mapping;
	return 0;
}

int naming__module_mapping(struct naming *n, struct profile *p, const struct module *module,
			   uint32_t *ret_id)
{
	size_t idx = module->idx;
	uint32_t id;
	int err;

	if (idx < n->by_module_cnt && n->by_module[idx]) {
		*ret_id = n->by_module[idx];
		return 0;
	}
	id = module->kind == MODULE_JIT ? find_jit(n) : 0;
	err = id ? 0 : add_provisional(n, p, module, module_file(module), &id);
	if (!err)
		err = set_by_module(n, idx, id);
	if (!err)
		*ret_id = id;
	return err;
}

int naming__kernel_mapping(struct naming *n, struct profile *p, uint32_t *ret_id)
{
	int err = 0;

	if (!n->kernel)
		err = add_provisional(n, p, NULL, "[kernel.kallsyms]", &n->kernel);
	*ret_id = n->kernel;
	return err;
}

static void batch__done(struct batch *b)
{
	free(b->locations);
	free(b->addresses);
}

/* The locations of every mapping as linked lists, made once: first[mapping id], next[index]. */
struct location_lists {
	uint32_t *first, *next; /* location ids, 0 ends */
};

static void location_lists__done(struct location_lists *lists)
{
	free(lists->first);
	free(lists->next);
}

static int location_lists__make(struct location_lists *lists, const struct profile *p)
{
	size_t i;

	lists->first = calloc(p->mappings_cnt + 1, sizeof(*lists->first));
	lists->next = calloc(p->locations_cnt + 1, sizeof(*lists->next));
	if (!lists->first || !lists->next)
		return -ENOMEM;
	for (i = 0; i < p->locations_cnt; i++) {
		uint32_t mapping = p->locations[i].mapping;

		lists->next[i] = lists->first[mapping];
		lists->first[mapping] = (uint32_t)i + 1;
	}
	return 0;
}

static int batch__collect(struct batch *b, const struct profile *p,
			  const struct location_lists *lists, uint32_t mapping)
{
	size_t cnt = 0;
	uint32_t id;

	for (id = lists->first[mapping]; id; id = lists->next[id - 1])
		cnt++;
	b->locations = calloc(cnt + 1, sizeof(*b->locations));
	b->addresses = calloc(cnt + 1, sizeof(*b->addresses));
	if (!b->locations || !b->addresses)
		return -ENOMEM;
	for (id = lists->first[mapping]; id; id = lists->next[id - 1]) {
		b->locations[b->cnt] = id;
		b->addresses[b->cnt++] = p->locations[id - 1].address;
	}
	return 0;
}

static int hex_build_id(struct profile *p, const uint8_t *id, uint32_t len, uint32_t *ret_idx)
{
	char text[2 * WORKER_BUILD_ID_MAX + 1] = "";
	uint32_t i;

	for (i = 0; i < len && i < WORKER_BUILD_ID_MAX; i++)
		snprintf(text + 2 * i, 3, "%02x", id[i]);
	return profile__string(p, text, ret_idx);
}

/* Equal mappings are one: two modules may turn out to be the same file. */
static uint32_t find_mapping(const struct profile *p, const struct profile_mapping *m)
{
	size_t i;

	for (i = 0; i < p->mappings_cnt; i++) {
		const struct profile_mapping *o = &p->mappings[i];

		if (o->start == m->start && o->limit == m->limit && o->offset == m->offset &&
		    o->file == m->file && o->build_id == m->build_id)
			return (uint32_t)i + 1;
	}
	return 0;
}

/* The mapping of one segment: the provisional row is reused for the first. */
static int segment_mapping(struct profile *p, uint32_t provisional, const struct profile_mapping *m,
			   bool is_first, uint32_t *ret_id)
{
	uint32_t id = find_mapping(p, m);

	if (!id && is_first) {
		p->mappings[provisional - 1] = *m;
		id = provisional;
	}
	if (!id)
		return profile__add_mapping(p, m, ret_id);
	*ret_id = id;
	return 0;
}

/*
 * has_functions says that the symbol table has been read, so that an address without a name is one
 * no symbol covers. pprof then leaves the mapping alone; otherwise it would look the whole file up
 * again with addr2line, and where that finds a line but no function (inlined code of stripped
 * debug info) it replaces our name by nothing.
 */
static int file_mappings(struct profile *p, uint32_t provisional, const struct worker_reply *r,
			 uint32_t ids[WORKER_SEGMENTS_MAX])
{
	struct profile_mapping m = p->mappings[provisional - 1];
	size_t i;
	int err;

	m.has_functions = r->status == PARSE_OK;
	err = hex_build_id(p, r->build_id, r->build_id_len, &m.build_id);
	for (i = 0; !err && i < r->segments_cnt; i++) {
		m.start = r->segments[i].vaddr;
		m.limit = r->segments[i].limit;
		m.offset = r->segments[i].offset;
		err = segment_mapping(p, provisional, &m, i == 0, &ids[i]);
	}
	return err;
}

static int kernel_mappings(struct profile *p, uint32_t provisional, const struct worker_reply *r,
			   uint32_t *ids)
{
	struct profile_mapping m = p->mappings[provisional - 1];
	size_t i;
	int err = 0;

	m.limit = KERNEL_MAPPING_BYTES;
	m.has_functions = r->status == PARSE_OK;
	for (i = 0; !err && i < r->modules_cnt; i++) {
		char file[80];

		snprintf(file, sizeof(file), "[%.64s]",
			 *r->modules[i] ? r->modules[i] : "kernel.kallsyms");
		err = profile__string(p, file, &m.file);
		if (!err)
			err = segment_mapping(p, provisional, &m, i == 0, &ids[i]);
	}
	return err;
}

static int name_location(struct profile *p, uint32_t location, const struct worker_symbol *s)
{
	struct profile_function function = { 0 };
	struct profile_line line = { 0 };
	int err;

	if (!s->name)
		return 0;
	err = profile__string(p, s->name, &function.name);
	if (!err)
		err = profile__string(p, s->system_name, &function.system_name);
	if (!err)
		err = profile__function(p, &function, &line.function);
	return err ?: profile__set_lines(p, location, &line, 1);
}

static int apply_symbols(struct profile *p, const struct batch *b, const struct worker_reply *r,
			 const uint32_t *ids, size_t ids_cnt)
{
	size_t i;
	int err = 0;

	for (i = 0; !err && i < b->cnt && i < r->symbols_cnt; i++) {
		const struct worker_symbol *s = &r->symbols[i];
		struct profile_location *l = &p->locations[b->locations[i] - 1];

		if (s->segment < 0 || (size_t)s->segment >= ids_cnt)
			continue;
		l->mapping = ids[s->segment];
		l->address = s->address;
		err = name_location(p, b->locations[i], s);
	}
	return err;
}

/* Where the kernel lies is nobody's business: what could not be turned into offsets is dropped. */
static void hide_addresses(struct profile *p, const struct batch *b)
{
	size_t i;

	for (i = 0; i < b->cnt; i++)
		p->locations[b->locations[i] - 1].address = 0;
}

/* A profile without names is worth more than none: the reply says that nothing was read. */
static void note_no_worker(struct naming_stats *stats, int err)
{
	if (err && !stats->no_worker++)
		log_warn("the worker that reads symbol tables cannot be started: %s, ignoring: "
			 "names will be missing",
			 strerror(-err));
}

static int resolve_kernel(struct naming_stats *stats, struct profile *p, uint32_t provisional,
			  const struct batch *b, struct symbolizer *symbolizer)
{
	struct worker_reply reply = { 0 };
	_cleanup_free_ uint32_t *ids = NULL;
	int err;

	note_no_worker(stats, symbolizer__kernel(symbolizer, b->addresses, b->cnt, &reply));
	stats->status[reply.status]++;
	if (!reply.symbols_cnt)
		hide_addresses(p, b);
	ids = calloc(reply.modules_cnt + 1, sizeof(*ids));
	err = ids ? kernel_mappings(p, provisional, &reply, ids) : -ENOMEM;
	if (!err)
		err = apply_symbols(p, b, &reply, ids, reply.modules_cnt);
	worker_reply__done(&reply);
	return err;
}

static bool is_replaced(const struct module *m, const struct worker_reply *r)
{
	return m->build_id_len && (m->build_id_len != r->build_id_len ||
				   memcmp(m->build_id, r->build_id, m->build_id_len) != 0);
}

/*
 * What lies in no executable segment (the loader maps some libraries whole as code and then their
 * data over it, and a wild frame pointer leads there) would lie outside of the mapping it is left
 * in: it gets one of its own, of the same file.
 */
static int place_outside(struct profile *p, const struct batch *b, const struct worker_reply *r,
			 uint32_t segment)
{
	struct profile_mapping m = p->mappings[segment - 1];
	uint32_t id = 0;
	size_t i;
	int err = 0;

	m.start = m.offset = m.limit = 0;
	for (i = 0; i < b->cnt && i < r->symbols_cnt; i++) {
		const struct profile_location *l = &p->locations[b->locations[i] - 1];

		if (r->symbols[i].segment < 0 && l->address >= m.limit)
			m.limit = PAGE_ROUND_UP(l->address + 1);
	}
	for (i = 0; !err && i < b->cnt && i < r->symbols_cnt; i++) {
		if (r->symbols[i].segment >= 0)
			continue;
		if (!id)
			err = profile__add_mapping(p, &m, &id);
		if (!err)
			p->locations[b->locations[i] - 1].mapping = id;
	}
	return err;
}

static int apply_file(struct naming_stats *stats, struct profile *p,
		      const struct provisional_mapping *pm, const struct batch *b,
		      const struct worker_reply *reply)
{
	uint32_t ids[WORKER_SEGMENTS_MAX] = { 0 };
	int err;

	stats->status[reply->status]++;
	if (reply->status != PARSE_OK && reply->status != PARSE_NO_SYMBOLS)
		return 0;
	if (is_replaced(pm->module, reply)) {
		stats->replaced++;
		return 0;
	}
	err = file_mappings(p, pm->mapping, reply, ids);
	if (!err && reply->segments_cnt)
		err = place_outside(p, b, reply, ids[0]);
	return err ?: apply_symbols(p, b, reply, ids, reply->segments_cnt);
}

static int resolve_module(struct naming_stats *stats, struct profile *p,
			  const struct provisional_mapping *pm, const struct batch *b,
			  struct symbolizer *symbolizer)
{
	struct worker_reply reply = { 0 };
	int err;

	if (pm->module->kind != MODULE_VDSO && pm->module->fd < 0) {
		stats->without_file += pm->module->kind == MODULE_FILE;
		return 0;
	}
	note_no_worker(stats,
		       symbolizer__module(symbolizer, pm->module, b->addresses, b->cnt, &reply));
	if (reply.status != PARSE_OK)
		log_debug("'%s': symbols: %s", pm->module->path ?: "",
			  parse_status__name(reply.status));
	err = apply_file(stats, p, pm, b, &reply);
	worker_reply__done(&reply);
	return err;
}

/* What could not be read still gets a mapping that covers its locations. */
static void cover_unresolved(struct profile *p, const struct batch *b, uint32_t mapping)
{
	struct profile_mapping *m = &p->mappings[mapping - 1];
	size_t i;

	if (m->limit)
		return;
	for (i = 0; i < b->cnt; i++) {
		const struct profile_location *l = &p->locations[b->locations[i] - 1];

		if (l->mapping == mapping && l->address >= m->limit)
			m->limit = PAGE_ROUND_UP(l->address + 1);
	}
}

int naming__resolve(struct naming *n, struct profile *p, struct symbolizer *symbolizer,
		    struct naming_stats *stats)
{
	_cleanup_(location_lists__done) struct location_lists lists = { 0 };
	size_t i;
	int err;

	err = location_lists__make(&lists, p);
	for (i = 0; !err && i < n->mappings_cnt; i++) {
		const struct provisional_mapping *pm = &n->mappings[i];
		_cleanup_(batch__done) struct batch b = { 0 };

		err = batch__collect(&b, p, &lists, pm->mapping);
		if (err || !b.cnt)
			continue;
		if (pm->module)
			err = resolve_module(stats, p, pm, &b, symbolizer);
		else
			err = resolve_kernel(stats, p, pm->mapping, &b, symbolizer);
		cover_unresolved(p, &b, pm->mapping);
	}
	return err;
}
