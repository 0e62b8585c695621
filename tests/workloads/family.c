/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three generations that burn side by side, each in its own function, for some seconds; the parent
 * waits for all and returns the status asked for.
 * family SECONDS [STATUS]
 */
#include <sys/wait.h>
#include "workload.h"

#define SPINNER(name)                                                                              \
	FRAME uint64_t name(double end_s)                                                          \
	{                                                                                          \
		uint64_t x = 1;                                                                    \
                                                                                                   \
		while (now_s() < end_s)                                                            \
			x = chew(x, 10);                                                           \
		return x;                                                                          \
	}

SPINNER(parent_spin)
SPINNER(child_spin)
SPINNER(grandchild_spin)

int main(int argc, char **argv)
{
	double end_s = now_s() + seconds_arg(argc, argv, 1);

	puts("expect symbol parent_spin");
	puts("expect symbol child_spin");
	puts("expect symbol grandchild_spin");
	say_ready();
	if (fork() == 0) {
		if (fork() == 0)
			_exit(grandchild_spin(end_s) == 0);
		child_spin(end_s);
		wait(NULL);
		_exit(0);
	}
	parent_spin(end_s);
	wait(NULL);
	return argc > 2 ? atoi(argv[2]) : 0;
}
