/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs two programs in turn, two at a time, for some seconds and counts how often the kernel gave
 * out a process id again. At the end: "reused N of M".
 * churn SECONDS MS PATH_A PATH_B
 */
#include <sys/wait.h>
#include "workload.h"

#define PARALLEL 2
#define PIDS_MAX (1 << 22)

static bool seen[PIDS_MAX];

int main(int argc, char **argv)
{
	unsigned int started = 0, reused = 0, running = 0;
	double end_s = now_s() + seconds_arg(argc, argv, 1);

	if (argc != 5)
		return 2;
	say_ready();
	while (now_s() < end_s) {
		for (; running < PARALLEL; running++, started++) {
			const char *path = argv[3 + started % 2];
			pid_t pid = fork();

			if (pid < 0)
				return 1;
			if (pid == 0) {
				execl(path, path, argv[2], NULL);
				_exit(127);
			}
			if (pid < PIDS_MAX) {
				reused += seen[pid];
				seen[pid] = true;
			}
		}
		if (wait(NULL) > 0)
			running--;
	}
	while (wait(NULL) > 0)
		;
	printf("reused %u of %u\n", reused, started);
	return 0;
}
