/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one value on the command line means: checks it and puts it into struct options. Private to
 * options.c, which knows the flags and their order. Every function logs its own error and returns
 * an exit status.
 */
#ifndef OPTION_VALUES_H
#define OPTION_VALUES_H

#include <stddef.h>
#include "base/log.h"
#include "options.h"

struct parser {
	struct options *opts;
	char **argv;
	int argc, idx; /* idx: the argument after the current one */
	size_t outputs_cap, tags_cap, pids_cap;
	const char *first_option; /* as given, for messages; NULL when there was none */
	uint64_t given;           /* a bit for each of the table's flags */
};

#define usage_error(...)                                                                           \
	({                                                                                         \
		log_err(__VA_ARGS__);                                                              \
		EXIT_STATUS_USAGE;                                                                 \
	})

/* As users know it: "--pid", "-- COMMAND". */
const char *option_value__target_name(enum target_kind target);
int option_value__set_target(struct parser *p, enum target_kind target);

int option_value__pid(struct parser *p, const char *value);
int option_value__comm(struct parser *p, const char *value);
int option_value__cgroup(struct parser *p, const char *value);
int option_value__freq(struct parser *p, const char *value);
int option_value__output(struct parser *p, const char *value);
int option_value__format(struct parser *p, const char *value);
int option_value__labels(struct parser *p, const char *value);
int option_value__tag(struct parser *p, const char *value);
int option_value__user(struct parser *p, const char *value);
int option_value__strict(struct parser *p, const char *value);
int option_value__unwind_memory(struct parser *p, const char *value);
int option_value__by(struct parser *p, const char *value);
int option_value__worst(struct parser *p, const char *value);
int option_value__interval(struct parser *p, const char *value);
int option_value__sched_slo(struct parser *p, const char *value);
int option_value__heap_interval(struct parser *p, const char *value);
int option_value__heap_mode(struct parser *p, const char *value);
int option_value__heap_source(struct parser *p, const char *value);
int option_value__heap_budget(struct parser *p, const char *value);
int option_value__heap_host_wide(struct parser *p, const char *value);
int option_value__quiet(struct parser *p, const char *value);
int option_value__verbose(struct parser *p, const char *value);
int option_value__json(struct parser *p, const char *value);
int option_value__no_color(struct parser *p, const char *value);

/* The duration of a kind. */
int option_value__kind(struct parser *p, const struct probe *probe, const char *value);

#endif
