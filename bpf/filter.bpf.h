/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Which tasks are of the TARGET: decided before any stack is taken, so that others cost nothing.
 */
#ifndef FILTER_BPF_H
#define FILTER_BPF_H

#include "compat.bpf.h"
#include "maps.bpf.h"

static __always_inline u64 filter__start_ticks(struct task_struct *leader)
{
	return BPF_CORE_READ(leader, start_boottime) / NSEC_PER_USER_TICK;
}

static __always_inline bool filter__admits_tgid(struct task_struct *leader, u32 tgid)
{
	struct filter_tgid *target = bpf_map_lookup_elem(&filter_tgids, &tgid);

	if (!target)
		return false;
	return !target->start_ticks || target->start_ticks == filter__start_ticks(leader);
}

static __always_inline bool filter__admits_comm(struct task_struct *leader)
{
	char comm[TASK_COMM_BYTES] = {};
	int i;

	bpf_probe_read_kernel(comm, sizeof(comm), leader->comm);
	for (i = 0; i < TASK_COMM_BYTES; i++) {
		if (comm[i] != filter_comm[i])
			return false;
		if (!comm[i])
			break;
	}
	return true;
}

/* Any task, whose thread group 'leader' leads; cgroups are not asked here. */
static __always_inline bool filter__admits(struct task_struct *leader, u32 tgid)
{
	switch (filter_mode) {
	case FILTER_NONE:
		return true;
	case FILTER_TGIDS:
		return filter__admits_tgid(leader, tgid);
	case FILTER_COMM:
		return filter__admits_comm(leader);
	}
	return false;
}

/* 'leader' leads the thread group of the current task. */
static __always_inline bool filter__admits_current(struct task_struct *leader, u32 tgid)
{
	if (filter_mode == FILTER_CGROUP)
		return bpf_current_task_under_cgroup(&filter_cgroup, 0) == 1;
	return filter__admits(leader, tgid);
}

#endif
