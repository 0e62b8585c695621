/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The fields of kernel structures that the programs read, and no others: CO-RE finds them in the
 * running kernel's BTF by name, so order and size here mean nothing.
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

struct task_struct {
	int pid;
	int tgid;
	unsigned int flags;
	void *stack;
	struct mm_struct *mm; /* NULL behind exit_mm() */
	unsigned int in_execve : 1;
	u32 self_exec_id;
	u64 start_boottime; /* since 5.5; real_start_time before */
	struct task_struct *group_leader;
	char comm[16];
};

struct linux_binprm;

/* The kernel's pt_regs; uapi's has other field names for the same registers. */
struct pt_regs___kernel {
	unsigned long r15, r14, r13, r12, bp, bx;
	unsigned long r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long ip, cs, sp;
};

enum bpf_func_id___feature {
	BPF_FUNC_task_pt_regs___feature = 175,
};

#pragma clang attribute pop

#endif
