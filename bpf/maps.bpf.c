// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * The single definition of every shared map and knob, and the licence of the linked object.
 */
#include "maps.bpf.h"

samples_map_t samples SEC(".maps");
cold_scratch_map_t cold_scratch SEC(".maps");
cold_budgets_map_t cold_budgets SEC(".maps");
unwind_pages_map_t unwind_leaf SEC(".maps");
unwind_pages_map_t unwind_block SEC(".maps");
unwind_files_map_t unwind_files SEC(".maps");
unwind_rules_map_t unwind_rules SEC(".maps");
unwind_slots_map_t unwind_slots SEC(".maps");
unwind_control_map_t unwind_control SEC(".maps");
unwind_processes_map_t unwind_processes SEC(".maps");
event_counters_map_t event_counters SEC(".maps");
scratch_map_t scratch SEC(".maps");
filter_tgids_map_t filter_tgids SEC(".maps");
filter_cgroup_map_t filter_cgroup SEC(".maps");

const volatile __u32 filter_mode = FILTER_NONE;
const volatile char filter_comm[TASK_COMM_BYTES] = {};
const volatile __u32 cold_ring_bytes = 0;
const volatile __u32 ring_wake_bytes = 0;
const volatile __u32 follow_pid = 0;
__u64 follow_failed = 0;

char LICENSE[] SEC("license") = "Dual BSD/GPL";
