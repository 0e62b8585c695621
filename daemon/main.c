/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cprofd: command line → session → exit status. The same executable is the worker, started again by
 * worker/ with --worker.
 */
#include <stdlib.h>
#include <string.h>
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

int main(int argc, char **argv)
{
	uint64_t started_ns = clock__mono_ns();
	struct options opts = { 0 };
	int status;

	if (argc == 3 && strcmp(argv[1], "--worker") == 0)
		return worker__main(atoi(argv[2]));
	status = options__parse(&opts, argc, argv);
	if (!status)
		status = run(&opts, started_ns);
	options__done(&opts);
	return status;
}
