/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cprof top: the flat/cum table of profiles, merged when there are several.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/array.h"
#include "base/file.h"
#include "base/log.h"
#include "base/suggest.h"
#include "base/units.h"
#include "cli.h"
#include "export/export.h"
#include "load.h"

#define ROWS_MAX 1000000

struct top_request {
	const char *sample_type; /* NULL: the default one */
	uint64_t rows_max;
	bool by_cum, json, no_color;
	bool done; /* help or version has been printed */
};

enum {
	OPT_CUM = 256,
	OPT_JSON,
	OPT_SAMPLE_TYPE,
	OPT_NO_COLOR,
	OPT_VERSION,
};

static const struct option options[] = {
	{ "cum", no_argument, NULL, OPT_CUM },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "sample-type", required_argument, NULL, OPT_SAMPLE_TYPE },
	{ "no-color", no_argument, NULL, OPT_NO_COLOR },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL },
};

static void print_help(void)
{
	printf("Usage: cprof top [OPTIONS] FILE...\n"
	       "\n"
	       "Prints the functions of profiles, the most expensive first, with the figures of\n"
	       "`go tool pprof -top`. Several files are merged; `-` is standard input.\n"
	       "\n"
	       "      --cum                sort by cum (with callees), not by flat (itself)\n"
	       "  -n ROWS                  at most so many functions\n"
	       "      --sample-type NAME   what to show: a sample type of the profile, or its index\n"
	       "      --json               all functions as JSON, values in base units\n"
	       "      --no-color           no colours on a terminal\n"
	       "  -h, --help               this text\n"
	       "      --version            the version\n"
	       "\n"
	       "Example: cprof top -n 10 --cum cpu.pb.gz\n");
}

static const char *option_name(size_t i)
{
	return options[i].name;
}

/* The one line for the argument at which getopt_long() stopped. */
static int bad_option(int getopt_result, char *const *argv)
{
	/* It has stepped over a long flag; optopt is 0 for an unknown one. */
	const char *arg = argv[optind - 1], *nearest;

	if (getopt_result == ':') {
		log_err("top: '%s' needs a value: see cprof top --help", arg);
	} else if (optopt && strncmp(arg, "--", 2)) {
		log_err("top: no flag '-%c': see cprof top --help", optopt);
	} else if (optopt) {
		log_err("top: '%s': this flag takes no value", arg);
	} else {
		nearest = suggest__nearest(arg + 2, strcspn(arg + 2, "="), option_name);
		if (nearest)
			log_err("top: no flag '%s': did you mean '--%s'?", arg, nearest);
		else
			log_err("top: no flag '%s': see cprof top --help", arg);
	}
	return EXIT_STATUS_USAGE;
}

/* Returns EXIT_STATUS_OK, or what to exit with. */
static int parse_arguments(struct top_request *req, int argc, char **argv)
{
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, ":hn:", options, NULL)) != -1) {
		switch (c) {
		case OPT_CUM:
			req->by_cum = true;
			break;
		case OPT_JSON:
			req->json = true;
			break;
		case OPT_SAMPLE_TYPE:
			req->sample_type = optarg;
			break;
		case OPT_NO_COLOR:
			req->no_color = true;
			break;
		case 'n':
			if (units__parse_u64(optarg, 1, ROWS_MAX, &req->rows_max)) {
				log_err("top: -n '%s' is not a number from 1 to %d", optarg,
					ROWS_MAX);
				return EXIT_STATUS_USAGE;
			}
			break;
		case 'h':
			print_help();
			req->done = true;
			return EXIT_STATUS_OK;
		case OPT_VERSION:
			printf("cprof %s\n", CPROF_VERSION);
			req->done = true;
			return EXIT_STATUS_OK;
		default:
			return bad_option(c, argv);
		}
	}
	if (optind == argc) {
		log_err("top: no file given: see cprof top --help");
		return EXIT_STATUS_USAGE;
	}
	return EXIT_STATUS_OK;
}

static int unknown_sample_type(const struct profile *p, const char *name)
{
	_cleanup_buf_ struct buf list = BUF_INIT;
	size_t i;

	for (i = 0; i < p->sample_types_cnt; i++)
		buf__printf(&list, "%s%s", i ? ", " : "", profile__str(p, p->sample_types[i].type));
	log_err("top: no sample type '%s' in the profile: it has %s", name, list.data ?: "");
	return EXIT_STATUS_USAGE;
}

/* By index, by name, or by the name without the "inuse_" that old heap profiles lack. */
static int find_sample_type(const struct profile *p, const char *name, size_t *ret)
{
	static const char inuse[] = "inuse_";
	uint64_t idx;
	size_t i;

	if (!name) {
		*ret = profile__default_value(p);
		return EXIT_STATUS_OK;
	}
	if (!units__parse_u64(name, 0, p->sample_types_cnt - 1, &idx)) {
		*ret = idx;
		return EXIT_STATUS_OK;
	}
	for (i = 0; i < p->sample_types_cnt; i++) {
		const char *type = profile__str(p, p->sample_types[i].type);

		if (!strcmp(type, name) || (!strncmp(name, inuse, sizeof(inuse) - 1) &&
					    !strcmp(type, name + sizeof(inuse) - 1))) {
			*ret = i;
			return EXIT_STATUS_OK;
		}
	}
	return unknown_sample_type(p, name);
}

static bool wants_color(const struct top_request *req)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	return !req->no_color && !(no_color && *no_color) && term && strcmp(term, "dumb") &&
	       isatty(STDOUT_FILENO);
}

static int print_profile(const struct profile *p, const struct top_request *req)
{
	struct top_view view = { .order = req->by_cum ? TOP_BY_CUM : TOP_BY_FLAT,
				 .rows_max = req->rows_max,
				 .color = wants_color(req) };
	_cleanup_buf_ struct buf out = BUF_INIT;
	int err;

	err = find_sample_type(p, req->sample_type, &view.value_idx);
	if (err)
		return err;
	err = req->json ? json__top(p, &view, &out) : text__top(p, &view, &out);
	if (err) {
		log_errno(err, "make the table");
		return EXIT_STATUS_FAILURE;
	}
	err = file__write_all(STDOUT_FILENO, out.data, out.len);
	if (err) {
		log_errno(err, "write to standard output");
		return EXIT_STATUS_FAILURE;
	}
	return EXIT_STATUS_OK;
}

int cmd_top(int argc, char **argv)
{
	_cleanup_(profile__freep) struct profile *merged = NULL;
	struct top_request req = { .sample_type = NULL };
	int status, i;

	status = parse_arguments(&req, argc, argv);
	if (status || req.done)
		return status;
	merged = profile__new();
	if (!merged) {
		log_errno(-ENOMEM, "make a profile");
		return EXIT_STATUS_FAILURE;
	}
	for (i = optind; i < argc; i++)
		if (load__merge(merged, argv[i]))
			return EXIT_STATUS_FAILURE;
	return print_profile(merged, &req);
}
