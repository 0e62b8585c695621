/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See slots.h. A slot is written whole between tables__begin_change() and tables__end_change(). In
 * a slot in use single entries change too, without: from COLD to a file, whose rows are there
 * already, and from a file to COLD, before its rows vanish. A walk that meets either is right.
 */
#include "unwind/slots.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "base/hash.h"

#define NO_MODULE UINT32_MAX

struct slot_owner {
	pid_t pid;
	uint64_t start_ns;
	uint32_t exec_id;
	uint32_t execs;
	uint32_t entries_cnt;
	uint64_t given_seq; /* 0: free */
	UT_hash_handle hh;
};

struct slots {
	struct tables *tables;
	const struct module_rules *rules;
	struct process_table *processes;
	int processes_fd;
	struct slot_owner *by_pid;
	uint64_t seq, evictions;
	struct unwind_slot draft;
	struct slot_owner owners[UNWIND_SLOTS];
	uint32_t modules[UNWIND_SLOTS][UNWIND_MAPPINGS]; /* of each entry */
};

int slots__new(struct slots **ret, struct tables *tables, const struct module_rules *rules,
	       struct process_table *processes, int processes_fd)
{
	struct slots *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->tables = tables;
	s->rules = rules;
	s->processes = processes;
	s->processes_fd = processes_fd;
	*ret = s;
	return 0;
}

void slots__free(struct slots *s)
{
	if (!s)
		return;
	HASH_CLEAR(hh, s->by_pid);
	free(s);
}

static uint32_t index_of(const struct slots *s, const struct slot_owner *o)
{
	return (uint32_t)(o - s->owners);
}

static struct unwind_slot *slot_of(const struct slots *s, const struct slot_owner *o)
{
	return &s->tables->slots[index_of(s, o)];
}

static uint32_t *modules_of(struct slots *s, const struct slot_owner *o)
{
	return s->modules[index_of(s, o)];
}

static struct slot_owner *find_owner(const struct slots *s, pid_t pid)
{
	struct slot_owner *o;

	HASH_FIND(hh, s->by_pid, &pid, sizeof(pid), o);
	return o;
}

static void release(struct slots *s, struct slot_owner *o)
{
	uint32_t key = (uint32_t)o->pid;

	if (s->processes_fd >= 0)
		(void)bpf_map_delete_elem(s->processes_fd, &key);
	HASH_DEL(s->by_pid, o);
	o->given_seq = 0;
	o->entries_cnt = 0;
}

/* A free slot, else the one given longest ago. */
static struct slot_owner *take_slot(struct slots *s)
{
	struct slot_owner *o = &s->owners[0];

	for (size_t i = 1; i < UNWIND_SLOTS; i++)
		if (s->owners[i].given_seq < o->given_seq)
			o = &s->owners[i];
	if (o->given_seq) {
		release(s, o);
		s->evictions++;
	}
	return o;
}

static struct slot_owner *new_owner(struct slots *s, pid_t pid)
{
	struct slot_owner *o = take_slot(s);

	o->pid = pid;
	HASH_ADD(hh, s->by_pid, pid, sizeof(o->pid), o);
	return hash__add_failed(o) ? NULL : o;
}

/* Fills the draft and the owner's list of modules. */
static void compose(struct slots *s, struct slot_owner *o, struct process *p)
{
	struct unwind_slot *d = &s->draft;
	const struct mapping *maps;
	size_t maps_cnt = process__mappings(s->processes, p, &maps);
	uint32_t *modules = modules_of(s, o);
	uint32_t n = 0;

	for (size_t i = 0; i < maps_cnt; i++) {
		uint64_t at = maps[i].start;

		while (at < maps[i].end && n < UNWIND_MAPPINGS) {
			struct code_piece piece;

			module_rules__piece(s->rules, &maps[i], at, &piece);
			d->start[n] = at;
			d->end[n] = piece.end;
			d->bias[n] = piece.bias;
			d->file[n] = piece.file;
			modules[n++] = maps[i].module->idx;
			at = piece.end;
		}
	}
	o->entries_cnt = n;
	for (; n < UNWIND_MAPPINGS; n++) {
		d->start[n] = ~0ULL;
		d->end[n] = ~0ULL;
		d->bias[n] = 0;
		d->file[n] = UNWIND_FILE_COLD;
	}
}

