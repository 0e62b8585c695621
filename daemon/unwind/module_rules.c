/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See module_rules.h. Files that hold the same rows share one table: copies of a library in many
 * containers. A build-id would be cheaper to compare, but it is the file's own word: a file of one
 * user could take the place of another's. The rows' digest is keyed with a number nobody outside
 * knows, so that no file can be made to collide with another.
 */
#include "unwind/module_rules.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/array.h"
#include "base/clock.h"
#include "process/vdso.h"

#define DIGEST_PRIME_BITS 61
#define DIGEST_PRIME      ((1ULL << DIGEST_PRIME_BITS) - 1)

struct module_entry {
	struct worker_segment *segments; /* READY only */
	uint32_t segments_cnt;
	uint32_t file; /* READY only */
	enum unwind_module_state state;
};

struct module_rules {
	struct tables *tables;
	struct process_table *processes;
	struct worker *worker;
	struct module_entry *modules; /* by module->idx */
	size_t modules_cnt, modules_cap;
	uint64_t digest_key;
	uint64_t digests[UNWIND_FILES_MAX]; /* by file; 0: no table */
	uint64_t memory_full, build_ns;
};

int module_rules__new(struct module_rules **ret, struct tables *tables,
		      struct process_table *processes, struct worker *worker)
{
	struct module_rules *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	if (getrandom(&r->digest_key, sizeof(r->digest_key), 0) != sizeof(r->digest_key))
		r->digest_key = clock__mono_ns();
	r->digest_key = r->digest_key % (DIGEST_PRIME - 1) + 1;
	r->tables = tables;
	r->processes = processes;
	r->worker = worker;
	*ret = r;
	return 0;
}

void module_rules__free(struct module_rules *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->modules_cnt; i++)
		free(r->modules[i].segments);
	free(r->modules);
	free(r);
}

static const struct module_entry *find_entry(const struct module_rules *r, const struct module *m)
{
	return m->idx < r->modules_cnt ? &r->modules[m->idx] : NULL;
}

/* NULL: no memory. */
static struct module_entry *get_entry(struct module_rules *r, const struct module *m)
{
	if (m->idx >= r->modules_cnt) {
		size_t need = (size_t)m->idx + 1;

		if (array__reserve(r->modules, r->modules_cap, need) < 0)
			return NULL;
		memset(&r->modules[r->modules_cnt], 0,
		       (need - r->modules_cnt) * sizeof(*r->modules));
		r->modules_cnt = need;
	}
	return &r->modules[m->idx];
}

/* a * b + c modulo the prime; a and b are below it. */
static uint64_t digest_step(uint64_t a, uint64_t b, uint64_t c)
{
	unsigned __int128 p = (unsigned __int128)a * b + c;
	uint64_t r = (uint64_t)(p & DIGEST_PRIME) + (uint64_t)(p >> DIGEST_PRIME_BITS);

	return r >= DIGEST_PRIME ? r - DIGEST_PRIME : r;
}

/* Polynomial in the key over the bytes, seven at a time: less than the prime. */
static uint64_t digest_bytes(uint64_t digest, uint64_t key, const void *bytes, size_t bytes_cnt)
{
	const uint8_t *p = bytes;
	uint64_t word;

	for (; bytes_cnt >= sizeof(word); p += 7, bytes_cnt -= 7) {
		memcpy(&word, p, sizeof(word));
		digest = digest_step(digest, key, (word << 8 >> 8) + 1);
	}
	word = 0;
	memcpy(&word, p, bytes_cnt); /* up to seven */
	return digest_step(digest, key, word + 1);
}

