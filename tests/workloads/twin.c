/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Built several times with another TWIN_SPIN: programs that differ in nothing but the name of the
 * one function that burns CPU time, at the same address in each (static, not position independent).
 * Who attributes a sample to the wrong program shows the wrong name.
 *
 * twin MS         burns MS and ends
 * twin MS PATH    burns MS, then executes PATH in place with "MS own-path"
 */
#include "workload.h"

FRAME uint64_t TWIN_SPIN(double cpu_s)
{
	uint64_t x = 1;

	while (clock_s(CLOCK_PROCESS_CPUTIME_ID) < cpu_s)
		x = chew(x, 1);
	return x;
}

int main(int argc, char **argv)
{
	double cpu_s = clock_s(CLOCK_PROCESS_CPUTIME_ID) + seconds_arg(argc, argv, 1) / 1e3;

	if (TWIN_SPIN(cpu_s) == 0)
		return 1;
	if (argc > 2) {
		execl(argv[2], argv[2], argv[1], argv[0], NULL);
		return 1;
	}
	return 0;
}
