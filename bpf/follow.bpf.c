// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * Loaded only with COMMAND: lets its process into the filter when its exec has succeeded (never our
 * own child before it) and its children, at any depth, before they run. User space takes
 * processes out when it sees their exit; a pid that comes back as somebody else's child is taken
 * out here at once.
 */
#include "compat.bpf.h"
#include <bpf/bpf_tracing.h>
#include "maps.bpf.h"

static __always_inline void admit(u32 tgid)
{
	struct filter_tgid target = { .admitted_ns = bpf_ktime_get_ns() };

	if (bpf_map_update_elem(&filter_tgids, &tgid, &target, BPF_ANY))
		__sync_fetch_and_add(&follow_failed, 1);
}

SEC("?tp_btf/sched_process_exec")
int BPF_PROG(follow_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	u32 tgid = task->tgid;

	if (tgid == follow_pid)
		admit(tgid);
	return 0;
}

SEC("?tp_btf/sched_process_fork")
int BPF_PROG(follow_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 parent_tgid = parent->tgid, child_tgid = child->tgid;

	if (child_tgid == parent_tgid)
		return 0; /* a thread */
	if (bpf_map_lookup_elem(&filter_tgids, &parent_tgid))
		admit(child_tgid);
	else
		bpf_map_delete_elem(&filter_tgids, &child_tgid);
	return 0;
}
