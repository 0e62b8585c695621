/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unwind/ between a faked worker and processes made of events, with pids nobody has. Included by
 * one test program each.
 */
#ifndef TESTS_UNIT_UNWIND_FIXTURE_H
#define TESTS_UNIT_UNWIND_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/array.h"
#include "base/clock.h"
#include "unwind/tables.h"
#include "unwind_maps.h"

/* Above what any kernel hands out (PID_MAX_LIMIT is 4 M): /proc knows none of them. */
#define P       5000001
#define Q       5000002
#define STACK   0x7ffc00001000ULL
#define START   12345
#define FILES   4
#define PAGES   8
#define TEXT    0x2000 /* ELF address of every file's text, at this offset too */
#define TEXT_SZ 0x4000

/* --- the worker --------------------------------------------------------------------------------
 */
struct fake_file {
	int fd;
	struct worker_rows rows;
	unsigned int asked;
	uint32_t words[TEXT_SZ / UNWIND_BLOCK_BYTES + 1];
};

static struct fake_file files[FILES];
static unsigned int vdso_asked;
static uint32_t leaf_rows[PAGES][UNWIND_LEAF_ROWS];
static struct unwind_rule sp_rules[FILES + 1];

int worker__unwind_rows(struct worker *w, int fd, struct worker_rows *ret)
{
	*ret = (struct worker_rows){ .status = PARSE_NO_CFI };
	for (size_t i = 0; i < FILES; i++) {
		if (files[i].fd != fd)
			continue;
		files[i].asked++;
		*ret = files[i].rows;
		return 0;
	}
	vdso_asked++;
	return 0;
}

void worker_rows__done(struct worker_rows *r)
{
}

/* Every block of the file has one row, of a rule that differs from file to file. Takes 'pages' leaf
 * pages: unused ones are filled by a row per byte. */
static void fill_rows(struct fake_file *f, size_t rule, size_t pages)
{
	const size_t blocks = TEXT_SZ / UNWIND_BLOCK_BYTES;
	size_t n = 0;

	sp_rules[rule] = (struct unwind_rule){ .kind = UNWIND_RULE_SP,
					       .cfa_offset = 16 * (int32_t)(rule + 1) };
	for (size_t b = 0; b < blocks; b++) {
		size_t rows = b < pages - 1 ? UNWIND_LEAF_ROWS : 1;

		f->words[b] = (uint32_t)n;
		for (size_t i = 0; i < rows; i++, n++)
			leaf_rows[n / UNWIND_LEAF_ROWS][n % UNWIND_LEAF_ROWS] = UNWIND_ROW(i, 0);
	}
	f->words[blocks] = (uint32_t)n;
	while (n % UNWIND_LEAF_ROWS) {
		leaf_rows[n / UNWIND_LEAF_ROWS][n % UNWIND_LEAF_ROWS] = UNWIND_ROW_PAD;
		n++;
	}
	f->rows = (struct worker_rows){
		.status = PARSE_OK,
		.build_id = { (uint8_t)(rule + 1) },
		.build_id_len = 20,
		.segments = { { .vaddr = TEXT, .limit = TEXT + TEXT_SZ, .offset = TEXT } },
		.segments_cnt = 1,
		.base = TEXT,
		.blocks = f->words,
		.blocks_cnt = blocks,
		.rows = leaf_rows[0],
		.rows_cnt = n,
		.rules = &sp_rules[rule],
		.rules_cnt = 1,
	};
}

/* --- processes ---------------------------------------------------------------------------------
 */
struct fixture {
	struct unwind_maps maps;
	struct process_table *processes;
	struct unwind *unwind;
	struct tables view; /* the same memory, as the programs see it */
	uint64_t now_ns;
	uint64_t regs[UNWIND_REG_CNT + 1], stack[64], frames[64];
	enum unwind_outcome outcome;
	const struct module *stop;
};