static uint64_t digest_rows(const struct module_rules *r, const struct worker_rows *w)
{
	const uint64_t shape[] = { w->base, w->blocks_cnt, w->rows_cnt, w->rules_cnt };
	uint64_t d = digest_bytes(1, r->digest_key, shape, sizeof(shape));

	d = digest_bytes(d, r->digest_key, w->blocks, (w->blocks_cnt + 1) * sizeof(*w->blocks));
	d = digest_bytes(d, r->digest_key, w->rows, w->rows_cnt * sizeof(*w->rows));
	d = digest_bytes(d, r->digest_key, w->rules, w->rules_cnt * sizeof(*w->rules));
	return d ?: 1;
}

static void forget_file(struct module_rules *r, uint32_t file)
{
	r->digests[file] = 0;
	for (size_t i = 0; i < r->modules_cnt; i++) {
		struct module_entry *e = &r->modules[i];

		if (e->state != UNWIND_MODULE_READY || e->file != file)
			continue;
		free(e->segments);
		*e = (struct module_entry){ .state = UNWIND_MODULE_NEW };
	}
}

struct eviction {
	struct module_rules *rules;
	void (*on_evict)(uint32_t file, void *ctx);
	void *ctx;
};

static void evict_file(uint32_t file, void *ctx)
{
	struct eviction *ev = ctx;

	forget_file(ev->rules, file);
	ev->on_evict(file, ev->ctx);
}

static bool find_same(const struct module_rules *r, uint64_t digest, uint32_t *ret_file)
{
	for (uint32_t i = 0; i < UNWIND_FILES_MAX; i++) {
		if (r->digests[i] != digest)
			continue;
		*ret_file = i;
		return true;
	}
	return false;
}

static enum unwind_module_state add_rows(struct module_rules *r, const struct worker_rows *w,
					 struct eviction *ev, uint32_t *ret_file)
{
	const struct file_rows rows = {
		.base = w->base,
		.blocks = w->blocks,
		.blocks_cnt = w->blocks_cnt,
		.rows = w->rows,
		.rows_cnt = w->rows_cnt,
		.rules = w->rules,
		.rules_cnt = w->rules_cnt,
	};
	uint64_t digest = digest_rows(r, w);

	if (find_same(r, digest, ret_file))
		return UNWIND_MODULE_READY;
	switch (tables__add(r->tables, &rows, ret_file, evict_file, ev)) {
	case 0:
		r->digests[*ret_file] = digest;
		return UNWIND_MODULE_READY;
	case -EBADMSG:
		return UNWIND_MODULE_BAD_ROWS;
	default:
		r->memory_full++;
		return UNWIND_MODULE_MEMORY;
	}
}

/* What the file was opened for may not be what is there. */
static bool is_other_file(const struct module *m, const struct worker_rows *w)
{
	if (!m->build_id_len)
		return false;
	if (!w->build_id_len)
		return true;
	return m->build_id_len != w->build_id_len ||
	       memcmp(m->build_id, w->build_id, m->build_id_len) != 0;
}

static enum unwind_module_state use_rows(struct module_rules *r, struct module_entry *e,
					 const struct module *m, const struct worker_rows *w,
					 struct eviction *ev)
{
	enum unwind_module_state state;
	uint32_t file;

	if (w->status == PARSE_NO_CFI)
		return UNWIND_MODULE_NO_CFI;
	if (w->status != PARSE_OK)
		return UNWIND_MODULE_BAD_FILE;
	if (is_other_file(m, w))
		return UNWIND_MODULE_OTHER_FILE;
	if (!w->rows_cnt || !w->blocks_cnt)
		return UNWIND_MODULE_NO_CFI;
	state = add_rows(r, w, ev, &file);
	if (state != UNWIND_MODULE_READY)
		return state;
	e->segments = calloc(w->segments_cnt + 1, sizeof(*e->segments));
	if (!e->segments)
		return UNWIND_MODULE_MEMORY;
	memcpy(e->segments, w->segments, w->segments_cnt * sizeof(*e->segments));
	e->segments_cnt = (uint32_t)w->segments_cnt;
	e->file = file;
	return state;
}

