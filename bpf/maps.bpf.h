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
	SCRATCH_SLOTS = 1,
};

struct scratch {
	u32 busy;
	u32 padding;
	struct unwind_frame frame; /* of the walk in progress */
	struct cpu_event event;
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

extern samples_map_t samples SEC(".maps");
extern event_counters_map_t event_counters SEC(".maps");
extern scratch_map_t scratch SEC(".maps");
extern filter_tgids_map_t filter_tgids SEC(".maps");
extern filter_cgroup_map_t filter_cgroup SEC(".maps");

extern const volatile __u32 filter_mode; /* enum filter_mode */
extern const volatile char filter_comm[TASK_COMM_BYTES];
extern const volatile __u32 follow_pid; /* COMMAND's process: let in at its exec */
extern __u64 follow_failed;             /* children that did not fit filter_tgids */

/* Counting happens on this CPU only and ticks of one kind do not nest: no atomic is needed. */
static __always_inline void counters__add(struct event_counters *c, enum event_counter which)
{
	c->value[which]++;
}

#endif
