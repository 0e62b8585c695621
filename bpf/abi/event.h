/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every record the kernel side sends; what it counts is in counters.h and sched.h. Their only
 * description: bpf/ writes them, daemon/collect/ checks and decodes them. Explicit sizes, no
 * padding that is not named; numbers are stable, a retired one leaves a hole.
 */
#ifndef ABI_EVENT_H
#define ABI_EVENT_H

#include <linux/types.h>
#include "abi/counters.h"
#include "abi/heap.h"
#include "abi/sched.h"
#include "abi/settings.h"
#include "abi/unwind_table.h"

enum event_kind {
	EVENT_CPU = 1,
	EVENT_CPU_COLD = 2,          /* accounted as EVENT_CPU */
	EVENT_SCHED_WAIT = 3,        /* fired: switch-ins */
	EVENT_SCHED_STACK = 4,       /* of a thread that was switched out */
	EVENT_SCHED_STACK_COLD = 5,  /* accounted as EVENT_SCHED_STACK */
	EVENT_SCHED_THREAD = 6,      /* the sums of a thread that ended; not accounted */
	EVENT_HEAP_ALLOC = 7,        /* fired: hits of allocation functions */
	EVENT_HEAP_STACK = 8,        /* of a selected allocation, at the function's entry */
	EVENT_HEAP_STACK_COLD = 9,   /* accounted as EVENT_HEAP_STACK */
	EVENT_HEAP_FREE = 10,        /* no record, counters only; fired: hits of free functions */
	EVENT_HEAP_CALIBRATION = 11, /* no record, counters only: hits of our own test function */
};

#define EVENT_KINDS 16 /* entries of map event_counters */

/* Value of map filter_tgids, key: tgid. */
struct filter_tgid {
	__u64 start_ticks; /* leader's start in USER_HZ ticks since boot, 0: any */
	__u64 admitted_ns; /* CLOCK_MONOTONIC; 0: by user space */
};

/* How the walk of the user stack ended; one per sample. */
enum unwind_outcome {
	UNWIND_CONTINUE = 0,   /* never in a record */
	UNWIND_END = 1,        /* complete: the rule END, or a return address of 0 */
	UNWIND_FP_ZERO = 2,    /* frame-pointer chain: 0, the psABI's mark of the outermost frame */
	UNWIND_FP_INVALID = 3, /* frame-pointer chain: unaligned or not above the stack pointer */
	UNWIND_UNREADABLE = 4, /* stack memory not present or not mapped */
	UNWIND_TOO_DEEP = 5,   /* MAX_USER_FRAMES reached */
	UNWIND_COMPAT = 6,     /* 32-bit task: one frame only */
	UNWIND_KERNEL_THREAD = 7,  /* no user stack to walk */
	UNWIND_UNSUPPORTED = 8,    /* call frame information that no rule expresses */
	UNWIND_BAD_CFA = 9,        /* the caller's frame would not lie above this one */
	UNWIND_NOT_CODE = 10,      /* a return address in no executable mapping */
	UNWIND_TABLE_CHANGED = 11, /* tables were replaced during the walk */
	UNWIND_NO_TABLE = 12,      /* cold, and over the limit of stack copies */
	UNWIND_COLD = 13,          /* not walked in the kernel: struct cold_event */
	UNWIND_NO_STACK = 14,      /* inside execve or exit: the stack is gone */
	UNWIND_OUTCOME_CNT = 16,
};

/*
 * One stack: a CPU sample, or that of a thread that was switched out. frames: kernel_frames_cnt of
 * the kernel stack, then user_frames_cnt of the user stack, both leaf first. [0] of each part is
 * where it stood. The kernel's callers are return addresses; the user's are return addresses - 1,
 * so that each lies in the instruction that called, except above a signal frame, where it is exact
 * too.
 */
