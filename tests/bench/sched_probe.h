/* SPDX-License-Identifier: BSD-2-Clause */
/* What sched_probe.bpf.c leaves in its maps and sched_probe.c prints. */
#ifndef SCHED_PROBE_H
#define SCHED_PROBE_H

#include <linux/types.h>

#define PROBE_SLOTS 26
#define PROBE_ALL   (~0U) /* key of the histogram of all threads */

struct probe_histogram {
	__u32 slots[PROBE_SLOTS];
};

struct probe_ended {
	__u64 start_ns; /* CLOCK_MONOTONIC */
	__u64 run_delay_ns, pcount;
	__u32 tid, tgid;
	char comm[16];
};

#endif
