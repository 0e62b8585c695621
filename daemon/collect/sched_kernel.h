/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What this kernel has of what bpf/sched.bpf.c reads, found in its BTF. Private to collect/.
 */
#ifndef COLLECT_SCHED_KERNEL_H
#define COLLECT_SCHED_KERNEL_H

#include <stdbool.h>

struct sched_kernel {
	bool has_task_storage; /* for tracing programs, 5.12; else a hash by tid is used */
	bool switch_has_state; /* the tracepoint passes the state of prev, 5.18 */
	const char *missing;   /* NULL: nothing; else what scheduler waits cannot do without */
};

/* 0, or -errno: no BTF can be read. */
int sched_kernel__probe(struct sched_kernel *ret);

/* Likewise, without reading BTF (12 ms) where the version leaves no doubt; what a configuration of
 * such a kernel lacks is then not found. */
int sched_kernel__probe_quick(struct sched_kernel *ret);

/* The cpu controller is mounted as a version 1 hierarchy. */
bool sched_kernel__has_cgroup_v1(void);

#endif
