/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * setjmp, ten frames down, longjmp back, again and again.
 * jumps [SECONDS]
 */
#include <setjmp.h>
#include "workload.h"

static jmp_buf back;

FRAME uint64_t descend(unsigned int depth, uint64_t x)
{
	if (depth == 0 && x)
		longjmp(back, (int)(x & 0xff) + 1);
	if (depth == 0)
		return 1;
	return descend(depth - 1, x * 3) + 1;
}

FRAME uint64_t jump_once(uint64_t x)
{
	int told = setjmp(back);

	return told ? (uint64_t)told : descend(10, x);
}

FRAME uint64_t jump_often(uint64_t x)
{
	for (unsigned int i = 0; i < 2000; i++)
		x += jump_once(x);
	return x;
}

int main(int argc, char **argv)
{
	double end_s = now_s() + seconds_arg(argc, argv, 1);
	uint64_t x = 1;

	puts("expect path main jump_often jump_once");
	puts("expect path main jump_often jump_once descend");
	say_ready();
	while (now_s() < end_s)
		x = jump_often(x);
	return x == 0;
}