struct stack_event_header {
	__u32 kind;     /* EVENT_CPU, EVENT_SCHED_STACK */
	__u32 size;     /* bytes of the record, frames included */
	__u64 time_ns;  /* CLOCK_MONOTONIC */
	__u64 start_ns; /* boot time at which the thread group's leader started */
	__u32 tgid;
	__u32 tid;
	__u32 cpu;
	__u16 kernel_frames_cnt;
	__u16 user_frames_cnt;
	__u8 outcome; /* enum unwind_outcome */
	__u8 reserved[3];
	__u32 exec_id;              /* task->self_exec_id: tells the images of one process apart */
	char comm[TASK_COMM_BYTES]; /* of the thread */
	char leader_comm[TASK_COMM_BYTES];
	__u64 stack_id;        /* what the record it was taken for names it by; cpu: 0 */
	__u64 thread_start_ns; /* boot time at which the thread started; cpu: 0 */
};

struct stack_event {
	struct stack_event_header header;
	__u64 frames[MAX_FRAMES];
};

#define STACK_EVENT_HEADER_BYTES 96

_Static_assert(__builtin_offsetof(struct stack_event, frames) == STACK_EVENT_HEADER_BYTES,
	       "no hidden padding");

/* A sample whose user stack the kernel side has no tables for yet: what the same walk needs to be
 * done in user space. */
#define COLD_STACK_BYTES 24576 /* with the rest of the record below 32 KiB: per-CPU maps' limit */
#define COLD_CHUNK_BYTES 4096  /* a page */
#define COLD_SKIPPED_MAX 8     /* pages */

struct cold_event {
	struct stack_event_header header; /* kind EVENT_…_COLD, user_frames_cnt 0 */
	__u64 regs[UNWIND_REG_CNT + 1];   /* DWARF numbers; the last is the pc */
	__u32 stack_bytes;                /* of stack[] */
	__u32 skipped_bytes;              /* from regs[UNWIND_REG_SP] on, before stack[] */
	__u64 kernel_frames[MAX_KERNEL_FRAMES + 1];
	__u8 stack[COLD_STACK_BYTES];
};

/* A wait that was sampled at the switch-out that opened it, at its end. */
struct sched_wait_event {
	__u32 kind; /* EVENT_SCHED_WAIT */
	__u32 size;
	__u64 time_ns; /* CLOCK_MONOTONIC, of the switch-in */
	__u64 stack_id;
	__u64 thread_start_ns;
	__u32 tgid;
	__u32 tid;
	__u32 cpu;
	__u32 q; /* it was sampled with probability q / 2^32; 2^32 - 1 is 1 */
	__u64 reason_ns[SCHED_REASONS];
	__u8 origin; /* enum sched_origin */
	__u8 reserved[7];
};

/* What a thread has waited in the window: of one that ended, or read out by the iterator. */
struct sched_thread_event {
	__u32 kind; /* EVENT_SCHED_THREAD */
	__u32 size;
	__u64 start_ns;         /* of the thread, boot time */
	__u64 process_start_ns; /* of its thread group's leader */
	__u64 cgroup;           /* id */
	__u32 tgid;
	__u32 tid;
	char comm[TASK_COMM_BYTES];
	char leader_comm[TASK_COMM_BYTES];
	struct sched_sums sums;
};

/*
 * A selected allocation that succeeded, at the function's return. Its weight: it stands for 1/p
 * allocations of 'bytes' each, p = (1 - exp(-bytes / interval)) * q / 2^32, or, where
 * weighted_bytes is not 0 (the process decided itself), for weighted_bytes / bytes of them.
 */
struct heap_alloc_event {
	__u32 kind; /* EVENT_HEAP_ALLOC */
	__u32 size;
	__u64 time_ns;  /* CLOCK_MONOTONIC, of the return */
	__u64 stack_id; /* of the stack that came before, or STACK_ID_LOST */
	__u64 thread_start_ns;
	__u64 start_ns; /* of the process, boot time */
	__u64 bytes;    /* asked for, 1 at least */
	__u64 weighted_bytes;
	__u32 tgid;
	__u32 tid;
	__u32 cpu;
	__u32 q;       /* probes were on with probability q / 2^32; 2^32 - 1 is 1 */
	__u32 is_live; /* 1: it is in the live set until it is freed */
	__u32 reserved;
};

#define STACK_ID_NONE 0
#define STACK_ID_LOST (~0ULL) /* the stack found no room in the ring */

#endif
