/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Maps and knobs shared by all programs, defined once in maps.bpf.c. Sizes that depend on the host
 * or the TARGET are set by daemon/collect/ before loading.
 */
#ifndef MAPS_BPF_H
#define MAPS_BPF_H

#include "compat.bpf.h"
#include "abi/event.h"

/* Who builds a record on which stack of contexts: each has its own slot of scratch memory, so that
 * a tick that interrupts a tracepoint program cannot meet its half-built record. */
enum scratch_slot {
	SCRATCH_CPU = 0,
	SCRATCH_SCHED = 1,
	SCRATCH_HEAP = 2, /* and the next: probes of user code can be preempted */
	SCRATCH_SLOTS = 4,
};

#define SCRATCH_HEAP_SLOTS (SCRATCH_SLOTS - SCRATCH_HEAP)

#define UNWIND_WINDOW_WORDS       128
#define UNWIND_WINDOW_BELOW_BYTES 128

/* A walk in progress. */
struct unwind_context {
	struct unwind_frame frame;
	u64 generation; /* of the tables when the walk began */
	u32 process;    /* slot of its mappings */
	u32 epoch;
	u64 trampoline;               /* stands for return addresses that are probed */
	u64 window_start;             /* address of window[0] */
	u64 regs[UNWIND_REG_CNT + 1]; /* of the top frame, DWARF numbers; the last is the pc */
	u64 window[UNWIND_WINDOW_WORDS];
};

struct scratch {
	u32 busy;
	u32 padding;
	u64 seq; /* heap: stacks taken here */
	struct unwind_context walk;
	struct stack_event event;
};

/* Copies of stacks that one process has been granted in the current second. */
struct cold_budget {
	u64 second;
	u64 used;
};

typedef struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} samples_map_t;

typedef struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, EVENT_KINDS);
	__type(key, u32);
	__type(value, struct event_counters);
} event_counters_map_t;

typedef struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_SLOTS);
	__type(key, u32);
	__type(value, struct scratch);
} scratch_map_t;

/* The thread groups of the TARGET; a start time tells a pid that came back from the one meant. */
typedef struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct filter_tgid);
} filter_tgids_map_t;

typedef struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} filter_cgroup_map_t;

typedef struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_SLOTS);
	__type(key, u32);
	__type(value, struct cold_event);
} cold_scratch_map_t;

typedef struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, struct cold_budget);
} cold_budgets_map_t;

/* The tables of abi/unwind_table.h; sizes of leaf and block are set before loading. */
typedef struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct unwind_page);
} unwind_pages_map_t;

typedef struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, UNWIND_FILES_MAX);
	__type(key, u32);
	__type(value, struct unwind_file);
} unwind_files_map_t;

typedef struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, UNWIND_RULES_MAX);
	__type(key, u32);
	__type(value, struct unwind_rule_entry);
} unwind_rules_map_t;

typedef struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, UNWIND_SLOTS);
	__type(key, u32);
	__type(value, struct unwind_slot);
} unwind_slots_map_t;

typedef struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct unwind_control);
} unwind_control_map_t;

typedef struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, UNWIND_SLOTS);
	__type(key, u32);
	__type(value, struct unwind_process);
} unwind_processes_map_t;

extern samples_map_t samples SEC(".maps");
extern cold_scratch_map_t cold_scratch SEC(".maps");
extern cold_budgets_map_t cold_budgets SEC(".maps");
extern unwind_pages_map_t unwind_leaf SEC(".maps");
extern unwind_pages_map_t unwind_block SEC(".maps");
extern unwind_files_map_t unwind_files SEC(".maps");
extern unwind_rules_map_t unwind_rules SEC(".maps");
extern unwind_slots_map_t unwind_slots SEC(".maps");
extern unwind_control_map_t unwind_control SEC(".maps");
extern unwind_processes_map_t unwind_processes SEC(".maps");
extern event_counters_map_t event_counters SEC(".maps");
extern scratch_map_t scratch SEC(".maps");
extern filter_tgids_map_t filter_tgids SEC(".maps");
extern filter_cgroup_map_t filter_cgroup SEC(".maps");

extern const volatile __u32 filter_mode; /* enum filter_mode */
extern const volatile char filter_comm[TASK_COMM_BYTES];
extern const volatile __u32 cold_ring_bytes; /* no copies while more than this waits in the ring */
extern const volatile __u32 ring_wake_bytes; /* see ring__flags() */
extern const volatile __u32 follow_pid;      /* COMMAND's process: let in at its exec */
extern __u64 follow_failed;                  /* children that did not fit filter_tgids */

/* The reader looks at the ring ten times a second by itself. It is woken where that would be too
 * late, by what crosses a quarter of the ring and not by all that follows: a wake-up is dear. */
static __always_inline u64 ring__flags(void)
{
	u64 waiting_bytes = bpf_ringbuf_query(&samples, BPF_RB_AVAIL_DATA);

	return waiting_bytes - ring_wake_bytes < ring_wake_bytes / 8 ? BPF_RB_FORCE_WAKEUP
								     : BPF_RB_NO_WAKEUP;
}

/* Counting happens on this CPU only and ticks of one kind do not nest: no atomic is needed. */
static __always_inline void counters__add(struct event_counters *c, enum event_counter which)
{
	c->value[which]++;
}

/* For programs that can be preempted by others that count the same. */
static __always_inline void counters__add_shared(struct event_counters *c, enum event_counter which)
{
	__sync_fetch_and_add(&c->value[which], 1);
}

#endif
