/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The walk of the current task's user stack. Linked into every entry program that takes stacks;
 * what one step does is abi/unwind_step.h's business.
 */
#ifndef UNWIND_BPF_H
#define UNWIND_BPF_H

#include "maps.bpf.h"

/*
 * Walks from scratch slot 'slot', whose .frame holds the registers, and writes the addresses to its
 * .event.frames from index event.kernel_frames_cnt on; event.user_frames_cnt and event.outcome are
 * set. Scalars only: verifiers before 5.12 refuse pointer arguments of global functions.
 */
int unwind_user_stack(u32 slot);

#endif
