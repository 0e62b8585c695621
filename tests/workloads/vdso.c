/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Asks for the time of day all the time: most of it is spent in the vDSO.
 * vdso [SECONDS]
 */
#include "workload.h"

int main(int argc, char **argv)
{
	double end_s = now_s() + seconds_arg(argc, argv, 1);

	puts("expect module [vdso]");
	say_ready();
	while (now_s() < end_s)
		;
	return 0;
}
