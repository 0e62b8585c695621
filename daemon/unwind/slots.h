/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Process → slot in the kernel with its executable mappings and the tables of their code. There are
 * fewer slots than processes: the one least recently walked here is given to the next. Knows no
 * samples and makes no table. Private to unwind/.
 */
#ifndef UNWIND_SLOTS_H
#define UNWIND_SLOTS_H

#include "unwind/module_rules.h"

struct slots;

/* processes_fd: map unwind_processes, or -1. The rest is borrowed. -ENOMEM. */
int slots__new(struct slots **ret, struct tables *tables, const struct module_rules *rules,
	       struct process_table *processes, int processes_fd);
void slots__free(struct slots *s);
DEFINE_CLEANUP(struct slots *, slots__free);

/* Gives the process a slot, or brings the one it has up to date. */
void slots__give(struct slots *s, struct process *p, uint64_t start_ns, uint32_t exec_id);

/* The process's mappings changed: as give for one that has a slot; of one that is gone or called
 * exec since, the slot is taken back. */
void slots__process_changed(struct slots *s, pid_t pid);

/* What a module's code is unwound by changed. */
void slots__module_changed(struct slots *s, const struct module *module);
/* Nothing is known of a module any more. */
void slots__module_cold(struct slots *s, uint32_t module_idx);
/* A file's table is about to vanish. */
void slots__file_gone(struct slots *s, uint32_t file);

void slots__stats(const struct slots *s, struct unwind_stats *ret);

#endif
