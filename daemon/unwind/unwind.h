/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unwind tables: rows from the worker, kept in the arrays that the BPF programs read, per file and
 * per process, within a cap; and the same walk natively for samples that came as a copy of the
 * stack. Knows processes and modules (process/) and asks worker/; never sees the skeleton, a sample
 * or a profile.
 */
#ifndef UNWIND_UNWIND_H
#define UNWIND_UNWIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "abi/event.h"
#include "base/cleanup.h"
#include "process/process.h"
#include "worker/worker.h"

/* The maps of bpf/maps.bpf.h, as descriptors; borrowed, open as long as the tables live. */
struct unwind_maps {
	int leaf, block, files, rules, slots, control; /* mmapable arrays */
	int processes;                                 /* hash */
	uint32_t leaf_pages, block_pages;              /* their max_entries */
};

/* How --unwind-memory is divided: seven parts rows, one part block index. */
void unwind__plan_memory(uint64_t bytes, uint32_t *ret_leaf_pages, uint32_t *ret_block_pages);

struct unwind;

int unwind__new(struct unwind **ret, const struct unwind_maps *maps,
		struct process_table *processes, struct worker *worker);
void unwind__free(struct unwind *u);
DEFINE_CLEANUP(struct unwind *, unwind__free);

/* A stack as it was copied. */
struct unwind_input {
	pid_t pid;
	uint64_t start_ns;    /* boot time of the process's start, and */
	uint32_t exec_id;     /* which of its images it is: key of its tables in the kernel */
	const uint64_t *regs; /* UNWIND_REG_CNT + 1, DWARF numbers, the last is the pc */
	const uint8_t *stack; /* from regs[UNWIND_REG_SP] - below_bytes + skipped_bytes on */
	size_t stack_bytes;
	size_t below_bytes;   /* of stack_bytes, lie below the stack pointer: the red zone */
	size_t skipped_bytes; /* could not be read */
};

/*
 * Walks it against the mappings the process has now (call in time order), makes the tables it
 * meets, and gives the process its slot in the kernel, so that its next samples need no copy.
 * frames: leaf first, as in struct stack_event (callers - 1), at most frames_max. Returns how many;
 * the outcome is never UNWIND_CONTINUE or UNWIND_COLD. 'p' NULL: one frame, UNWIND_NOT_CODE.
 * *ret_stop (may be NULL) is the module whose frame ended an incomplete walk, or NULL.
 */
size_t unwind__walk(struct unwind *u, struct process *p, const struct unwind_input *in,
		    uint64_t *frames, size_t frames_max, enum unwind_outcome *ret_outcome,
		    const struct module **ret_stop);

/*
 * Makes the tables of what the process maps before the first walk comes by: its samples need not
 * wait for them any more, only the first one comes with a copy of its stack.
 */
void unwind__prepare(struct unwind *u, struct process *p);

/* The mappings of a process changed (exec, mmap, exit): its slot is written anew or given back.
 * Cheap for a process without a slot. */
void unwind__process_changed(struct unwind *u, pid_t pid);

/* About once a second: the clock of "least recently used". */
void unwind__tick(struct unwind *u);

/* What became of a module's table. Where there is none its code is walked by frame pointers. */
enum unwind_module_state {
	UNWIND_MODULE_NEW = 0, /* no walk came by, or it was thrown out since */
	UNWIND_MODULE_READY = 1,
	UNWIND_MODULE_NO_FILE = 2,    /* module->open_status says why; asked again */
	UNWIND_MODULE_OTHER_FILE = 3, /* its build-id is not the one that was mapped */
	UNWIND_MODULE_NO_CFI = 4,     /* the file has no call frame information */
	UNWIND_MODULE_BAD_FILE = 5,   /* the worker could not read it */
	UNWIND_MODULE_BAD_ROWS = 6,   /* the worker's rows contradict abi/unwind_table.h */
	UNWIND_MODULE_MEMORY = 7,     /* more than the cap even with everything else gone; asked
				       * again after a minute */
	UNWIND_MODULE_STATE_CNT,
};
enum unwind_module_state unwind__module_state(const struct unwind *u, const struct module *module);

struct unwind_stats {
	uint64_t files, rows, rules; /* in the tables now */
	uint64_t leaf_pages_used, block_pages_used, evictions, slots_used, slot_evictions;
	uint64_t modules_by_state[UNWIND_MODULE_STATE_CNT];
	uint64_t memory_full; /* times a table was not made for lack of memory */
	uint64_t build_ns;    /* spent in the worker's answers */
};
void unwind__stats(const struct unwind *u, struct unwind_stats *ret);

#endif
