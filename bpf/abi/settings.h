/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Limits and knobs both sides agree on. Included by bpf/ and daemon/collect/; knows no record.
 */
#ifndef ABI_SETTINGS_H
#define ABI_SETTINGS_H

#define MAX_KERNEL_FRAMES 127 /* kernel.perf_event_max_stack as shipped: more is never returned */
#define MAX_USER_FRAMES   512
#define MAX_FRAMES        1024 /* of one record; a power of two, so that a mask bounds an index */

_Static_assert(MAX_KERNEL_FRAMES + MAX_USER_FRAMES <= MAX_FRAMES, "a whole stack fits a record");

#define TASK_COMM_BYTES 16

/* /proc/PID/stat counts start times in ticks of 1/USER_HZ, which is 100 on x86 and arm64. */
#define NSEC_PER_USER_TICK 10000000ULL

/* Which tasks are looked at (rodata of bpf/filter.bpf.h). */
enum filter_mode {
	FILTER_NONE = 0,   /* the whole host */
	FILTER_TGIDS = 1,  /* thread groups in map filter_tgids */
	FILTER_COMM = 2,   /* thread groups whose leader has this comm */
	FILTER_CGROUP = 3, /* tasks below the cgroup in map filter_cgroup */
};

#endif
