/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cprof: reads profiles, needs no privilege. The table of commands; each lies in cmd_<name>.c.
 */
#include <stdio.h>
#include <string.h>
#include "base/array.h"
#include "base/log.h"
#include "base/suggest.h"
#include "cli.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{ "info", cmd_info, "what a profile is, and how many of its stacks are complete" },
	{ "top", cmd_top, "the functions of one or more profiles, the most expensive first" },
};

static void print_help(void)
{
	size_t i;

	printf("Usage: cprof COMMAND [OPTIONS] [FILE...]\n"
	       "\n"
	       "Reads profiles in pprof's format, of cprofd and of any other producer.\n"
	       "\n"
	       "Commands:\n");
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].help);
	printf("\n"
	       "  -h, --help      this text; `cprof COMMAND --help` for a command\n"
	       "      --version   the version\n"
	       "\n"
	       "Example: cprof top cpu.pb.gz\n");
}

static const char *command_name(size_t i)
{
	return i < ARRAY_SIZE(commands) ? commands[i].name : NULL;
}

static int unknown_command(const char *name)
{
	const char *nearest = suggest__nearest(name, strlen(name), command_name);

	if (nearest)
		log_err("no command '%s': did you mean '%s'?", name, nearest);
	else
		log_err("no command '%s': see cprof --help", name);
	return EXIT_STATUS_USAGE;
}

int main(int argc, char **argv)
{
	size_t i;

	log__set_program("cprof");
	if (argc < 2) {
		log_err("no command given: see cprof --help");
		return EXIT_STATUS_USAGE;
	}
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
		print_help();
		return EXIT_STATUS_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("cprof %s\n", CPROF_VERSION);
		return EXIT_STATUS_OK;
	}
	if (argv[1][0] == '-') {
		log_err("no flag '%s' before the command: see cprof --help", argv[1]);
		return EXIT_STATUS_USAGE;
	}
	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	return unknown_command(argv[1]);
}
