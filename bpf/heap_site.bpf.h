/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Which site was hit and what it was called with, as its cookie says. Private to heap.bpf.c.
 */
#ifndef HEAP_SITE_BPF_H
#define HEAP_SITE_BPF_H

#include "heap_maps.bpf.h"

/* Up to this alignment memalign and its like are malloc. */
#define SMALL_ALIGN 16

/* The compiler would merge the cases into one load from a computed address, which the verifier
 * refuses of a context. */
#define LOAD_REG(ctx, name)                                                                        \
	({                                                                                         \
		u64 __v;                                                                           \
		asm volatile("%0 = *(u64 *)(%1 + %2)"                                              \
			     : "=r"(__v)                                                           \
			     : "r"(ctx), "i"(__builtin_offsetof(struct pt_regs, name)));           \
		__v;                                                                               \
	})

static __noinline u64 rare_argument(struct pt_regs *ctx, u32 reg)
{
	switch (reg) {
	case 0:
		return LOAD_REG(ctx, rax);
	case 2:
		return LOAD_REG(ctx, rcx);
	case 3:
		return LOAD_REG(ctx, rbx);
	case 6:
		return LOAD_REG(ctx, rbp);
	case 7:
		return LOAD_REG(ctx, rsp);
	case 8:
		return LOAD_REG(ctx, r8);
	case 9:
		return LOAD_REG(ctx, r9);
	case 10:
		return LOAD_REG(ctx, r10);
	case 11:
		return LOAD_REG(ctx, r11);
	case 12:
		return LOAD_REG(ctx, r12);
	case 13:
		return LOAD_REG(ctx, r13);
	case 14:
		return LOAD_REG(ctx, r14);
	case 15:
		return LOAD_REG(ctx, r15);
	}
	return 0;
}

/* Of a register by its DWARF number; those of the ABI's first arguments come first. */
static __always_inline u64 heap_site__argument(struct pt_regs *ctx, u32 reg)
{
	if (reg == 5)
		return LOAD_REG(ctx, rdi);
	if (reg == 4)
		return LOAD_REG(ctx, rsi);
	if (reg == 1)
		return LOAD_REG(ctx, rdx);
	return rare_argument(ctx, reg);
}

static __always_inline u64 heap_site__cookie(struct pt_regs *ctx)
{
	u32 zero = 0;
	u64 *left_for_us;

	if (heap_has_cookie)
		return bpf_get_attach_cookie(ctx);
	left_for_us = bpf_map_lookup_elem(&heap_cookie, &zero);
	return left_for_us ? *left_for_us : 0;
}

/* What was asked for; beyond 64 bits: as much as there is, which no allocator has. */
static __always_inline u64 heap_site__bytes(struct pt_regs *ctx, u64 cookie)
{
	u64 size = heap_site__argument(ctx, HEAP_COOKIE_REG(cookie, SIZE)), factor, most = ~0ULL;
	u64 call = HEAP_COOKIE_FIELD(cookie, CALL);

	if (HEAP_COOKIE_REG(cookie, COUNT) == HEAP_NO_REG || call == HEAP_CALL_POSIX_MEMALIGN ||
	    cookie & HEAP_COOKIE_FLAG(HEAP_SITE_SMALL_ALIGN_ELSEWHERE))
		return size;
	factor = heap_site__argument(ctx, HEAP_COOKIE_REG(cookie, COUNT));
	/* Or the compiler recognises it and asks for a multiplication of 128 bits. */
	asm volatile("" : "+r"(most));
	if (unlikely((size | factor) >> 32) && size && factor > most / size)
		return ~0ULL;
	return size * factor;
}

/* It goes on to another probed function, which counts it. */
static __always_inline bool heap_site__goes_on(struct pt_regs *ctx, u64 cookie)
{
	if (cookie & HEAP_COOKIE_FLAG(HEAP_SITE_NULL_ELSEWHERE) &&
	    !heap_site__argument(ctx, HEAP_COOKIE_REG(cookie, PTR)))
		return true;
	return cookie & HEAP_COOKIE_FLAG(HEAP_SITE_SMALL_ALIGN_ELSEWHERE) &&
	       heap_site__argument(ctx, HEAP_COOKIE_REG(cookie, COUNT)) <= SMALL_ALIGN;
}

/* Whether code of that entry of heap_files has such an address, which is given relative to that of
 * one of its sites. Global, so that it is verified once. */
__noinline int heap_has_code(u32 key, u64 site, u64 distance)
{
	struct heap_file_code *code = bpf_map_lookup_elem(&heap_files, &key);
	u64 offset, i;

	if (!code)
		return 0;
	BOUND(site, HEAP_SITES_MAX - 1);
	offset = code->site_offset[site] + distance;
	for (i = 0; i < HEAP_RANGES_MAX; i++) {
		if (i >= code->ranges_cnt)
			break;
		if (offset >= code->range[i].start && offset < code->range[i].end)
			return 1;
	}
	return 0;
}

/* Called by the allocator itself, for a call that is counted already. */
static __always_inline bool heap_site__is_nested(struct pt_regs *ctx, u64 cookie)
{
	u32 file = HEAP_COOKIE_FIELD(cookie, FILE);
	u64 caller = 0;

	if (!file || cookie & HEAP_COOKIE_FLAG(HEAP_SITE_PUSHED) ||
	    bpf_probe_read_user(&caller, sizeof(caller), (void *)ctx->rsp))
		return false;
	return heap_has_code(file - 1, HEAP_COOKIE_FIELD(cookie, SITE), caller - ctx->rip);
}

#endif
