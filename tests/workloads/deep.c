/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stacks of twenty frames: main, level_01 … level_18, burn_at_bottom. One process per CPU asked
 * for. deep [SECONDS [PROCESSES]]
 */
#include <sys/wait.h>
#include "workload.h"

static double end_s;

FRAME void burn_at_bottom(void)
{
	uint64_t x = 1;

	while (now_s() < end_s)
		x = chew(x, 10);
}

/* The empty statement after the call keeps it from becoming a jump. */
#define LEVEL(name, callee)                                                                        \
	FRAME void name(void)                                                                      \
	{                                                                                          \
		callee();                                                                          \
		__asm__ volatile("");                                                              \
	}

LEVEL(level_18, burn_at_bottom)
LEVEL(level_17, level_18)
LEVEL(level_16, level_17)
LEVEL(level_15, level_16)
LEVEL(level_14, level_15)
LEVEL(level_13, level_14)
LEVEL(level_12, level_13)
LEVEL(level_11, level_12)
LEVEL(level_10, level_11)
LEVEL(level_09, level_10)
LEVEL(level_08, level_09)
LEVEL(level_07, level_08)
LEVEL(level_06, level_07)
LEVEL(level_05, level_06)
LEVEL(level_04, level_05)
LEVEL(level_03, level_04)
LEVEL(level_02, level_03)
LEVEL(level_01, level_02)

int main(int argc, char **argv)
{
	int processes = argc > 2 ? atoi(argv[2]) : 1;

	end_s = now_s() + seconds_arg(argc, argv, 1);
	for (int i = 1; i < processes; i++) {
		if (fork() == 0)
			break;
	}
	puts("expect chain main level_01 level_02 level_03 level_04 level_05 level_06 level_07 "
	     "level_08 level_09 level_10 level_11 level_12 level_13 level_14 level_15 level_16 "
	     "level_17 level_18 burn_at_bottom");
	say_ready();
	level_01();
	while (wait(NULL) > 0)
		;
	return 0;
}
