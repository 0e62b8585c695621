/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each process of a heap profile allocated, and its RSS beside it. Bounded: what finds no
 * place is summed as pid 0. Used by heap_run.c; knows no process but by what it is told.
 */
#ifndef SESSION_HEAP_PROCESSES_H
#define SESSION_HEAP_PROCESSES_H

#include "profile/heap_rows.h"

struct heap_process; /* a table of them is a pointer, NULL at first */

/* Its comm now: exec changes it. 0 or -ENOMEM, as below. */
int heap_processes__name(struct heap_process **table, pid_t pid, const char *comm);

/* RSS now; the first one is its start. */
int heap_processes__note(struct heap_process **table, pid_t pid, const char *comm,
			 uint64_t rss_bytes);

/* is_sliced: its sum is to be scaled at the end. */
int heap_processes__add_alloc(struct heap_process **table, pid_t pid, const struct heap_sums *s,
			      bool is_sliced);
int heap_processes__add_inuse(struct heap_process **table, pid_t pid, const struct heap_sums *s);
void heap_processes__clear_inuse(struct heap_process *table);

/* Appends them to the report, in no order, with their sliced sums scaled. 0 or -ENOMEM. */
int heap_processes__report(const struct heap_process *table, double scale, struct heap_report *r);

void heap_processes__done(struct heap_process **table);

#endif
