/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Burns as many milliseconds of CPU time as argv says in storm_spin(), and ends.
 * storm_child MS
 */
#include "workload.h"

FRAME uint64_t storm_spin(double cpu_s)
{
	uint64_t x = 1;

	while (clock_s(CLOCK_PROCESS_CPUTIME_ID) < cpu_s)
		x = chew(x, 1);
	return x;
}

int main(int argc, char **argv)
{
	return storm_spin(seconds_arg(argc, argv, 1) / 1e3) == 0;
}
