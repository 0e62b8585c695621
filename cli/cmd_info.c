/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cprof info: what a profile is, and how many of its stacks are complete.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"
#include "cli.h"
#include "export/export.h"
#include "load.h"

static void print_help(void)
{
	printf("Usage: cprof info FILE...\n"
	       "\n"
	       "Prints what each profile is: its types, size and comments, the share of stacks that\n"
	       "reach their thread's start, and which files break the rest.\n"
	       "\n"
	       "Example: cprof info cpu.pb.gz\n");
}

static int print_info(const char *path)
{
	_cleanup_(profile__freep) struct profile *p = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT;
	int err;

	if (load__profile(path, &p))
		return EXIT_STATUS_FAILURE;
	err = text__info(p, &out);
	if (!err)
		err = file__write_all(STDOUT_FILENO, out.data, out.len);
	if (err) {
		log_errno(err, "write to standard output");
		return EXIT_STATUS_FAILURE;
	}
	return EXIT_STATUS_OK;
}

int cmd_info(int argc, char **argv)
{
	int i, status = EXIT_STATUS_OK;

	if (argc < 2) {
		log_err("info: no file given: see cprof info --help");
		return EXIT_STATUS_USAGE;
	}
	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help")) {
			print_help();
			return EXIT_STATUS_OK;
		}
		if (argv[i][0] == '-' && argv[i][1]) {
			log_err("info: no flag '%s': see cprof info --help", argv[i]);
			return EXIT_STATUS_USAGE;
		}
	}
	for (i = 1; !status && i < argc; i++)
		status = print_info(argv[i]);
	return status;
}
