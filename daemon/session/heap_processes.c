/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See heap_processes.h.
 */
#include "session/heap_processes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "abi/settings.h"
#include "base/array.h"
#include "base/hash.h"

#define PROCESSES_MAX 4096

struct heap_process {
	pid_t pid;
	char comm[TASK_COMM_BYTES];
	bool has_rss;
	uint64_t rss_bytes, rss_start_bytes;
	struct heap_sums alloc, sliced, inuse;
	UT_hash_handle hh;
};

/* NULL: out of memory. */
static struct heap_process *get_process(struct heap_process **table, pid_t pid)
{
	struct heap_process *p;

	HASH_FIND(hh, *table, &pid, sizeof(pid), p);
	if (!p && pid && HASH_COUNT(*table) >= PROCESSES_MAX)
		return get_process(table, 0);
	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->pid = pid;
	HASH_ADD(hh, *table, pid, sizeof(p->pid), p);
	if (!hash__add_failed(p))
		return p;
	free(p);
	return NULL;
}

static void set_comm(struct heap_process *p, const char *comm)
{
	if (p->pid)
		snprintf(p->comm, sizeof(p->comm), "%s", comm);
}

int heap_processes__name(struct heap_process **table, pid_t pid, const char *comm)
{
	struct heap_process *p = get_process(table, pid);

	if (!p)
		return -ENOMEM;
	if (*comm)
		set_comm(p, comm);
	return 0;
}

int heap_processes__note(struct heap_process **table, pid_t pid, const char *comm,
			 uint64_t rss_bytes)
{
	struct heap_process *p = get_process(table, pid);

	if (!p)
		return -ENOMEM;
	if (!p->pid)
		return 0; /* RSS of many, at many times, adds up to nothing */
	if (*comm)
		set_comm(p, comm);
	if (!p->has_rss)
		p->rss_start_bytes = rss_bytes;
	p->has_rss = true;
	p->rss_bytes = rss_bytes;
	return 0;
}

int heap_processes__add_alloc(struct heap_process **table, pid_t pid, const struct heap_sums *s,
			      bool is_sliced)
{
	struct heap_process *p = get_process(table, pid);

	if (!p)
		return -ENOMEM;
	heap_sums__add(is_sliced ? &p->sliced : &p->alloc, s);
	return 0;
}

int heap_processes__add_inuse(struct heap_process **table, pid_t pid, const struct heap_sums *s)
{
	struct heap_process *p = get_process(table, pid);

	if (!p)
		return -ENOMEM;
	heap_sums__add(&p->inuse, s);
	return 0;
}

void heap_processes__clear_inuse(struct heap_process *table)
{
	struct heap_process *p, *next;

	HASH_ITER (hh, table, p, next)
		p->inuse = (struct heap_sums){ .samples = 0 };
}

static int report_process(const struct heap_process *p, double scale, struct heap_report *r)
{
	struct heap_sums alloc = p->sliced;
	struct heap_report_process *to;

	if (array__reserve(r->processes, r->processes_cap, r->processes_cnt + 1))
		return -ENOMEM;
	heap_sums__scale(&alloc, scale);
	heap_sums__add(&alloc, &p->alloc);
	to = &r->processes[r->processes_cnt];
	*to = (struct heap_report_process){
		.pid = p->pid,
		.comm = strdup(p->comm),
		.rss_bytes = p->rss_bytes,
		.rss_start_bytes = p->rss_start_bytes,
		.alloc = heap_sums__amount(&alloc),
		.inuse = heap_sums__amount(&p->inuse),
	};
	if (!to->comm)
		return -ENOMEM;
	r->processes_cnt++;
	return 0;
}

int heap_processes__report(const struct heap_process *table, double scale, struct heap_report *r)
{
	const struct heap_process *p;
	int err = 0;

	for (p = table; p && !err; p = p->hh.next)
		err = report_process(p, scale, r);
	return err;
}

void heap_processes__done(struct heap_process **table)
{
	struct heap_process *p, *next;

	HASH_ITER (hh, *table, p, next) {
		HASH_DEL(*table, p);
		free(p);
	}
}
