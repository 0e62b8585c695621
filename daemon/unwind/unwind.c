/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Brings the parts of unwind/ together: a walk over a copied stack makes the tables of the modules
 * it meets (module_rules.c) and then gives its process a slot in the kernel (slots.c).
 */
#include "unwind/unwind.h"

#include <errno.h>

#include "unwind/module_rules.h"
#include "unwind/native_walk.h"
#include "unwind/slots.h"
#include "unwind/tables.h"

#define MEMORY_RETRY_EPOCHS 60
#define TABLES_AHEAD_MAX    8   /* by one walk */
#define TABLES_PREPARE_MAX  128 /* of one process */

struct unwind {
	struct tables tables;
	bool tables_mapped;
	struct process_table *processes;
	struct module_rules *rules;
	struct slots *slots;
};

/* Over all of a distribution's files rows are thirteen times as many bytes as the block index. */
void unwind__plan_memory(uint64_t bytes, uint32_t *ret_leaf_pages, uint32_t *ret_block_pages)
{
	uint64_t pages = bytes / sizeof(struct unwind_page);
	uint64_t block;

	if (pages > UINT32_MAX)
		pages = UINT32_MAX;
	if (pages < 2)
		pages = 2;
	block = pages / 8 ?: 1;
	*ret_block_pages = (uint32_t)block;
	*ret_leaf_pages = (uint32_t)(pages - block);
}

int unwind__new(struct unwind **ret, const struct unwind_maps *maps,
		struct process_table *processes, struct worker *worker)
{
	_cleanup_(unwind__freep) struct unwind *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return -ENOMEM;
	u->processes = processes;
	err = tables__map(&u->tables, maps);
	if (err)
		return err;
	u->tables_mapped = true;
	err = module_rules__new(&u->rules, &u->tables, processes, worker);
	if (err)
		return err;
	err = slots__new(&u->slots, &u->tables, u->rules, processes, maps->processes);
	if (err)
		return err;
	*ret = take_ptr(u);
	return 0;
}

void unwind__free(struct unwind *u)
{
	if (!u)
		return;
	slots__free(u->slots);
	module_rules__free(u->rules);
	if (u->tables_mapped)
		tables__unmap(&u->tables);
	free(u);
}

static void on_evict(uint32_t file, void *ctx)
{
	struct unwind *u = ctx;

	slots__file_gone(u->slots, file);
}

struct walk {
	struct unwind *unwind;
	struct process *process;
};

static bool find_code(uint64_t address, struct walk_code *ret, void *ctx)
{
	struct walk *w = ctx;
	struct unwind *u = w->unwind;
	const struct mapping *m = process__mapping(u->processes, w->process, address);
	struct code_piece piece;

	if (!m)
		return false;
	if (module_rules__need(u->rules, w->process, m, on_evict, u))
		slots__module_changed(u->slots, m->module);
	module_rules__piece(u->rules, m, address, &piece);
	*ret = (struct walk_code){
		.module = m->module,
		.file = piece.file,
		.bias = piece.bias,
	};
	return true;
}

/* A copy of the stack that does not reach its end never shows who lies further out, and no sample
 * would be walked in the kernel: of those modules the tables are made unseen. */
static void make_tables_ahead(struct unwind *u, struct process *p, size_t max)
{
	const struct mapping *mappings;
	size_t cnt = process__mappings(u->processes, p, &mappings), made = 0;

	for (size_t i = 0; i < cnt && made < max; i++) {
		const struct mapping *m = &mappings[i];

		if (module_rules__state(u->rules, m->module) != UNWIND_MODULE_NEW ||
		    !module_rules__need(u->rules, p, m, on_evict, u))
			continue;
		slots__module_changed(u->slots, m->module);
		made++;
	}
}

size_t unwind__walk(struct unwind *u, struct process *p, const struct unwind_input *in,
		    uint64_t *frames, size_t frames_max, enum unwind_outcome *ret_outcome,
		    const struct module **ret_stop)
{
	struct walk w = { .unwind = u, .process = p };
	size_t cnt;

	if (!p) {
		if (frames_max)
			frames[0] = in->regs[UNWIND_REG_RA];
		*ret_outcome = UNWIND_NOT_CODE;
		if (ret_stop)
			*ret_stop = NULL;
		return frames_max ? 1 : 0;
	}
	cnt = native_walk(&u->tables, in, find_code, &w, frames, frames_max, ret_outcome, ret_stop);
	if (!p->exited && *ret_outcome == UNWIND_UNREADABLE)
		make_tables_ahead(u, p, TABLES_AHEAD_MAX);
	if (!p->exited)
		slots__give(u->slots, p, in->start_ns, in->exec_id);
	return cnt;
}

void unwind__prepare(struct unwind *u, struct process *p)
{
	make_tables_ahead(u, p, TABLES_PREPARE_MAX);
}

void unwind__process_changed(struct unwind *u, pid_t pid)
{
	slots__process_changed(u->slots, pid);
}

static void make_cold(uint32_t module_idx, void *ctx)
{
	struct unwind *u = ctx;

	slots__module_cold(u->slots, module_idx);
}

void unwind__tick(struct unwind *u)
{
	u->tables.control->epoch++;
	if (u->tables.control->epoch % MEMORY_RETRY_EPOCHS == 0)
		module_rules__retry_memory(u->rules, make_cold, u);
}

enum unwind_module_state unwind__module_state(const struct unwind *u, const struct module *module)
{
	return module_rules__state(u->rules, module);
}

void unwind__stats(const struct unwind *u, struct unwind_stats *ret)
{
	*ret = (struct unwind_stats){ 0 };
	tables__stats(&u->tables, ret);
	module_rules__stats(u->rules, ret);
	slots__stats(u->slots, ret);
	tables__stats(&u->tables, ret);
}