static enum unwind_module_state make_table(struct module_rules *r, struct module_entry *e,
					   const struct module *m, int fd, struct eviction *ev)
{
	uint64_t began_ns = clock__mono_ns();
	enum unwind_module_state state;
	struct worker_rows rows = { .status = PARSE_IO };

	if (worker__unwind_rows(r->worker, fd, &rows) < 0)
		state = UNWIND_MODULE_BAD_FILE;
	else
		state = use_rows(r, e, m, &rows, ev);
	worker_rows__done(&rows);
	r->build_ns += clock__mono_ns() - began_ns;
	return state;
}

bool module_rules__need(struct module_rules *r, const struct process *p, const struct mapping *m,
			void (*on_evict)(uint32_t file, void *ctx), void *ctx)
{
	struct eviction ev = { .rules = r, .on_evict = on_evict, .ctx = ctx };
	struct module *module = m->module;
	_cleanup_close_ int vdso_fd = -1;
	enum unwind_module_state before;
	struct module_entry *e;
	int fd;

	if (module->kind != MODULE_FILE && module->kind != MODULE_VDSO)
		return false;
	e = get_entry(r, module);
	if (!e || (e->state != UNWIND_MODULE_NEW && e->state != UNWIND_MODULE_NO_FILE))
		return false;
	before = e->state;
	if (module->kind == MODULE_VDSO) {
		vdso_fd = vdso__open();
		fd = vdso_fd;
	} else {
		module__pin(r->processes, p, m, module);
		fd = module->fd;
	}
	e->state = fd < 0 ? UNWIND_MODULE_NO_FILE : make_table(r, e, module, fd, &ev);
	return e->state != before;
}

void module_rules__piece(const struct module_rules *r, const struct mapping *m, uint64_t address,
			 struct code_piece *ret)
{
	uint64_t offset = m->offset + (address - m->start);
	const struct module_entry *e = find_entry(r, m->module);

	*ret = (struct code_piece){
		.end = m->end,
		.bias = m->start - m->offset,
		.file = UNWIND_FILE_CHAIN,
	};
	if (m->module->kind != MODULE_FILE && m->module->kind != MODULE_VDSO)
		return;
	if (!e || e->state == UNWIND_MODULE_NEW) {
		ret->file = UNWIND_FILE_COLD;
		return;
	}
	if (e->state != UNWIND_MODULE_READY)
		return;
	for (uint32_t i = 0; i < e->segments_cnt; i++) {
		const struct worker_segment *s = &e->segments[i];
		uint64_t bytes = s->limit - s->vaddr, left = ret->end - address;

		if (!bytes)
			continue;
		if (offset - s->offset < bytes) {
			bytes -= offset - s->offset;
			ret->end = address + (bytes < left ? bytes : left);
			ret->bias += s->offset - s->vaddr;
			ret->file = e->file;
			return;
		}
		/* The code of no segment ends where the next one begins. */
		if (s->offset - offset < left)
			ret->end = address + (s->offset - offset);
	}
}

void module_rules__retry_memory(struct module_rules *r, void (*fn)(uint32_t module_idx, void *ctx),
				void *ctx)
{
	for (size_t i = 0; i < r->modules_cnt; i++) {
		if (r->modules[i].state != UNWIND_MODULE_MEMORY)
			continue;
		r->modules[i].state = UNWIND_MODULE_NEW;
		fn((uint32_t)i, ctx);
	}
}

enum unwind_module_state module_rules__state(const struct module_rules *r,
					     const struct module *module)
{
	const struct module_entry *e = find_entry(r, module);

	return e ? e->state : UNWIND_MODULE_NEW;
}

void module_rules__stats(const struct module_rules *r, struct unwind_stats *ret)
{
	for (size_t i = 0; i < r->modules_cnt; i++)
		ret->modules_by_state[r->modules[i].state]++;
	ret->memory_full = r->memory_full;
	ret->build_ns = r->build_ns;
}
