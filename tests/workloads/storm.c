/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starts one short-lived process after the other, two at a time: fork, exec of storm_child beside
 * this program, which burns 1 to 5 ms or as many as asked for. At the end: "ran N children CPU_MS
 * ms".
 * storm SECONDS [MS]
 */
#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "workload.h"

#define PARALLEL 2

static void start_child(const char *path, unsigned int ms)
{
	char arg[16];

	snprintf(arg, sizeof(arg), "%u", ms);
	if (fork() == 0) {
		execl(path, "storm_child", arg, NULL);
		_exit(127);
	}
}

int main(int argc, char **argv)
{
	double end_s = now_s() + seconds_arg(argc, argv, 1);
	unsigned int children = 0, running = 0, ms = argc > 2 ? (unsigned int)atoi(argv[2]) : 0;
	char path[PATH_MAX + 16];
	struct rusage ru;
	int status;

	ssize_t len = readlink("/proc/self/exe", path, PATH_MAX);

	if (len <= 0)
		return 1;
	path[len] = '\0';
	strcat(path, "_child");
	puts("expect comm storm_child storm_spin");
	say_ready();
	while (now_s() < end_s) {
		for (; running < PARALLEL; running++, children++)
			start_child(path, ms ? ms : 1 + children % 5);
		if (wait(&status) > 0)
			running--;
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			return 1;
	}
	while (wait(NULL) > 0)
		;
	getrusage(RUSAGE_CHILDREN, &ru);
	printf("ran %u children %ld ms\n", children,
	       (ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000 +
		       (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1000);
	return 0;
}
