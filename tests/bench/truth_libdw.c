/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libdwfl with the process's files for its call frame information, and the sample's bytes for its
 * memory.
 */
#include "truth_libdw.h"

#include <elfutils/libdwfl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

struct truth_libdw {
	Dwfl *dwfl;
	pid_t pid;
	const struct truth_sample *sample;
	struct truth_stack *stack;
	bool read_failed;
	char name[256];
};

/* Symbols and lines are not asked for: no search for debug information. */
static int find_nothing(Dwfl_Module *mod, void **userdata, const char *modname, Dwarf_Addr base,
			const char *file_name, const char *debuglink_file, GElf_Word debuglink_crc,
			char **debuginfo_file_name)
{
	return -1;
}

static pid_t next_thread(Dwfl *dwfl, void *ctx, void **thread_ctx)
{
	struct truth_libdw *t = ctx;

	if (*thread_ctx)
		return 0;
	*thread_ctx = t;
	return t->pid;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *ctx, void **thread_ctx)
{
	*thread_ctx = ctx;
	return true;
}

static bool read_memory(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *ret, void *ctx)
{
	struct truth_libdw *t = ctx;
	const struct truth_sample *s = t->sample;
	uint64_t offset = address - (s->regs[UNWIND_REG_SP] - s->below_bytes);

	if (s->stack_bytes < sizeof(*ret) || offset > s->stack_bytes - sizeof(*ret)) {
		t->read_failed = true;
		return false;
	}
	memcpy(ret, s->stack + offset, sizeof(*ret));
	return true;
}

static bool set_registers(Dwfl_Thread *thread, void *ctx)
{
	const struct truth_sample *s = ((struct truth_libdw *)ctx)->sample;
	Dwarf_Word regs[UNWIND_REG_CNT + 1];

	for (size_t i = 0; i < ARRAY_SIZE(regs); i++)
		regs[i] = s->regs[i];
	return dwfl_thread_state_registers(thread, 0, ARRAY_SIZE(regs), regs);
}

static const Dwfl_Callbacks dwfl_callbacks = {
	.find_elf = dwfl_linux_proc_find_elf,
	.find_debuginfo = find_nothing,
};

static const Dwfl_Thread_Callbacks thread_callbacks = {
	.next_thread = next_thread,
	.get_thread = get_thread,
	.memory_read = read_memory,
	.set_initial_registers = set_registers,
};

struct truth_libdw *truth_libdw__new(pid_t pid)
{
	struct truth_libdw *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->pid = pid;
	t->dwfl = dwfl_begin(&dwfl_callbacks);
	if (!t->dwfl || dwfl_linux_proc_report(t->dwfl, pid) != 0 ||
	    dwfl_report_end(t->dwfl, NULL, NULL) != 0 ||
	    !dwfl_attach_state(t->dwfl, NULL, pid, &thread_callbacks, t)) {
		fprintf(stderr, "libdwfl: pid %d: %s\n", (int)pid, dwfl_errmsg(-1));
		truth_libdw__free(t);
		return NULL;
	}
	return t;
}

void truth_libdw__free(struct truth_libdw *t)
{
	if (!t)
		return;
	dwfl_end(t->dwfl);
	free(t);
}

static bool cfi_covers(Dwarf_CFI *cfi, Dwarf_Addr address)
{
	Dwarf_Frame *frame;

	if (!cfi || dwarf_cfi_addrframe(cfi, address, &frame) != 0)
		return false;
	free(frame);
	return true;
}

static bool has_cfi(Dwfl *dwfl, Dwarf_Addr address)
{
	Dwfl_Module *mod = dwfl_addrmodule(dwfl, address);
	Dwarf_Addr bias = 0;
	Dwarf_CFI *cfi;

	if (!mod)
		return false;
	cfi = dwfl_module_eh_cfi(mod, &bias);
	if (cfi_covers(cfi, address - bias))
		return true;
	cfi = dwfl_module_dwarf_cfi(mod, &bias);
	return cfi_covers(cfi, address - bias);
}

static int add_frame(Dwfl_Frame *state, void *ctx)
{
	struct truth_libdw *t = ctx;
	struct truth_stack *st = t->stack;
	struct truth_frame *f = &st->frames[st->cnt];
	Dwarf_Addr pc;

	if (st->cnt == TRUTH_FRAMES_MAX || !dwfl_frame_pc(state, &pc, &f->is_activation))
		return DWARF_CB_ABORT;
	f->pc = pc;
	f->has_cfi = has_cfi(t->dwfl, st->cnt ? pc - 1 : pc) ||
		     (f->is_activation && has_cfi(t->dwfl, pc));
	st->cnt++;
	return DWARF_CB_OK;
}

void truth_libdw__walk(struct truth_libdw *t, const struct truth_sample *s, struct truth_stack *ret)
{
	t->sample = s;
	t->stack = ret;
	ret->cnt = 0;
	t->read_failed = false;
	/* A return address it could not read looks to libdw as one that does not exist. */
	ret->ended = dwfl_getthread_frames(t->dwfl, t->pid, add_frame, t) == 0 && !t->read_failed;
	t->sample = NULL;
}

const char *truth_libdw__name(struct truth_libdw *t, uint64_t address)
{
	Dwfl_Module *mod = dwfl_addrmodule(t->dwfl, address);
	const char *file = NULL, *slash;
	Dwarf_Addr bias = 0;

	if (!mod) {
		snprintf(t->name, sizeof(t->name), "[no module]");
		return t->name;
	}
	dwfl_module_info(mod, NULL, NULL, NULL, NULL, NULL, &file, NULL);
	dwfl_module_getelf(mod, &bias);
	slash = file ? strrchr(file, '/') : NULL;
	snprintf(t->name, sizeof(t->name), "%s+0x%llx",
		 slash ? slash + 1 : (file ? file : "[unnamed]"),
		 (unsigned long long)(address - bias));
	return t->name;
}
