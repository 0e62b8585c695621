/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Another library for late_dlopen: its plugin_spin() burns with a frame pointer that leads to a
 * "return address" in the data of the library. Linked so that code and headers share a segment: the
 * loader then maps the whole file as code first and the data over it.
 */
#include "workload.h"

uint64_t plugin_spin(double end_s);

static uint64_t data[2048] = { 1 };

FRAME uint64_t plugin_spin(double end_s)
{
	volatile uint64_t frame[2] = { 0, (uint64_t)&data[1024] };
	uint64_t x = 1;

	while (now_s() < end_s) {
#ifdef __x86_64__
		uint64_t rounds = 1000000;

		__asm__ volatile("push %%rbp\n\t"
				 "mov %2, %%rbp\n"
				 "1:\n\t"
				 "imul %1, %0\n\t"
				 "dec %1\n\t"
				 "jnz 1b\n\t"
				 "pop %%rbp"
				 : "+r"(x), "+r"(rounds)
				 : "r"(frame)
				 : "cc", "memory");
#else
		x = chew(x + frame[0], 10);
#endif
	}
	return x | 1;
}
