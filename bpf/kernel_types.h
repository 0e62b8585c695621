/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The fields of kernel structures that the programs read, and no others: CO-RE finds them in the
 * running kernel's BTF by name, so order and size here mean nothing. What only some kernels have
 * stands beside the rest: to find a type of another flavour costs half a millisecond at the start.
 */
#ifndef KERNEL_TYPES_H
#define KERNEL_TYPES_H

#include <linux/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

/* BTF of the kernel also holds types of the same names as uapi's; ours are read by field. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	u64 id;
};

/* The path from the root: ids until 6.0, cgroups since (7f203bc89eb6). */
struct cgroup {
	struct kernfs_node *kn;
	int level;
	u64 ancestor_ids[1];
	struct cgroup *ancestors[1];
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct task_group {
	struct cgroup_subsys_state css;
};

struct rq {
	u64 clock;
};

/* How long its tasks were throttled: own since 6.6 (677ea015f231), the clock's of PELT since 5.19,
 * of the tasks before. */
struct cfs_rq {
	struct rq *rq;
	int runtime_enabled;
	u64 throttled_clock_self_time;
	u64 throttled_clock_pelt_time;
	u64 throttled_clock_task_time;
};

struct sched_entity {
	struct cfs_rq *cfs_rq;
};

struct sched_info {
	unsigned long long run_delay;
	unsigned long long last_queued;
};

/* Where threads return to from functions whose return is probed, and where they would have. */
struct xol_area {
	unsigned long vaddr;
};

struct uprobes_state {
	struct xol_area *xol_area;
};

struct return_instance {
	unsigned long stack; /* address of the return address */
	unsigned long orig_ret_vaddr;
	struct return_instance *next;
};

struct uprobe_task {
	struct return_instance *return_instances;
};

/* owner: with CONFIG_MEMCG. uprobes_state: with CONFIG_UPROBES, as the task's utask. */
struct mm_struct {
	struct task_struct *owner;
	struct uprobes_state uprobes_state;
};

struct rlimit___kernel {
	unsigned long rlim_cur;
};

struct signal_struct {
	struct rlimit___kernel rlim[16]; /* RLIM_NLIMITS */
};

struct task_struct {
	struct signal_struct *signal;
	int pid;
	int prio;             /* effective; below 100: real-time, deadline or stop */
	unsigned int __state; /* before 5.14 (2f064a59a11f): state */
	long state;
	int exit_state;
	struct sched_entity se;
	struct sched_info sched_info;
	struct task_group *sched_task_group;
	struct css_set *cgroups;
	unsigned long nvcsw;
	u64 start_time;
	int tgid;
	unsigned int flags;
	void *stack;
	struct mm_struct *mm; /* NULL behind exit_mm() */
	struct uprobe_task *utask;
	unsigned int in_execve : 1;
	u32 self_exec_id;
	u64 start_boottime; /* since 5.5; real_start_time before */
	struct task_struct *group_leader;
	char comm[16];
};

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct linux_binprm;

/* The kernel's pt_regs; uapi's has other field names for the same registers. */
struct pt_regs___kernel {
	unsigned long r15, r14, r13, r12, bp, bx;
	unsigned long r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long orig_ax, ip, cs, sp;
};

enum bpf_func_id___feature {
	BPF_FUNC_task_pt_regs___feature = 175,
};

#pragma clang attribute pop

#endif
