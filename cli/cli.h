/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What main.c and the commands of cprof share.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

/* Exit statuses, design.md §3. */
enum exit_status {
	EXIT_STATUS_OK = 0,
	EXIT_STATUS_FAILURE = 1,
	EXIT_STATUS_USAGE = 2,
};

/* Commands: argv[0] is the name; they return the exit status. */
int cmd_info(int argc, char **argv);
int cmd_top(int argc, char **argv);

#endif