static void write_slot(struct slots *s, struct slot_owner *o, struct process *p)
{
	struct unwind_slot *slot = slot_of(s, o);

	compose(s, o, p);
	if (memcmp(slot, &s->draft, sizeof(*slot)) == 0)
		return;
	tables__begin_change(s->tables);
	memcpy(slot, &s->draft, sizeof(*slot));
	tables__end_change(s->tables);
}

/* Tells the kernel whose the slot is. */
static int publish(struct slots *s, const struct slot_owner *o)
{
	struct unwind_process value = {
		.start_ns = o->start_ns,
		.slot = index_of(s, o),
		.exec_id = o->exec_id,
	};
	uint32_t key = (uint32_t)o->pid;

	if (s->processes_fd < 0)
		return 0;
	return bpf_map_update_elem(s->processes_fd, &key, &value, BPF_ANY) < 0 ? -errno : 0;
}

void slots__give(struct slots *s, struct process *p, uint64_t start_ns, uint32_t exec_id)
{
	struct slot_owner *o = find_owner(s, p->pid);
	const struct mapping *maps;
	bool published;

	if (!o && !process__mappings(s->processes, p, &maps))
		return;
	if (!o)
		o = new_owner(s, p->pid);
	if (!o)
		return;
	published = o->given_seq && o->start_ns == start_ns && o->exec_id == exec_id;
	o->given_seq = ++s->seq;
	o->start_ns = start_ns;
	o->exec_id = exec_id;
	o->execs = p->execs;
	write_slot(s, o, p);
	if (!published && publish(s, o) < 0)
		release(s, o);
}

void slots__process_changed(struct slots *s, pid_t pid)
{
	struct slot_owner *o = find_owner(s, pid);
	struct process *p;

	if (!o)
		return;
	p = process_table__find(s->processes, pid);
	if (p && !p->exited && p->execs == o->execs)
		write_slot(s, o, p);
	else
		release(s, o);
}

/* The entry gets what the module is unwound by now, if that is one thing from end to end; if not,
 * the next walk of the process writes its slot anew. */
static void renew_entry(const struct slots *s, struct unwind_slot *slot, uint32_t i,
			const struct module *module)
{
	const struct mapping m = {
		.start = slot->start[i],
		.end = slot->end[i],
		.offset = slot->start[i] - slot->bias[i],
		.module = (struct module *)module,
	};
	struct code_piece piece;

	if (slot->file[i] < UNWIND_FILES_MAX)
		return;
	module_rules__piece(s->rules, &m, m.start, &piece);
	if (piece.end != m.end)
		return;
	slot->bias[i] = piece.bias;
	__atomic_store_n(&slot->file[i], piece.file, __ATOMIC_RELEASE);
}

void slots__module_changed(struct slots *s, const struct module *module)
{
	for (size_t i = 0; i < UNWIND_SLOTS; i++) {
		const struct slot_owner *o = &s->owners[i];

		for (uint32_t k = 0; k < o->entries_cnt; k++)
			if (modules_of(s, o)[k] == module->idx)
				renew_entry(s, slot_of(s, o), k, module);
	}
}

/* Its entry's bias is not that of an unread file any more: only a new draft makes it right. */
static void make_cold(struct slots *s, struct slot_owner *o, uint32_t entry)
{
	modules_of(s, o)[entry] = NO_MODULE;
	__atomic_store_n(&slot_of(s, o)->file[entry], UNWIND_FILE_COLD, __ATOMIC_RELEASE);
}

void slots__module_cold(struct slots *s, uint32_t module_idx)
{
	for (size_t i = 0; i < UNWIND_SLOTS; i++)
		for (uint32_t k = 0; k < s->owners[i].entries_cnt; k++)
			if (s->modules[i][k] == module_idx)
				make_cold(s, &s->owners[i], k);
}

void slots__file_gone(struct slots *s, uint32_t file)
{
	for (size_t i = 0; i < UNWIND_SLOTS; i++) {
		struct slot_owner *o = &s->owners[i];

		for (uint32_t k = 0; k < o->entries_cnt; k++)
			if (slot_of(s, o)->file[k] == file)
				make_cold(s, o, k);
	}
}

void slots__stats(const struct slots *s, struct unwind_stats *ret)
{
	ret->slots_used = HASH_COUNT(s->by_pid);
	ret->slot_evictions = s->evictions;
}
