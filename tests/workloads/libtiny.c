/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions so small that calling them is most of their work; for plt.
 */
#include "tiny.h"

#define TINY(n)                                                                                    \
	FRAME uint64_t tiny_##n(uint64_t x)                                                        \
	{                                                                                          \
		return x + n;                                                                      \
	}                                                                                          \
	FRAME uint64_t tiny_pushes_##n(uint64_t x)                                                 \
	{                                                                                          \
		__asm__ volatile("" : "+r"(x) : : "rbx", "rbp", "r12", "r13", "r14", "r15");       \
		return x + n;                                                                      \
	}

TINY(1)
TINY(2)
TINY(3)
TINY(4)
