/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Spends its time in libfoo.so, half in an exported and half in a hidden function.
 * stripped [SECONDS]
 */
#include "workload.h"

uint64_t foo_exported(uint64_t x);

int main(int argc, char **argv)
{
	double end_s = now_s() + seconds_arg(argc, argv, 1);
	uint64_t x = 1;

	puts("expect flat foo_exported 50");
	puts("expect flat [libfoo.so] 50");
	say_ready();
	while (now_s() < end_s)
		x = foo_exported(x);
	return x == 0;
}
