/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walk of bpf/unwind.bpf.c over a stack that came as a copy: the same step, compiled natively.
 * Whose code lies where is asked for, frame by frame. Knows no process and makes no table. Private
 * to unwind/.
 */
#ifndef UNWIND_NATIVE_WALK_H
#define UNWIND_NATIVE_WALK_H

#include "unwind/tables.h"

/* What an address lies in. */
struct walk_code {
	const struct module *module;
	uint32_t file; /* of the tables, or UNWIND_FILE_CHAIN */
	uint64_t bias; /* address - bias = ELF virtual address */
};

/* False: no executable mapping. */
typedef bool (*walk_find_code_fn)(uint64_t address, struct walk_code *ret, void *ctx);

/* As unwind__walk() in unwind.h. */
size_t native_walk(const struct tables *t, const struct unwind_input *in,
		   walk_find_code_fn find_code, void *ctx, uint64_t *frames, size_t frames_max,
		   enum unwind_outcome *ret_outcome, const struct module **ret_stop);

#endif
