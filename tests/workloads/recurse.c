/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Burns at the bottom of as many frames of recurse() as argv says: deeper stacks than a profiler
 * keeps, or just large records. One process per CPU asked for.
 * recurse DEPTH [PROCESSES]
 */
#include "workload.h"

FRAME uint64_t burn_below(uint64_t x)
{
	return chew(x, 10);
}

FRAME uint64_t recurse(unsigned int depth, double end_s)
{
	uint64_t x = depth + 1;

	if (depth > 0)
		return recurse(depth - 1, end_s) + 1;
	while (now_s() < end_s)
		x = burn_below(x);
	return x;
}

int main(int argc, char **argv)
{
	unsigned int depth = argc > 1 ? (unsigned int)atoi(argv[1]) : 200;
	int processes = argc > 2 ? atoi(argv[2]) : 1;

	for (int i = 1; i < processes; i++) {
		if (fork() == 0)
			break;
	}
	say_ready();
	return recurse(depth, now_s() + FOREVER_S) == 0;
}