static void feed(struct fixture *f, struct process_event ev)
{
	f->now_ns += 1000000;
	ev.time_ns = f->now_ns;
	ev.tid = ev.pid;
	assert_int_equal(process_table__apply(f->processes, &ev), 0);
}

static struct module *find_module(struct fixture *f, const char *path)
{
	for (size_t i = 0; i < process_table__modules_cnt(f->processes); i++)
		if (!strcmp(process_table__module(f->processes, i)->path, path))
			return process_table__module(f->processes, i);
	return NULL;
}

/* Maps 'path' at 'start'; file >= 0: it is opened already, and the fake worker knows its rows. */
static struct module *map_at(struct fixture *f, pid_t pid, uint64_t start, uint64_t bytes,
			     uint64_t offset, const char *path, int file)
{
	const bool has_file = path[0] == '/' && path[1] != '/';
	const char *name = has_file || path[0] == '[' ? path : "[JIT]";
	struct module *m;

	feed(f, (struct process_event){ .kind = PROCESS_EVENT_MMAP,
					.pid = pid,
					.start = start,
					.end = start + bytes,
					.offset = offset,
					.dev_major = has_file ? 0xfff : 0,
					.inode = has_file ? 1 + (uint64_t)path[1] : 0,
					.path = (char *)path });
	m = find_module(f, name);
	assert_non_null(m);
	if (file >= 0 && m->fd < 0) {
		m->fd = memfd_create("module", MFD_CLOEXEC);
		files[file].fd = m->fd;
	}
	return m;
}

static void start_process(struct fixture *f, pid_t pid)
{
	feed(f, (struct process_event){ .kind = PROCESS_EVENT_FORK, .pid = pid, .ppid = 1 });
	feed(f, (struct process_event){ .kind = PROCESS_EVENT_EXEC, .pid = pid });
}

static void make_unwind(struct fixture *f, uint32_t leaf_pages)
{
	f->maps = unwind_maps__new(leaf_pages, 1);
	f->processes = process_table__new(NULL, 0, false);
	f->now_ns = clock__mono_ns();
	assert_int_equal(unwind__new(&f->unwind, &f->maps, f->processes, NULL), 0);
	assert_int_equal(tables__map(&f->view, &f->maps), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	vdso_asked = 0;
	memset(files, 0, sizeof(files));
	for (size_t i = 0; i < FILES; i++)
		files[i].fd = -1;
	make_unwind(f, PAGES);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	unwind__free(f->unwind);
	tables__unmap(&f->view);
	process_table__free(f->processes);
	unwind_maps__close(&f->maps);
	free(f);
	return 0;
}

/* A sample of the process at 'pc', with f->stack above its stack pointer. */
static size_t walk(struct fixture *f, pid_t pid, uint64_t pc)
{
	struct process *p = process_table__find(f->processes, pid);
	const struct unwind_input in = {
		.pid = pid,
		.start_ns = START,
		.regs = f->regs,
		.stack = (const uint8_t *)f->stack,
		.stack_bytes = sizeof(f->stack),
	};

	assert_non_null(p);
	f->regs[UNWIND_REG_RA] = pc;
	f->regs[UNWIND_REG_SP] = STACK;
	return unwind__walk(f->unwind, p, &in, f->frames, ARRAY_SIZE(f->frames), &f->outcome,
			    &f->stop);
}

static struct unwind_stats stats_of(struct fixture *f)
{
	struct unwind_stats stats;

	unwind__stats(f->unwind, &stats);
	return stats;
}

static void assert_entry(const struct fixture *f, size_t slot, size_t i, uint64_t start,
			 uint64_t end, uint64_t bias, uint32_t file)
{
	const struct unwind_slot *s = &f->view.slots[slot];

	assert_int_equal(s->start[i], start);
	assert_int_equal(s->end[i], end);
	assert_int_equal(s->file[i], file);
	if (file < UNWIND_FILES_MAX)
		assert_int_equal(s->bias[i], bias);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
