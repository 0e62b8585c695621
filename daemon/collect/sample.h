/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One decoded sample, as collect/ hands it up. Plain data; what it means to a profile is the
 * session's business.
 */
#ifndef COLLECT_SAMPLE_H
#define COLLECT_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "abi/event.h"
#include "abi/sched.h"
#include "collect/probe.h"

enum sample_kind {
	SAMPLE_STACK = 0, /* a stack; of the cpu kind it counts by itself */
	SAMPLE_WAIT = 1,  /* what a stack of before counts (sched): no frames */
	SAMPLE_ALLOC = 2, /* likewise (heap) */
};

struct sample {
	const struct probe *probe;
	enum sample_kind kind;
	uint64_t stack_id; /* of kinds whose stacks are counted later; unique within a run */
	uint64_t time_ns;  /* CLOCK_MONOTONIC */
	uint64_t start_ns; /* start of the process, boot time */
	pid_t pid, tid;
	uint32_t exec_id; /* which image of the process: task->self_exec_id */
	uint32_t cpu;
	enum unwind_outcome outcome;       /* of the user stack */
	char comm[TASK_COMM_BYTES];        /* of the thread, NUL-terminated */
	char leader_comm[TASK_COMM_BYTES]; /* of its process */
	uint32_t kernel_cnt, user_cnt;
	/* Leaf first; [0] is where it stood, the rest are return addresses. Borrowed: valid until
	 * the callback that got the sample returns. */
	const uint64_t *kernel, *user;
	/* Outcome UNWIND_COLD: user_cnt is 0, and this is what the walk needs. Borrowed likewise.
	 */
	const uint64_t *regs; /* UNWIND_REG_CNT + 1, DWARF numbers, the last is the pc */
	const uint8_t *stack; /* from regs[UNWIND_REG_SP] + skipped_bytes on */
	uint32_t stack_bytes, skipped_bytes;
	uint64_t thread_start_ns; /* sched, heap: of the thread, boot time */
	struct sample_wait {      /* SAMPLE_WAIT: the wait that 'stack_id' was taken for */
		enum sched_origin origin;
		double inverse_q; /* how many such waits it stands for, >= 1 */
		uint64_t reason_ns[SCHED_REASONS];
	} wait;
	struct sample_alloc { /* SAMPLE_ALLOC: as struct heap_alloc_event */
		uint64_t bytes, weighted_bytes;
		uint32_t q;
		bool is_live;
	} alloc;
};

#endif
