/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three functions that burn CPU time 50:30:20, all called from main through run_shift().
 * burn [SECONDS]
 */
#include "workload.h"

FRAME uint64_t burn_fifty(uint64_t x, unsigned int units)
{
	return chew(x, 5 * units);
}

FRAME uint64_t burn_thirty(uint64_t x, unsigned int units)
{
	return chew(x, 3 * units);
}

FRAME uint64_t burn_twenty(uint64_t x, unsigned int units)
{
	return chew(x, 2 * units);
}

/* Shifts of varying length never run in step with the sampling clock. */
FRAME uint64_t run_shift(uint64_t x)
{
	unsigned int units = 1 + (unsigned int)(x >> 61);

	x = burn_fifty(x, units);
	x = burn_thirty(x, units);
	return burn_twenty(x, units);
}

int main(int argc, char **argv)
{
	double end = now_s() + seconds_arg(argc, argv, 1);
	uint64_t x = 1;

	puts("expect flat burn_fifty 50");
	puts("expect flat burn_thirty 30");
	puts("expect flat burn_twenty 20");
	say_ready();
	while (now_s() < end)
		x = run_shift(x);
	return x == 0;
}
