/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Module → the table its code is unwound by, made when a walk first meets the module. What could
 * not be made is not tried again and again: the code is walked by frame pointers. Knows tables, the
 * worker and modules; no process's slot. Private to unwind/.
 */
#ifndef UNWIND_MODULE_RULES_H
#define UNWIND_MODULE_RULES_H

#include "unwind/tables.h"

struct module_rules;

/* tables, processes and worker are borrowed. -ENOMEM. */
int module_rules__new(struct module_rules **ret, struct tables *tables,
		      struct process_table *processes, struct worker *worker);
void module_rules__free(struct module_rules *r);
DEFINE_CLEANUP(struct module_rules *, module_rules__free);

/*
 * Makes the module's table if nobody has tried yet. True: its state is another one than before, so
 * that what was derived from it is out of date. Files thrown out for it are told to on_evict while
 * their modules are new again already.
 */
bool module_rules__need(struct module_rules *r, const struct process *p, const struct mapping *m,
			void (*on_evict)(uint32_t file, void *ctx), void *ctx);

/* Part of a mapping whose code is unwound in one way. */
struct code_piece {
	uint64_t end; /* the piece reaches from the address asked for to here */
	uint64_t bias;
	uint32_t file; /* of the tables, UNWIND_FILE_CHAIN or, not tried yet, UNWIND_FILE_COLD */
};

/* The piece of m from 'address', which lies in m, on. Of a COLD one bias turns an address into an
 * offset into the file. */
void module_rules__piece(const struct module_rules *r, const struct mapping *m, uint64_t address,
			 struct code_piece *ret);

/* Calls fn for every module without a table for lack of memory, which is new again then. */
void module_rules__retry_memory(struct module_rules *r, void (*fn)(uint32_t module_idx, void *ctx),
				void *ctx);

enum unwind_module_state module_rules__state(const struct module_rules *r,
					     const struct module *module);
void module_rules__stats(const struct module_rules *r, struct unwind_stats *ret);

#endif
