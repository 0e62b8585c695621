/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cprofd: command line → session → exit status. The same executable is the worker, started again by
 * worker/ with --worker.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "options.h"
#include "session/doctor.h"
#include "session/session.h"
#include "worker/worker.h"

static int run(struct options *opts, uint64_t started_ns)
{
	switch (opts->mode) {
	case RUN_PROFILE:
		return session__run(opts, started_ns);
	case RUN_DOCTOR:
		return doctor__run();
	case RUN_HELP:
	case RUN_VERSION:
		break;
	}
	return EXIT_STATUS_OK;
}

/* Started with a standard descriptor closed, the next file opened would take its number and get
 * what is printed. */
static void fill_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int main(int argc, char **argv)
{
	uint64_t started_ns = clock__mono_ns();
	struct options opts = { 0 };
	int status;

	if (argc == 3 && strcmp(argv[1], "--worker") == 0)
		return worker__main(atoi(argv[2]));
	fill_standard_fds();
	status = options__parse(&opts, argc, argv);
	if (!status)
		status = run(&opts, started_ns);
	options__done(&opts);
	return status;
}
