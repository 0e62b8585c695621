/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * What differs between kernels, behind one accessor each, and what differs between processors.
 */
#ifndef COMPAT_BPF_H
#define COMPAT_BPF_H

#include "kernel_types.h"
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <stdbool.h>

/* Old verifiers lose the bound of an index in a branch: mask it in place, right before its use. */
#define BOUND(v, mask) asm volatile("%0 &= %1" : "+r"(v) : "i"(mask))

/* Keeps what is rare out of the way of what every event runs: instruction cache is what it costs.
 */
#define unlikely(x) __builtin_expect(!!(x), 0)

/* include/linux/sched.h. PF_IO_WORKER since 5.12; PF_USER_WORKER since 6.4 (it replaces it for
 * vhost and io_uring workers, 54e6842d0775): tasks with an address space but no user registers. */
#define PF_IO_WORKER   0x00000010
#define PF_USER_WORKER 0x00004000
#define PF_KTHREAD     0x00200000

#define X86_THREAD_BYTES 16384
#define X86_USER_CS      0x33 /* __USER_CS: 64-bit code */
#define X86_CS_RPL_MASK  3

static __always_inline bool compat__in_user_mode(struct bpf_perf_event_data *ctx)
{
	return (ctx->regs.cs & X86_CS_RPL_MASK) == X86_CS_RPL_MASK;
}

/* DWARF's order of the x86-64 registers (psABI, figure 3.36), then the pc. Returns cs. */
#define COPY_REGS(regs, from, ax, dx, cx, bx, si, di, bp, sp, ip)                                  \
	do {                                                                                       \
		(regs)[0] = from(ax);                                                              \
		(regs)[1] = from(dx);                                                              \
		(regs)[2] = from(cx);                                                              \
		(regs)[3] = from(bx);                                                              \
		(regs)[4] = from(si);                                                              \
		(regs)[5] = from(di);                                                              \
		(regs)[6] = from(bp);                                                              \
		(regs)[7] = from(sp);                                                              \
		(regs)[8] = from(r8);                                                              \
		(regs)[9] = from(r9);                                                              \
		(regs)[10] = from(r10);                                                            \
		(regs)[11] = from(r11);                                                            \
		(regs)[12] = from(r12);                                                            \
		(regs)[13] = from(r13);                                                            \
		(regs)[14] = from(r14);                                                            \
		(regs)[15] = from(r15);                                                            \
		(regs)[16] = from(ip);                                                             \
	} while (0)

static __always_inline u16 compat__regs_of_tick(struct bpf_perf_event_data *ctx, u64 *regs)
{
#define FROM_TICK(name) ctx->regs.name
	COPY_REGS(regs, FROM_TICK, rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp, rip);
	return (u16)ctx->regs.cs;
}

static __always_inline u16 compat__regs_of_probe(struct pt_regs *ctx, u64 *regs)
{
#define FROM_PROBE(name) ctx->name
	COPY_REGS(regs, FROM_PROBE, rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp, rip);
	return (u16)ctx->cs;
}

/* The user registers a task saved when it entered the kernel lie on top of its kernel stack;
 * bpf_task_pt_regs() knows where exactly. Added in: dd6e10fbd9f8 (5.15). */
static __always_inline struct pt_regs___kernel *compat__saved_regs(struct task_struct *task)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id___feature, BPF_FUNC_task_pt_regs___feature))
		return (void *)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
	return BPF_CORE_READ(task, stack) + X86_THREAD_BYTES -
	       bpf_core_type_size(struct pt_regs___kernel);
}

static __always_inline u16 compat__regs_of_task(struct task_struct *task, u64 *regs)
{
	struct pt_regs___kernel *saved = compat__saved_regs(task);

#define FROM_TASK(name) BPF_CORE_READ(saved, name)
	COPY_REGS(regs, FROM_TASK, ax, dx, cx, bx, si, di, bp, sp, ip);
	return (u16)BPF_CORE_READ(saved, cs);
}

/* The first of the calls in progress whose return address the kernel has replaced. */
static __always_inline struct return_instance *compat__probed_returns(struct task_struct *task)
{
	struct uprobe_task *utask;

	if (!bpf_core_field_exists(task->utask))
		return NULL;
	utask = BPF_CORE_READ(task, utask);
	return utask ? BPF_CORE_READ(utask, return_instances) : NULL;
}

/* What it was replaced by; an address of no code where there is no such call. */
static __always_inline u64 compat__return_trampoline(struct task_struct *task)
{
	if (!compat__probed_returns(task))
		return ~0ULL;
	return BPF_CORE_READ(task, mm, uprobes_state.xol_area, vaddr);
}

/* False for a task in the kernel whose user stack is gone: the last part of an exit, and execve
 * between the old address space and the registers of the new program. */
static __always_inline bool compat__has_stack(struct task_struct *task, u64 sp)
{
	u64 word;

	if (!BPF_CORE_READ(task, mm))
		return false;
	if (!bpf_core_field_exists(task->in_execve) ||
	    !BPF_CORE_READ_BITFIELD_PROBED(task, in_execve))
		return true;
	return !bpf_probe_read_user(&word, sizeof(word), (void *)sp);
}

#endif
