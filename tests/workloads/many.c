/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many processes alive at once, all of which get some CPU time: bursts of half a millisecond with
 * pauses so long that together they keep about one CPU busy.
 * many PROCESSES [SECONDS]
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "workload.h"

#define BURST_US 500

FRAME uint64_t many_spin(uint64_t x)
{
	return chew(x, BURST_US / 100);
}

static void live(double end_s, unsigned int processes)
{
	uint64_t x = 1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (now_s() < end_s && x) {
		x = many_spin(x);
		usleep(BURST_US * processes);
	}
}

int main(int argc, char **argv)
{
	unsigned int processes = argc > 1 ? (unsigned int)atoi(argv[1]) : 200;
	double end_s = now_s() + seconds_arg(argc, argv, 2);

	for (unsigned int i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (pid == 0) {
			live(end_s, processes);
			_exit(0);
		}
	}
	printf("expect comm many many_spin\n");
	say_ready();
	while (wait(NULL) > 0)
		;
	return 0;
}
